"""Text that comes in pieces, and can be had whole and in its pieces."""

from __future__ import annotations

from array import array
from itertools import pairwise

_JOINED_AT = 1024


class Pieces:
    r"""Pieces of text, kept in little more memory than their text.

    An answer of 128,000 tokens would be as many small strings, at 50 bytes each.

    >>> pieces = Pieces()
    >>> for piece in ("Hi ", "\ud83d", "\ude00", "!"):
    ...     pieces.append(piece)
    >>> pieces.text(), pieces.since(1), len(pieces)
    ('Hi 😀!', ['😀', '!'], 3)
    """

    def __init__(self) -> None:
        self._joined: list[str] = []
        self._recent: list[str] = []
        self._half = ""
        self._ends = array("L")

    def __len__(self) -> int:
        return len(self._ends)

    def append(self, piece: str) -> None:
        """Take the next piece; half a character waits for its other half."""
        if not piece.isascii() or self._half:
            piece = self._whole(piece)
        if piece:
            self._append(piece)

    def close(self) -> None:
        """Nothing follows: half a character, if one was kept, is replaced."""
        if self._half:
            self._half = ""
            self._append("\ufffd")

    def _whole(self, piece: str) -> str:
        """Only whole characters: servers may cut an escaped one, such as an emoji, in two."""
        piece, self._half = self._half + piece, ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _append(self, piece: str) -> None:
        self._recent.append(piece)
        self._ends.append((self._ends[-1] if self._ends else 0) + len(piece))
        if len(self._recent) == _JOINED_AT:
            self._joined.append("".join(self._recent))
            self._recent.clear()

    def text(self) -> str:
        """All of it so far."""
        return "".join((*self._joined, *self._recent))

    def since(self, start: int) -> list[str]:
        """The pieces from number ``start`` on, as they came."""
        joined = len(self._ends) - len(self._recent)
        if start >= joined:
            return self._recent[start - joined :]
        text = self.text()
        ends = [self._ends[start - 1] if start else 0, *self._ends[start:]]
        return [text[begin:end] for begin, end in pairwise(ends)]
