"""All that a process has: the loop thread, and one object of each type that a module owns."""

from __future__ import annotations

import atexit
import os
from typing import Any, TypeVar, cast

from .loop import LoopThread

T = TypeVar("T")


class Runtime:
    """The state of a process; no module has a variable that changes."""

    def __init__(self) -> None:
        self.loop = LoopThread()
        self._owned: dict[type[Any], Any] = {}
        atexit.register(self._close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork_in_parent,
                after_in_child=self._after_fork,
            )

    def own(self, kind: type[T]) -> T:
        """The process's only object of the type ``kind``; the first call builds it.

        After a fork, its method ``after_fork`` is called in the child, if it has one.

        >>> class Seen(list): "What this process has seen."
        >>> runtime.own(Seen).append("a")
        >>> runtime.own(Seen)
        ['a']
        """
        if kind not in self._owned:
            self._owned.setdefault(kind, kind())  # another thread may be first
        return cast("T", self._owned[kind])

    def reset(self) -> None:
        """Stop all answers and forget everything; for tests."""
        self.loop.end()
        self.loop = LoopThread()
        self._owned.clear()

    def _close(self) -> None:
        self.loop.close()

    def _before_fork(self) -> None:
        self.loop.until_forkable()

    def _after_fork_in_parent(self) -> None:
        self.loop.forked()

    def _after_fork(self) -> None:
        """Start anew in the child, which has neither the thread nor its connections."""
        self.loop = LoopThread()
        for owned in list(self._owned.values()):
            if hasattr(owned, "after_fork"):
                owned.after_fork()


runtime = Runtime()
