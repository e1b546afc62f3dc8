"""Growing Markdown to operations on a view, at a cost that does not grow with the text.

The text is cut in two: blocks that are settled, which nothing that follows can change, and
the tail, which alone is parsed again. A long fence, list or table does not wait for its end:
it stays open in the view, and its lines, items and rows settle one by one.

The law of this room: after every flush the HTML is that of `render` for the text so far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from .open_blocks import KINDS, Block, OpenBlock, OpenFence, loosen, settled_part
from .parser import to_html
from .stability import Parsed, is_blank
from .tail import calm, may_close

# The protocol: what a view does to follow the text. A block is exactly one HTML element.


@dataclass(frozen=True, slots=True)
class Settle:
    """Append this block behind the settled ones."""

    html: str


@dataclass(frozen=True, slots=True)
class Open:
    """Show this block behind the settled ones, in place of the open one if there is one.

    What is pushed goes into its place for more: the ``tbody`` of a table, the ``code`` of
    a fence, a list itself.
    """

    html: str


@dataclass(frozen=True, slots=True)
class Push:
    """Append this to what the open block holds: an item, a row, lines of code."""

    html: str


@dataclass(frozen=True, slots=True)
class Close:
    """The open block is now the last of the settled ones."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Show this in place of the settled block of that number, counted from 0."""

    index: int
    html: str


@dataclass(frozen=True, slots=True)
class Tail:
    """Show ``part`` at the end of the open block and ``html`` behind all blocks.

    Both in place of the tail so far. It is the last operation of a flush, which
    takes it as gone when there is none.
    """

    html: str
    part: str = ""


Operation = Settle | Open | Push | Close | Replace | Tail


