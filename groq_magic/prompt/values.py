"""A value of the notebook as text or an image for a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from groq_magic.answer import Answer

from .images import drawing, pixels

LIMIT = 20_000
"""Characters of a value that is not a str; the text says what is cut."""
_CELL_LIMIT = 500
_CUT = re.compile(r"\n\(Cut: (the first [\d,]+ of [\d,]+ [^\n]*)\.\)\Z")
_LONGEST_CUT = 200
_TEXTS = ("text/markdown", "text/latex")
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")

Formats = Callable[[Any], Callable[[str], Any]]
"""Returns, for a value, a function from a MIME type to how the value displays; None if not."""


class Block(str):
    """Text that needs its own lines, such as a table."""

    __slots__ = ()


def to_text(value: object, formats: Formats, limit: int = LIMIT) -> str | bytes:
    """A value for a prompt: text, or the bytes of an image.

    A str stays as it is, an `Answer` is its text once it has ended, a DataFrame a Markdown
    table. Any other value is what it displays as: Markdown, LaTeX, an image or plain text.
    All but a str and an `Answer` are cut to ``limit`` characters. Raises what the value raises.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Answer):
        return value.result()
    if (kind := _kind_of_table(value)) is not None:
        frame: Any = value
        return _table(frame.to_frame() if kind == "Series" else frame, limit)
    display_as = formats(value)
    for text in filter(None, map(display_as, _TEXTS)):
        return _cut(text, limit)
    for image in filter(None, map(display_as, _IMAGES)):
        return pixels(image) or b""
    return drawing(value) or _cut(display_as("text/plain"), limit)


def cut_of(text: str) -> str:
    """What `to_text` says that it has cut, as in "the first 2 of 3 rows"; empty for nothing."""
    found = _CUT.search(text, max(0, len(text) - _LONGEST_CUT))
    return found[1] if found else ""


def _cut(text: object, limit: int) -> str:
    if not isinstance(text, str):
        raise TypeError(f"it displays as a {type(text).__name__}, not as text")
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n(Cut: the first {limit:,} of {len(text):,} characters.)"


def _kind_of_table(value: object) -> str | None:
    """``DataFrame`` or ``Series``, by name: importing pandas takes half a second."""
    for base in type(value).__mro__:
        library = base.__module__.partition(".")[0]
        if library in ("pandas", "polars") and base.__name__ in ("DataFrame", "Series"):
            return base.__name__
    return None


def _table(frame: Any, limit: int) -> Block:
    """The first rows and columns that fit, and a line that says what is cut."""
    names = _names(frame)
    head = _that_fit(names, limit // 4, between=" | ") or names[:1]
    top = [_row(head), _row(["---"] * len(head))]
    rows = map(_row, _rows(frame, len(head)))
    lines = _that_fit(rows, limit - len("\n".join(top)), between="\n")
    counts = [(len(lines), len(frame), "rows"), (len(head), len(names), "columns")]
    cuts = [f"{kept:,} of {total:,} {what}" for kept, total, what in counts if kept < total]
    note = [f"\n(Cut: the first {' and '.join(cuts)}.)"] if cuts else []
    return Block("\n".join([*top, *lines, *note]))


def _names(frame: Any) -> list[str]:
    columns = [_cell(name) for name in frame.columns]
    if hasattr(frame, "iter_rows"):  # polars has no index
        return columns
    return [", ".join(str(name) for name in frame.index.names if name is not None), *columns]


def _rows(frame: Any, width: int) -> Iterator[Sequence[Any]]:
    """As many rows as may fit, with the first ``width`` cells."""
    if hasattr(frame, "iter_rows"):
        return iter(frame.head(LIMIT // 4).select(frame.columns[:width]).iter_rows())
    return iter(frame.iloc[: LIMIT // 4, : width - 1].itertuples(name=None))


def _that_fit(texts: Iterable[str], room: int, *, between: str) -> list[str]:
    """The first texts that fit into ``room`` characters with their separators."""
    kept = []
    for text in texts:
        room -= len(text) + len(between)
        if room < 0:
            break
        kept.append(text)
    return kept


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    if len(text) > _CELL_LIMIT:
        text = f"{text[:_CELL_LIMIT]}… ({len(text):,} characters)"
    return " ".join(text.split()).replace("|", "\\|")
