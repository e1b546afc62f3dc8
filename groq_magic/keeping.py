"""An answer that is kept: found in the store, else asked for and stored."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from groq_magic.runtime import runtime
from groq_magic.wire.endpoint import Endpoint, server_name
from groq_magic.wire.protocol import Chunk, Delta, Item, Kept, Missed

from .answer import Answer
from .errors import APIConnectionError, InputError, MissingKeyError
from .question import Question
from .store import KeptAnswer, Store

T = TypeVar("T")
How = bool | Literal["fresh", "replay"]
_WORDS = re.compile(r"\S+\s*|\s+")
_PAUSE = 0.02  # seconds, in which the next question, which often follows at once, can read
_log = logging.getLogger(__name__)


class Keeping:
    """How one answer is kept. Raises `InputError` for another ``how``."""

    def __init__(self, store: Store, how: How) -> None:
        if how not in (True, "fresh", "replay"):
            raise InputError(f"keep must be True, False, 'fresh' or 'replay', not {how!r}.")
        self.how = how
        self._store = store
        self._question: Question | None = None
        self._chunks: list[Chunk] = []

    async def items(
        self,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        send: Callable[[], AsyncGenerator[Item]],
    ) -> AsyncGenerator[Item]:
        """The items of the kept answer; without one, `Missed` and the items of ``send``."""
        found = await asyncio.to_thread(self._find, endpoint, body)
        if isinstance(found, Missed):
            yield found
            source = self._asked(endpoint, send)
        else:
            source = self._found(found)
        async with aclosing(source) as items:
            async for item in items:
                yield item

    def has(self, endpoint: Endpoint, body: Mapping[str, Any]) -> bool:
        """Whether it will find the answer, as far as one can say now."""
        return not isinstance(self._find(endpoint, body), Missed)

    def _find(self, endpoint: Endpoint, body: Mapping[str, Any]) -> KeptAnswer | Missed:
        server = server_name(endpoint.base_url)
        self._question = Question.of(server, body, endpoint.without_key)
        if self.how == "fresh":
            return Missed()
        unwritten = runtime.own(_Writer).unwritten(self._store, self._question)
        return unwritten or self._store.find(self._question)

    async def _found(self, answer: KeptAnswer) -> AsyncGenerator[Item]:
        kept, _, chunks = answer
        self._write(None)
        yield kept._replace(asked=kept.asked + 1)
        pause = 0.0
        if self.how == "replay":
            chunks = [word for chunk in chunks for word in _words(chunk)]
            pause = (kept.seconds - (kept.first_token or 0.0)) / len(chunks)
        for chunk in chunks:
            yield chunk
            if pause > 0:
                await asyncio.sleep(pause)

    async def _asked(
        self, endpoint: Endpoint, send: Callable[[], AsyncGenerator[Item]]
    ) -> AsyncGenerator[Item]:
        try:
            Endpoint.from_environment(endpoint.base_url)  # now a key is needed
            async with aclosing(send()) as items:
                async for item in items:
                    if isinstance(item, Chunk):
                        self._chunks.append(item)
                    yield item
        except (APIConnectionError, MissingKeyError) as error:
            if self.how != "fresh" and not self._chunks:
                error.args = (f"This question is not kept in {self._store.name}. {error}",)
            raise

    def store(self, answer: Answer) -> None:
        """Store an answer that has come whole."""
        chunks, self._chunks = self._chunks, []
        if answer.state == "done":
            first, thinking = answer.time_to_first_token, answer.thinking_seconds
            kept = Kept(datetime.now(UTC), 1, answer.request_id, answer.seconds, first, thinking)
            self._write(KeptAnswer(kept, answer.cost, chunks))

    def _write(self, answer: KeptAnswer | None) -> None:
        if self._question:
            runtime.own(_Writer).add((self._store, self._question, answer))


class _Writer:
    """One thread that writes for a process; the exit waits for it."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Start a new one: the parent's thread is not in the child."""
        self.pool = ThreadPoolExecutor(1, "groq_magic store")
        self._changes: list[tuple[Store, Question, KeptAnswer | None]] = []

    def add(self, change: tuple[Store, Question, KeptAnswer | None]) -> None:
        """Write it soon, together with what comes meanwhile: a transaction takes its time."""
        self._changes.append(change)
        self.pool.submit(self._write)

    def unwritten(self, store: Store, question: Question) -> KeptAnswer | None:
        """The answer, if it is still to be written."""
        mine = [a for s, q, a in self._changes if a and (s, q.key) == (store, question.key)]
        return mine[-1] if mine else None

    def _write(self) -> None:
        if self._changes:
            time.sleep(_PAUSE)
        changes = self._changes[:]
        for store in {store for store, _, _ in changes}:
            mine = [(question, answer) for other, question, answer in changes if other == store]
            try:
                store.write(mine)
            except Exception as error:  # the answers themselves are there
                if any(answer for _, answer in mine):  # a file that can only be read counts nothing
                    _log.warning("Answers are not kept: %s", error)
        del self._changes[: len(changes)]


def when_written(function: Callable[..., T], *args: Any) -> T:
    """Call a function behind all that is still to be written, and wait for it."""
    return runtime.own(_Writer).pool.submit(function, *args).result()


def _words(chunk: Chunk) -> Iterator[Chunk]:
    """The chunk in pieces of a word."""
    delta = chunk.delta
    yield from (Chunk(Delta(reasoning=word)) for word in _WORDS.findall(delta.reasoning))
    yield from (Chunk(Delta(word)) for word in _WORDS.findall(delta.content))
    yield chunk._replace(delta=delta._replace(content="", reasoning=""))
