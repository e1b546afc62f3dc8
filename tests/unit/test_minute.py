"""The minute of an account, against the demo server's limiter and the real figures of Groq's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groq_magic.demo.plan import Account, Charge, Limits
from groq_magic.limits.minute import Minute, Place
from groq_magic.wire.rate_limits import RateLimits, Refusal

FREE = Limits(8_000, 30, 1_000, 200_000)
TICK = 0.25


def said(limit: int = 8_000, left: int = 8_000, requests: int = 500_000) -> RateLimits:
    """After one request, of so many a day."""
    return RateLimits(requests, requests - 1, 86_400 / requests, limit, left, 0.0)


def known(left: float = 8_000, **fields: float) -> Minute:
    return Minute(limit=8_000, left=left, heard=1, **fields)  # type: ignore[arg-type]


class Request(NamedTuple):
    asked: float
    prompt: int
    maximum: int
    answer: int
    seconds: float

    def place(self, name: str) -> Place:
        return Place(name, self.asked, self.prompt, self.maximum)


class Run:
    """Requests that wait for their turn, and a limiter that must admit each of them."""

    def __init__(self, requests: list[Request], *, reserves: bool) -> None:
        self.now = 0.0
        self.account = Account("m", FREE, lambda: self.now, reserves=reserves)
        self.minute = Minute()
        self.waiting = {str(number): one for number, one in enumerate(requests)}
        self.sent: list[str] = []
        self._ends: list[tuple[float, str, Request, Charge]] = []

    def until_all_are_sent(self) -> Run:
        for number in count():
            self.now = number * TICK
            if not self.waiting:
                return self
            assert self.now < 3_600
            self._end()
            self._send()
        return self

    def _send(self) -> None:
        for name, one in sorted(self.waiting.items(), key=lambda item: (item[1].asked, item[0])):
            if one.asked <= self.now and self.minute.turn(one.place(name), self.now) == 0:
                charge = self.account.admit(one.prompt, one.maximum)  # raises where it refuses
                headers = RateLimits.from_headers(self.account.headers)
                self.minute.respond(name, headers, self.now)
                self._ends.append((self.now + one.seconds, name, self.waiting.pop(name), charge))
                self.sent.append(name)

    def _end(self) -> None:
        for end in [end for end in self._ends if end[0] <= self.now]:
            self._ends.remove(end)
            _, name, one, charge = end
            charge.settle(one.prompt + one.answer)
            self.minute.settle(name, one.answer, self.now)
        self.minute = Minute.from_dict(json.loads(json.dumps(vars(self.minute))))


def requests(longest_answer: int = 900) -> st.SearchStrategy[list[Request]]:
    maxima = st.sampled_from([0, 0, 200, 1_000, 3_000])
    one = st.builds(
        lambda asked, prompt, maximum, answer, seconds: Request(
            asked, prompt, maximum, min(answer, maximum or answer), seconds
        ),
        st.floats(0, 100),
        st.integers(10, 4_500),
        maxima,
        st.integers(1, longest_answer),
        st.floats(0.1, 20),
    )
    return st.lists(one, min_size=1, max_size=60)


@pytest.mark.parametrize("reserves", [True, False], ids=["reserves", "prompt alone"])
@settings(max_examples=60)
@given(data=st.data())
def test_nothing_is_refused_and_the_order_is_kept(data: st.DataObject, *, reserves: bool) -> None:
    """Whether the limiter charges the maximum at the start or not."""
    given_requests = data.draw(requests())
    run = Run(given_requests, reserves=reserves).until_all_are_sent()
    asked = sorted(range(len(given_requests)), key=lambda n: (given_requests[n].asked, str(n)))
    assert run.sent == [str(number) for number in asked]


@pytest.mark.parametrize("maximum", [0, 300])
def test_the_minute_is_used(maximum: int) -> None:
    """All that the limiter offers but for a small rest, until the last request is sent."""
    many = [Request(0, 700 + 10 * (n % 7), maximum, 250, 0.5) for n in range(100)]
    run = Run(many, reserves=True).until_all_are_sent()
    used = sum(one.prompt + one.answer for one in many)
    assert used >= 0.95 * (8_000 + run.now * 8_000 / 60)


@pytest.mark.parametrize(
    ("limit", "used", "requested", "seconds"),
    [(8_000, 7_297, 974, 2.0325), (6_000, 4_093, 3_531, 16.24), (15_000, 11_972, 4_351, 5.289)],
)
def test_a_refusal_says_when_there_is_room(
    limit: int, used: int, requested: int, seconds: float
) -> None:
    """The seconds are those of real refusals."""
    minute, place = Minute(), Place("a", 0, requested, 0)
    assert minute.turn(place, 100.0) == 0
    minute.refuse("a", Refusal("tokens", "minute", limit, used, requested), 100.0)
    wait = minute.turn(place, 100.0)
    assert wait == pytest.approx(seconds, abs=0.02)
    assert minute.turn(place, 100.0 + wait) == 0


def test_a_refused_request_has_its_place_at_once() -> None:
    minute = known()
    assert minute.turn(Place("first", 0, 100, 0), 100.0) == 0
    minute.refuse("first", Refusal("tokens", "minute", 8_000, 8_000, 100), 100.0)
    assert minute.turn(Place("later", 1, 10, 0), 100.5) > 0.7


def test_requests_a_minute_are_learned_from_a_refusal() -> None:
    minute = known()
    minute.refuse("a", Refusal("requests", "minute", 30, 30, 1), 100.0)
    assert minute.turn(Place("a", 0, 10, 0), 100.0) == pytest.approx(2)
    assert minute.turn(Place("a", 0, 10, 0), 102.0) == 0


def test_a_small_account_has_thirty_requests_a_minute() -> None:
    minute = Minute()
    assert minute.turn(Place("first", 0, 10, 5), 0.0) == 0
    minute.respond("first", said(requests=1_000, left=7_985), 0.0)
    turns = [minute.turn(Place(f"{n:02}", n, 10, 5), 0.0) for n in range(30)]
    assert turns == [0.0] * 29 + [pytest.approx(2)]


def test_requests_a_minute_are_not_those_of_a_day() -> None:
    """OpenAI's header has the same name."""
    minute = Minute()
    minute.respond("a", RateLimits(500, 499, 0.12, 8_000, 7_000, 0.0), 0.0)
    assert minute.requests is None


