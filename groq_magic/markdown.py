"""Growing Markdown to operations on a view, at a cost that does not grow with the text.

The text is cut in two: blocks that are settled, which nothing that follows can change, and
the tail, which alone is parsed again. A long fence, list or table does not wait for its end:
it stays open in the view, and its lines, items and rows settle one by one.

The law of this room: after every flush the HTML is that of `render` for the text so far.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

from .calm import calm, may_close
from .dialect import (
    Environment,
    Token,
    blocks,
    code_frame,
    code_line,
    escape_html,
    parse,
    parse_inline,
    to_html,
    with_lf,
)

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
        self._blocks: list[_Block] = []
        self._open: _Open | None = None
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
        if isinstance(self._open, _Fence) and self._open.is_plain(self._source):
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
        self._show_tail(_Parsed("", self._definitions.known), operations)
        return operations

    def _take_pending(self, *, is_whole: bool = False) -> None:
        text = "".join(self._pending)
        waits = text.endswith("\r") and not is_whole  # for its LF
        self._pending = ["\r"] if waits else []
        self._source += with_lf(text[:-1] if waits else text)

    def _flush_code(self, opened: _Fence, operations: list[Operation]) -> None:
        """Do without the parser: it would take four times as long."""
        html, self._source = opened.grow(self._source)
        if html:
            operations.append(Push(html))
        is_hidden = self._cosmetics and may_close(self._source, opened.marks)
        is_hidden = is_hidden or not self._source.strip(" \t")  # as the parser has it
        self._tail = Tail("", "" if is_hidden else escape_html(self._source))
        operations.append(self._tail)

    def _advance(self, operations: list[Operation]) -> _Parsed:
        """Settle what can be; return the parsed rest."""
        parsed = self._settle(operations)
        while self._open is None and self._open_next(parsed, operations):
            parsed = self._settle(operations)
        return parsed

    def _settle(self, operations: list[Operation]) -> _Parsed:
        head = self._open.head if self._open else ""
        parsed = _Parsed(head + self._source, self._definitions.known)
        cut = parsed.stable
        if self._open:
            cut = self._settle_inside(self._open, parsed, operations)
        while parsed.blocks and parsed.blocks[0].start < parsed.stable:
            self._append_new(parsed.blocks.pop(0).tokens, parsed, operations)
        self._definitions.settle(parsed.definitions, cut)
        self._source = parsed.text_from(cut)
        return parsed

    def _settle_inside(self, opened: _Open, parsed: _Parsed, operations: list[Operation]) -> int:
        """Settle parts of the open block, or all of it; return the line the rest begins with."""
        parsed.inside = parsed.blocks.pop(0).tokens
        parts, parsed.rest, cut = opened.split(parsed)
        is_over = parsed.stable > 0
        if is_over:
            parts, parsed.rest, cut = [*parts, *parsed.rest], [], parsed.stable
        self._push(opened, parts, parsed, operations)
        if opened.reshape(parsed, cut, is_over=is_over):
            operations.append(Open(opened.html))
        if is_over:
            self._close_open(opened, operations)
        return cut

    def _push(
        self,
        opened: _Open,
        parts: Sequence[list[Token]],
        parsed: _Parsed,
        operations: list[Operation],
    ) -> None:
        new = [_part(tokens, parsed.env) for tokens in parts]
        opened.parts += new
        if html := "".join(part.html(is_loose=opened.is_loose) for part in new):
            operations.append(Push(html))

    def _close_open(self, opened: _Open, operations: list[Operation]) -> None:
        self._open = None
        self._append(opened)
        operations.append(Close())

    def _append(self, block: _Block) -> None:
        self._definitions.asked(len(self._blocks), block)
        self._blocks.append(block)

    def _append_new(
        self, tokens: list[Token], parsed: _Parsed, operations: list[Operation]
    ) -> None:
        block = _Block([_part(tokens, parsed.env)])
        self._append(block)
        operations.append(Settle(block.html))

    def _open_next(self, parsed: _Parsed, operations: list[Operation]) -> bool:
        """Open the block that the tail begins with, if there is something in it to settle."""
        if not parsed.blocks or parsed.blocks[0].start != parsed.stable:
            return False
        tokens = parsed.blocks[0].tokens
        kind = _KINDS.get(tokens[0].type)
        if kind is None or not kind.is_due(tokens, parsed):
            return False
        self._open = kind(tokens, self._source, parsed.env)
        self._source = self._source[self._open.taken :]
        operations.append(Open(self._open.html))
        return True

    def _follow_definitions(self, parsed: _Parsed, operations: list[Operation]) -> None:
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

    def _show_tail(self, parsed: _Parsed, operations: list[Operation]) -> None:
        inside = [token for part in parsed.rest for token in part]
        behind = [token for block in parsed.blocks for token in block.tokens]
        if self._open and self._open.is_loose:
            _loosen(inside, is_loose=True)
        if self._cosmetics and behind:
            behind = calm(behind, parsed.env, parsed.text)
        elif self._cosmetics:
            inside = calm(inside, parsed.env, parsed.text)
        tail = Tail(to_html(behind, parsed.env), to_html(inside, parsed.env))
        if operations or tail != self._tail:
            operations.append(tail)
            self._tail = tail


# Settled blocks


@dataclass(slots=True)
class _Part:
    """Something settled: its HTML in a tight and in a loose list, which mostly is the same.

    What asked for link definitions keeps its tokens, for some may come late.
    """

    tight: str
    loose: str
    labels: AbstractSet[str]
    tokens: list[Token]

    def html(self, *, is_loose: bool) -> str:
        return self.loose if is_loose else self.tight


def _part(tokens: list[Token], env: Environment) -> _Part:
    labels = _labels(tokens, env)
    html = to_html(tokens, env)
    kept = tokens if labels else []
    if tokens[0].type != "list_item_open":
        return _Part(html, html, labels, kept)
    _loosen(tokens, is_loose=False)
    tight = to_html(tokens, env)
    _loosen(tokens, is_loose=True)
    return _Part(tight, to_html(tokens, env), labels, kept)


def _loosen(tokens: Sequence[Token], *, is_loose: bool) -> None:
    """Show or hide the paragraphs of a top-level list's items."""
    for token in tokens:
        if token.level == 2 and token.type.startswith("paragraph_"):
            token.hidden = not is_loose


