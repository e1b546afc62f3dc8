"""What answers may cost, and the ceilings that are not passed without a question."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from groq_magic import Answer, Conversation, InputError, MissingKeyError, TooLongError, stream
from groq_magic.keeping import when_written
from groq_magic.limits.cost import _Expenses, ceiling, spent
from groq_magic.limits.planner import tokens_a_minute
from groq_magic.runtime import runtime
from groq_magic.wire import DEFAULT_MODEL
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.tokens import estimate
from tests.support.demo import Demo, running_demo
from tests.support.peer import DONE, Connection, Peer, event, finish, peer, refusal
from tests.support.waiting import until

# A token of an answer costs a tenth of a cent, and one of a prompt nothing, if not said otherwise.
PRICES = {"prompt": "0", "completion": "0.001"}
MODELS = [
    {"id": "m", "max_completion_tokens": 100, "pricing": PRICES},
    {"id": "reads", "max_completion_tokens": 100, "pricing": {**PRICES, "prompt": "0.0001"}},
    {"id": "no-price", "max_completion_tokens": 100},
    {"id": "no-end", "pricing": PRICES},
]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def says(model: str, text: str) -> bytes:
    return event({"model": model, "choices": [{"index": 0, "delta": {"content": text}}]})


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    """Nothing has been spent, and nothing is added later."""
    runtime.reset()
    yield
    until(lambda: not any(expense.is_running for expense in list(runtime.own(_Expenses).running)))


class Server:
    """Answers are "one two" and 20 tokens by its count; to a prompt with "wait" they wait."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.peer: Peer
        self.is_up = True

    def play(self, connection: Connection) -> None:
        if connection.request.line.startswith("GET"):
            models = MODELS if self.is_up else []
            connection.respond(json.dumps({"data": models}).encode())
            return
        body = connection.request.json
        connection.send(HEAD + says(body["model"], "one ") + says(body["model"], "two"))
        if "wait" in body["messages"][-1]["content"]:
            assert self.may_end.wait(30)
        usage = {"prompt_tokens": estimate(body), "completion_tokens": 20}
        connection.send(finish(usage=usage) + DONE)

    def ask(self, prompt: str = "go", **options: Any) -> Answer:
        return stream(prompt, **{"model": "m", "base_url": self.peer.base_url, **options})

    @property
    def asked(self) -> list[str]:
        """The last messages of all requests."""
        requests = [connection.request for connection in self.peer.connections]
        posts = [request for request in requests if request.line.startswith("POST")]
        return [request.json["messages"][-1]["content"] for request in posts]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with peer(server.play, models=True) as server.peer:
        yield server
        server.may_end.set()


class User:
    """Answers questions, all alike."""

    def __init__(self, *, agrees: bool) -> None:
        self.agrees = agrees
        self.questions: list[str] = []

    def __call__(self, question: str) -> bool:
        self.questions.append(question)
        return self.agrees


# The ceiling of one answer, in code


def test_a_request_that_may_cost_more_is_not_sent(server: Server) -> None:
    said = r"^This answer may cost up to \$0.10; --max-cost is \$0.099. Nothing was sent. "
    with pytest.raises(
        InputError, match=said + "Raise --max-cost, or shorten the answer with --max-tokens."
    ):
        server.ask(max_cost=0.099)
    assert server.asked == []
    assert server.ask(max_cost=0.1).result(30) == "one two"
    assert server.ask(max_cost=0.01, max_completion_tokens=10).result(30) == "one two"
    with pytest.raises(InputError, match=r"up to \$0.011; --max-cost is \$0.010"):
        server.ask(max_cost=0.01, max_tokens=11)


def test_the_prompt_counts_with_the_most_tokens_that_it_may_have(server: Server) -> None:
    options: dict[str, Any] = {"model": "reads", "max_completion_tokens": 1, "max_cost": 0.04}
    server.ask("short", **options).result(30)
    with pytest.raises(InputError, match=r"up to \$0.0[5-8]\d; --max-cost is \$0.040"):
        server.ask("one more word " * 150, **options)


@pytest.mark.parametrize("model", ["no-price", "no-end", "not-listed"])
def test_what_has_no_price_is_not_sent_either(server: Server, model: str) -> None:
    step = r"Choose a model with a price \(%groq models\), or set no --max-cost.$"
    with pytest.raises(InputError, match=f"^The price of {model} is not known; --max-cost.*{step}"):
        server.ask(model=model, max_cost=5)
    assert server.asked == []


def test_prices_that_could_not_be_read_are_asked_for_again(server: Server) -> None:
    server.is_up = False
    with pytest.raises(InputError, match="The price of m is not known"):
        server.ask(max_cost=1)
    server.is_up = True
    assert server.ask(max_cost=1).result(30) == "one two"


