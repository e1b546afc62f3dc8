"""One answer: its state, text and end, and all ways to wait for them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from traceback import clear_frames
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio

from groq_magic.runtime import runtime
from groq_magic.runtime.waiters import Waiters
from groq_magic.wire.protocol import Asked, Chunk, Done, Item, Queued, Responded, Usage, Waiting

from .accumulator import Accumulator
from .errors import APIConnectionError, APIError, IncompleteStreamError, ParseError

T = TypeVar("T")
State = Literal["connecting", "waiting", "streaming", "done", "stopped", "failed"]
"""An answer ends in one of the last three."""

_DRAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)


class _Times:
    """When an answer started, came and ended, in seconds of an injected clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._retry_at = 0.0
        self._firsts: dict[Literal["reasoning", "text", "end"], float] = {}

    def restart(self) -> None:
        self._started = self._clock()

    def retry_in(self, seconds: float) -> None:
        self._retry_at = self._clock() + seconds

    def note(self, event: Literal["reasoning", "text", "end"]) -> None:
        """Note when ``event`` comes for the first time."""
        if event not in self._firsts:
            self._firsts[event] = self._clock()

    @property
    def seconds(self) -> float:
        return self._firsts.get("end", self._clock()) - self._started

    @property
    def time_to_first_token(self) -> float | None:
        firsts = self._firsts.copy()
        firsts.pop("end", None)
        return min(firsts.values()) - self._started if firsts else None

    @property
    def is_thinking(self) -> bool:
        return list(self._firsts) == ["reasoning"]

    @property
    def thinking_seconds(self) -> float | None:
        if "reasoning" not in self._firsts:
            return None
        until = self._firsts.get("text", self._started + self.seconds)
        return max(0.0, until - self._firsts["reasoning"])  # text can come before reasoning

    @property
    def seconds_to_retry(self) -> float:
        return max(0.0, self._retry_at - self._clock())


class _End(NamedTuple):
    state: State
    texts: list[str]
    reasoning: str
    error: BaseException | None
    traceback: TracebackType | None

    @property
    def failed_generation(self) -> str | None:
        return self.error.failed_generation if isinstance(self.error, APIError) else None


@dataclass(eq=False, repr=False)
class _Receiver:
    """Receives one answer in a task of the background loop; any thread can read and end it."""

    source: AsyncGenerator[Item]
    content: Accumulator
    times: _Times
    observe: Callable[[bool], object]
    waiting: Waiting | Queued | None = None
    note: str = ""
    version: int = 0
    changed: Waiters = field(default_factory=Waiters)
    finished: Waiters = field(default_factory=Waiters)
    is_finished: bool = False
    _state: State = "connecting"
    _ends: list[_End] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.job = runtime.loop.job(self._receive)

    @property
    def end(self) -> _End | None:
        """The first end that a thread appended: so no thread needs a lock."""
        return self._ends[0] if self._ends else None

    @property
    def state(self) -> State:
        return self.end.state if self.end else self._state

    def deltas(self, start: int = 0) -> list[str]:
        return self.end.texts[start:] if self.end else self.content.deltas(start)

    def has_more(self, seen: int) -> bool:
        return self.end is not None or self.content.so_far.texts > seen

    def stop(self) -> None:
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
            case Asked():
                self.note = self.note if self.end else item.note
                self.times.restart()
                self._change_to("connecting")

    def _take_chunk(self, chunk: Chunk) -> None:
        if self.end:
            return
        is_first = self._state != "streaming"
        self._state = "streaming"
        self.content.take(chunk)
        if self.content.so_far.thoughts:
            self.times.note("reasoning")
        if self.content.so_far.texts:
            self.times.note("text")
        self._advance()
        if is_first:
            self._tell_observer(ended=False)

    def _change_to(self, state: State, waiting: Waiting | Queued | None = None) -> None:
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
            self._ends.append(_End(state, *self.content.ended(), error, traceback))

    def _advance(self) -> None:
        self.version += 1
        self.changed.wake()

    def _tell_observer(self, *, ended: bool) -> None:
        try:
            self.observe(ended)
        except Exception:  # the connection must be closed nevertheless
            _log.exception("The observer of an answer failed.")


def _read(function: Callable[[_Receiver], T], doc: str) -> T:
    """A read-only property of `Answer` that is typed as its function, as `dataclasses.field`."""
    return cast("T", property(lambda self: function(self._receiver), doc=doc))


