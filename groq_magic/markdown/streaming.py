"""Growing Markdown to operations on a view, at a cost that does not grow with the text.

The text has two parts: blocks that are settled, and the tail, which alone is parsed again. A
long fence, list or table does not wait for its end: its lines, items and rows settle one by one.

After every flush, without cosmetics, the HTML is that of `render` for the text so far.
"""

from __future__ import annotations

from typing import Any

from .open_blocks import KINDS, OpenBlock, loosen
from .parser import to_html
from .stability import Parsed, lines_of, start_of
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
        self._definitions: dict[str, Any] = {}  # the settled ones
        self._targets: dict[str, tuple[str, str]] = {}  # of all definitions at the last flush

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
        self._transcript.push(parsed.rest, parsed.env)
        self._transcript.close()
        for block in parsed.blocks:
            self._transcript.settle(block, parsed.env)
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
            parsed = Parsed(head + self._source, self._definitions)
            is_done = self._advance_open(opened, parsed) if opened else self._advance_blocks(parsed)
            if is_done:
                return parsed

    def _advance_blocks(self, parsed: Parsed) -> bool:
        """Settle blocks; return whether no other one opens."""
        while parsed.blocks and start_of(parsed.blocks[0]) < parsed.settled:
            self._transcript.settle(parsed.blocks.pop(0), parsed.env)
        self._cut(parsed, parsed.settled)
        return not self._open_next(parsed)

    def _open_next(self, parsed: Parsed) -> bool:
        """Open the block that the tail begins with if a part of it can be settled."""
        if not parsed.blocks or start_of(parsed.blocks[0]) != parsed.settled:
            return False
        tokens = parsed.blocks[0]
        kind = KINDS.get(tokens[0].type)
        if kind is None or not kind.is_due(tokens, parsed):
            return False
        block = kind(tokens, self._source, parsed.env)
        self._source = self._source[block.replaced :]
        self._transcript.open(block)
        return True

    def _advance_open(self, opened: OpenBlock, parsed: Parsed) -> bool:
        """Settle parts of the open block, or all of it; return whether it stays open."""
        parsed.inside = parsed.blocks.pop(0)
        parts, parsed.rest, line, is_over, is_changed = opened.split(parsed)
        if parsed.settled > 0 and not is_over:
            parts, parsed.rest, is_over = [*parts, *parsed.rest], [], True
            line = lines_of(parsed.inside[0])[1]
        self._transcript.push(parts, parsed.env)
        if is_changed:
            self._transcript.open(opened)
        if is_over:
            self._transcript.close()
        self._cut(parsed, line)
        return not is_over

    def _cut(self, parsed: Parsed, line: int) -> None:
        """Keep the source from ``line`` on; what is before it is settled."""
        found = parsed.definitions
        for label in [label for label, one in found.items() if one["map"][1] <= line]:
            self._definitions[label] = found.pop(label)
        self._source = "\n".join(parsed.lines[line:])

    def _update_links(self, parsed: Parsed) -> None:
        """Render again what looked up a link definition that has come, changed or gone."""
        definitions = (self._definitions | parsed.definitions).items()
        now = {label: (one["href"], one["title"]) for label, one in definitions}
        if changed := {label for label, _ in self._targets.items() ^ now.items()}:
            self._transcript.render_again(changed, parsed.env)
        self._targets = now

    def _show_tail(self, parsed: Parsed) -> None:
        opened = self._transcript.opened
        part = [token for tokens in parsed.rest for token in tokens]
        tail = [token for block in parsed.blocks for token in block]
        if opened and opened.is_loose:
            loosen(part, is_loose=True)
        if self._cosmetics and tail:
            tail = complete_tail(tail, parsed.env, parsed.text)
        elif self._cosmetics:
            part = complete_tail(part, parsed.env, parsed.text)
        self._transcript.tail(to_html(tail, parsed.env), to_html(part, parsed.env))
