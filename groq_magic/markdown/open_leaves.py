"""Open blocks without blocks inside: code, tables and long paragraphs."""

from __future__ import annotations

import re

from markdown_it.rules_block.table import MAX_AUTOCOMPLETED_CELLS
from markdown_it.token import Token

from .blocks import Block, Part, begin_of_item, settled_part
from .code import HIGHLIGHT_LIMIT, chunk_html, code_frame, ended_chunks, is_unended, language_of
from .limits import HEAD
from .open_blocks import OpenBlock, OpenItem, OpenList, OpenQuote, Split, Tokens
from .parser import Environment, parse_inline, segments, to_html
from .stability import Parsed, children_of, is_blank, lines_of, start_of
from .tables import cells_in, covered


class _OpenCode(OpenBlock):
    """Code: each complete line is settled."""

    def html(self, tail: str = "") -> str:
        """The HTML, with an unsettled part ``tail`` at the end."""
        return Block.html(self, tail)

    def _split_lines(self, lines: list[str], first: int, count: int, *, is_over: bool) -> Split:
        """``count`` lines are complete; ``first`` is the number of the first one.

        Blank lines wait in a list: it is loose if they are the last ones of an item.
        """
        while self.parent and not is_over and count > 0 and is_blank(lines[count - 1]):
            count -= 1
        settled = "".join(f"{line}\n" for line in lines[:count])
        rest = "\n".join(lines[count:])
        parts, others = ([[_text(text)]] if text else [] for text in (settled, rest))
        parts, others = (parts + others, []) if is_over else (parts, others)
        return Split(parts, others, first + count)


class _OpenFence(_OpenCode):
    """A fence. Its lines settle in chunks with colours, see `code`, or one by one without."""

    def __init__(self, tokens: Tokens, parent: OpenBlock | None, env: Environment) -> None:
        del env
        super().__init__(parent, *code_frame(tokens[0].info))
        self._language = language_of(tokens[0].info)
        # Without the info: with a "|" it could be the head of a table.
        self.head = [" " * tokens[0].meta["indent"] + tokens[0].markup]
        self._room = HIGHLIGHT_LIMIT
        self._is_unended = is_unended(self._language, "", self._room)
        self._plain = ""  # the lines without colours,
        self._first_plain = 0  # their first part,
        self._coloured = ""  # and their HTML when the fence is closed

    def html(self, tail: str = "") -> str:
        """The HTML, with an unsettled part ``tail`` at the end."""
        if not self._coloured:
            return super().html(tail)
        settled = self.html_of(self.parts[: self._first_plain])
        return f"{self.before}{settled}{self._coloured}{self.after}"

    def split(self, tokens: Tokens, parsed: Parsed, *, is_over: bool) -> Split:
        """See `OpenBlock.split`."""
        (token,) = tokens
        lines, first = token.content.split("\n"), start_of(tokens) + 1
        count = min(parsed.complete - first, len(lines) - 1)
        if not self._is_unended:
            split = self._split_chunks(token, lines[:count], first, is_over=is_over)
            if split.parts or not self._is_unended:
                return split
        is_closed = token.meta["closed"]
        split = self._split_lines(lines, first, count, is_over=is_over or is_closed)
        self._first_plain = self._first_plain if self._plain else len(self.parts)
        self._plain += "".join(part[0].content for part in split.parts)
        html = chunk_html(self._language, self._plain) if is_closed and self._room > 0 else ""
        before, self._coloured = self._coloured, html if "<" in html else ""
        return split._replace(is_changed=self._coloured != before)

    def _split_chunks(self, token: Token, lines: list[str], first: int, *, is_over: bool) -> Split:
        """The chunks that have ended are settled."""
        is_open = not token.meta["closed"]
        if is_over:
            parts = [[self._chunk(token.content, is_open=is_open)]] * bool(token.content)
            return Split(parts, [], first + len(lines))
        code = "".join(f"{line}\n" for line in lines)
        settled = ended_chunks(self._language, code, self._room)
        size = sum(map(len, settled))
        parts = [[self._chunk(chunk, is_open=False)] for chunk in settled]
        self._room -= size
        self._is_unended = is_unended(self._language, code[size:], self._room)
        rest = [[self._chunk(token.content[size:], is_open=is_open)]] * (len(token.content) > size)
        return Split(parts, rest, first + code.count("\n", 0, size))

    def _chunk(self, code: str, *, is_open: bool) -> Token:
        meta = {"is_open": is_open, "room": self._room}
        return Token("code_chunk", "", 0, content=code, info=self._language, meta=meta)


