"""How threads and event loops wait for the loop thread, without a lock that it needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic

_SLICE = 0.5  # seconds; on Windows an interrupt does not end a wait


class Waiters:
    """All who wait for one event; the loop thread wakes them.

    Each waiter has its own lock, or future, so an interrupt at any line leaves no lock held
    that the loop thread needs.
    """

    def __init__(self) -> None:
        self._wakers: list[Callable[[], object]] = []

    def wake(self) -> None:
        """Wake all who wait now, on the loop thread; never blocks."""
        for _ in range(len(self._wakers)):
            with suppress(IndexError):  # a waiter may give up meanwhile
                self._wakers.pop(0)()

    def call(self, function: Callable[[], object]) -> None:
        """Call ``function`` at the next `wake`, once, where that is called."""
        self._wakers.append(function)

    def wait(self, met: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait in a thread until ``met()``, up to ``timeout`` seconds; return whether it is met."""
        deadline = None if timeout is None else monotonic() + timeout
        while not met():
            left = _SLICE if deadline is None else min(_SLICE, deadline - monotonic())
            if left <= 0:
                return False
            woken = threading.Lock()
            woken.acquire()
            with self._waker(woken.release):
                if not met():  # it may have changed before the line above
                    woken.acquire(timeout=left)
        return True

    async def woken(self, met: Callable[[], bool]) -> None:
        """Wait in any event loop until ``met()``."""
        loop = asyncio.get_running_loop()
        while not met():
            future = loop.create_future()
            with self._waker(partial(_wake, loop, future)):
                if not met():
                    await future

    @contextmanager
    def _waker(self, wake: Callable[[], object]) -> Iterator[None]:
        self._wakers.append(wake)
        try:
            yield
        finally:
            with suppress(ValueError):
                self._wakers.remove(wake)


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # that loop may be closed
        loop.call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
