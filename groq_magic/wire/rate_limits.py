"""What a server says of its limits, in headers and in the words of a refusal. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_HOUR = 3_600.0
_WORDS = re.compile(
    r"\b(tokens|requests) per (min|day)[a-z]*\s*(?:\([TR]P[MD]\))?: Limit ~?(\d{1,12})(?!\d|,\d)"
    r"(?:, Used ~?(\d{1,12}))?(?:, Requested ~?(\d{1,12}))?"
)


class RateLimits(NamedTuple):
    """The ``x-ratelimit-*`` headers; None where the server did not say.

    Groq counts requests per day and tokens per minute,
    https://console.groq.com/docs/rate-limits
    """

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests: float | None = None
    """Seconds until all requests are available again."""
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens: float | None = None
    """Seconds until all tokens are available again."""

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimits:
        """Read headers, whose names are in lower case."""
        said = {name: headers.get(f"x-ratelimit-{name.replace('_', '-')}") for name in cls._fields}
        known: dict[str, Any] = {
            name: parse_duration(text) if name.startswith("reset") else _whole(text)
            for name, text in said.items()
            if text is not None
        }
        return cls(**known)

    @property
    def are_requests_a_day(self) -> bool:
        """Whether the requests are a day's, as at Groq: OpenAI's, of the same name, a minute's.

        By the time after which all that is used is available again.

        >>> RateLimits(1_000, 999, 86.4).are_requests_a_day
        True
        >>> RateLimits(500, 499, 0.12).are_requests_a_day
        False
        """
        used = (self.limit_requests or 0) - (self.remaining_requests or 0)
        return used > 0 and (self.limit_requests or 0) * (self.reset_requests or 0) / used > _HOUR


class Refusal(NamedTuple):
    """A limit that a request exceeds, as the message of a 413 or 429 states it.

    Limits on tokens of the prompt or the answer alone (ITPM, OTPM) are not read.
    https://console.groq.com/docs/rate-limits
    """

    unit: str
    """"tokens" or "requests"."""
    per: str
    """"minute" or "day"."""
    limit: int
    used: int | None = None
    """None where the message does not say it, as that of a 413."""
    requested: int | None = None

    @classmethod
    def parse(cls, message: str) -> Refusal | None:
        """Read the message of an error; None for any other message.

        >>> Refusal.parse("Rate limit reached for model `m` in organization `o` on tokens per "
        ...     "minute (TPM): Limit 8000, Used 7297, Requested 974. Please try again in 2.03s.")
        Refusal(unit='tokens', per='minute', limit=8000, used=7297, requested=974)
        """
        found = _WORDS.search(message)
        if found is None or int(found[3]) == 0:
            return None
        used, requested = (None if said is None else int(said) for said in found.group(4, 5))
        per = "minute" if found[2] == "min" else "day"
        return cls(found[1], per, int(found[3]), used, requested)

    @property
    def excess(self) -> int:
        """By how much the request alone exceeds the limit; 0 if it only came too early."""
        return max(0, (self.requested or 0) - self.limit)


_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:h|ms|m|s|us|µs|ns))+")
_LONGEST_NUMBER = 15  # digits; a longer one is not a count, and Python refuses the longest
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def parse_duration(text: str) -> float | None:
    """Seconds of a duration in Go's form, https://pkg.go.dev/time#ParseDuration.

    >>> parse_duration("2m59.56s"), parse_duration("130ms"), parse_duration("soon")
    (179.56, 0.13, None)
    """
    if len(text) > 4 * _LONGEST_NUMBER or not _DURATION.fullmatch(text):
        return None
    parts = re.findall(r"([\d.]+)([a-zµ]+)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _whole(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number else None
