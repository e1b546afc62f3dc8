"""One answer: its state, text and end, and all ways to wait for them."""

from __future__ import annotations

import json
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from functools import partial
from time import monotonic
from typing import Any, Final, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from groq_magic.runtime import runtime
from groq_magic.runtime.loop import running_loop
from groq_magic.wire.protocol import Chunk, Item, Missed, Usage

from .accumulator import Accumulator
from .errors import InputError, ParseError
from .receiver import Receiver, Times

T = TypeVar("T")


def _read(function: Callable[[Receiver], T], doc: str) -> T:
    """A read-only property of `Answer` that is typed as its function, as `dataclasses.field`."""
    return cast("T", property(lambda self: function(self._receiver), doc=doc))


def _field(function: Callable[[Chunk], T], doc: str) -> T:
    return _read(lambda receiver: function(receiver.content.fields), doc)


class _Fields:
    """What an answer has, so far or at its end."""

    _receiver: Receiver

    state: Final = _read(lambda r: r.state, "What it does now, or how it ended.")
    ended: Final = _read(lambda r: r.end is not None, "Whether it has ended.")
    error: Final = _read(lambda r: r.end.error if r.end else None, "Why its state is failed.")
    failed_generation: Final = _read(lambda r: r.failed_generation, "The text that was refused.")
    waiting: Final = _read(
        lambda r: None if r.end else r.waiting, "Why and how long its state is waiting."
    )
    planned: Final = _read(lambda r: r.planned, "What it needs of its minute, where that is short.")
    note: Final = _read(lambda r: r.note, "What to know of the request, such as its turn.")
    kept: Final = _read(lambda r: r.kept, "The earlier run that it comes from, if it was kept.")
    text: Final = _read(lambda r: "".join(r.deltas()), "The text so far, whatever the end.")
    reasoning: Final = _read(lambda r: (r.end or r.content).reasoning, "The reasoning so far.")
    model: Final = _read(lambda r: r.content.model, "The model, as the server names it.")
    request_id: Final = _read(lambda r: r.content.request_id, "The server's ID of the request.")
    rate_limits: Final = _read(lambda r: r.content.rate_limits, "The limits in the last response.")
    seed: Final = _field(lambda f: f.seed, "The seed that the server used.")
    system_fingerprint: Final = _field(lambda f: f.system_fingerprint, "ID of the server's setup.")
    service_tier: Final = _field(lambda f: f.service_tier, "The tier that was used.")
    usage: Final = _field(lambda f: f.usage, "The server's counts, at the end.")
    finish_reason: Final = _field(lambda f: f.finish_reason, 'Why it ended, such as "length".')
    tokens: Final = _read(lambda r: r.content.tokens, "The tokens so far, reasoning included.")
    tool_calls: Final = _read(lambda r: r.content.tool_calls, "The model's calls, by their index.")
    executed_tools: Final = _read(lambda r: r.content.executed_tools, "Tools that the server ran.")
    annotations: Final = _read(lambda r: r.content.annotations, "The text's annotations, as sent.")
    sources: Final = _read(lambda r: r.content.sources, "Web pages, each once, at most 100.")
    seconds: Final = _read(lambda r: r.times.seconds, "Seconds from the request to now or the end.")
    time_to_first_token: Final = _read(
        lambda r: r.times.time_to_first_token, "Seconds to the first token, reasoning included."
    )
    thinking: Final = _read(lambda r: r.times.is_thinking, "Whether only reasoning came so far.")
    thinking_seconds: Final = _read(lambda r: r.times.thinking_seconds, "Seconds of reasoning.")
    seconds_to_retry: Final = _read(lambda r: r.times.seconds_to_retry, "Seconds to the next try.")


