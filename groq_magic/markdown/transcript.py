"""The blocks of a growing text, and the operations that a view needs to show them."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from .open_blocks import Block, OpenBlock, Part
from .parser import Environment

Operation = tuple[str | int, ...]
"""The name of an operation and its arguments, see `Transcript`; ready for JSON."""


class Transcript:
    """Settled blocks, then the open block if there is one, then the tail.

    Each change is recorded as an operation. A block is exactly one HTML element.

    - ``settle(html)``: append a settled block.
    - ``open(html)``: show the open block, in place of the open one if there is one.
    - ``push(html)``: append to the open block: items to a list, rows to the ``tbody`` of a
      table, text to the ``code`` of a fence.
    - ``close()``: the open block is settled.
    - ``replace(index, html)``: replace the settled block of that number, counted from 0.
    - ``tail(html, part)``: append ``part`` to the open block and ``html`` after all blocks, in
      place of the tail before. It is the last operation of a flush.
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
        return "".join((*(block.html() for block in self._settled), opened, html))

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

    def settle(self, part: Part) -> None:
        """Append a settled block of one part."""
        self._settled.append(Block([part]))
        self._operations.append(("settle", part.tight))

    def open(self, block: OpenBlock) -> None:
        """Open a block, or show the open one as it is now."""
        self.opened = block
        self._operations.append(("open", block.html()))

    def push(self, parts: Sequence[Part]) -> None:
        """Append settled parts to the open block."""
        if self.opened and parts:
            self.opened.parts += parts
            self._operations.append(("push", self.opened.html_of(parts)))

    def close(self) -> None:
        """Settle the open block."""
        if self.opened:
            self._settled.append(self.opened)
            self.opened = None
            self._operations.append(("close",))

    def render_again(self, changed: AbstractSet[str], env: Environment) -> None:
        """Render what looked up one of these link labels again."""
        for index, block in enumerate(self._settled):
            if block.render_again(changed, env):
                self._operations.append(("replace", index, block.html()))
        if self.opened and self.opened.render_again(changed, env):
            self.open(self.opened)

    def tail(self, html: str, part: str) -> None:
        """Show this tail, if it or anything else has changed."""
        if self._operations or (html, part) != self._tail:
            self._tail = html, part
            self._operations.append(("tail", html, part))
