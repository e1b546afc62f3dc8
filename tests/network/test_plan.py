"""The demo server's plans are Groq's: the figures here are of real headers and refusals."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from groq_magic import Answer, RateLimitError, RequestTooLargeError
from groq_magic.demo.plan import Account, Limits, Plan, Refused
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.rate_limits import parse_duration
from tests.support.demo import Demo, running_demo

FREE = Limits.of("free")
MORE = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"


class Time:
    """A clock that goes on when it is told to."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def account(time: Time, limits: Limits = FREE, *, reserves: bool = True) -> Account:
    return Plan(limits, time, reserves=reserves).account("m", "")


def refused(account: Account, prompt: int, maximum: int = 0) -> Refused:
    with pytest.raises(Refused) as caught:
        account.admit(prompt, maximum)
    return caught.value


# The arithmetic


def test_without_a_limit_of_a_day_no_header_has_one(time: Time) -> None:
    account = Account("m", Limits.of("8000,30"), time, reserves=True)
    assert {name for name in account.headers if "requests" in name} == set()


def test_the_headers_of_a_response(time: Time) -> None:
    fresh = account(time)
    fresh.admit(152, 0)
    assert fresh.headers == {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "999",
        "x-ratelimit-reset-requests": "1m26.4s",
        "x-ratelimit-limit-tokens": "8000",
        "x-ratelimit-remaining-tokens": "7848",
        "x-ratelimit-reset-tokens": "1.14s",
    }


def test_a_minute_refills_continuously(time: Time) -> None:
    minute = account(time)
    minute.admit(8_000, 0)
    time.now += 0.3
    assert minute.headers["x-ratelimit-remaining-tokens"] == "40"
    time.now += 100
    assert minute.headers["x-ratelimit-remaining-tokens"] == "8000"
    assert minute.headers["x-ratelimit-reset-tokens"] == "0s"


@pytest.mark.parametrize(
    ("limits", "used", "requested", "unit", "words", "wait"),
    [
        (
            *(FREE, [7_297], 974, "tokens"),
            *("on tokens per minute (TPM): Limit 8000, Used 7297, Requested 974", "2.0325s"),
        ),
        (
            *(Limits(15_000, 30), [11_972], 4_351, "tokens"),
            *("on tokens per minute (TPM): Limit 15000, Used 11972, Requested 4351", "5.292s"),
        ),
        (
            *(Limits(300_000, 30, 1_000, 200_000), [197_494], 4_035, "tokens"),
            *("on tokens per day (TPD): Limit 200000, Used 197494, Requested 4035", "11m0.528s"),
        ),
        (
            *(FREE, [1] * 30, 1, "requests"),
            *("on requests per minute (RPM): Limit 30, Used 30, Requested 1", "2s"),
        ),
        (
            *(Limits(8_000, 30, 10), [1] * 10, 1, "requests"),
            *("on requests per day (RPD): Limit 10, Used 10, Requested 1", "2h24m0s"),
        ),
    ],
)
def test_what_comes_too_early_is_told_when_to_come_again(
    time: Time, limits: Limits, used: list[int], requested: int, unit: str, words: str, wait: str
) -> None:
    some = account(time, limits)
    for tokens in used:
        some.admit(tokens, 0)
    early = refused(some, requested)
    assert early.message == (
        "Rate limit reached for model `m` in organization `org_demo` service tier `on_demand` "
        f"{words}. Please try again in {wait}. {MORE}"
    )
    seconds = parse_duration(wait)
    assert seconds is not None
    assert (early.status, early.unit) == (429, unit)
    assert early.retry_after is not None
    assert seconds <= early.retry_after < seconds + 1
    time.now += seconds - 0.01
    refused(some, requested)
    time.now += 0.01
    some.admit(requested, 0)


def test_what_is_larger_than_the_minute_never_comes(time: Time) -> None:
    large = refused(account(time), 894, 8_000)
    assert large.message == (
        "Request too large for model `m` in organization `org_demo` service tier `on_demand` "
        "on tokens per minute (TPM): Limit 8000, Requested 8894, "
        f"please reduce your message size and try again. {MORE}"
    )
    assert (large.status, large.unit, large.retry_after) == (413, "tokens", None)


def test_a_refused_request_is_charged_nothing(time: Time) -> None:
    minute = account(time)
    minute.admit(8_000, 0)
    for _ in range(40):
        refused(minute, 100)
    time.now += 60
    assert minute.headers["x-ratelimit-remaining-tokens"] == "8000"
    minute.admit(8_000, 0)  # and the minute's requests are not used up


def test_the_longest_wait_is_told(time: Time) -> None:
    day = account(time, Limits(8_000, 30, 1_000, 9_000))
    day.admit(8_000, 0)
    early = refused(day, 2_000)
    assert "(TPD): Limit 9000, Used 8000, Requested 2000" in early.message
    assert early.retry_after == 9_600


def test_the_maximum_is_reserved_and_given_back(time: Time) -> None:
    minute = account(time)
    charge = minute.admit(1_000, 6_000)
    assert minute.headers["x-ratelimit-remaining-tokens"] == "1000"
    refused(minute, 1_001)
    charge.settle(1_500)
    assert minute.headers["x-ratelimit-remaining-tokens"] == "6500"


def test_the_prompt_alone_can_be_charged_at_the_start(time: Time) -> None:
    minute = account(time, reserves=False)
    refused(minute, 1_000, 7_001)
    charge = minute.admit(1_000, 6_000)
    assert minute.headers["x-ratelimit-remaining-tokens"] == "7000"
    charge.settle(1_500)
    assert minute.headers["x-ratelimit-remaining-tokens"] == "6500"


