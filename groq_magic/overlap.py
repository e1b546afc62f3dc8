"""A text that goes on with another one, and may first repeat its end."""

from __future__ import annotations

_LONGEST = 4000  # characters of a repetition


class Overlap:
    """Drops what a text that comes in pieces repeats of the end of another.

    A repetition begins where a word does: the end of "a bo" is not repeated by "ok".

    >>> overlap = Overlap("Once upon a ti")
    >>> overlap.feed("upon "), overlap.feed("a time"), overlap.feed(" there")
    ('', 'me', ' there')
    """

    def __init__(self, before: str) -> None:
        self._before: str | None = before[-_LONGEST:]
        self._held = ""

    def feed(self, text: str) -> str:
        """What is new of the text so far; what may be a repetition waits for more."""
        if self._before is None:
            return text
        self._held += text
        if self._held in self._before:
            return ""
        new, self._before = self.close(""), None
        return new

    def close(self, text: str) -> str:
        """What follows what `feed` returned if ``text`` is the last."""
        if self._before is None:
            return text
        last = self._held + text
        return last[_repeated(self._before, last) :]


def _repeated(before: str, text: str) -> int:
    """How many characters at the start of ``text`` repeat the end of ``before``."""
    for start, character in enumerate(before):
        begins_word = character == text[:1] and (start == 0 or before[start - 1].isspace())
        if begins_word and text.startswith(before[start:]) and before[start:].strip():
            return len(before) - start
    return 0
