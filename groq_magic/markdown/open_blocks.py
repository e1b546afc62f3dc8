"""Blocks: settled ones, and open ones, which settle part by part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from markdown_it.rules_block.table import MAX_AUTOCOMPLETED_CELLS
from markdown_it.token import Token

from .code import code_frame
from .parser import Environment, parse, parse_inline, to_html
from .stability import Parsed, lines_of
from .tables import cells_in, covered


class Part(NamedTuple):
    """Settled HTML, in a tight and in a loose list; outside of lists they are the same.

    A part with link labels keeps its tokens, because a definition may come late.
    """

    tight: str
    loose: str
    labels: AbstractSet[str]
    tokens: list[Token]


def settled_part(tokens: list[Token], env: Environment) -> Part:
    """Render tokens that do not change any more, except by link definitions."""
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
    """The link labels that these tokens look up."""
    if not any(token.type == "inline" and "[" in token.content for token in tokens):
        return frozenset()
    recorder = _Recorder(env["references"])
    parse_inline(tokens, {"references": recorder})
    return recorder.labels


class _Recorder(dict[str, Any]):
    """Link definitions that record which labels are looked up."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        super().__init__()
        self._definitions = definitions
        self.labels: set[str] = set()

    def get(self, label: str, default: Any = None) -> Any:
        self.labels.add(label)
        return self._definitions.get(label, default)


class Block:
    """Settled parts between a start and an end."""

    def __init__(self, parts: Sequence[Part], before: str = "", after: str = "") -> None:
        self.parts = list(parts)
        self.before = before
        self.after = after
        self.is_loose = False

    def html(self, tail: str = "") -> str:
        """The HTML, with an unsettled part ``tail`` at the end."""
        return "".join((self.before, self.html_of(self.parts), tail, self.after))

    def html_of(self, parts: Sequence[Part]) -> str:
        """The HTML of some parts."""
        return "".join(part.loose if self.is_loose else part.tight for part in parts)

    def render_again(self, changed: AbstractSet[str], env: Environment) -> bool:
        """Render the parts with these labels again; return whether there are any."""
        found = [i for i, part in enumerate(self.parts) if part.labels & changed]
        for index in found:
            tokens = self.parts[index].tokens
            parse_inline(tokens, env)
            self.parts[index] = settled_part(tokens, env)
        return bool(found)


class Split(NamedTuple):
    """The parts of an open block that are settled now, the others, and the others' first line.

    ``is_over``: the block ends at that line. ``is_changed``: parts settled before look different.
    """

    parts: list[list[Token]]
    rest: list[list[Token]]
    line: int
    is_over: bool = False
    is_changed: bool = False


class OpenBlock(Block, ABC):
    """A block that grows part by part.

    It is made of the tokens of a block, the source that begins with it, and the definitions.
    """

    head: str
    """Source in place of the settled parts; what follows it is parsed as the same block."""
    replaced = 0
    """The number of characters of the source that the head replaces."""

    @staticmethod
    @abstractmethod
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        """Whether a part of this block can be settled."""

    @abstractmethod
    def split(self, parsed: Parsed) -> Split:
        """Split the block whose tokens are ``parsed.inside``."""


class _OpenFence(OpenBlock):
    """A fence: each complete line is settled. The colours come when it is closed."""

    def __init__(self, tokens: list[Token], source: str, env: Environment) -> None:
        del env
        super().__init__([], *code_frame(tokens[0].info))
        self.replaced = source.index("\n") + 1
        self.head = source[: self.replaced]
        self._code = ""
        self._coloured = ""

    def html(self, tail: str = "") -> str:
        return self._coloured or super().html(tail)

    @staticmethod
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        start = lines_of(tokens[0])[0]
        return not tokens[0].meta["closed"] and parsed.complete > start + 1

    def split(self, parsed: Parsed) -> Split:
        (token,) = parsed.inside
        lines = token.content.split("\n")
        count = min(parsed.complete - 1, len(lines) - 1)
        settled = "".join(f"{line}\n" for line in lines[:count])
        self._code += settled
        rest, before, self._coloured = token.content[len(settled) :], self._coloured, ""
        if token.meta["closed"]:
            token.content, rest = self._code + rest, ""
            self._coloured = to_html([token], parsed.env)
        is_changed = self._coloured != before
        parts, others = _code_part(settled), _code_part(rest, token.markup)
        return Split(parts, others, 1 + count, is_changed=is_changed)