def _labels(tokens: list[Token], env: Environment) -> AbstractSet[str]:
    """The link labels whose definitions these tokens depend on."""
    if not any(token.type == "inline" and "[" in token.content for token in tokens):
        return frozenset()
    asked = _Asked(env["references"])
    parse_inline(tokens, {"references": asked})
    return asked.labels


class _Block:
    """A block of settled parts."""

    def __init__(self, parts: Sequence[_Part], opening: str = "", closing: str = "") -> None:
        self.parts = list(parts)
        self.opening = opening
        self.closing = closing
        self.is_loose = False

    @property
    def html(self) -> str:
        return self.with_part("")

    def with_part(self, html: str) -> str:
        parts = (part.html(is_loose=self.is_loose) for part in self.parts)
        return "".join((self.opening, *parts, html, self.closing))

    def follow(self, changed: AbstractSet[str], env: Environment) -> bool:
        """Render what asked for these labels again; whether there was any."""
        asking = [i for i, part in enumerate(self.parts) if part.labels & changed]
        for index in asking:
            tokens = self.parts[index].tokens
            parse_inline(tokens, env)
            self.parts[index] = _part(tokens, env)
        return bool(asking)


# Blocks that are open: they grow part by part. Each has a head, source that stands in for
# what is settled, so that the parser takes what follows for more of the same block.


class _Split(NamedTuple):
    parts: list[list[Token]]
    """Settled now."""
    rest: list[list[Token]]
    line: int
    """Where the rest begins."""


