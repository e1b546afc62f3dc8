r"""Markdown to tokens, and tokens to safe HTML.

The dialect is CommonMark (https://spec.commonmark.org/0.31.2/) with GitHub's tables,
strikethrough, task lists, bare URLs (https://github.github.com/gfm/) and alerts, with formulas, a
few tags (`inline_html`), emphasis beside Chinese, Japanese and Korean (`flanking`), and more
`markers`. The text is hostile until proven otherwise: other HTML is escaped, nothing is fetched.

No rule reads further than the next blank line to decide what a line is; `stability` depends
on that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.parser_block import RuleFuncBlockType
from markdown_it.rules_block import StateBlock, blockquote, code, lheading, list_block, paragraph
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import emphasis, image, link, strikethrough
from markdown_it.token import Token

from . import inline_html, limits, links, markers, math
from .code import code_html, coloured, fence_rule
from .flanking import beside_cjk
from .segments import inline_rule
from .segments import segments as segments_of
from .tables import table_rule

Environment = MutableMapping[str, Any]
"""What a parse collects beside its tokens; ``references`` are the link definitions."""

# Inline, because JupyterLab styles tables as data frames. A wide table scrolls by itself.
_TABLE_STYLE = "margin:0 0 1em;display:block;overflow-x:auto;font-size:inherit"
_CELL_STYLE = ";line-height:inherit"
_TASK_STYLE = "list-style-type:none"
_FROM_RIGHT = re.compile(r"[\W\d_]{0,200}[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
# JupyterLab has these on the left side.
_STYLES_FROM_RIGHT: dict[str, dict[str, str | int | float]] = {
    "paragraph_open": {"style": "text-align:right"},
    "blockquote_open": {"style": "border-left:0;border-right:5px solid rgba(128,128,128,.4)"},
}
_BOX_STYLE = "margin:0 0.5em 0 -1.5em;vertical-align:middle"


def parse_blocks(text: str, env: Environment) -> list[Token]:
    """The tokens of a text, its inline text unparsed; link definitions are added to ``env``."""
    state = StateCore(text, _parser, env)
    for rule in _parser.core.ruler.getRules("")[:2]:
        rule(state)
    return state.tokens


def parse_inline(tokens: list[Token], env: Environment) -> None:
    """Parse the inline text of these tokens, with the definitions in ``env``."""
    state = StateCore("", _parser, env, tokens)
    for rule in _parser.core.ruler.getRules("")[2:]:  # without those for newlines and blocks
        rule(state)


def segments(text: str) -> list[str]:
    """The segments in which an inline text is parsed, see `segments`."""
    return segments_of(text, _parser)


def to_html(tokens: Sequence[Token], env: Environment) -> str:
    """The safe HTML of some tokens."""
    html: str = _parser.renderer.render(tokens, _parser.options, env)
    return html


def render(text: str) -> str:
    r"""The safe HTML of a whole text.

    >>> render("**Hello**")
    '<p><strong>Hello</strong></p>\n'
    """
    env: dict[str, Any] = {}
    return math.limit_formulas(to_html(_parser.parse(text, env), env))


def code_blocks(text: str) -> list[str]:
    r"""The text of each fenced code block, also in lists and quotes.

    >>> code_blocks("1. So:\n   ```python\n   print(1)\n   ```")
    ['print(1)\n']
    """
    return [token.content for token in _parser.parse(text) if token.type == "fence"]


def _tasks_rule(state: StateCore) -> None:
    """Checkboxes, https://github.github.com/gfm/#task-list-items-extension-."""
    for index, token in enumerate(state.tokens[2:], 2):
        item = state.tokens[index - 2]
        if token.type != "inline" or item.type != "list_item_open" or not token.children:
            continue
        first = token.children[0]
        item.attrs.pop("style", None)
        if first.type == "text" and re.match(r"\[[ xX]\]\s", first.content):
            item.attrs["style"] = _TASK_STYLE
            checked = "" if first.content[1] == " " else " checked"
            box = f'<input type="checkbox" disabled{checked} style="{_BOX_STYLE}">'
            token.children.insert(0, Token("html_inline", "", 0, content=box))
            first.content = first.content[4:]


def _headings_rule(state: StateCore) -> None:
    """JupyterLab's table of contents takes the headings of outputs, but for those of this class."""
    for token in state.tokens:
        if token.type == "heading_open":
            token.attrs["class"] = "jp-toc-ignore"


