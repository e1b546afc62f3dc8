"""A small table as an output: HTML and plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from IPython.display import display

from groq_magic.errors import printable

from .status import DIM, theme_style

_BORDER = theme_style("border-bottom:1px solid var(--jp-border-color2, #80808055)")


@dataclass(frozen=True)
class Table:
    """Rows of text. Without ``head``, the first column names the rows."""

    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()
    numbers: frozenset[int] = frozenset()
    """The columns that are aligned right, counted from 0."""
    note: str = ""
    """A line below the table."""

    def show(self) -> None:
        """Display it in the running cell."""
        display(self.bundle(), raw=True)

    def bundle(self) -> dict[str, str]:
        """The table by mime type."""
        return {"text/html": self._html(), "text/plain": self._plain()}

    def _html(self) -> str:
        head = f"<thead>{self._row(self.head)}</thead>" if self.head else ""
        body = "".join(map(self._row, self.rows))
        note = f'<div style="font-size:12px;{DIM}">{escape(self.note)}</div>' if self.note else ""
        return (
            '<div class="groq-table mathjax_ignore tex2jax_ignore">'
            '<table style="border-collapse:collapse;margin:0 0 4px;font-size:13px;'
            f'font-variant-numeric:tabular-nums">{head}<tbody>{body}</tbody></table>{note}</div>'
        )

    def _row(self, row: Sequence[str]) -> str:
        cells = "".join(
            self._cell(index, text, is_head=row is self.head or not (self.head or index))
            for index, text in enumerate(row)
        )
        return f'<tr style="background:none">{cells}</tr>'

    def _cell(self, index: int, text: str, *, is_head: bool) -> str:
        tag, dim = ("th", f";font-weight:normal;{DIM}") if is_head else ("td", "")
        align = "right" if index in self.numbers else "left"
        wraps = "nowrap" if self.head or not index else "normal"
        style = f"padding:4px 16px 4px 0;text-align:{align};white-space:{wraps};max-width:none"
        return f'<{tag} style="{style};{_BORDER}{dim}">{escape(text)}</{tag}>'

    def _plain(self) -> str:
        rows = [list(map(printable, row)) for row in (self.head, *self.rows) if row]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                text.rjust(width) if index in self.numbers else text.ljust(width)
                for index, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, self.note] if self.note else lines)
