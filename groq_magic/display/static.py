"""An answer's looks and words, the same in the live view and in the static output.

Styles are inline: a saved notebook brings no style sheet, and Jupyter takes style elements
out.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any, NamedTuple
from weakref import WeakSet

from groq_magic.answer import Answer
from groq_magic.errors import printable
from groq_magic.markdown import render
from groq_magic.runtime import runtime
from groq_magic.wire.models import dollars
from groq_magic.wire.protocol import Queued

# Where another program ends a line, it would leave what nbconvert indents: rst would run it.
# NEL has no reference of its own.
_LINE_ENDS = {ord(end): f"&#{ord(end)};" for end in "\r\v\f\x1c\x1d\x1e\u2028\u2029"}
_LINE_ENDS[0x85] = "&#10;"


def static_bundle(answer: Answer, html: str | None = None) -> tuple[dict[str, str], dict[str, Any]]:
    """The output that stays: its data by mime type, and its metadata.

    ``html`` is that of the text, where it has been rendered already. There is no Markdown in
    it: renderers disagree on what is code, and exports to LaTeX run TeX commands.
    """
    data = {
        "text/html": _static_html(answer, render(answer.text) if html is None else html),
        "text/plain": printable(answer.text),
    }
    return data, {"groq": _metadata(answer)}


class _WithoutReasoning(WeakSet[Answer]):
    """The answers that are shown without their reasoning."""


def show_reasoning(answer: Answer, *, shown: bool) -> None:
    """Show what the model thought, or leave it out, from now on wherever the answer is shown."""
    hidden = runtime.own(_WithoutReasoning)
    (hidden.discard if shown else hidden.add)(answer)


def shown_reasoning(answer: Answer) -> str:
    """What the model thought so far, or nothing where that is left out."""
    return "" if _is_without_reasoning(answer) else answer.reasoning


def _is_without_reasoning(answer: Answer) -> bool:
    return answer in runtime.own(_WithoutReasoning)


def theme_style(style: str) -> str:
    """The style in plain colours, too: JupyterLab drops variables from a file it does not trust."""
    plain = re.sub(r"var\([^,]*, ([^)]*)\)", r"\1", style)
    return f"{plain};{style}"


_DIM = theme_style("color:var(--jp-ui-font-color2, #757575)")
_CALM = "var(--jp-ui-font-color2, #757575)"
_BRAND = "var(--jp-brand-color1, #1976d2)"
_WARN = "var(--jp-warn-color0, #b26a00)"
_BAD = "var(--jp-error-color1, #c62828)"
# MathJax, of which nbconvert's pages have the second version, is to see our formulas and
# not the price of things.
_CLASSES = "groq-answer mathjax_ignore tex2jax_ignore"
_TEXT_CLASSES = "jp-RenderedHTMLCommon jp-RenderedMarkdown"  # JupyterLab's own for Markdown
_DOTS = {"waiting": _WARN, "done": _CALM, "stopped": _WARN, "failed": _BAD}

# Values that the API itself names.
_WORDS = ["none", "default", "minimal", "low", "medium", "high", "parsed", "raw", "hidden"]
_WORDS += ["auto", "on_demand", "flex", "performance", "required"]


class Status(NamedTuple):
    """The answer's state, and the HTML around its text."""

    state: str
    header: str
    thinking: bool
    """Whether the reasoning is what comes now."""
    thought: str
    """The summary of the reasoning; empty where there is none."""
    note: str
    """What the reader must know about the end; mostly empty."""

    @classmethod
    def of(cls, answer: Answer) -> Status:
        """The status of ``answer`` now."""
        note = note_of(answer)
        said = note.html if note else ""
        thinking = answer.thinking and not _is_without_reasoning(answer)
        return cls(answer.state, _header(answer), thinking, _thought(answer), said)


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


def _static_html(answer: Answer, html: str) -> str:
    status = Status.of(answer)
    reasoning = ""
    if status.thought:
        reasoning = (
            f'<details style="font-size:13px;line-height:1.6;{_DIM}">'
            f"<summary>{status.thought}</summary>"
            '<div style="white-space:pre-wrap;max-height:20em;overflow:auto">'
            f"{escape(shown_reasoning(answer))}</div></details>"
        )
    # The output area pads its right side already.
    text = f'<div class="{_TEXT_CLASSES}" style="padding-right:0">{html}</div>'
    whole = f'<div class="{_CLASSES}">{status.header}{reasoning}{text}{status.note}</div>'
    # In the Markdown that nbconvert makes, a blank line would end the HTML.
    return re.sub(r"\n(?=[^\S\n]*\n)", "&#10;", whole.translate(_LINE_ENDS))