class _Open(_Block, ABC):
    """Made of the tokens of a block, the source that begins with it, and the definitions."""

    head: str
    taken = 0
    """How much of the source the head is."""

    @staticmethod
    @abstractmethod
    def is_due(tokens: list[Token], parsed: _Parsed) -> bool:
        """Whether something in this block could settle."""

    @abstractmethod
    def split(self, parsed: _Parsed) -> _Split:
        """What has settled of the block, whose tokens are ``parsed.inside``, head included."""

    def reshape(self, parsed: _Parsed, line: int, *, is_over: bool) -> bool:
        """Let the rest, from ``line`` on, change the looks of the settled; whether it did."""
        del parsed, line, is_over
        return False


class _Fence(_Open):
    """Each whole line is settled. Colours come when the fence is closed."""

    def __init__(self, tokens: list[Token], source: str, env: Environment) -> None:
        del env
        super().__init__([], *code_frame(tokens[0].info))
        self.taken = source.index("\n") + 1
        self.head = source[: self.taken]
        self.marks = tokens[0].markup
        self._code: list[str] = []
        self._coloured = ""

    def with_part(self, html: str) -> str:
        return self._coloured or super().with_part(html)

    @staticmethod
    def is_due(tokens: list[Token], parsed: _Parsed) -> bool:
        start = _map(tokens[0])[0]
        return not tokens[0].meta["closed"] and parsed.complete > start + 1

    def split(self, parsed: _Parsed) -> _Split:
        content = parsed.inside[0].content
        whole = min(parsed.complete - 1, content.count("\n"))
        settled = "".join(f"{line}\n" for line in content.split("\n")[:whole])
        rest = content[len(settled) :]
        self._code.append(settled)
        parts = [[code_line(settled)]] if settled else []
        return _Split(parts, [[code_line(rest, self.marks)]] if rest else [], 1 + whole)

    def is_plain(self, source: str) -> bool:
        """Whether this is code without a doubt, that stands as it is written."""
        is_indented = self.head[0] == " "
        return not (is_indented or self._coloured or self.marks in source or "\0" in source)

    def grow(self, source: str) -> tuple[str, str]:
        """Settle the whole lines of plain code; return their HTML, and the rest."""
        whole = source.rfind("\n") + 1
        settled, rest = source[:whole], source[whole:]
        html = escape_html(settled)
        if settled:
            self._code.append(settled)
            self.parts.append(_Part(html, html, frozenset(), []))
        return html, rest

    def reshape(self, parsed: _Parsed, line: int, *, is_over: bool) -> bool:
        del line, is_over
        (token,) = parsed.inside
        before, self._coloured = self._coloured, ""
        if token.meta["closed"]:
            rest = "".join(token.content for part in parsed.rest for token in part)
            token.content, parsed.rest = "".join(self._code) + rest, []
            self._coloured = to_html([token], parsed.env)
        return self._coloured != before


class _Table(_Open):
    """Each whole row is settled, but for one that begins math, which may end the table."""

    def __init__(self, tokens: list[Token], source: str, env: Environment) -> None:
        head = tokens[1 : _index_of(tokens, "tbody_open") + 1]
        super().__init__([_part(head, env)], to_html(tokens[:1], env), "</tbody>\n</table>\n")
        self.taken = source.index("\n", source.index("\n") + 1) + 1
        self.head = source[: self.taken]

    @staticmethod
    def is_due(tokens: list[Token], parsed: _Parsed) -> bool:
        first = _map(tokens[0])[0] + 2
        has_rows = _index_of(tokens, "tbody_open") > 0
        return has_rows and parsed.complete > first and not _begins_math(parsed.lines[first])

    def split(self, parsed: _Parsed) -> _Split:
        body = _index_of(parsed.inside, "tbody_open")
        rows = _children(parsed.inside[body:], "tr") if body > 0 else []
        whole = parsed.lines[2 : parsed.complete]
        math = (i for i, line in enumerate(whole) if _begins_math(line))
        count = min(len(rows), next(math, len(whole)))
        return _Split(rows[:count], rows[count:], 2 + count)


