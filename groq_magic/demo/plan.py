"""The limits of a plan, kept as Groq's limiter keeps them. Pure: no I/O, and the clock is given.

What a model and a key have used refills continuously, all of it in a minute or a day. A request
asks for the tokens of its prompt and for ``max_completion_tokens``, where it names them. What it
is charged at its start is set right at its end: then it has used its prompt and its answer.
https://console.groq.com/docs/rate-limits
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Clock = Callable[[], float]

_MINUTE = 60.0
_DAY = 86_400.0
_UNREACHED = 10**12
"""The limit where a plan has none."""
_MORE = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"


class Limits(NamedTuple):
    """What a plan allows each key for each model."""

    tokens_per_minute: int
    requests_per_minute: int
    requests_per_day: int = _UNREACHED
    tokens_per_day: int = _UNREACHED

    @classmethod
    def of(cls, plan: str) -> Limits:
        """The limits of a plan by its name, or of numbers in the order of the fields.

        Raises `ValueError` for any other text.

        >>> Limits.of("free")
        Limits(tokens_per_minute=8000, requests_per_minute=30, requests_per_day=1000, \
tokens_per_day=200000)
        >>> Limits.of("4000,15").requests_per_minute
        15
        """
        if plan in PLANS:
            return PLANS[plan]
        numbers = [int(number) for number in plan.split(",")]
        if not 2 <= len(numbers) <= 4 or min(numbers) < 1:
            raise ValueError(plan)
        return cls(*numbers)


PLANS = {"free": Limits(8_000, 30, 1_000, 200_000), "paid": Limits(250_000, 1_000, 500_000)}


class Refused(Exception):  # noqa: N818  # a refusal is the limiter's answer and no fault
    """A request exceeds a limit; ``retry_after`` is in seconds, None where to wait is no use."""

    def __init__(self, status: int, message: str, unit: str, retry_after: int | None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.unit = unit
        self.retry_after = retry_after


class Bucket:
    """One limit and what is used of it.

    >>> minute = Bucket("tokens", "minute", 8_000, clock=lambda: 0.0)
    >>> minute.add(7_297)
    >>> minute.wait_for(974)
    2.0325
    """

    def __init__(self, unit: str, period: str, limit: int, clock: Clock) -> None:
        self.unit = unit
        self.period = period
        self.limit = limit
        self._clock = clock
        self._seconds = _MINUTE if period == "minute" else _DAY
        self._used = 0.0
        self._at = clock()

    @property
    def used(self) -> int:
        """What has not refilled yet; more than the limit where answers were long."""
        self._refill()
        return math.ceil(round(self._used, 6))  # without the dust of the arithmetic

    @property
    def remaining(self) -> int:
        """What a request can ask for."""
        return max(0, self.limit - self.used)

    @property
    def reset(self) -> float:
        """Seconds until all is refilled."""
        return self._seconds_of(self.used)

    def wait_for(self, amount: int) -> float:
        """Seconds until so much is free; 0 if it is."""
        return self._seconds_of(max(0, self.used + amount - self.limit))

    def add(self, amount: int) -> None:
        """Charge so much; give back where it is negative."""
        self._refill()
        self._used = max(0.0, self._used + amount)

    def change(self, limit: int) -> None:
        """Go on with another limit."""
        self._refill()
        self.limit = limit

    def _refill(self) -> None:
        now = self._clock()
        self._used = max(0.0, self._used - (now - self._at) / self._seconds * self.limit)
        self._at = now

    def _seconds_of(self, amount: int) -> float:
        return amount * self._seconds / self.limit

    def __str__(self) -> str:
        letters = f"{self.unit[0]}P{self.period[0]}".upper()
        return f"{self.unit} per {self.period} ({letters}): Limit {self.limit}"


class Charge:
    """The tokens that an admitted request is charged."""

    def __init__(self, buckets: list[Bucket], tokens: int) -> None:
        self._buckets = buckets
        self.tokens = tokens

    def settle(self, tokens: int) -> None:
        """Charge so many instead."""
        for bucket in self._buckets:
            bucket.add(tokens - self.tokens)
        self.tokens = tokens


class Account:
    """What one key has used of one model."""

    def __init__(self, model: str, limits: Limits, clock: Clock, *, reserves: bool) -> None:
        self._model = model
        self._reserves = reserves
        self._minute = Bucket("tokens", "minute", limits.tokens_per_minute, clock)
        self._requests = Bucket("requests", "day", limits.requests_per_day, clock)
        self._all = {
            "tokens_per_minute": self._minute,
            "requests_per_minute": Bucket("requests", "minute", limits.requests_per_minute, clock),
            "requests_per_day": self._requests,
            "tokens_per_day": Bucket("tokens", "day", limits.tokens_per_day, clock),
        }

    def admit(self, prompt: int, maximum: int) -> Charge:
        """Charge a request for so many tokens; raise `Refused` where it exceeds a limit."""
        tokens = prompt + maximum
        asked = [(each, tokens if each.unit == "tokens" else 1) for each in self._all.values()]
        for bucket, amount in asked:
            if amount > bucket.limit:
                raise self._too_large(bucket, amount)
        longest, amount = max(asked, key=lambda each: each[0].wait_for(each[1]))
        if longest.wait_for(amount):
            raise self._reached(longest, amount)
        for bucket, amount in asked:
            bucket.add(amount)
        charge = Charge([each for each in self._all.values() if each.unit == "tokens"], tokens)
        if not self._reserves:
            charge.settle(prompt)
        return charge

    def change(self, limits: Limits) -> None:
        """Go on with other limits."""
        for name, limit in limits._asdict().items():
            self._all[name].change(limit)

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of a response: requests are a day's, if it has a limit, tokens a minute's."""
        said = {}
        for unit, bucket in (("requests", self._requests), ("tokens", self._minute)):
            if bucket.limit == _UNREACHED:
                continue
            said[f"x-ratelimit-limit-{unit}"] = str(bucket.limit)
            said[f"x-ratelimit-remaining-{unit}"] = str(bucket.remaining)
            said[f"x-ratelimit-reset-{unit}"] = duration(bucket.reset)
        return said

    def _too_large(self, bucket: Bucket, amount: int) -> Refused:
        said = f"{self._where('Request too large', bucket)}, Requested {amount}"
        message = f"{said}, please reduce your message size and try again. {_MORE}"
        return Refused(413, message, bucket.unit, None)

    def _reached(self, bucket: Bucket, amount: int) -> Refused:
        said = self._where("Rate limit reached", bucket)
        said = f"{said}, Used {bucket.used}, Requested {amount}"
        seconds = bucket.wait_for(amount)
        message = f"{said}. Please try again in {duration(seconds)}. {_MORE}"
        return Refused(429, message, bucket.unit, max(1, math.ceil(seconds)))

    def _where(self, what: str, bucket: Bucket) -> str:
        where = f"model `{self._model}` in organization `org_demo` service tier `on_demand`"
        return f"{what} for {where} on {bucket}"


