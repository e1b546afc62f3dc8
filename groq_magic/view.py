"""An answer on the screen: the live widget, the static output that stays, plain text.

Kernel and browser speak in custom messages over the widget's comm. To the browser:

    {"type": "batch", "n": 7, "ops": [["settle", html], ["tail", html, part], …],
     "reasoning": "what is new", "status": {…}}
    {"type": "snapshot", "n": 7, "settled": [html, …], "open": html, "tail": html, "part": html,
     "reasoning": "all of it", "status": {…}, "model_id": "…"}

The operations are those of `markdown`.

and from it ``{"type": "snapshot"}``, at its mount, when a number is missing and when it has
heard nothing for long, again and again until one comes; and ``{"type": "stop"}``, again and
again until the answer is seen to have ended.
When the answer has ended and the swap for the static output has not reached the browser (its
page was loaded while the answer came), it asks for that output, ``{"type": "static"}``, and
puts it into the notebook itself:

    {"type": "static", "output": {"output_type": "display_data", …}}
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from html import escape
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import anywidget
from IPython import get_ipython
from IPython.display import display, update_display

from .answer import Answer
from .background import background
from .chat import Queued
from .dialect import render
from .errors import GroqError
from .markdown import Operation, StreamingMarkdown
from .models import dollars
from .source import safe_source

_log = logging.getLogger(__name__)

_PAINT_INTERVAL = 0.05
_COST_FACTOR = 10
_UNASKED_INTERVAL = 1.0
_UNASKED_PER_SECOND = 100_000  # characters, should there be nobody
_KEPT = 100


def show(answer: Answer, *, wait: bool | None = None, reasoning: bool | None = None) -> bool:
    """Show ``answer`` in the running cell; return whether its end was waited for.

    Live where somebody watches; at once and whole where nobody does (nbconvert,
    papermill: the file is written when the cells are through, so the cell waits) and
    where it has ended; as growing text in a terminal. ``wait`` true waits everywhere.
    ``reasoning`` false leaves out what the model thought, from now on wherever the answer
    is shown; None changes nothing.
    """
    if reasoning is not None:
        (_unthinking.discard if reasoning else _unthinking.add)(answer)
    shell = get_ipython()
    _shown_in[answer] = getattr(shell, "execution_count", None)
    if answer not in _recent:
        _recent.append(answer)
    if _is_terminal(shell, wait=bool(wait)):
        _print(answer)
        return True
    if answer.ended or not _somebody_watches(shell):
        _show_at_end(answer)
        return True
    view = LiveView(answer)
    if wait:
        answer.wait()
        view.finished.wait(5.0)
    return bool(wait)


def show_once(answer: Answer) -> None:
    """Show ``answer`` unless this very cell has shown it already."""
    shell = get_ipython()
    if _shown_in.get(answer) != getattr(shell, "execution_count", None):
        show(answer)


def show_last(count: int, *, reasoning: bool | None = None) -> int:
    """Show the last answers of this process again, the latest below; return how many."""
    answers = list(_recent)[-count:]
    for answer in answers:
        show(answer, reasoning=reasoning)
    return len(answers)


def last_answer() -> Answer | None:
    """The answer that was shown last, for the first time; None where none was."""
    return _recent[-1] if _recent else None


def static_bundle(answer: Answer, html: str | None = None) -> tuple[dict[str, str], dict[str, Any]]:
    """The output that stays: its data by mime type, and its metadata.

    ``html`` is that of the text, where it has been rendered already.
    """
    data = {
        "text/html": _static_html(answer, render(answer.text) if html is None else html),
        "text/markdown": safe_source(answer.text),
        "text/plain": answer.text,
    }
    return data, {"groq": _metadata(answer)}


class AnswerWidget(anywidget.AnyWidget):
    """The browser's half of a `LiveView`; it has no state of its own to sync."""

    _esm = Path(__file__).with_name("view.js")
    _css = Path(__file__).with_name("view.css")


