"""What this process has asked so far: whose models it knows, what is left, what it cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from .answer import background
from .chat import Chunk, Item, RateLimits, Responded, Usage
from .client import Client, Endpoint
from .models import known_models


class Spent(NamedTuple):
    """What the answers of this process cost."""

    usd: float
    priced: int
    """How many answers that is for."""
    unpriced: int
    """Of how many it is not known: they run, were stopped, or have no price."""


@dataclass
class _Used:
    base_url: str
    names: tuple[str, ...]
    usage: Usage | None = None

    @property
    def cost(self) -> float | None:
        if self.usage is None:
            return None
        return known_models.cost(self.base_url, self.names, self.usage)


_used: list[_Used] = []
_limits: tuple[Mapping[str, str], float] | None = None
_learning: dict[Endpoint, Future[None]] = {}


async def observed(
    items: AsyncGenerator[Item], client: Client, endpoint: Endpoint, model: str
) -> AsyncGenerator[Item]:
    """Pass an answer's items on, and note what they say of the session.

    With the first chunk the server's models are asked for, unless they have been: early
    enough for this answer's price, and too late to hold the answer up.
    """
    used = _Used(endpoint.base_url, (model,))
    has_begun = False
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Chunk):
                if not has_begun:
                    has_begun = True
                    _used.append(used)
                    learn_models(client, endpoint)
                if item.usage:
                    used.names, used.usage = (item.model or model, model), item.usage
            elif isinstance(item, Responded):
                _note_limits(item.headers)
            yield item


def learn_models(client: Client, endpoint: Endpoint) -> Future[None]:
    """Ask for the server's models in the background, once in a process, for each key.

    A failure is silent. The future is done when that has come to an end, one way or the other.
    """
    mine: Future[None] = Future()
    learning = _learning.setdefault(endpoint, mine)
    if learning is mine:
        asked = background.start(_learn(client, endpoint))
        asked.add_done_callback(lambda _: mine.set_result(None))
    return learning


async def _learn(client: Client, endpoint: Endpoint) -> None:
    if not known_models.of(endpoint.base_url):
        with suppress(Exception):  # a price less is no reason to say anything
            await client.models(endpoint)


def spent() -> Spent:
    """The price of all answers so far, by the prices that are known now."""
    costs = [used.cost for used in list(_used)]
    priced = [cost for cost in costs if cost is not None]
    return Spent(sum(priced), len(priced), len(costs) - len(priced))


def rate_limits() -> tuple[RateLimits, float] | None:
    """What the last response with limits said is left, and how many seconds ago."""
    if _limits is None:
        return None
    headers, noted_at = _limits
    return RateLimits.from_headers(headers), monotonic() - noted_at


def _note_limits(headers: Mapping[str, str]) -> None:
    global _limits  # noqa: PLW0603  # the last of the process's
    if any(name.startswith("x-ratelimit-remaining") for name in headers):
        _limits = headers, monotonic()
