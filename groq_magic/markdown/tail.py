"""The end of an unfinished text, shown as what it most likely becomes.

A lone ``-`` makes a heading of the paragraph above it; ``**`` is no bold text before its end
has come; so it is with the target of a link and the head of a table. All of these would flash up
for a moment. Here the end of the text is shown as if it were finished, or not before it is
decided what it is. Settled blocks and the final text are shown as Markdown says.
"""

from __future__ import annotations

import re

from markdown_it.token import Token

from .flanking import is_cjk
from .inline_html import find_tag, without_begun_tags
from .math import find_formula
from .open_formulas import inline_source, with_open_formula
from .stability import lines_of

_LIMIT = 4_000  # characters; a longer heading or cell has no markup before its line ends
_HIDDEN_IF_EMPTY = {"paragraph_open", "heading_open", "list_item_open", "blockquote_open"}
_HIDDEN_IF_EMPTY |= {"bullet_list_open", "ordered_list_open"}


def undecided_length(text: str) -> int:
    r"""How many characters at the end are not to be parsed: a line that may become anything.

    >>> undecided_length("Text\n-"), undecided_length("Text\n- a"), undecided_length("12")
    (1, 0, 2)
    """
    line = text[text.rfind("\n", -_LONGEST_LINE) + 1 :]
    return len(line) if len(line) < _LONGEST_LINE and _UNDECIDED.fullmatch(line) else 0


def complete_tail(tokens: list[Token], text: str, *, is_block: bool) -> list[Token]:
    """The tokens to show for the tokens at the end of ``text``; blocks, or parts of one."""
    if is_block and (formula := with_open_formula(tokens, text)):
        return formula
    last = text.count("\n") - text.endswith("\n")  # the number of the last line
    texts = (i for i, token in enumerate(tokens) if token.type == "inline" and token.content)
    index = max(texts, default=-1)
    is_shown = index < 0 or _end(tokens, index) <= last or _complete_token(tokens, index)
    is_partial = not text.endswith("\n")
    return tokens if is_shown and not is_partial else _without_empty(tokens, last)


def _end(tokens: list[Token], index: int) -> int:
    """The line after a text; the line under the text of a heading belongs to it."""
    return (tokens[index - 1].map or tokens[index].map or [0, 0])[1]


def _complete_token(tokens: list[Token], index: int) -> bool:
    """Complete a text; return whether there is something to show."""
    token, parent = tokens[index], tokens[index - 1]
    if len(token.content) > _LIMIT:
        token.type = "text"
        return True
    is_cell = parent.type in ("th_open", "td_open")
    token.content = completed(token.content if is_cell else _without_table_head(token.content))
    return bool(token.content)


def _without_empty(tokens: list[Token], last: int) -> list[Token]:
    """The tokens without the blocks in the last line that show nothing."""
    kept: list[Token] = []
    for token in tokens:
        start = kept[-1] if kept else token
        is_at_end = start.type in _HIDDEN_IF_EMPTY and lines_of(start)[1:] > [last]
        if is_at_end and token.nesting < 0:
            kept.pop()
        elif not (is_at_end and token.type == "inline" and not token.content):
            kept.append(token)
    return kept


# Lines that only the next characters decide: markers, the number of an item, the begin of a fence,
# the underline of a heading.

_LONGEST_LINE = 1_000  # characters
_UNDECIDED = re.compile(
    r"[ \t>]*(?:(?:[-+*•]|\d{1,9}[.)])[ \t]+)*"
    r"(?:[-=+*#>~_`|:•]*|\$|\d{1,3}[.)]?|(?:```|~~~)[^`\n]*"
    r"|\\(?:b|be|beg|begi|begin(?:\{[a-z]*\*?)?)?)[ \t]*"
)
_DELIMITERS = re.compile(r"[ |:\-\t]*")
_ROW = re.compile(r"\|(?: |-|:|$)")


def _without_table_head(content: str) -> str:
    lines = content.split("\n")
    count = len(lines)
    while count and _ROW.match(lines[count - 1]):
        count -= 1
    head = lines[count:]
    is_head = len(head) == 1 or (len(head) == 2 and _DELIMITERS.fullmatch(head[1]))
    return "\n".join(lines[:count]) if is_head else content


# Inline markup

_MARK = re.compile(r"\\.|`+|\*+|_+|~~|!?\[|\]|\$+|<", re.DOTALL)
# At the end: markup that opens, or an autolink that may; a URL, which is no link before it ends.
_OPENER = re.compile(r"(?:!?\[|[*_~]|<(?:h|ht|htt|https?(?::/?)?)?)\Z")
_LONGEST_OPENER = len("<https:/")
_URL = re.compile(r"<?(https?):(//[^\s<>]*)\Z")
_TARGET = re.compile(r"\(\s*(?:<[^<>\n]*|[^\s<]*)(?:>?\s+(?:[\"'(].*)?)?", re.DOTALL)