class Plan:
    """A plan's limits, for each model and key.

    ``reserves`` says whether a request is charged its maximum until its end, as Groq documents;
    else it is charged its prompt alone, as headers of November 2025 show.
    """

    def __init__(
        self, limits: Limits, clock: Clock = time.monotonic, *, reserves: bool = True
    ) -> None:
        self._limits = limits
        self._reserves = reserves
        self._clock = clock
        self._accounts: dict[tuple[str, str], Account] = {}

    def account(self, model: str, key: str) -> Account:
        """What this key has used of this model."""
        if (model, key) not in self._accounts:
            self._accounts[model, key] = Account(
                model, self._limits, self._clock, reserves=self._reserves
            )
        return self._accounts[model, key]

    def change(self, limits: Limits) -> None:
        """Go on with other limits; what is used stays used."""
        self._limits = limits
        for account in self._accounts.values():
            account.change(limits)


def duration(seconds: float) -> str:
    """A duration in Go's form, https://pkg.go.dev/time#Duration.String.

    >>> duration(86.4), duration(660.528), duration(0.5475), duration(3_600), duration(0)
    ('1m26.4s', '11m0.528s', '547.5ms', '1h0m0s', '0s')
    """
    if 0 < seconds < 1:
        return f"{_number(seconds * 1_000)}ms"
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    said = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{said}{_number(rest)}s"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
