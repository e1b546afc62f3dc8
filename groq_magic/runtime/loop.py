"""The one thread with the one asyncio loop on which all answers of a process come in."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from time import monotonic, sleep
from typing import Any

from groq_magic.errors import SetUpError

from .waiters import Waiters

_LONGEST_LOADING = 5.0
_LOADED_LATE = ("httpcore", "h11", "certifi", "anyio._backends._asyncio", "encodings.idna")
"""What httpx imports at its first request."""


class Job:
    """A coroutine on the loop, in the hands of other threads.

    None of what they do takes a lock that the loop takes: an interrupt could leave it held.
    """

    def __init__(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.is_done = False
        self.error: BaseException | None = None
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self._ending = Waiters()

    def start(self) -> Job:
        """Run it as a task, in a copy of the caller's context variables; once.

        ipykernel finds the cell that output belongs to in those variables.
        """
        background.call(self._begin)
        return self

    def cancel(self) -> None:
        """Cancel it soon, from any thread."""
        background.call(self.cancel_here)

    def cancel_here(self, but: asyncio.Task[Any] | None = None) -> None:
        """Cancel it, on the loop's thread, unless it is that task."""
        if self._task is not None and self._task is not but:
            self._task.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait in another thread for its end; return whether it has come."""
        return self._ending.wait(lambda: self.is_done, timeout)

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._coroutine())
            background.jobs.add(self)  # the loop itself keeps no task alive
            self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self.error = None if task.cancelled() else task.exception()
        self.is_done = True
        background.jobs.discard(self)
        self._ending.wake()


class Background:
    """The thread with the loop; started when first needed, again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_loading = False
        self.jobs: set[Job] = set()
        """Those that run; the loop's own."""

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon on the loop's thread."""
        self._running_loop().call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """Cancel what runs, so that every connection is closed; at interpreter exit."""
        if self.jobs:
            Job(self._cancel_all).start().wait(1.0)

    async def _cancel_all(self) -> None:
        mine = asyncio.current_task()
        for job in list(self.jobs):  # and not what libraries started for it, which
            job.cancel_here(but=mine)  # is theirs to cancel: they may not have begun it yet
        await asyncio.gather(*asyncio.all_tasks() - {mine}, return_exceptions=True)

    def until_loaded(self) -> None:
        """Let no fork come while modules are half imported: in the child they stay so."""
        give_up_at = monotonic() + _LONGEST_LOADING
        while self._is_loading and monotonic() < give_up_at:
            sleep(0.002)

    @contextmanager
    def without_forks(self) -> Iterator[None]:
        """On the loop's thread: what is half done meanwhile would stay so in a child."""
        self._is_loading = True
        try:
            yield
        finally:
            self._is_loading = False

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is not None:  # so the loop's own thread never waits for the lock
            return self._loop
        with self._lock:
            if self._loop is None:
                self._loop = self._started()
            return self._loop

    def _started(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(_DaemonThreads())
        self._is_loading = True
        try:
            threading.Thread(target=self._run, args=(loop,), name="groq_magic", daemon=True).start()
        except RuntimeError as error:
            self._is_loading = False
            loop.close()
            raise SetUpError(f"No answer can come: {error}. End other threads first.") from None
        except BaseException:
            loop.call_soon_threadsafe(loop.stop)  # an interrupt: its thread may be there
            raise
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with self.without_forks():
            for name in _LOADED_LATE:
                with suppress(ImportError):
                    import_module(name)
        try:
            loop.run_forever()
        finally:
            loop.close()


class _DaemonThreads(ThreadPoolExecutor):
    """Runs each call, such as the look-up of a name, on a daemon thread of its own.

    The end of the process waits for the threads of the executors that asyncio would take.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # whatever it is, it is the waiter's
                future.set_exception(error)

        if future.set_running_or_notify_cancel():
            threading.Thread(target=run, name="groq_magic call", daemon=True).start()
        return future


background = Background()


def _after_fork() -> None:
    """Begin anew in the child, which has neither the thread nor its connections."""
    background.__init__()  # type: ignore[misc]  # others hold this very object


atexit.register(background.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=background.until_loaded, after_in_child=_after_fork)
