"""An answer's status in words: the line above its text, and the note below.

The live view and the static output share this HTML. Its styles are inline: a saved notebook
has no style sheet, and Jupyter removes style elements.
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple
from weakref import WeakSet

from IPython import get_ipython

from groq_magic.answer import Answer
from groq_magic.errors import printable, span
from groq_magic.runtime import runtime
from groq_magic.wire.models import KnownModels, dollars
from groq_magic.wire.protocol import Planned, Queued, Usage

from .beside import Beside, beside, running_tool


def theme_style(style: str) -> str:
    """The style with plain colours first: an untrusted file in JupyterLab has no variables."""
    plain = re.sub(r"var\([^,]*, ([^)]*)\)", r"\1", style)
    return f"{plain};{style}"


DIM = "opacity:0.75"  # legible on light and dark, with variables and without
RULE = theme_style("border-left:2px solid var(--jp-border-color2, #bdbdbd)")
RULE += ";padding-left:10px;margin:2px 0 6px"
# In these colours, a dot or a border has a contrast of 3 to white and to black.
_GREY, _BLUE, _AMBER, _RED = "#757575", "#1976d2", "#c77700", "#d32f2f"
_DOTS = {"waiting": _AMBER, "done": _GREY, "stopped": _AMBER, "failed": _RED}

# In escaped text: addresses, and what a reader types.
_MARKED = re.compile(
    r"(?P<url>https?://(?:[^\s<>&\"']|&amp;)*[\w/])"
    r"|(?<!\S)(?:--[a-z-]+(?: \d+)?|%groq(?: [a-z]+)?|answer\.\w+|[A-Z]+_[A-Z_]+)"
)

_TAGS = r"<tool>.*?(?:</tool>|\Z)|<output>.*?(?:</output>|\Z)|</?think>"
_TOOLS_IN_REASONING = re.compile(_TAGS, re.DOTALL)
_TOOLS_SO_FAR = re.compile(_TAGS + r"|<[a-z/]{0,7}\Z", re.DOTALL)


class _WithoutReasoning(WeakSet[Answer]):
    """The answers that are shown without their reasoning."""


def show_reasoning(answer: Answer, *, shown: bool) -> None:
    """Show the reasoning of ``answer``, or hide it, from now on wherever the answer is shown."""
    hidden = runtime.own(_WithoutReasoning)
    (hidden.discard if shown else hidden.add)(answer)


def shown_reasoning(answer: Answer) -> str:
    """The reasoning so far; empty if it is hidden.

    Compound models write their tools into it, which are shown as such: without these. What may
    become a tag waits for its end, so that what is shown only grows.
    """
    if _hides_reasoning(answer):
        return ""
    ended, reasoning = answer.ended, answer.reasoning
    if "compound" not in answer.model:
        return reasoning
    return (_TOOLS_IN_REASONING if ended else _TOOLS_SO_FAR).sub("", reasoning)


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
    tools: str
    """What the server did for the answer, above its text; mostly empty."""
    calls: str
    """What the model asks for, and sources, below its text; mostly empty."""

    @classmethod
    def of(cls, answer: Answer, parts: Beside | None = None) -> Status:
        """The status of ``answer`` now; ``parts`` are ``tools`` and ``calls`` if they are known."""
        note = note_of(answer)
        thinking = answer.thinking and not _hides_reasoning(answer)
        html = note.html if note else ""
        words = _header(answer), thinking, _thought(answer), html
        return cls(answer.state, *words, *(parts or beside(answer)))


class Note(NamedTuple):
    """What a reader must know about an answer's end: a word or two, and the rest."""

    strong: str
    rest: str
    colour: str

    @property
    def html(self) -> str:
        """The note as it stands below the text."""
        style = f"border-left:3px solid {self.colour};padding:3px 10px;margin:6px 0"
        rest = _MARKED.sub(_link_or_code, escape(self.rest))
        return f'<div style="{style}"><b>{escape(self.strong)}</b> {rest}</div>'


def _link_or_code(found: re.Match[str]) -> str:
    if url := found["url"]:
        return f'<a href="{url}" target="_blank" rel="noopener noreferrer nofollow">{url}</a>'
    return f"<code>{found[0]}</code>"


def note_of(answer: Answer) -> Note | None:
    """What to say about the answer's end; None for most."""
    if answer.state == "failed":
        return Note("Failed.", str(answer.error), _RED)
    if answer.state == "stopped":
        rest = _go_on(answer) if answer.text else "No text has arrived."
        return Note("Stopped.", rest, _AMBER)
    return _note_of_reason(answer) if answer.state == "done" else None


def _go_on(answer: Answer) -> str:
    if not answer.can_resume:
        return "The text so far is kept."
    if get_ipython() is None:  # no magics
        return "To go on: answer.resume()."
    return "To go on: %groq continue, or --continue in its cell."