class LiveView:
    """Paints an answer into a widget as it comes, then swaps the widget for static output.

    Made in the cell that shows the answer; all painting is done on the background loop.
    """

    def __init__(self, answer: Answer) -> None:
        self.finished = threading.Event()
        """Set when the static output has been sent."""
        self._answer = answer
        self._markdown = StreamingMarkdown()
        self._fed = 0
        self._thought = 0
        self._batches = 0
        self._is_heard = False
        self._unasked_at = perf_counter() + _UNASKED_INTERVAL
        self._display_id = uuid.uuid4().hex
        self._widget = AnswerWidget()
        self._widget.on_msg(lambda _widget, content, _buffers: self._on_message(content))
        _hear_while_busy(self._widget.comm, self._on_message)
        display(self._placeholder(), raw=True, display_id=self._display_id)
        background.start(self._run())

    def _placeholder(self) -> dict[str, Any]:
        return {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._widget.model_id,
            },
            # All that a frontend without widgets shows, as jupyter console does.
            "text/plain": f"An answer from {self._answer.model} is coming. %groq last shows it.",
        }

    async def _run(self) -> None:
        try:
            await self._follow()
        except asyncio.CancelledError:  # the interpreter exits
            self._answer.stop()
        except Exception:  # whatever it was, the answer goes on and its text is shown
            _log.exception("The live view of an answer broke; its text comes at the end.")
            await self._until_end()
        finally:
            self._finish()

    async def _follow(self) -> None:
        version = -1
        while not self._answer.ended:
            with suppress(TimeoutError):  # once a second at least: the seconds run on
                version = await asyncio.wait_for(self._answer.changed(version), 1.0)
            cost = self._paint()
            self._begin_unasked()
            with suppress(TimeoutError):
                pause = max(_PAINT_INTERVAL, _COST_FACTOR * cost)
                await asyncio.wait_for(self._until_end(), pause)

    def _begin_unasked(self) -> None:
        """Send snapshots, one of which a view needs to begin with, until one was asked for.

        A kernel that is busy with a cell may not hear the question (ipykernel 6).
        """
        if not self._is_heard and perf_counter() >= self._unasked_at:
            self._send_snapshot()
            pause = len(self._markdown.html) / _UNASKED_PER_SECOND
            self._unasked_at = perf_counter() + max(_UNASKED_INTERVAL, pause)

    async def _until_end(self) -> None:
        with suppress(Exception):  # how it ended is not the question
            await self._answer

    def _paint(self) -> float:
        """Send what is new; return what it cost, in seconds."""
        begun = perf_counter()
        self._feed()
        self._send_batch(self._markdown.flush())
        return perf_counter() - begun

    def _finish(self) -> None:
        try:
            self._feed()
            self._send_batch(self._markdown.close())
            data, metadata = static_bundle(self._answer, self._markdown.html)
            update_display(data, metadata=metadata, raw=True, display_id=self._display_id)
        except Exception:  # the text must be shown, whatever it was
            _log.exception("The output of an answer could not be made; its text is printed here.")
            plain = {"text/plain": self._answer.text}
            update_display(plain, raw=True, display_id=self._display_id)
        finally:
            _keep(self._widget)
            self.finished.set()

    def _feed(self) -> None:
        for delta in (new := self._answer.deltas(self._fed)):
            self._markdown.feed(delta)
        self._fed += len(new)

    def _send_batch(self, operations: list[Operation]) -> None:
        self._batches += 1
        reasoning = _reasoning(self._answer)[self._thought :]
        self._thought += len(reasoning)
        self._send("batch", ops=[_to_wire(o) for o in operations], reasoning=reasoning)

    def _send_snapshot(self) -> None:
        """Send all there is, what was not painted yet included: nothing more may come."""
        self._paint()
        reasoning = _reasoning(self._answer)[: self._thought]
        shown = self._markdown.snapshot()
        self._send("snapshot", **shown, reasoning=reasoning, model_id=self._widget.model_id)

    def _send(self, kind: str, **content: Any) -> None:
        status = Status.of(self._answer)._asdict()
        self._widget.send({"type": kind, "n": self._batches, "status": status, **content})

    def _send_static(self) -> None:
        data, metadata = static_bundle(self._answer, self._markdown.html)
        output = {"output_type": "display_data", "data": data, "metadata": metadata}
        self._widget.send({"type": "static", "output": output})

    def _on_message(self, content: Any) -> None:
        """Hear the browser; on any thread, and perhaps twice for one message."""
        kind = content.get("type") if isinstance(content, dict) else None
        self._is_heard = True
        if kind == "stop":
            self._answer.stop()
        if kind in ("stop", "snapshot"):
            background.call(self._send_snapshot)
        if kind == "static" and self.finished.is_set():
            background.call(self._send_static)