class _OpenIndented(_OpenCode):
    """Indented code."""

    def __init__(self, tokens: Tokens, parent: OpenBlock | None, env: Environment) -> None:
        del tokens, env
        super().__init__(parent, *code_frame(""))
        self.head = ["    x"]

    def split(self, tokens: Tokens, parsed: Parsed, *, is_over: bool) -> Split:
        """See `OpenBlock.split`."""
        stub = 0 if self.is_new else 1
        lines = tokens[0].content.split("\n")[stub:]
        first = start_of(tokens) + stub
        count = min(len(lines) - 1, max(parsed.complete - first, 0))
        return self._split_lines(lines, first, count, is_over=is_over)


class _OpenTable(OpenBlock):
    """A table: each complete row is settled, except one that may be a formula."""

    def __init__(self, tokens: Tokens, parent: OpenBlock | None, env: Environment) -> None:
        aligned = [token.attrs.get("style", "") for token in tokens if token.type == "th_open"]
        parse_inline(tokens[:1], env)
        super().__init__(parent, to_html(tokens[:1], env), "</tbody>\n</table>\n")
        delimiters = "|".join(_DELIMITERS[str(style)] for style in aligned)
        self.head = ["|" + "x|" * len(aligned), f"|{delimiters}|"]
        self._columns = len(aligned)
        self._missing = 0
        self.parts.append(settled_part(tokens[1 : _body_of(tokens)], env))

    def split(self, tokens: Tokens, parsed: Parsed, *, is_over: bool) -> Split:
        """See `OpenBlock.split`."""
        rows = children_of(tokens[_body_of(tokens) : -2], tokens[0].level + 2)
        line = start_of(tokens) + 2
        for number, row in enumerate(rows):
            line = start_of(row)
            text = parsed.lines[line].lstrip(" \t>")
            if not is_over and (line >= parsed.complete or text.startswith(("$$", "\\"))):
                return Split(rows[:number], rows[number:], line)
            self._missing += self._columns - cells_in(covered(text, self._columns))
            if self._missing > MAX_AUTOCOMPLETED_CELLS:  # here the parser ends a whole table
                return Split(rows[:number], [], line, is_over=True)
            line += 1
        return Split(rows, [], line)


