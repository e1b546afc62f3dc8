"""What this process has asked so far: whose models it knows, what is left, what it cost."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import NamedTuple

from groq_magic.runtime.loop import Job
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.models import known_models
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
        return known_models.cost(self.base_url, self.names, self.usage)


_used: list[_Used] = []
_limits: tuple[RateLimits, float] | None = None
_learning: dict[Endpoint, Job] = {}
if hasattr(os, "register_at_fork"):  # what the parent asks, it is told
    os.register_at_fork(after_in_child=_learning.clear)


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
            _used.append(_Used(endpoint.base_url, names, answer.usage))

    return note


def learn_models(client: Client, endpoint: Endpoint) -> Job:
    """Ask for the server's models in the background, once in a process, for each key.

    A failure is silent. The job is done when that has come to an end, one way or the other.
    """
    return _learning.setdefault(endpoint, Job(partial(_learn, client, endpoint))).start()


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
    limits, noted_at = _limits
    return limits, monotonic() - noted_at


def _note_limits(limits: RateLimits) -> None:
    global _limits  # noqa: PLW0603  # the last of the process's
    if limits.remaining_requests is not None or limits.remaining_tokens is not None:
        _limits = limits, monotonic()
