r"""The Markdown that answers are written in: text to tokens, tokens to safe HTML.

It is CommonMark (https://spec.commonmark.org/0.31.2/) with GitHub's tables, strikethrough,
task lists and bare ``https://`` links (https://github.github.com/gfm/), and with math
(``$…$``, ``$$…$$``, ``\(…\)``, ``\[…\]``, ``\begin…\end``). The text is a model's and hostile
until proven otherwise: raw HTML is escaped, links lead to http, https and mailto only, and
an image is a link: nothing is fetched. No rule looks further ahead than the next blank
line, which is what `markdown` builds on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from functools import lru_cache
from time import thread_time
from types import SimpleNamespace
from typing import Any

import markdown_it.token
import pygments
from markdown_it import MarkdownIt, helpers
from markdown_it.common import utils
from markdown_it.renderer import RendererHTML
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock, fence
from markdown_it.rules_block.table import MAX_AUTOCOMPLETED_CELLS, escapedSplit
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.utils import EnvType, OptionsDict
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import Name, Punctuation, Text, Whitespace

from .math import is_safe_formula

Token = markdown_it.token.Token
FILLED_UP_CELLS = MAX_AUTOCOMPLETED_CELLS
"""How many cells of a table may be missing, in all its rows; at the next one it ends."""
Environment = MutableMapping[str, Any]
"""What a parse leaves beside its tokens; ``references`` are the link definitions."""

escape_html = utils.escapeHtml
_SAFE_SCHEME = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_REL = {"rel": "noopener noreferrer nofollow", "target": "_blank"}
# Inline, since the static output brings no style sheet, and JupyterLab has rules for data
# frames where an answer's tables and code stand.
# The first background is for files that JupyterLab does not trust: it takes variables out.
_CODE_STYLE = "margin:0 0 1em;padding:8px 10px;background:rgba(128,128,128,.08)"
_CODE_STYLE += ";background:var(--jp-cell-editor-background,rgba(128,128,128,.08))"
_TABLE_STYLE = "margin:0 0 1em"
_CELL_STYLE = "text-align:left"
_TASK_STYLE = "list-style-type:none"
_BOX_STYLE = "margin:0 0.5em 0 -1.5em;vertical-align:middle"
_INLINE_MATH_LIMIT = 2_000  # characters; so that a hostile text cannot make a search long


def parse(text: str, env: Environment) -> list[Token]:
    """The tokens of a text; its link reference definitions are added to ``env``."""
    return _parser.parse(text, env)


def code_blocks(text: str) -> list[str]:
    r"""The text of each fenced code block, wherever it stands, as it was written.

    >>> code_blocks("1. So:\n   ```python\n   print(1)\n   ```")
    ['print(1)\n']
    """
    return [token.content for token in _parser.parse(text) if token.type == "fence"]


def parse_inline(tokens: list[Token], env: Environment) -> None:
    """Parse the inline content of these tokens again, with other definitions."""
    for token in tokens:
        if token.type == "inline":
            token.children = []
    state = StateCore("", _parser, env, tokens)
    for rule in _parser.core.ruler.getRules("")[2:]:  # what follows the blocks
        rule(state)


def to_html(tokens: Sequence[Token], env: Environment) -> str:
    """The safe HTML of some tokens."""
    html: str = _parser.renderer.render(tokens, _parser.options, env)
    return html


def blocks(tokens: Sequence[Token]) -> list[list[Token]]:
    """The tokens of each top-level block."""
    found: list[list[Token]] = []
    start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            found.append(list(tokens[start : index + 1]))
            start = index + 1
    return found


def render(text: str) -> str:
    r"""The safe HTML of a whole text.

    >>> render("**Hello**")
    '<p><strong>Hello</strong></p>\n'
    """
    env: dict[str, Any] = {}
    return to_html(parse(text, env), env)


def with_lf(text: str) -> str:
    """The text with LF line ends, as Markdown reads it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


# Links and images


def _is_safe_link(url: str) -> bool:
    return bool(_SAFE_SCHEME.match(url))


def _link_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    link = tokens[index]
    link.attrs |= _REL
    if not link.attrs.get("href", True):  # of [text](), which would lead to this page
        del link.attrs["href"]
    return self.renderToken(tokens, index, options, env)