def _tables_rule(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "table_open":
            token.attrs["style"] = _TABLE_STYLE
        elif token.type in ("th_open", "td_open"):
            aligned = str(token.attrs.get("style", "text-align:start"))
            token.attrs["style"] = aligned.removesuffix(_CELL_STYLE) + _CELL_STYLE


def _block_rule(state: StateCore) -> None:
    markers.block_rule(state)
    markers.title_alerts(state.tokens)
    _set_directions(state.tokens)


def _set_directions(tokens: list[Token]) -> None:
    """What begins with an Arabic or Hebrew letter is written from the right."""
    begun: list[Token] = []
    for token in tokens:
        if token.nesting == 1:
            begun.append(token)
            continue
        for block in begun if _FROM_RIGHT.match(token.content) else ():
            block.attrs |= {"dir": "rtl"} if block.level == 0 else {}
            block.attrs |= _STYLES_FROM_RIGHT.get(block.type, {})
        begun.clear()


def _item_rule(state: StateBlock, _start: int, _end: int, _silent: bool) -> bool:
    """Note in ``meta["offset"]`` of a list item how far its content is indented."""
    if state.tokens and state.tokens[-1].type == "list_item_open":
        state.tokens[-1].meta["offset"] = state.blkIndent
    return False


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": False, "maxNesting": 100})
    parser.validateLink = links.is_safe_or_local  # type: ignore[method-assign]  # its documented hook
    _set_inline_rules(parser)
    _set_block_rules(parser)
    rules = (links.safe_links_rule, _tasks_rule, _headings_rule, _tables_rule)
    for rule in (*rules, inline_html.hide_comments_rule):
        parser.core.ruler.push(rule.__name__, rule)
    for kind in ("fence", "code_block"):
        parser.add_render_rule(kind, _render_rule(code_html))
    for kind in ("math_inline", "math_block"):
        parser.add_render_rule(kind, _render_rule(math.formula_html))
    parser.add_render_rule("code_chunk", _render_rule(_chunk_html))
    parser.add_render_rule("open_formula", _render_rule(math.open_formula_html))
    parser.add_render_rule("code_inline", _render_rule(math.inline_code_html))
    parser.render("a")  # compiles the rules: a second thread would see half of them
    return parser


def _chunk_html(token: Token) -> str:
    return coloured(token.info, token.content, **token.meta)


def _set_inline_rules(parser: MarkdownIt) -> None:
    parser.inline.ruler.before("escape", "math", math.inline_rule)
    parser.inline.ruler.before("newline", "bare_url", links.bare_url_rule)
    parser.inline.ruler.at("html_inline", inline_html.html_rule)
    parser.inline.ruler.at("emphasis", beside_cjk(emphasis.tokenize))
    parser.inline.ruler.at("strikethrough", beside_cjk(strikethrough.tokenize))
    parser.inline.ruler.at("link", limits.link_rule(link))
    parser.inline.ruler.at("image", limits.link_rule(image))
    parser.inline.ruler2.before("fragments_join", "pairs", inline_html.pairs_rule)
    parser.core.ruler.at("inline", inline_rule)


_INTERRUPTS = ["paragraph", "reference", "blockquote", "list"]
_LEAVES: tuple[tuple[str, RuleFuncBlockType, list[str]], ...] = (  # each with what it may interrupt
    ("table", limits.table_rule(table_rule), _INTERRUPTS[:2]),
    ("code", code, []),
    ("math", math.block_rule, _INTERRUPTS),
    ("fence", fence_rule, _INTERRUPTS),
    ("reference", limits.definition_rule(links.reference_rule), []),
    ("heading", markers.heading_rule, _INTERRUPTS[:3]),
    ("lheading", lheading, []),
    ("paragraph", paragraph, []),
)


def _set_block_rules(parser: MarkdownIt) -> None:
    """Each leaf sees the text as it is written; lists also see their other marker."""
    parser.block.ruler.before("fence", "math", math.block_rule)
    for name, rule, interrupted in _LEAVES:
        parser.block.ruler.at(name, markers.seeing("written", rule), {"alt": interrupted})
    parser.block.ruler.at("blockquote", limits.nested_rule(blockquote), {"alt": _INTERRUPTS})
    marked_list = markers.seeing("marked", limits.nested_rule(list_block))
    parser.block.ruler.at("list", marked_list, {"alt": _INTERRUPTS[:3]})
    parser.block.ruler.before("table", "item", _item_rule)
    parser.core.ruler.at("block", _block_rule)


def _render_rule(html: Callable[[Token], str]) -> Any:
    """What markdown-it calls to render a token."""
    return lambda _self, tokens, index, _options, _env: html(tokens[index])


_parser = _make_parser()