class _List(_Open):
    """An item is settled when the first line of a later one is whole.

    The head is an item of its own, whose content begins further right than any marker
    of the list can. It shows whether the list is loose, which items of code alone do not.
    """

    def __init__(self, tokens: list[Token], source: str, env: Environment) -> None:
        del source
        super().__init__([], to_html(tokens[:1], env), to_html(tokens[-1:], env))
        number = "1" if tokens[0].type == "ordered_list_open" else ""
        self.head = f"{number}{tokens[0].markup}    x\n"
        self._settled_loose = False

    @staticmethod
    def is_due(tokens: list[Token], parsed: _Parsed) -> bool:
        items = _children(tokens, "list_item")
        return len(items) > 1 and _map(items[1][0])[0] < parsed.complete

    def split(self, parsed: _Parsed) -> _Split:
        items = _children(parsed.inside, "list_item")[1:]
        begun = [item for item in items if _map(item[0])[0] < parsed.complete]
        settled = begun[:-1]
        line = _map(begun[-1][0])[0] if begun else 1
        return _Split(settled, items[len(settled) :], line)

    def reshape(self, parsed: _Parsed, line: int, *, is_over: bool) -> bool:
        was_loose = self.is_loose
        is_loose = _is_loose(parsed.inside)
        if is_over:
            self._settled_loose |= is_loose
        elif is_loose and not self._settled_loose:
            # Perhaps the last item makes it so, which may still become something else.
            self._settled_loose = _is_loose(parse(parsed.text_to(line + 1), {}))
        self.is_loose = self._settled_loose or is_loose
        return self.is_loose != was_loose


_KINDS: dict[str, type[_Fence | _Table | _List]] = {
    "fence": _Fence,
    "table_open": _Table,
    "bullet_list_open": _List,
    "ordered_list_open": _List,
}


def _is_loose(tokens: Sequence[Token]) -> bool:
    """Whether the list is loose that begins with the head."""
    return not tokens[2].hidden


def _map(token: Token) -> list[int]:
    """The lines of a token that has some."""
    return token.map or []


def _index_of(tokens: Sequence[Token], kind: str) -> int:
    return next((i for i, token in enumerate(tokens) if token.type == kind), -1)


def _begins_math(line: str) -> bool:
    return line.lstrip().startswith(("$$", "\\"))


def _children(tokens: Sequence[Token], kind: str) -> list[list[Token]]:
    """The tokens of each list item, or table row, on the level of the first."""
    found: list[list[Token]] = []
    start = level = -1
    for index, token in enumerate(tokens):
        if start < 0 and token.type == f"{kind}_open":
            start, level = index, token.level
        elif token.type == f"{kind}_close" and token.level == level:
            found.append(list(tokens[start : index + 1]))
            start = -1
    return found


# Link reference definitions


class _Defined(dict[str, Any]):
    """Definitions that a parse finds, on top of known ones, which come first."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__()
        self._below = known

    def __contains__(self, label: object) -> bool:
        return super().__contains__(label) or label in self._below

    def get(self, label: str, default: Any = None) -> Any:
        return self._below.get(label) or super().get(label, default)


class _Asked(dict[str, Any]):
    """Definitions that note which labels were asked for."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        super().__init__()
        self._below = definitions
        self.labels: set[str] = set()

    def get(self, label: str, default: Any = None) -> Any:
        self.labels.add(label)
        return self._below.get(label, default)


