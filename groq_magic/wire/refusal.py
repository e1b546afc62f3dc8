"""The words with which a server refuses a request that exceeds a limit. Pure: no I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORDS = re.compile(
    r"\b(tokens|requests) per (min|day)[a-z]*\s*(?:\([TR]P[MD]\))?: Limit ~?(\d{1,12})"
    r"(?:, Used ~?(\d{1,12}))?(?:, Requested ~?(\d{1,12}))?"
)


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
    """None where the request alone is larger than the limit."""
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