def test_a_larger_plan_is_noticed() -> None:
    minute = Minute()
    minute.respond("a", said(requests=1_000), 0.0)
    learned = minute.requests
    minute.respond("b", said(limit=250_000, requests=500_000), 1.0)
    assert (learned, minute.requests, minute.limit) == (30, None, 250_000)


def test_requests_a_minute_that_a_refusal_stated_stay_known() -> None:
    minute = known()
    minute.refuse("a", Refusal("requests", "minute", 50, 50, 1), 0.0)
    minute.respond("b", said(requests=500_000), 1.0)
    assert minute.requests == 50


def test_only_what_states_a_limit_confirms_it() -> None:
    minute = known()
    minute.respond("a", RateLimits(), 500.0)
    minute.refuse("b", Refusal("tokens", "day", 200_000, 200_000, 100), 500.0)
    assert minute.heard == 1


def test_a_request_that_is_refused_though_there_is_room_pauses() -> None:
    minute = known()
    minute.refuse("a", Refusal("tokens", "minute", 8_000, 1_000, 3_000), 0.0)
    assert 1 < minute.turn(Place("a", 0, 3_000, 0), 0.0) < 2
    minute.refuse("b", Refusal("requests", "minute", 30), 60.0)
    assert minute.turn(Place("b", 0, 10, 0), 60.0) == pytest.approx(2)


