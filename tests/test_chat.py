"""Chunks in, request bodies out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from groq_magic import APIError, InputError, Message, Usage
from groq_magic.chat import Chunk, Delta, ToolCall, parse_chunk, request_body


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


def test_usage_knows_what_it_knows() -> None:
    assert Usage(prompt_tokens=0, total_time=0.5).to_dict() == {
        "prompt_tokens": 0,
        "total_time": 0.5,
    }


def test_tool_calls_add_up() -> None:
    first = {"index": 1, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}
    (call,) = parsed(choices=choice(tool_calls=[first])).delta.tool_calls
    (more,) = parsed(
        choices=choice(tool_calls=[{"index": 1, "function": {"arguments": "}"}}])
    ).delta.tool_calls
    assert call.plus(more) == ToolCall(1, "a", "f", "{}")


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
        ("[1]", "no JSON object"),
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


def test_a_body_has_only_what_was_given() -> None:
    body = request_body(
        [Message("user", "é")], model="m", temperature=0.0, max_completion_tokens=None
    )
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "é"}],
        "stream": True,
        "temperature": 0.0,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 2.1},
        {"temperature": -1},
        {"temperature": "hot"},
        {"temperature": True},
        {"temperature": float("nan")},
        {"max_completion_tokens": 0},
        {"max_completion_tokens": 1.5},
        {"max_completion_tokens": True},
        {"model": " "},
        {"model": None},
    ],
)
def test_what_cannot_be_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        request_body([Message("user", "x")], **wrong)


def test_white_space_around_a_chunk_is_no_matter() -> None:
    assert parse_chunk(' {"choices": [{"delta": {"content": "x"}}]}\n').delta == Delta("x")


@pytest.mark.parametrize("name", ["m\x1b]0;owned\x07", "one\ntwo", 7, {"a": 1}])
def test_a_name_that_is_none_is_left_out(name: object) -> None:
    named = dict.fromkeys(("model", "system_fingerprint", "service_tier"), name)
    assert parsed(choices=choice(content="a"), x_groq={"id": name}, **named) == Chunk(Delta("a"))
