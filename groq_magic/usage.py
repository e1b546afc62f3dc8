"""What this process has used: rate limits and costs."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from time import monotonic
from typing import NamedTuple

from groq_magic.limits.cost import Expense
from groq_magic.limits.ledger import account_of
from groq_magic.runtime import runtime
from groq_magic.runtime.loop import Job
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.models import KnownModels
from groq_magic.wire.rate_limits import RateLimits, Refusal

from .answer import Answer
from .errors import APIStatusError, InputError


class Limited(NamedTuple):
    """What a server said last of its limits for a model."""

    model: str
    account: str
    """As `account_of` names it."""
    limits: RateLimits
    day: str
    """What a refusal said of a limit of the day; mostly empty."""
    at: float

    @property
    def age(self) -> float:
        """Seconds since then."""
        return monotonic() - self.at


class _Usage:
    """What this process has used."""

    def __init__(self) -> None:
        self.limits: dict[tuple[Endpoint, str], Limited] = {}
        self.learning: dict[Endpoint, Job] = {}

    def after_fork(self) -> None:
        """Learn again: what the parent has asked for arrives in the parent."""
        self.learning.clear()


def observe(client: Client, endpoint: Endpoint, answer: Answer, ended: bool) -> None:  # noqa: FBT001
    """Note what an answer has used; called when its first delta has arrived and at its end.

    ``answer.ended`` may be true at the first call, too: a Stop can come between the two.

    The first call also asks for the server's models: in time for this answer's price, and
    without a delay of its first delta.
    """
    usage, limits = runtime.own(_Usage), answer.rate_limits
    model, over = str(answer.parameters.get("model")), _day_of(answer.error)
    is_new = not (ended and answer.tokens)  # at the end they are as old as the answer
    is_told = limits.remaining_requests is not None or limits.remaining_tokens is not None
    if over or (is_new and is_told):
        account = account_of(endpoint, answer.parameters)
        usage.limits[endpoint, model] = Limited(model, account, limits, over, monotonic())
    if not ended or answer.state == "done":  # the first call may be the last
        learn_models(client, endpoint)


def settle(expense: Expense, answer: Answer) -> None:
    """Note what an answer has cost at its end: nothing if it was not sent, or refused."""
    waits = answer.planned is not None and answer.planned.seconds > 0 and not answer.tokens
    if waits or not expense.is_sent or isinstance(answer.error, APIStatusError | InputError):
        expense.drop()
    else:
        names = (answer.model, str(answer.parameters.get("model")))
        expense.end(names, answer.usage, answer.tokens)


def learn_models(client: Client, endpoint: Endpoint, *, again: bool = False) -> Job:
    """Ask for the server's models, once for each server and key; a failure is silent.

    Where it has failed, ``again`` asks once more.
    """
    learning, job = (
        runtime.own(_Usage).learning,
        runtime.loop.job(partial(_learn, client, endpoint)),
    )
    if again and (before := learning.get(endpoint)) and before.is_done:
        learning[endpoint] = job
    return learning.setdefault(endpoint, job).start()


async def _learn(client: Client, endpoint: Endpoint) -> None:
    if not runtime.own(KnownModels).of(endpoint.base_url):
        with suppress(Exception):  # an unknown price is not an error
            await client.models(endpoint)


def rate_limits(endpoint: Endpoint) -> list[Limited]:
    """What the server said last of its limits, for each model."""
    known = runtime.own(_Usage).limits
    return [limited for (other, _), limited in known.copy().items() if other == endpoint]


def _day_of(error: BaseException | None) -> str:
    """The limit of a day that an error names; no header has that of the tokens."""
    refusal = Refusal.parse(error.message) if isinstance(error, APIStatusError) else None
    if refusal is None or refusal.per != "day":
        return ""
    if refusal.used is None or refusal.used >= refusal.limit:
        return f"the {refusal.limit:,} {refusal.unit} of a day are used up"
    return f"{refusal.used:,} of the {refusal.limit:,} {refusal.unit} of a day are used"
