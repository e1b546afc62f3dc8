"""An answer in a live widget, which static output follows.

Kernel and browser speak in custom messages over the widget's comm. To the browser:

    {"type": "batch", "n": 7, "ops": [["settle", html], ["tail", html, part], …],
     "reasoning": "what is new", "status": {…}}
    {"type": "snapshot", "n": 7, "settled": [html, …], "open": html, "tail": html, "part": html,
     "reasoning": "all of it", "status": {…}, "model_id": "…"}

The operations are those of `markdown`.

and from it ``{"type": "snapshot", "id": …}``, at its mount, when a number is missing and when
it has heard nothing for long, again and again until one comes; and ``{"type": "stop", …}``,
again and again until the answer is seen to have ended. Each has an id of its own, since a kernel
may be handed one twice. What comes before a view can ask, it finds as a snapshot in the widget's
state, ``early``.
When the answer has ended and the swap for the static output has not reached the browser (its
page was loaded while the answer came), it asks for that output, ``{"type": "static", …}``, and
puts it into the notebook itself:

    {"type": "static", "output": {"output_type": "display_data", …}}
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import anywidget
from IPython.display import display, update_display
from traitlets import Instance

from groq_magic.answer import Answer
from groq_magic.errors import printable
from groq_magic.markdown import Operation, StreamingMarkdown
from groq_magic.runtime import runtime

from .frontend import is_voila
from .static import Status, shown_reasoning, static_bundle

_log = logging.getLogger(__name__)

_PAINT_INTERVAL = 0.05
_LONGEST_PAUSE = 1.0  # a view that hears nothing for three seconds asks why
_FIRST_LOOKS = 200  # deltas
_AT_ONCE = 6_000  # characters, for which a list of nothing but markers holds the loop for 0.2 s
_COST_FACTOR = 10
_SHARED_COST_FACTOR = 3
_AT_FULL_RATE = 20  # views; jupyter_server drops what is beyond 1,000 messages a second
_SWAP_INTERVAL = 0.06
_UNASKED_INTERVAL = 1.0
_UNASKED_PER_SECOND = 100_000  # characters, should there be nobody
_KEPT = 100


class AnswerWidget(anywidget.AnyWidget):
    """The browser's half of a `LiveView`."""

    early = Instance(dict, allow_none=True).tag(sync=True)
    """A snapshot for a view that could not ask for one yet; None when one has, and at the end."""
    _esm = Path(__file__).with_name("widget.js")
    _css = Path(__file__).with_name("widget.css")


