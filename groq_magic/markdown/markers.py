"""Markers of lists and headings that models write, and CommonMark does not know.

A line with ``• `` is a list item; ``##Title`` is a heading, as it was before CommonMark
(https://daringfireball.net/projects/markdown/syntax#header), and ``#word`` is a hashtag. GitHub and
ChatGPT show both as text.
"""

from __future__ import annotations

import re

from markdown_it.parser_block import RuleFuncBlockType
from markdown_it.rules_block import StateBlock, heading
from markdown_it.rules_core import StateCore, block

from .code import line_at

_BULLET = re.compile(r"^([ \t>]*)•(?=[ \t])", re.MULTILINE)
_HEADING = re.compile(r"(#{2,6})([^\s#].*?)(?:[ \t]+#+|\1)?[ \t]*")


def block_rule(state: StateCore) -> None:
    """Parse the blocks of a text that has ``-`` in the place of each ``•``."""
    written = state.src
    state.env["written"], state.src = written, _BULLET.sub(r"\1-", written)
    block(state)
    state.src = written


def as_written(rule: RuleFuncBlockType) -> RuleFuncBlockType:
    """The rule for code or formulas, in which ``•`` stays as it is."""

    def unchanged(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        replaced, state.src = state.src, state.env["written"]
        found = rule(state, start, end, silent)
        state.src = replaced
        return found

    return unchanged


def heading_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A heading, also without a blank after two or more ``#``."""
    if heading(state, start, end, silent):
        return True
    found = _HEADING.fullmatch(line_at(state, start))
    if not found or state.is_code_block(start):
        return False
    if not silent:
        state.line, tag = start + 1, f"h{len(found[1])}"
        tokens = [state.push("heading_open", tag, 1), state.push("inline", "", 0)]
        tokens.append(state.push("heading_close", tag, -1))
        for token in tokens:
            token.map, token.markup = [start, start + 1], found[1]
        tokens[1].content, tokens[1].children, tokens[1].markup = found[2], [], ""
    return True
