"""Answers under an account's limits: sent when their minute has room, or refused unsent."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from groq_magic import Conversation, Message, RateLimitError, TooLongError, Turn, stream
from groq_magic.answer import Answer, running
from groq_magic.display.status import line_of
from groq_magic.limits.ledger import Ledger, account_of
from groq_magic.limits.minute import Minute, Place
from groq_magic.limits.planner import Share, tokens_a_minute
from groq_magic.runtime import runtime
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.rate_limits import RateLimits
from groq_magic.wire.tokens import Calibration
from tests.support.demo import Demo, running_demo
from tests.support.peer import DONE, Script, answers, delta, finish, peer, refusal
from tests.support.waiting import until

DEFAULT = {"model": "openai/gpt-oss-120b"}
PROMPT = "Three names for a cat"
MOST = 3_000  # of a minute of 6,000: no second one fits beside it


@contextmanager
def limited(tokens: int) -> Iterator[Demo]:
    """A server that is quick and allows so many tokens a minute, which it has said."""
    with running_demo(2_000, "--plan", f"{tokens},600") as demo:
        stream(PROMPT, base_url=demo.base_url).result(30)
        until(lambda: tokens_a_minute(Endpoint(demo.base_url), DEFAULT))
        yield demo


@pytest.fixture
def small() -> Iterator[Demo]:
    with limited(6_000) as demo:
        yield demo


@pytest.fixture
def large() -> Iterator[Demo]:
    with limited(200_000) as demo:
        yield demo


def refused(demo: Demo) -> list[dict[str, Any]]:
    return [seen for seen in demo.seen() if seen["status"] != 200]


def test_answers_at_once_share_the_minute_in_the_order_asked(small: Demo) -> None:
    answers = [
        stream(f"{PROMPT} {n}", max_completion_tokens=MOST, base_url=small.base_url)
        for n in range(8)
    ]
    assert all("cat" in answer.result(60) for answer in answers)
    asked = [seen["body"]["messages"][0]["content"] for seen in small.seen()[1:]]
    assert asked == [f"{PROMPT} {n}" for n in range(8)]
    assert refused(small) == []


ASK = """
import sys
from groq_magic import stream
answers = [stream(f"Three names for a cat {n}", max_completion_tokens=3000, base_url=sys.argv[1])
    for n in range(4)]
print(*(answer.result(60)[:5] for answer in answers))
"""


def test_processes_share_the_minute(small: Demo) -> None:
    command = [sys.executable, "-c", ASK, small.base_url]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["Three Three Three Three\n"] * 2
    assert len(small.seen()) == 9
    assert refused(small) == []


def waiting(small: Demo) -> tuple[Answer, Answer]:
    """An answer that has the minute, and one that waits for it."""
    first = stream(PROMPT, model="demo/slow", max_completion_tokens=MOST, base_url=small.base_url)
    small.until("streaming")
    second = stream(
        "Later", model="demo/slow", max_completion_tokens=5_000, base_url=small.base_url
    )
    until(lambda: second.state == "waiting")
    return first, second


def test_a_request_that_waits_says_when_it_is_sent(small: Demo) -> None:
    first, second = waiting(small)
    first.stop()
    assert second.waiting is not None
    assert 0 < second.seconds_to_retry <= 60
    assert line_of(second).startswith("sends in ")
    assert "of 6,000 tokens this minute" in line_of(second)
    second.stop()


def test_a_request_that_was_stopped_in_its_wait_does_not_say_that_it_will_be_sent(
    small: Demo,
) -> None:
    first, second = waiting(small)
    second.stop()
    assert line_of(second).startswith("stopped after ")
    first.stop()


def test_a_wait_ends_also_where_no_limit_is_known() -> None:
    """The second waits for the first response, which says none."""
    with running_demo(100) as demo:
        answers = [stream(PROMPT, model="demo/slow", base_url=demo.base_url) for _ in range(2)]
        until(lambda: all(answer.text for answer in answers))
        assert [answer.waiting for answer in answers] == [None, None]
        for answer in answers:
            answer.stop()


def test_a_minute_whose_requests_are_used_up_says_so() -> None:
    with running_demo(2_000, "--plan", "8000,2") as demo:
        ask = partial(stream, PROMPT, base_url=demo.base_url)
        ask().result(30)
        last = [ask(), ask(), ask()][-1]
        until(lambda: "the minute's 2 requests are used up" in line_of(last))
        for answer in reversed(running()):
            answer.stop()


def test_a_stop_ends_the_wait_and_lets_the_next_go(small: Demo) -> None:
    first, second = waiting(small)
    third = stream("Names", model="demo/slow", max_completion_tokens=2_000, base_url=small.base_url)
    until(lambda: third.state == "waiting")
    before = len(small.seen())
    second.stop()
    first.stop()
    assert "cat" not in second.result(30)
    until(lambda: third.state == "streaming")
    third.stop()
    assert len(small.seen()) == before + 1


def test_many_small_requests_share_a_middle_sized_minute() -> None:
    """Free compound models have 70,000 tokens a minute; a *Run All* can use them up."""
    with running_demo(2_000, "--plan", "70000,1000") as demo:
        ask = partial(stream, PROMPT, model="demo/slow", base_url=demo.base_url)
        ask(max_completion_tokens=1).result(30)
        answers = [ask(max_completion_tokens=1_200) for _ in range(65)]
        until(lambda: {"waiting"} == {answer.state for answer in answers[-10:]})
        for answer in reversed(answers):
            answer.stop()
        assert refused(demo) == []


def test_small_requests_notice_a_smaller_plan(large: Demo) -> None:
    large.change_plan("8000,1000")
    stream(PROMPT, base_url=large.base_url).result(30)
    until(lambda: tokens_a_minute(Endpoint(large.base_url), DEFAULT) == 8_000)


def test_a_small_request_goes_behind_those_that_wait(large: Demo) -> None:
    ask = partial(stream, PROMPT, model="demo/slow", base_url=large.base_url)
    first = ask(max_completion_tokens=150_000)
    large.until("streaming")
    second = ask(max_completion_tokens=100_000)
    until(lambda: second.state == "waiting")
    small = ask()
    until(lambda: small.state == "waiting")
    for answer in (small, second, first):
        answer.stop()


def test_small_requests_confirm_the_limits(large: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a large one would forget them, ten minutes after the last that was planned."""
    for module in ("ledger", "planner"):
        monkeypatch.setattr(f"groq_magic.limits.{module}.FORGOTTEN", 0.5)
    account = account_of(Endpoint(large.base_url), DEFAULT)
    began = time.time()
    for _ in range(8):
        stream(PROMPT, base_url=large.base_url).result(30)
        time.sleep(0.1)
    until(lambda: runtime.own(Ledger).read(account).heard > began + 0.5)