def test_fees_of_tools_are_named(server: Server) -> None:
    with pytest.raises(
        InputError, match=r"up to \$0.10, and its tools may cost extra; --max-cost is"
    ):
        server.ask(tools=[{"type": "browser_search"}], max_cost=0.01)
    with pytest.raises(InputError, match=r"up to \$0.10; --max-cost is"):
        server.ask(tools=[{"type": "function", "function": {"name": "f"}}], max_cost=0.01)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "cheap", True])
def test_what_is_no_amount_is_refused(server: Server, value: Any) -> None:
    with pytest.raises(InputError, match=r"^max_cost must be an amount in USD, such as 0.10, not "):
        server.ask(max_cost=value)
    assert server.peer.connections == []


@pytest.mark.parametrize("chat", [None, Conversation()])
def test_the_rest_of_an_answer_has_the_same_ceiling(
    server: Server, chat: Conversation | None
) -> None:
    def play(connection: Connection) -> None:
        connection.send(HEAD + says("reads", "one more word " * 150))
        connection.until_closed()

    server.ask(model="reads", max_cost=1).result(30)  # now the prices are known
    server.peer._scripts = [play]
    answer = server.ask(model="reads", chat=chat, max_completion_tokens=1, max_cost=0.02)
    until(lambda: answer.text)
    answer.stop()
    with pytest.raises(InputError, match=r"up to \$0.0[5-8]\d; --max-cost is \$0.020"):
        answer.resume()
    assert server.asked == ["go", "go"]


# The budget


def test_the_budget_is_asked_about_with_all_its_numbers(server: Server) -> None:
    server.ask().result(30)  # 20 tokens
    running = server.ask("wait", max_completion_tokens=30)
    user = User(agrees=False)
    with ceiling(0.14, None, user):
        with pytest.raises(
            InputError, match=r"Raise GroqMagic.budget, or shorten the .* --max-tokens.$"
        ):
            server.ask()
        server.ask("small", max_completion_tokens=90).result(30)
    said = "Spent: $0.020 of $0.14, and up to $0.030 by running answers."
    assert user.questions == [f"This answer may cost up to $0.10. {said} Send it? [y/N] "]
    until(lambda: sorted(server.asked) == ["go", "small", "wait"])
    running.stop()


def test_a_yes_sends_this_one_request(server: Server) -> None:
    user = User(agrees=True)
    with ceiling(0.05, 0.01, user):
        assert server.ask().result(30) == "one two"
        assert server.ask().result(30) == "one two"
    assert len(user.questions) == 2
    assert user.questions[1].startswith(
        "This answer may cost up to $0.10; --max-cost is $0.010. Spent: $0.020 of $0.05"
    )


def test_where_both_ceilings_are_passed_both_are_named(server: Server) -> None:
    said = "Raise --max-cost and GroqMagic.budget, or shorten the answer with --max-tokens."
    with ceiling(0.05, 0.01, User(agrees=False)), pytest.raises(InputError, match=said):
        server.ask()
    assert server.asked == []


def test_a_ceiling_of_the_place_counts_more_than_that_of_the_answer(server: Server) -> None:
    answer = server.ask("wait", max_cost=0.1)
    until(lambda: answer.text == "one two")
    answer.stop()
    user = User(agrees=True)
    with ceiling(None, 0.05, user):
        answer.resume().stop()
    with ceiling(None, None, user):
        answer.resume().stop()
    assert len(user.questions) == 1


def test_what_a_stopped_a_failed_and_a_refused_answer_have_cost(server: Server) -> None:
    stopped = server.ask("wait", model="reads")
    until(lambda: stopped.text == "one two" and spent().running > 0.1)
    stopped.stop()
    until(lambda: spent().bounded == 1)  # two tokens, and the prompt
    assert 0.002 < spent().more < 0.02
    assert spent().running == spent().usd == 0
    before = spent().more
    with peer(refusal("400 Bad Request")) as refusing:
        assert server.ask(base_url=refusing.base_url).wait(30)
    assert spent().more == before
    assert spent()[3:] == (1, 0, 0)


def test_nobody_is_asked_about_what_fits_into_no_minute() -> None:
    user = User(agrees=True)
    with running_demo(2000, "--plan", "1000,30") as demo, ceiling(None, 0.0001, user):
        stream("Hi", base_url=demo.base_url, max_completion_tokens=1).result(30)
        until(lambda: tokens_a_minute(Endpoint(demo.base_url), {"model": DEFAULT_MODEL}))
        with pytest.raises(TooLongError):
            stream("Hi", base_url=demo.base_url, max_completion_tokens=2_000)
    assert user.questions == []


def test_what_waits_for_its_minute_has_cost_nothing() -> None:
    with running_demo(2000, "--plan", "1000,30") as demo:
        ask = partial(stream, "Hi", base_url=demo.base_url, max_completion_tokens=700)
        ask().result(30)
        until(lambda: spent().priced == 1)
        running = ask(model="demo/slow")
        until(lambda: running.text)
        waits = ask(model="demo/slow")
        until(lambda: waits.planned and waits.planned.seconds)
        waits.stop()
        running.stop()
    until(lambda: spent().running == 0)
    assert spent().bounded == 1