class Answer:
    """An answer that arrives on a background thread.

    Any thread can read it at any time: `text` is what has come so far. Iterating yields the
    text's deltas as they come, from the first one, and can be repeated; so can ``async for``,
    and ``await answer`` is `result()`. All of them raise the error of a failed answer, a
    `GroqError`; iteration yields the deltas first.

    An interrupt (Ctrl-C) of a thread that waits stops the answer; cancelling an ``await`` does
    not. ``with answer:`` and ``async with answer:`` stop it when an exception leaves the block,
    also one from the body of a loop. An interrupt just before a method begins to wait or to
    stop, or just after, does not stop the answer; call `stop` again.

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
        parse: Callable[[str], Any] = json.loads,
        show: Callable[[Answer], object] | None = None,
        price: Callable[[tuple[str, ...], Usage], float | None] | None = None,
        observer: Callable[[Answer, bool], object] = lambda *_: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.parameters: dict[str, Any] = dict(parameters or {})
        """The parameters of the request."""
        self._parse = parse
        self._show = show
        self._price = price
        told = partial(observer, self)
        self._receiver = _Receiver(source, Accumulator(model), _Times(clock), told)

    def start(self) -> Self:
        """Send the request, in a copy of the caller's context; `stream` does it."""
        with self:
            self._receiver.job.start()
            runtime.own(_Answers)[self] = None
        return self

    state: Final = _read(lambda r: r.state, "What it does now, or how it ended.")
    ended: Final = _read(lambda r: r.end is not None, "Whether it has ended.")
    error: Final = _read(lambda r: r.end.error if r.end else None, "Why its state is failed.")
    failed_generation: Final = _read(
        lambda r: r.end.failed_generation if r.end else None, "The text that the server refused."
    )
    waiting: Final = _read(lambda r: r.waiting, "Why and how long its state is waiting.")
    note: Final = _read(lambda r: r.note, "What the request changed in its chat.")
    text: Final = _read(lambda r: "".join(r.deltas()), "The text so far, whatever the end.")
    reasoning: Final = _read(lambda r: (r.end or r.content).reasoning, "The reasoning so far.")
    model: Final = _read(lambda r: r.content.model, "The model, as the server names it.")
    request_id: Final = _read(lambda r: r.content.request_id, "The server's ID of the request.")
    rate_limits: Final = _read(lambda r: r.content.rate_limits, "The limits in the last response.")
    seed: Final = _read(lambda r: r.content.fields.seed, "The seed that the server used.")
    system_fingerprint: Final = _read(
        lambda r: r.content.fields.system_fingerprint, "The server's ID of its configuration."
    )
    service_tier: Final = _read(lambda r: r.content.fields.service_tier, "The tier that was used.")
    finish_reason: Final = _read(
        lambda r: r.content.fields.finish_reason,
        'Why the model ended: "stop", "length", "tool_calls"; None before.',
    )
    usage: Final = _read(lambda r: r.content.fields.usage, "The server's counts, at the end.")
    tokens: Final = _read(lambda r: r.content.tokens, "The tokens so far, reasoning included.")
    tool_calls: Final = _read(lambda r: r.content.tool_calls, "The model's calls, by their index.")
    executed_tools: Final = _read(lambda r: r.content.executed_tools, "Tools that the server ran.")
    annotations: Final = _read(lambda r: r.content.annotations, "The text's annotations, as sent.")
    sources: Final = _read(
        lambda r: r.content.sources, "Web pages of tools and annotations, each once, at most 100."
    )
    seconds: Final = _read(lambda r: r.times.seconds, "Seconds from the request to now or the end.")
    time_to_first_token: Final = _read(
        lambda r: r.times.time_to_first_token,
        "Seconds from the request to the first token, reasoning included.",
    )
    thinking: Final = _read(lambda r: r.times.is_thinking, "Whether only reasoning came so far.")
    thinking_seconds: Final = _read(
        lambda r: r.times.thinking_seconds,
        "Seconds from the first token of the reasoning to the first of the text.",
    )
    seconds_to_retry: Final = _read(lambda r: r.times.seconds_to_retry, "Seconds to the next try.")

    @property
    def cost(self) -> float | None:
        """USD by the server's prices, if they and `usage` are known; a stopped answer has none.

        The first answer of a process asks for the prices; they may arrive after its end.
        """
        if self.usage is None or self._price is None:
            return None
        return self._price((self.model, str(self.parameters.get("model"))), self.usage)

    @property
    def parsed(self) -> Any:
        """The text as JSON, or as an instance of the ``response_format`` that `stream` was given.

        It does not wait. Raises the answer's error if it failed, and `ParseError` if it has
        not ended or its text is other JSON than was asked for.

        >>> from groq_magic import demo, stream
        >>> answer = stream("A cat", model="demo/json", base_url=demo.start())
        >>> answer.wait() and answer.parsed["name"]
        'Mochi'
        """
        if not self.ended:
            raise ParseError("The answer has not ended", self.text, "Wait for result().")
        text = self._outcome()
        try:
            return self._parse(text)
        except (ValueError, RecursionError) as error:
            said = "The answer is not the JSON that was asked for"
            raise ParseError(said, text, "Ask again, or raise max_completion_tokens.") from error

    def drop(self, note: str) -> None:
        """Stop it, since its chat has it no longer; its output then has this ``note``."""
        self._receiver.note = note
        self.stop()

    def stop(self) -> None:
        """End it now, keep its text, close the connection; any thread, any number of times.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Say much", model="demo/long", base_url=demo.start())
        >>> for delta in answer:
        ...     answer.stop()
        >>> answer.state, answer.text == "".join(answer)
        ('stopped', True)
        """
        self._receiver.stop()

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

        It raises nothing: `state` says how the answer ended.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Hello", model="demo/error-401", base_url=demo.start())
        >>> answer.wait(60), answer.state
        (True, 'failed')
        """
        with self:
            return self._receiver.finished.wait(lambda: self._receiver.is_finished, timeout)

    def result(self, timeout: float | None = None) -> str:
        """Wait for the end and return the text; a stopped answer has what had come.

        Raises the answer's error if it failed, and `TimeoutError` if it has not ended
        within ``timeout`` seconds (it continues).

        >>> from groq_magic import demo, stream
        >>> stream("Three names for a cat", base_url=demo.start()).result(60)[:11]
        'Three names'
        """
        if not self.wait(timeout):
            raise TimeoutError(f"The answer has not ended within {timeout} s; it continues.")
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
            await self._receiver.changed.woken(partial(self._receiver.has_more, seen))
            for delta in (new := self.deltas(seen)):
                yield delta
            if not new:
                break
            seen += len(new)
        await self

    def __await__(self) -> Generator[Any, None, str]:
        yield from self._receiver.finished.woken(lambda: self._receiver.is_finished).__await__()
        return self._outcome()

    def deltas(self, start: int = 0) -> list[str]:
        """The text's deltas so far, from number ``start`` on; it does not wait.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Three names for a cat", base_url=demo.start())
        >>> answer.wait() and answer.deltas(3)[:2]
        [' a', ' cat']
        """
        return self._receiver.deltas(start)

    async def changed(self, version: int) -> int:
        """Wait, in any loop, until the answer is past ``version``; return its version.

        The version starts at 0 and grows with each change. Pass -1 to return at once; after
        the end it always does.

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
        receiver = self._receiver
        await receiver.changed.woken(lambda: receiver.version != version or self.ended)
        return receiver.version

    def __repr__(self) -> str:
        text = self.text
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        return f"<Answer {self.state} from {self.model}: {shown!r}>"

    def _ipython_display_(self) -> None:
        if self._show is None:
            raise NotImplementedError  # IPython then shows the repr
        self._show(self)

    def _next_deltas(self, seen: int) -> list[str]:
        with self:
            self._receiver.changed.wait(partial(self._receiver.has_more, seen))
        return self.deltas(seen)

    def _outcome(self) -> str:
        end = self._receiver.end
        if end and end.error is not None:
            raise end.error.with_traceback(end.traceback)  # else each raise would add to it
        return self.text


def _forget_request(error: BaseException | None) -> None:
    """Keep the lines that the error came through, without the values of their variables."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        clear_frames(error.__traceback__)
        vars(error).pop("_request", None)  # of httpx
        error = error.__cause__ or error.__context__


class _Answers(WeakKeyDictionary[Answer, None]):
    """The answers of a process, in the order of their start."""

    def after_fork(self) -> None:
        """End them in the child: only its parent has their connections."""
        for reference in self.keyrefs():
            if answer := reference():
                answer._receiver.orphan()  # noqa: SLF001  # of this module


def running() -> list[Answer]:
    """The answers of this process that have not ended, the latest last."""
    alive = (reference() for reference in runtime.own(_Answers).keyrefs())
    return [answer for answer in alive if answer and not answer.ended]