class _Definitions:
    """Link definitions as of now, and who asks for them."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        """The settled ones."""
        self.asking: defaultdict[str, set[int]] = defaultdict(set)
        """The numbers of the settled blocks that ask for a label."""
        self._shown: dict[str, tuple[str, str]] = {}
        self._new: dict[str, tuple[str, str]] = {}

    def asked(self, index: int, block: _Block) -> None:
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


# The parsed tail, and what of it is stable


class _Top(NamedTuple):
    """A top-level block."""

    start: int
    tokens: list[Token]


class _Parsed:
    """The source that was parsed, its blocks, and before which line they are stable."""

    def __init__(self, text: str, known: Mapping[str, Any]) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.definitions = _Defined(known)
        self.env: dict[str, Any] = {"references": self.definitions}
        tokens = parse(text, self.env)
        self.blocks = [_Top(_map(tokens[0])[0], tokens) for tokens in blocks(tokens)]
        self.complete = len(self.lines) - 1
        """How many lines are whole."""
        self.stable = _stable_line(self.lines, self._starts(), self.blocks)
        self.inside: list[Token] = []
        """The open block's tokens, head included."""
        self.rest: list[list[Token]] = []
        """The parts of the open block that have not settled."""

    def text_to(self, line: int) -> str:
        return "\n".join(self.lines[:line])

    def text_from(self, line: int) -> str:
        return "\n".join(self.lines[line:])

    def _starts(self) -> list[tuple[int, str]]:
        """Line and kind of each block, link reference definitions between them included."""
        definitions = [*self.definitions.values(), *self.env.get("duplicate_refs", [])]
        taken = {line for block in self.blocks for line in range(*_map(block.tokens[0]))}
        lines = {one["map"][0] for one in definitions} - taken
        found = [(block.start, _kind(block.tokens[0])) for block in self.blocks]
        return sorted([*found, *((line, "definition") for line in lines)])


def _kind(token: Token) -> str:
    is_atx = token.type == "heading_open" and token.markup.startswith("#")
    return "hr" if is_atx else token.type


# Blocks that end a paragraph by themselves.
_CLOSERS = {"fence", "hr", "blockquote_open", "bullet_list_open", "ordered_list_open", "table_open"}
# Blocks that end by themselves, and blocks that a blank line ends.
_CLOSED = {"hr", "math_block"}
_BLANK_ENDS = {"paragraph_open", "heading_open", "blockquote_open", "table_open"}


def _stable_line(lines: list[str], starts: list[tuple[int, str]], tops: Sequence[_Top]) -> int:
    """The line before which nothing can change any more, whatever text follows.

    It is where the last block begins whose first line is whole (of a table, the first
    two), for a block decides by its own lines and the one that ends it. But a link
    reference definition, or math, that an earlier line began may reach to the next
    blank line: then it is where the block with that line begins. And a block that has
    an end of its own is stable as soon as it has ended.
    """
    complete = len(lines) - 1
    whole = [s for s in starts if s[0] + (s[1] == "table_open") < complete]
    if not whole:
        return 0
    start, kind = whole[-1]
    line = _reached_back(lines, start, kind, starts)
    last = next((top.tokens[0] for top in reversed(tops) if top.start == start), None)
    return line if line < start or last is None else _end_of(last, kind, lines) or line


def _end_of(token: Token, kind: str, lines: list[str]) -> int | None:
    """Where a block ends for good, if it has; lists and indented code go on behind a blank line."""
    end, complete = _map(token)[1], len(lines) - 1
    ends_itself = kind in _CLOSED or (kind == "fence" and token.meta["closed"])
    is_followed = end < complete and not lines[end].strip() and kind in _BLANK_ENDS
    return end if is_followed or (ends_itself and end <= complete) else None


def _reached_back(lines: list[str], start: int, kind: str, starts: list[tuple[int, str]]) -> int:
    """``start``, or where the block begins from which a definition or math may reach it."""
    if any(not content.strip() for content in lines[start:-1]):
        return start
    opener = r"\$\$|\\" if kind in _CLOSERS else r"\[|\$|\\"
    begun = start
    while begun > 0 and lines[begun - 1].strip():
        begun -= 1
    for number in range(begun, start):
        if re.search(opener, lines[number]):
            return max((line for line, _ in starts if line <= number), default=0)
    return start