def test_an_answer_counts_once_however_often_it_was_sent(server: Server) -> None:
    def serve(connection: Connection) -> None:
        if connection.request.line.startswith("POST") and len(posts(server.peer)) == 1:
            refusal("503 Unavailable", retry_after="0.01")(connection)
        else:
            play(connection)

    play, server.peer._scripts = server.play, [serve]
    assert server.ask().result(30) == "one two"
    assert len(server.asked) == 2
    until(lambda: spent().priced == 1)
    assert spent().usd == pytest.approx(0.02)
    assert spent().most == spent().usd


def posts(server: Peer) -> list[Connection]:
    return [each for each in server.connections if each.request.line.startswith("POST")]


def test_without_a_ceiling_nothing_is_asked_for(server: Server) -> None:
    with ceiling(None, None, User(agrees=False)):
        assert server.ask(model="no-price").result(30) == "one two"
    assert server.peer.connections[0].request.line.startswith("POST")  # not the prices


# Chats


def test_earlier_turns_are_part_of_a_turns_price(server: Server) -> None:
    chat = Conversation()
    options: dict[str, Any] = {"chat": chat, "model": "reads", "max_completion_tokens": 1}
    server.ask("one more word " * 150, **options).result(30)
    with pytest.raises(InputError, match=r"up to \$0.0[5-8]\d; --max-cost is \$0.030"):
        server.ask("and now?", **options, max_cost=0.03)
    assert len(chat.turns) == len(server.asked) == 1
    server.ask("and now?", **options, max_cost=0.1).result(30)


def test_a_turn_counts_the_longest_answer_of_the_turn_that_it_waits_for(server: Server) -> None:
    chat = Conversation()
    options: dict[str, Any] = {"chat": chat, "model": "reads"}
    server.ask("wait", **options, max_completion_tokens=2_000)
    with pytest.raises(InputError, match=r"up to \$0.2\d"):
        server.ask(**options, max_completion_tokens=1, max_cost=0.2)
    second = server.ask(**options, max_completion_tokens=1, max_cost=0.3)
    server.may_end.set()
    assert second.result(30) == "one two"


def test_a_turn_that_would_pass_the_budget_later_fails_and_is_not_sent(server: Server) -> None:
    chat, user = Conversation(), User(agrees=True)
    first = server.ask("wait", chat=chat, max_completion_tokens=25)
    with ceiling(0.13, None, user):
        second = server.ask(chat=chat)
    for _ in range(2):
        server.ask("other").result(30)  # which no ceiling holds
    server.may_end.set()
    first.result(30)
    with pytest.raises(InputError, match=r"Spent: \$0.060 of \$0.13\. Nothing was sent"):
        second.result(30)
    assert user.questions == []
    assert server.asked == ["wait", "other", "other"]
    assert spent().most == pytest.approx(0.06)


def test_a_turn_that_was_agreed_to_is_sent_later(server: Server) -> None:
    chat, user = Conversation(), User(agrees=True)
    server.ask("wait", chat=chat)
    with ceiling(0.01, None, user):
        second = server.ask(chat=chat)
    server.may_end.set()
    assert second.result(30) == "one two"
    assert len(user.questions) == 1


# Kept answers


def test_a_kept_answer_costs_nothing(server: Server, tmp_path: Path) -> None:
    options: dict[str, Any] = {"keep": True, "store": tmp_path / "a.db"}
    server.ask(**options).result(30)
    when_written(lambda: None)
    user = User(agrees=False)
    with ceiling(0.01, 0, user):
        assert server.ask(**options).result(30) == "one two"
        for other in ({"prompt": "other"}, {"keep": "fresh"}):
            with pytest.raises(InputError, match="Nothing was sent"):
                server.ask(**{**options, **other})
    assert len(user.questions) == 2
    assert server.asked == ["go"]
    until(lambda: spent().running == 0)
    assert spent().usd == pytest.approx(0.02)


def test_a_missing_key_is_named_before_a_ceiling(tmp_path: Path) -> None:
    user = User(agrees=True)
    with ceiling(0.01, None, user):
        answer = stream("Hi", keep=True, store=tmp_path / "a.db")
    with pytest.raises(MissingKeyError, match=r"is not kept in .*a.db. No API key"):
        answer.result(30)
    assert user.questions == []
    assert spent().most == 0


def test_the_demo_servers_default_model_may_cost_four_cents(demo: Demo) -> None:
    with pytest.raises(InputError, match=r"up to \$0.039; --max-cost is \$0.030"):
        stream("Three names for a cat", max_cost=0.03)
