"""One answer's life: state, text so far, stop, wait, iterate.

There is one core, a task on the background loop; all faces, sync and async, read what
it wrote.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Literal
from weakref import WeakSet

from .background import background
from .chat import (
    Asked,
    Chunk,
    Delta,
    Done,
    Item,
    Queued,
    RateLimits,
    Responded,
    ThinkTags,
    ToolCall,
    Usage,
    Waiting,
)
from .errors import APIConnectionError, IncompleteStreamError
from .pieces import Pieces

_log = logging.getLogger(__name__)

State = Literal["connecting", "waiting", "streaming", "done", "stopped", "failed"]
"""The first three are a life, the last three its only ends."""

_ENDS = ("done", "stopped", "failed")
_DRAIN_SECONDS = 1.0


class Answer:
    """An answer that is coming in, or has come.

    It can be read in any thread and at any time: `text` is what has come so far.
    Iterating gives the text's deltas as they come, from the first one, as often as
    wanted; ``async for`` does too, and ``await answer`` is `result()`. To interrupt
    what waits for an answer is to stop the answer, but for the async faces: there
    a cancelled wait is the waiter's own affair. Those that wait for the end raise the
    answer's error if it failed, a `GroqError`; iterating does so behind the last delta.

    >>> from groq_magic import demo, stream
    >>> answer = stream("Three names for a cat", base_url=demo.start())
    >>> [delta for delta in answer][:3]
    ['Three', ' names', ' for']
    >>> answer.state, answer.usage.completion_tokens
    ('done', 64)
    """

    def __init__(
        self,
        source: AsyncGenerator[Item],
        *,
        model: str = "",
        parameters: Mapping[str, Any] | None = None,
        show: Callable[[Answer], object] | None = None,
        price: Callable[[Sequence[str], Usage], float | None] | None = None,
        observer: Callable[[Answer], object] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.model = model
        """The model, as the server names it once it has answered."""
        self.parameters: dict[str, Any] = dict(parameters or {})
        """What was asked for beside the messages."""
        self.request_id: str | None = None
        self.seed: int | None = None
        self.system_fingerprint: str | None = None
        self.service_tier: str | None = None
        self.waiting: Waiting | Queued | None = None
        """Why and, but for a turn in a chat's queue, how long, while the state is "waiting"."""
        self.note = ""
        """What became of the chat by it, where it is part of one."""
        self.tool_calls: dict[int, ToolCall] = {}
        self.executed_tools: dict[int, dict[str, Any]] = {}
        self.annotations: list[dict[str, Any]] = []
        self._headers: Mapping[str, str] = {}
        self._source = source
        self._show = show
        self._price = price
        self._observer = observer
        self._clock = clock
        self._state: State = "connecting"
        self._deltas = Pieces()
        self._reasoning = Pieces()
        self._think_tags: ThinkTags | None = ThinkTags()
        self._last_rest: tuple[Any, ...] = ()
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._started = clock()
        self._reasoning_at: float | None = None
        self._text_at: float | None = None
        self._retry_at = 0.0
        self._ended_at: float | None = None
        self._make_conditions()
        self._version = 0
        self._notified: int | None = None
        self._is_waited_for = False
        self._wakers: list[Callable[[], object]] = []
        self._end_wakers: list[Callable[[], object]] = []
        _answers.add(self)
        with self._lock:  # without which it cannot end: then it is whole
            self._task = background.start(self._live())
            _running[self] = None

    # What it is

    @property
    def state(self) -> State:
        """Where it is in its life, or which of the three ends it had."""
        return self._state

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._state in _ENDS

    @property
    def text(self) -> str:
        """The answer so far; it is kept whatever the end."""
        with self._lock:
            return self._deltas.text()

    @property
    def reasoning(self) -> str:
        """What the model thought so far, where the API sends it."""
        with self._lock:
            return self._reasoning.text()

    @property
    def finish_reason(self) -> str | None:
        """Why the model ended: "stop", "length", "tool_calls" …; None before it did."""
        return self._finish_reason

    @property
    def usage(self) -> Usage | None:
        """What the server counted; it comes with the last chunk."""
        return self._usage

    @property
    def cost(self) -> float | None:
        """USD, by the server's own prices; None before its end, and where they are not known.

        A process asks for them when the first answer comes, so they may be known a little
        after it has ended. What was stopped has no usage, and so no known cost.
        """
        if self._usage is None or self._price is None:
            return None
        return self._price((self.model, str(self.parameters.get("model"))), self._usage)

    @property
    def error(self) -> BaseException | None:
        """What went wrong, in state "failed"."""
        return self._error

    @property
    def rate_limits(self) -> RateLimits:
        """What the server said is left, as of its last response."""
        return RateLimits.from_headers(self._headers)

    @property
    def tokens(self) -> int:
        """Tokens of the answer, reasoning included: deltas so far, in the end the usage's."""
        counted = self._usage.completion_tokens if self._usage else None
        return len(self._deltas) + len(self._reasoning) if counted is None else counted

    @property
    def seconds(self) -> float:
        """Seconds since it was asked, or that it took."""
        return (self._ended_at or self._clock()) - self._started

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from the request to the first token, reasoning included."""
        first = self._reasoning_at or self._text_at
        return None if first is None else first - self._started

    @property
    def thinking_seconds(self) -> float | None:
        """Seconds from the first token of the reasoning to the first of the text."""
        if self._reasoning_at is None:
            return None
        until = self._text_at or self._ended_at or self._clock()
        return max(0.0, until - self._reasoning_at)  # there is text that comes before it

    @property
    def thinking(self) -> bool:
        """Whether reasoning is what comes now: there is some, and no text yet."""
        return self._reasoning_at is not None and self._text_at is None and not self.ended

    @property
    def seconds_to_retry(self) -> float:
        """Seconds until the request is sent again, while the state is "waiting"."""
        return max(0.0, self._retry_at - self._clock())

    # What one does with it

    def stop(self) -> None:
        """End it now, keep its text, close the connection; any thread, any number of times.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Say much", model="demo/long", base_url=demo.start())
        >>> for delta in answer:
        ...     answer.stop()
        >>> answer.state, answer.text == "".join(answer)
        ('stopped', True)
        """
        if self._end("stopped"):
            self._task.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most ``timeout`` seconds; return whether it has come.

        How it ended, `state` says; nothing is raised.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Hello", model="demo/error-401", base_url=demo.start())
        >>> answer.wait(60), answer.state
        (True, 'failed')
        """
        with self._stopped_by_interrupt():
            return self._wait_for(self._ending, lambda: self.ended, timeout)

    def result(self, timeout: float | None = None) -> str:
        """The whole text; of a stopped answer, what had come.

        Raises the answer's error if it failed, and `TimeoutError` if it has not ended
        within ``timeout`` seconds (it goes on).

        >>> from groq_magic import demo, stream
        >>> stream("Three names for a cat", base_url=demo.start()).result(60)[:11]
        'Three names'
        """
        if not self.wait(timeout):
            raise TimeoutError(f"The answer has not ended within {timeout} s; it goes on.")
        return self._outcome()

    def __iter__(self) -> Iterator[str]:
        seen = 0
        while new := self._next_deltas(seen):
            yield from new
            seen += len(new)
        self._outcome()

    async def __aiter__(self) -> AsyncIterator[str]:
        seen = 0
        while True:
            version, ended = self._version, self.ended
            for delta in (new := self.deltas(seen)):
                yield delta
            seen += len(new)
            if ended and not new:
                break
            if not new:
                await self.changed(version)
        self._outcome()

    def __await__(self) -> Generator[Any, None, str]:
        return self._ended_async().__await__()

    def deltas(self, start: int = 0) -> list[str]:
        """The text's deltas that have come, from number ``start`` on; it does not wait.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Three names for a cat", base_url=demo.start())
        >>> answer.wait() and answer.deltas(3)[:2]
        [' a', ' cat']
        """
        with self._lock:
            return self._deltas.since(start)

    async def changed(self, version: int) -> int:
        """Wait, in any loop, until the answer is past ``version``; return its version.

        It begins at 0, grows with all that changes, and stays when the answer has ended;
        then this returns at once. -1 is before any version.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Three names for a cat", base_url=demo.start())
        >>> async def count_changes():
        ...     version, changes = -1, 0
        ...     while not answer.ended:
        ...         version, changes = await answer.changed(version), changes + 1
        ...     return changes
        >>> asyncio.run(count_changes()) > 1
        True
        """
        await self._woken(self._wakers, lambda: self._version != version or self.ended)
        return self._version

    def __repr__(self) -> str:
        text = self.text
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        return f"<Answer {self.state} from {self.model}: {shown!r}>"

    def _ipython_display_(self) -> None:
        if self._show is None:
            raise NotImplementedError  # IPython then takes the repr
        self._show(self)

    # How it comes about: on the background loop

    async def _live(self) -> None:
        try:
            async with aclosing(self._source) as items:
                await self._take_all(items)
                self._end_with(None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN_SECONDS):
                        async for _ in items:
                            pass
        except asyncio.CancelledError:
            self._end("stopped")
        except Exception as error:  # a fault of ours, too, must end the answer
            self._end_with(error)

    async def _take_all(self, items: AsyncIterator[Item]) -> None:
        async for item in items:
            if isinstance(item, Chunk):
                self._take(item)
            elif isinstance(item, Done):
                return
            elif isinstance(item, Responded):
                self.request_id, self._headers = item
            elif isinstance(item, Waiting):
                await self._wait_to_retry(item)
            else:
                self._take_turn(item)

    def _take(self, chunk: Chunk) -> None:
        with self._lock:
            if self._state != "streaming":
                if self.ended:
                    return
                self._state = "streaming"
                asyncio.get_running_loop().call_soon(self._observe_beginning)
            self._take_delta(chunk.delta)
            rest = chunk[1:]
            if rest != self._last_rest:  # it mostly is, and thousands come a second
                self._last_rest = rest
                self._take_rest(chunk)
            has_woken = self._advance()
        if has_woken and self._is_waited_for:
            self._is_waited_for = False
            background.let_threads_run()

    def _take_delta(self, delta: Delta) -> None:
        if delta.reasoning:
            self._add_reasoning(delta.reasoning)
        if delta.content:
            self._take_content(delta.content)
        if delta.tool_calls or delta.executed_tools or delta.annotations:
            self._take_tools(delta)

    def _take_rest(self, chunk: Chunk) -> None:
        self.model = chunk.model or self.model
        self.request_id = self.request_id or chunk.request_id
        self.system_fingerprint = chunk.system_fingerprint or self.system_fingerprint
        self.service_tier = chunk.service_tier or self.service_tier
        self.seed = self.seed if chunk.seed is None else chunk.seed
        self._finish_reason = chunk.finish_reason or self._finish_reason
        self._usage = chunk.usage or self._usage

    def _take_content(self, content: str) -> None:
        if self._think_tags is None:
            self._add_text(content)
            return
        reasoning, text = self._think_tags.split(content)
        if self._think_tags.is_over:
            self._think_tags = None
        self._add_reasoning(reasoning)
        self._add_text(text)

    def _add_reasoning(self, reasoning: str) -> None:
        if reasoning:
            self._reasoning_at = self._reasoning_at or self._clock()
            self._reasoning.append(reasoning)

    def _add_text(self, text: str) -> None:
        if text:
            self._text_at = self._text_at or self._clock()
            self._deltas.append(text)

    def _take_tools(self, delta: Delta) -> None:
        self.annotations += delta.annotations
        for call in delta.tool_calls:
            begun = self.tool_calls.get(call.index)
            self.tool_calls[call.index] = begun.plus(call) if begun else call
        for tool in delta.executed_tools:
            self.executed_tools[tool.get("index") or 0] = tool

    def _take_turn(self, item: Queued | Asked) -> None:
        if isinstance(item, Queued):
            self._change_to("waiting", item)
        else:
            self.note, self._started = item.note, self._clock()
            self._change_to("connecting", None)

    async def _wait_to_retry(self, waiting: Waiting) -> None:
        self._retry_at = self._clock() + waiting.seconds
        self._change_to("waiting", waiting)
        await asyncio.sleep(waiting.seconds)
        self._change_to("connecting", None)

    def _change_to(self, state: State, waiting: Waiting | Queued | None) -> None:
        with self._lock:
            if not self.ended:
                self._state, self.waiting = state, waiting
                self._advance()

    def _end_with(self, error: Exception | None) -> None:
        """Done if a ``finish_reason`` came, whatever came behind it; else failed."""
        if self._finish_reason:
            self._end("done")
        else:
            self._end(
                "failed",
                error
                or IncompleteStreamError(
                    "The stream ended before the answer did. Run the cell again."
                ),
            )

    def _end(self, state: State, error: BaseException | None = None) -> bool:
        """Enter an end; False where it had ended before."""
        with self._lock:
            if self.ended:
                return False
            if self._think_tags is not None:
                reasoning, text = self._think_tags.close()
                self._add_reasoning(reasoning)
                self._add_text(text)
            self._deltas.close()
            self._reasoning.close()
            self._state, self._error, self.waiting = state, error, None
            self._traceback = None if error is None else error.__traceback__
            self._ended_at = self._clock()
            _running.pop(self, None)
            self._version += 1
            self._notify()
            self._ending.notify_all()
            _call_all(self._end_wakers)
            self._observe()
            return True

    def _observe_beginning(self) -> None:
        """Behind the first delta, which somebody waits for."""
        with self._lock:  # so that it cannot end meanwhile, and be told as ended twice
            if not self.ended:
                self._observe()

    def _observe(self) -> None:
        try:
            if self._observer is not None:
                self._observer(self)
        except Exception:  # which must not keep the connection from being closed
            _log.exception("Who observes an answer failed.")

    def _orphan(self) -> None:
        """In the child of a fork: task, lock and observer are the parent's."""
        self._observer = None
        self._make_conditions()
        self._wakers, self._end_wakers = [], []
        self._end("failed", APIConnectionError("The process was forked; its parent has the rest."))

    def _advance(self) -> bool:
        """Notify of the first change in a turn of the loop, and of all later ones together.

        One read of the socket can bring hundreds of deltas, and waking a thread for each
        would cost more than all else. Returns whether it was the first.
        """
        self._version += 1
        if self._notified is not None:
            return False
        self._notify()
        asyncio.get_running_loop().call_soon(self._end_turn)
        return True

    def _end_turn(self) -> None:
        with self._lock:
            if self._notified != self._version:
                self._notify()
            self._notified = None

    def _notify(self) -> None:
        self._notified = self._version
        self._changed.notify_all()
        _call_all(self._wakers)

    # How it is waited for

    def _make_conditions(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._ending = threading.Condition(self._lock)  # who waits for the end sleeps until then

    def _next_deltas(self, seen: int) -> list[str]:
        self._is_waited_for = True
        with self._stopped_by_interrupt():
            self._wait_for(self._changed, lambda: self.ended or len(self._deltas) > seen, None)
        return self.deltas(seen)

    def _wait_for(
        self, change: threading.Condition, met: Callable[[], bool], timeout: float | None
    ) -> bool:
        deadline = None if timeout is None else monotonic() + timeout
        with change:
            while not met():
                left = 0.5 if deadline is None else min(0.5, deadline - monotonic())
                if left <= 0:
                    return False
                change.wait(left)  # in slices: on Windows no interrupt ends a wait
        return True

    @contextmanager
    def _stopped_by_interrupt(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.stop()
            raise

    async def _ended_async(self) -> str:
        await self._woken(self._end_wakers, lambda: self.ended)
        return self._outcome()

    async def _woken(self, wakers: list[Callable[[], object]], met: Callable[[], bool]) -> None:
        """Wait, in any loop, until the wakers are called; not at all where it is met."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        wake = partial(_wake, loop, woken)
        with self._lock:
            if met():
                return
            wakers.append(wake)
        try:
            await woken
        finally:
            with self._lock, suppress(ValueError):  # a cancelled wait leaves nothing behind
                wakers.remove(wake)

    def _outcome(self) -> str:
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)  # else each raise would add to it
        return self.text


def _call_all(wakers: list[Callable[[], object]]) -> None:
    """Each once, and none again."""
    called = wakers[:]
    wakers.clear()
    for wake in called:
        wake()


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the loop that waited was closed meanwhile
        loop.call_soon_threadsafe(_resolve, woken)


def _resolve(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


_answers: WeakSet[Answer] = WeakSet()
_running: dict[Answer, None] = {}


def running() -> list[Answer]:
    """The answers of this process that have not ended, the one asked last at the end."""
    return list(_running)


def _after_fork() -> None:
    """End in the child what only its parent has the connection for."""
    for answer in list(_answers):
        answer._orphan()  # noqa: SLF001  # of this room


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)  # behind that of the room `background`