class StreamingMarkdown:
    r"""Feed it deltas; a flush returns what changed since the one before.

    With ``cosmetics`` the tail is shown as it will most likely end, see `calm`; without,
    ``html`` equals ``render`` of the text so far after every flush. After `close()` it
    always does.

    >>> markdown = StreamingMarkdown()
    >>> markdown.feed("One **wo")
    >>> markdown.flush()
    [Tail(html='<p>One <strong>wo</strong></p>\n', part='')]
    """

    def __init__(self, *, cosmetics: bool = True) -> None:
        self._cosmetics = cosmetics
        self._pending: list[str] = []
        self._source = ""  # all that is not settled; parsed again at each flush
        self._blocks: list[Block] = []
        self._open: OpenBlock | None = None
        self._tail = Tail("")
        self._definitions = _Definitions()

    def snapshot(self) -> dict[str, Any]:
        """All that a view shows as of the last flush.

        The HTML of each ``settled`` block, of the ``open`` one (empty where there is
        none), and the ``tail`` with its ``part``, see `Tail`.
        """
        return {
            "settled": [block.html for block in self._blocks],
            "open": self._open.html if self._open else "",
            "tail": self._tail.html,
            "part": self._tail.part,
        }

    @property
    def html(self) -> str:
        """The whole HTML as of the last flush."""
        opened = self._open.with_part(self._tail.part) if self._open else ""
        settled = (block.html for block in self._blocks)
        return "".join((*settled, opened, self._tail.html))

    def feed(self, delta: str) -> None:
        """Store the next piece of text."""
        self._pending.append(delta)

    def flush(self) -> list[Operation]:
        """Render what was fed since the last flush."""
        operations: list[Operation] = []
        if not self._pending:
            return operations
        self._take_pending()
        if isinstance(self._open, OpenFence) and self._open.is_plain(self._source):
            self._flush_code(self._open, operations)
        else:
            parsed = self._advance(operations)
            self._follow_definitions(parsed, operations)
            self._show_tail(parsed, operations)
        return operations

    def close(self) -> list[Operation]:
        """The text is whole: settle all of it."""
        operations: list[Operation] = []
        self._take_pending(is_whole=True)
        parsed = self._advance(operations)
        if self._open:
            self._push(self._open, parsed.rest, parsed, operations)
            self._close_open(self._open, operations)
        for block in parsed.blocks:
            self._append_new(block.tokens, parsed, operations)
        self._source = ""
        self._follow_definitions(parsed, operations)
        self._show_tail(Parsed("", self._definitions.known), operations)
        return operations

    def _take_pending(self, *, is_whole: bool = False) -> None:
        text = "".join(self._pending)
        waits = text.endswith("\r") and not is_whole  # for its LF
        self._pending = ["\r"] if waits else []
        text = text[:-1] if waits else text
        self._source += text.replace("\r\n", "\n").replace("\r", "\n")

    def _flush_code(self, opened: OpenFence, operations: list[Operation]) -> None:
        """Do without the parser: it would take four times as long."""
        html, self._source = opened.grow(self._source)
        if html:
            operations.append(Push(html))
        is_hidden = self._cosmetics and may_close(self._source, opened.marks)
        is_hidden = is_hidden or is_blank(self._source)  # as the parser has it
        self._tail = Tail("", "" if is_hidden else escapeHtml(self._source))
        operations.append(self._tail)

    def _advance(self, operations: list[Operation]) -> Parsed:
        """Settle what can be; return the parsed rest."""
        parsed = self._settle(operations)
        while self._open is None and self._open_next(parsed, operations):
            parsed = self._settle(operations)
        return parsed

    def _settle(self, operations: list[Operation]) -> Parsed:
        head = self._open.head if self._open else ""
        parsed = Parsed(head + self._source, self._definitions.known)
        cut = parsed.stable
        if self._open:
            cut = self._settle_inside(self._open, parsed, operations)
        ends_early = cut > 0 and self._open is None and cut != parsed.stable
        while not ends_early and parsed.blocks and parsed.blocks[0].start < parsed.stable:
            self._append_new(parsed.blocks.pop(0).tokens, parsed, operations)
        self._definitions.settle(parsed.definitions, cut)
        self._source = parsed.text_from(cut)
        return self._settle(operations) if ends_early else parsed

    def _settle_inside(self, opened: OpenBlock, parsed: Parsed, operations: list[Operation]) -> int:
        """Settle parts of the open block, or all of it; return the line the rest begins with."""
        parsed.inside = parsed.blocks.pop(0).tokens
        parts, parsed.rest, cut, is_over = opened.split(parsed)
        if parsed.stable > 0 and not is_over:
            parts, parsed.rest, cut, is_over = [*parts, *parsed.rest], [], parsed.stable, True
        self._push(opened, parts, parsed, operations)
        if opened.reshape(parsed, cut, is_over=is_over):
            operations.append(Open(opened.html))
        if is_over:
            self._close_open(opened, operations)
        return cut

    def _push(
        self,
        opened: OpenBlock,
        parts: Sequence[list[Token]],
        parsed: Parsed,
        operations: list[Operation],
    ) -> None:
        new = [settled_part(tokens, parsed.env) for tokens in parts]
        opened.parts += new
        if html := "".join(part.html(is_loose=opened.is_loose) for part in new):
            operations.append(Push(html))

    def _close_open(self, opened: OpenBlock, operations: list[Operation]) -> None:
        self._open = None
        self._append(opened)
        operations.append(Close())

    def _append(self, block: Block) -> None:
        self._definitions.asked(len(self._blocks), block)
        self._blocks.append(block)

    def _append_new(self, tokens: list[Token], parsed: Parsed, operations: list[Operation]) -> None:
        block = Block([settled_part(tokens, parsed.env)])
        self._append(block)
        operations.append(Settle(block.html))

    def _open_next(self, parsed: Parsed, operations: list[Operation]) -> bool:
        """Open the block that the tail begins with, if there is something in it to settle."""
        if not parsed.blocks or parsed.blocks[0].start != parsed.stable:
            return False
        tokens = parsed.blocks[0].tokens
        kind = KINDS.get(tokens[0].type)
        if kind is None or not kind.is_due(tokens, parsed):
            return False
        self._open = kind(tokens, self._source, parsed.env)
        self._source = self._source[self._open.taken :]
        operations.append(Open(self._open.html))
        return True

    def _follow_definitions(self, parsed: Parsed, operations: list[Operation]) -> None:
        """Render again what has asked for a link definition that has come, changed or gone."""
        changed = self._definitions.changed(parsed.definitions)
        if not changed:
            return
        for index in sorted({i for label in changed for i in self._definitions.asking[label]}):
            block = self._blocks[index]
            if block.follow(changed, parsed.env):
                self._definitions.asked(index, block)
                operations.append(Replace(index, block.html))
        if self._open and self._open.follow(changed, parsed.env):
            operations.append(Open(self._open.html))

    def _show_tail(self, parsed: Parsed, operations: list[Operation]) -> None:
        inside = [token for part in parsed.rest for token in part]
        behind = [token for block in parsed.blocks for token in block.tokens]
        if self._open and self._open.is_loose:
            loosen(inside, is_loose=True)
        if self._cosmetics and behind:
            behind = calm(behind, parsed.env, parsed.text)
        elif self._cosmetics:
            inside = calm(inside, parsed.env, parsed.text)
        tail = Tail(to_html(behind, parsed.env), to_html(inside, parsed.env))
        if operations or tail != self._tail:
            operations.append(tail)
            self._tail = tail


class _Definitions:
    """Link definitions as of now, and who asks for them."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        """The settled ones."""
        self.asking: defaultdict[str, set[int]] = defaultdict(set)
        """The numbers of the settled blocks that ask for a label."""
        self._shown: dict[str, tuple[str, str]] = {}
        self._new: dict[str, tuple[str, str]] = {}

    def asked(self, index: int, block: Block) -> None:
        for part in block.parts:
            for label in part.labels:
                self.asking[label].add(index)

    def settle(self, defined: dict[str, Any], line: int) -> None:
        """Know those that end before ``line``."""
        for label in [label for label, one in defined.items() if one["map"][1] <= line]:
            self.known[label] = defined.pop(label)
            self._new[label] = _target(self.known[label])

    def changed(self, defined: Mapping[str, Any]) -> set[str]:
        """The labels whose definition is another one than when this was last asked."""
        before, shown = self._shown, {label: _target(one) for label, one in defined.items()}
        now = shown | self._new
        self._shown, self._new = shown, {}
        return {
            label for label in before.keys() | now.keys() if before.get(label) != now.get(label)
        }


def _target(definition: Mapping[str, Any]) -> tuple[str, str]:
    return definition["href"], definition["title"]
