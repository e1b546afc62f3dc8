r"""Growing Markdown to safe HTML: settled blocks, which can no longer change, and a tail.

The text is a model's and hostile until proven otherwise: raw HTML is escaped, links
lead to http, https and mailto only, and an image is a link: nothing is fetched.
The dialect is CommonMark (https://spec.commonmark.org/0.31.2/) with tables,
strikethrough and math (``$…$``, ``$$…$$``, ``\(…\)``, ``\[…\]``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_SAFE_SCHEME = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
# Only these, so that no text can make a search for the end of ever another one.
_ENVIRONMENT = re.compile(
    r"\\begin\{((?:equation|align|alignat|gather|multline|flalign|eqnarray|split|array|cases"
    r"|[pbvBV]?matrix|aligned|gathered)\*?)\}"
)
# Inline, since the static output brings no style sheet, and JupyterLab has rules for data
# frames where an answer's tables and code stand.
_CODE_STYLE = "margin:0 0 1em;padding:8px 10px;background:var(--jp-cell-editor-background,#f5f5f5)"
_TABLE_STYLE = "margin:0 0 1em"
_CELL_STYLE = "text-align:left"
# Blocks that end a paragraph by themselves, see `_settled_line`.
_CLOSER_BLOCKS = {"fence", "hr", "blockquote_open", "bullet_list_open", "ordered_list_open"}
_CLOSER_BLOCKS |= {"table_open"}


@dataclass(frozen=True, slots=True)
class Settle:
    """Append this block behind the settled ones, in front of the tail."""

    html: str


@dataclass(frozen=True, slots=True)
class Tail:
    """Show this behind the settled blocks, in place of the tail so far."""

    html: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Show this in place of the settled block of that number, counted from 0."""

    index: int
    html: str


Operation = Settle | Tail | Replace
"""What a view does to follow the text. Each block is exactly one HTML element."""


def render(text: str) -> str:
    r"""The safe HTML of a whole text.

    >>> render("**Hello**")
    '<p><strong>Hello</strong></p>\n'
    """
    return "".join(_blocks(_parser.parse(text), {}))


class StreamingMarkdown:
    """Feed it deltas; a flush returns what changed since the one before.

    After `close()`, ``html`` equals ``render`` of the whole text.
    """

    def __init__(self) -> None:
        self.settled: list[str] = []
        """The HTML of each settled block."""
        self.tail = ""
        """The HTML of what may still change."""
        self._text = ""
        self._pending: list[str] = []
        self._start = 0
        self._references: dict[str, Any] = {}

    @property
    def html(self) -> str:
        """The whole HTML as of the last flush."""
        return "".join(self.settled) + self.tail

    def feed(self, delta: str) -> None:
        """Store the next piece of text."""
        self._pending.append(delta)

    def flush(self) -> list[Operation]:
        """Render what was fed since the last flush."""
        if not self._pending:
            return []
        self._text += self._normalised("".join(self._pending))
        blocks, tail = self._parse_tail()
        self.settled += blocks
        operations: list[Operation] = [Settle(html) for html in blocks]
        if tail != self.tail or blocks:
            operations.append(Tail(tail))
            self.tail = tail
        return operations

    def close(self) -> list[Operation]:
        """The text is whole: settle all of it, and set right what later text decided.

        A block that settled before the definition of a link it uses is replaced here.
        """
        operations = self.flush()
        self._text += "\n" * len(self._pending)  # the CR that waited
        self._pending.clear()
        blocks = _blocks(_parser.parse(self._text), {})
        seen = len(self.settled)
        for index, (html, before) in enumerate(zip(blocks, self.settled, strict=False)):
            if html != before:
                operations.append(Replace(index, html))
        operations += [Settle(html) for html in blocks[seen:]]
        operations.append(Tail(""))
        self.settled, self.tail = blocks, ""
        return operations

    def _normalised(self, text: str) -> str:
        """The pending text with LF line ends; a CR at its end waits for its LF."""
        self._pending.clear()
        if text.endswith("\r"):
            self._pending.append("\r")
            text = text[:-1]
        return _with_lf(text)

    def _parse_tail(self) -> tuple[list[str], str]:
        """The blocks at the tail's head that have now settled, and the tail's HTML."""
        text = self._text[self._start :]
        env: dict[str, Any] = {"references": dict(self._references)}
        tokens = _parser.parse(text, env)
        definitions = _new_definitions(env, self._references)
        line = _settled_line(text, _block_starts(tokens, definitions))
        cut = _index_of_line(tokens, line)
        self._references |= {
            label: definition
            for label, definition in env["references"].items()
            if label in self._references or definition["map"][1] <= line
        }
        for _ in range(line):
            self._start = self._text.index("\n", self._start) + 1
        return _blocks(tokens[:cut], env), "".join(_blocks(tokens[cut:], env))


