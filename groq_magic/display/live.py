"""A live view: an answer in a widget while it streams, then static output in its place."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from time import perf_counter, thread_time
from typing import Any

from IPython.display import display, update_display

from groq_magic.answer import Answer
from groq_magic.errors import printable
from groq_magic.runtime import runtime

from .beside import asks_for_json, json_fence
from .frontend import is_voila
from .growing import GrowingText
from .pace import Pace
from .static import plain_text, static_bundle
from .status import DIM, shown_reasoning
from .widget import AnswerWidget, Channel

_log = logging.getLogger(__name__)

_LONGEST_SILENCE = 1.0  # seconds; a view that receives nothing for three seconds asks the kernel
_RENDERING_AT_ONCE = 2  # threads, which share Python's lock with the loop
_SWAP_INTERVAL = 0.06
_UNASKED_INTERVAL = 1.0
_UNASKED_PER_SECOND = 100_000  # characters, in case there is no view
_ASKS_WITHIN = 3.0  # seconds, where there is one
_KEPT_WIDGETS = 100
_WIDGET = "application/vnd.jupyter.widget-view+json"
_HOW_TO_STOP = (
    f'<div style="font-size:12px;{DIM}">To stop it, interrupt its cell while that runs; '
    "after that, <code>%groq stop</code>.</div>"
)


class LiveView:
    """Paints an answer into a widget as it streams, then replaces the widget by static output.

    Made in the cell that shows the answer. A task on the loop decides what to do and when;
    threads render and send, one at a time for each view, so that no text holds the loop.
    """

    _display = staticmethod(display)
    _update_display = staticmethod(update_display)

    def __init__(
        self,
        answer: Answer,
        display_id: str,
        *,
        has_widget: bool = True,
        update: Callable[..., object] | None = None,
    ) -> None:
        self.finished = threading.Event()
        """Set when the static output is sent."""
        self._has_widget = has_widget
        self._update = update or self._update_display
        self._is_alone = not has_widget  # nobody asks: the output itself grows
        self._answer = answer
        self._views = runtime.own(_Views)
        self._text = GrowingText()
        self._reasoning = GrowingText()
        self._fed = 0  # deltas of the text
        self._thought = 0  # characters of the reasoning
        self._state = ""
        self._pace = Pace()
        self._turn = asyncio.Lock()
        self._unasked_at = perf_counter() + _UNASKED_INTERVAL
        self._output: tuple[dict[str, str], dict[str, Any]] = {}, {}
        self._display_id = display_id
        self._channel = Channel(answer, self._on_message)
        self._channel.set_early(self._snapshot())
        self._show(self._display)
        with suppress(RuntimeError):  # this thread receives no messages
            asyncio.get_running_loop().call_later(_ASKS_WITHIN, self._leave_alone)
        runtime.loop.job(self._run).start()

    def _leave_alone(self) -> None:
        """Note that no view asks. The loop calls this when the kernel has time for messages."""
        self._is_alone = not self._channel.is_asked

    def _show(self, show: Callable[..., object]) -> None:
        """Display or update the output as it is until the end."""
        # All that a frontend without widgets shows at first, such as jupyter console.
        text = f"An answer from {self._answer.model} is coming. %groq last shows it."
        data: dict[str, Any] = {"text/plain": text}
        if self._is_alone:
            data, _ = static_bundle(self._answer, self._text.html, self._reasoning.html)
            data["text/html"] += _HOW_TO_STOP
        if self._has_widget:
            version = {"version_major": 2, "version_minor": 0}
            data[_WIDGET] = {**version, "model_id": self._channel.model_id}
        made = {"groq": {"model": self._answer.model, "state": self._answer.state}}
        show(data, metadata=made, raw=True, display_id=self._display_id)

    async def _run(self) -> None:
        self._end = asyncio.ensure_future(self._until_end())
        try:
            await self._follow_to_the_end()
            await self._on_thread(self._close)
            await self._views.turn_to_swap()
        except BaseException:  # the interpreter exits, or no thread can be started
            self._answer.stop()
            self._make_output()
        finally:
            self._swap()

    async def _follow_to_the_end(self) -> None:
        try:
            await self._follow()
        except Exception:  # whatever it was, the answer goes on and its text is shown
            _log.exception("The live view of an answer broke; its text comes at the end.")
            await self._end

    async def _follow(self) -> None:
        version = -1
        while not self._answer.ended:
            # Python 3.11's wait_for can lose a cancellation, and with it the output at exit.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_SILENCE):
                    version = await self._answer.changed(version)
            await self._on_thread(self._paint)
            await self._until(self._end, seconds=self._pace.pause)

    async def _until_end(self) -> None:
        with suppress(Exception):  # how it ended is not the question
            await self._answer

    async def _until(self, *futures: asyncio.Future[Any], seconds: float = inf) -> None:
        """Wait until one of them is done, sending the status each second."""
        while seconds > 0:
            timeout = min(seconds, _LONGEST_SILENCE)
            done, _ = await asyncio.wait(futures, timeout=timeout, return_when="FIRST_COMPLETED")
            seconds -= timeout
            if done:
                return
            if seconds > 0:
                self._send_status()

    async def _on_thread(self, function: Callable[[], None]) -> None:
        """Call ``function`` on a thread, when earlier calls of this view are done.

        If the answer ends meanwhile, the view shows that at once.
        """
        work = asyncio.ensure_future(self._in_turn(function))
        await self._until(work, self._end)
        if not work.done():
            self._send_status()
            await self._until(work)
        work.result()

    async def _in_turn(self, function: Callable[[], None]) -> None:
        async with self._turn, self._views.rendering:
            await asyncio.to_thread(function)

    def _send_status(self) -> None:
        with suppress(Exception):  # the next batch says what is wrong
            self._channel.send_status()

    # On a thread

    def _paint(self) -> None:
        begun, pace, before = thread_time(), self._pace, self._state
        self._state = self._answer.state
        self._render()
        begins = not pace.has_begun and self._is_readable()
        if begins:
            self._views.painting.add(self)
        if pace.rendered(is_readable=begins, is_news=self._state != before):
            self._send_batch()
            self._update_unasked(begins=begins)
            pace.sent(thread_time() - begun, len(self._views.painting))

    def _is_readable(self) -> bool:
        answer = self._answer
        beside = answer.tool_calls or answer.executed_tools
        return bool(self._text.html or self._reasoning.html or beside)

    def _render(self) -> None:
        new = self._answer.deltas(self._fed)
        reasoning = shown_reasoning(self._answer)[self._thought :]
        if new and self._fed == 0 and asks_for_json(self._answer):
            self._text.feed(json_fence(self._answer)[0])
        self._fed += len(new)
        self._thought += len(reasoning)
        self._text.feed("".join(new))
        self._reasoning.feed(reasoning)

    def _send_batch(self) -> None:
        self._channel.send_batch(self._text.take_operations(), self._reasoning.take_operations())

    def _snapshot(self) -> dict[str, Any]:
        return {"text": self._text.snapshot(), "reasoning": self._reasoning.snapshot()}

    def _update_unasked(self, *, begins: bool) -> None:
        """Keep a snapshot in the widget's state, or the text in the output, until a view asks.

        The first words come while the view is being made, and a kernel that is busy with a
        cell may not receive the question (ipykernel 6). If it is not busy, there is no view.
        """
        if not self._channel.is_asked and (begins or perf_counter() >= self._unasked_at):
            self._channel.set_early(self._snapshot())
            if self._is_alone:
                self._show(self._update)
            size = len(self._text.html) + len(self._reasoning.html)
            pause = size / _UNASKED_PER_SECOND
            self._unasked_at = perf_counter() + max(_UNASKED_INTERVAL, pause)

    def _send_snapshot(self) -> None:
        """Send all there is, with what is not painted yet: nothing more may come."""
        with suppress(Exception):  # it is logged where it broke; the rest is sent
            self._render()
        self._send_batch()
        self._channel.set_early(None)  # also for a page that is loaded later
        self._channel.send_snapshot(self._snapshot())

    def _close(self) -> None:
        """Show the whole text and make the output that stays."""
        text = reasoning = None
        try:
            self._render()
            before, after = json_fence(self._answer)
            if self._fed and asks_for_json(self._answer):
                self._text.feed(after)
            self._text.close()
            self._reasoning.close()
            self._send_batch()
            self._channel.set_early(None)
            reasoning = self._reasoning.html
            if not before or asks_for_json(self._answer):
                text = self._text.html
        except Exception:
            _log.exception("The live view of an answer broke at its end.")
            with suppress(Exception):
                self._channel.send_batch([], [])  # that it has ended
        self._make_output(text, reasoning)

    def _make_output(self, text: str | None = None, reasoning: str | None = None) -> None:
        try:
            self._output = static_bundle(self._answer, text, reasoning)
        except Exception:  # the text must be shown, whatever it was
            _log.exception("The output of an answer could not be made; its text is printed here.")
            self._output = {"text/plain": printable(self._answer.text)}, {}

    def _swap(self) -> None:
        self._views.painting.discard(self)
        try:
            data, metadata = self._output
            self._update(data, metadata=metadata, raw=True, display_id=self._display_id)
        finally:
            self._views.keep(self._channel.widget)
            self.finished.set()

    # On any thread

    def _on_message(self, kind: str, view: str) -> None:
        if kind == "stop":
            self._answer.stop()
        if kind in ("stop", "snapshot"):
            self._start(self._send_snapshot)
        if kind == "text":
            self._start(lambda: self._channel.send_text(plain_text(self._answer)))
        if kind == "static" and self.finished.is_set():
            self._start(lambda: self._channel.send_static(view, *self._output))

    def _start(self, function: Callable[[], None]) -> None:
        runtime.loop.job(partial(self._on_thread, function)).start()


class _Views:
    """What the live views of a process share."""

    def __init__(self) -> None:
        self.painting: set[LiveView] = set()
        self.rendering = asyncio.Semaphore(_RENDERING_AT_ONCE)
        self._next_swap = 0.0
        self._ended: deque[AnswerWidget] = deque()

    def after_fork(self) -> None:
        """Forget what the parent paints and renders."""
        self.painting.clear()
        self.rendering = asyncio.Semaphore(_RENDERING_AT_ONCE)

    async def turn_to_swap(self) -> None:
        """Wait until the page has had time for the swaps before this one.

        Where many answers end at once, as many long outputs at once would hold the page up.
        """
        wait = max(0.0, self._next_swap - perf_counter())
        self._next_swap = perf_counter() + wait + _SWAP_INTERVAL
        await asyncio.sleep(wait)

    def keep(self, widget: AnswerWidget) -> None:
        """Keep the widget of an answer that has ended, and close one that ended long ago.

        A page that was reloaded while the answer streamed shows the widget for good: the swap
        cannot reach it. In Voila no swap reaches any page.
        """
        self._ended.append(widget)
        if len(self._ended) > _KEPT_WIDGETS and not is_voila():
            self._ended.popleft().close()
