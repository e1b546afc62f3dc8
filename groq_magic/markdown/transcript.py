"""The blocks of a growing text, and the operations that a view needs to show them."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from markdown_it.token import Token

from .math import limit_formulas
from .open_blocks import Block, OpenBlock, settled_part
from .parser import Environment

Operation = tuple[str | int, ...]
"""The name of an operation and its arguments, ready for JSON; see `Transcript`."""


class Transcript:
    """Settled blocks, then the open block if there is one, then the tail.

    A change is recorded as an operation, which has the name of its method here. A view has the same
    methods, which take HTML: a block is one element.
    """

    def __init__(self) -> None:
        self.opened: OpenBlock | None = None
        self._settled: list[Block] = []
        self._tail: tuple[str, str] = ("", "")
        self._operations: list[Operation] = []

    @property
    def html(self) -> str:
        """The HTML of all."""
        html, part = self._tail
        opened = self.opened.html(part) if self.opened else ""
        settled = (block.html() for block in self._settled)
        return limit_formulas("".join((*settled, opened, html)))

    def snapshot(self) -> dict[str, Any]:
        """The HTML of each settled block, of the open one ("" if there is none), and the tail."""
        html, part = self._tail
        return {
            "settled": [block.html() for block in self._settled],
            "open": self.opened.html() if self.opened else "",
            "tail": html,
            "part": part,
        }

    def take_operations(self) -> list[Operation]:
        """The operations since the last call."""
        taken, self._operations = self._operations, []
        return taken

    def settle(self, tokens: list[Token], env: Environment) -> None:
        """Append a settled block of one part; ``("settle", html)``."""
        self._settled.append(Block([settled_part(tokens, env)]))
        self._operations.append(("settle", self._settled[-1].html()))

    def open(self, block: OpenBlock) -> None:
        """Show this block as the open one; ``("open", html)``."""
        self.opened = block
        self._operations.append(("open", block.html()))

    def push(self, parts: Sequence[list[Token]], env: Environment) -> None:
        """Append settled parts to the open block; ``("push", html)``.

        Items go to the list, rows to the ``tbody`` of a table, text to the ``code`` of a fence.
        """
        if self.opened and parts:
            new = [settled_part(tokens, env) for tokens in parts]
            self.opened.parts += new
            self._operations.append(("push", self.opened.html_of(new)))

    def close(self) -> None:
        """Settle the open block; ``("close",)``."""
        if self.opened:
            self._settled.append(self.opened)
            self.opened = None
            self._operations.append(("close",))

    def render_again(self, changed: AbstractSet[str], env: Environment) -> None:
        """Render what looked up one of these link labels again; ``("replace", index, html)``."""
        for index, block in enumerate(self._settled):
            if block.render_again(changed, env):
                self._operations.append(("replace", index, block.html()))
        if self.opened and self.opened.render_again(changed, env):
            self.open(self.opened)

    def tail(self, html: str, part: str) -> None:
        """Show ``part`` in the open block and ``html`` after all; ``("tail", html, part)``.

        This is the last operation of a flush; a view drops the old tail before the first one.
        """
        if self._operations or (html, part) != self._tail:
            self._tail = html, part
            self._operations.append(("tail", html, part))