@pytest.mark.parametrize("seconds", [10, 100])
def test_an_answer_counts_at_its_end_when_the_minute_is_full_again(seconds: float) -> None:
    """Also after 100 s, when its place is given up."""
    minute = known()
    assert minute.turn(Place("a", 0, 100, 0), 0.0) == 0
    minute.respond("a", said(left=7_900), 0.0)
    minute.settle("a", 6_000, seconds)
    assert minute.left == 2_000


def test_a_limit_of_nothing_is_none() -> None:
    minute = Minute()
    minute.respond("a", said(limit=0, left=0), 0.0)
    assert minute.turn(Place("b", 1, 9_000, 0), 0.0) == 0


def test_nothing_left_is_not_more_than_was_known() -> None:
    """A header has no negative number, and a refusal had said what was used."""
    minute = known(left=-5_000)
    minute.respond("a", said(left=0), 0.0)
    assert minute.turn(Place("b", 1, 999, 0), 0.0) == pytest.approx(45)


def test_a_request_that_is_too_large_fills_nothing_up() -> None:
    minute = known(left=200)
    minute.refuse("a", Refusal("tokens", "minute", 8_000, None, 9_000), 0.0)
    assert minute.left == 200


def test_a_first_request_that_is_too_large_has_used_nothing() -> None:
    minute = Minute()
    minute.refuse("a", Refusal("tokens", "minute", 8_000, None, 9_000), 0.0)
    assert minute.turn(Place("b", 1, 7_000, 0), 0.0) == 0


def test_a_clock_that_is_set_back_loses_those_who_were_ahead() -> None:
    minute = known(left=0, at=3_600)
    assert minute.turn(Place("lost", 3_600, 8_000, 0), 3_600.0) > 0
    assert minute.turn(Place("b", 3_601, 100, 0), 3_600.0) > 0
    minute.left = 500
    assert minute.turn(Place("b", 3_601, 100, 0), 0.0) == 0


def test_a_long_answer_keeps_no_more_than_an_eighth_for_the_next() -> None:
    minute = known(answer=6_000)
    assert [minute.turn(Place(str(n), n, 300, 0), 0.0) for n in range(5)] == [0.0] * 5


def test_of_several_the_first_goes_first_even_if_a_later_one_has_room() -> None:
    minute = known(left=1_000)
    assert minute.turn(Place("large", 1, 2_999, 0), 0.0) == pytest.approx(15)
    assert minute.turn(Place("small", 2, 10, 0), 0.0) > 15
    assert minute.turn(Place("earlier", 0, 10, 0), 0.0) == 0


def test_a_request_that_is_stopped_makes_room() -> None:
    minute = known(left=1_000)
    assert minute.turn(Place("large", 1, 8_000, 0), 0.0) > 50
    assert minute.turn(Place("next", 2, 800, 0), 0.0) > 50
    minute.leave("large")
    assert minute.turn(Place("next", 2, 800, 0), 0.0) == 0


@pytest.mark.parametrize(
    ("maximum", "left", "reserves"),
    [
        (2_000, 5_100, True),
        (2_000, 7_100, False),
        (600, 6_500, True),
        (600, 7_100, False),
        (100, 6_900, False),
        (100, 7_000, False),
    ],
)
def test_a_large_maximum_tells_whether_it_is_counted_at_the_start(
    maximum: int, left: int, *, reserves: bool
) -> None:
    """A small one is lost in the error of the prompt's estimate."""
    minute = known()
    assert minute.turn(Place("a", 0, 1_000, maximum), 0.0) == 0
    minute.respond("a", said(left=left), 0.0)
    assert minute.reserves is reserves


def test_what_was_reserved_and_not_written_comes_back() -> None:
    minute = known()
    assert minute.turn(Place("a", 0, 1_000, 6_000), 0.0) == 0
    minute.respond("a", said(left=1_000), 0.0)
    assert minute.turn(Place("b", 1, 1_500, 0), 0.0) > 0
    minute.settle("a", 100, 0.0)
    assert minute.turn(Place("b", 1, 1_500, 0), 0.0) == 0


