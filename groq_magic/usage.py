"""What this process has asked so far: whose models it knows, what is left, what it cost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import NamedTuple

from groq_magic.runtime import runtime
from groq_magic.runtime.loop import Job
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.models import KnownModels
from groq_magic.wire.protocol import RateLimits, Usage

from .answer import Answer


class Spent(NamedTuple):
    """What the answers of this process cost."""

    usd: float
    priced: int
    """How many answers that is for."""
    unpriced: int
    """Of how many it is not known: they were stopped, or have no price."""


class _Used(NamedTuple):
    base_url: str
    names: tuple[str, ...]
    usage: Usage | None

    @property
    def cost(self) -> float | None:
        if self.usage is None:
            return None
        return runtime.own(KnownModels).cost(self.base_url, self.names, self.usage)


class _Usage:
    """What this process has used and asked."""

    def __init__(self) -> None:
        self.used: list[_Used] = []
        self.limits: tuple[RateLimits, float] | None = None
        self.learning: dict[Endpoint, Job] = {}

    def after_fork(self) -> None:
        """Ask for models again: the answers to the parent's requests go to the parent."""
        self.learning.clear()


def observer(client: Client, endpoint: Endpoint) -> Callable[[Answer], None]:
    """What an answer is to call when it has begun to come, and when it has ended.

    The server's models are asked for then, unless they have been: early enough for this
    answer's price, and too late to hold the answer up.
    """

    def note(answer: Answer) -> None:
        _note_limits(answer.rate_limits)
        if not answer.ended or answer.state == "done":  # it may have come all at once
            learn_models(client, endpoint)
        if answer.ended and answer.tokens:
            names = (answer.model, str(answer.parameters.get("model")))
            runtime.own(_Usage).used.append(_Used(endpoint.base_url, names, answer.usage))

    return note


def learn_models(client: Client, endpoint: Endpoint) -> Job:
    """Ask for the server's models in the background, once in a process, for each key.

    A failure is silent. The job is done when that has come to an end, one way or the other.
    """
    job = runtime.loop.job(partial(_learn, client, endpoint))
    return runtime.own(_Usage).learning.setdefault(endpoint, job).start()


async def _learn(client: Client, endpoint: Endpoint) -> None:
    if not runtime.own(KnownModels).of(endpoint.base_url):
        with suppress(Exception):  # a price less is no reason to say anything
            await client.models(endpoint)


def spent() -> Spent:
    """The price of all answers so far, by the prices that are known now."""
    costs = [used.cost for used in list(runtime.own(_Usage).used)]
    priced = [cost for cost in costs if cost is not None]
    return Spent(sum(priced), len(priced), len(costs) - len(priced))


def rate_limits() -> tuple[RateLimits, float] | None:
    """What the last response with limits said is left, and how many seconds ago."""
    known = runtime.own(_Usage).limits
    if known is None:
        return None
    limits, noted_at = known
    return limits, monotonic() - noted_at


def _note_limits(limits: RateLimits) -> None:
    if limits.remaining_requests is not None or limits.remaining_tokens is not None:
        runtime.own(_Usage).limits = limits, monotonic()
