"""What can go wrong.

    GroqError
    ├── InputError                     (also a ValueError)
    │   └── MissingKeyError
    ├── APIConnectionError
    │   ├── APITimeoutError
    │   ├── CertificateError
    │   ├── SetUpError
    │   └── IncompleteStreamError
    └── APIError
        └── APIStatusError
            ├── BadRequestError            400
            ├── AuthenticationError        401
            ├── PermissionDeniedError      403
            ├── NotFoundError              404
            ├── ConflictError              409
            ├── RequestTooLargeError       413
            ├── UnprocessableEntityError   422
            ├── RateLimitError             429
            ├── CapacityError              498
            └── InternalServerError        5xx

A notebook shows an error of ours as its message alone: one line that says what
happened and names the next step, never a traceback through the library.
"""

from __future__ import annotations

import math
from typing import Any


class GroqError(Exception):
    """Anything this package raises on purpose.

    >>> from groq_magic import demo, stream
    >>> try:
    ...     stream("Hello", model="demo/error-401", base_url=demo.start()).result()
    ... except GroqError as error:
    ...     print(error.status_code, error.next_step)
    401 Set GROQ_API_KEY to a key from https://console.groq.com/keys, or run %groq login.
    """

    def __str__(self) -> str:
        return printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args), self.__dict__

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def _remade(kind: type[GroqError], args: tuple[Any, ...]) -> GroqError:
    """An error out of its pickle, by no ``__init__``: those take other arguments."""
    return kind.__new__(kind, *args)


class InputError(GroqError, ValueError):
    """An argument or setting is missing or wrong; nothing was sent."""


class MissingKeyError(InputError):
    """No API key was found; nothing was sent."""

    def __init__(self) -> None:
        super().__init__(
            "No API key. Run %groq login, or set GROQ_API_KEY "
            "(keys: https://console.groq.com/keys); %groq demo works without."
        )


class APIConnectionError(GroqError):
    """The server was not reached, or the connection broke."""


class APITimeoutError(APIConnectionError):
    """The server was silent for longer than the timeout."""


class CertificateError(APIConnectionError):
    """The server's certificate is not trusted; nothing was sent."""


class SetUpError(APIConnectionError):
    """What the environment says of proxies or certificates cannot be followed."""


class IncompleteStreamError(APIConnectionError):
    """The body ended before the answer did: no ``finish_reason`` came."""


PROXY_LOGIN = "Set HTTPS_PROXY as http://user:password@host:port."

# The next step for an error's ``code`` or status, where it is known better than by its class.
_BY_CODE = {
    "context_length_exceeded": "Shorten the prompt or the chat, or lower --max-tokens.",
    "model_decommissioned": "Choose another model with -m.",
    "model_not_found": "Choose another model with -m.",
}
_STEP_BY_STATUS = {
    402: "Check https://console.groq.com/settings/billing.",
    407: PROXY_LOGIN,
    408: "Run the cell again.",
    424: "Check the remote tools that the request names, and their authorization.",
    499: "Run the cell again.",
}


class APIError(GroqError):
    """The server answered with an error, here inside a stream that had begun.

    ``message`` is the server's own sentence and ``code``, ``type``, ``param``,
    ``failed_generation`` its fields of those names, None where it sent none.
    """

    next_step = "Run the cell again."
    """What to do about it, in a sentence."""
    request_id: str | None = None
    """By which the server's owner finds the request, None where the server did not say."""
    retry_after: float | None = None
    """Seconds until it is of use to ask again, None where the server did not say."""

    def __init__(self, message: str, detail: dict[str, Any] | None = None) -> None:
        detail = detail or {}
        self.message = message
        self.code = _text(detail.get("code"))
        self.type = _text(detail.get("type"))
        self.param = _text(detail.get("param"))
        self.failed_generation = _text(detail.get("failed_generation"))
        step = _step_for(detail.get("status_code")) or self.next_step
        self.next_step = _BY_CODE.get(self.code or "", step)
        super().__init__(message)

    def __str__(self) -> str:
        return f"{_sentence(self.message)} {self.next_step}"


