"""A request on its way through its minute: refused, sent at once, or sent when there is room."""

from __future__ import annotations

import asyncio
import time
from asyncio import wrap_future
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from groq_magic.errors import APIStatusError, TooLongError
from groq_magic.runtime import runtime
from groq_magic.wire import DEFAULT_MODEL
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.protocol import Chunk, Item, Planned, Responded, Usage, Waiting
from groq_magic.wire.rate_limits import RateLimits, Refusal
from groq_magic.wire.tokens import Calibration, estimate, maximum_of

from .cost import runs_tools
from .ledger import FORGOTTEN, Change, Ledger, account_of
from .minute import FIRST_ANSWER, Minute, Place

T = TypeVar("T")
_MOST_REFUSALS = 20
_NAP = 0.1  # seconds; an answer that ends early makes room
_LONGEST_NAP = 5.0
_LARGE = 100_000  # tokens a minute
_SMALL = 0.02  # of them
_LEAST_SHARE = 50


class _Limits(NamedTuple):
    """An account's limits in a minute; None where it has none."""

    tokens: float | None
    requests: float | None
    heard: float
    """When the server said so."""
    is_waited_for: bool

    @property
    def are_large(self) -> bool:
        """Whether small requests need no plan, and so no look at the file."""
        has_limit = self.tokens is not None and self.tokens < _LARGE
        return not (has_limit or self.requests or self.is_waited_for)

    def are_far_from(self, place: Place) -> bool:
        """Whether the request needs no plan."""
        hold = place.prompt + (place.maximum or FIRST_ANSWER)
        return self.are_large and (self.tokens is None or hold <= self.tokens * _SMALL)


class _Known(dict[str, _Limits]):
    """What this process has read of each account."""


def tokens_a_minute(endpoint: Endpoint, parameters: Mapping[str, Any]) -> int | None:
    """The limit of the server, key, model and tier; None where it is not known."""
    limits = _limits_of(account_of(endpoint, parameters))
    return int(limits.tokens) if limits and limits.tokens else None


def minute_of(account: str) -> Minute | None:
    """The account's minute as it is now; None if it is unknown, or not every request is in it."""
    now, minute = time.time(), replace(runtime.own(Ledger).read(account))
    minute.advance(now)
    is_known = abs(now - minute.heard) < FORGOTTEN and minute.limit is not None
    return minute if is_known and (minute.limit or 0) < _LARGE else None


class Share(NamedTuple):
    """What one value of a prompt can have of a minute."""

    tokens: float
    size: Callable[[str], int]
    """The most tokens that a text is estimated to have."""

    @classmethod
    def of(
        cls, endpoint: Endpoint, parameters: Mapping[str, Any], text: str, parts: int
    ) -> Share | None:
        """An equal part of what ``text`` and ``max_completion_tokens`` leave; None if unknown."""
        known = {**parameters, "model": parameters.get("model") or DEFAULT_MODEL}
        if not parts or (limit := tokens_a_minute(endpoint, known)) is None:
            return None
        size = partial(_size, endpoint, known)
        left = limit - size(text) - maximum_of(parameters)
        return cls(max(left, limit / _LEAST_SHARE) / parts, size)

    def excess(self, text: str) -> float:
        """How many times larger than the share a text is."""
        return self.size(text) / self.tokens


def _size(endpoint: Endpoint, parameters: Mapping[str, Any], text: str) -> int:
    body = {**parameters, "messages": [{"content": text}]}
    return runtime.own(Calibration).bounds(account_of(endpoint, body), estimate(body)).most


def _limits_of(account: str) -> _Limits | None:
    known = runtime.own(_Known).get(account)
    if known and known.are_large and abs(time.time() - known.heard) < FORGOTTEN:
        return known
    minute = runtime.own(Ledger).read(account)
    if abs(time.time() - minute.heard) > FORGOTTEN:
        return None
    known = _Limits(minute.limit, minute.requests, minute.heard, bool(minute.queue))
    runtime.own(_Known)[account] = known
    return known