def test_a_process_that_has_ended_keeps_no_place() -> None:
    minute = known(left=0)
    assert minute.turn(Place("lost", 0, 8_000, 0), 0.0) == pytest.approx(60)
    later: Iterator[float] = (minute.turn(Place("b", 1, 100, 0), now) for now in (1.0, 29.0, 30.5))
    first, second, third = later
    assert first > second > 30
    assert third == 0


def test_a_request_of_a_process_that_has_ended_is_forgotten() -> None:
    minute = known()
    assert minute.turn(Place("lost", 0, 100, 7_900), 0.0) == 0
    assert minute.turn(Place("b", 1, 8_000, 0), 61.0) > 0
    assert minute.turn(Place("b", 1, 8_000, 0), 151.0) == 0


def test_the_first_request_is_sent_and_the_next_wait_a_moment_for_its_response() -> None:
    minute = Minute()
    assert minute.turn(Place("a", 0, 100_000, 0), 10.0) == 0
    assert minute.turn(Place("b", 1, 100, 0), 10.0) > 0
    minute.respond("a", RateLimits(), 10.5)  # of a server without limits
    assert minute.turn(Place("b", 1, 100_000, 0), 10.5) == 0
    silent = Minute()
    assert silent.turn(Place("a", 0, 100, 0), 10.0) == 0
    assert [silent.turn(Place(f"{n}", n, 100, 0), 11.5) for n in range(1, 9)] == [0.0] * 8
    assert silent.turn(Place("large", 9, 6_000, 0), 11.5) > 0  # a small minute is that long
    assert silent.turn(Place("large", 9, 6_000, 0), 15.0) == 0


def test_other_limits_are_followed_at_once() -> None:
    minute = known()
    assert minute.turn(Place("a", 0, 100, 0), 0.0) == 0
    minute.respond("a", said(limit=4_000, left=400), 0.0)
    assert minute.turn(Place("b", 1, 499, 0), 0.0) == pytest.approx((500 + 500 - 400) / 4_000 * 60)


_TOO_LARGE = "Request too large for model `qwen/qwen3.8-27b` in organization `o` on"
_REACHED = "Rate limit reached for model `m` in organization `o` service tier `on_demand` on"


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        (
            f"{_TOO_LARGE} tokens per minute (TPM): Limit 8000, Requested 8894, please reduce",
            Refusal("tokens", "minute", 8_000, None, 8_894),
        ),
        (
            f"{_REACHED} tokens per minute (TPM): Limit 7000, Used 0, Requested ~12903. Please",
            Refusal("tokens", "minute", 7_000, 0, 12_903),
        ),
        (
            f"{_REACHED} requests per minute (RPM): Limit 30, Used 30, Requested 1. Please",
            Refusal("requests", "minute", 30, 30, 1),
        ),
        (
            f"{_REACHED} tokens per day (TPD): Limit 200000, Used 197494, Requested 4035. Please",
            Refusal("tokens", "day", 200_000, 197_494, 4_035),
        ),
        (
            f"{_REACHED} tokens per min (TPM): Limit 200000, Used 162960, Requested 42288. Try",
            Refusal("tokens", "minute", 200_000, 162_960, 42_288),
        ),
        ("Request too large (OTPM): Limit 1000, Requested 2512", None),
        ("Rate limit reached: demo/rate-limit", None),
        ("tokens per minute (TPM): Limit 0, Used 0, Requested 1", None),
        ("tokens per minute (TPM): Limit 8,000, Used 0, Requested 9000", None),
        ("", None),
    ],
)
def test_the_words_of_refusals(message: str, refusal: Refusal | None) -> None:
    """As servers sent them: https://github.com/continuedev/continue/issues/10920 and others."""
    assert Refusal.parse(message) == refusal