class OpenText(OpenBlock):
    """A long paragraph: a segment is settled when its lines cannot become another block.

    Its head makes the line too long for the head of a table, which it cannot be either.
    """

    def __init__(self, tokens: Tokens, parent: OpenBlock | None, env: Environment) -> None:
        self._begin = to_html([tokens[0].copy(hidden=False)], env).rstrip()
        self._direction = {name: value for name, value in tokens[0].attrs.items() if name == "dir"}
        super().__init__(parent, self._begin, "</p>\n")
        self.head = ["x" * (HEAD + 1)]
        self._is_heading = False

    @property
    def is_element(self) -> bool:
        """Not in a tight list, if it is a paragraph."""
        return self._is_heading or not isinstance(self.parent, OpenItem) or self.parent.is_loose

    @property
    def is_text(self) -> bool:
        """Whether it is no heading."""
        return not self._is_heading

    def html(self, tail: str = "") -> str:
        """The HTML, with an unsettled part ``tail`` at the end."""
        inside = self.html_of(self.parts) + tail
        return f"{self.before}{inside}{self.after}" if self.is_element else inside

    def part(self, tokens: Tokens, env: Environment) -> Part:
        """A settled part."""
        is_first = isinstance(self.parent, OpenItem) and not (self.parts or self.parent.parts)
        before = [begin_of_item(), _untagged("", [_inline("")] * 3)[0]] if is_first else []
        return super().part([*before, *tokens], env)

    def split(self, tokens: Tokens, parsed: Parsed, *, is_over: bool) -> Split:
        """See `OpenBlock.split`."""
        is_changed = self._find_tags(tokens, parsed)
        content, stub = tokens[1].content, 0 if self.is_new else len(self.head[0])
        whole = segments(content[stub:] if is_over else self._lasting(stub, tokens, parsed))
        settled = whole if is_over else whole[:-1]
        position = stub + sum(map(len, settled))
        rest = content[position:]
        line, column = self._place(content, position, start_of(tokens), parsed)
        parts, others = (
            [[_inline(segment)] for segment in settled],
            [_untagged(rest, tokens)] * bool(rest),
        )
        return Split(parts, others, line, column, is_changed=is_changed)

    def _find_tags(self, tokens: Tokens, parsed: Parsed) -> bool:
        """Take the tags of a heading if it has become one; return whether they are others."""
        before = self.before
        self._is_heading = tokens[0].type == "heading_open"
        self.before, self.after = self._begin, "</p>\n"
        if self._is_heading:
            tokens[0].attrs |= self._direction  # the head has lost it
            parse_inline(tokens[:1], parsed.env)
            self.before = to_html(tokens[:1], parsed.env).rstrip()
            self.after = to_html(tokens[2:], parsed.env)
        return self.before != before

    def _lasting(self, stub: int, tokens: Tokens, parsed: Parsed) -> str:
        """The text of the lines that cannot become another block, from ``stub`` on."""
        content, lines = tokens[1].content, lines_of(tokens[0])
        if self.is_new and (
            parsed.may_be_definition(lines[0]) or _NO_TEXT.fullmatch(parsed.lines[lines[0]])
        ):
            return ""
        end = lines[0]
        formula = parsed.formula_line(lines)
        while end < formula and (parsed.is_long(end) or end + 1 < parsed.complete):
            end += 1
        return "\n".join(content.split("\n")[: end - lines[0]])[stub:]

    def _place(self, content: str, position: int, start: int, parsed: Parsed) -> tuple[int, int]:
        """The line and column in the source of a position in the content."""
        line = start + content.count("\n", 0, position)
        source = parsed.lines[line]
        if not self.is_new and position == len(self.head[0]):
            return line, source.index(self.head[0]) + position
        return line, source.rfind(content[position:].partition("\n")[0])


KINDS: dict[
    str, type[OpenQuote | OpenItem | OpenList | _OpenFence | _OpenIndented | _OpenTable | OpenText]
] = {
    "blockquote_open": OpenQuote,
    "bullet_list_open": OpenList,
    "ordered_list_open": OpenList,
    "list_item_open": OpenItem,
    "fence": _OpenFence,
    "code_block": _OpenIndented,
    "table_open": _OpenTable,
    "paragraph_open": OpenText,
}
# A first line of markers and white space that the parser leaves out.
_NO_TEXT = re.compile(r"[\s>*+•\-]*(?:\d{1,9}[.)][\s>*+•\-]*)*")
_DELIMITERS = {
    "": "-",
    "text-align:left": ":-",
    "text-align:center": ":-:",
    "text-align:right": "-:",
}


def _body_of(tokens: Tokens) -> int:
    """The index of the first row of a table's body."""
    kinds = [token.type for token in tokens]
    return kinds.index("tbody_open") + 1 if "tbody_open" in kinds else len(tokens)


def _text(text: str) -> Token:
    return Token("text", "", 0, content=text)


def _inline(text: str) -> Token:
    return Token("inline", "", 0, content=text, children=[])


def _untagged(text: str, tokens: Tokens) -> Tokens:
    """A paragraph without tags in the place of these tokens."""
    begin, _, end = (token.copy(type=kind) for token, kind in zip(tokens, _TEXT, strict=True))
    begin.hidden = end.hidden = True
    inline = _inline(text)
    inline.map = begin.map
    return [begin, inline, end]


_TEXT = ("paragraph_open", "inline", "paragraph_close")