def safe_source(text: str) -> str:
    """The Markdown of an answer, safe in a renderer that allows HTML.

    Outside fenced code ``<`` is written as an entity where it could begin a tag, and
    links and images are kept only as links to http, https and mailto.
    """
    text = _with_lf(text)
    code = _code_lines(text)
    lines = enumerate(text.split("\n"))
    return "\n".join(line if i in code else _neutral(line) for i, line in lines)


def _with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _neutral(line: str) -> str:
    line = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)
    line = line.replace("![", "&#33;[")
    return re.sub(r"\](\(|:)(?!\s*(?:https?|mailto):)", r"]\\\1", line, flags=re.IGNORECASE)


def _code_lines(text: str) -> set[int]:
    # Not indented code: where it begins is what Markdown renderers disagree on.
    fences = (token for token in _parser.parse(text) if token.type == "fence")
    return {line for fence in fences if fence.map for line in range(*fence.map)}


# What is settled


def _settled_line(text: str, starts: list[tuple[int, str]]) -> int:
    """The line before which nothing can change any more, whatever text follows.

    It is where the last block begins whose first line is complete (of a table, the
    first two), for a block decides by its own lines and the one that ends it. But a
    link reference definition, or math, that an earlier line began may reach to the next
    blank line: then it is where the block with that line begins.
    """
    lines = text.split("\n")
    complete = len(lines) - 1
    whole = [s for s in starts if s[0] + (s[1] == "table_open") < complete]
    if not whole:
        return 0
    line, kind = whole[-1]
    if any(not content.strip() for content in lines[line:complete]):
        return line
    opener = r"\$\$|\\" if kind in _CLOSER_BLOCKS else r"\[|\$|\\"
    begun = line
    while begun > 0 and lines[begun - 1].strip():
        begun -= 1
    for number in range(begun, line):
        if re.search(opener, lines[number]):
            return max((start for start, _ in starts if start <= number), default=0)
    return line


def _block_starts(
    tokens: Sequence[Token], definitions: Sequence[dict[str, Any]]
) -> list[tuple[int, str]]:
    """Line and kind of each top-level block, link reference definitions included."""
    blocks = [(token.map[0], _kind(token)) for token in tokens if token.map and not token.level]
    return sorted([*blocks, *((d["map"][0], "definition") for d in definitions)])


def _kind(token: Token) -> str:
    is_atx = token.type == "heading_open" and token.markup.startswith("#")
    return "hr" if is_atx else token.type


def _new_definitions(env: dict[str, Any], known: dict[str, Any]) -> list[dict[str, Any]]:
    first = [d for label, d in env["references"].items() if label not in known]
    return [*first, *env.get("duplicate_refs", [])]


def _index_of_line(tokens: Sequence[Token], line: int) -> int:
    for index, token in enumerate(tokens):
        if token.map and not token.level and token.map[0] >= line:
            return index
    return len(tokens)


# Tokens to HTML


def _blocks(tokens: Sequence[Token], env: EnvType) -> list[str]:
    """The HTML of each top-level block."""
    blocks: list[str] = []
    start = 0
    for index, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            block = tokens[start : index + 1]
            blocks.append(_parser.renderer.render(block, _parser.options, env))
            start = index + 1
    return blocks