def test_a_service_tier_has_limits_of_its_own() -> None:
    accounts = [
        account_of(Endpoint("http://127.0.0.1:9/v1"), {"model": "m", **tier})
        for tier in ({}, {"service_tier": "on_demand"}, {"service_tier": "flex"})
    ]
    assert accounts[0] == accounts[1] != accounts[2]


def test_what_fits_into_no_minute_is_not_sent(small: Demo) -> None:
    before = len(small.seen())
    with pytest.raises(TooLongError, match=r"minute\. Shorten the prompt by about 2,\d+ tokens\."):
        stream("word " * 9_000, base_url=small.base_url)
    with pytest.raises(
        TooLongError, match=r"7,000 for --max-tokens\. .* --max-tokens 5\d\d\d, or"
    ) as error:
        stream(PROMPT, max_completion_tokens=7_000, base_url=small.base_url)
    assert error.value.limit == 6_000
    assert len(small.seen()) == before


def test_a_chat_keeps_the_turns_that_fit_into_the_minute(small: Demo) -> None:
    turns = [Turn(Message("user", f"{n} " + "word " * 900), text="Yes.") for n in range(8)]
    answer = stream(PROMPT, chat=Conversation(turns=turns), base_url=small.base_url)
    answer.result(60)
    assert "left out, since the chat is too long for the account's 6,000 tokens a" in answer.note
    sent = small.seen()[-1]["body"]["messages"]
    assert sent[-1]["content"] == PROMPT
    assert 1 < len(sent) < 15
    assert refused(small) == []


def test_the_turn_that_fits_into_no_minute_fails_unsent(small: Demo) -> None:
    before = len(small.seen())
    answer = stream("word " * 9_000, chat=Conversation(), base_url=small.base_url)
    assert answer.wait(30)
    assert type(answer.error) is TooLongError
    assert len(small.seen()) == before


def test_a_value_has_a_share_of_what_the_rest_of_the_prompt_leaves(small: Demo) -> None:
    share = Share.of(Endpoint(small.base_url), {"max_completion_tokens": 1_000}, "What is it?", 2)
    assert share is not None
    assert 2_000 < share.tokens < 2_500
    assert share.excess("word " * 100) < 1 < share.excess("word " * 5_000)
    assert Share.of(Endpoint("http://127.0.0.1:9/v1"), {}, "", 1) is None


