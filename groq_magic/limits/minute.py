"""What a server's limits leave, who waits for it, and when each may send. Pure: no I/O, no clock.

Groq's limits are buckets that refill continuously: a request is admitted if what is used and
what it asks for, its prompt and ``max_completion_tokens``, stay within the limit.
https://console.groq.com/docs/rate-limits
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple, Self

from groq_magic.wire.rate_limits import RateLimits, Refusal

_REQUESTS_A_MINUTE = 30.0
_SMALL_ACCOUNT = 14_400  # requests a day: no header says those a minute, which are 30 then
FIRST_ANSWER = 1_000.0
"""Tokens of a long answer, until one has come."""
_LEARNING, _LEARNING_MORE = 1.0, 5.0
_SMALLEST = 6_000.0  # tokens a minute that Groq's plans have
_FADING = 0.98  # of the longest answer, with each that is shorter
_SOON = 0.05
_PAUSE = 0.02  # of a minute
_SHARE = 8
_DUST = 1e-6  # of the arithmetic
_ROUNDING = 1  # servers say whole tokens
_LOST_PLACE = 30.0
_LOST_FLIGHT = 90.0


class Place(NamedTuple):
    """A request that waits."""

    id: str
    asked: float
    """When it was asked, in seconds since 1970: the earlier one goes first."""
    prompt: float
    """Tokens, like all sizes."""
    maximum: float
    """``max_completion_tokens``; 0 without it."""
    seen: float = 0.0
    """When its process asked for it last."""

    @property
    def need(self) -> float:
        """What the server must have left to admit it."""
        return self.prompt + self.maximum


class Flight(NamedTuple):
    """A request that was sent and has not ended."""

    place: Place
    sent: float
    charged: float | None = None
    """What the server has counted of it; None as long as it has not responded."""


@dataclass
class Minute:
    """The limits of one server, key and model, and the requests of all processes.

    All times are in seconds since 1970. A limit is None as long as it is unknown.

    >>> minute = Minute(limit=8_000, left=1_000, heard=1)
    >>> minute.turn(Place("a", 0, 1_999, 0), now=0)  # 8,000 a minute are 133 a second
    7.5
    >>> minute.turn(Place("a", 0, 1_999, 0), now=7.5)
    0.0
    """

    limit: float | None = None
    """Tokens a minute."""
    left: float = 0.0
    """What the server would say is left."""
    requests: float | None = None
    """Requests a minute."""
    requests_left: float = 0.0
    at: float = 0.0
    heard: float = 0.0
    """When the server responded last; 0 if it has not."""
    reserves: bool = False
    """Whether it is known to count ``max_completion_tokens`` when an answer begins."""
    answer: float = FIRST_ANSWER
    """Tokens of a long answer."""
    queue: list[Place] = field(default_factory=list)
    flights: dict[str, Flight] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """Read the ``vars`` of a minute, which were JSON."""
        flights = {id_: Flight(Place(*p), *rest) for id_, (p, *rest) in saved["flights"].items()}
        queue = [Place(*place) for place in saved["queue"]]
        return cls(**{**saved, "queue": queue, "flights": flights})

    @property
    def free(self) -> float:
        """What is left when all that were sent have got what they may use."""
        flights = self.flights.values()
        return self.left - sum(self._hold(f.place) - (f.charged or 0.0) for f in flights)

    def advance(self, now: float) -> None:
        """It is ``now``: refill, and forget the requests of processes that have ended."""
        minutes = max(0.0, now - self.at) / 60
        self.at = now
        if self.limit is not None:
            self.left = min(self.limit, self.left + minutes * self.limit)
        if self.requests is not None:
            self.requests_left = min(self.requests, self.requests_left + minutes * self.requests)
        # Clocks are set back, too.
        self.queue = [place for place in self.queue if abs(now - place.seen) < _LOST_PLACE]
        flights = self.flights.items()
        self.flights = {id_: f for id_, f in flights if abs(now - f.sent) < _LOST_FLIGHT}

    def turn(self, place: Place, now: float) -> float:
        """Seconds until the request may be sent; at 0 it counts as sent."""
        self.advance(now)
        self.leave(place.id)
        self.queue.append(place._replace(seen=now))
        ahead = self.ahead_of(place)
        wait = self._wait(place, ahead, now)
        if wait > _DUST or ahead:
            return max(wait, _SOON)
        self.leave(place.id)
        self.flights[place.id] = Flight(place, now)
        self.requests_left -= 1
        return 0.0

    def ahead_of(self, place: Place) -> list[Place]:
        """The requests that go before it."""
        return [other for other in self.queue if (other.asked, other.id) < (place.asked, place.id)]

    def respond(self, id_: str, said: RateLimits, now: float) -> None:
        """An answer begins, with what its headers say."""
        self.advance(now)
        if not said.limit_tokens or said.remaining_tokens is None:
            self.heard = now if self.limit is None else self.heard
            return
        self.heard = now
        self._guess_requests(said)
        before = said.limit_tokens if self.limit is None else self.left
        self.limit, self.left = float(said.limit_tokens), float(said.remaining_tokens)
        if flight := self.flights.get(id_):
            self._charge(id_, flight, before - self.left)
        if self.left == 0:  # as servers say it of less, too
            self.left = min(before, 0.0)

    def _guess_requests(self, said: RateLimits) -> None:
        """Expect 30 requests a minute of an account with few a day, as free plans have."""
        if (said.limit_requests or 0) > _SMALL_ACCOUNT and self.requests == _REQUESTS_A_MINUTE:
            self.requests = None
        elif said.are_requests_a_day and self.requests is None:
            self.requests = _REQUESTS_A_MINUTE
            self.requests_left = _REQUESTS_A_MINUTE - len(self.flights)

    def _charge(self, id_: str, flight: Flight, charged: float) -> None:
        """Note what the server has counted of it, and whether that is more than its prompt."""
        prompt, maximum = flight.place.prompt, flight.place.maximum
        others = [other for other in self.flights.values() if other != flight]
        if maximum > prompt / 2 and all(other.charged is not None for other in others):
            self.reserves = charged > prompt + maximum / 4  # the prompt is estimated, as large
        self.flights[id_] = flight._replace(charged=flight.place.need if self.reserves else prompt)

    def refuse(self, id_: str, refusal: Refusal, now: float) -> None:
        """The server has refused a request because of a limit; it takes its place again."""
        self.advance(now)
        flight = self.flights.pop(id_, None)
        if refusal.per == "day":
            return
        self.heard = now
        if flight:
            self.queue.append(flight.place._replace(seen=now))
        limit, used = float(refusal.limit), refusal.used
        if refusal.unit == "tokens":
            known = limit if self.limit is None else min(self.left, limit)
            self.left = known if used is None else limit - used
            if refusal.requested and refusal.requested <= self.left:  # refused nevertheless
                self.left = refusal.requested - limit * _PAUSE
            self.limit = limit
        else:
            self.requests, self.requests_left = limit, min(0.0, limit - (used or limit))

    def drop(self, id_: str) -> None:
        """A request gets no answer, and no tokens count."""
        self.flights.pop(id_, None)

    def settle(self, id_: str, answer: float, now: float) -> None:
        """An answer has ended with so many tokens; 0 if none came."""
        self.advance(now)
        flight = self.flights.pop(id_, None)
        if flight is None:  # so long an answer that it was given up
            self.left -= answer
        elif flight.charged is not None:
            self.left += flight.charged - flight.place.prompt - answer
            self.answer = max(answer, _FADING * self.answer)

    def leave(self, id_: str) -> None:
        """The request does not wait any longer."""
        self.queue = [place for place in self.queue if place.id != id_]

    def _wait(self, place: Place, ahead: list[Place], now: float) -> float:
        """Seconds until all ahead of it have gone and there is room for this one, too."""
        waits = [0.0]
        if self.limit is not None:
            need = sum(map(self._hold, ahead)) + min(place.need + _ROUNDING, self.limit)
            waits.append((need - self.free) / self.limit * 60)
        elif not self.heard and self.flights:  # the first response says what the limits are
            sent = [*self.flights.values()]
            need = place.need + sum(flight.place.need for flight in sent)
            patience = _LEARNING if need <= _SMALLEST else _LEARNING_MORE
            first = min(flight.sent for flight in sent)
            waits.append(_SOON if now - first < patience else 0.0)
        if self.requests is not None:
            waits.append((len(ahead) + 1 - self.requests_left) / self.requests * 60)
        return max(waits)

    def _hold(self, place: Place) -> float:
        """What it may use; of an answer without a maximum a part, for most are short."""
        return place.prompt + (place.maximum or min(self.answer, (self.limit or inf) / _SHARE))
