"""How one answer is received: a task on the background loop, which any thread can read and end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from traceback import clear_frames
from types import TracebackType
from typing import Literal, NamedTuple

import anyio

from groq_magic.runtime import runtime
from groq_magic.runtime.waiters import Waiters
from groq_magic.wire.protocol import (
    Asked,
    Chunk,
    Done,
    Item,
    Kept,
    Missed,
    Planned,
    Queued,
    Responded,
    Waiting,
)

from .accumulator import Accumulator
from .errors import APIConnectionError, APIError, IncompleteStreamError

State = Literal["connecting", "waiting", "streaming", "done", "stopped", "failed"]
"""An answer ends in one of the last three."""

_DRAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Times:
    """When an answer started, came and ended, in seconds of an injected clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._retry_at = 0.0
        self._firsts: dict[Literal["reasoning", "text", "end"], float] = {}

    def restart(self) -> None:
        """The request is sent now."""
        self._started = self._clock()

    def recall(self, kept: Kept) -> None:
        """Take those of the run that a kept answer is from."""
        self._started, first, thinking = 0.0, kept.first_token, kept.thinking
        if first is not None and thinking is not None:
            self._firsts = {"reasoning": first, "text": first + thinking}
        elif first is not None:
            self._firsts["text"] = first
        self._firsts["end"] = kept.seconds

    def retry_in(self, seconds: float) -> None:
        """The request is sent again in so many seconds."""
        self._retry_at = self._clock() + seconds

    def note(self, event: Literal["reasoning", "text", "end"]) -> None:
        """Note when ``event`` comes for the first time."""
        if event not in self._firsts:
            self._firsts[event] = self._clock()

    @property
    def seconds(self) -> float:
        """Seconds from the request to now or the end."""
        return self._firsts.get("end", self._clock()) - self._started

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from the request to the first token; None before it."""
        firsts = self._firsts.copy()
        firsts.pop("end", None)
        return min(firsts.values()) - self._started if firsts else None

    @property
    def is_thinking(self) -> bool:
        """Whether only reasoning came so far."""
        return list(self._firsts) == ["reasoning"]

    @property
    def thinking_seconds(self) -> float | None:
        """Seconds from the first token of the reasoning to the first of the text."""
        if "reasoning" not in self._firsts:
            return None
        until = self._firsts.get("text", self._started + self.seconds)
        return max(0.0, until - self._firsts["reasoning"])  # text can come before reasoning

    @property
    def seconds_to_retry(self) -> float:
        """Seconds until the request is sent again; 0 if it is not to be."""
        return max(0.0, self._retry_at - self._clock())


class End(NamedTuple):
    """How an answer ended, and all of it that counts."""

    state: State
    texts: list[str]
    reasoning: str
    error: BaseException | None
    traceback: TracebackType | None


@dataclass(eq=False, repr=False)
class Receiver:
    """Receives one answer in a task of the background loop; any thread can read and end it."""

    source: AsyncGenerator[Item]
    content: Accumulator
    times: Times
    observe: Callable[[bool], object]
    found: Kept | Missed | None = None
    """What came of the search for a kept answer; None as long as it is not over."""
    waiting: Waiting | Queued | Planned | None = None
    planned: Planned | None = None
    note: str = ""
    version: int = 0
    changed: Waiters = field(default_factory=Waiters)
    finished: Waiters = field(default_factory=Waiters)
    is_finished: bool = False
    _state: State = "connecting"
    _ends: list[End] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.job = runtime.loop.job(self._receive)

    @property
    def end(self) -> End | None:
        """The first end that a thread appended: so no thread needs a lock."""
        return self._ends[0] if self._ends else None

    @property
    def state(self) -> State:
        """What the answer does now, or how it ended."""
        return self.end.state if self.end else self._state

    @property
    def kept(self) -> Kept | None:
        """What is known of the kept answer that it is."""
        return self.found if isinstance(self.found, Kept) else None

    @property
    def is_looked_up(self) -> bool:
        """Whether nobody needs to wait for the search for a kept answer."""
        return bool(self.found is not None or self.waiting or self.end)

    @property
    def failed_generation(self) -> str | None:
        """The text that the server refused."""
        error = self.end and self.end.error
        return error.failed_generation if isinstance(error, APIError) else None

    @property
    def is_cut(self) -> bool:
        """Whether it has ended with a part of its text."""
        is_whole = self.state == "done" and self.content.fields.finish_reason != "length"
        return bool(self.end and self.end.texts) and not is_whole

    def deltas(self, start: int = 0) -> list[str]:
        """The deltas of the text from number ``start`` on."""
        return self.end.texts[start:] if self.end else self.content.deltas(start)

    def has_more(self, seen: int) -> bool:
        """Whether it has ended or has more deltas than ``seen``."""
        return self.end is not None or self.content.so_far.texts > seen

    def outcome(self) -> str:
        """The text at the end. Raises the error of an answer that failed."""
        if self.end and self.end.error is not None:
            # Else each raise would add to the traceback.
            raise self.end.error.with_traceback(self.end.traceback)
        return "".join(self.deltas())

    def stop(self) -> None:
        """End it now, from any thread."""
        if not self.end:
            try:
                runtime.loop.call(self._stop_here)
            except KeyboardInterrupt:
                runtime.loop.call(self._stop_here)
                raise
            finally:
                self._enter("stopped")  # the caller sees the end at once

    def finish(self, state: State, error: BaseException | None = None) -> None:
        """Enter an end unless there is one; tell all who wait, once."""
        self._enter(state, error)
        if not self.is_finished:
            self.waiting = None
            self._tell_observer(ended=True)
            self.is_finished = True
            self._advance()
            self.finished.wake()

    def orphan(self) -> None:
        """End it in the child of a fork, where its observer must not count it."""
        self.observe = lambda _: None
        cause = "The process was forked; its parent has the rest."
        self.finish("failed", APIConnectionError(cause))

    async def _receive(self) -> None:
        if self.end:
            return self.finish("stopped")
        try:
            async with aclosing(self.source) as items:
                with anyio.CancelScope() as limit:
                    async for item in items:
                        if isinstance(item, Chunk):
                            self._take_chunk(item)
                            continue
                        await self._take(item)
                        if isinstance(item, Done):  # the connection is free after the body's end
                            limit.deadline = anyio.current_time() + _DRAIN_SECONDS
            self._finish_with(None)
        except asyncio.CancelledError:
            self.finish("stopped")
            raise
        except Exception as error:  # our own faults, too, must end the answer
            self._finish_with(error)

    async def _take(self, item: Item) -> None:
        match item:
            case Done():
                self._finish_with(None)
            case Responded():
                self.content.respond(item)
            case Waiting():
                self.times.retry_in(item.seconds)
                self._change_to("waiting", item)
                await asyncio.sleep(item.seconds)
                self._change_to("connecting")
            case Queued():
                self._change_to("waiting", item)
            case Planned():
                self._plan(item)
            case Asked():
                self._add_note(item.note)
                self.times.restart()
                self._change_to("connecting")
            case Kept():
                self.found, self.content.request_id = item, item.request_id
                self.times.recall(item)
                self._advance()
            case Missed():
                self.found = item
                self._add_note(item.note)
                self._advance()

    def _plan(self, planned: Planned) -> None:
        self.planned = planned
        if planned.seconds:
            self.times.retry_in(planned.seconds)
            self._change_to("waiting", planned)
        else:
            self.times.restart()
            self._change_to("connecting")

    def _take_chunk(self, chunk: Chunk) -> None:
        if self.end:
            return
        is_first = self._state != "streaming"
        self._state = "streaming"
        self.content.take(chunk)
        texts, thoughts = self.content.came
        if thoughts:
            self.times.note("reasoning")
        if texts:
            self.times.note("text")
        self._advance()
        if is_first:
            self._tell_observer(ended=False)

    def _add_note(self, note: str) -> None:
        if not self.end:
            self.note = " ".join(filter(None, [self.note, note]))

    def _change_to(self, state: State, waiting: Waiting | Queued | Planned | None = None) -> None:
        self._state, self.waiting = state, waiting
        self._advance()

    def _finish_with(self, error: Exception | None) -> None:
        """Done if a ``finish_reason`` came, whatever followed it; else failed."""
        if self.content.fields.finish_reason:
            self.finish("done")
        else:
            cut = "The stream ended before the answer did. Run the cell again."
            self.finish("failed", error or IncompleteStreamError(cut))

    def _stop_here(self) -> None:
        self.finish("stopped")
        self.job.cancel_here()

    def _enter(self, state: State, error: BaseException | None = None) -> None:
        if not self.end:
            _forget_request(error)
            self.times.note("end")
            traceback = error.__traceback__ if error else None
            self._ends.append(End(state, *self.content.ended(), error, traceback))

    def _advance(self) -> None:
        self.version += 1
        self.changed.wake()

    def _tell_observer(self, *, ended: bool) -> None:
        try:
            self.observe(ended)
        except Exception:  # the connection must be closed nevertheless
            _log.exception("The observer of an answer failed.")


def _forget_request(error: BaseException | None) -> None:
    """Keep the lines that the error came through, without the values of their variables."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        clear_frames(error.__traceback__)
        vars(error).pop("_request", None)  # of httpx
        error = error.__cause__ or error.__context__