@pytest.mark.parametrize(
    ("prompt", "most", "maximum", "step"),
    [
        (7_000, 7_400, 4_000, "Ask with --max-tokens 600, or shorten the prompt."),
        (7_900, 8_300, 4_000, "Shorten the prompt, or lower --max-tokens, by 3,900 tokens."),
        (9_000, 9_900, 4_000, "Shorten the prompt, or lower --max-tokens, by 5,000 tokens."),
        (9_000, 9_900, 0, "Shorten the prompt by about 1,000 tokens."),
    ],
)
def test_what_does_not_fit_names_a_step_that_helps(
    prompt: int, most: int, maximum: int, step: str
) -> None:
    said = str(TooLongError("m", prompt, most, maximum, 8_000))
    assert f"The account's limit for m is 8,000 a minute. {step} If your plan" in said


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_chat_leaves_room_for_the_answer(small: Demo, name: str) -> None:
    turns = [Turn(Message("user", f"{n} " + "word " * 900), text="Yes.") for n in range(4)]
    chat = Conversation(turns=turns)
    options: dict[str, Any] = {name: 3_000}
    answer = stream(PROMPT, chat=chat, base_url=small.base_url, **options)
    answer.result(90)
    assert "left out, since the chat is too long" in answer.note


def test_what_tools_read_teaches_nothing_about_prompts() -> None:
    """The server counts it as the prompt's."""
    body = delta("Hi") + finish(usage={"prompt_tokens": 190, "completion_tokens": 1}) + DONE
    with peer(lambda connection: connection.respond(body)) as server:
        account = account_of(Endpoint(server.base_url), DEFAULT)
        ask = partial(stream, "word " * 40, base_url=server.base_url)
        ask(tools=[{"type": "code_interpreter"}]).result(30)
        assert runtime.own(Calibration).bounds(account, 110).likely == 110
        ask().result(30)
        assert runtime.own(Calibration).bounds(account, 110).likely > 110


def test_limits_that_are_halved_are_followed(small: Demo) -> None:
    small.change_plan("3000,600")
    stream(PROMPT, base_url=small.base_url).result(30)
    until(lambda: tokens_a_minute(Endpoint(small.base_url), DEFAULT) == 3_000)
    with pytest.raises(TooLongError, match="limit for openai/gpt-oss-120b is 3,000 a minute"):
        stream(PROMPT, max_completion_tokens=MOST, base_url=small.base_url)


REACHED = (
    "Rate limit reached for model `m` in organization `o` on tokens per minute (TPM): "
    "Limit 600000, Used 600000, Requested 2000. Please try again in 200ms."
)


TOO_LARGE = (
    "Request too large for model `m` in organization `o` on tokens per minute (TPM): "
    "Limit 8000, Requested 8894, please reduce your message size and try again."
)


def refusing(status: str, message: str) -> Script:
    return refusal(status, json.dumps({"error": {"message": message}}).encode())


def test_a_refusal_teaches_the_limit() -> None:
    """The first request of an account is sent, whatever its size."""
    with peer(refusing("413 Too Large", TOO_LARGE)) as server:
        first = stream("word " * 9_000, base_url=server.base_url)
        assert first.wait(30)
        until(lambda: tokens_a_minute(Endpoint(server.base_url), DEFAULT) == 8_000)
        with pytest.raises(TooLongError):
            stream("word " * 12_000, base_url=server.base_url)
        assert len(server.connections) == 1
    assert str(first.error).endswith(
        "Shorten the prompt, or lower --max-tokens, by 894 tokens or more."
    )


early = refusing("429 Slow", REACHED)


def test_a_minute_that_another_client_uses_up_is_waited_for() -> None:
    """More often than requests are sent again otherwise."""
    with peer(*[early] * 5, answers("Hi")) as server:
        assert stream("Hello", base_url=server.base_url).result(30) == "Hi"
        assert len(server.connections) == 6


def test_a_minute_that_is_used_up_for_longer_is_waited_for() -> None:
    """The client itself waits for a minute at most."""
    long = REACHED.replace("200ms", "1m10s").replace("Used 600000", "Used 598500")
    with peer(refusing("429 Slow", long), answers("Hi")) as server:
        answer = stream("Hello", base_url=server.base_url)
        assert answer.result(30) == "Hi"


def test_without_retries_a_minute_that_is_used_up_is_an_error() -> None:
    with peer(early) as server:
        answer = stream("Hello", base_url=server.base_url, max_retries=0)
        assert answer.wait(30)
    assert isinstance(answer.error, RateLimitError)


def test_a_server_that_refuses_for_ever_is_not_asked_for_ever() -> None:
    with peer(early) as server:
        answer = stream("Hello", base_url=server.base_url)
        assert answer.wait(60)
        assert 20 < len(server.connections) < 30
    assert isinstance(answer.error, RateLimitError)


