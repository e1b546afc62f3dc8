"""Tables: a ``|`` inside code or a formula of a cell does not end the cell.

GitHub splits there and drops what is left over (https://github.github.com/gfm/#example-200), so
that words are lost. Here it does not if only so the row has as many cells as the head.
"""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_block.table import escapedSplit

from .code import line_at

_COVER = "\0"  # stands for a | while cells are split; no other is left in a text
_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|\$[^$`]+\$|\\\(.{1,200}?\\\)")
_PIPE = re.compile(r"(?<!\\)\|")


def cells_in(row: str) -> int:
    """How many cells a row has in the source."""
    cells = escapedSplit(row.strip(" \t"))
    return len(cells) - (cells[0] == "") - (len(cells) > 1 and cells[-1] == "")


def covered(row: str, columns: int) -> str:
    """The row, as long as before, without the ``|`` that end no cell."""
    if row.count("|") < columns or not _SPAN.search(row) or cells_in(row) <= columns:
        return row
    changed = _SPAN.sub(lambda span: _PIPE.sub(_COVER, span[0]), row)
    return changed if cells_in(changed) == columns else row


def table_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Apply markdown-it's rule, once more if there are such ``|``."""
    count, written = len(state.tokens), state.src
    found = table(state, start, end, silent)
    if found and not silent and (rows := _covered_rows(state, start)):
        del state.tokens[count:]
        state.src = rows
        table(state, start, end, silent)
        state.src = written
        for token in state.tokens[count:]:
            token.content = token.content.replace(_COVER, "|")
    return found


def _covered_rows(state: StateBlock, start: int) -> str:
    """The whole text with the rows of the table covered; nothing if no row is."""
    columns, parts, done = cells_in(line_at(state, start)), list[str](), 0
    for line in range(start + 2, state.line):
        row = line_at(state, line)
        if (changed := covered(row, columns)) != row:
            parts += [state.src[done : state.eMarks[line] - len(row)], changed]
            done = state.eMarks[line]
    return "".join([*parts, state.src[done:]]) if parts else ""
