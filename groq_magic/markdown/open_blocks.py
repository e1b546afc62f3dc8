"""Blocks whose parts are settled: whole ones, and open ones, which grow part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block.table import MAX_AUTOCOMPLETED_CELLS, escapedSplit
from markdown_it.token import Token

from .code import code_frame
from .parser import Environment, parse, parse_inline, to_html
from .stability import Parsed, lines_of


@dataclass(slots=True)
class Part:
    """Something settled: its HTML in a tight and in a loose list, which mostly is the same.

    What asked for link definitions keeps its tokens, for some may come late.
    """

    tight: str
    loose: str
    labels: AbstractSet[str]
    tokens: list[Token]

    def html(self, *, is_loose: bool) -> str:
        """The HTML in a loose or in a tight list."""
        return self.loose if is_loose else self.tight


def settled_part(tokens: list[Token], env: Environment) -> Part:
    """Render tokens that will not change, or only with the definitions they ask for."""
    labels = _labels(tokens, env)
    html = to_html(tokens, env)
    kept = tokens if labels else []
    if tokens[0].type != "list_item_open":
        return Part(html, html, labels, kept)
    loosen(tokens, is_loose=False)
    tight = to_html(tokens, env)
    loosen(tokens, is_loose=True)
    return Part(tight, to_html(tokens, env), labels, kept)


def loosen(tokens: Sequence[Token], *, is_loose: bool) -> None:
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


class Block:
    """A block of settled parts."""

    def __init__(self, parts: Sequence[Part], opening: str = "", closing: str = "") -> None:
        self.parts = list(parts)
        self.opening = opening
        self.closing = closing
        self.is_loose = False

    @property
    def html(self) -> str:
        """The HTML of the settled parts."""
        return self.with_part("")

    def with_part(self, html: str) -> str:
        """The HTML with an unsettled part at its end."""
        parts = (part.html(is_loose=self.is_loose) for part in self.parts)
        return "".join((self.opening, *parts, html, self.closing))

    def follow(self, changed: AbstractSet[str], env: Environment) -> bool:
        """Render what asked for these labels again; whether there was any."""
        asking = [i for i, part in enumerate(self.parts) if part.labels & changed]
        for index in asking:
            tokens = self.parts[index].tokens
            parse_inline(tokens, env)
            self.parts[index] = settled_part(tokens, env)
        return bool(asking)


# Blocks that are open: they grow part by part. Each has a head, source that stands in for
# what is settled, so that the parser takes what follows for more of the same block.


class _Split(NamedTuple):
    parts: list[list[Token]]
    """Settled now."""
    rest: list[list[Token]]
    line: int
    """Where the rest begins."""
    is_over: bool = False
    """Whether the block ends here although the parser, which sees its end alone, goes on."""


class OpenBlock(Block, ABC):
    """Made of the tokens of a block, the source that begins with it, and the definitions."""

    head: str
    taken = 0
    """How much of the source the head is."""

    @staticmethod
    @abstractmethod
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        """Whether something in this block could settle."""

    @abstractmethod
    def split(self, parsed: Parsed) -> _Split:
        """What has settled of the block, whose tokens are ``parsed.inside``, head included."""

    def reshape(self, parsed: Parsed, line: int, *, is_over: bool) -> bool:
        """Let the rest, from ``line`` on, change the looks of the settled; whether it did."""
        del parsed, line, is_over
        return False


class OpenFence(OpenBlock):
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
        """The HTML; in colours there is no unsettled part."""
        return self._coloured or super().with_part(html)

    @staticmethod
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        """Whether there is a whole line in a fence that is not closed."""
        start = lines_of(tokens[0])[0]
        return not tokens[0].meta["closed"] and parsed.complete > start + 1

    def split(self, parsed: Parsed) -> _Split:
        """Part the whole lines from the last one."""
        content = parsed.inside[0].content
        whole = min(parsed.complete - 1, content.count("\n"))
        settled = "".join(f"{line}\n" for line in content.split("\n")[:whole])
        rest = content[len(settled) :]
        self._code.append(settled)
        parts = [[_code_line(settled)]] if settled else []
        return _Split(parts, [[_code_line(rest, self.marks)]] if rest else [], 1 + whole)

    def is_plain(self, source: str) -> bool:
        """Whether this is code without a doubt, that stands as it is written."""
        is_indented = self.head[0] == " "
        return not (is_indented or self._coloured or self.marks in source or "\0" in source)

    def grow(self, source: str) -> tuple[str, str]:
        """Settle the whole lines of plain code; return their HTML, and the rest."""
        whole = source.rfind("\n") + 1
        settled, rest = source[:whole], source[whole:]
        html = escapeHtml(settled)
        if settled:
            self._code.append(settled)
            self.parts.append(Part(html, html, frozenset(), []))
        return html, rest

    def reshape(self, parsed: Parsed, line: int, *, is_over: bool) -> bool:
        """Show colours when the fence is closed."""
        del line, is_over
        (token,) = parsed.inside
        before, self._coloured = self._coloured, ""
        if token.meta["closed"]:
            rest = "".join(token.content for part in parsed.rest for token in part)
            token.content, parsed.rest = "".join(self._code) + rest, []
            self._coloured = to_html([token], parsed.env)
        return self._coloured != before


class _OpenTable(OpenBlock):
    """Each whole row is settled, but for one that begins math, which may end the table."""

    def __init__(self, tokens: list[Token], source: str, env: Environment) -> None:
        head = tokens[1 : _index_of(tokens, "tbody_open") + 1]
        super().__init__(
            [settled_part(head, env)], to_html(tokens[:1], env), "</tbody>\n</table>\n"
        )
        self.taken = source.index("\n", source.index("\n") + 1) + 1
        self.head = source[: self.taken]
        self._columns = sum(token.type == "th_open" for token in head)
        self._missing = 0

    @staticmethod
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        first = lines_of(tokens[0])[0] + 2
        has_rows = _index_of(tokens, "tbody_open") > 0
        return has_rows and parsed.complete > first and not _begins_math(parsed.lines[first])

    def split(self, parsed: Parsed) -> _Split:
        body = _index_of(parsed.inside, "tbody_open")
        rows = _children(parsed.inside[body:], "tr") if body > 0 else []
        whole = parsed.lines[2 : parsed.complete]
        math = (i for i, line in enumerate(whole) if _begins_math(line))
        count = min(len(rows), next(math, len(whole)))
        for number, line in enumerate(whole[:count]):
            self._missing += self._columns - _cells_in(line)
            if self._missing > MAX_AUTOCOMPLETED_CELLS:
                return _Split(rows[:number], [], 2 + number, is_over=True)
        return _Split(rows[:count], rows[count:], 2 + count)


class _OpenList(OpenBlock):
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
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        items = _children(tokens, "list_item")
        return len(items) > 1 and lines_of(items[1][0])[0] < parsed.complete

    def split(self, parsed: Parsed) -> _Split:
        items = _children(parsed.inside, "list_item")[1:]
        begun = [item for item in items if lines_of(item[0])[0] < parsed.complete]
        settled = begun[:-1]
        line = lines_of(begun[-1][0])[0] if begun else 1
        return _Split(settled, items[len(settled) :], line)

    def reshape(self, parsed: Parsed, line: int, *, is_over: bool) -> bool:
        was_loose = self.is_loose
        is_loose = _is_loose(parsed.inside)
        if is_over:
            self._settled_loose |= is_loose
        elif is_loose and not self._settled_loose:
            # Perhaps the last item makes it so, which may still become something else.
            self._settled_loose = _is_loose(parse(parsed.text_to(line + 1), {}))
        self.is_loose = self._settled_loose or is_loose
        return self.is_loose != was_loose


KINDS: dict[str, type[OpenFence | _OpenTable | _OpenList]] = {
    "fence": OpenFence,
    "table_open": _OpenTable,
    "bullet_list_open": _OpenList,
    "ordered_list_open": _OpenList,
}


def _is_loose(tokens: Sequence[Token]) -> bool:
    """Whether the list is loose that begins with the head."""
    return not tokens[2].hidden


def _index_of(tokens: Sequence[Token], kind: str) -> int:
    return next((i for i, token in enumerate(tokens) if token.type == kind), -1)


def _begins_math(line: str) -> bool:
    return line.lstrip().startswith(("$$", "\\"))


def _cells_in(row: str) -> int:
    """How many cells a row of a table has in the source."""
    cells = escapedSplit(row.strip(" \t"))
    return len(cells) - (cells[0] == "") - (len(cells) > 1 and cells[-1] == "")


def _code_line(text: str, markup: str = "") -> Token:
    """Some text of a code block whose fence is made of that markup."""
    return Token("text", "", 0, content=text, markup=markup)


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


class _Asked(dict[str, Any]):
    """Definitions that note which labels were asked for."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        super().__init__()
        self._below = definitions
        self.labels: set[str] = set()

    def get(self, label: str, default: Any = None) -> Any:
        self.labels.add(label)
        return self._below.get(label, default)
