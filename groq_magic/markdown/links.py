"""Links to http, https and mailto only; images become links, so that nothing is fetched."""

from __future__ import annotations

import re

from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, reference
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from .code import line_at

_SAFE_SCHEME = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_NO_DEFINITION = re.compile(r"\[[^\]]*\]:[ \t]*(?!<?(?:https?|mailto):)[^\s]", re.IGNORECASE)
_REL: dict[str, str | int | float] = {"rel": "noopener noreferrer nofollow", "target": "_blank"}
_text_of = RendererHTML().renderInlineAsText
_INSIDE = r"[^\s<>\"`，。、；：！？（）「」『』【】《》"  # punctuation of Chinese ends a URL, too
_BARE_URL = re.compile(rf"://{_INSIDE}]*{_INSIDE}.,:;!?'*_~|\\\]]")


def is_safe_link(url: str) -> bool:
    """Whether a link may lead to this URL."""
    return bool(_SAFE_SCHEME.match(url))


def is_safe_or_local(url: str) -> bool:
    """Whether a link to this URL shows its text, not its source.

    A target without a scheme, such as ``#part`` or ``sandbox:/file``, leads nowhere from here.
    """
    has_scheme = re.match(r"(?!sandbox:)[a-z][a-z0-9+.-]*:|[/\\]{2}", url, re.IGNORECASE)
    return is_safe_link(url) or not has_scheme


def reference_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A link definition; ``[^1]: Note`` and ``[Ann]: Hello`` are none, for they are to be read."""
    is_text = _NO_DEFINITION.match(line_at(state, start))
    return not is_text and reference(state, start, end, silent)


def bare_url_rule(state: StateInline, silent: bool) -> bool:
    """A URL without brackets is a link, as in https://github.github.com/gfm/#autolinks-."""
    scheme = re.search(r"(?<![A-Za-z0-9])https?\Z", state.pending[-6:])
    found = _BARE_URL.match(state.src, state.pos, state.posMax)
    if not (scheme and found) or state.linkLevel:
        return False
    rest = found[0]
    surplus = rest.count(")") - rest.count("(")
    closing = len(rest) - len(rest.rstrip(")"))
    rest = rest[: len(rest) - max(0, min(surplus, closing))]
    url = state.md.normalizeLink(scheme[0] + rest)
    if len(rest) < 4 or not is_safe_link(url):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        state.push("link_open", "a", 1).attrs = {"href": url}
        state.push("text", "", 0).content = scheme[0] + rest
        state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True


def safe_links_rule(state: StateCore) -> None:
    """Make links open in a new tab, and make images links."""
    for inline in (token for token in state.tokens if token.children):
        children: list[Token] = []
        is_in_link = False
        for token in inline.children or []:
            if token.type == "link_open":
                _open_in_new_tab(token)
            is_in_link = token.type == "link_open" or (is_in_link and token.type != "link_close")
            is_image = token.type == "image"
            children += _as_link(token, state, is_in_link=is_in_link) if is_image else [token]
        inline.children = children


def _open_in_new_tab(link: Token) -> None:
    link.attrs |= _REL
    if not is_safe_link(str(link.attrs["href"])):  # as in [text](), which leads to this page
        del link.attrs["href"]


def _as_link(image: Token, state: StateCore, *, is_in_link: bool) -> list[Token]:
    """A link with the description of the image; inside a link, the description alone."""
    source = str(image.attrs["src"])
    text = _text_of(image.children or [], state.md.options, state.env)
    shown = Token("text", "", 0, content=text or source)
    if is_in_link:
        return [shown]
    link = Token("link_open", "a", 1, attrs={"href": source})
    _open_in_new_tab(link)
    return [link, shown, Token("link_close", "a", -1)]
