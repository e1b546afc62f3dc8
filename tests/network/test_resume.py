"""The rest of an answer that was stopped or cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from groq_magic import Answer, Conversation, InputError, stream
from groq_magic.display.static import static_bundle
from groq_magic.resuming import GO_ON
from tests.support.demo import Demo
from tests.support.peer import DONE, Connection, answers, begins_then, delta, finish, peer
from tests.support.waiting import until

BEFORE = "Here it is:\n\n```python\ndef f():\n    retu"
REST = "rn 1\n```\n\nThat is all.\n"


def says(*texts: str, end: bytes = finish() + DONE) -> Callable[[Connection], None]:
    def play(connection: Connection) -> None:
        connection.respond(b"".join(map(delta, texts)) + end)

    return play


def waits(connection: Connection) -> None:
    connection.begin()
    connection.chunk(delta(BEFORE))
    connection.until_closed()


def is_cut(connection: Connection) -> None:
    begins_then(lambda connection: connection.socket.close())(connection)


def stopped(base_url: str, **options: Any) -> Answer:
    answer = stream("Some code", base_url=base_url, **options)
    until(lambda: answer.text == BEFORE)
    answer.stop()
    return answer


def test_a_model_writes_on_inside_the_open_block() -> None:
    with peer(waits, answers("rn 1\n", "```\n\nThat is all.\n")) as server:
        before = stopped(server.base_url, model="llama-3.3-70b", system="Be brief.")
        answer = before.resume()
        assert answer.deltas()[:1] == [BEFORE]  # at once
        assert answer.result(30) == BEFORE + REST
        first, second = (connection.request.json for connection in server.connections)
    assert second.pop("messages") == [
        *first.pop("messages"),
        {"role": "assistant", "content": BEFORE},
    ]
    assert second == first
    html = static_bundle(answer)[0]["text/html"]
    assert html.count("<pre") == 1
    assert "<p>That is all.</p>" in html
    assert before.text == BEFORE


@pytest.mark.parametrize("repeated", ["", "    retu", "def f():\n    retu", BEFORE])
def test_a_model_that_thinks_is_asked_to_go_on(repeated: str) -> None:
    with peer(waits, says(*(repeated + REST))) as server:
        answer = stopped(server.base_url).resume()
        assert answer.result(30) == BEFORE + REST
        *_, said, asked = server.connection(1).request.json["messages"]
    assert said == {"role": "assistant", "content": BEFORE}
    assert asked == {"role": "user", "content": GO_ON}


def test_reasoning_goes_on_below_and_tokens_are_those_of_the_request() -> None:
    thought = b'data: {"choices": [{"index": 0, "delta": {"reasoning": "Hm."}}]}\n\n'
    length = finish("length") + DONE
    with peer(
        lambda connection: connection.respond(thought + delta("One, two, ") + length),
        lambda connection: connection.respond(thought + delta("three.") + finish() + DONE),
    ) as server:
        cut = stream("Count", model="qwen/qwen3.8-27b", base_url=server.base_url)
        assert cut.wait(30)
        answer = cut.resume()
        assert answer.result(30) == "One, two, three."
        assert server.connection(1).request.json["messages"][-1]["content"] == GO_ON
    assert answer.reasoning == "Hm.\n\nHm."
    assert answer.thinking_seconds is not None
    assert answer.tokens == 2


def test_tools_that_ran_stay() -> None:
    def ran(query: str) -> bytes:
        return (
            b'data: {"choices": [{"index": 0, "delta": {"executed_tools": [{"index": 0, "type": '
            b'"search", "arguments": "{\\"query\\": \\"%s\\"}"}]}}]}\n\n' % query.encode()
        )

    length = finish("length") + DONE
    with peer(
        lambda connection: connection.respond(ran("rain") + delta("It ") + length),
        lambda connection: connection.respond(ran("sun") + delta("shines.") + finish() + DONE),
    ) as server:
        cut = stream("The weather", model="groq/compound", base_url=server.base_url)
        assert cut.wait(30)
        answer = cut.resume()
        assert answer.result(30) == "It shines."
    assert ["rain" in str(tool) for tool in answer.executed_tools.values()] == [True, False]


def test_a_connection_that_broke_and_a_second_stop() -> None:
    with peer(is_cut, waits, answers(", four")) as server:
        broken = stream("Count", model="m", base_url=server.base_url)
        assert broken.wait(30)
        assert broken.state == "failed"
        second = broken.resume()
        until(lambda: second.text == "one two" + BEFORE)
        second.stop()
        assert second.resume().result(30) == "one two" + BEFORE + ", four"
        assert server.connection(2).request.json["messages"][-1]["content"] == "one two" + BEFORE


def test_with_the_demo_it_is_the_whole_answer(demo: Demo) -> None:
    for model in ("openai/gpt-oss-120b", "llama-3.3-70b"):
        whole = stream("Three names for a cat", model=model).result(30)
        cut = stream("Three names for a cat", model=model, max_completion_tokens=40)
        for _ in range(20):
            cut.wait(30)
            if cut.finish_reason == "stop":
                break
            cut = cut.resume()
        assert cut.text == whole


def test_what_cannot_be_resumed_says_why() -> None:
    refuses = begins_then(lambda connection: connection.until_closed())
    with peer(refuses, answers("All.")) as server:
        runs = stream("Hello", base_url=server.base_url)
        until(lambda: runs.text)
        with pytest.raises(InputError, match=r"still runs\. Stop it first"):
            runs.resume()
        runs.stop()
        for chat in (None, Conversation()):
            empty = stream("Hello", base_url=server.base_url, chat=chat)
            empty.stop()
            with pytest.raises(InputError, match=r"nothing of it came\. Ask again\."):
                empty.resume()
        done = stream("Hello", base_url=server.base_url)
        assert done.wait(30)
        with pytest.raises(InputError, match=r"is complete.* Ask again\."):
            done.resume()


def test_in_a_chat_the_turn_goes_on() -> None:
    chat = Conversation()
    with peer(answers("Hi."), waits, answers(REST), answers("Bye.")) as server:
        stream("Hello", chat=chat, model="m", base_url=server.base_url).result(30)
        ended = stopped(server.base_url, chat=chat, model="m")
        answer = ended.resume()
        assert answer.result(30) == BEFORE + REST
        assert [turn.text for turn in chat.turns] == ["Hi.", BEFORE + REST]
        roles = [m["role"] for m in server.connection(2).request.json["messages"]]
        assert roles == ["user", "assistant", "user", "assistant"]
        stream("And now?", chat=chat, model="m", base_url=server.base_url).result(30)
        assert server.connection(3).request.json["messages"][3]["content"] == BEFORE + REST
        with pytest.raises(InputError, match=r"does not have this answer any longer\. Ask again\."):
            ended.resume()