_shown_in: WeakKeyDictionary[Answer, int | None] = WeakKeyDictionary()
_unthinking: WeakSet[Answer] = WeakSet()
_recent: deque[Answer] = deque(maxlen=_KEPT)
_ended_widgets: deque[AnswerWidget] = deque()


def _keep(widget: AnswerWidget) -> None:
    """Keep the widget of an answer that has ended, and close the one that ended long ago.

    A page that was reloaded while the answer came shows it through the widget for good:
    the swap for static output cannot reach it.
    """
    _ended_widgets.append(widget)
    if len(_ended_widgets) > _KEPT and not _is_voila():  # where no swap comes
        _ended_widgets.popleft().close()


def _hear_while_busy(comm: Any, hear: Callable[[Any], None]) -> None:
    """Hear comm messages while a cell runs, which ipykernel 7.4 would hold back till its end.

    That kernel asks a comm which shell a message goes to, on a thread that is never
    busy. Other versions do not ask, and of them 7.1 to 7.3 need no help.
    """
    original = getattr(comm, "_reply_subshell_for", None)
    if original is None:
        return

    def route(data: Any, default: Any) -> Any:
        with suppress(Exception):  # never break the kernel's routing
            if data.get("method") == "custom":
                hear(data.get("content"))
        return original(data, default)

    comm._reply_subshell_for = route  # noqa: SLF001  # there is no public way


def _is_terminal(shell: Any, *, wait: bool) -> bool:
    """Whether text that is printed as it comes is what the reader can see.

    So it is without a kernel. jupyter console has one, but no widgets, and nothing tells it
    from other frontends but that those name the cell they run, as Voila does not. Where the
    cell is to wait, printing is right there, and where not, it would be in the way.
    """
    if getattr(shell, "kernel", None) is None:
        return True
    names_cell = "cellId" in shell.kernel.get_parent().get("metadata", {})
    return wait and _somebody_watches(shell) and not (names_cell or _is_voila())


def _is_voila() -> bool:
    return "VOILA_KERNEL_ID" in os.environ


def _somebody_watches(shell: Any) -> bool:
    """Whether the frontend that runs this cell is interactive.

    nbconvert, papermill and ``jupyter execute`` allow no input; nor does Voila, where
    people do watch.
    """
    request = shell.kernel.get_parent().get("content", {})
    return _is_voila() or bool(request.get("allow_stdin"))


def running_cell() -> tuple[str | None, str | None]:
    """The id of the cell that runs, where the frontend names it, and of this run of it."""
    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent() if kernel else {}
    cell = request.get("metadata", {}).get("cellId")
    return cell, request.get("header", {}).get("msg_id")


def _show_at_end(answer: Answer) -> None:
    try:
        answer.wait()
    finally:  # an interrupt has stopped the answer; show what came
        data, metadata = static_bundle(answer)
        display(data, metadata=metadata, raw=True)


