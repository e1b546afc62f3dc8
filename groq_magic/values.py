"""A value of the notebook to what a prompt can say of it: text, or an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, islice, takewhile
from typing import Any

from .answer import Answer
from .images import drawing, pixels

LIMIT = 20_000
"""Characters that a value which is no text has in a prompt at most; it says what it cut."""
_CELL_LIMIT = 500
_TEXTS = ("text/markdown", "text/latex")
_IMAGES = ("image/png", "image/jpeg")
MIME_TYPES = {*_TEXTS, *_IMAGES, "text/plain"}
"""The display formats that are looked at."""

Formats = Callable[[Any], Mapping[str, Any]]
"""A value's display formats by mime type, as IPython's formatters give them."""


class Block(str):
    """Text that is only understood on lines of its own, as a table is."""

    __slots__ = ()


def shown(value: object, formats: Formats) -> str | bytes:
    """How a value is told to a model: text, or the bytes of a PNG or JPEG.

    Text is itself, an `Answer` its text once it has ended, a DataFrame a Markdown table;
    else what the value displays as: Markdown, LaTeX, an image, plain text. Raises what the
    value raises.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Answer):
        return value.result()
    if (kind := _kind_of_table(value)) is not None:
        return _table(value.to_frame() if kind == "Series" else value)  # type: ignore[attr-defined]
    data = formats(value)
    for text in (data[mime_type] for mime_type in _TEXTS if mime_type in data):
        return _cut(text)
    for image in (data[mime_type] for mime_type in _IMAGES if mime_type in data):
        return pixels(image) or b""
    return drawing(value) or _cut(data["text/plain"])


def _cut(text: str) -> str:
    if len(text) <= LIMIT:
        return text
    return f"{text[:LIMIT]}\n(Cut: the first {LIMIT:,} of {len(text):,} characters.)"


# DataFrames are told by the names of their classes: to import pandas takes half a second.


def _kind_of_table(value: object) -> str | None:
    for base in type(value).__mro__:
        library = base.__module__.partition(".")[0]
        if library in ("pandas", "polars") and base.__name__ in ("DataFrame", "Series"):
            return base.__name__
    return None


def _table(frame: Any) -> Block:
    """The first rows and columns that fit, as a table, and below it what was cut."""
    names, rows = _content(frame)
    width = max(1, _fitting(names, LIMIT // 4, between=" | "))
    head = [_row(names[:width]), _row(["---"] * width)]
    lines = [_row(cells[:width]) for cells in islice(rows, LIMIT // 4)]
    height = _fitting(lines, LIMIT - len("\n".join(head)), between="\n")
    cuts = [(height, len(frame), "rows"), (width, len(names), "columns")]
    said = [f"{kept:,} of {all_:,} {what}" for kept, all_, what in cuts if kept < all_]
    note = [f"\n(Cut: the first {' and '.join(said)}.)"] if said else []
    return Block("\n".join([*head, *lines[:height], *note]))


def _content(frame: Any) -> tuple[list[str], Iterator[Sequence[Any]]]:
    columns = [_cell(name) for name in frame.columns]
    if hasattr(frame, "iter_rows"):  # polars, which has no index
        return columns, frame.iter_rows()
    index = ", ".join(str(name) for name in frame.index.names if name is not None)
    return [index, *columns], frame.itertuples(name=None)


def _fitting(texts: Sequence[str], room: int, *, between: str) -> int:
    """How many of the texts fit into so many characters, with what stands between them."""
    ends = accumulate(len(text) + len(between) for text in texts)
    return len(list(takewhile(lambda end: end <= room, ends)))


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    if len(text) > _CELL_LIMIT:
        text = f"{text[:_CELL_LIMIT]}… ({len(text):,} characters)"
    return " ".join(text.split()).replace("|", "\\|")
