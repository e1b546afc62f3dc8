"""The one thread with the one asyncio loop on which all answers of a process come in."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic, sleep
from typing import Any


class Background:
    """The thread with the loop; started when first needed, again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[Future[None]] = set()
        self._rests_at = 0.0

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        """Run it as a task, in a copy of the caller's context variables.

        ipykernel finds the cell that output belongs to in those variables. Cancelling
        the future cancels the task, from any thread.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())
        self._running.add(future)  # the loop itself keeps no task alive
        future.add_done_callback(self._running.discard)
        return future

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon on the loop's thread."""
        self._running_loop().call_soon_threadsafe(function, *args)

    def let_threads_run(self) -> None:
        """On the loop's thread: let those run that it has just woken, before it goes on.

        They need the interpreter, and would get it only when the loop waits for its next
        bytes, which is a third of the time that a delta takes from the server. No answer comes
        on meanwhile: the shortest sleep takes some 60 µs, and milliseconds where another
        thread computes. So it takes a tenth of the loop's time at the most.
        """
        begun = monotonic()
        if begun >= self._rests_at:
            sleep(1e-6)
            self._rests_at = 10 * monotonic() - 9 * begun

    def close(self) -> None:
        """Cancel what runs, so that every connection is closed; at interpreter exit."""
        if not self._running or self._loop is None:
            return
        for future in list(self._running):  # and not what libraries started for it, which
            future.cancel()  # is theirs to cancel: they may not have begun it yet
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_all_ended(), self._loop).result(1.0)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="groq_magic", daemon=True).start()
            return self._loop


async def _all_ended() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*tasks, return_exceptions=True)


background = Background()


def _after_fork() -> None:
    """Begin anew in the child, which has neither the thread nor its connections."""
    background.__init__()  # type: ignore[misc]  # others hold this very object


atexit.register(background.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