def _note_of_reason(answer: Answer) -> Note | None:
    match answer.finish_reason:
        case "length":
            return Note(f"Cut at {_count(answer.tokens)}.", _more(answer), _AMBER)
        case "content_filter":
            rest = "A filter of the server cut the answer: change the prompt, or ask another model."
            return Note("Filtered.", rest, _AMBER)
    if count := len(answer.tool_calls):
        if count == 1:
            rest = "Run it and send the result: answer.tool_calls has it."
            return Note("The model asks for a call.", rest, _GREY)
        rest = "Run them and send the results: answer.tool_calls has them."
        return Note(f"The model asks for {count} calls.", rest, _GREY)
    if answer.finish_reason not in ("stop", None):
        said = printable(answer.finish_reason[:40])
        rest = f"The server ended it with {said!r}: some of it may be missing."
        return Note("Ended early.", rest, _AMBER)
    rest = "The model wrote no text: run the cell again, or change the prompt."
    return None if answer.text.strip() else Note("The answer is empty.", rest, _AMBER)


def _more(answer: Answer) -> str:
    """A number for --max-tokens that the model and the account accept."""
    if not answer.can_resume:
        return "It has reached its limit of tokens: ask for more."
    longest = runtime.own(KnownModels).longest_answer(answer.model)
    minute, usage = answer.rate_limits.limit_tokens, answer.usage
    left = minute and minute - (usage.prompt_tokens or 0 if usage else 0)
    more = min(filter(None, (4 * answer.tokens, longest, left)), default=0)
    if more <= answer.tokens:
        return f"No longer answer fits. {_go_on(answer)}"
    return f"Ask for more with --max-tokens {more}."


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
    dot = f"color:{_DOTS.get(answer.state, _BLUE)}"
    *figures, last = _figures(answer)
    line = " ".join([*(figure.html(" ·") for figure in figures), last.html()])
    note = f"<br>{escape(answer.note)}" if answer.note else ""
    return (
        '<div style="padding-bottom:4px;font-size:12px;line-height:24px;'
        'font-variant-numeric:tabular-nums">'
        f'<span title="{answer.state}" aria-hidden="true" style="{dot}">●</span> '
        f"<b>{escape(answer.model)}</b> "
        f'<span style="{DIM}">{line}{note}</span></div>'
    )


def _figures(answer: Answer) -> list[_Figure]:
    if answer.state == "connecting":
        asked = f"asked {answer.seconds:.0f} s ago" if answer.seconds >= 2 else "asked"
        return [_Figure(asked), *_plan(answer.planned)]
    if isinstance(waiting := answer.waiting, Queued):
        return [_Figure(waiting.reason)]
    if isinstance(waiting, Planned):
        return [_Figure(f"sends in {span(answer.seconds_to_retry)}"), *_plan(waiting)]
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
            _Figure(running_tool(answer) or ("thinking" if hidden else "")),
            _Figure(_tokens(answer), _token_kinds(answer.usage)),
            _speed(answer),
            _Figure("" if first is None else f"first after {first:.2f} s"),
            _Figure(f"{answer.seconds:.1f} s"),
            _queue(answer.usage),
        ]
    cost = answer.cost
    figures.append(_Figure("" if cost is None else dollars(cost), _price_of(answer)))
    figures.append(_kept(answer))
    return [figure for figure in figures if figure.text]


def _plan(planned: Planned | None) -> list[_Figure]:
    if planned is None or planned.limit is None:
        return []
    said = "The prompt, as estimated, and --max-tokens, of what the account may use in a minute"
    figures = [_Figure(f"≈ {planned.tokens:,} of {planned.limit:,} tokens this minute", said)]
    if planned.requests:
        figures.append(_Figure(f"the minute's {planned.requests} requests are used up"))
    return figures


def _kept(answer: Answer) -> _Figure:
    if answer.kept is None:
        return _Figure("")
    times = f"{answer.kept.asked:,} time{'' if answer.kept.asked == 1 else 's'}"
    said = "The answer of an earlier run to the same request; nothing was sent"
    return _Figure(f"kept from {answer.kept.day}, asked {times}", said)


def _tokens(answer: Answer) -> str:
    asked = answer.usage.prompt_tokens if answer.usage else None
    return _count(answer.tokens) if asked is None else f"{asked:,} + {_count(answer.tokens, 2)}"


def _count(tokens: int, number: int | None = None) -> str:
    """The tokens in words; ``number`` decides whether the noun is a plural."""
    return f"{tokens:,} token{'' if (number or tokens) == 1 else 's'}"


def _token_kinds(usage: Usage | None) -> str:
    """The tooltip of the tokens: 23 for the prompt (16 cached), 371 for the answer."""
    if usage is None or usage.prompt_tokens is None:
        return ""
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    thought = f" ({usage.reasoning_tokens:,} for reasoning)" if usage.reasoning_tokens else ""
    answered = usage.completion_tokens or 0
    return f"{usage.prompt_tokens:,} for the prompt{cached}, {answered:,} for the answer{thought}"


def _queue(usage: Usage | None) -> _Figure:
    """The time in the server's queue, where a reader would notice it."""
    seconds = (usage and usage.queue_time) or 0.0
    said = "The request waited at the server before the model began"
    return _Figure(f"queued {seconds:.1f} s", said) if seconds > 1 else _Figure("")


def _price_of(answer: Answer) -> str:
    """The tooltip of the cost."""
    tier = f", service tier {answer.service_tier}" if answer.service_tier else ""
    fees = ", without the fees of tools" if answer.executed_tools else ""
    return f"By the server's list of prices{printable(tier[:80])}{fees}"


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
    if answer.thinking:
        return running_tool(answer).capitalize() or "Thinking"
    return f"Thought for {seconds:.1f} s" if seconds >= 0.05 else "Thought"
