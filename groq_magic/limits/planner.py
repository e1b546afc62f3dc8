"""A request on its way through its minute: refused, sent at once, or sent when there is room."""

from __future__ import annotations

import asyncio
import time
from asyncio import wrap_future
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future
from contextlib import aclosing
from itertools import count
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from groq_magic.errors import APIStatusError, TooLongError
from groq_magic.runtime import runtime
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.protocol import Chunk, Item, Planned, RateLimits, Responded, Usage, Waiting
from groq_magic.wire.refusal import Refusal
from groq_magic.wire.tokens import Calibration, estimate

from .ledger import Change, Ledger, account_of
from .minute import FIRST_ANSWER, Minute, Place

T = TypeVar("T")
_MOST_REFUSALS = 20
_LONGEST_NAP = 1.0  # seconds; an answer that ends early makes room
_SMALL = 0.01


class _Limits(NamedTuple):
    """An account's limits in a minute; None where it has none."""

    tokens: float | None
    requests: float | None

    def are_far_from(self, place: Place) -> bool:
        """Whether they need no planning: then the request is sent without a look at the file."""
        if self.tokens is None or self.requests is not None:
            return self.requests is None
        return place.prompt + (place.maximum or FIRST_ANSWER) <= self.tokens * _SMALL


class _Known(dict[str, _Limits]):
    """What this process knows of the accounts whose server has responded."""


def tokens_a_minute(endpoint: Endpoint, model: str) -> int | None:
    """The limit of the server, key and model; None where it is not known."""
    limits = _limits_of(account_of(endpoint, model))
    return int(limits.tokens) if limits and limits.tokens else None


def _limits_of(account: str) -> _Limits | None:
    known = runtime.own(_Known)
    if account not in known:
        runtime.own(Ledger).change(account, lambda minute, _: _know(account, minute))
    return known.get(account)


def _know(account: str, minute: Minute) -> None:
    if minute.heard:
        runtime.own(_Known)[account] = _Limits(minute.limit, minute.requests)


class Planner:
    """Sends one request when its minute has room.

    Raises `TooLongError` for a request that is larger than the minute's limit.
    """

    def __init__(self, client: Client, endpoint: Endpoint, body: Mapping[str, Any]) -> None:
        self._client, self._endpoint, self._body = client, endpoint, body
        self._model = str(body["model"])
        self._account = account_of(endpoint, self._model)
        self._raw = estimate(body)
        calibration = runtime.own(Calibration)
        self._prompt = calibration.corrected(self._model, self._raw)
        self._bounds = calibration.bounds(self._model, self._raw)
        maximum = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        self._place = Place(uuid4().hex, time.time(), self._bounds.most, maximum)
        self._usage: Usage | None = None
        self._tokens: int | None = None
        limits = _limits_of(self._account)
        self._is_small = limits is not None and limits.are_far_from(self._place)
        if limits:
            self._check(limits.tokens)

    @property
    def longest_prompt(self) -> int:
        """The most tokens of the prompt, as estimated."""
        return self._bounds.most

    async def items(self) -> AsyncGenerator[Item]:
        """Yield `Planned` while the request waits, then the items of `Client.stream`.

        A request that is refused because the minute is used up waits for its turn again.
        """
        try:
            for refusals in count():
                if not self._is_small:
                    async with aclosing(self._turn()) as waits:
                        async for planned in waits:
                            yield planned
                async with aclosing(self._client.stream(self._endpoint, self._body)) as items:
                    async for item in items:
                        if refusals < _MOST_REFUSALS and self._comes_too_early(item):
                            break
                        self._note(item)
                        yield item
                    else:
                        return
        except APIStatusError as error:
            self._note_refusal(error.message)
            raise
        finally:
            if not self._is_small:
                self._change(self._leave)

    async def _turn(self) -> AsyncGenerator[Planned]:
        due = 0.0
        while True:
            wait, limit = await wrap_future(self._change(self._ask))
            self._check(limit)
            if wait == 0:
                break
            if abs(time.time() + wait - due) > _LONGEST_NAP:
                due = time.time() + wait
                yield Planned(self._need, limit, wait)
            await asyncio.sleep(min(wait, _LONGEST_NAP))
        if limit is not None:
            yield Planned(self._need, limit)

    def _change(self, change: Change[T]) -> Future[T]:
        return runtime.own(Ledger).submit(self._account, change)

    def _ask(self, minute: Minute, now: float) -> tuple[float, int | None]:
        wait = minute.turn(self._place, now)
        return wait, None if minute.limit is None else int(minute.limit)

    def _leave(self, minute: Minute, _now: float) -> None:
        minute.leave(self._place.id)
        minute.settle(self._place.id, self._used, self._tokens or 0)
        _know(self._account, minute)

    def _note(self, item: Item) -> None:
        """Learn what a response says of the limits and of the prompt's size."""
        if isinstance(item, Chunk):
            self._tokens = (self._tokens or 0) + bool(item.delta.content or item.delta.reasoning)
            if item.usage:
                self._note_usage(item.usage)
        elif isinstance(item, Responded):
            self._tokens = self._tokens or 0
            self._note_limits(RateLimits.from_headers(item.headers))

    def _note_usage(self, usage: Usage) -> None:
        self._usage = usage
        self._tokens = usage.completion_tokens or self._tokens
        if usage.prompt_tokens:
            runtime.own(Calibration).learn(self._model, self._raw, usage.prompt_tokens)

    def _note_limits(self, said: RateLimits) -> None:
        if self._is_small and said.limit_tokens is not None:
            known = runtime.own(_Known)
            known[self._account] = known[self._account]._replace(tokens=said.limit_tokens)
        elif not self._is_small:
            self._change(lambda minute, now: minute.respond(self._place.id, said, now))

    def _comes_too_early(self, item: Item) -> bool:
        """Whether a refusal says that the request may be sent later in this minute."""
        return isinstance(item, Waiting) and self._note_refusal(item.message)

    def _note_refusal(self, message: str) -> bool:
        refusal = Refusal.parse(message)
        if refusal is None:
            return False
        self._is_small, self._tokens = False, None
        self._change(lambda minute, now: minute.refuse(self._place.id, refusal, now))
        return refusal.per == "minute" and not refusal.excess

    @property
    def _used(self) -> float | None:
        """The tokens that count against the minute; None if the server gave no answer."""
        if self._usage and self._usage.prompt_tokens is not None:
            cached = self._usage.cached_tokens or 0
            return float(self._usage.prompt_tokens - cached + (self._tokens or 0))
        return None if self._tokens is None else self._place.prompt + self._tokens

    @property
    def _need(self) -> int:
        return self._prompt + int(self._place.maximum)

    def _check(self, limit: float | None) -> None:
        if limit is not None and self._bounds.least + self._place.maximum > limit:
            raise TooLongError(self._model, self._prompt, int(self._place.maximum), int(limit))
