"""One answer's life: state, text so far, stop, wait, iterate.

There is one core, a task on the background loop; all faces, sync and async, read what
it wrote.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, suppress
from time import monotonic
from traceback import clear_frames
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from groq_magic.runtime import runtime
from groq_magic.runtime.waiters import Waiters
from groq_magic.wire.protocol import (
    Asked,
    Chunk,
    Done,
    Item,
    Queued,
    RateLimits,
    Responded,
    ToolCall,
    Usage,
    Waiting,
)

from .accumulator import Accumulator, SoFar
from .errors import APIConnectionError, IncompleteStreamError, SetUpError

_log = logging.getLogger(__name__)

State = Literal["connecting", "waiting", "streaming", "done", "stopped", "failed"]
"""The first three are a life, the last three its only ends."""

_DRAIN_SECONDS = 1.0


class _End(NamedTuple):
    state: State
    at: float
    so_far: SoFar
    error: BaseException | None
    traceback: TracebackType | None


class Answer:
    """An answer that is coming in, or has come.

    It can be read in any thread and at any time: `text` is what has come so far.
    Iterating gives the text's deltas as they come, from the first one, as often as
    wanted; ``async for`` does too, and ``await answer`` is `result()`. To interrupt
    what waits for an answer is to stop the answer, but for the async faces: there
    a cancelled wait is the waiter's own affair. No iterator is told that its loop's body
    was interrupted: ``with answer:``, or ``async with``, stops it when left by an exception.
    Those that wait for the end raise the answer's error if it failed, a `GroqError`;
    iterating does so behind the last delta.

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
        self.parameters: dict[str, Any] = dict(parameters or {})
        """What was asked for beside the messages."""
        self.waiting: Waiting | Queued | None = None
        """Why and, but for a turn in a chat's queue, how long, while the state is "waiting"."""
        self.note = ""
        """What became of the chat by it, where it is part of one."""
        self._content = Accumulator(model)
        self._headers: Mapping[str, str] = {}
        self._source = source
        self._show = show
        self._price = price
        self._observer = observer
        self._clock = clock
        self._state: State = "connecting"
        self._ends: dict[str, _End] = {}
        self._is_over = False
        self._started = clock()
        self._reasoning_at: float | None = None
        self._text_at: float | None = None
        self._retry_at = 0.0
        self._version = 0
        self._notified: int | None = None
        self._changing = Waiters()
        self._ending = Waiters()
        self._job = runtime.loop.job(self._live)
        try:
            runtime.own(Running)[self] = None
            self._job.start()
        except BaseException:
            self._enter("stopped")
            runtime.own(Running).pop(self, None)
            with suppress(SetUpError):  # the thread cannot start
                runtime.loop.call(self._stop_here)  # the task may already run at an interrupt
            raise

    # What it is

    @property
    def state(self) -> State:
        """Where it is in its life, or which of the three ends it had."""
        end = self._end
        return end.state if end else self._state

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self._ends)

    @property
    def text(self) -> str:
        """The answer so far; it is kept whatever the end."""
        return "".join(self.deltas())

    @property
    def reasoning(self) -> str:
        """What the model thought so far, where the API sends it."""
        end = self._end
        return "".join(self._content.thoughts(self._so_far(end), ended=end is not None))

    @property
    def model(self) -> str:
        """The model, as the server names it once it has answered."""
        return self._content.model

    @property
    def request_id(self) -> str | None:
        """The server's name for the request."""
        return self._content.request_id

    @property
    def seed(self) -> int | None:
        """The seed that the server used."""
        return self._content.seed

    @property
    def system_fingerprint(self) -> str | None:
        """The server's name for its own setup."""
        return self._content.system_fingerprint

    @property
    def service_tier(self) -> str | None:
        """The service tier that the server used."""
        return self._content.service_tier

    @property
    def tool_calls(self) -> dict[int, ToolCall]:
        """The functions that the model wants called so far, by their index."""
        return self._content.tool_calls

    @property
    def executed_tools(self) -> dict[int, dict[str, Any]]:
        """The tools that the server ran, as sent, by their index."""
        return self._content.executed_tools

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """The annotations of the text, as sent."""
        return self._content.annotations

    @property
    def finish_reason(self) -> str | None:
        """Why the model ended: "stop", "length", "tool_calls" …; None before it did."""
        return self._content.finish_reason

    @property
    def usage(self) -> Usage | None:
        """What the server counted; it comes with the last chunk."""
        return self._content.usage

    @property
    def cost(self) -> float | None:
        """USD, by the server's own prices; None before its end, and where they are not known.

        A process asks for them when the first answer comes, so they may be known a little
        after it has ended. What was stopped has no usage, and so no known cost.
        """
        if self.usage is None or self._price is None:
            return None
        return self._price((self.model, str(self.parameters.get("model"))), self.usage)

    @property
    def error(self) -> BaseException | None:
        """What went wrong, in state "failed"."""
        return self._end.error if self._end else None

    @property
    def rate_limits(self) -> RateLimits:
        """What the server said is left, as of its last response."""
        return RateLimits.from_headers(self._headers)

    @property
    def tokens(self) -> int:
        """Tokens of the answer, reasoning included: deltas so far, in the end the usage's."""
        counted = self.usage.completion_tokens if self.usage else None
        so_far = self._so_far(self._end)
        return so_far.texts + so_far.thoughts if counted is None else counted

    @property
    def seconds(self) -> float:
        """Seconds since it was asked, or that it took."""
        return self._now() - self._started

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
        until = self._text_at or self._now()
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
        if not self.ended:
            try:
                runtime.loop.call(self._stop_here)
            except KeyboardInterrupt:
                runtime.loop.call(self._stop_here)
                raise
            self._enter("stopped")  # at once, for who looks before the loop has come to it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.__exit__(kind)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most ``timeout`` seconds; return whether it has come.

        How it ended, `state` says; nothing is raised.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Hello", model="demo/error-401", base_url=demo.start())
        >>> answer.wait(60), answer.state
        (True, 'failed')
        """
        return self._wait_for(self._ending, lambda: self._is_over, timeout)

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
        self.result()

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
        await self

    def __await__(self) -> Generator[Any, None, str]:
        return self._ended_async().__await__()

    def deltas(self, start: int = 0) -> list[str]:
        """The text's deltas that have come, from number ``start`` on; it does not wait.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Three names for a cat", base_url=demo.start())
        >>> answer.wait() and answer.deltas(3)[:2]
        [' a', ' cat']
        """
        end = self._end
        return self._content.texts(self._so_far(end), start, ended=end is not None)

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
        await self._changing.woken(lambda: self._version != version or self.ended)
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
            self._finish("stopped")
        except Exception as error:  # a fault of ours, too, must end the answer
            self._end_with(error)

    async def _take_all(self, items: AsyncIterator[Item]) -> None:
        async for item in items:
            if isinstance(item, Chunk):
                self._take(item)
            elif isinstance(item, Done):
                return
            elif isinstance(item, Responded):
                self._content.request_id, self._headers = item
            elif isinstance(item, Waiting):
                await self._wait_to_retry(item)
            else:
                self._take_turn(item)

    def _take(self, chunk: Chunk) -> None:
        if self.ended:
            return
        if self._state != "streaming":
            self._state = "streaming"
            asyncio.get_running_loop().call_soon(self._observe_beginning)
        self._content.take(chunk)
        so_far = self._content.so_far
        if self._reasoning_at is None and so_far.thoughts:
            self._reasoning_at = self._clock()
        if self._text_at is None and so_far.texts:
            self._text_at = self._clock()
        self._advance()

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
        if not self.ended:
            self._state, self.waiting = state, waiting
            self._advance()

    def _end_with(self, error: Exception | None) -> None:
        """Done if a ``finish_reason`` came, whatever came behind it; else failed."""
        if self.finish_reason:
            self._finish("done")
        else:
            cut = "The stream ended before the answer did. Run the cell again."
            self._finish("failed", error or IncompleteStreamError(cut))

    def _stop_here(self) -> None:
        self._finish("stopped")
        self._job.cancel_here()

    def _enter(self, state: State, error: BaseException | None = None) -> None:
        """Enter an end, on any thread; it is the first that counts."""
        if error is not None:
            _forget_request(error)
        traceback = error.__traceback__ if error else None
        end = _End(state, self._clock(), self._content.so_far, error, traceback)
        self._ends.setdefault("end", end)

    def _finish(self, state: State, error: BaseException | None = None) -> None:
        """Enter an end unless there is one, and tell everybody, once."""
        self._enter(state, error)
        if self._is_over:
            return
        self.waiting = None
        runtime.own(Running).pop(self, None)
        self._observe()
        self._is_over = True
        self._version += 1
        self._notify()
        self._ending.wake()

    def _observe_beginning(self) -> None:
        """Behind the first delta, which somebody waits for."""
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
        self._changing, self._ending = Waiters(), Waiters()
        if not self._is_over:
            self._finish(
                "failed", APIConnectionError("The process was forked; its parent has the rest.")
            )

    def _advance(self) -> None:
        """Notify of the first change in a turn of the loop, and of all later ones together.

        One read of the socket can bring hundreds of deltas, and waking a thread for each
        would cost more than all else.
        """
        self._version += 1
        if self._notified is None:
            self._notify()
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        if self._notified != self._version:
            self._notify()
        self._notified = None

    def _notify(self) -> None:
        self._notified = self._version
        self._changing.wake()

    # How it is waited for

    def _next_deltas(self, seen: int) -> list[str]:
        self._wait_for(self._changing, lambda: self.ended or self._content.so_far.texts > seen)
        return self.deltas(seen)

    def _wait_for(
        self, waiters: Waiters, met: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        try:
            return waiters.wait(met, timeout)
        except KeyboardInterrupt:
            self.stop()
            raise

    async def _ended_async(self) -> str:
        await self._ending.woken(lambda: self._is_over)
        return self._outcome()

    def _outcome(self) -> str:
        end = self._end
        if end and end.error is not None:
            raise end.error.with_traceback(end.traceback)  # else each raise would add to it
        return self.text

    @property
    def _end(self) -> _End | None:
        return self._ends.get("end")

    def _so_far(self, end: _End | None) -> SoFar:
        return end.so_far if end else self._content.so_far

    def _now(self) -> float:
        return self._end.at if self._end else self._clock()


def _forget_request(error: BaseException) -> None:
    """Keep the lines that an error came through, and not what their variables held."""
    seen: list[BaseException | None] = [None]
    behind: BaseException | None = error
    while behind is not None and behind not in seen:
        seen.append(behind)
        clear_frames(behind.__traceback__)
        vars(behind).pop("_request", None)  # httpx's
        behind = behind.__cause__ or behind.__context__


class Running(dict[Answer, None]):
    """The answers of a process that have not ended."""

    def after_fork(self) -> None:
        """End them in the child: only its parent has their connections."""
        for answer in list(self):
            answer._orphan()  # noqa: SLF001  # of this module


def running() -> list[Answer]:
    """The answers of this process that have not ended, the one asked last at the end."""
    return [answer for answer in list(runtime.own(Running)) if not answer.ended]
