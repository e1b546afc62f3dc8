"""The few HTML tags that models write within a line; all other HTML is text.

``<br>`` breaks the line, ``<sub>…</sub>`` and its sisters format what is between them within their
block, and a comment is dropped. With an attribute they are text: nothing that a model writes
becomes one. As in CommonMark, what is inside any tag is no Markdown
(https://spec.commonmark.org/0.31.2/#raw-html).
"""

from __future__ import annotations

import re

from markdown_it.common.html_re import close_tag, open_tag
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter

from . import segments

_NAMES = ("sub", "sup", "kbd", "b", "i", "u", "s", "mark", "small", "strong", "em", "del")
_LIMIT = 2_000  # characters; bounds the search for the end of a tag
_TAG = re.compile(
    rf"(?P<br><br ?/?>)|<(?P<end>/?)(?P<name>{'|'.join(_NAMES)})>|(?P<comment><!--(?:-?>|.*?-->))"
    rf"|{open_tag}|{close_tag}",
    re.DOTALL,
)
_OPENINGS = frozenset(f"<{name}>" for name in _NAMES)
_WHOLE = ["<br />", "<!--", *_OPENINGS, *(f"</{name}>" for name in _NAMES)]
_BEGUN = _OPENINGS.union(tag[:size] for tag in _WHOLE for size in range(1, len(tag)))


def find_tag(source: str, start: int) -> re.Match[str] | None:
    """The tag or comment at ``start``; its groups say which of ours it is, if it is one."""
    return _TAG.match(source, start, start + _LIMIT)


def without_begun_tags(text: str) -> str:
    """The text without the beginning of our tags at its end, and without empty ones."""
    while text[(start := text.rfind("<")) :] in _BEGUN:
        text = text[:start]
    return text


def html_rule(state: StateInline, silent: bool) -> bool:
    """A tag or a comment; what forms pairs waits for `pairs_rule`."""
    found = find_tag(state.src, state.pos)
    if not found or found.end() > state.posMax:
        return False
    if found["br"] and not silent:
        state.push("hardbreak", "br", 0)
    elif not (silent or found["comment"]):
        state.push("text", "", 0).content = found[0]
        if found["name"]:
            _add_delimiter(state, found["name"], is_end=bool(found["end"]))
    state.pos = found.end()
    return True


def _add_delimiter(state: StateInline, name: str, *, is_end: bool) -> None:
    """Let markdown-it pair the tag as it pairs ``*``; its marker is the name as a number."""
    marker, token = int.from_bytes(name.encode()), len(state.tokens) - 1
    state.delimiters.append(Delimiter(marker, 0, token, -1, open=not is_end, close=is_end))


def pairs_rule(state: StateInline) -> None:
    """Make elements of the tags that have been paired; the others stay text."""
    nested = (meta["delimiters"] for meta in state.tokens_meta if meta)
    for delimiters in (state.delimiters, *nested):
        for opener in delimiters:
            opened = state.tokens[opener.token]
            if opener.end >= 0 and opened.content.startswith("<"):
                closed = state.tokens[delimiters[opener.end].token]
                opened.tag = closed.tag = opened.content[1:-1]
                opened.type, opened.nesting, opened.content = "html_open", 1, ""
                closed.type, closed.nesting, closed.content = "html_close", -1, ""


def hide_comments_rule(state: StateCore) -> None:
    """A paragraph of comments alone takes no room, unless its tags may have settled."""
    for opened, inline in zip(state.tokens, state.tokens[1:], strict=False):
        if opened.type == "paragraph_open":
            is_empty = all(token.type == "softbreak" for token in inline.children or [])
            is_empty &= len(inline.content) < segments.SHORTEST
            opened.attrs.pop("hidden", None)
            opened.attrs |= {"hidden": ""} if is_empty else {}
