"""A request until its response begins; leaves no connection open, in no process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import httpx

from groq_magic.runtime import runtime

_SOCKS = "setup_socks5_connection"
_CAN_BE_CANCELLED = {
    "connect_tcp.failed",
    f"{_SOCKS}.started",
    "start_tls.started",
    "send_request_headers.started",
}
_CANNOT_BE_CANCELLED = {"connect_tcp.started", f"{_SOCKS}.complete", "start_tls.complete"}
_FAILURES = {f"{_SOCKS}.failed", "start_tls.failed"}
# Where an abandoned request ends: a cancellation may have come too late for the step before.
_CHECKPOINTS = _CANNOT_BE_CANCELLED | {"connect_tcp.complete", "send_request_headers.started"}


class Connect:
    """A request until its response begins; leaves no connection open when cancelled.

    httpcore, up to 1.0.9 at least, leaks a connection that is cancelled while it connects,
    during the handshake of TLS or SOCKS, or before its first request:
    https://github.com/encode/httpcore/issues/1093. So the connection is completed and then
    closed; https://www.encode.io/httpcore/extensions/#trace reports its progress.
    """

    def __init__(self) -> None:
        self._can_cancel = True
        self._is_abandoned = False
        self._connection: Any = None
        self._sending: anyio.CancelScope | None = None
        self._response: asyncio.Future[httpx.Response] = asyncio.Future()

    async def response(self, http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        """Send the request; return the response, its body unread."""
        request.extensions = {**request.extensions, "trace": self._trace}
        runtime.loop.task(self._send(http, request))
        try:
            return await self._response
        except asyncio.CancelledError:
            self._is_abandoned = True
            if self._can_cancel and self._sending:
                self._sending.cancel()
            if not (self._response.cancelled() or self._response.exception()):
                runtime.loop.task(self._response.result().aclose())
            raise

    async def _send(self, http: httpx.AsyncClient, request: httpx.Request) -> None:
        if self._is_abandoned:
            return
        with anyio.CancelScope() as self._sending:
            try:
                response = await http.send(request, stream=True)
            except Exception as error:
                if not self._response.cancelled():
                    self._response.set_exception(error)
                return
        if self._sending.cancelled_caught:
            return
        if self._response.cancelled():
            runtime.loop.task(response.aclose())  # in a task that nobody cancels
        else:
            self._response.set_result(response)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        step = event.split(".", 1)[1]  # drops "connection" or "http11"
        if step in _CANNOT_BE_CANCELLED:
            self._can_cancel = False
        elif step in _CAN_BE_CANCELLED:
            self._can_cancel = True
        if step == "send_request_headers.started" and info["request"].method != b"CONNECT":
            info["request"].extensions.pop("trace")  # later events do not matter
        if step == "connect_tcp.complete":
            self._connection = info["return_value"]
            runtime.own(_Sockets).note(self._connection.get_extra_info("socket"))
        is_over = self._is_abandoned and step in _CHECKPOINTS
        if step in _FAILURES or (is_over and step.endswith(".complete")):
            await self._connection.aclose()
        if is_over:
            raise asyncio.CancelledError


class _Sockets(dict[int, os.stat_result]):
    """The sockets of connections, open or closed, by file descriptor."""

    def note(self, socket: Any) -> None:
        if hasattr(os, "register_at_fork"):  # on Windows the number is not a file descriptor
            self[socket.fileno()] = os.fstat(socket.fileno())

    def after_fork(self) -> None:
        """Close the child's copies, which would keep the connections open.

        ``/dev/null`` takes their numbers, so that a later close hits no descriptor of others.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor, noted in self.items():
            with suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), noted):  # the number may have a new owner
                    os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)
        self.clear()