def completed(text: str) -> str:
    r"""The text with open markup closed at its end, or left out.

    >>> completed("a **bold"), completed("see [the docs](https://exa"), completed("and `co")
    ('a **bold**', 'see the docs', 'and `co`')
    """
    if re.fullmatch(r"\[(?:[ xX]|![A-Za-z]*)?\]?", text):  # the box of a task, the kind of an alert
        return ""
    while (shorter := _without_opener(without_begun_tags(text))) != text:
        text = shorter
    return _Completion(_URL.sub(r"\1\\:\2", text).removesuffix("\\")).completed()


def _without_opener(text: str) -> str:
    opener = _OPENER.search(text, max(0, len(text) - _LONGEST_OPENER))
    return text[: opener.start()] if opener else text


def _is_letter(character: str) -> bool:
    """Whether it is in a word of a language that has blanks between words."""
    return character.isalnum() and not is_cjk(character)


class _Completion:
    """Reads a text from its start and keeps what is open."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._closing: list[str] = []
        self._brackets: list[int] = []

    def completed(self) -> str:
        position: int | None = 0
        while position is not None:
            found = _MARK.search(self._text, position)
            position = self._after(found[0], found.start()) if found else None
        for bracket in reversed(self._brackets):
            self._drop_target(bracket, len(self._text))
        for mark in reversed(self._closing):
            self._text = self._text.rstrip() + mark
        return self._text

    def _after(self, mark: str, start: int) -> int | None:
        """Read a mark; return where to continue, None if nothing more is to be read."""
        _, formula_end = find_formula(self._text, start)
        if formula_end >= 0:
            return formula_end
        if mark in ("\\(", "\\[", "$$"):
            self._text = self._text[:start] + inline_source(self._text[start:])
            return None
        if mark == "<":
            return self._after_tag(start)
        if mark[0] == "`":
            return self._after_code(mark, start)
        if mark == "]":
            return self._after_label(start)
        if mark.endswith("["):
            is_index = mark == "[" and _is_letter(self._text[start - 1 : start])
            self._brackets += [] if is_index else [start]
        elif mark[0] in "*_~":
            self._read_run(mark, start)
        return start + len(mark)

    def _after_code(self, mark: str, start: int) -> int | None:
        end = re.compile(f"(?<!`){mark}(?!`)").search(self._text, start + len(mark))
        if end:
            return end.end()
        inside = self._text[start + len(mark) :].rstrip("`")
        self._text = self._text[:start] + (f"{mark}{inside}{mark}" if inside.strip() else "")
        return None

    def _after_tag(self, start: int) -> int | None:
        """Keep which of our tags are open; a comment that has begun is not shown."""
        tag = find_tag(self._text, start)
        if tag is None and self._text.startswith("<!--", start):
            self._text = self._text[:start]
            return None
        if tag and tag["name"] and not tag["end"]:
            self._closing.append(f"</{tag['name']}>")
        elif tag and tag["end"] and tag[0] in self._closing:
            while self._closing.pop() != tag[0]:
                pass
        return tag.end() if tag else start + 1

    def _after_label(self, start: int) -> int | None:
        after = start + 1
        if not self._brackets:
            return after
        bracket = self._brackets.pop()
        has_target = self._text[after : after + 1] == "("
        end = self._text.find(")", after) if has_target else after
        if after == len(self._text) or (end < 0 and _TARGET.fullmatch(self._text, after)):
            self._drop_target(bracket, start)
            return None
        return max(end, after)

    def _drop_target(self, bracket: int, end: int) -> None:
        """Keep only the text of the link or image, which ends at ``end``."""
        start = self._text.index("[", bracket) + 1
        self._text = self._text[:bracket] + self._text[start:end]

    def _read_run(self, run: str, start: int) -> None:
        """Keep what a run of ``*``, ``_`` or ``~`` closes or opens."""
        end, left, closing = start + len(run), len(run), self._closing
        before, after = self._text[start - 1 : start], self._text[end : end + 1]
        if before and not before.isspace() and not (run[0] == "_" and after.isalnum()):
            while closing and closing[-1][0] == run[0] and left >= len(closing[-1]):
                left -= len(closing.pop())
        if 0 < left <= 3 and after and not after.isspace() and _may_open(run, before):
            closing += [run[0] * 2] * (left > 1) + [run[0]] * (left % 2)


def _may_open(run: str, before: str) -> bool:
    """Whether a run behind that character opens; ``5*3`` and ``2**3`` are products."""
    is_product = before.isascii() and (len(run) == 1 or before.isdigit())
    return not _is_letter(before) or (run[0] == "*" and not is_product)
