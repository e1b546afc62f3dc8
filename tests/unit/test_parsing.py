"""Chunks in: one by one, and as the chunks of a stream."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic import APIError, Usage
from groq_magic.wire.parsing import BodyReader, parse_chunk, unparse_chunk
from groq_magic.wire.protocol import Chunk, Delta, Done, ToolCall
from tests.support.event_streams import ERRORS
from tests.support.peer import event


def parsed(**wire: Any) -> Chunk:
    return parse_chunk(json.dumps(wire))


def choice(**delta: Any) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": None}]


def test_text_and_reasoning() -> None:
    assert parsed(choices=choice(content="a")).delta == Delta(content="a")
    assert parsed(choices=choice(reasoning="b", channel="analysis")).delta == Delta(reasoning="b")
    assert parsed(choices=choice(content=None, role="assistant")).delta == Delta()


def test_usage_from_either_place_and_without_choices() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}, "new": 3}
    expected = Usage(prompt_tokens=1, reasoning_tokens=2)
    assert parsed(choices=[], usage=usage).usage == expected
    assert parsed(choices=[], x_groq={"usage": usage, "id": "req_1"}) == Chunk(
        usage=expected, request_id="req_1"
    )


def test_no_usage_is_anything_but_an_amount() -> None:
    usage = '{"prompt_tokens": "5", "completion_tokens": -1, "total_tokens": 1e400, '
    usage += '"queue_time": NaN, "prompt_time": true, "total_time": [1], "completion_time": 0.5}'
    assert parse_chunk(f'{{"choices": [], "usage": {usage}}}').usage == Usage(completion_time=0.5)


def test_usage_of_each_model_of_a_compound_system() -> None:
    models = [{"model": "a", "usage": {"prompt_tokens": 1}}, {"model": 5, "usage": {}}, "x"]
    x_groq = {"usage": {"prompt_tokens": 3}, "usage_breakdown": {"models": models}}
    usage = parsed(choices=[], x_groq=x_groq).usage
    assert usage == Usage(prompt_tokens=3, breakdown=(("a", Usage(prompt_tokens=1)),))
    assert usage.to_dict() == {
        "prompt_tokens": 3,
        "breakdown": [{"model": "a", "prompt_tokens": 1}],
    }
    for odd in ("none", {"models": 5}, {"models": {"a": 1}}, [1]):
        without = parsed(choices=[], x_groq={**x_groq, "usage_breakdown": odd}).usage
        assert without == Usage(prompt_tokens=3)


def test_usage_knows_what_it_knows() -> None:
    assert Usage(prompt_tokens=0, total_time=0.5).to_dict() == {
        "prompt_tokens": 0,
        "total_time": 0.5,
    }


def test_the_parts_of_a_tool_call_are_read() -> None:
    first = {"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
    (call,) = parsed(choices=choice(tool_calls=[first])).delta.tool_calls
    (more,) = parsed(
        choices=choice(tool_calls=[{"index": 1, "function": {"arguments": "}"}}])
    ).delta.tool_calls
    assert (call, more) == (ToolCall(1, "a", "f", "{"), ToolCall(1, arguments="}"))


def test_unknown_fields_are_ignored() -> None:
    assert parsed(
        hello=1, choices=[{"delta": {"content": "x", "new": {}}, "logprobs": {}}]
    ) == Chunk(Delta("x"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"error": {"message": "Too hot", "code": "c", "type": "t"}}', "Too hot."),
        ('{"error": "boom"}', "boom."),
        ('{"error": {}, "choices": []}', None),
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
    ],
)
def test_errors(data: str, message: str | None) -> None:
    if message is None:
        assert parse_chunk(data) == Chunk()
        return
    with pytest.raises(APIError, match=message):
        parse_chunk(data)


def test_an_error_keeps_its_fields() -> None:
    detail = {"message": "m", "code": "c", "type": "t", "param": "p", "failed_generation": "f"}
    with pytest.raises(APIError) as caught:
        parse_chunk(json.dumps({"error": detail}))
    error = caught.value
    assert detail == {name: getattr(error, name) for name in detail}


@pytest.mark.parametrize(
    "delta",
    [
        {"executed_tools": 5},
        {"tool_calls": [{"index": [1]}]},
        {"tool_calls": [{"function": {"arguments": {"a": 1}}}]},
        {"tool_calls": [{"function": "f"}]},
        {"reasoning_content": 5},
    ],
)
def test_a_delta_of_another_form(delta: dict[str, Any]) -> None:
    with pytest.raises(APIError, match="a chunk of another form"):
        parsed(choices=choice(**delta))


def test_tools_of_an_answer_that_was_not_streamed_are_numbered() -> None:
    message = {"content": "a", "executed_tools": [{"type": "search"}, 5, {"type": "python"}]}
    chunk = parse_chunk(json.dumps({"choices": [{"index": 0, "message": message}]}))
    tools = {"index": 0, "type": "search"}, {"index": 1, "type": "python"}
    assert chunk.delta.executed_tools == tools


def test_text_is_not_lost_for_what_comes_with_it() -> None:
    tools, notes = ["x", {"index": {}}, {"index": None}, {"index": 2}], ["x", {"type": "t"}]
    delta = parsed(choices=choice(content="a", executed_tools=tools, annotations=notes)).delta
    assert delta.content == "a"
    assert delta.executed_tools == ({"index": None}, {"index": 2})
    assert delta.annotations == ({"type": "t"},)


@pytest.mark.parametrize("data", ["[" * 100_000, '{"a":' * 100_000, "9" * 5_000])
def test_what_no_machine_can_read(data: str) -> None:
    with pytest.raises(APIError, match=r"is not JSON|is not a JSON object"):
        parse_chunk(data)
    with pytest.raises(APIError):
        items(b"event: error\ndata: " + data.encode() + b"\n\n")


def test_an_error_that_stops_an_answer() -> None:
    with pytest.raises(APIError, match="The server stopped the answer: over capacity"):
        parsed(choices=choice(content="a"), x_groq={"error": "over capacity"})
    said = {"message": "over capacity", "code": "full"}
    with pytest.raises(APIError, match=r"stopped the answer: over capacity\.") as caught:
        parsed(choices=choice(content="a"), x_groq={"id": "req_1", "error": said})
    assert caught.value.code == "full"


def test_a_long_message_of_a_server_is_cut_where_it_is_shown() -> None:
    with pytest.raises(APIError) as caught:
        parsed(error={"message": "x" * 2**23})
    assert len(str(caught.value)) < 1_100
    assert str(caught.value).endswith("x … Run the cell again.")
    assert len(caught.value.message) == 2**23


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
OTHER = {"type": "reference", "reference_ids": [1]}
PART = {"type": "text", "text": "a"}


def test_content_in_parts() -> None:
    delta = parsed(choices=choice(content=[THOUGHT, PART, OTHER, PART])).delta
    assert delta == Delta("aa", "hm")
    for strange in (["a"], [{"type": "text"}], [{"type": "text", "text": 5}]):
        with pytest.raises(APIError, match="a chunk of another form"):
            parsed(choices=choice(content=strange))


@pytest.mark.parametrize(("wire", "said"), ERRORS)
def test_errors_of_other_servers(wire: dict[str, Any], said: str) -> None:
    with pytest.raises(APIError, match=f"^{said}. Run the cell again.$"):
        items(event(wire))
    with pytest.raises(APIError, match=f"^{said}. Run the cell again.$"):
        items(b"event: error\n" + event(wire))


def test_an_error_of_another_server_keeps_its_code() -> None:
    with pytest.raises(APIError) as caught:
        parsed(errors=[{"message": "m", "code": 7}])
    assert caught.value.code == "7"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_by_either_name(name: str) -> None:
    assert parsed(choices=choice(**{name: "hm", "content": ""})).delta == Delta("", "hm")


def items(body: bytes) -> list[Chunk | Done]:
    reader = BodyReader(str)
    return [*reader.feed(body), *reader.close()]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"message": "Overloaded", "code": "c"}', "Overloaded."),
        ('{"error": {"message": "Overloaded"}}', "Overloaded."),
        ('{"error": "Overloaded"}', "Overloaded."),
        ("Overloaded", "Overloaded."),
        ("", "The server reported an error."),
        ("{}", "The server reported an error."),
    ],
)
def test_an_event_that_is_an_error_by_its_name(data: str, said: str) -> None:
    with pytest.raises(APIError) as caught:
        items(f"event: error\ndata: {data}\n\n".encode())
    assert str(caught.value) == f"{said} Run the cell again."


def test_events_with_names_of_their_own() -> None:
    body = b"event: ping\ndata: now\n\nevent: ping\ndata\n\nevent: ping\ndata: {no JSON\n\n"
    body += b'event: ping\ndata: {"type": "ping"}\n\n'
    body += b'event: chunk\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    body += b"event: end\ndata: [DONE]\n\n"
    assert items(body) == [Chunk(Delta("a")), Done()]


def test_white_space_around_a_chunk_is_no_matter() -> None:
    assert parse_chunk(' {"choices": [{"delta": {"content": "x"}}]}\n').delta == Delta("x")


@pytest.mark.parametrize("name", ["m\x1b]0;owned\x07", "one\ntwo", 7, {"a": 1}, "m" * 201])
def test_a_name_that_is_none_is_left_out(name: object) -> None:
    named = dict.fromkeys(("model", "system_fingerprint", "service_tier"), name)
    assert parsed(choices=choice(content="a"), x_groq={"id": name}, **named) == Chunk(Delta("a"))


def test_text_comes_whole_whatever_the_other_fields_hold() -> None:
    repeated = {"choices": choice(reasoning_content="", reasoning=".")}
    other = {"choices": choice(reasoning_content="", reasoning="a")}
    chunks = items(b"".join(map(event, [*[repeated] * 4, other])))
    assert chunks == [parsed(**repeated)] * 4 + [parsed(**other)]
    assert chunks[-1] == Chunk(Delta("", "a"))


@pytest.mark.parametrize("seed", [True, "7", 7.5, [7], {"a": 7}])
def test_a_seed_that_is_none_is_left_out(seed: object) -> None:
    assert parsed(x_groq={"seed": seed}).seed is None
    assert parsed(x_groq={"seed": 7}).seed == 7


AMOUNT = st.none() | st.integers(0, 10**9) | st.floats(0, 1e9)
USAGE = st.builds(Usage, AMOUNT, st.integers(0, 99), *[AMOUNT] * 7)
SHARES = st.lists(st.tuples(st.text(), USAGE)).map(tuple)
WORD = st.none() | st.text(st.characters(categories=["L", "N"]), min_size=1)
OBJECTS = st.lists(st.dictionaries(st.sampled_from("abc"), st.text() | st.none())).map(tuple)
CALLS = st.lists(st.builds(ToolCall, st.integers(0, 9), st.text(), st.text(), st.text()))
TEXT = st.text(st.characters())  # halves of characters included
CHUNKS = st.builds(
    Chunk,
    st.builds(Delta, TEXT, TEXT, CALLS.map(tuple), OBJECTS, OBJECTS),
    WORD,
    st.none() | st.builds(lambda usage, share: replace(usage, breakdown=share), USAGE, SHARES),
    WORD,
    WORD,
    st.none() | st.integers(),
    WORD,
    WORD,
)


@given(CHUNKS)
def test_a_chunk_that_is_written_is_read_as_it_was(chunk: Chunk) -> None:
    line = unparse_chunk(chunk)
    assert (parse_chunk(line), line.isascii(), len(line.splitlines())) == (chunk, True, 1)
