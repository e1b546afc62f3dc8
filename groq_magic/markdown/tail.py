"""Calm on the screen: what the end of an unfinished text most likely becomes.

A heading that a lone ``-`` makes of a paragraph, the raw ``**`` of bold text whose end is yet
to come, a link's target, the head of a table: for a moment each looks like what it will not
be. Here the end of such a text is shown as if it were finished, or not before it is decided.
This is for the tail on the screen only; what is settled, and the end, is Markdown as it is.
"""

from __future__ import annotations

import re

from markdown_it.token import Token

from .math import find_formula
from .parser import Environment, parse_inline
from .stability import is_blank, lines_of

_LONG = 10_000  # characters; a paragraph that long is not parsed twice for its looks
_PRUNED = {"paragraph_open", "heading_open", "list_item_open", "blockquote_open"}
_PRUNED |= {"bullet_list_open", "ordered_list_open"}


def calm(tokens: list[Token], env: Environment, text: str) -> list[Token]:
    """The tokens to show for those at the end of ``text``, whose next character may come soon."""
    last = text.count("\n") - text.endswith("\n")  # the number of the last line
    is_partial = not text.endswith("\n")
    if tokens and tokens[-1].type == "text":
        return [] if may_close(tokens[-1].content, tokens[-1].markup) else tokens
    if formula := _open_math(tokens, env, text):
        return formula
    alive = [i for i in range(len(tokens)) if _end(tokens, i) > last]
    with_text = [i for i in alive if tokens[i].content]
    if with_text and tokens[index := with_text[-1]].type == "inline":
        _calm_inline(tokens, index, env, is_partial=is_partial)
        is_partial = is_partial or not tokens[index].content
    elif alive and is_partial:
        _calm_block(tokens, alive[-1], last)
    return _pruned(tokens, last) if is_partial else tokens


_MATH = re.compile(r" {0,3}(\$\$|\\\[|\\begin\{)")
_MATH_ENDS = {"$$": "$$", "\\[": "\\]", "\\begin{": "\\end{"}


def _open_math(tokens: list[Token], env: Environment, text: str) -> list[Token] | None:
    """The tokens with a formula that is not whole as its source: its lines are no list."""
    lines = text.rstrip("\n").split("\n")
    first = max((i + 1 for i, line in enumerate(lines) if is_blank(line)), default=0)
    begun = next((i for i in range(first, len(lines)) if _MATH.match(lines[i])), None)
    if begun is None:
        return None
    tops = (i for i, token in enumerate(tokens) if not token.level)
    cut = next((i for i in tops if lines_of(tokens[i])[1:] > [begun]), None)
    if cut is None or tokens[cut].type != "paragraph_open":
        return None
    opener = _MATH.match(lines[begun])
    source = "\n".join(lines[begun:])
    is_open = opener and _MATH_ENDS[opener[1]] not in source[opener.end() :]
    if not is_open:
        return None
    shown = tokens[cut : cut + 3]
    before = lines[lines_of(shown[0])[0] : begun]
    shown[1].content = "\n".join([*before, _escaped(source)])
    parse_inline(shown, env)
    return [*tokens[:cut], *shown]


def may_close(line: str, marks: str) -> bool:
    """Whether a line of code may become the end of a fence that ``marks`` began."""
    return bool(line.strip()) and not line.strip().strip(marks[0])


def _end(tokens: list[Token], index: int) -> int:
    """The line behind a leaf block; of a heading, behind the line under its text, too."""
    token = tokens[index]
    if token.nesting:
        return 0
    around = tokens[index - 1].map if token.type == "inline" else None
    return (around or token.map or [0, 0])[1]


def _calm_block(tokens: list[Token], index: int, last: int) -> None:
    token = tokens[index]
    is_begun = bool(token.map and token.map[0] == last)
    if token.type == "fence" and not token.meta["closed"] and not is_begun:
        before, newline, line = token.content.rpartition("\n")
        if may_close(line, token.markup):
            token.content = before + newline
    elif is_begun and token.type in ("hr", "fence"):
        del tokens[index]  # not before its line is complete: it may be something else


def _calm_inline(tokens: list[Token], index: int, env: Environment, *, is_partial: bool) -> None:
    token, opening = tokens[index], tokens[index - 1]
    if is_partial and opening.type == "heading_open" and opening.markup in ("-", "="):
        closing = tokens[index + 1]
        opening.tag = closing.tag = "p"
        opening.hidden = closing.hidden = tokens[index - 2].type == "list_item_open"
    is_cell = opening.type in ("th_open", "td_open")
    content = token.content if is_cell else _decided(token.content, is_partial=is_partial)
    content = finished(content) if len(content) < _LONG else content
    if content != token.content:
        token.content = content
        parse_inline(tokens[max(index - 2, 0) : index + 2], env)


