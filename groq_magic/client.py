"""One POST to an async iterator of chunks: base URL, key, retries, status to error."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Coroutine,
    Iterator,
    Mapping,
)
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from math import isfinite
from time import time
from typing import Any, ClassVar, NamedTuple, cast
from urllib.request import getproxies

import httpx

from .chat import (
    Chunk,
    Item,
    Responded,
    Waiting,
    parse_duration,
)
from .chunks import BodyReader, in_stream_error
from .errors import (
    PROXY_LOGIN,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    CertificateError,
    GroqError,
    IncompleteStreamError,
    InputError,
    MissingKeyError,
    NotFoundError,
    SetUpError,
    status_error_class,
)
from .models import Model, known_models, parse_models

GROQ_URL = "https://api.groq.com"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PAST_PROXIES = ("all://localhost", "all://127.0.0.1", "all://[::1]")
_UNENCRYPTED = "GROQ_SEND_KEY_UNENCRYPTED"
_RETRIED = {408, 409, 429, 498}
_LONGEST_WAIT = 60.0
_MODELS_SECONDS = 3.0
_ERROR_BODY_LIMIT = 64 * 1024
_MODELS_LIMIT = 4 * 2**20
_COMMON_HEADERS = {
    "User-Agent": f"groq-magic httpx/{httpx.__version__}",
    "Accept-Encoding": "identity",  # gzip holds tokens back, up to a second
}
_JSON = "application/json"
_HEADERS = {
    "GET": {**_COMMON_HEADERS, "Accept": _JSON},
    "POST": {**_COMMON_HEADERS, "Accept": "text/event-stream", "Content-Type": _JSON},
}
_SHORTEST_SECRET = 16
"""A shorter key is a word, for a server that wants any: it may stand in answers and their JSON."""
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and the key that goes with them and is in no repr.

    ``base_url`` reaches up to and without ``/chat/completions``.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, base_url: str | None = None) -> Endpoint:
        """``base_url``, else ``GROQ_BASE_URL``, else Groq; the kept key, else ``GROQ_API_KEY``.

        Both forms of base URL work: ``https://api.groq.com`` as the official SDK has
        it, and ``https://api.groq.com/openai/v1`` as OpenAI-style clients do. Raises
        `MissingKeyError`, unless the server is on this machine, and `InputError` for
        a URL that is none and for one that would send the key unencrypted, unless
        ``GROQ_SEND_KEY_UNENCRYPTED=yes`` says that it may.
        """
        base = _configured(base_url)
        if not (base.is_safe or os.environ.get(_UNENCRYPTED) == "yes"):
            raise InputError(
                f"{base.url} would get the key unencrypted. Use https://, "
                f"or set {_UNENCRYPTED}=yes if you mean it."
            )
        key = _key()
        if not (key or base.is_loopback):
            raise MissingKeyError
        return cls(base.url, key)

    def __reduce__(self) -> tuple[type[Endpoint], tuple[str]]:
        return Endpoint, (self.base_url,)  # a pickle is a file, and no file has the key

    def without_key(self, text: str) -> str:
        """What the server said, less the key, should it have said that, plain or in JSON."""
        key = self.api_key
        if key is None or len(key) < _SHORTEST_SECRET:
            return text
        if "\\" in text:
            return _escaped(key).sub("[API key]", text)
        return text.replace(key, "[API key]")

    @property
    def host(self) -> str:
        """The server's name, as errors call it."""
        return httpx.URL(self.base_url).host

    @property
    def headers(self) -> dict[str, str]:
        """The header that carries the key, where there is one."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


_kept_key: str | None = None


def keep_key(text: str) -> None:
    """Use this key from now on, before that of ``GROQ_API_KEY``; in this process alone.

    It is not put into the environment, which child processes inherit. Raises `InputError`
    for what is no key; the one so far stays then.
    """
    global _kept_key  # noqa: PLW0603  # one key per process, as the environment has it
    if not text.strip():
        raise InputError(
            "No key was given; nothing has changed. Keys: https://console.groq.com/keys."
        )
    if not _is_key(text.strip()):
        raise InputError("That has characters that no key has; nothing has changed. Try again.")
    _kept_key = text.strip()


def key_source() -> str:
    """Where the key comes from, in words without any part of it; empty where there is none."""
    if _kept_key:
        return "kept in memory by %groq login"
    return "found in GROQ_API_KEY" if os.environ.get("GROQ_API_KEY", "").strip() else ""


def configured_url(base_url: str | None = None) -> str:
    """Where requests go, key or no key; as `Endpoint.from_environment` has it."""
    return _configured(base_url).url


_PROXY_SETTINGS = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_NETWORK_SETTINGS = (
    *_PROXY_SETTINGS,
    *map(str.lower, _PROXY_SETTINGS),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


def network_settings() -> tuple[str | None, ...]:
    """What the environment says of proxies and certificates, which a `Client` keeps to."""
    return tuple(map(os.environ.get, _NETWORK_SETTINGS))


class Client:
    """A pool of connections, shared by all answers of a process.

    ``timeout`` is the longest silence of the server in seconds, ``max_retries`` how
    often a request that failed in passing is sent again. Raises `InputError` for others.
    """

    def __init__(
        self,
        *,
        timeout: float = 60.0,
        max_retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if isinstance(timeout, bool) or not (isinstance(timeout, int | float) and timeout > 0):
            raise InputError(f"timeout must be a number of seconds above 0, not {timeout!r}.")
        if not (type(max_retries) is int and max_retries >= 0):
            raise InputError(f"max_retries must be a whole number from 0, not {max_retries!r}.")
        self._timeout = httpx.Timeout(timeout, connect=5.0, pool=None)
        self._max_retries = max_retries
        self._transport = transport

    async def stream(self, endpoint: Endpoint, body: Mapping[str, Any]) -> AsyncGenerator[Item]:
        """Send ``body``; yield what comes, `Responded` first, until the answer's end.

        Behind a `Waiting` the request is sent again, when the caller asks for the next
        item: it is the caller who waits. That is never so once a chunk has come: no
        token comes twice. Raises a `GroqError` for whatever goes wrong.
        """
        for attempt in range(1, self._max_retries + 2):
            begun = False
            try:
                async with aclosing(self._attempt(endpoint, body)) as items:
                    async for item in items:
                        begun = begun or isinstance(item, Chunk)
                        yield item
            except NotFoundError as error:
                await self._suggest_models(error, endpoint, str(body.get("model")))
                raise
            except (APIConnectionError, APIStatusError) as error:
                seconds = _retry_delay(error, attempt)
                if begun or seconds is None or attempt > self._max_retries:
                    raise
                waiting = Waiting(_reason(error), seconds, attempt + 1, self._max_retries + 1)
            else:
                return
            yield waiting

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        # Built at the first request, on the thread that makes it: the TLS context takes 40 ms.
        try:
            return self._built()
        except (ImportError, OSError) as error:  # no such file, or no package for SOCKS
            raise SetUpError(
                f"Cannot connect as the environment says: {error}. "
                "Check SSL_CERT_FILE, HTTPS_PROXY and ALL_PROXY."
            ) from _without_frames(error)
        except (ValueError, httpx.InvalidURL):
            pass  # which may say the proxy's password: it is not kept behind our error
        raise SetUpError(
            "What the environment says of proxies cannot be followed. "
            "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."
        )

    def _built(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self._transport,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=300.0),
            # A proxy from the environment never sits between us and this machine.
            mounts=None if self._transport else dict.fromkeys(_PAST_PROXIES, None),
            follow_redirects=False,
        )

    def _request(self, method: str, path: str, endpoint: Endpoint, content: str) -> httpx.Request:
        # Made here, so that no frame that an error comes through holds the key: tracebacks with
        # local variables are printed, logged and sent around.
        return httpx.Request(
            method,
            _parsed(endpoint.base_url + path),
            headers={**_HEADERS[method], **endpoint.headers},
            content=content.encode(),
            extensions={"timeout": self._timeout.as_dict()},  # httpx 0.27.0 adds none itself
        )

    async def _attempt(self, endpoint: Endpoint, body: Mapping[str, Any]) -> AsyncGenerator[Item]:
        with _as_our_errors(endpoint):
            request = self._request("POST", "/chat/completions", endpoint, _to_json(body))
            async with aclosing(await _Opening().response(self._http, request)) as response:
                yield Responded(response.headers.get("x-request-id"), response.headers)
                if response.status_code != 200:
                    raise _status_error(response, await _start_of_body(response), endpoint)
                if _is_document(response):
                    raise _not_a_stream(response, await _start_of_body(response), endpoint)
                reader = BodyReader(endpoint.without_key)
                async for piece in _pieces(response):  # read to its end, the connection
                    for item in reader.feed(piece):  # can be used again
                        yield item
                for item in reader.close():
                    yield item

    async def _suggest_models(self, error: NotFoundError, endpoint: Endpoint, model: str) -> None:
        """Name the models whose names are near, if the server tells what it has."""
        if error.code != "model_not_found":
            return
        with suppress(GroqError):
            names = [known.id for known in await self.models(endpoint)]
            near = get_close_matches(model, names, cutoff=0.4)
            if near:
                error.next_step = f"Near names, for -m: {', '.join(near)}."

    async def models(self, endpoint: Endpoint, *, within: float = _MODELS_SECONDS) -> list[Model]:
        """The models that the server has, which are then known to this process.

        Raises a `GroqError`, and that after ``within`` seconds at the latest.
        """
        try:
            async with asyncio.timeout(within):
                body = await self._models_body(endpoint)
        except TimeoutError:
            raise APITimeoutError(
                f"{endpoint.host} did not list its models in {within:g} s. Try again."
            ) from None
        models = parse_models(_json_object(body))
        known_models.remember(endpoint.base_url, models)
        return models

    async def _models_body(self, endpoint: Endpoint) -> str:
        with _as_our_errors(endpoint):
            request = self._request("GET", "/models", endpoint, "")
            async with aclosing(await _Opening().response(self._http, request)) as response:
                body = await _start_of_body(response, _MODELS_LIMIT)
        if response.status_code != 200:
            raise _status_error(response, body, endpoint)
        return endpoint.without_key(body)


_SOCKS = "setup_socks5_connection"
_CAN_BE_CANCELLED = {
    "connect_tcp.failed",
    f"{_SOCKS}.started",
    "start_tls.started",
    "send_request_headers.started",
}


class _Opening:
    """A request on its way to its response, which leaves no connection open when cancelled.

    By themselves anyio and httpcore do, when the cancellation comes as a connection is
    made, within its handshake of TLS or SOCKS, or before its first request. So a connection
    is let come about, and closed then. https://www.encode.io/httpcore/extensions/#trace tells
    how far it is.
    """

    _tasks: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(self) -> None:
        self._can_cancel = True
        self._is_abandoned = False
        self._connection: Any = None
        self._response: asyncio.Future[httpx.Response] = asyncio.Future()

    async def response(self, http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        """Send the request; return the response, its body unread."""
        request.extensions = {**request.extensions, "trace": self._trace}
        sending = self._started(self._send(http, request))
        try:
            return await self._response
        except asyncio.CancelledError:
            self._is_abandoned = True
            if self._can_cancel:
                sending.cancel()
            if not (self._response.cancelled() or self._response.exception()):  # it came meanwhile
                self._started(self._response.result().aclose())
            raise

    def _started(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, http: httpx.AsyncClient, request: httpx.Request) -> None:
        try:
            response = await http.send(request, stream=True)
        except Exception as error:
            if not self._response.cancelled():
                self._response.set_exception(error)
            return
        if self._response.cancelled():
            self._started(response.aclose())  # by a task that nobody cancels
        else:
            self._response.set_result(response)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        step = event.split(".", 1)[1]  # without "connection" or "http11"
        if step in ("connect_tcp.started", f"{_SOCKS}.complete", "start_tls.complete"):
            self._can_cancel = False
        elif step in _CAN_BE_CANCELLED:
            self._can_cancel = True
        if step == "send_request_headers.started" and info["request"].method != b"CONNECT":
            info["request"].extensions.pop("trace")  # the rest need not be told
        if step == "connect_tcp.complete":
            self._connection = info["return_value"]
            _note_socket(self._connection.get_extra_info("socket"))
        if step in (f"{_SOCKS}.failed", "start_tls.failed") or (
            step == "connect_tcp.complete" and self._is_abandoned
        ):
            await self._connection.aclose()
        if self._is_abandoned and step in ("connect_tcp.complete", "send_request_headers.started"):
            raise asyncio.CancelledError


_sockets: dict[int, os.stat_result] = {}
"""What is, or was, the socket of a connection, by its file descriptor."""


def _note_socket(socket: Any) -> None:
    if hasattr(os, "register_at_fork"):  # elsewhere its number is no file descriptor
        _sockets[socket.fileno()] = os.fstat(socket.fileno())


def _leave_sockets() -> None:
    """In a forked child: let go of its copies, which would hold the connections open.

    Something else is put in their places: who closes those later, closes nothing of others.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, noted in _sockets.items():
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), noted):  # and not another's by now
                os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
    _sockets.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_sockets)


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes; to decode what nobody encoded costs a tenth of the time."""
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    return aiter(cast("AsyncIterable[bytes]", response.stream))


@contextmanager
def _as_our_errors(endpoint: Endpoint) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, OSError) as error:  # such as ssl.SSLError in mid-stream
        raise _our_error(error, endpoint.host) from _without_frames(error)


def _without_frames(error: BaseException) -> BaseException:
    """The error without the frames that it came through, which hold the request with its key."""
    error.__traceback__ = None
    for behind in (error.__cause__, error.__context__):
        if behind is not None and behind.__traceback__ is not None:
            _without_frames(behind)
    return error


def _our_error(error: Exception, host: str) -> APIConnectionError:
    match error:
        case httpx.ConnectTimeout():
            return APITimeoutError(f"{host} did not answer in 5 s. Check {_what_leads_there()}.")
        case httpx.TimeoutException():
            return APITimeoutError(f"{host} fell silent. Run the cell again.")
        case httpx.ProxyError():
            return _proxy_error(str(error), host)
        case httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _certificate_error(str(error), host)
        case httpx.ConnectError():
            return APIConnectionError(
                f"Could not reach {host} ({error}). Check {_what_leads_there()}."
            )
    return APIConnectionError(f"The connection to {host} broke. Run the cell again.")


def _what_leads_there() -> str:
    proxies = getproxies().keys() & {"https", "http", "all"}
    return f"the network{', HTTPS_PROXY' if proxies else ''} and GROQ_BASE_URL"


def _proxy_error(said: str, host: str) -> APIConnectionError:
    if said.startswith("407"):
        return SetUpError(f"The proxy does not know you. {PROXY_LOGIN}")
    said = f"HTTP {said[:3]}" if said[:3].isdigit() else said  # whatever a proxy says there
    return APIConnectionError(
        f"The proxy made no connection to {host} ({said}). Check HTTPS_PROXY and NO_PROXY."
    )


_CLOCK = "Check this machine's clock, or tell the server's owner."
_CERTIFICATE_FAULTS = {  # by what OpenSSL says
    "has expired": f"has expired. {_CLOCK}",
    "not yet valid": f"is not valid yet. {_CLOCK}",
    "mismatch": "is for another name. Check GROQ_BASE_URL.",
    "": "is not trusted. Set SSL_CERT_FILE to the file of the authority that signed it.",
}


def _certificate_error(said: str, host: str) -> CertificateError:
    fault = next(words for name, words in _CERTIFICATE_FAULTS.items() if name in said)
    return CertificateError(f"The certificate of {host} {fault}")


async def _start_of_body(response: httpx.Response, limit: int = _ERROR_BODY_LIMIT) -> str:
    body = bytearray()
    try:
        async for data in response.aiter_bytes():
            body += data
            if len(body) >= limit:
                break
    except (httpx.HTTPError, OSError):
        if response.status_code == 200:
            raise
        # Otherwise the status says what is wrong, however little comes behind it.
    return body[:limit].decode("utf-8", "replace")


_DOCUMENTS = {"application/json", "application/problem+json", "text/html"}


def _is_document(response: httpx.Response) -> bool:
    kind = _kind(response)
    # Some servers stream as plain text; but no stream says how long it will be.
    return kind in _DOCUMENTS or (kind == "text/plain" and "content-length" in response.headers)


def _kind(response: httpx.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def _not_a_stream(response: httpx.Response, body: str, endpoint: Endpoint) -> GroqError:
    wire = _json_object(endpoint.without_key(body))
    if wire.get("error"):
        return in_stream_error(wire)
    return IncompleteStreamError(
        f"The server sent {_kind(response)}, not a stream. Check GROQ_BASE_URL."
    )


def _status_error(response: httpx.Response, body: str, endpoint: Endpoint) -> APIStatusError:
    detail = _json_object(endpoint.without_key(body)).get("error") or {}
    if not isinstance(detail, dict):
        detail = {"message": str(detail)}
    reason = endpoint.without_key(response.reason_phrase) or "The server gave no reason"
    said = str(detail.get("message") or reason)
    return status_error_class(response.status_code)(
        said,
        detail,
        status_code=response.status_code,
        request_id=response.headers.get("x-request-id"),
        retry_after=_retry_after(response.headers, said),
        should_retry=_should_retry(response),
    )


def _json_object(body: str) -> dict[str, Any]:
    try:
        wire = json.loads(body)
    except (ValueError, RecursionError):  # an HTML page, or nothing, or brackets without end
        return {}
    return wire if isinstance(wire, dict) else {}


def _should_retry(response: httpx.Response) -> bool:
    said = response.headers.get("x-should-retry")
    if said in ("true", "false"):
        return bool(said == "true")
    return bool(response.status_code in _RETRIED or response.status_code >= 500)


def _retry_after(headers: httpx.Headers, message: str) -> float | None:
    """Seconds, from ``retry-after-ms``, ``retry-after`` (a number or a date), or the message."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    said = headers.get("retry-after", "")
    in_words = re.search(r"try again in ([0-9.a-zµ]+[a-z])", message)
    ways = (
        milliseconds and milliseconds / 1000,
        _number(said),
        _seconds_to(said),
        parse_duration(in_words[1]) if in_words else None,
    )
    return next((max(seconds, 0.0) for seconds in ways if seconds is not None), None)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _seconds_to(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time()
    except (ValueError, OverflowError):
        return None


def _retry_delay(error: APIConnectionError | APIStatusError, attempt: int) -> float | None:
    """Seconds to wait before the next attempt; None where another one is of no use."""
    said = None
    if isinstance(error, CertificateError | IncompleteStreamError | SetUpError):
        return None
    if isinstance(error, APIStatusError):
        if not error.should_retry:
            return None
        said = error.retry_after
    if not said:  # not even those who say "at once" mean all at once
        jitter = random.uniform(0.75, 1.0)  # noqa: S311  # so that clients do not come in step
        return float(min(0.5 * 2 ** (attempt - 1), 8.0) * jitter)
    return said if said <= _LONGEST_WAIT else None


def _reason(error: APIConnectionError | APIStatusError) -> str:
    if isinstance(error, APIStatusError):
        return "rate limit" if error.status_code == 429 else f"HTTP {error.status_code}"
    return "no answer" if isinstance(error, APITimeoutError) else "no connection"


@lru_cache(maxsize=32)  # parsed for every request, URLs would cost a tenth of its own time
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


class _BaseUrl(NamedTuple):
    url: str
    is_loopback: bool
    is_safe: bool
    """Whether nobody on the way can read what is sent there."""


def _configured(base_url: str | None) -> _BaseUrl:
    if not isinstance(base_url, str | None):
        raise InputError(f"base_url must be a URL, not {base_url!r}.")
    return _base_url(base_url or os.environ.get("GROQ_BASE_URL") or GROQ_URL)


@lru_cache(maxsize=32)
def _base_url(text: str) -> _BaseUrl:
    try:
        url = httpx.URL(text.strip())
        host = url.host
        url.raw_host.decode().encode("idna")  # as the resolver does
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InputError(f"GROQ_BASE_URL is not a URL: {error}.") from None
    if url.scheme not in ("http", "https") or not host:
        raise InputError("GROQ_BASE_URL must begin with https:// and name a host.")
    if url.userinfo:
        raise InputError("GROQ_BASE_URL holds a user name or password. Take it out.")
    path = url.path.rstrip("/") or "/openai/v1"
    whole = str(url.copy_with(path=path, query=None, fragment=None))
    is_loopback = host in _LOOPBACK
    return _BaseUrl(whole, is_loopback, is_loopback or url.scheme == "https")


def _key() -> str | None:
    if _kept_key:
        return _kept_key
    key = os.environ.get("GROQ_API_KEY", "").strip()
    if not _is_key(key):
        del key  # no frame that the error comes through holds it
        # Said here, before a library says it together with the key.
        raise InputError("GROQ_API_KEY has characters that no key has. Set it again.")
    return key or None


@lru_cache(maxsize=8)
def _escaped(key: str) -> re.Pattern[str]:
    r"""The key as JSON may have it: ``/`` as ``\/``, any character as ``\u`` and its number."""
    return re.compile("".join(map(_escaped_character, key)))


def _escaped_character(character: str) -> str:
    backslash = r"\\?" if character in '/"\\' else ""  # before a letter it makes another one
    return rf"(?:{backslash}{re.escape(character)}|\\u00(?i:{ord(character):02x}))"


def _is_key(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