class _OpenTable(OpenBlock):
    """A table: each complete row is settled, except one that may be a formula."""

    def __init__(self, tokens: list[Token], source: str, env: Environment) -> None:
        head = tokens[1 : _index_of(tokens, "tbody_open") + 1]
        before, after = to_html(tokens[:1], env), "</tbody>\n</table>\n"
        super().__init__([settled_part(head, env)], before, after)
        self.replaced = source.index("\n", source.index("\n") + 1) + 1
        self.head = source[: self.replaced]
        self._columns = sum(token.type == "th_open" for token in head)
        self._missing = 0

    @staticmethod
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        first = lines_of(tokens[0])[0] + 2
        has_rows = _index_of(tokens, "tbody_open") > 0
        return has_rows and parsed.complete > first and not _may_be_formula(parsed.lines[first])

    def split(self, parsed: Parsed) -> Split:
        body = _index_of(parsed.inside, "tbody_open")
        rows = _children(parsed.inside[body:], "tr") if body > 0 else []
        lines = parsed.lines[2 : parsed.complete]
        formulas = (i for i, line in enumerate(lines) if _may_be_formula(line))
        count = min(len(rows), next(formulas, len(lines)))
        for number, line in enumerate(lines[:count]):
            self._missing += self._columns - cells_in(covered(line, self._columns))
            if self._missing > MAX_AUTOCOMPLETED_CELLS:  # here the parser ends a whole table
                return Split(rows[:number], [], 2 + number, is_over=True)
        return Split(rows[:count], rows[count:], 2 + count)


class _OpenList(OpenBlock):
    """A list: an item is settled when the first line of a later one is complete.

    The head is an item whose content begins further right than any marker of the list can. Its
    paragraph shows whether the list is loose.
    """

    def __init__(self, tokens: list[Token], source: str, env: Environment) -> None:
        del source
        super().__init__([], to_html(tokens[:1], env), to_html(tokens[-1:], env))
        number = "1" if tokens[0].type == "ordered_list_open" else ""
        self.head = f"{number}{tokens[0].markup}    x\n"
        self._is_settled_loose = False

    @staticmethod
    def is_due(tokens: list[Token], parsed: Parsed) -> bool:
        items = _children(tokens, "list_item")
        return len(items) > 1 and lines_of(items[1][0])[0] < parsed.complete

    def split(self, parsed: Parsed) -> Split:
        items = _children(parsed.inside, "list_item")[1:]
        starts = [lines_of(item[0])[0] for item in items]
        begun = [line for line in starts if line < parsed.complete] or [1]
        count = len(begun) - 1
        was_loose, self.is_loose = self.is_loose, self._is_now_loose(parsed, begun[-1])
        is_changed = self.is_loose != was_loose
        return Split(items[:count], items[count:], begun[-1], is_changed=is_changed)

    def _is_now_loose(self, parsed: Parsed, line: int) -> bool:
        is_loose = _is_loose(parsed.inside)
        if is_loose and not self._is_settled_loose:
            # Perhaps only because of the last item, which may still become another block.
            lines = "\n".join(parsed.lines[: line + 1])
            self._is_settled_loose = parsed.settled > 0 or _is_loose(parse(lines, {}))
        return self._is_settled_loose or is_loose


KINDS: dict[str, type[_OpenFence | _OpenTable | _OpenList]] = {
    "fence": _OpenFence,
    "table_open": _OpenTable,
    "bullet_list_open": _OpenList,
    "ordered_list_open": _OpenList,
}


def _is_loose(tokens: Sequence[Token]) -> bool:
    """Whether a list is loose; its first item is the head."""
    return not tokens[2].hidden


def _index_of(tokens: Sequence[Token], kind: str) -> int:
    return next((i for i, token in enumerate(tokens) if token.type == kind), -1)


def _may_be_formula(line: str) -> bool:
    return line.lstrip().startswith(("$$", "\\"))


def _code_part(text: str, markup: str = "") -> list[list[Token]]:
    """A part of some text of a fence with that markup; none if there is no text."""
    return [[Token("text", "", 0, content=text, markup=markup)]] if text else []


def _children(tokens: Sequence[Token], kind: str) -> list[list[Token]]:
    """The tokens of each list item or table row, on the level of the first."""
    found: list[list[Token]] = []
    start = level = -1
    for index, token in enumerate(tokens):
        if start < 0 and token.type == f"{kind}_open":
            start, level = index, token.level
        elif token.type == f"{kind}_close" and token.level == level:
            found.append(list(tokens[start : index + 1]))
            start = -1
    return found
