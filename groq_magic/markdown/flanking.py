"""Emphasis beside Chinese, Japanese and Korean, which have no blanks between words.

CommonMark refuses ``**注意：**これ``, since the punctuation before the ``**`` is not followed by a
blank (https://github.com/commonmark/commonmark-spec/issues/650). Here their punctuation counts
as a letter, and their letters as a blank beside other punctuation, as in
https://github.com/tats-u/markdown-cjk-friendly. ``_`` stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from unicodedata import category, east_asian_width

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_inline import StateInline

_Rule = Callable[[StateInline, bool], bool]


def is_cjk(character: str) -> bool:
    """Whether it is a letter or punctuation of these languages; emoji are as wide, but are not.

    >>> [is_cjk(character) for character in "語。한！aé”🎉"]
    [True, True, True, True, False, False, False, False]
    """
    if character < "\u1100":
        return False
    is_emoji = category(character) == "So" and not "\u2e80" <= character < "\u3400"
    return east_asian_width(character) in "WFH" and not is_emoji


def beside_cjk(rule: _Rule) -> _Rule:
    """The rule for ``*`` or ``~``, whose marks beside these languages open and close more."""

    def friendly(state: StateInline, silent: bool) -> bool:
        start, known = state.pos, len(state.delimiters)
        if not rule(state, silent):
            return False
        before = state.src[start - 1 : start] or " "
        after = state.src[state.pos : min(state.pos + 1, state.posMax)] or " "
        if state.src[start] != "_" and (is_cjk(before) or is_cjk(after)):
            for delimiter in state.delimiters[known:]:
                delimiter.open, delimiter.close = _flanks(before, after), _flanks(after, before)
        return True

    return friendly


def _flanks(outside: str, inside: str) -> bool:
    """Whether a mark between these two characters can open towards the inside."""
    is_apart = isWhiteSpace(ord(outside)) or is_cjk(outside) or _is_punctuation(outside)
    return not isWhiteSpace(ord(inside)) and (is_apart or not _is_punctuation(inside))


def _is_punctuation(character: str) -> bool:
    is_mark = isMdAsciiPunct(ord(character)) or isPunctChar(character)
    return is_mark and not is_cjk(character)
