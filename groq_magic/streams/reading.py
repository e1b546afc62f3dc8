"""How a source of another library is read and closed.

A synchronous source may block, so it is read on a thread of its own. An asynchronous one may hold
a connection that belongs to the event loop that made it, so it is read in the caller's loop if
that runs, else in ours.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from inspect import isawaitable
from typing import Any

from groq_magic.errors import GroqError, StreamError
from groq_magic.runtime import runtime
from groq_magic.runtime.waiters import Waiters
from groq_magic.wire.protocol import Chunk

from .adapters import Adapter

_AHEAD = 1000  # items that may be read before they are taken


class Reading:
    """Reads an iterable on a thread of its own; `chunks` takes what came, on our loop."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._adapter = Adapter()
        self._chunks: deque[Chunk] = deque()
        self._error: BaseException | None = None
        self._is_over = False
        self._is_closed = False
        self._arrived = Waiters()
        self._taken = Waiters()

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """Read the source to its end. Raises a `GroqError` if it fails."""
        self._begin()
        while self._chunks or not self._is_over:
            await self._arrived.woken(lambda: bool(self._chunks) or self._is_over)
            for _ in range(len(self._chunks)):
                yield self._chunks.popleft()
            self._taken.wake()
            await asyncio.sleep(0)  # the answers of fast sources take turns
        if self._error is not None:
            raise _one_line(self._error)
        yield self._adapter.end()

    def close(self) -> None:
        """Close the source unless all of it was read; it never blocks."""
        if not (self._is_over or self._is_closed):
            self._is_closed = True
            self._taken.wake()
            _shut_down(self._source)
            self._close()

    def _begin(self) -> None:
        runtime.loop.task(asyncio.to_thread(self._read))

    def _read(self) -> None:
        error = None
        try:
            for item in self._source:
                if self._is_closed:  # it could not be closed while it was waiting
                    break
                self._take(item)
                self._taken.wait(self._may_read)
        except BaseException as caught:  # whatever it is ends the answer, and not this thread
            error = caught
        if error or self._is_closed:
            _close(self._source)
        self._end(error)

    def _close(self) -> None:
        runtime.loop.task(asyncio.to_thread(_close, self._source))

    def _take(self, item: object) -> None:
        self._chunks.append(self._adapter.chunk(item))
        self._arrived.wake()

    def _may_read(self) -> bool:
        return self._is_closed or len(self._chunks) < _AHEAD

    def _end(self, error: BaseException | None) -> None:
        self._error, self._is_over = error, True
        self._arrived.wake()


class LoopReading(Reading):
    """Reads an asynchronous iterable in the event loop ``loop``, or in ours if that is None."""

    def __init__(self, source: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        super().__init__(source)
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None

    def _begin(self) -> None:
        self._there(self._read_there())

    async def _read_there(self) -> None:
        self._task = asyncio.current_task()
        error = None
        try:
            async for item in self._source:
                self._take(item)
                await self._taken.woken(self._may_read)
        except asyncio.CancelledError:
            self._end(StreamError("The event loop that read the stream has ended."))
            raise
        except BaseException as caught:
            error = caught
            await _aclose(self._source)
        self._end(error)

    def _close(self) -> None:
        self._there(self._stop())

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await _aclose(self._source)

    def _there(self, coroutine: Coroutine[Any, Any, None]) -> None:
        loop = self._loop or asyncio.get_running_loop()
        try:
            asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError as error:  # that loop is closed
            coroutine.close()
            self._end(error)


def _one_line(error: BaseException) -> GroqError:
    if isinstance(error, GroqError):
        return error
    failed = StreamError(f"{type(error).__name__}: {' '.join(str(error).split())[:1000]}")
    failed.__cause__ = error
    return failed


# ---- Closing: the source may be an iterator of any kind, or hold a response ----


def _parts(source: Any) -> list[Any]:
    """The source and what it may hold: a stream (LiteLLM), a generator (chatlas), a response."""
    parts = [source]
    for name in ("completion_stream", "_generator", "response"):
        inner = (getattr(part, name, None) for part in parts)
        parts += [part for part in inner if part is not None]
    return parts


def _shut_down(source: Any) -> None:
    """End the connection, which wakes who waits for it in another thread; to close it does not.

    https://www.python-httpx.org/advanced/extensions/#network_stream
    """
    for response in _parts(source):
        with suppress(Exception):
            if response.http_version != "HTTP/2":  # whose connection serves others, too
                stream = response.extensions["network_stream"]
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _close(source: Any) -> None:
    for part in _parts(source):
        with suppress(Exception):  # such as a generator that waits: it is closed when it goes on
            part.close()


async def _aclose(source: Any) -> None:
    for part in _parts(source):
        for name in ("aclose", "close"):
            with suppress(Exception):
                closing = getattr(part, name)()
                if isawaitable(closing):
                    await closing