def _pruned(tokens: list[Token], last: int) -> list[Token]:
    """Without the blocks in the last line that show nothing."""
    kept: list[Token] = []
    for token in tokens:
        opening = kept[-1] if kept else token
        is_alive = bool(opening.map and opening.map[1] > last and opening.type in _PRUNED)
        if is_alive and token.nesting < 0:
            kept.pop()
        elif not (is_alive and token.type == "inline" and not token.content):
            kept.append(token)
    return kept


# What only the next characters decide

_MARKERS = re.compile(r"[-=+*#>~_`|:]{1,3}")
_NUMBER = re.compile(r"\d{1,9}[.)]?")
_DELIMITERS = re.compile(r"[ |:\-\t]*")
_ROW = re.compile(r"\|(?: |-|:|$)")


def _decided(content: str, *, is_partial: bool) -> str:
    """Without the lines of which only the next characters tell what they are."""
    content = _without_table_head(content)
    before, newline, line = content.rpartition("\n")
    is_undecided = _MARKERS.fullmatch(line.strip()) or (newline and _NUMBER.fullmatch(line))
    return before if is_partial and is_undecided else content


def _without_table_head(content: str) -> str:
    lines = content.split("\n")
    plain = len(lines)
    while plain and _ROW.match(lines[plain - 1]):
        plain -= 1
    head = lines[plain:]
    is_head = len(head) == 1 or (len(head) == 2 and _DELIMITERS.fullmatch(head[1]))
    return "\n".join(lines[:plain]) if is_head else content


# Inline: what is open is closed, what shows nothing yet is left out

_MARK = re.compile(r"\\.|`+|\*+|_+|~~|!?\[|\]|\$+", re.DOTALL)


def finished(text: str) -> str:
    r"""The text with what its end leaves open closed, or left out.

    >>> finished("a **bold"), finished("see [the docs](https://exa"), finished("and `co")
    ('a **bold**', 'see the docs', 'and `co`')
    """
    if re.fullmatch(r"\[[ xX]?\]?", text):  # of a task
        return ""
    return _Unfinished(text.rstrip("*_~").removesuffix("\\")).finished()


_TARGET = re.compile(r"\(\s*(?:<[^<>\n]*|[^\s<]*)(?:>?\s+(?:[\"'(].*)?)?", re.DOTALL)


def _escaped(text: str) -> str:
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


class _Unfinished:
    """A text, read from its start for what is still open at its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._closing: list[str] = []
        self._brackets: list[int] = []

    def finished(self) -> str:
        position: int | None = 0
        while position is not None:
            found = _MARK.search(self._text, position)
            position = self._after(found[0], found.start()) if found else None
        for opened in reversed(self._brackets):
            self._drop_target(opened, len(self._text))
        for mark in reversed(self._closing):
            self._text = self._text.rstrip() + mark
        return self._text

    def _after(self, mark: str, start: int) -> int | None:
        """Take a mark; return where to read on, None where nothing more is to be read."""
        _, math_end = find_formula(self._text, start)
        if math_end >= 0:
            return math_end
        if mark in ("\\(", "\\[", "$$"):
            self._text = self._text[:start] + _escaped(self._text[start:])
            return None  # a formula is shown as it is written until it is whole
        if mark[0] == "`":
            return self._after_code(mark, start)
        if mark == "]":
            return self._after_label(start)
        if mark.endswith("["):
            is_index = mark == "[" and self._text[start - 1 : start].isalnum()
            self._brackets += [] if is_index else [start]
        elif mark[0] in "*_~":
            self._take_run(mark, start)
        return start + len(mark)

    def _after_code(self, mark: str, start: int) -> int | None:
        end = re.compile(f"(?<!`){mark}(?!`)").search(self._text, start + len(mark))
        if end:
            return end.end()
        inside = self._text[start + len(mark) :].rstrip("`")
        closed = f"{mark}{inside}{mark}" if inside.strip() else ""
        self._text = self._text[:start] + closed
        return None

    def _after_label(self, start: int) -> int | None:
        after = start + 1
        if not self._brackets:
            return after
        opened = self._brackets.pop()
        has_target = self._text[after : after + 1] == "("
        end = self._text.find(")", after) if has_target else after
        is_target = _TARGET.fullmatch(self._text, after)
        if after == len(self._text) or (end < 0 and is_target):
            self._drop_target(opened, start)
            return None
        return max(end, after)

    def _drop_target(self, opened: int, closed: int) -> None:
        """Leave the text of the link or image alone."""
        begin = self._text.index("[", opened) + 1
        self._text = self._text[:opened] + self._text[begin:closed]

    def _take_run(self, run: str, start: int) -> None:
        """Note what a run of ``*``, ``_`` or ``~`` closes or opens."""
        text, end, left = self._text, start + len(run), len(run)
        before, after = text[start - 1 : start], text[end : end + 1]
        if before and not before.isspace() and not (run[0] == "_" and after.isalnum()):
            while (
                self._closing and self._closing[-1][0] == run[0] and left >= len(self._closing[-1])
            ):
                left -= len(self._closing.pop())
        if 0 < left <= 3 and after and not after.isspace() and not before.isalnum():
            self._closing += [run[0] * 2] * (left > 1) + [run[0]] * (left % 2)
