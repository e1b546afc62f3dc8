"""The thread with the asyncio loop on which all answers of a process arrive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from time import monotonic, sleep
from typing import Any

import anyio
import sniffio

from groq_magic.errors import SetUpError

from .threads import DaemonThreads
from .waiters import Waiters

_LONGEST_HOLD = 30.0  # seconds
_LOADED_LATE = (
    "httpcore",
    "h11",
    "certifi",
    "sniffio",
    "anyio._backends._asyncio",
    "encodings.idna",
)
"""The modules that httpx imports at its first request."""


Start = Callable[[], Coroutine[Any, Any, None]]
"""Makes the coroutine of a job."""


class Job:
    """A coroutine that runs on the loop and is controlled from other threads.

    No method takes a lock that the loop needs: an interrupt could leave that lock held.
    """

    def __init__(self, loop: LoopThread, coroutine: Start) -> None:
        self.is_done = False
        self.error: BaseException | None = None
        self._loop = loop
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self._scope: anyio.CancelScope | None = None
        self._ending = Waiters()

    def start(self) -> Job:
        """Run it as a task in a copy of the caller's context variables; later calls do nothing.

        In those variables ipykernel finds the cell that output belongs to.
        """
        self._loop.call(self._begin)
        return self

    def cancel(self) -> None:
        """Cancel it soon, from any thread."""
        self._loop.call(self.cancel_here)

    def cancel_here(self, but: asyncio.Task[Any] | None = None) -> None:
        """Cancel it, on the loop's thread, unless it is the task ``but``.

        anyio's scope does it: httpcore protects the closing of a connection from a scope, but not
        from the task's own ``cancel``, which would leave the connection open.
        """
        if self._task is None or self._task is but:
            return
        if self._scope is not None:
            self._scope.cancel()
        else:
            self._task.cancel()  # it has not begun

    def wait(self, timeout: float | None = None) -> bool:
        """Wait in another thread until it ends; return whether it has ended."""
        return self._ending.wait(lambda: self.is_done, timeout)

    def _begin(self) -> None:
        if self._task is None:
            self._task = self._loop.task(self._run())
            self._loop.jobs.add(self)
            self._task.add_done_callback(self._end)

    async def _run(self) -> None:
        sniffio.current_async_library_cvar.set("asyncio")  # the caller's may be another
        with anyio.CancelScope() as self._scope:
            await self._coroutine()

    def _end(self, task: asyncio.Task[None]) -> None:
        self.error = None if task.cancelled() else task.exception()
        self.is_done = True
        self._loop.jobs.discard(self)
        self._ending.wake()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class LoopThread:
    """A daemon thread with an asyncio loop; it starts with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._holding: set[int] = set()  # threads; 0 is the loop's own before it begins
        self._is_forking = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.jobs: set[Job] = set()
        """The jobs that run; only the loop's thread changes it."""

    def job(self, coroutine: Start) -> Job:
        """A job for this loop, not yet started."""
        return Job(self, coroutine)

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` soon on the loop's thread."""
        self._running_loop().call_soon_threadsafe(function, *args)

    def task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task, on the loop's thread, and keep it: asyncio keeps no task alive."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Cancel all jobs, so that every connection is closed, and wait up to a second."""
        if self.jobs:
            self.job(self._cancel_all).start().wait(1.0)

    def end(self) -> None:
        """`close` it and end its thread; nothing runs on it afterwards."""
        self.close()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def _cancel_all(self) -> None:
        mine = asyncio.current_task()
        for job in list(self.jobs):  # tasks that libraries started are theirs to cancel
            job.cancel_here(but=mine)
        await asyncio.gather(*asyncio.all_tasks() - {mine}, return_exceptions=True)

    def until_forkable(self) -> None:
        """Let no `without_forks` begin, and wait up to 30 s until one that runs has ended."""
        self._is_forking = True
        give_up_at = monotonic() + _LONGEST_HOLD
        while self._is_held and monotonic() < give_up_at:
            sleep(0.002)

    def forked(self) -> None:
        """Let `without_forks` begin again."""
        self._is_forking = False

    @property
    def _is_held(self) -> bool:
        return bool(self._holding)

    @contextmanager
    def without_forks(self) -> Iterator[None]:
        """Hold forks back, on any thread: what is half done would stay so in a child."""
        give_up_at, mine = monotonic() + _LONGEST_HOLD, threading.get_ident()
        self._holding.add(mine)
        while self._is_forking and monotonic() < give_up_at:  # the fork goes first
            self._holding.discard(mine)
            sleep(0.001)
            self._holding.add(mine)
        try:
            yield
        finally:
            self._holding.discard(mine)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is not None:  # so the loop's own thread never waits for the lock
            return self._loop
        with self._lock:
            if self._loop is None:
                self._loop = self._started()
            return self._loop

    def _started(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(DaemonThreads())
        self._holding.add(0)
        try:
            threading.Thread(target=self._run, args=(loop,), name="groq_magic", daemon=True).start()
        except RuntimeError as error:
            self._holding.discard(0)
            loop.close()
            raise SetUpError(f"No answer can come: {error}. End other threads first.") from None
        except BaseException:
            loop.call_soon_threadsafe(loop.stop)  # after an interrupt the thread may run
            raise
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with self.without_forks():
            self._holding.discard(0)
            for name in _LOADED_LATE:
                with suppress(ImportError):
                    import_module(name)
        try:
            loop.run_forever()
        finally:
            loop.close()
