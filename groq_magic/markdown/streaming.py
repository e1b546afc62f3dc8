"""Growing Markdown to operations on a view, at a cost that does not grow with the text.

The text has two parts: blocks that are settled, and the tail, which alone is parsed again. A
long fence, list or table does not wait for its end: its lines, items and rows settle one by one.

After every flush, without cosmetics, the HTML is that of `render` for the text so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markdown_it.token import Token

from .open_blocks import KINDS, OpenBlock, Split, loosen, settled_part
from .parser import to_html
from .stability import Parsed, lines_of
from .tail import complete_tail
from .transcript import Operation, Transcript


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
        self._transcript = Transcript()
        self._definitions = _Definitions()

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
        self._update_links(parsed)
        self._show_tail(parsed)
        return self._transcript.take_operations()

    def close(self) -> list[Operation]:
        """The text is complete: settle all of it."""
        self._take_pending(is_complete=True)
        parsed = self._advance()
        self._push(parsed.rest, parsed)
        self._transcript.close()
        for block in parsed.blocks:
            self._settle(block.tokens, parsed)
        self._source = ""
        self._update_links(parsed)
        self._transcript.tail("", "")
        return self._transcript.take_operations()

    def _take_pending(self, *, is_complete: bool = False) -> None:
        text = "".join(self._pending)
        waits = text.endswith("\r") and not is_complete  # a CR for its LF
        self._pending = ["\r"] if waits else []
        text = text[:-1] if waits else text
        self._source += text.replace("\r\n", "\n").replace("\r", "\n")

    def _advance(self) -> Parsed:
        """Settle what can be settled; return the rest, parsed."""
        while True:
            opened = self._transcript.opened
            head = opened.head if opened else ""
            parsed = Parsed(head + self._source, self._definitions.known)
            is_done = self._advance_open(opened, parsed) if opened else self._advance_blocks(parsed)
            if is_done:
                return parsed

    def _advance_blocks(self, parsed: Parsed) -> bool:
        """Settle blocks; return whether no other one opens."""
        while parsed.blocks and parsed.blocks[0].start < parsed.settled:
            self._settle(parsed.blocks.pop(0).tokens, parsed)
        self._cut(parsed, parsed.settled)
        return not self._open_next(parsed)

    def _open_next(self, parsed: Parsed) -> bool:
        """Open the block that the tail begins with if a part of it can be settled."""
        if not parsed.blocks or parsed.blocks[0].start != parsed.settled:
            return False
        tokens = parsed.blocks[0].tokens
        kind = KINDS.get(tokens[0].type)
        if kind is None or not kind.is_due(tokens, parsed):
            return False
        block = kind(tokens, self._source, parsed.env)
        self._source = self._source[block.replaced :]
        self._transcript.open(block)
        return True

    def _advance_open(self, opened: OpenBlock, parsed: Parsed) -> bool:
        """Settle parts of the open block, or all of it; return whether it stays open."""
        parsed.inside = parsed.blocks.pop(0).tokens
        split = opened.split(parsed)
        if parsed.settled > 0 and not split.is_over:
            end = lines_of(parsed.inside[0])[1]
            split = Split([*split.parts, *split.rest], [], end, is_over=True)
        parsed.rest = split.rest
        self._push(split.parts, parsed)
        if opened.reshape(parsed, split.line, is_over=split.is_over):
            self._transcript.open(opened)
        if split.is_over:
            self._transcript.close()
        self._cut(parsed, split.line)
        return not split.is_over

    def _settle(self, tokens: list[Token], parsed: Parsed) -> None:
        self._transcript.settle(settled_part(tokens, parsed.env))

    def _push(self, parts: list[list[Token]], parsed: Parsed) -> None:
        self._transcript.push([settled_part(tokens, parsed.env) for tokens in parts])

    def _cut(self, parsed: Parsed, line: int) -> None:
        """Keep the source from ``line`` on; what is before it is settled."""
        self._definitions.settle(parsed.definitions, line)
        self._source = "\n".join(parsed.lines[line:])

    def _update_links(self, parsed: Parsed) -> None:
        """Render again what looked up a link definition that has come, changed or gone."""
        if changed := self._definitions.changed(parsed.definitions):
            self._transcript.render_again(changed, parsed.env)

    def _show_tail(self, parsed: Parsed) -> None:
        opened = self._transcript.opened
        part = [token for tokens in parsed.rest for token in tokens]
        tail = [token for block in parsed.blocks for token in block.tokens]
        if opened and opened.is_loose:
            loosen(part, is_loose=True)
        if self._cosmetics and tail:
            tail = complete_tail(tail, parsed.env, parsed.text)
        elif self._cosmetics:
            part = complete_tail(part, parsed.env, parsed.text)
        self._transcript.tail(to_html(tail, parsed.env), to_html(part, parsed.env))


class _Definitions:
    """The settled link definitions, and those that views show."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self._shown: dict[str, tuple[str, str]] = {}  # in the tail, at the last flush
        self._new: dict[str, tuple[str, str]] = {}  # settled since then

    def settle(self, defined: dict[str, Any], line: int) -> None:
        """Settle those that end before ``line``."""
        for label in [label for label, one in defined.items() if one["map"][1] <= line]:
            self.known[label] = defined.pop(label)
            self._new[label] = _target(self.known[label])

    def changed(self, defined: Mapping[str, Any]) -> set[str]:
        """The labels whose definitions differ from those of the last call."""
        before, shown = self._shown, {label: _target(one) for label, one in defined.items()}
        now = shown | self._new
        self._shown, self._new = shown, {}
        return {
            label for label in before.keys() | now.keys() if before.get(label) != now.get(label)
        }


def _target(definition: Mapping[str, Any]) -> tuple[str, str]:
    return definition["href"], definition["title"]