def test_an_answer_can_use_more_than_the_limit(time: Time) -> None:
    minute = account(time, Limits(5_000, 30))
    minute.admit(100, 0).settle(5_747)
    assert "Limit 5000, Used 5747, Requested 1." in refused(minute, 1).message
    assert minute.headers["x-ratelimit-remaining-tokens"] == "0"


def test_limits_change_and_what_is_used_stays(time: Time) -> None:
    plan = Plan(FREE, time)
    old = plan.account("m", "")
    old.admit(6_000, 0)
    plan.change(Limits(4_000, 15, 500, 100_000))
    assert "Limit 4000, Used 6000, Requested 1." in refused(old, 1).message
    time.now += 30
    assert old.headers["x-ratelimit-remaining-tokens"] == "0"
    time.now += 30
    assert old.headers["x-ratelimit-remaining-tokens"] == "2000"
    assert plan.account("another", "").headers["x-ratelimit-limit-tokens"] == "4000"


def test_models_and_keys_have_limits_of_their_own(time: Time) -> None:
    plan = Plan(FREE, time)
    plan.account("m", "one").admit(8_000, 0)
    refused(plan.account("m", "one"), 1)
    plan.account("m", "another").admit(8_000, 0)
    plan.account("n", "one").admit(8_000, 0)


@pytest.mark.parametrize("plan", ["", "gratis", "8000", "8000,0", "1,2,3,4,5"])
def test_a_plan_is_a_name_or_numbers(plan: str) -> None:
    with pytest.raises(ValueError):
        Limits.of(plan)


# The server


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["error"])


def post(server: Demo, maximum: int = 0, *, key: str = "", prompt: str = "A question") -> Response:
    parts = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    body: dict[str, Any] = {"model": "demo/long", "stream": True}
    body["messages"] = [{"role": "user", "content": prompt}]
    if maximum:
        body["max_completion_tokens"] = maximum
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    connection.request("POST", f"{parts.path}/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    said = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, said, response.read().decode())


def ask(server: Demo, model: str, maximum: int) -> Answer:
    """An answer of the client alone, which asks once."""
    body = {"model": model, "stream": True, "max_completion_tokens": maximum}
    body["messages"] = [{"role": "user", "content": "A question"}]
    return Answer(Client(max_retries=0).stream(Endpoint(server.base_url), body)).start()


@pytest.fixture(scope="module")
def planned() -> Iterator[Demo]:
    with running_demo(100_000, "--plan", "free") as server:
        yield server


def test_a_response_says_what_is_left(planned: Demo) -> None:
    got = post(planned, 500, key="headers")
    assert (got.status, got.headers["x-ratelimit-remaining-tokens"]) == (200, "7497")
    assert got.headers["x-ratelimit-reset-tokens"] == "3.7725s"
    seen = planned.until("done")
    assert (seen["status"], seen["requested"], seen["charged"]) == (200, 503, 503)
    assert seen["admitted_at"] <= seen["began_at"]


def test_a_refusal_is_like_groqs(planned: Demo) -> None:
    large = post(planned, 9_000, key="refusals")
    assert (large.status, large.error["type"]) == (413, "tokens")
    assert large.error["code"] == "rate_limit_exceeded"
    assert "retry-after" not in large.headers
    post(planned, 7_000, key="refusals")
    early = post(planned, 4_000, key="refusals")
    assert (early.status, early.error["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(early.headers["retry-after"]) <= 23
    for got in (large, early):
        assert got.headers["x-ratelimit-limit-tokens"] == "8000"
        assert got.headers["x-ratelimit-limit-requests"] == "1000"
    assert planned.seen()[-1]["status"] == 429


def test_it_is_read_as_groqs(planned: Demo) -> None:
    large = ask(planned, "demo/long", 9_000)
    assert large.wait(60)
    assert isinstance(large.error, RequestTooLargeError)
    assert "Limit 8000, Requested 9003" in str(large.error)
    assert ask(planned, "demo/long", 7_900).wait(60)
    early = ask(planned, "demo/long", 7_900)
    assert early.wait(60)
    assert isinstance(early.error, RateLimitError)
    assert 1 <= (early.error.retry_after or 0) <= 60


def test_the_template_of_a_model_counts(planned: Demo) -> None:
    answer = ask(planned, "openai/gpt-oss-20b", 5)
    assert answer.wait(60)
    assert answer.usage
    assert answer.usage.prompt_tokens == 3 + 70
    assert planned.until("done")["requested"] == 3 + 70 + 5


def test_an_answer_that_is_closed_gives_back_what_it_reserved(planned: Demo) -> None:
    answer = ask(planned, "demo/slow", 7_500)
    next(iter(answer))
    answer.stop()
    seen = planned.until("closed")
    assert seen["charged"] == 3 + seen["tokens"] < 500
    again = ask(planned, "demo/slow", 7_500)
    assert next(iter(again))
    again.stop()


def test_limits_change_while_it_runs() -> None:
    with running_demo(100_000, "--plan", "8000,30", "--charge-prompt-only") as server:
        assert post(server, 3_000).headers["x-ratelimit-remaining-tokens"] == "7997"
        server.change_plan("2000,15")
        assert "Limit 2000, Requested 3003," in post(server, 3_000).error["message"]


def test_without_a_plan_there_are_no_such_limits(demo: Demo) -> None:
    got = post(demo, 50)
    assert (got.status, got.headers["x-ratelimit-limit-requests"]) == (200, "14400")
    assert "x-ratelimit-limit-tokens" not in got.headers
    assert not demo.until("done").keys() & {"status", "requested", "charged", "admitted_at"}
