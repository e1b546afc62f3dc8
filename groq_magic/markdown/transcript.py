"""The blocks of a growing text, and the operations that a view needs to show them."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from markdown_it.token import Token

from .blocks import Block, settled_part
from .math import limit_formulas
from .open_blocks import OpenBlock
from .open_leaves import OpenText
from .parser import Environment

Operation = tuple[str | int, ...]
"""The name of an operation and its arguments, ready for JSON; see `Transcript`."""


class Transcript:
    """Settled blocks, then the open block if there is one, then the tail.

    An open block can have an open block as its last part, and so on inwards. A change is recorded
    as an operation, which has the name of its method here. A view has the same methods, which
    take HTML: a block is one element.
    """

    def __init__(self) -> None:
        self.opened: list[OpenBlock] = []
        """The open blocks, each in the one before it."""
        self._settled: list[Block] = []
        self._users: dict[str, list[int]] = {}  # which of them look up a link label
        self._changed: dict[int, set[str]] = {}  # those with link labels to render again
        self._tail: tuple[str, ...] = ("", "")
        self._operations: list[Operation] = []

    @property
    def html(self) -> str:
        """The HTML of all."""
        settled = (block.html() for block in self._settled)
        tail, *parts = self._tail
        return limit_formulas("".join((*settled, self._open_html(parts), tail)))

    @property
    def head(self) -> str:
        """What is parsed in the place of the open blocks' settled parts."""
        lines = [block.indent + line for block in self.opened for line in block.head]
        return "\n".join(lines) + "\n" * bool(lines and not self.is_in_line)

    @property
    def is_in_line(self) -> bool:
        """Whether what follows the settled parts is in the middle of a line."""
        return bool(self.opened) and isinstance(self.opened[-1], OpenText)

    def snapshot(self) -> dict[str, Any]:
        """All that is shown.

        The HTML of each settled block; of the open one ("" if there is none) and how many open
        ones are in it; the tail, and its parts in the open ones.
        """
        tail, *parts = self._tail
        return {
            "settled": [block.html() for block in self._settled],
            "open": self._open_html(),
            "inner": self._inner,
            "tail": tail,
            "parts": parts,
        }

    def take_operations(self) -> list[Operation]:
        """The operations since the last call."""
        taken, self._operations = self._operations, []
        return taken

    def settle(self, tokens: list[Token], env: Environment) -> None:
        """Append a settled block of one part; ``("settle", html)``."""
        self._add(Block([settled_part(tokens, env)]))
        self._operations.append(("settle", self._settled[-1].html()))

    def open(self, block: OpenBlock) -> None:
        """Append this block and show it as the innermost open one; ``("open", html)``."""
        if self.opened:
            self.opened[-1].inner = block
        self.opened.append(block)
        if block.is_element:
            self._operations.append(("open", block.html()))

    def push(self, parts: Sequence[list[Token]], env: Environment) -> None:
        """Append settled parts to the innermost open block; ``("push", html)``.

        Items go to the list, rows to the ``tbody`` of a table, text to the ``code`` of a fence.
        """
        if not parts:
            return
        block, first = self.opened[-1], len(self.opened[-1].parts)
        for tokens in parts:
            block.parts.append(block.part(tokens, env))
        self._operations.append(("push", block.html_of(block.parts[first:])))

    def close(self) -> None:
        """Settle the innermost open block; ``("close",)``."""
        block = self.opened.pop()
        if self.opened:
            self.opened[-1].parts.append(block)
        else:
            self._add(block)
        if block.is_element:
            self._operations.append(("close",))

    def reopen(self) -> None:
        """Show the open blocks anew; ``("reopen", html, inner)``, see `snapshot`."""
        if self.opened:
            self._operations.append(("reopen", self._open_html(), self._inner))

    def render_again(self, changed: AbstractSet[str], env: Environment, limit: int | None) -> None:
        """Render what looked up one of these link labels again; ``("replace", index, html)``.

        At most ``limit`` settled blocks, the others at the next calls.
        """
        for label in changed:
            for index in self._users.get(label, ()):
                self._changed.setdefault(index, set()).add(label)
        for index in list(self._changed)[:limit]:
            block = self._settled[index]
            block.render_again(self._changed.pop(index), env)
            self._note_labels(index)
            self._operations.append(("replace", index, block.html()))
        renewed = [block.render_again(changed, env) for block in self.opened if changed]
        if any(renewed):
            self.reopen()

    def _add(self, block: Block) -> None:
        self._settled.append(block)
        self._note_labels(len(self._settled) - 1)

    def _note_labels(self, index: int) -> None:
        for label in self._settled[index].labels:
            users = self._users.setdefault(label, [])
            if not users or users[-1] != index:
                users.append(index)

    def tail(self, html: str, parts: Sequence[str]) -> None:
        """Show parts in the open blocks, and ``html`` after all; ``("tail", html, *parts)``.

        The first part is that of the outermost block. This is the last operation of a flush; a
        view drops the old tail before the first one.
        """
        shown = (html, *self._parts_of_elements(parts))
        if self._operations or shown != self._tail:
            self._tail = shown
            self._operations.append(("tail", *shown))

    def _parts_of_elements(self, parts: Sequence[str]) -> list[str]:
        """The parts, where one of a block without tags is shown in the block around it."""
        found: list[str] = []
        carried = ""
        for block, part in zip(reversed(self.opened), reversed(parts), strict=True):
            carried += part
            if block.is_element:
                found.insert(0, carried)
                carried = ""
        return found or [""]

    def _open_html(self, parts: Sequence[str] = ()) -> str:
        """The HTML of the open blocks with these parts at their ends."""
        left, inside = list(parts), ""
        for block in reversed(self.opened):
            part = left.pop() if left and block.is_element else ""
            inside = block.html(inside + part)
        return inside

    @property
    def _inner(self) -> int:
        return sum(block.is_element for block in self.opened[1:])