def _image(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A link with the image's description; inside a link, the description alone."""
    image = tokens[index]
    source = str(image.attrs["src"])
    text = escape_html(self.renderInlineAsText(image.children or [], options, env) or source)
    if image.meta["is_in_link"]:
        return text
    attributes = " ".join(f'{name}="{value}"' for name, value in _REL.items())
    return f'<a href="{escape_html(source)}" {attributes}>{text}</a>'


def _mark_images(state: StateCore) -> None:
    """Note of each image whether it is in a link, where it cannot be a link itself."""
    for inline in state.tokens:
        depth = 0
        for token in inline.children or []:
            depth += token.nesting if token.type.startswith("link_") else 0
            token.meta["is_in_link"] = depth > 0


_BARE_URL = re.compile(r"://[^\s<>\"`]*[^\s<>\"`.,:;!?'*_~|\\\]]")


def _bare_url(state: StateInline, silent: bool) -> bool:
    """A URL that just stands in the text, as https://github.github.com/gfm/#autolinks- has it."""
    scheme = re.search(r"(?<![A-Za-z0-9])https?\Z", state.pending[-6:])
    if not scheme or state.linkLevel:
        return False
    found = _BARE_URL.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    rest = found[0]
    surplus = rest.count(")") - rest.count("(")
    closing = len(rest) - len(rest.rstrip(")"))
    rest = rest[: len(rest) - max(0, min(surplus, closing))]
    url = _parser.normalizeLink(scheme[0] + rest)
    if len(rest) < 4 or not _is_safe_link(url):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        state.push("link_open", "a", 1).attrs = {"href": url}
        state.push("text", "", 0).content = scheme[0] + rest
        state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True


def _label_end(state: StateInline, start: int, disableNested: bool = False) -> int:  # noqa: N803
    """Where the link label that begins at ``start`` ends, or -1.

    It answers as markdown-it's own ``parseLinkLabel``, which scans to the end of the text
    for every bracket that nobody closes. Here one scan answers for all brackets it passes.
    """
    known = state.cache.get(~start)  # skipToken's cache: its keys are positions, ours are not
    if known is None:
        known = _scan_labels(state, start, disableNested)
    end, is_nested = abs(known), known < 0
    return -1 if not end or end >= state.posMax or (is_nested and disableNested) else end


def _scan_labels(state: StateInline, start: int, disable_nested: bool) -> int:
    """Scan as far as ``start`` needs; note each closed label's end, negative if a link is inside.

    A label that never ends is noted as 0.
    """
    before, state.pos = state.pos, start + 1
    opened, nested = [start], [False]
    while opened and state.pos < state.posMax:
        position, marker = state.pos, state.src[state.pos]
        if marker == "]":
            inner = nested.pop()
            state.cache[~opened.pop()] = -position if inner else position
            if not opened:
                break
        state.md.inline.skipToken(state)
        if marker == "[" and state.pos == position + 1:
            opened.append(position)
            nested.append(False)
        elif marker == "[":
            if disable_nested:
                state.pos = before
                return 0
            nested = [True] * len(nested)
    for position in opened:
        state.cache[~position] = 0
    state.pos = before
    return state.cache[~start]


# Task lists


def _mark_tasks(state: StateCore) -> None:
    """Checkboxes, https://github.github.com/gfm/#task-list-items-extension-."""
    for index, token in enumerate(state.tokens[2:], 2):
        item = state.tokens[index - 2]
        if token.type != "inline" or item.type != "list_item_open" or not token.children:
            continue
        first = token.children[0]
        item.attrs.pop("style", None)
        if first.type == "text" and re.match(r"\[[ xX]\]\s", first.content):
            item.attrs["style"] = _TASK_STYLE
            box = Token("task_box", "input", 0, content=first.content[1])
            first.content = first.content[4:]
            token.children.insert(0, box)


def _task_box(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    checked = "" if tokens[index].content == " " else " checked"
    return f'<input type="checkbox" disabled{checked} style="{_BOX_STYLE}">'


# Code


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The usual rule; it notes whether the fence was closed or the text ended in it."""
    found = fence(state, start, end, silent)
    if found and not silent:
        token, last = state.tokens[-1], state.line - 1
        marks = _line(state, last).rstrip(" \t")
        closes = set(marks) == {token.markup[0]} and len(marks) >= len(token.markup)
        token.meta["closed"] = closes and last > start and not state.is_code_block(last)
    return found


def code_frame(info: str) -> tuple[str, str]:
    """What stands around a code block's text, whose language the fence's info names."""
    language = _language(info)
    name = f"language-{language} " if re.fullmatch(r"[\w+#.-]{1,40}", language) else ""
    opening = f'<pre style="{_CODE_STYLE}"><code class="{name}highlight" style="background:none">'
    return opening, "</code></pre>\n"


def _language(info: str) -> str:
    return next(iter(utils.unescapeAll(info).split(maxsplit=1)), "")


def code_line(text: str, markup: str = "") -> Token:
    """A piece of a code block's text, whose fence is made of that markup."""
    return Token("code_line", "", 0, content=text, markup=markup)


def _code(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    opening, closing = code_frame(token.info)
    language = _language(token.info)
    if token.meta.get("closed") and language in _LANGUAGES and _is_written_by_hand(token.content):
        return opening + _highlighted(language, token.content) + closing
    return opening + escape_html(token.content) + closing


# Those whose lexers were tried on hostile code. Of the many others some take forever on a few
# hundred characters, and it is the model that names the language.
_NAMES = """
bash c clojure cmake console cpp c++ css csharp c# dart diff django docker dockerfile elixir erlang
fortran fsharp go golang graphql groovy haskell hcl html http ini ipython java javascript jinja js
json jsx julia kotlin latex lisp lua make makefile markdown matlab md mysql nginx nim ocaml pascal
perl php postgres postgresql powershell protobuf py pycon python python3 r rb rs ruby rust scala
scheme scss sh shell solidity sql swift terraform tex toml ts tsx typescript verilog vhdl vim vue
xml yaml yml zig zsh
"""
_LANGUAGES = frozenset(_NAMES.split())
_HIGHLIGHT_LIMIT = 20_000  # characters, which take Pygments 50 ms
_HIGHLIGHT_SECONDS = 0.1
_PLAIN = {Name, Punctuation, Whitespace}  # as in editors, and it halves the HTML


def _is_written_by_hand(code: str) -> bool:
    """Whether there is not too much of it, in all, in a line, or of nothing."""
    return 0 < len(code) <= _HIGHLIGHT_LIMIT and not re.search(r"[^\n]{1001}|\s{101}", code)


@lru_cache(maxsize=128)
def _highlighted(language: str, code: str) -> str:
    """Spans with Pygments' short classes, for which Jupyter has styles.

    Plain where that takes too long, or where the lexer does not keep every character.
    """
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    tokens, until = [], thread_time() + _HIGHLIGHT_SECONDS
    for token in lexer.get_tokens(code):
        tokens.append(token)
        if thread_time() > until:
            break
    if "".join(text for _, text in tokens) != code:
        return escape_html(code)
    coloured = [(Text if kind in _PLAIN else kind, text) for kind, text in tokens]
    html: str = pygments.format(coloured, HtmlFormatter(nowrap=True))
    return html


def _code_line(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return escape_html(tokens[index].content)


# Tables


def cells_in(row: str) -> int:
    """How many cells a table's row has, as it is written."""
    cells = escapedSplit(row.strip(" \t"))
    return len(cells) - (cells[0] == "") - (len(cells) > 1 and cells[-1] == "")


def _table_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    tokens[index].attrs["style"] = _TABLE_STYLE
    return self.renderToken(tokens, index, options, env)


def _cell_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    tokens[index].attrs.setdefault("style", _CELL_STYLE)
    return self.renderToken(tokens, index, options, env)


# Math: own rules, which end at a blank line, so that nothing is undecided for long.
# MathJax, where the frontend has it, typesets elements of these classes: the second is for
# version 2, which is in the pages that nbconvert makes.
_MATH_CLASSES = "mathjax_process tex2jax_process"

_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
# Only these, so that no text can make a search for the end of ever another one.
_MATH_ENVIRONMENT = re.compile(
    r"\\begin\{((?:equation|align|alignat|gather|multline|flalign|eqnarray|split|array|cases"
    r"|[pbvBV]?matrix|aligned|gathered)\*?)\}"
)


def inline_math_end(source: str, start: int) -> int:
    """Where the inline math that begins at ``start`` ends; -1 where none begins."""
    opener = _inline_opener(source, start)
    if not opener:
        return -1
    if opener == "$":
        end = _closing_dollar(source, start + 1)
    else:
        limit = start + _INLINE_MATH_LIMIT
        end = source.find(_CLOSERS[opener], start + len(opener), limit)
    content = source[start + len(opener) : end] if end > 0 else ""
    return -1 if not content.strip() or "`" in content else end + len(opener)


def _inline_opener(source: str, start: int) -> str:
    if source[start] not in "$\\":
        return ""
    two = source[start : start + 2]
    return two if two in _CLOSERS else "$" * (source[start] == "$")


def _math_inline(state: StateInline, silent: bool) -> bool:
    end = inline_math_end(state.src, state.pos)
    if not 0 <= end <= state.posMax:
        return False
    if not silent:
        opener = _inline_opener(state.src, state.pos)
        token = state.push("math_inline", "", 0)
        token.content = state.src[state.pos + len(opener) : end - len(opener)]
        token.markup = opener
    state.pos = end
    return True


def _closing_dollar(source: str, start: int) -> int:
    """Where a ``$`` closes one before ``start``; -1 for currency such as ``$5 and $6``."""
    end = source.find("$", start, start + _INLINE_MATH_LIMIT)
    if end < 0 or source[start].isspace() or source[end - 1].isspace():
        return -1
    followed_by_digit = source[end + 1 : end + 2].isdigit()
    return -1 if followed_by_digit else end


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    first = _line(state, start)
    environment = _MATH_ENVIRONMENT.match(first)
    opener = "" if environment else first[:2]
    closer = f"\\end{{{environment[1]}}}" if environment else _CLOSERS.get(opener)
    if closer is None or opener == "\\(" or state.is_code_block(start):
        return False
    last = _last_math_line(state, start, end, first[len(opener) :], closer)
    if last is None:
        return False
    if not silent:
        lines = [first[len(opener) :], *(_line(state, n) for n in range(start + 1, last + 1))]
        token = state.push("math_block", "", 0)
        token.block, token.map = True, [start, last + 1]
        token.content = "\n".join(lines).rstrip()[: None if environment else -len(closer)]
        token.markup = opener
        state.line = last + 1
    return True


def _last_math_line(state: StateBlock, start: int, end: int, rest: str, closer: str) -> int | None:
    """The line that ends with ``closer``; None where a blank line or the container's end is first.

    Where a search ended in vain is remembered: for lines before, it would again.
    """
    in_vain: dict[tuple[str, int], int] = state.env.setdefault("math_in_vain", {})
    search = (closer, state.blkIndent)
    if start < in_vain.get(search, 0):
        return None
    if rest.rstrip().endswith(closer) and rest.strip():
        return start
    for line in range(start + 1, end):
        if state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            in_vain[search] = line
            return None
        if _line(state, line).rstrip().endswith(closer):
            return line
    in_vain[search] = end
    return None


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _math_html(token: Token, plain: tuple[str, str], tag: str) -> str:
    """The formula for MathJax, or between ``plain`` as its source, as it was written."""
    opener, content = token.markup, escape_html(token.content)
    if not is_safe_formula(token.content):
        return f"{plain[0]}{opener}{content}{_CLOSERS.get(opener, opener)}{plain[1]}"
    opener = {"$": "\\(", "$$": "\\["}.get(opener, opener)
    return f'<{tag} class="{_MATH_CLASSES}">{opener}{content}{_CLOSERS.get(opener, "")}</{tag}>'


def _render_math_inline(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return _math_html(tokens[index], ("<code>", "</code>"), "span")


def _render_math_block(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return _math_html(tokens[index], code_frame(""), "div").rstrip("\n") + "\n"


# The parser


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": False, "maxNesting": 100})
    parser.validateLink = _is_safe_link  # type: ignore[method-assign]  # its documented hook
    own: Any = SimpleNamespace(**{**vars(helpers), "parseLinkLabel": _label_end})
    parser.helpers = own
    parser.inline.ruler.before("escape", "math", _math_inline)
    parser.inline.ruler.before("newline", "bare_url", _bare_url)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "math", _math_block, interrupts)
    parser.block.ruler.at("fence", _fence, interrupts)
    parser.core.ruler.push("images", _mark_images)
    parser.core.ruler.push("tasks", _mark_tasks)
    for name, rule in _RENDER_RULES.items():
        parser.add_render_rule(name, rule)
    return parser


_RENDER_RULES: Mapping[str, Any] = {
    "fence": _code,
    "code_block": _code,
    "code_line": _code_line,
    "table_open": _table_open,
    "th_open": _cell_open,
    "td_open": _cell_open,
    "link_open": _link_open,
    "image": _image,
    "task_box": _task_box,
    "math_inline": _render_math_inline,
    "math_block": _render_math_block,
}
_parser = _make_parser()
