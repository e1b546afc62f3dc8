"""Formulas that are not closed yet: their source as it came, in a dim box.

A formula is typeset when it is closed; until then its lines are no list or heading, and its
characters no markup.
"""

from __future__ import annotations

from markdown_it.token import Token

from .limits import REACH
from .math import OPEN_MARK, block_delimiters
from .stability import lines_of

_PREFIX = " \t>*+•-.)0123456789"


def inline_source(source: str) -> str:
    """Markdown that shows an inline formula as its source."""
    return source if "`" in source else f"{OPEN_MARK}{source}{OPEN_MARK}"


def with_open_formula(tokens: list[Token], text: str) -> list[Token] | None:
    """The tokens of the end of a text with its open formula as source; None if there is none."""
    lines = text.split("\n")
    line = _open_line(lines)
    index = next((i for i, token in enumerate(tokens) if _is_text_with(token, line)), None)
    if index is None:
        return None
    inline = tokens[index]
    before = inline.content.split("\n")[: line - lines_of(inline)[0]]
    inline.content = "\n".join(before)
    width = len(lines[line]) - len(lines[line].lstrip(_PREFIX))
    source = [lines[line][width:], *(_without_prefix(one, width) for one in lines[line + 1 :])]
    box = Token("open_formula", "pre", 0, content="\n".join(source).rstrip("\n"), block=True)
    shown = tokens[: index + 2] if before else tokens[: index - 1]
    return [*shown, box, *_ends_around(tokens, index)]


def _open_line(lines: list[str]) -> int:
    """The line in which a formula begins that is still open; -1 if there is none."""
    first = len(lines) - 1
    while first > 0 and lines[first - 1].strip(" \t>"):
        first -= 1
    for number in range(first, len(lines)):
        if found := block_delimiters(lines[number].lstrip(_PREFIX)):
            rest = "\n".join(lines[number:]).lstrip(_PREFIX)
            if len(rest) <= REACH and found[1] not in rest[len(found[0]) :]:
                return number
    return -1


def _is_text_with(token: Token, line: int) -> bool:
    return token.type == "inline" and line in range(*lines_of(token))


def _without_prefix(line: str, width: int) -> str:
    """The line without what the containers of the formula put before it."""
    return line[width:] if not line[:width].strip(" \t>") else line.lstrip(" \t>")


def _ends_around(tokens: list[Token], index: int) -> list[Token]:
    """The ends of the blocks that the text is in."""
    level, ends = tokens[index - 1].level, []
    for token in tokens[index + 2 :]:
        if token.nesting < 0 and token.level == level - 1:
            ends.append(token)
            level -= 1
    return ends
