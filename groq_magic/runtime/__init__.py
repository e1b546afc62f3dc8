"""All that a process has: the loop thread, and one object of each type that a module owns."""

from __future__ import annotations

import atexit
import os
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from .loop import LoopThread

T = TypeVar("T")


@runtime_checkable
class Forks(Protocol):
    """An owned object that changes in the child of a fork."""

    def after_fork(self) -> None:
        """Drop what only the parent can use."""


class Runtime:
    """The state of a process. No other module has a variable that changes."""

    def __init__(self) -> None:
        self.loop = LoopThread()
        self._owned: dict[type[Any], object] = {}

    def own(self, kind: type[T]) -> T:
        """The process's only object of the type ``kind``; the first call builds it.

        >>> class Seen(list): "What this process has seen."
        >>> runtime.own(Seen).append("a")
        >>> runtime.own(Seen)
        ['a']
        """
        if kind not in self._owned:
            self._owned.setdefault(kind, kind())  # another thread may be first
        return cast("T", self._owned[kind])

    def reset(self) -> None:
        """Stop all answers and forget everything, as a test may want."""
        self.loop.end()
        self.loop = LoopThread()
        self._owned.clear()

    def before_fork(self) -> None:
        """Let no fork come while the loop's thread imports modules: in the child they stay half."""
        self.loop.until_forkable()

    def after_fork(self) -> None:
        """Start anew in the child, which has neither the thread nor its connections."""
        self.loop = LoopThread()
        for owned in list(self._owned.values()):
            if isinstance(owned, Forks):
                owned.after_fork()

    def close(self) -> None:
        """Close all connections; the interpreter calls it at its exit."""
        self.loop.close()


runtime = Runtime()
atexit.register(runtime.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=runtime.before_fork, after_in_child=runtime.after_fork)
