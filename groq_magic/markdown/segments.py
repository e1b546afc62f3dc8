"""Inline text is parsed in segments, so that a long paragraph can settle and costs what it should.

A segment has at least a thousand characters and ends where no markup is open, so that it shows what
CommonMark says. Where there is no such place, it ends anyway; so does a text of very many brackets,
for each of which the parser looks ahead.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

SHORTEST = 1_000  # characters
_LONGEST = 1_500
_STEP = 250
_BRACKETS = re.compile(r"(?:[^\[]*\[){20}[^\[]*(?=\[)")
_SPACE = re.compile(r"(?<=[^ \n\\])[ \n]")
_REFERENCE = re.compile(r"(?:\[[^\[\]]*\])+(?![\[(])")
_OPEN = re.compile(r"[`\[$]|\*+(?![\s*])|(?<!\w)_+(?![\s_])|~~|<[a-zA-Z/!]")


def inline_rule(state: StateCore) -> None:
    """Parse the inline tokens; takes the place of markdown-it's rule."""
    for token in state.tokens:
        if token.type == "inline":
            token.children = []
            for segment in segments(token.content, state.md):
                token.children += _parsed(segment, state.md, state.env)


def segments(text: str, parser: MarkdownIt) -> list[str]:
    """The segments of an inline text; a longer text begins with the same ones but for the last."""
    found, start = [], 0
    while end := _end(text, start, parser):
        found.append(text[start:end])
        start = end
    return [*found, text[start:]]


def _end(text: str, start: int, parser: MarkdownIt) -> int:
    """Where the segment from ``start`` ends; 0 if it is the last one."""
    many = _BRACKETS.match(text, start, start + _LONGEST)
    limit = many.end() if many else start + _LONGEST
    for least in range(start + SHORTEST, min(limit, len(text)), _STEP):
        space = _SPACE.search(text, least, limit)
        if space and _is_closed(text[start : space.start()], parser):
            return space.start()
    if len(text) <= limit:
        return 0
    spaces = [space.start() for space in _SPACE.finditer(text, start + 1, limit)]
    return spaces[-1] if spaces else limit


def _parsed(segment: str, parser: MarkdownIt, env: Any) -> list[Token]:
    return parser.inline.parse(segment, parser, env, [])


@lru_cache(maxsize=256)
def _is_closed(segment: str, parser: MarkdownIt) -> bool:
    """Whether nothing that follows can change the markup of a segment, definitions included."""
    tokens = _parsed(segment, parser, {"references": {}})
    text = (token for token in tokens if token.type in ("text", "text_special"))
    return not any(
        token.markup in ("\\(", "\\[")
        or (token.type == "text" and _OPEN.search(_REFERENCE.sub("", token.content)))
        for token in text
    )