def _print(answer: Answer) -> None:
    """Write the text to stdout as it comes."""
    try:
        with suppress(GroqError):  # the caller has it as ``answer.error``
            for delta in answer:
                print(delta.translate(_CONTROLS), end="", flush=True)
    except KeyboardInterrupt:  # perhaps while it printed; a wait would have stopped the answer
        answer.stop()
        raise
    finally:
        note = _note(answer)
        said = f"\n{note.strong} {note.rest}" if note else ""
        line = " · ".join(filter(None, [answer.model, _line(answer), answer.note]))
        print(f"\n\n{line}{said}", file=sys.stderr)


# Escape sequences could write to a terminal's title, clipboard and history.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def _to_wire(operation: Operation) -> list[Any]:
    return [type(operation).__name__.lower(), *astuple(operation)]


# Looks and words, the same in the live view and in the static output. Styles are inline:
# a saved notebook brings no style sheet, and Jupyter takes style elements out.


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
        note = _note(answer)
        said = note.html if note else ""
        thinking = answer.thinking and answer not in _unthinking
        return cls(answer.state, _header(answer), thinking, _thought(answer), said)


class _Note(NamedTuple):
    strong: str
    rest: str
    colour: str

    @property
    def html(self) -> str:
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
            f"{escape(_reasoning(answer))}</div></details>"
        )
    # The output area pads its right side already.
    text = f'<div class="{_TEXT_CLASSES}" style="padding-right:0">{html}</div>'
    whole = f'<div class="{_CLASSES}">{status.header}{reasoning}{text}{status.note}</div>'
    # In the Markdown that nbconvert makes, a blank line would end the HTML.
    return re.sub(r"\n(?=[ \t]*\n)", "&#10;", whole)


def _header(answer: Answer) -> str:
    dot = _DOTS.get(answer.state, _BRAND)
    return (
        f'<div style="padding-bottom:4px;font-size:12px;line-height:24px;{_DIM};'
        'font-variant-numeric:tabular-nums">'
        f'<span style="{theme_style(f"color:{dot}")}">●</span> '
        f'<b style="color:var(--jp-ui-font-color1, #212121)">{escape(answer.model)}</b> '
        f"{' · '.join(figure.html for figure in _figures(answer))}{_chat_line(answer)}</div>"
    )


def _chat_line(answer: Answer) -> str:
    return f"<br>{escape(answer.note)}" if answer.note else ""


class _Figure(NamedTuple):
    text: str
    title: str = ""
    """What the text has no room to say."""

    @property
    def html(self) -> str:
        if not self.title:
            return escape(self.text)
        return f'<span title="{escape(self.title)}">{escape(self.text)}</span>'


def _line(answer: Answer) -> str:
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
        ]
    if answer.state == "done":
        figures.append(_Figure(f"{answer.seconds:.1f} s"))
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


def _reasoning(answer: Answer) -> str:
    return "" if answer in _unthinking else answer.reasoning


def _unseen(answer: Answer) -> str:
    return "thinking" if answer.thinking and answer in _unthinking else ""


def _thought(answer: Answer) -> str:
    seconds = answer.thinking_seconds
    if seconds is None or answer in _unthinking:
        return ""
    return "Thinking" if answer.thinking else f"Thought for {seconds:.1f} s"


def _note(answer: Answer) -> _Note | None:
    if answer.state == "failed":
        return _Note("Failed.", str(answer.error), _BAD)
    if answer.state == "done" and answer.finish_reason == "length":
        more = f"Ask for more with --max-tokens {4 * answer.tokens}."
        return _Note(f"Cut at {answer.tokens:,} tokens.", more, _WARN)
    if answer.state == "stopped" and not answer.tokens:
        return _Note("Stopped.", "Nothing had come yet.", _CALM)
    return None


def _metadata(answer: Answer) -> dict[str, Any]:
    """How the answer was made; neither the key nor the prompt is in it."""
    made = {
        "model": answer.model,
        "parameters": answer.parameters,
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


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
