"""Code blocks: whether a fence is closed, and HTML with colours."""

from __future__ import annotations

import re
from functools import lru_cache
from time import thread_time

import pygments
from markdown_it.common.utils import escapeHtml, unescapeAll
from markdown_it.rules_block import StateBlock, fence
from markdown_it.token import Token
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import Name, Punctuation, Text, Whitespace

# Styles are inline because the static output has no style sheet. JupyterLab removes styles
# with variables from files that it does not trust; there the first background applies.
_STYLE = "margin:0 0 1em;padding:8px 10px;background:rgba(128,128,128,.08)"
_STYLE += ";background:var(--jp-cell-editor-background,rgba(128,128,128,.08))"
# JupyterLab breaks long lines inside words. Not the block scrolls: its buttons stay.
_CODE_STYLE = "background:none;display:block;overflow-x:auto;white-space:pre"

# Languages whose lexers are fast on hostile code. Others can take minutes for a few hundred
# characters, and the model chooses the language.
_NAMES = """
bash c clojure cmake console cpp c++ css csharp c# dart diff django docker dockerfile elixir erlang
fortran fsharp go golang graphql groovy haskell hcl html http ini ipython java javascript jinja js
json jsx julia kotlin latex lisp lua make makefile markdown matlab md mysql nginx nim ocaml pascal
perl php postgres postgresql powershell protobuf py pycon python python3 r rb rs ruby rust scala
scheme scss sh shell solidity sql swift terraform tex toml ts tsx typescript verilog vhdl vim vue
xml yaml yml zig zsh
"""
_LANGUAGES = frozenset(_NAMES.split())
_HIGHLIGHT_LIMIT = 20_000  # characters; Pygments takes about 50 ms for them
_HIGHLIGHT_SECONDS = 0.1
_UNCOLOURED = {Name, Punctuation, Whitespace}  # editors do the same; it halves the HTML


def fence_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Apply markdown-it's rule; note whether the fence is closed, and its own indentation."""
    found = fence(state, start, end, silent)
    if found and not silent:
        token, last = state.tokens[-1], state.line - 1
        marks = line_at(state, last).rstrip(" \t")
        closes = set(marks) == {token.markup[0]} and len(marks) >= len(token.markup)
        token.meta["indent"] = state.sCount[start] - state.blkIndent
        token.meta["closed"] = closes and last > start and not state.is_code_block(last)
    return found


def line_at(state: StateBlock, line: int) -> str:
    """The text of a line, without its indentation and the markers of its containers."""
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def code_frame(info: str) -> tuple[str, str]:
    """The HTML before and after the text of a code block; ``info`` names its language."""
    language = _language(info)
    name = f"language-{language} " if re.fullmatch(r"[\w+#.-]{1,40}", language) else ""
    before = f'<pre style="{_STYLE}"><code class="{name}highlight" style="{_CODE_STYLE}">'
    return before, "</code></pre>\n"


def _language(info: str) -> str:
    return next(iter(unescapeAll(info).split(maxsplit=1)), "")


def code_html(token: Token) -> str:
    """The HTML of a code block; it has colours if its fence is closed."""
    before, after = code_frame(token.info)
    language, code = _language(token.info), token.content
    has_colours = token.meta.get("closed") and language in _LANGUAGES and _is_moderate(code)
    return before + (_highlighted(language, code) if has_colours else escapeHtml(code)) + after


def _is_moderate(code: str) -> bool:
    """Whether the code, its longest line and its longest white space are short enough."""
    return 0 < len(code) <= _HIGHLIGHT_LIMIT and not re.search(r"[^\n]{1001}|\s{101}", code)


@lru_cache(maxsize=128)
def _highlighted(language: str, code: str) -> str:
    """Spans with Pygments' short classes, for which Jupyter has styles.

    Without colours if the lexer takes too long or changes a character.
    """
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    tokens, until = [], thread_time() + _HIGHLIGHT_SECONDS
    for token in lexer.get_tokens(code):
        tokens.append(token)
        if thread_time() > until:
            break
    if "".join(text for _, text in tokens) != code:
        return escapeHtml(code)
    coloured = [(Text if kind in _UNCOLOURED else kind, text) for kind, text in tokens]
    html: str = pygments.format(coloured, HtmlFormatter(nowrap=True))
    return html