def _code(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    token = tokens[index]
    language = token.info.split(maxsplit=1)[:1]
    name = f' class="language-{escapeHtml(language[0])}"' if language else ""
    code = f'<code{name} style="background:none">{escapeHtml(token.content)}</code>'
    return f'<pre style="{_CODE_STYLE}">{code}</pre>\n'


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


def _link_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    tokens[index].attrs |= {"rel": "noopener noreferrer nofollow", "target": "_blank"}
    return self.renderToken(tokens, index, options, env)


def _image(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A link with the image's description; inside a link, the description alone."""
    image = tokens[index]
    source = str(image.attrs["src"])
    text = escapeHtml(self.renderInlineAsText(image.children or [], options, env) or source)
    links = [token.nesting for token in tokens[:index] if token.type.startswith("link_")]
    if sum(links):
        return text
    rel = 'rel="noopener noreferrer nofollow" target="_blank"'
    return f'<a href="{escapeHtml(source)}" {rel}>{text}</a>'


# Math: own rules, which end at a blank line, so that nothing is undecided for long.
# MathJax, where the frontend has it, typesets elements of class mathjax_process.


def _math_inline(state: StateInline, silent: bool) -> bool:
    source, start = state.src, state.pos
    opener = next((o for o in _CLOSERS if source.startswith(o, start)), None)
    if opener:
        end = source.find(_CLOSERS[opener], start + len(opener))
    elif source[start] == "$":
        opener, end = "$", _closing_dollar(source, start + 1)
    else:
        return False
    content = source[start + len(opener) : end] if end > 0 else ""
    if not content.strip() or "`" in content:
        return False
    if not silent:
        token = state.push("math_inline", "", 0)
        token.content, token.markup = content, "\\(" if opener in ("$", "\\(") else "\\["
    state.pos = end + len(opener)
    return True


def _closing_dollar(source: str, start: int) -> int:
    """Where a ``$`` closes one before ``start``; -1 for currency such as ``$5 and $6``."""
    end = source.find("$", start)
    if end < 0 or source[start].isspace() or source[end - 1].isspace():
        return -1
    followed_by_digit = source[end + 1 : end + 2].isdigit()
    return -1 if followed_by_digit else end


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    first = _line(state, start)
    environment = _ENVIRONMENT.match(first)
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
        token.markup = "" if environment else "\\["
        state.line = last + 1
    return True


def _last_math_line(state: StateBlock, start: int, end: int, rest: str, closer: str) -> int | None:
    """The line that ends with ``closer``; None where a blank line or the container's end is first.

    Where a search ended in vain is remembered: for lines before, it would again.
    """
    in_vain: dict[str, int] = state.env.setdefault("math_in_vain", {})
    if start < in_vain.get(closer, 0):
        return None
    if rest.rstrip().endswith(closer) and rest.strip():
        return start
    for line in range(start + 1, end):
        if state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            break
        if _line(state, line).rstrip().endswith(closer):
            return line
    in_vain[closer] = min(line + 1, end) if end > start + 1 else end
    return None


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _math_html(token: Token, tag: str) -> str:
    closer = _CLOSERS.get(token.markup, "")
    tex = f"{token.markup}{escapeHtml(token.content)}{closer}"
    return f'<{tag} class="mathjax_process">{tex}</{tag}>'


def _render_math_inline(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return _math_html(tokens[index], "span")


def _render_math_block(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return _math_html(tokens[index], "div") + "\n"


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": False, "maxNesting": 100})
    parser.validateLink = _is_safe_link  # type: ignore[method-assign]  # its documented hook
    parser.inline.ruler.before("escape", "math", _math_inline)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "math", _math_block, interrupts)
    parser.add_render_rule("fence", _code)
    parser.add_render_rule("code_block", _code)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("th_open", _cell_open)
    parser.add_render_rule("td_open", _cell_open)
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("math_inline", _render_math_inline)
    parser.add_render_rule("math_block", _render_math_block)
    return parser


def _is_safe_link(url: str) -> bool:
    return bool(_SAFE_SCHEME.match(url))


_parser = _make_parser()
