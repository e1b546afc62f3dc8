"""Limits of the dialect, far beyond what answers need: no hostile text costs more than its length.

CommonMark sets none. markdown-it drops all that follows a block that is nested too deep.
"""

from __future__ import annotations

from collections.abc import Callable

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

NESTING = 20  # levels of tokens: a list has two, itself and its item; deeper markers are text
REACH = 2_000  # characters of a link definition or a formula
HEAD = 1_000  # characters of the line of a table's head

Rule = Callable[[StateBlock, int, int, bool], bool]
InlineRule = Callable[[StateInline, bool], bool]


def nested_rule(rule: Rule) -> Rule:
    """The rule of a container, which finds none inside blocks at the limit."""

    def find(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        is_inside = state.sCount[start] >= state.blkIndent
        return not (is_inside and state.level >= NESTING) and rule(state, start, end, silent)

    return find


def table_rule(rule: Rule) -> Rule:
    """The rule of tables, which finds none below a long line."""

    def find(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        length = state.eMarks[start] - state.bMarks[start]
        return length <= HEAD and rule(state, start, end, silent)

    return find


def definition_rule(rule: Rule) -> Rule:
    """The rule of link definitions, which reads only so far."""

    def find(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        if not state.src.startswith("[", state.bMarks[start] + state.tShift[start]):
            return False
        last, line = state.lineMax, start
        while line < last and is_within_reach(state, start, line):
            line += 1
        state.lineMax = line
        try:
            return line > start and rule(state, start, end, silent)
        finally:
            state.lineMax = last

    return find


def link_rule(rule: InlineRule) -> InlineRule:
    """The rule of links or images, which looks for an end only if there is one."""

    def find(state: StateInline, silent: bool) -> bool:
        return state.src.find("]", state.pos) > 0 and rule(state, silent)

    return find


def is_within_reach(state: StateBlock, start: int, line: int) -> bool:
    """Whether what begins at ``start`` can go on to the end of ``line``."""
    return state.eMarks[line] - state.bMarks[start] <= REACH