class Planner:
    """Sends one request when its minute has room, and those that ``asked`` earlier are sent.

    A small request of a large account is sent at once, unless others of this process wait.
    ``asked`` is in seconds since 1970. Raises `TooLongError` for a request that is larger than
    the minute's limit.
    """

    def __init__(
        self, client: Client, endpoint: Endpoint, body: Mapping[str, Any], asked: float
    ) -> None:
        self._client, self._endpoint, self._body = client, endpoint, body
        self._model = str(body["model"])
        self._account = account_of(endpoint, body)
        self._raw = estimate(body)
        self._place = Place(uuid4().hex, asked, 0, maximum_of(body))
        self._requested: int | None = None
        self._tokens = 0
        self._is_refused = self._is_unanswered = False
        self._estimate()
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
                async with aclosing(self._turn()) as waits:
                    async for planned in waits:
                        yield planned
                async with aclosing(self._sent(may_wait=refusals < _MOST_REFUSALS)) as items:
                    async for item in items:
                        yield item
                if not self._is_refused:
                    return
        finally:
            if not self._is_small:
                self._change(self._leave)

    async def _sent(self, *, may_wait: bool) -> AsyncGenerator[Item]:
        """Send it; a refusal that may be waited for ends the items."""
        self._is_refused = False
        try:
            async with aclosing(self._client.stream(self._endpoint, self._body)) as items:
                async for item in items:
                    self._is_refused = may_wait and self._comes_too_early(item)
                    if self._is_refused:
                        return
                    self._note(item)
                    yield item
        except APIStatusError as error:
            is_early = self._is_early(error.message)
            self._is_refused = is_early and may_wait and self._client.sends_again
            if not self._is_refused:
                self._is_unanswered = True
                raise

    async def _turn(self) -> AsyncGenerator[Planned]:
        due, planned = 0.0, Planned(0, None)
        while not self._is_small:
            self._estimate()
            planned, ahead = await wrap_future(self._change(self._ask))
            self._check(planned.limit)
            if planned.seconds == 0:
                break
            runtime.own(_Known).pop(self._account, None)
            if abs(time.time() + planned.seconds - due) > 1:
                due = time.time() + planned.seconds
                yield planned
            await asyncio.sleep(min(planned.seconds, _NAP * (ahead + 1), _LONGEST_NAP))
        if planned.limit is not None or due:
            yield planned

    def _estimate(self) -> None:
        """Estimate the prompt's size, which a refusal may have told, with all that was learned."""
        self._bounds = runtime.own(Calibration).bounds(self._account, self._raw)
        _, likely, most = self._bounds
        careful = 2 * most - likely  # a refusal costs more than a second, and the order
        self._place = self._place._replace(prompt=self._requested or careful)

    def _change(self, change: Change[T]) -> Future[T]:
        return runtime.own(Ledger).submit(self._account, change)

    def _ask(self, minute: Minute, now: float) -> tuple[Planned, int]:
        """The plan, and how many requests go before it."""
        wait = minute.turn(self._place, now)
        limit = None if minute.limit is None else int(minute.limit)
        is_used_up = wait > 0 and minute.requests is not None and minute.requests_left < 1
        requests = int(minute.requests or 0) if is_used_up else None
        return Planned(self._need, limit, wait, requests), len(minute.ahead_of(self._place))

    def _leave(self, minute: Minute, now: float) -> None:
        minute.leave(self._place.id)
        if self._is_unanswered:
            minute.drop(self._place.id)
        minute.settle(self._place.id, self._tokens, now)

    def _note(self, item: Item) -> None:
        """Learn what an answer says of the limits and of the prompt's size."""
        if isinstance(item, Responded) and item.status_code == 200:
            self._note_limits(RateLimits.from_headers(item.headers))
        elif isinstance(item, Chunk):
            self._tokens += bool(item.delta.content or item.delta.reasoning)
            if item.usage:
                self._note_usage(item.usage)

    def _note_usage(self, usage: Usage) -> None:
        self._tokens = usage.completion_tokens or self._tokens
        if usage.prompt_tokens and not runs_tools(self._body.get("tools")):
            runtime.own(Calibration).learn(self._account, self._raw, usage.prompt_tokens)

    def _note_limits(self, said: RateLimits) -> None:
        if not self._is_small or (said.limit_tokens or _LARGE) < _LARGE:
            self._change(lambda minute, now: minute.respond(self._place.id, said, now))
            runtime.own(_Known).pop(self._account, None)

    def _comes_too_early(self, item: Item) -> bool:
        return isinstance(item, Waiting) and self._is_early(item.message)

    def _is_early(self, message: str) -> bool:
        """Note a refusal; whether it says that the request may be sent later in this minute."""
        refusal = Refusal.parse(message)
        if refusal is None:
            return False
        if refusal.unit == "tokens" and refusal.requested:
            self._requested = max(0, refusal.requested - int(self._place.maximum))
        self._change(lambda minute, now: minute.refuse(self._place.id, refusal, now))
        runtime.own(_Known).pop(self._account, None)
        is_early = refusal.per == "minute" and not refusal.excess
        self._is_small = self._is_small and not is_early
        return is_early

    @property
    def _need(self) -> int:
        return self._bounds.likely + int(self._place.maximum)

    def _check(self, limit: float | None) -> None:
        (least, likely, most), maximum = self._bounds, int(self._place.maximum)
        if limit is not None and least + maximum > limit:
            raise TooLongError(self._model, likely, most, maximum, int(limit))
