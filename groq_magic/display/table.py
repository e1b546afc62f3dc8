"""A small table on the screen: as HTML, as Markdown and as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from IPython.display import display

from groq_magic.errors import printable

from .static import theme_style

_CELL = theme_style("border-bottom:1px solid var(--jp-border-color2, #80808055)")
_HEAD = theme_style("color:var(--jp-ui-font-color2, #757575)")


@dataclass(frozen=True)
class Table:
    """Rows of text; ``numbers`` are the columns that stand to the right, counted from 0.

    Without ``head`` the first column says what the others are.
    """

    rows: Sequence[Sequence[str]]
    head: Sequence[str] = ()
    numbers: frozenset[int] = frozenset()
    note: str = ""
    """A line below it."""

    def show(self) -> None:
        """Display it in the running cell."""
        display(self.bundle(), raw=True)

    def bundle(self) -> dict[str, str]:
        """The table by mime type."""
        return {
            "text/html": self._html(),
            "text/markdown": self._markdown(),
            "text/plain": self._plain(),
        }

    def _html(self) -> str:
        head = "".join(self._cell("th", index, text) for index, text in enumerate(self.head))
        rows = [
            "".join(self._cell(self._tag(index), index, text) for index, text in enumerate(row))
            for row in self.rows
        ]
        body = "".join(f'<tr style="background:none">{row}</tr>' for row in rows)
        top = f'<thead><tr style="background:none">{head}</tr></thead>' if head else ""
        note = f'<div style="font-size:12px;{_HEAD}">{escape(self.note)}</div>' if self.note else ""
        return (
            '<div class="groq-table mathjax_ignore tex2jax_ignore">'
            '<table style="border-collapse:collapse;margin:0 0 4px;font-size:13px;'
            f'font-variant-numeric:tabular-nums">{top}<tbody>{body}</tbody></table>{note}</div>'
        )

    def _tag(self, index: int) -> str:
        return "td" if self.head or index else "th"

    def _cell(self, tag: str, index: int, text: str) -> str:
        align = "right" if index in self.numbers else "left"
        wraps = "nowrap" if self.head or not index else "normal"
        dim = f";font-weight:normal;{_HEAD}" if tag == "th" else ""
        style = f"padding:4px 16px 4px 0;text-align:{align};white-space:{wraps};max-width:none"
        return f'<{tag} style="{style};{_CELL}{dim}">{escape(text)}</{tag}>'

    def _markdown(self) -> str:
        head = self.head or [""] * len(self.rows[0])
        rules = ["--:" if index in self.numbers else ":--" for index in range(len(head))]
        rows = [[_in_markdown(text) for text in row] for row in (head, *self.rows)]
        lines = [f"| {' | '.join(row)} |" for row in (rows[0], rules, *rows[1:])]
        return "\n".join([*lines, *(("", _in_markdown(self.note)) if self.note else ())])

    def _plain(self) -> str:
        texts = [*([self.head] if self.head else []), *self.rows]
        rows = [list(map(printable, row)) for row in texts]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(map(self._padded, range(len(widths)), row, widths)).rstrip() for row in rows
        )
        return "\n".join([*lines, *((self.note,) if self.note else ())])

    def _padded(self, index: int, text: str, width: int) -> str:
        return text.rjust(width) if index in self.numbers else text.ljust(width)


def _in_markdown(text: str) -> str:
    """The text with every character that means something to Markdown escaped."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#~$&!" else char for char in text)