def _header(answer: Answer) -> str:
    dot = _DOTS.get(answer.state, _BRAND)
    return (
        f'<div style="padding-bottom:4px;font-size:12px;line-height:24px;{_DIM};'
        'font-variant-numeric:tabular-nums">'
        f'<span title="{answer.state}" style="{theme_style(f"color:{dot}")}">●</span> '
        f'<b style="color:var(--jp-ui-font-color1, #212121)">{escape(answer.model)}</b> '
        f"{_figures_html(answer)}{_chat_line(answer)}</div>"
    )


def _figures_html(answer: Answer) -> str:
    """The figures, none of which a narrow page breaks in two."""
    *figures, last = _figures(answer)
    return " ".join([*(figure.html(" ·") for figure in figures), last.html()])


def _chat_line(answer: Answer) -> str:
    return f"<br>{escape(answer.note)}" if answer.note else ""


class _Figure(NamedTuple):
    text: str
    title: str = ""
    """What the text has no room to say."""

    def html(self, behind: str = "") -> str:
        title = f' title="{escape(self.title)}"' if self.title else ""
        return f'<span style="white-space:nowrap"{title}>{escape(self.text)}{behind}</span>'


def line_of(answer: Answer) -> str:
    """The answer's state and figures, in a line."""
    return " · ".join(figure.text for figure in _figures(answer))


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
        figures = [
            _Figure(_unseen(answer)),
            _Figure(_tokens(answer)),
            _speed(answer),
            _first(answer),
            _Figure(f"{answer.seconds:.1f} s"),
        ]
    return [figure for figure in (*figures, _price(answer)) if figure.text]


def _tokens(answer: Answer) -> str:
    asked = answer.usage.prompt_tokens if answer.usage else None
    count = f"{answer.tokens:,}" if asked is None else f"{asked:,} + {answer.tokens:,}"
    return f"{count} token{'' if count == '1' else 's'}"


def _speed(answer: Answer) -> _Figure:
    """Tokens per second: by the server's own time where it gave one, else by the clock."""
    seconds = answer.usage.completion_time if answer.usage else None
    about, title = "", "By the time that the server says it took"
    if seconds is None:
        seconds = answer.seconds - (answer.time_to_first_token or 0.0)
        about, title = "~", "By this machine's clock"
    if answer.tokens < 10 or seconds < 0.05:
        return _Figure("")  # too little to tell
    return _Figure(f"{about}{answer.tokens / seconds:,.0f} tokens/s", title)


def _first(answer: Answer) -> _Figure:
    first = answer.time_to_first_token
    return _Figure("" if first is None else f"first after {first:.2f} s")


def _price(answer: Answer) -> _Figure:
    cost = answer.cost
    return _Figure("" if cost is None else dollars(cost), "By the server's list of prices")


def _unseen(answer: Answer) -> str:
    return "thinking" if answer.thinking and answer in runtime.own(_WithoutReasoning) else ""


def _thought(answer: Answer) -> str:
    seconds = answer.thinking_seconds
    if seconds is None or _is_without_reasoning(answer):
        return ""
    return "Thinking" if answer.thinking else f"Thought for {seconds:.1f} s"


def note_of(answer: Answer) -> Note | None:
    """What must be said of the answer's end; None of most."""
    if answer.state == "failed":
        return Note("Failed.", str(answer.error), _BAD)
    if answer.state == "done" and answer.finish_reason == "length":
        more = f"Ask for more with --max-tokens {4 * answer.tokens}."
        return Note(f"Cut at {answer.tokens:,} tokens.", more, _WARN)
    if answer.state == "stopped":
        rest = "Run the cell again for all of it." if answer.tokens else "Nothing had come yet."
        return Note("Stopped.", rest, _CALM)
    return None


def _metadata(answer: Answer) -> dict[str, Any]:
    """How the answer was made; neither the key nor the prompt is in it, nor a secret in `tools`."""
    made = {
        "model": answer.model,
        "parameters": dict(filter(_is_plain, answer.parameters.items())),
        "state": answer.state,
        "finish_reason": answer.finish_reason,
        "request_id": answer.request_id,
        "seed": answer.seed,
        "system_fingerprint": answer.system_fingerprint,
        "service_tier": answer.service_tier,
        "usage": answer.usage.to_dict() if answer.usage else None,
        "cost_usd": answer.cost,
        "seconds": round(answer.seconds, 3),
        "time_to_first_token": _rounded(answer.time_to_first_token),
        "error": str(answer.error) if answer.error else None,
        "note": answer.note or None,
    }
    return {name: value for name, value in made.items() if value is not None}


def _is_plain(parameter: tuple[str, object]) -> bool:
    """Whether it is no text of the user's own: tools or a stop may hold a secret."""
    name, value = parameter
    return name == "model" or isinstance(value, int | float) or value in _WORDS


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