class Answer(_Fields):
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

    def __init__(  # noqa: PLR0913  # by keyword
        self,
        source: AsyncGenerator[Item],
        *,
        content: Accumulator | None = None,
        parameters: Mapping[str, Any] | None = None,
        parse: Callable[[str], Any] = json.loads,
        show: Callable[[Answer], object] | None = None,
        price: Callable[[tuple[str, ...], Usage], float | None] | None = None,
        observer: Callable[[Answer, bool], object] = lambda *_: None,
        clock: Callable[[], float] = monotonic,
        resume: Callable[[Answer, Accumulator], Answer] | None = None,
        may_be_kept: bool = False,
        loop: AbstractEventLoop | None = None,
    ) -> None:
        self.parameters: dict[str, Any] = dict(parameters or {})
        """The parameters of the request."""
        self._parse = parse
        self._show = show
        self._price = price
        self._resume = resume
        self._loop = loop
        self._observer = observer
        self._receiver = Receiver(source, content or Accumulator(), Times(clock), self._observe)
        self._receiver.found = None if may_be_kept else Missed()

    def start(self) -> Self:
        """Send the request, in a copy of the caller's context; `stream` does it."""
        with self:
            self._receiver.job.start()
            runtime.own(_Answers)[self] = None
        return self

    @property
    def cost(self) -> float | None:
        """USD by the server's prices, if they and `usage` are known; none if stopped or kept.

        The first answer of a process asks for the prices; they may arrive after its end.
        """
        if self.usage is None or self._price is None or self.kept:
            return None
        return self._price((self.model, str(self.parameters.get("model"))), self.usage)

    @property
    def parsed(self) -> Any:
        """The text as JSON, or as an instance of the ``response_format`` that `stream` was given.

        Raises the answer's error if it failed, `ParseError` if it has not ended or is other JSON.

        >>> from groq_magic import demo, stream
        >>> answer = stream("A cat", model="demo/json", base_url=demo.start())
        >>> answer.wait() and answer.parsed["name"]
        'Mochi'
        """
        if not self.ended:
            raise ParseError("The answer has not ended", self.text, "Wait for result().")
        text = self._receiver.outcome()
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
        >>> answer.stop()
        >>> answer.state
        'stopped'
        """
        self._receiver.stop()

    def resume(self) -> Answer:
        """Ask for the rest of a stopped or cut answer; the new answer begins with this text.

        Raises `InputError` if nothing is missing, and if its chat does not have it any longer.

        >>> from groq_magic import demo, stream
        >>> answer = stream("Count", max_completion_tokens=9, base_url=demo.start())
        >>> answer.wait() and answer.resume().result().startswith(answer.text)
        True
        """
        if not self.ended:
            raise InputError("The answer still runs. Stop it first, or wait for its end.")
        if self._resume is None or not self._receiver.is_cut:
            raise InputError("The answer is complete, or nothing of it came. Ask again.")
        return self._resume(self, self._receiver.content)

    @property
    def can_resume(self) -> bool:
        """Whether `resume` can ask for the rest: not for the answer of `show`."""
        return self.ended and self._resume is not None and self._receiver.is_cut

    @property
    def needs_this_loop(self) -> bool:
        """Whether the event loop of this thread reads it, so that only ``await`` can wait."""
        return self._loop is not None and self._loop is running_loop() and not self.ended

    def at_change(self, function: Callable[[], object]) -> None:
        """Call ``function``, once and on the background thread, when more has come or it ends.

        It is called before those who wait for the end go on.
        """
        self._receiver.changed.call(function)

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
        self._check_loop()
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
        return self._receiver.outcome()

    def __iter__(self) -> Iterator[str]:
        self._check_loop()
        seen = 0
        while True:
            with self:
                self._receiver.changed.wait(partial(self._receiver.has_more, seen))
            if not (new := self.deltas(seen)):
                break
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
        return self._receiver.outcome()

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

        >>> import asyncio
        >>> from groq_magic import demo, stream
        >>> answer = stream("Three names for a cat", base_url=demo.start())
        >>> asyncio.run(answer.changed(0)) > 0
        True
        """
        receiver = self._receiver
        await receiver.changed.woken(lambda: receiver.version != version or self.ended)
        return receiver.version

    def _check_loop(self) -> None:
        if self.needs_this_loop:
            raise InputError("This thread's event loop reads the answer. Wait with: await answer")

    def __repr__(self) -> str:
        text = self.text
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        return f"<Answer {self.state} from {self.model}: {shown!r}>"

    def _observe(self, ended: bool) -> None:  # noqa: FBT001  # as the receiver calls it
        if ended and not self._receiver.is_cut:
            self._resume = None  # lets go of the prompt, which may be large
        self._observer(self, ended)

    def _ipython_display_(self) -> None:
        if self._show is None:
            raise NotImplementedError  # IPython then shows the repr
        self._show(self)

    def _display_(self) -> object:
        """What marimo displays."""
        return self._show(self) if self._show else repr(self)


def wait_if_kept(answer: Answer, timeout: float = 1.0) -> None:
    """Wait for a kept answer, which comes whole and at once; not for one that is sent."""
    receiver = answer._receiver  # noqa: SLF001  # of this module
    with answer:
        receiver.changed.wait(lambda: receiver.is_looked_up, timeout)
        if answer.kept:
            answer.wait(timeout)


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
