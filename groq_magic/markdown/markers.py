"""Markers of lists, headings and quotes that models write, and CommonMark does not know.

A line with ``• `` is a list item; ``##Title`` is a heading, as it was before CommonMark
(https://daringfireball.net/projects/markdown/syntax#header), and ``#word`` is a hashtag. GitHub and
ChatGPT show both as text. A quote that begins with ``[!NOTE]`` is one of GitHub's alerts
(https://docs.github.com/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#alerts).
"""

from __future__ import annotations

import re

from markdown_it.parser_block import RuleFuncBlockType
from markdown_it.rules_block import StateBlock, heading
from markdown_it.rules_core import StateCore, block
from markdown_it.token import Token

from .code import line_at

_BULLET = re.compile(r"^([ \t>]*)•(?=[ \t])", re.MULTILINE)
_HEADING = re.compile(r"#{2,6}(?=[^\s#])")
_ALERT = re.compile(
    r"\A\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\][ \t]*$", re.IGNORECASE | re.MULTILINE
)


def block_rule(state: StateCore) -> None:
    """Parse the blocks, with two versions of the text at hand, see `seeing`."""
    state.env["written"] = state.src
    state.env["marked"] = _BULLET.sub(r"\1-", state.src)
    block(state)


def seeing(version: str, rule: RuleFuncBlockType) -> RuleFuncBlockType:
    """The rule on one version of the text: as "written", or "marked", with ``-`` for each ``•``."""

    def on_version(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        before, state.src = state.src, state.env[version]
        found = rule(state, start, end, silent)
        state.src = before
        return found

    return on_version


def heading_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A heading, also without a blank after two or more ``#``."""
    if heading(state, start, end, silent):
        return True
    line = line_at(state, start)
    found = _HEADING.match(line)
    if not found or state.is_code_block(start):
        return False
    if not silent:
        state.line, tag = start + 1, f"h{len(found[0])}"
        tokens = [state.push("heading_open", tag, 1), state.push("inline", "", 0)]
        tokens.append(state.push("heading_close", tag, -1))
        for token in tokens:
            token.map, token.markup = [start, start + 1], found[0]
        tokens[1].content = _without_closing(line[found.end() :], found[0])
        tokens[1].children, tokens[1].markup = [], ""
    return True


def _without_closing(title: str, marks: str) -> str:
    """The title without ``#`` behind a blank at its end, or as many as it begins with."""
    title = title.rstrip(" \t")
    before = title.rstrip("#")
    return before.rstrip(" \t") if before.endswith((" ", "\t")) else title.removesuffix(marks)


def title_alerts(tokens: list[Token]) -> None:
    """Put a title in a line of its own in the place of an alert's kind."""
    for quote, opened, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (quote.type, opened.type) == ("blockquote_open", "paragraph_open"):
            inline.content = _ALERT.sub(_title, inline.content, count=1)


def _title(kind: re.Match[str]) -> str:
    return f"**{kind[1].capitalize()}**<br>"
