"""Code blocks: whether a fence is closed, and HTML with colours."""

from __future__ import annotations

import re
from functools import lru_cache
from time import thread_time
from typing import Any

import pygments
from markdown_it.common.utils import escapeHtml, unescapeAll
from markdown_it.rules_block import StateBlock, fence
from markdown_it.token import Token
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import Name, Punctuation, Text, Whitespace

# Styles are inline because the static output has no style sheet. JupyterLab removes styles
# with variables from files that it does not trust; there the first background applies. The
# variable is one that the widgets of other hosts do not set: theirs are light in any theme.
_STYLE = "margin:0 0 1em;padding:8px 10px;background:rgba(128,128,128,.08)"
_STYLE += ";background:var(--jp-rendermime-table-row-background,rgba(128,128,128,.08))"
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
HIGHLIGHT_LIMIT = 20_000  # characters of a block; Pygments takes about 50 ms for them
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
    language = language_of(info)
    name = f"language-{language} " if re.fullmatch(r"[\w+#.-]{1,40}", language) else ""
    before = f'<pre style="{_STYLE}"><code class="{name}highlight" style="{_CODE_STYLE}">'
    return before, "</code></pre>\n"


def language_of(info: str) -> str:
    """The language that an info string names."""
    return next(iter(unescapeAll(info).split(maxsplit=1)), "")


def code_html(token: Token) -> str:
    """The HTML of a code block."""
    before, after = code_frame(token.info)
    is_open = not token.meta.get("closed", True)
    return before + coloured(language_of(token.info), token.content, is_open=is_open) + after


def coloured(language: str, code: str, *, is_open: bool, room: int = HIGHLIGHT_LIMIT) -> str:
    """The HTML of code, chunk by chunk; an open fence has a last line without colours.

    A chunk that begins after ``room`` characters has no colours.
    """
    chunks = ended_chunks(language, code, room)
    html = [chunk_html(language, chunk) for chunk in chunks]
    size = sum(map(len, chunks))
    last, language = code[size:], language if size < room else ""
    if not is_open:
        return "".join((*html, chunk_html(language, last)))
    lines, newline, line = last.rpartition("\n")
    language = language if len(last) <= _LONGEST_CHUNK else ""
    return "".join((*html, chunk_html(language, lines + newline), escapeHtml(line)))


def chunk_html(language: str, code: str) -> str:
    """The HTML of a chunk of code, with colours if that is possible."""
    has_colours = language in _LANGUAGES and _is_moderate(code)
    return _highlighted(language, code) if has_colours else escapeHtml(code)


# The colours of a chunk do not depend on what follows, so that it can settle. It ends between two
# lines, but not in a text or a comment; one that is very long has colours when the fence closes.

_CHUNK = 300  # characters
_CONTEXT = 100  # characters behind the end of a chunk
_LONGEST_CHUNK = 2_000
_UNENDED = 4_000  # characters after which a chunk surely has no end
_LINE = re.compile(r"(?<=\n)(?=[ \t]*[^\s}\])])")
_OUTER_LINE = re.compile(r"(?<=\n)(?=[^\s}\])])")  # where the indentation says what a line is
# Their code has code of other languages inside.
_HOSTS = frozenset(("html", "vue", "django", "jinja", "markdown", "md"))


def is_unended(language: str, code: str, room: int = HIGHLIGHT_LIMIT) -> bool:
    """Whether code without an end of a chunk can settle line by line, without colours."""
    return language not in _LANGUAGES or len(code) > _UNENDED or room <= 0


def ended_chunks(language: str, code: str, room: int = HIGHLIGHT_LIMIT) -> list[str]:
    """The chunks that a code begins with; the same ones whatever follows."""
    chunks, start = [], 0
    while start < room and (end := _end_of_chunk(language, code, start)):
        chunks.append(code[start:end])
        start = end
    return chunks


def _end_of_chunk(language: str, code: str, start: int) -> int:
    """Where the chunk of code from ``start`` ends; 0 if that is not to be seen."""
    if language not in _LANGUAGES or language in _HOSTS:
        return 0
    least, line = start + _CHUNK, _OUTER_LINE if language in ("yaml", "yml") else _LINE
    while found := line.search(code, least, start + _LONGEST_CHUNK):
        end = found.start()
        context = code.find("\n", end + _CONTEXT) + 1
        if not context:
            return 0
        if _is_end(language, code[start:end], code[end:context]):
            return end
        least = end + _CONTEXT
    return 0


def _is_end(language: str, before: str, after: str) -> bool:
    """Whether the lexer reads what is after that place as if nothing were before it."""
    if not _is_moderate(before + after):
        return False
    whole = _kinds(language, before + after)
    return bool(whole) and whole == _kinds(language, before) + _kinds(language, after)


def _kinds(language: str, code: str) -> list[Any]:
    """The kind of token of each character."""
    return [kind for kind, text in _lexed(language, code) for _ in text]


def _is_moderate(code: str) -> bool:
    """Whether the code, its longest line and its longest white space are short enough."""
    return 0 < len(code) <= HIGHLIGHT_LIMIT and not re.search(r"[^\n]{1001}|\s{101}", code)


@lru_cache(maxsize=128)
def _highlighted(language: str, code: str) -> str:
    """Spans with Pygments' short classes, for which Jupyter has styles."""
    tokens = _lexed(language, code)
    if not tokens:
        return escapeHtml(code)
    html: str = pygments.format(tokens, HtmlFormatter(nowrap=True))
    return html


@lru_cache(maxsize=128)
def _lexed(language: str, code: str) -> list[tuple[Any, str]]:
    """The tokens of some code; none if the lexer takes too long or changes a character."""
    tokens = _lexed_in_time(language, code)
    if not tokens and len(code) <= _UNENDED:  # a garbage collection may have taken the time
        tokens = _lexed_in_time(language, code)
    return tokens


def _lexed_in_time(language: str, code: str) -> list[tuple[Any, str]]:
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    tokens, until = [], thread_time() + _HIGHLIGHT_SECONDS
    for kind, text in lexer.get_tokens(code):
        tokens.append((Text if kind in _UNCOLOURED else kind, text))
        if thread_time() > until:
            break
    return tokens if "".join(text for _, text in tokens) == code else []
