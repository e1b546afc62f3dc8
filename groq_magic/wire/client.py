"""One POST to an async iterator of chunks; sends a request again where that can help."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import anyio
import httpx

from groq_magic.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    GroqError,
    IncompleteStreamError,
    InputError,
    NotFoundError,
    SetUpError,
)
from groq_magic.runtime import runtime

from .body import body_of
from .connect import Connect
from .endpoint import Endpoint, network_settings
from .failures import (
    as_our_errors,
    is_document,
    json_object,
    not_a_stream,
    reason_of,
    responded,
    retry_delay,
    status_error,
    without_frames,
)
from .models import KnownModels, Model, parse_models
from .parsing import BodyReader, parse_chunk
from .protocol import Chunk, Item, Waiting

_PAST_PROXIES = ("all://localhost", "all://127.0.0.1", "all://[::1]")
_MODELS_SECONDS = 3.0
_ERROR_BODY_LIMIT = 64 * 1024
_ERROR_BODY_SECONDS = 10.0
_IDLE_CONNECTIONS = 4
_MODELS_LIMIT = 2 * 2**20
_ANSWER_LIMIT = 8 * 2**20
_LONGEST_NEAR_NAME = 100
_NEAR_SECONDS = 1.0
_COMMON_HEADERS = {
    "User-Agent": f"groq-magic httpx/{httpx.__version__}",
    "Accept-Encoding": "identity",  # gzip holds tokens back, up to a second
}
_JSON = "application/json"
_HEADERS = {
    "GET": {**_COMMON_HEADERS, "Accept": _JSON},
    "POST": {**_COMMON_HEADERS, "Accept": "text/event-stream", "Content-Type": _JSON},
}
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Client:
    """A pool of connections, shared by the answers of a process.

    ``timeout`` is the longest silence of the server in seconds; ``max_retries`` is how often
    a request is sent again. Raises `InputError` for other values.
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
        """Send ``body``; yield `Responded`, then chunks, until the end of the answer.

        After a `Waiting` the request is sent again when the caller asks for the next item, so
        the caller does the waiting. A request is not sent again once a chunk has arrived, so
        no token arrives twice. Raises a `GroqError` for any failure.
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
                seconds = retry_delay(error, attempt)
                if begun or seconds is None or attempt > self._max_retries:
                    raise
                said = error.message if isinstance(error, APIStatusError) else ""
                attempts = attempt + 1, self._max_retries + 1
                waiting = Waiting(reason_of(error), seconds, *attempts, said)
            else:
                return
            yield waiting

    @property
    def sends_again(self) -> bool:
        """Whether it sends a request again that fails for now."""
        return self._max_retries > 0

    @property
    def _http(self) -> httpx.AsyncClient:
        # Built on the loop thread at the first request, since the TLS context takes 40 ms.
        # No cached_property: that of Python 3.11 has a lock, which a fork may copy while held.
        try:
            built: httpx.AsyncClient | None = vars(self).get("_http")
            return built or vars(self).setdefault("_http", self._built())
        except (ImportError, OSError) as error:  # a missing file, or no package for SOCKS
            raise SetUpError(
                f"The network settings of the environment do not work: {error}. "
                "Check SSL_CERT_FILE, HTTPS_PROXY and ALL_PROXY."
            ) from without_frames(error)
        except (ValueError, httpx.InvalidURL):
            pass  # the error may quote the proxy's password, so it is not kept as the cause
        raise SetUpError(
            "The proxy settings of the environment do not work. "
            "Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."
        )

    def _built(self) -> httpx.AsyncClient:
        limits = httpx.Limits(
            max_connections=None,
            max_keepalive_connections=_IDLE_CONNECTIONS,
            keepalive_expiry=300.0,
        )
        with runtime.loop.without_forks():  # else the child gets a half initialised OpenSSL
            return httpx.AsyncClient(
                transport=self._transport,
                limits=limits,
                # Requests to this machine never go through a proxy.
                mounts=None if self._transport else dict.fromkeys(_PAST_PROXIES, None),
                follow_redirects=False,
            )

    def _request(self, method: str, path: str, endpoint: Endpoint, content: str) -> httpx.Request:
        # The key is a local variable only here, where no error passes: tracebacks with local
        # variables are printed, logged and sent to others.
        return httpx.Request(
            method,
            _parsed(endpoint.base_url + path),
            headers={**_HEADERS[method], **endpoint.headers},
            content=content.encode(),
            extensions={"timeout": self._timeout.as_dict()},  # httpx 0.27.0 adds none
        )

    async def _attempt(self, endpoint: Endpoint, body: Mapping[str, Any]) -> AsyncGenerator[Item]:
        with as_our_errors(endpoint):
            request = self._request("POST", "/chat/completions", endpoint, _to_json(body))
            async with aclosing(await Connect().response(self._http, request)) as response:
                yield responded(response, endpoint)
                if response.status_code != 200:
                    raise status_error(response, await _start_of_body(response), endpoint)
                if is_document(response):
                    yield await _whole_answer(response, endpoint)
                    return
                reader = BodyReader(endpoint.without_key)
                async for piece in body_of(response):  # to its end, so that the connection
                    for item in reader.feed(piece):  # can be used again
                        yield item
                for item in reader.close():
                    yield item

    async def _suggest_models(self, error: NotFoundError, endpoint: Endpoint, model: str) -> None:
        """Add models with a similar name to the error, if the server lists its models."""
        if error.code != "model_not_found":
            return
        with suppress(GroqError):
            names = [known.id for known in await self.models(endpoint)]
            if near := await _near(model, names):
                error.next_step = f"Similar names, for -m: {', '.join(near)}."

    async def models(self, endpoint: Endpoint, *, within: float = _MODELS_SECONDS) -> list[Model]:
        """Fetch the server's models and remember them for this process.

        Raises a `GroqError` on failure, and after ``within`` seconds at the latest.
        """
        try:
            with anyio.fail_after(within):
                body = await self._models_body(endpoint)
        except TimeoutError:
            raise APITimeoutError(
                f"{endpoint.host} did not list its models in {within:g} s. Try again."
            ) from None
        models = parse_models(json_object(body))
        runtime.own(KnownModels).remember(endpoint.base_url, models)
        return models

    async def _models_body(self, endpoint: Endpoint) -> str:
        with as_our_errors(endpoint):
            request = self._request("GET", "/models", endpoint, "")
            async with aclosing(await Connect().response(self._http, request)) as response:
                body = await _start_of_body(response, _MODELS_LIMIT)
        if response.status_code != 200:
            raise status_error(response, body, endpoint)
        return endpoint.without_key(body)


async def _whole_answer(response: httpx.Response, endpoint: Endpoint) -> Chunk:
    """The answer in one chunk, from a server that does not stream it."""
    body = endpoint.without_key(await _start_of_body(response, _ANSWER_LIMIT, within=None))
    if "choices" not in json_object(body):
        raise not_a_stream(response, body, endpoint)
    return parse_chunk(body)


async def _start_of_body(
    response: httpx.Response,
    limit: int = _ERROR_BODY_LIMIT,
    within: float | None = _ERROR_BODY_SECONDS,
) -> str:
    body = bytearray()
    silence = response.request.extensions["timeout"]["read"]
    try:
        with anyio.fail_after(within and min(silence, within)):
            async for data in body_of(response):
                body += data
                if len(body) >= limit:
                    break
    except (httpx.HTTPError, OSError, IncompleteStreamError):  # TimeoutError among them
        if response.status_code == 200:
            raise
        # Any other status says by itself what is wrong.
    return body[:limit].decode("utf-8", "replace")


async def _near(model: str, names: list[str]) -> list[str]:
    """The most similar names, found within a second; other answers continue meanwhile."""
    near: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_NEAR_SECONDS):
            for name in names:
                if max(len(name), len(model)) <= _LONGEST_NEAR_NAME:  # time grows with its cube
                    near = get_close_matches(model, [*near, name], cutoff=0.4)
                    await asyncio.sleep(0)
    return near


@lru_cache(maxsize=32)  # parsing takes a tenth of a request's own time
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


class _Clients:
    """The clients of this process, by timeout, retries and network settings."""

    def __init__(self) -> None:
        self.get = lru_cache(maxsize=8)(lambda _network, **options: Client(**options))

    def after_fork(self) -> None:
        """Build new ones: connections belong to the parent."""
        self.get.cache_clear()


def client_of(timeout: float = 60.0, max_retries: int = 2) -> Client:
    """The process's client with these settings and the environment's. Raises `InputError`."""
    clients = runtime.own(_Clients)
    try:
        return clients.get(network_settings(), timeout=timeout, max_retries=max_retries)
    except TypeError:  # an argument that is not hashable is not a number
        raise InputError("timeout and max_retries must be numbers.") from None