class LiveView:
    """Paints an answer into a widget as it comes, then swaps the widget for static output.

    Made in the cell that shows the answer; all painting is done on the background loop.
    """

    def __init__(self, answer: Answer) -> None:
        self.finished = threading.Event()
        """Set when the static output has been sent."""
        self._answer = answer
        self._markdown = StreamingMarkdown()
        self._operations: list[Operation] = []
        """Those of one flush, which the next batch says; or of several that showed nothing."""
        self._fed = 0
        self._behind = ""
        """What is to be fed by later flushes."""
        self._thought = 0
        self._batches = 0
        self._heard: deque[Any] = deque(maxlen=100)
        self._has_begun = False
        self._unasked_at = perf_counter() + _UNASKED_INTERVAL
        self._output: tuple[dict[str, str], dict[str, Any]] = {}, {}
        self._display_id = uuid.uuid4().hex
        self._widget = AnswerWidget()
        self._model_id = self._widget.model_id
        self._widget.early = self._snapshot()
        self._widget.on_msg(lambda _widget, content, _buffers: self._on_message(content))
        _hear_while_busy(self._widget.comm, self._on_message)
        display(self._placeholder(), raw=True, display_id=self._display_id)
        runtime.loop.job(self._run).start()

    def _placeholder(self) -> dict[str, Any]:
        return {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._model_id,
            },
            # All that a frontend without widgets shows, as jupyter console does.
            "text/plain": f"An answer from {self._answer.model} is coming. %groq last shows it.",
        }

    async def _run(self) -> None:
        try:
            await self._follow_to_the_end()
            self._close()
            await _turn_to_swap()
        except asyncio.CancelledError:  # the interpreter exits
            self._answer.stop()
            self._close()
        finally:
            self._swap()

    async def _follow_to_the_end(self) -> None:
        try:
            await self._follow()
        except Exception:  # whatever it was, the answer goes on and its text is shown
            _log.exception("The live view of an answer broke; its text comes at the end.")
            await self._until_end()

    async def _follow(self) -> None:
        version, due_at, is_painted = -1, 0.0, True
        end = asyncio.ensure_future(self._until_end())
        while not self._answer.ended:
            is_idle = is_painted and not self._behind
            patience = _LONGEST_PAUSE if is_idle else due_at - perf_counter()
            with suppress(TimeoutError):  # the seconds run on
                version = await asyncio.wait_for(self._answer.changed(version), patience)
            begun = perf_counter()
            self._render()
            begins = self._begins()
            is_painted = self._is_paced or begun >= due_at
            if is_painted:
                self._send_batch()
                self._update_early(begins=begins)
                due_at = perf_counter() + _pause(perf_counter() - begun)
            if self._is_paced:
                await asyncio.wait([end], timeout=due_at - perf_counter())
        await self._catch_up()

    async def _catch_up(self) -> None:
        """Leave one step to `_close`; the loop has a turn after each of the others."""
        self._feed()
        while self._behind:
            self._operations += self._markdown.flush()
            self._send_batch()
            await asyncio.sleep(0)
            self._feed()

    @property
    def _is_paced(self) -> bool:
        """Before the first word each change is looked at, so that it need not wait.

        But not for ever: there is text that shows nothing, as definitions of links.
        """
        return self._has_begun or self._fed > _FIRST_LOOKS

    def _begins(self) -> bool:
        """Whether there is something to read, for the first time."""
        if self._has_begun or not (self._markdown.html or shown_reasoning(self._answer)):
            return False
        self._has_begun = True
        runtime.own(_Views).painting.add(self)
        return True

    def _update_early(self, *, begins: bool) -> None:
        """Have a snapshot, which a view needs to begin with, in its state until it asked for one.

        There the first words wait for the view, which is made while they come. And a kernel
        that is busy with a cell may not hear the question (ipykernel 6).
        """
        if not self._heard and (begins or perf_counter() >= self._unasked_at):
            self._widget.early = self._snapshot()
            pause = len(self._markdown.html) / _UNASKED_PER_SECOND
            self._unasked_at = perf_counter() + max(_UNASKED_INTERVAL, pause)

    async def _until_end(self) -> None:
        with suppress(Exception):  # how it ended is not the question
            await self._answer

    def _close(self) -> None:
        """Show all of it, and make the output that stays."""
        runtime.own(_Views).painting.discard(self)
        self._output = {"text/plain": printable(self._answer.text)}, {}
        try:
            self._feed(at_once=None)
            self._operations += self._markdown.close()
            self._send_batch()
            self._widget.early = None
            self._output = static_bundle(self._answer, self._markdown.html)
        except Exception:  # the text must be shown, whatever it was
            _log.exception("The output of an answer could not be made; its text is printed here.")
            with suppress(Exception):
                self._send_batch()  # that it has ended

    def _swap(self) -> None:
        try:
            data, metadata = self._output
            update_display(data, metadata=metadata, raw=True, display_id=self._display_id)
        finally:
            _keep(self._widget)
            self.finished.set()

    def _feed(self, at_once: int | None = _AT_ONCE) -> None:
        new = self._answer.deltas(self._fed)
        self._fed += len(new)
        text = self._behind + "".join(new)
        if text:
            self._markdown.feed(text[:at_once])
        self._behind = text[at_once:] if at_once else ""

    def _render(self) -> None:
        self._feed()
        self._operations += self._markdown.flush()

    def _send_batch(self) -> None:
        self._batches += 1
        reasoning = shown_reasoning(self._answer)[self._thought :]
        self._thought += len(reasoning)
        ops, self._operations = self._operations, []
        self._widget.send(self._message("batch", ops=ops, reasoning=reasoning))

    def _send_snapshot(self) -> None:
        """Send all there is, what was not painted yet included: nothing more may come."""
        with suppress(Exception):  # what broke was logged, and what there is, is sent
            self._render()
        self._send_batch()
        self._widget.early = None  # also for a page that is loaded later
        self._widget.send(self._snapshot())

    def _snapshot(self) -> dict[str, Any]:
        reasoning = shown_reasoning(self._answer)[: self._thought]
        shown = self._markdown.snapshot()
        return self._message("snapshot", **shown, reasoning=reasoning, model_id=self._model_id)

    def _message(self, kind: str, **content: Any) -> dict[str, Any]:
        status = Status.of(self._answer)._asdict()
        return {"type": kind, "n": self._batches, "status": status, **content}

    def _send_static(self) -> None:
        data, metadata = self._output
        output = {"output_type": "display_data", "data": data, "metadata": metadata}
        self._widget.send({"type": "static", "output": output})

    def _on_message(self, content: Any) -> None:
        """Hear the browser; on any thread, and perhaps twice for one message."""
        if not isinstance(content, dict) or content.get("id") in self._heard:
            return
        kind = content.get("type")
        self._heard.append(content.get("id"))
        if kind == "stop":
            self._answer.stop()
        if kind in ("stop", "snapshot"):
            runtime.loop.call(self._send_snapshot)
        if kind == "static" and self.finished.is_set():
            runtime.loop.call(self._send_static)


class _Views:
    """The live views of this process."""

    def __init__(self) -> None:
        self.painting: set[LiveView] = set()
        self.next_swap = 0.0
        """When a page has had the time for the last swap."""
        self.ended: deque[AnswerWidget] = deque()

    def after_fork(self) -> None:
        """Stop painting: views are painted by the parent only."""
        self.painting.clear()


def _pause(cost: float) -> float:
    """Seconds until a view's next batch, which cost so many seconds.

    One view takes a tenth of the loop on which answers come in, all together a third.
    """
    views = len(runtime.own(_Views).painting)
    interval = _PAINT_INTERVAL * max(1.0, views / _AT_FULL_RATE)
    pause = max(interval, cost * max(_COST_FACTOR, _SHARED_COST_FACTOR * views))
    return min(pause, _LONGEST_PAUSE)


async def _turn_to_swap() -> None:
    """Wait until a page has had the time for the swaps before this one.

    Where many answers end at once, as many long outputs at once would hold the page up.
    """
    views = runtime.own(_Views)
    wait = max(0.0, views.next_swap - perf_counter())
    views.next_swap = perf_counter() + wait + _SWAP_INTERVAL
    await asyncio.sleep(wait)


def _keep(widget: AnswerWidget) -> None:
    """Keep the widget of an answer that has ended, and close the one that ended long ago.

    A page that was reloaded while the answer came shows it through the widget for good:
    the swap for static output cannot reach it.
    """
    ended = runtime.own(_Views).ended
    ended.append(widget)
    if len(ended) > _KEPT and not is_voila():  # where no swap comes
        ended.popleft().close()


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