def test_another_client_beside(small: Demo) -> None:
    done = threading.Event()

    def use_up() -> None:
        body = {
            "model": "m",
            "stream": True,
            "messages": [{"role": "user", "content": "word " * 900}],
        }
        while not done.is_set():
            httpx.post(f"{small.base_url}/chat/completions", json={**body, "max_tokens": 500})

    other = threading.Thread(target=use_up)
    other.start()
    options: dict[str, Any] = {"model": "m", "base_url": small.base_url}
    answers = [stream(f"{PROMPT} {n}", **options, max_completion_tokens=400) for n in range(5)]
    try:
        assert all("cat" in answer.result(90) for answer in answers)
    finally:
        done.set()
        other.join()


def test_a_server_without_limits_needs_no_plan(demo: Demo) -> None:
    stream(PROMPT).result(30)
    answer = stream("word " * 50_000)
    assert answer.wait(60)
    assert answer.state == "done"
    assert answer.planned is None


def test_the_file_holds_no_key_no_server_and_no_prompt() -> None:
    key, endpoint = (
        "gsk_0123456789abcdef",
        Endpoint("https://example.org/v1", "gsk_0123456789abcdef"),
    )
    Ledger().change(
        account_of(endpoint, {"model": "m/x"}), lambda minute, now: minute.turn(PLACE, now)
    )
    path = Path(os.environ["XDG_CACHE_HOME"], "groq_magic", "limits.db")
    data = path.read_bytes()
    for secret in (key, "example.org", "m/x"):
        assert secret.encode() not in data
    assert path.parent.stat().st_mode & 0o77 == 0


PLACE = Place("a", 0.0, 100, 0)


def note(minute: Minute, _now: float) -> float:
    minute.answer += 1
    return minute.answer


@pytest.mark.parametrize(
    ("fault", "counted"),
    [("no folder", [1, 2, 3]), ("no database", [1, 1, 2]), ("no minute", [1, 2, 3])],
)
def test_a_file_that_cannot_be_used(
    fault: str, counted: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process goes on by itself; a damaged file is made anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if fault == "no folder":
        (tmp_path / "groq_magic").write_text("a file")
    elif fault == "no database":
        (tmp_path / "groq_magic").mkdir()
        (tmp_path / "groq_magic" / "limits.db").write_bytes(b"no database" * 1_000)
    else:
        Ledger().change("a", lambda minute, _: vars(minute).update(of_a_later_version=1))
    ledger = Ledger()
    assert ledger.read("a").answer == 1_000
    assert [ledger.change("a", note) - 1_000 for _ in range(3)] == counted


def test_a_file_that_is_locked_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other user may be suspended; then the process plans for itself for a while."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("groq_magic.limits.ledger._BUSY_SECONDS", 0.05)
    Ledger().change("a", note)
    ledger = Ledger()
    with closing(sqlite3.connect(tmp_path / "groq_magic" / "limits.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert ledger.change("a", note) == 1_001
    monkeypatch.setattr("groq_magic.limits.ledger._connected", None)
    assert ledger.read("a").answer == 1_001
    assert ledger.change("a", note) == 1_002
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Ledger().change("a", note) == 1_002


def test_a_process_by_itself_forgets_limits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "groq_magic").write_text("a file")
    ledger = Ledger()
    long_ago = time.time() - 700
    ledger.change("a", lambda minute, _: minute.respond("b", RateLimits(**TOKENS), long_ago))
    assert ledger.change("a", lambda minute, _: minute.limit) is None


TOKENS = {"limit_tokens": 8_000, "remaining_tokens": 8_000}


def test_a_change_is_made_once_where_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ledger = Ledger()
    with monkeypatch.context() as no_threads:
        no_threads.setattr(threading.Thread, "start", refuse)
        assert ledger.submit("once", note).result() == 1_001
    assert ledger.submit("once", note).result(30) == 1_002


def test_a_python_without_sqlite_asks_nevertheless(demo: Demo) -> None:
    code = "import sys; sys.modules['_sqlite3'] = None; from groq_magic import stream; "
    code += "print([stream('cat names').result(30)[:5] for _ in range(2)])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "['Three', 'Three']\n", ran.stderr


def test_a_header_without_a_limit_refuses_nothing() -> None:
    nothing = {"x_ratelimit_limit_tokens": "0", "x_ratelimit_remaining_tokens": "0"}
    body = delta("Hi") + finish() + DONE
    with peer(lambda connection: connection.respond(body, **nothing)) as server:
        assert [stream("Hello", base_url=server.base_url).result(30) for _ in range(3)] == [
            "Hi"
        ] * 3
