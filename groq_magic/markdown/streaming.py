"""Growing Markdown to operations on a view, at a cost that does not grow with the text.

The text has two parts: blocks that are settled, and the tail, which alone is parsed again. A
long block does not wait for its end: its lines, rows, items or blocks settle one by one, also those
of a block inside it.

After every flush, without cosmetics, the HTML is that of `render` for the text so far.
"""

from __future__ import annotations

from typing import Any

from markdown_it.token import Token

from .blocks import HIDDEN, loosen
from .open_blocks import Container, OpenBlock, OpenItem, OpenList, Split
from .open_leaves import KINDS
from .parser import parse_inline, to_html
from .stability import Parsed, lines_of, start_of
from .tail import complete_tail, undecided_length
from .transcript import Operation, Transcript

_SHORT = 1_000  # characters; what is shorter is not worth opening
_RENDERED_AGAIN = 25  # blocks at a flush, for a link definition that comes late
_OPEN_AT_ONCE = {"fence", "table_open", "bullet_list_open", "ordered_list_open"}


class StreamingMarkdown:
    r"""Takes a text delta by delta; a flush returns the operations since the last one.

    With ``cosmetics`` the tail is shown as it will most likely end, see `tail`; without, ``html``
    equals ``render`` of the text so far after every flush. After ``close`` it always does.
    The operations are those of `Transcript`.

    >>> markdown = StreamingMarkdown()
    >>> markdown.feed("One **wo")
    >>> markdown.flush()
    [('tail', '<p>One <strong>wo</strong></p>\n', '')]
    """

    def __init__(self, *, cosmetics: bool = True) -> None:
        self._cosmetics = cosmetics
        self._pending: list[str] = []
        self._source = ""  # what is not settled; parsed again at each flush
        self._undecided = ""  # behind that; not parsed yet
        self._transcript = Transcript()
        self._definitions: dict[str, Any] = {}  # the settled ones
        self._newly_settled: dict[str, tuple[str, str]] = {}  # targets, since the last flush
        self._unsettled: dict[str, tuple[str, str]] = {}  # the others', at the last flush

    @property
    def html(self) -> str:
        """The whole HTML as of the last flush."""
        return self._transcript.html

    def snapshot(self) -> dict[str, Any]:
        """All that a view shows as of the last flush, see `Transcript.snapshot`."""
        return self._transcript.snapshot()

    def feed(self, delta: str) -> None:
        """Store the next delta of the text."""
        self._pending.append(delta)

    def flush(self) -> list[Operation]:
        """Render what was fed since the last flush."""
        if not self._pending:
            return []
        self._take_pending()
        parsed = self._advance()
        self._update_links(parsed, _RENDERED_AGAIN if self._cosmetics else None)
        self._show_tail(parsed)
        return self._transcript.take_operations()

    def close(self) -> list[Operation]:
        """The text is complete: settle all of it."""
        self._take_pending(is_complete=True)
        parsed = self._advance()
        for opened in reversed(self._transcript.opened):
            self._transcript.push(opened.rest, parsed.env)
            self._transcript.close()
        for block in parsed.blocks:
            self._transcript.settle(block, parsed.env)
        self._source = ""
        self._update_links(parsed, None)
        self._transcript.tail("", [])
        return self._transcript.take_operations()

    def _take_pending(self, *, is_complete: bool = False) -> None:
        text = "".join(self._pending)
        waits = text.endswith("\r") and not is_complete  # a CR for its LF
        self._pending = ["\r"] if waits else []
        text = text[:-1] if waits else text
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
        self._source += self._undecided + text
        self._undecided = ""
        if self._cosmetics and not is_complete and self._begins_line():
            length = undecided_length(self._source)
            self._undecided = self._source[len(self._source) - length :]
            self._source = self._source[: len(self._source) - length]

    def _begins_line(self) -> bool:
        return "\n" in self._source or not self._transcript.is_in_line

    def _advance(self) -> Parsed:
        """Settle what can be settled; return the rest, parsed."""
        while True:
            source = self._transcript.head + self._source
            parsed = Parsed(source, self._definitions)
            has_open = bool(self._transcript.opened)
            is_done = self._advance_open(parsed) if has_open else self._advance_blocks(parsed)
            if is_done:
                return parsed

    def _advance_blocks(self, parsed: Parsed) -> bool:
        """Settle blocks; return whether no other one opens."""
        while parsed.blocks and start_of(parsed.blocks[0]) < parsed.settled:
            self._transcript.settle(parsed.blocks.pop(0), parsed.env)
        self._cut(parsed, parsed.settled)
        starts = [line for line, _ in parsed.starts if line >= parsed.settled]
        is_first = bool(parsed.blocks) and start_of(parsed.blocks[0]) == min(starts)
        return not (is_first and self._open(parsed.blocks[0], parsed))

    def _advance_open(self, parsed: Parsed) -> bool:
        """Settle parts of the open blocks, or all of them; return whether they stay open."""
        tokens, is_over = parsed.blocks.pop(0), parsed.settled > 0
        split = self._settle(0, tokens, parsed, is_over=is_over)
        if is_over:
            self._cut(parsed, lines_of(tokens[0])[1])
            return False
        self._cut(parsed, split.line, split.column)
        if split.is_over:
            return False
        inner = self._transcript.opened[-1]
        has_begun = isinstance(inner, Container) and _begins_at(inner.rest, split.line)
        return not (has_begun and self._open(inner.rest[0], parsed))

    def _settle(self, depth: int, tokens: list[Token], parsed: Parsed, *, is_over: bool) -> Split:
        """Settle parts of the open block at this depth and of those in it.

        The returned split says where the rest begins, and whether a block has ended before it.
        """
        block = self._transcript.opened[depth]
        found = split = block.split(tokens, parsed, is_over=is_over)
        if split.is_changed and isinstance(block, Container):
            self._transcript.reopen()
        if depth + 1 < len(self._transcript.opened):
            is_inner_over = bool(split.parts)
            inner = (split.parts or split.rest).pop(0)
            found = self._settle(depth + 1, inner, parsed, is_over=is_inner_over)
            found = split if is_inner_over else found
        block.rest = split.rest
        self._transcript.push(split.parts, parsed.env)
        if split.is_changed and not isinstance(block, Container):
            self._transcript.reopen()
        if is_over or split.is_over:
            self._transcript.close()
        return found

    def _open(self, tokens: list[Token], parsed: Parsed) -> bool:
        """Open a block, and those that it begins with, if a part of it can be settled."""
        blocks = list(self._transcript.opened)
        is_long = len(self._source) > _SHORT
        is_due = is_long or (not blocks and tokens[0].type in _OPEN_AT_ONCE)
        while is_due and _may_open(tokens):
            block = KINDS[tokens[0].type](tokens, blocks[-1] if blocks else None, parsed.env)
            blocks.append(block)
            split = block.split(tokens, parsed, is_over=False)
            if split.parts:
                self._show(blocks, split, parsed)
                return True
            is_due = is_long and isinstance(block, Container) and _begins_at(split.rest, split.line)
            tokens = split.rest[0] if is_due else tokens
        return False

    def _show(self, blocks: list[OpenBlock], split: Split, parsed: Parsed) -> None:
        """Show blocks that open, and the first settled parts of the innermost one."""
        for block in blocks[len(self._transcript.opened) :]:
            self._transcript.open(block)
        self._transcript.push(split.parts, parsed.env)
        self._cut(parsed, split.line, split.column)
        for block in blocks:
            block.is_new = False
        if split.is_over:
            self._transcript.close()

    def _cut(self, parsed: Parsed, line: int, column: int = 0) -> None:
        """Keep the source from there on; what is before it is settled."""
        found = parsed.definitions
        settled = {label: one for label, one in found.items() if one["map"][1] <= line}
        self._definitions |= settled
        self._newly_settled |= _targets(settled)
        for label in settled:
            del found[label]
        self._source = "\n".join(parsed.lines[line:])[column:]
        has_begun = column or line < parsed.complete or parsed.is_long(line)
        for block in self._transcript.opened:
            if isinstance(block, OpenList):
                block.settle_looseness(parsed.lines[: line + bool(has_begun)])

    def _update_links(self, parsed: Parsed, limit: int | None) -> None:
        """Render again what looked up a link definition that has come, changed or gone."""
        unsettled = _targets(parsed.definitions)
        now = self._newly_settled | unsettled
        changed = {label for label, _ in self._unsettled.items() ^ now.items()}
        self._transcript.render_again(changed, parsed.env, limit)
        self._unsettled, self._newly_settled = unsettled, {}

    def _show_tail(self, parsed: Parsed) -> None:
        opened = self._transcript.opened
        shown = [[token for block in parsed.blocks for token in block]]
        for block in opened:
            shown.append([token for part in block.rest for token in part])
            if block.is_loose:
                loosen(shown[-1], block.level, is_loose=True)
        last = next((index for index, tokens in enumerate(shown) if tokens), 0)
        if self._cosmetics:
            is_block = not last or isinstance(opened[last - 1], Container)
            shown[last] = complete_tail(shown[last], parsed.text, is_block=is_block)
        for index, tokens in enumerate(shown):
            parse_inline(tokens, parsed.env)
            if index and tokens and _ends_with_text(opened[index - 1 : index + 1]):
                tokens.insert(0, HIDDEN)
        html, *parts = (to_html(tokens, parsed.env) for tokens in shown)
        self._transcript.tail(html, parts)


def _targets(definitions: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {label: (one["href"], one["title"]) for label, one in definitions.items()}


def _may_open(tokens: list[Token]) -> bool:
    """Whether a block can be opened: not an item without blocks or a fence that is closed."""
    kind = tokens[0].type
    return (
        kind in KINDS
        and (kind != "list_item_open" or len(tokens) > 2)
        and not tokens[0].meta.get("closed")
    )


def _begins_at(blocks: list[list[Token]], line: int) -> bool:
    return bool(blocks) and start_of(blocks[0]) == line


def _ends_with_text(blocks: list[OpenBlock]) -> bool:
    """Whether a block, with the open one in it, is an item of a tight list that ends with text."""
    block, *inner = blocks
    if not isinstance(block, OpenItem) or block.is_loose:
        return False
    return inner[0].is_text if inner else block.ends_with_text
