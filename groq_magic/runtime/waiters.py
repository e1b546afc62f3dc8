"""How threads and event loops wait for the background loop, without a lock that it needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic

_SLICE = 0.5  # seconds: on Windows no interrupt ends a wait


class Waiters:
    """Those who wait for one thing; the background loop wakes them.

    Each brings a lock of its own, which nobody else takes. So an interrupt, wherever it
    comes, leaves nothing behind that could hold the loop.
    """

    def __init__(self) -> None:
        self._wakers: list[Callable[[], object]] = []

    def wake(self) -> None:
        """Wake all who wait now; called on the background loop alone, and never blocks."""
        for _ in range(len(self._wakers)):
            with suppress(IndexError):  # who gave up meanwhile has taken its own out
                self._wakers.pop(0)()

    def wait(self, met: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait in a thread until ``met()``, at most ``timeout`` seconds; return whether it is."""
        deadline = None if timeout is None else monotonic() + timeout
        while not met():
            left = _SLICE if deadline is None else min(_SLICE, deadline - monotonic())
            if left <= 0:
                return False
            self._wait_once(met, left)
        return True

    def _wait_once(self, met: Callable[[], bool], seconds: float) -> None:
        woken = threading.Lock()
        woken.acquire()
        self._wakers.append(woken.release)
        try:
            if not met():  # it may have come before the line above
                woken.acquire(timeout=seconds)
        finally:
            self._forget(woken.release)

    async def woken(self, met: Callable[[], bool]) -> None:
        """Wait in any event loop until ``met()``."""
        loop = asyncio.get_running_loop()
        while not met():
            future = loop.create_future()
            wake = partial(_wake, loop, future)
            self._wakers.append(wake)
            try:
                if not met():
                    await future
            finally:  # a cancelled wait leaves nothing behind
                self._forget(wake)

    def _forget(self, wake: Callable[[], object]) -> None:
        with suppress(ValueError):
            self._wakers.remove(wake)


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the loop that waited was closed meanwhile
        loop.call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
