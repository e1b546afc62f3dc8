"""The part of a text that nothing can change any more, whatever text follows.

Its proof in short: every block rule of CommonMark decides by the block's own lines and the
one that ends it; only a link reference definition, and math, may read on, and they do so to
the next blank line at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markdown_it.token import Token

from .parser import parse


class Top(NamedTuple):
    """A top-level block."""

    start: int
    tokens: list[Token]


class Parsed:
    """The source that was parsed, its blocks, and before which line they are stable."""

    def __init__(self, text: str, known: Mapping[str, Any]) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.definitions = Defined(known)
        self.env: dict[str, Any] = {"references": self.definitions}
        tokens = parse(text, self.env)
        self.blocks = [Top(lines_of(tokens[0])[0], tokens) for tokens in _blocks(tokens)]
        self.complete = len(self.lines) - 1
        """How many lines are whole."""
        self.stable = _stable_line(self.lines, self._starts(), self.blocks)
        self.inside: list[Token] = []
        """The open block's tokens, head included."""
        self.rest: list[list[Token]] = []
        """The parts of the open block that have not settled."""

    def text_to(self, line: int) -> str:
        """The text before that line."""
        return "\n".join(self.lines[:line])

    def text_from(self, line: int) -> str:
        """The text from that line on."""
        return "\n".join(self.lines[line:])

    def _starts(self) -> list[tuple[int, str]]:
        """Line and kind of each block, link reference definitions between them included."""
        definitions = [*self.definitions.values(), *self.env.get("duplicate_refs", [])]
        taken = {line for block in self.blocks for line in range(*lines_of(block.tokens[0]))}
        lines = {one["map"][0] for one in definitions} - taken
        found = [(block.start, _kind(block.tokens[0])) for block in self.blocks]
        return sorted([*found, *((line, "definition") for line in lines)])


def _blocks(tokens: Sequence[Token]) -> list[list[Token]]:
    """The tokens of each top-level block."""
    found: list[list[Token]] = []
    start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            found.append(list(tokens[start : index + 1]))
            start = index + 1
    return found


def is_blank(line: str) -> bool:
    """Whether it is of spaces and tabs alone: other white space is text to Markdown."""
    return not line.strip(" \t")


def _kind(token: Token) -> str:
    is_atx = token.type == "heading_open" and token.markup.startswith("#")
    return "hr" if is_atx else token.type


# Blocks that end a definition by themselves; a quote's lines may go on in its title.
_ENDERS = {"fence", "hr", "bullet_list_open", "ordered_list_open", "table_open"}
# Blocks that end by themselves, and blocks that a blank line ends.
_CLOSED = {"hr", "math_block"}
_BLANK_ENDS = {"paragraph_open", "heading_open", "blockquote_open", "table_open"}


def _stable_line(lines: list[str], starts: list[tuple[int, str]], tops: Sequence[Top]) -> int:
    """The line before which nothing can change any more, whatever text follows.

    It is where the last block begins whose first line is whole (of a table, the first
    two, of math all), for a block decides by its own lines and the one that ends it. But a link
    reference definition, or math, that an earlier line began may reach to the next
    blank line: then it is where the block with that line begins. And a block that has
    an end of its own is stable as soon as it has ended.
    """
    complete = len(lines) - 1
    partial = [top.start for top in tops if not _has_begun(top.tokens[0], complete)]
    whole = [s for s in starts if s[0] < complete and s[0] not in partial]
    if not whole:
        return 0
    start, kind = whole[-1]
    line = _reached_back(lines, start, kind, starts)
    last = next((top.tokens[0] for top in reversed(tops) if top.start == start), None)
    return line if line < start or last is None else _end_of(last, kind, lines) or line


def _has_begun(token: Token, complete: int) -> bool:
    """Whether the lines are whole by which a block is what it is."""
    start, end = lines_of(token)
    needed = {"table_open": start + 2, "math_block": end}.get(token.type, start + 1)
    return needed <= complete


def _end_of(token: Token, kind: str, lines: list[str]) -> int | None:
    """Where a block ends for good, if it has; lists and indented code go on behind a blank line."""
    end, complete = lines_of(token)[1], len(lines) - 1
    ends_itself = kind in _CLOSED or (kind == "fence" and token.meta["closed"])
    is_followed = end < complete and is_blank(lines[end]) and kind in _BLANK_ENDS
    return end if is_followed or (ends_itself and end <= complete) else None


def _reached_back(lines: list[str], start: int, kind: str, starts: list[tuple[int, str]]) -> int:
    """``start``, or where the block begins from which a definition or math may reach it."""
    if any(is_blank(line) for line in lines[start:-1]):
        return start
    opener = r"\$\$|\\" if kind in _ENDERS else r"\[|\$|\\"
    begun = start
    while begun > 0 and not is_blank(lines[begun - 1]):
        begun -= 1
    for number in range(begun, start):
        if re.search(opener, lines[number]):
            return max((line for line, _ in starts if line <= number), default=0)
    return start


def lines_of(token: Token) -> list[int]:
    """The lines of a token that has some."""
    return token.map or []


class Defined(dict[str, Any]):
    """Definitions that a parse finds, on top of known ones, which come first."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__()
        self._below = known

    def __contains__(self, label: object) -> bool:
        return super().__contains__(label) or label in self._below

    def get(self, label: str, default: Any = None) -> Any:
        """The definition that came first."""
        return self._below.get(label) or super().get(label, default)
