"""The exceptions of groq_magic.

::

    GroqError
    ├── InputError                     (also a ValueError)
    │   ├── MissingKeyError
    │   └── TooLongError
    ├── ParseError                     (also a ValueError)
    ├── StreamError
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

A notebook shows each of them as one line without a traceback: what happened and the next
step.
"""

from __future__ import annotations

import math
import sys
from typing import Any


class GroqError(Exception):
    """The base class of all errors that groq_magic raises.

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
        """The lines that IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def _remade(kind: type[GroqError], args: tuple[Any, ...]) -> GroqError:
    """An error from its pickle, without ``__init__``, whose arguments differ."""
    return kind.__new__(kind, *args)


class InputError(GroqError, ValueError):
    """An argument or a setting is missing or wrong; nothing was sent."""


class MissingKeyError(InputError):
    """No API key was found; nothing was sent."""

    def __init__(self) -> None:
        super().__init__(
            "No API key. Run %groq login, or set GROQ_API_KEY "
            "(keys: https://console.groq.com/keys); %groq demo works without."
        )


class TooLongError(InputError):
    """The request is larger than the account's limit of tokens a minute; nothing was sent.

    ``tokens`` is its size, as estimated, and ``limit`` the limit.
    """

    def __init__(self, model: str, prompt: int, longest: int, maximum: int, limit: int) -> None:
        self.tokens, self.limit = prompt + maximum, limit
        parts = f": {prompt:,} for the prompt, {maximum:,} for --max-tokens" if maximum else ""
        said = f"The request needs about {self.tokens:,} tokens{parts}. "
        said += f"The account's limit for {model} is {limit:,} a minute. "
        step = f"Shorten the prompt by about {self.tokens - limit:,} tokens."
        if maximum and (left := limit - longest) > 0:  # the prompt is estimated
            step = f"Ask with --max-tokens {left}, or shorten the prompt."
        elif maximum:
            step = f"Shorten the prompt, or lower --max-tokens, by {self.tokens - limit:,} tokens."
        super().__init__(f"{said}{step} {_NEW_PLAN}")


class ParseError(GroqError, ValueError):
    """A text that the model wrote is not the JSON that was asked for; ``text`` is all of it."""

    def __init__(self, what: str, text: str, next_step: str) -> None:
        self.text = text
        super().__init__(f"{what}: {text[:_LONGEST_QUOTE]!r}. {next_step}")


class StreamError(GroqError):
    """The stream that `show` was given failed; ``__cause__`` is its own error."""


class APIConnectionError(GroqError):
    """The server could not be reached, or the connection broke."""


class APITimeoutError(APIConnectionError):
    """The server was silent for longer than the timeout."""


class CertificateError(APIConnectionError):
    """The server's certificate is not trusted; nothing was sent."""


class SetUpError(APIConnectionError):
    """The environment's settings for proxies or certificates do not work."""


def check_threads() -> None:
    """Raise `SetUpError` in a Python without threads: Pyodide, which JupyterLite runs."""
    info = getattr(sys, "_emscripten_info", None)
    if info is not None and not info.pthreads:
        raise SetUpError(
            "groq_magic needs threads, and Python in a browser has none. "
            "Use a kernel that runs on a machine, such as ipykernel."
        )


class IncompleteStreamError(APIConnectionError):
    """The stream ended without a ``finish_reason``, or the response is not a stream."""


PROXY_LOGIN = "Set HTTPS_PROXY as http://user:password@host:port."

# Next steps that are more exact than those of the classes, by ``code`` and by status.
_BY_CODE = {
    "context_length_exceeded": "Shorten the prompt or the chat, or lower --max-tokens.",
    "model_decommissioned": "Choose another model with -m.",
    "model_not_found": "Choose another model with -m.",
}
_NEW_PLAN = "If your plan has just changed, run a short prompt first: it reads the new limits."
_LONGEST_QUOTE = 200
_LONGEST_SENTENCE = 1_000
"""Characters of a server's message that are shown; `APIError.message` has all of them."""
_STEP_BY_STATUS = {
    402: "Check https://console.groq.com/settings/billing.",
    407: PROXY_LOGIN,
    408: "Run the cell again.",
    424: "Check the remote tools that the request names, and their authorization.",
    499: "Run the cell again.",
}


class APIError(GroqError):
    """The server reported an error, here inside a stream.

    ``message`` is the server's sentence; ``code``, ``type``, ``param`` and
    ``failed_generation`` are its fields of those names, None where it sent none.
    """

    next_step = "Run the cell again."
    """What to do next, in one sentence."""
    request_id: str | None = None
    """The server's name for the request; None where the server did not say."""
    retry_after: float | None = None
    """Seconds until a new request can succeed; None where the server did not say."""

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
    """403: the key has no permission for this."""

    next_step = "Use another key, or choose another model with -m."


class NotFoundError(APIStatusError):
    """404: the model or the path does not exist."""

    next_step = "Choose another model with -m, or check GROQ_BASE_URL."


class ConflictError(APIStatusError):
    """409: the request conflicts with another one."""

    next_step = "Run the cell again."


class RequestTooLargeError(APIStatusError):
    """413: the request is larger than the limit."""

    next_step = "Shorten the prompt, or lower --max-tokens."


class UnprocessableEntityError(APIStatusError):
    """422: the server understood the request and could not process it."""

    next_step = "Run the cell again."


class RateLimitError(APIStatusError):
    """429: too many requests or tokens; ``retry_after`` says when a new request can succeed."""

    next_step = "Run the cell again later."

    def __init__(self, *args: Any, **said: Any) -> None:
        super().__init__(*args, **said)
        if self.retry_after:
            self.next_step = f"Run the cell again in {span(self.retry_after)}."
        elif not self.should_retry:  # this one request is larger than the limit
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
    """The most exact class for an HTTP status."""
    family = InternalServerError if status_code >= 500 else APIStatusError
    return _BY_STATUS.get(status_code, family)


def _step_for(status: Any) -> str | None:
    """The next step for a status in a response or in a stream; None for any other value."""
    if type(status) is not int or status < 300:
        return None
    return _STEP_BY_STATUS.get(status) or status_error_class(status).next_step


def _text(value: Any) -> str | None:
    """A field of an error; some servers send numbers as codes."""
    return str(value) if isinstance(value, str | int) else None


def _sentence(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()  # without halves of surrogates
    text = printable(" ".join(text.split()))
    if len(text) > _LONGEST_SENTENCE:
        return f"{text[:_LONGEST_SENTENCE]} …"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def printable(text: str) -> str:
    r"""The text without control characters and changes of direction.

    >>> printable("a\x1b]0;owned\x07\n")
    'a]0;owned\n'
    """
    return text.translate(_CONTROLS)


# A terminal obeys escape sequences: they change its title, clipboard and history.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])
_CONTROLS |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def span(seconds: float) -> str:
    """A time in words, rounded up.

    >>> span(0.29), span(59.2), span(578), span(43_200)
    ('1 s', '60 s', '10 min', '12 h')
    """
    whole = math.ceil(seconds)
    if whole <= 120:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    return f"{minutes} min" if minutes <= 120 else f"{math.ceil(minutes / 60)} h"
