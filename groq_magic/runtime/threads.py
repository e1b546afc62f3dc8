"""Threads for calls that block, such as rendering and the look-up of a host name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

_IDLE_SECONDS = 5.0

_Calls = SimpleQueue[Callable[[], None] | None]


class DaemonThreads(ThreadPoolExecutor):
    """Runs each call at once, on a daemon thread that then waits a while for the next one.

    The process waits at its exit for the threads of asyncio's default executor. And ipykernel
    keeps a socket for each thread that displays something, until ten seconds after its end
    (`IOPubThread._event_pipe`, ipykernel 7.4): if each call had a thread of its own, a few
    answers at once would use up the 1,023 sockets of ZeroMQ.
    """

    def __init__(self) -> None:
        super().__init__()
        self._idle: list[_Calls] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor.submit`."""
        future: Future[Any] = Future()

        def call() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # the caller of the future handles it
                future.set_exception(error)

        if future.set_running_or_notify_cancel():
            self._idle_thread().put(call)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # as in its base
        """End the threads that wait for a call."""
        del wait, cancel_futures
        with suppress(IndexError):
            while True:
                self._idle.pop().put(None)

    def _idle_thread(self) -> _Calls:
        with suppress(IndexError):
            return self._idle.pop()
        calls = _Calls()
        Thread(target=self._work, args=(calls,), name="groq_magic call", daemon=True).start()
        return calls

    def _work(self, calls: _Calls) -> None:
        while call := self._next(calls):
            call()
            del call  # it holds an answer
            self._idle.append(calls)

    def _next(self, calls: _Calls) -> Callable[[], None] | None:
        """The next call; None if the thread is to end."""
        with suppress(Empty):
            return calls.get(timeout=_IDLE_SECONDS)
        with suppress(ValueError):
            self._idle.remove(calls)
            return None
        return calls.get()  # one is just coming