class APIStatusError(APIError):
    """The server answered with an HTTP status other than 200.

    ``should_retry`` says whether the same request may succeed later.
    """

    next_step = "Check GROQ_BASE_URL."

    def __init__(
        self,
        message: str,
        detail: dict[str, Any] | None = None,
        *,
        status_code: int,
        request_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool = False,
    ) -> None:
        super().__init__(message, {**(detail or {}), "status_code": status_code})
        self.status_code = status_code
        self.request_id = request_id
        self.retry_after = retry_after
        self.should_retry = should_retry

    def __str__(self) -> str:
        return f"{self.status_code} {super().__str__()}"


class BadRequestError(APIStatusError):
    """400: the request is malformed, or the model does not support it."""

    next_step = "Change the cell or its flags."


class AuthenticationError(APIStatusError):
    """401: the API key is not valid."""

    next_step = "Set GROQ_API_KEY to a key from https://console.groq.com/keys, or run %groq login."


class PermissionDeniedError(APIStatusError):
    """403: the key may not do this."""

    next_step = "Use another key, or choose another model with -m."


class NotFoundError(APIStatusError):
    """404: the model or the path does not exist."""

    next_step = "Choose another model with -m, or check GROQ_BASE_URL."


class ConflictError(APIStatusError):
    """409: the request is in conflict with another one."""

    next_step = "Run the cell again."


class RequestTooLargeError(APIStatusError):
    """413: the request is larger than the limit."""

    next_step = "Shorten the prompt, or lower --max-tokens."


class UnprocessableEntityError(APIStatusError):
    """422: the request was understood and could not be followed."""

    next_step = "Run the cell again."


class RateLimitError(APIStatusError):
    """429: too many requests or tokens; ``retry_after`` says when to come back."""

    next_step = "Run the cell again later."

    def __init__(self, *args: Any, **said: Any) -> None:
        super().__init__(*args, **said)
        if self.retry_after:
            self.next_step = f"Run the cell again in {span(self.retry_after)}."
        elif not self.should_retry:  # the request alone is more than the limit
            self.next_step = "Lower --max-tokens, or shorten the prompt."


class CapacityError(APIStatusError):
    """498: the flex tier is at capacity."""

    next_step = "Run the cell again later."


class InternalServerError(APIStatusError):
    """5xx: the server failed."""

    next_step = "Run the cell again."


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: RequestTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    498: CapacityError,
}


def status_error_class(status_code: int) -> type[APIStatusError]:
    """The class for an HTTP status: its own, the family's, or `APIStatusError`."""
    family = InternalServerError if status_code >= 500 else APIStatusError
    return _BY_STATUS.get(status_code, family)


def _step_for(status: Any) -> str | None:
    """What to do about an HTTP status, in a response or said in a stream; None for none."""
    if type(status) is not int or status < 300:
        return None
    return _STEP_BY_STATUS.get(status) or status_error_class(status).next_step


def _text(value: Any) -> str | None:
    """A field of an error; some servers have numbers for codes."""
    return str(value) if isinstance(value, str | int) else None


def _sentence(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()  # sendable
    text = printable(" ".join(text.split()))
    return text if text.endswith((".", "!", "?")) else f"{text}."


def printable(text: str) -> str:
    r"""The text without what would steer a terminal or turn its lines around.

    >>> printable("a\x1b]0;owned\x07\n")
    'a]0;owned\n'
    """
    return text.translate(_STEERING)


# Escape sequences could write to a terminal's title, clipboard and history.
_STEERING = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])
_STEERING |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def span(seconds: float) -> str:
    """A span of time as people say it, rounded up.

    >>> span(0.29), span(59.2), span(578)
    ('1 s', '60 s', '10 min')
    """
    whole = math.ceil(seconds)
    return f"{whole} s" if whole <= 120 else f"{math.ceil(whole / 60)} min"
