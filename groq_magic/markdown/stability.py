"""The lines of a text that are settled: no text that follows can change what they are.

The proof in short: every block rule of CommonMark decides by the lines of the block and the one
line that ends it. Only a link definition and a formula can read on, up to the next blank line.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from typing import Any

from markdown_it.token import Token

from .parser import parse


class Parsed:
    """A text, its top-level blocks, and the line before which it is settled.

    ``known`` are the link definitions before this text; they take precedence.
    """

    def __init__(self, text: str, known: MutableMapping[str, Any]) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.definitions: dict[str, Any] = {}
        self.env: dict[str, Any] = {"references": ChainMap(self.definitions, known)}
        self.blocks = _blocks(parse(text, self.env))
        self.complete = len(self.lines) - 1
        """The number of complete lines."""
        self.settled = _settled_line(self.lines, self._starts(), self.blocks)
        self.inside: list[Token] = []
        """The tokens of the open block, its head included."""
        self.rest: list[list[Token]] = []
        """The parts of the open block that are not settled."""

    def _starts(self) -> list[tuple[int, str]]:
        """The line and kind of each block; link definitions between them count as blocks."""
        definitions = [*self.definitions.values(), *self.env.get("duplicate_refs", [])]
        inside = {line for block in self.blocks for line in range(*lines_of(block[0]))}
        lines = {one["map"][0] for one in definitions} - inside
        found = [(start_of(block), _kind(block[0])) for block in self.blocks]
        return sorted([*found, *((line, "definition") for line in lines)])


def _blocks(tokens: Sequence[Token]) -> list[list[Token]]:
    found: list[list[Token]] = []
    start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            found.append(list(tokens[start : index + 1]))
            start = index + 1
    return found


def lines_of(token: Token) -> list[int]:
    """The first line of a token and the line after its last one."""
    return token.map or []


def start_of(block: Sequence[Token]) -> int:
    """The first line of a block."""
    return lines_of(block[0])[0]


def is_blank(line: str) -> bool:
    """Whether a line has only spaces and tabs; in Markdown, other white space is text."""
    return not line.strip(" \t")


def _kind(token: Token) -> str:
    is_atx = token.type == "heading_open" and token.markup.startswith("#")
    return "hr" if is_atx else token.type


# Blocks that end a link definition; but a line of a quote can continue in its title.
_ENDERS = {"fence", "hr", "bullet_list_open", "ordered_list_open", "table_open"}
# Blocks that end by themselves, and blocks that a blank line ends.
_CLOSED = {"hr", "math_block"}
_BLANK_ENDS = {"paragraph_open", "heading_open", "blockquote_open", "table_open"}


def _settled_line(
    lines: list[str], starts: list[tuple[int, str]], blocks: list[list[Token]]
) -> int:
    """The line before which no text that follows can change anything.

    It is the start of the last block that has begun. But if a link definition or a formula that
    began before can reach that line, it is the start of the block where that began. And a
    block that has ended by itself, or by a blank line, is settled as a whole.
    """
    complete = len(lines) - 1
    partial = {start_of(block) for block in blocks if not _has_begun(block[0], complete)}
    begun = [(line, kind) for line, kind in starts if line < complete and line not in partial]
    if not begun:
        return 0
    start, kind = begun[-1]
    line = _reached_back(lines, start, kind, starts)
    last = next((block[0] for block in reversed(blocks) if start_of(block) == start), None)
    return line if line < start or last is None else _end_of(last, kind, lines) or line


def _has_begun(token: Token, complete: int) -> bool:
    """Whether the lines that make a block what it is are complete."""
    start, end = lines_of(token)
    needed = {"table_open": start + 2, "math_block": end}.get(token.type, start + 1)
    return needed <= complete


def _end_of(token: Token, kind: str, lines: list[str]) -> int | None:
    """Where a block has ended; lists and indented code can continue after a blank line."""
    end, complete = lines_of(token)[1], len(lines) - 1
    ends_itself = kind in _CLOSED or (kind == "fence" and token.meta["closed"])
    is_followed = end < complete and is_blank(lines[end]) and kind in _BLANK_ENDS
    return end if is_followed or (ends_itself and end <= complete) else None


def _reached_back(lines: list[str], start: int, kind: str, starts: list[tuple[int, str]]) -> int:
    """``start``, or the start of the block with a definition or formula that may reach it."""
    if any(is_blank(line) for line in lines[start:-1]):
        return start
    opener = r"\$\$|\\" if kind in _ENDERS else r"\[|\$|\\"
    first = start
    while first > 0 and not is_blank(lines[first - 1]):
        first -= 1
    for number in range(first, start):
        if re.search(opener, lines[number]):
            return max((line for line, _ in starts if line <= number), default=0)
    return start
