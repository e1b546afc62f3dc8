"""The lines of a text that are settled: no text that follows can change what they are.

The proof in short: every block rule of CommonMark decides by the lines of the block and the one
line that ends it. Only a link definition and a formula can read on, up to the next blank line,
and no further than `limits.REACH`. And any line with a ``|`` becomes the head of a table if the
next line says so. In a list item or a quote, the same holds for the blocks inside.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from typing import Any, NamedTuple

from markdown_it.token import Token

from .limits import HEAD, REACH
from .parser import parse_blocks


class Start(NamedTuple):
    """The first line of a block, and its tokens; a link definition has none."""

    line: int
    tokens: Sequence[Token]


class Parsed:
    """A text, its top-level blocks, and the line before which it is settled.

    ``known`` are the link definitions before this text; they take precedence.
    """

    def __init__(self, text: str, known: MutableMapping[str, Any]) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.definitions: dict[str, Any] = {}
        self.env: dict[str, Any] = {"references": ChainMap(self.definitions, known)}
        self.blocks = children_of(parse_blocks(text, self.env), 0)
        self.complete = len(self.lines) - 1
        """The number of complete lines."""
        self.starts = self._starts(self.blocks, range(len(self.lines)))
        self.settled = self._settled_line(self.starts)

    def settled_inside(self, blocks: list[list[Token]], lines: Sequence[int], quotes: int) -> int:
        """The line before which blocks are settled that are in a container of these lines.

        -1 if none has begun. ``quotes``: in how many quotes they are.
        """
        starts = self._starts(blocks, range(*lines))
        begun = self._begun(starts)
        return self._reached_back(begun, quotes) if begun else -1

    def has_begun_item(self, item: Sequence[Token]) -> bool:
        """Whether nothing can make the begin of a list item another block."""
        line = start_of(item)
        return line < self.complete or self.is_long_text(line, item)

    def formula_line(self, lines: Sequence[int]) -> int:
        """The first of these lines that may still become a formula, or the line after them."""
        found = (line for line in range(*lines) if self._may_reach_on(line, _FORMULA))
        return next(found, lines[1])

    def may_be_definition(self, line: int) -> bool:
        """Whether a paragraph that begins here may still become a link definition."""
        return self._may_reach_on(line, _DEFINITION)

    def is_long(self, line: int) -> bool:
        """Whether this line can be no head of a table."""
        return len(self.lines[line]) > HEAD

    def is_long_text(self, line: int, tokens: Sequence[Token]) -> bool:
        """Whether a block is text, which its line need not be complete to show."""
        leaf = next((token for token in tokens if token.type not in _CONTAINERS), None)
        return leaf is not None and leaf.type == "paragraph_open" and self.is_long(line)

    def _starts(self, blocks: list[list[Token]], lines: range) -> list[Start]:
        """Where each block begins; link definitions between them count as blocks."""
        definitions = [*self.definitions.values(), *self.env.get("duplicate_refs", [])]
        inside = {line for block in blocks for line in range(*lines_of(block[0]))}
        found = {one["map"][0] for one in definitions if one["map"][0] in lines} - inside
        starts = [Start(start_of(block), block) for block in blocks]
        return sorted([*starts, *(Start(line, ()) for line in found)], key=lambda one: one.line)

    def _begun(self, starts: list[Start]) -> list[Start]:
        return [start for start in starts if self._has_begun(*start)]

    def _has_begun(self, line: int, tokens: Sequence[Token]) -> bool:
        """Whether the lines that make a block what it is are complete."""
        if self.is_long_text(line, tokens):
            return True
        needed = line + 1 + ("|" in self.lines[line])
        if tokens and tokens[0].type == "math_block":
            needed = max(needed, lines_of(tokens[0])[1])
        return needed <= self.complete

    def _settled_line(self, starts: list[Start]) -> int:
        """The line before which no text that follows can change anything.

        It is the start of the last block that has begun. But if a link definition or a formula that
        began before can reach that line, it is the start of the block where that began. And a
        block that has ended by itself, or by a blank line, is settled as a whole.
        """
        begun = self._begun(starts)
        if not begun:
            return 0
        line = self._reached_back(begun, 0)
        is_last = line == begun[-1].line and begun[-1].tokens
        return (self._end_of(begun[-1].tokens[0]) if is_last else None) or line

    def _end_of(self, token: Token) -> int | None:
        """Where a block has ended; lists and indented code can continue after a blank line."""
        end, kind = lines_of(token)[1], _kind(token)
        ends_itself = kind in _CLOSED or (kind == "fence" and token.meta["closed"])
        is_followed = end < self.complete and is_blank(self.lines[end]) and kind in _BLANK_ENDS
        return end if is_followed or (ends_itself and end <= self.complete) else None

    def _reached_back(self, begun: list[Start], quotes: int) -> int:
        """The start of the last block, or of one with a definition or formula that may reach it."""
        start, tokens = begun[-1]
        if any(is_blank(line, quotes) for line in self.lines[start:-1]):
            return start
        is_ender = bool(tokens) and _kind(tokens[0]) in _ENDERS
        first = start
        while first > begun[0].line and not is_blank(self.lines[first - 1], quotes):
            first -= 1
        for number in range(first, start):
            if self._may_reach_on(number, _FORMULA) or (
                not is_ender and self._may_define(number, begun)
            ):
                return max(line for line, _ in begun if line <= number)
        return start

    def _may_define(self, number: int, begun: list[Start]) -> bool:
        """Whether a link definition may begin in this line and go on behind the next block."""
        if not self._may_reach_on(number, _DEFINITION):
            return False
        this = max(index for index, start in enumerate(begun) if start.line <= number)
        is_definition = not begun[this].tokens and begun[this].line == number
        after = self.lines[begun[this + 1].line].lstrip(" \t>")
        return not is_definition or after.startswith(tuple("\"'("))

    def _may_reach_on(self, line: int, opener: re.Pattern[str]) -> bool:
        """Whether something that begins in this line can still go on at the end of the text."""
        if not opener.match(self.lines[line]):
            return False
        return len("\n".join(self.lines[line:])) <= REACH


def children_of(tokens: Sequence[Token], level: int) -> list[list[Token]]:
    """The tokens of each block on that level."""
    found: list[list[Token]] = []
    start = 0
    for index, token in enumerate(tokens):
        if token.level == level and token.nesting <= 0:
            found.append(list(tokens[start : index + 1]))
            start = index + 1
    return found


def lines_of(token: Token) -> list[int]:
    """The first line of a token and the line after its last one."""
    return token.map or []


def start_of(block: Sequence[Token]) -> int:
    """The first line of a block."""
    return lines_of(block[0])[0]


def is_blank(line: str, quotes: int = 0) -> bool:
    """Whether a line has only spaces and tabs; in Markdown, other white space is text."""
    return not line.strip(" \t>") and line.count(">") <= quotes


def _kind(token: Token) -> str:
    is_atx = token.type == "heading_open" and token.markup.startswith("#")
    return "hr" if is_atx else token.type


# What a formula or a link definition begins with, behind the markers of containers.
_FORMULA = re.compile(r"[ \t>*+•\-\d.)]*(?:\$\$|\\\[|\\begin\{)")
_DEFINITION = re.compile(r"[ \t>*+•\-\d.)]*\[")
_CONTAINERS = {"blockquote_open", "bullet_list_open", "ordered_list_open", "list_item_open"}
# Blocks that end a link definition; but a line of a quote, or a table below one, can be its title.
_ENDERS = {"fence", "hr", "bullet_list_open", "ordered_list_open"}
# Blocks that end by themselves, and blocks that a blank line ends.
_CLOSED = {"hr", "math_block"}
_BLANK_ENDS = {"paragraph_open", "heading_open", "blockquote_open", "table_open"}
