"""An answer's status in words: the line above its text, and the note below.

The live view and the static output share this HTML. Its styles are inline: a saved notebook
has no style sheet, and Jupyter removes style elements.
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple
from weakref import WeakSet

from groq_magic.answer import Answer
from groq_magic.runtime import runtime
from groq_magic.wire.models import dollars
from groq_magic.wire.protocol import Queued


def theme_style(style: str) -> str:
    """The style with plain colours first: an untrusted file in JupyterLab has no variables."""
    plain = re.sub(r"var\([^,]*, ([^)]*)\)", r"\1", style)
    return f"{plain};{style}"


DIM = theme_style("color:var(--jp-ui-font-color2, #757575)")
_GREY = "var(--jp-ui-font-color2, #757575)"
_BLUE = "var(--jp-brand-color1, #1976d2)"
_AMBER = "var(--jp-warn-color0, #b26a00)"
_RED = "var(--jp-error-color1, #c62828)"
_DOTS = {"waiting": _AMBER, "done": _GREY, "stopped": _AMBER, "failed": _RED}


class _WithoutReasoning(WeakSet[Answer]):
    """The answers that are shown without their reasoning."""


def show_reasoning(answer: Answer, *, shown: bool) -> None:
    """Show the reasoning of ``answer``, or hide it, from now on wherever the answer is shown."""
    hidden = runtime.own(_WithoutReasoning)
    (hidden.discard if shown else hidden.add)(answer)


def shown_reasoning(answer: Answer) -> str:
    """The reasoning so far; empty if it is hidden."""
    return "" if _hides_reasoning(answer) else answer.reasoning


def _hides_reasoning(answer: Answer) -> bool:
    return answer in runtime.own(_WithoutReasoning)


class Status(NamedTuple):
    """The answer's state, and the HTML around its text."""

    state: str
    header: str
    thinking: bool
    """Whether reasoning streams now, and is shown."""
    thought: str
    """The summary of the reasoning; empty if there is none."""
    note: str
    """What the reader must know about the end; mostly empty."""

    @classmethod
    def of(cls, answer: Answer) -> Status:
        """The status of ``answer`` now."""
        note = note_of(answer)
        thinking = answer.thinking and not _hides_reasoning(answer)
        html = note.html if note else ""
        return cls(answer.state, _header(answer), thinking, _thought(answer), html)


class Note(NamedTuple):
    """What a reader must know about an answer's end: a word or two, and the rest."""

    strong: str
    rest: str
    colour: str

    @property
    def html(self) -> str:
        """The note as it stands below the text."""
        border = theme_style(f"border-left:3px solid {self.colour}")
        return (
            f'<div style="{border};padding:3px 10px;margin:6px 0">'
            f'<b style="{theme_style(f"color:{self.colour}")}">{escape(self.strong)}</b> '
            f"{escape(self.rest)}</div>"
        )


def note_of(answer: Answer) -> Note | None:
    """What to say about the answer's end; None for most."""
    if answer.state == "failed":
        return Note("Failed.", str(answer.error), _RED)
    if answer.state == "done" and answer.finish_reason == "length":
        more = f"Ask for more with --max-tokens {4 * answer.tokens}."
        count = f"{answer.tokens:,} token{'' if answer.tokens == 1 else 's'}"
        return Note(f"Cut at {count}.", more, _AMBER)
    if answer.state == "stopped":
        rest = "Run the cell again for all of it." if answer.tokens else "No text has arrived."
        return Note("Stopped.", rest, _GREY)
    return None


class _Figure(NamedTuple):
    text: str
    title: str = ""
    """The tooltip."""

    def html(self, end: str = "") -> str:
        title = f' title="{escape(self.title)}"' if self.title else ""
        return f'<span style="white-space:nowrap"{title}>{escape(self.text)}{end}</span>'


def line_of(answer: Answer) -> str:
    """The answer's state and figures in one line of text."""
    return " · ".join(figure.text for figure in _figures(answer))


def _header(answer: Answer) -> str:
    dot = theme_style(f"color:{_DOTS.get(answer.state, _BLUE)}")
    *figures, last = _figures(answer)
    line = " ".join([*(figure.html(" ·") for figure in figures), last.html()])
    note = f"<br>{escape(answer.note)}" if answer.note else ""
    return (
        f'<div style="padding-bottom:4px;font-size:12px;line-height:24px;{DIM};'
        'font-variant-numeric:tabular-nums">'
        f'<span title="{answer.state}" style="{dot}">●</span> '
        f'<b style="color:var(--jp-ui-font-color1, #212121)">{escape(answer.model)}</b> '
        f"{line}{note}</div>"
    )


def _figures(answer: Answer) -> list[_Figure]:
    if answer.state == "connecting":
        return [_Figure(f"asked {answer.seconds:.0f} s ago" if answer.seconds >= 2 else "asked")]
    if isinstance(waiting := answer.waiting, Queued):
        return [_Figure(waiting.reason)]
    if waiting:
        left = f"tries again in {answer.seconds_to_retry:.0f} s"
        attempts = f"({waiting.attempt} of {waiting.attempts})"
        return [_Figure(waiting.reason), _Figure(f"{left} {attempts}")]
    if answer.state in ("stopped", "failed"):
        kept = f"{_tokens(answer)} kept" if answer.tokens else ""
        figures = [_Figure(f"{answer.state} after {answer.seconds:.1f} s"), _Figure(kept)]
    else:
        hidden = answer.thinking and _hides_reasoning(answer)
        first = answer.time_to_first_token
        figures = [
            _Figure("thinking" if hidden else ""),
            _Figure(_tokens(answer)),
            _speed(answer),
            _Figure("" if first is None else f"first after {first:.2f} s"),
            _Figure(f"{answer.seconds:.1f} s"),
        ]
    cost = answer.cost
    figures.append(_Figure("" if cost is None else dollars(cost), "By the server's list of prices"))
    return [figure for figure in figures if figure.text]


def _tokens(answer: Answer) -> str:
    asked = answer.usage.prompt_tokens if answer.usage else None
    count = f"{answer.tokens:,}" if asked is None else f"{asked:,} + {answer.tokens:,}"
    return f"{count} token{'' if count == '1' else 's'}"


def _speed(answer: Answer) -> _Figure:
    """Tokens per second by the server's time if it gave one, else by this machine's clock."""
    seconds = answer.usage.completion_time if answer.usage else None
    about, title = "", "By the time that the server says it took"
    if seconds is None:
        seconds = answer.seconds - (answer.time_to_first_token or 0.0)
        about, title = "~", "By this machine's clock"
    if answer.tokens < 10 or seconds < 0.05:
        return _Figure("")  # too little to tell
    return _Figure(f"{about}{answer.tokens / seconds:,.0f} tokens/s", title)


def _thought(answer: Answer) -> str:
    seconds = answer.thinking_seconds
    if seconds is None or _hides_reasoning(answer):
        return ""
    return "Thinking" if answer.thinking else f"Thought for {seconds:.1f} s"
