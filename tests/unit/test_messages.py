"""Prompts to messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic import InputError, Message, ToolCall
from groq_magic.prompt.messages import to_messages


def test_text_is_one_user_message() -> None:
    assert to_messages("Hi\n") == [Message("user", "Hi")]


def test_the_system_message_comes_first() -> None:
    assert to_messages("Hi", "Be brief.") == [Message("system", "Be brief."), Message("user", "Hi")]


def test_messages_and_dicts() -> None:
    turns: list[Message | dict[str, str]] = [
        Message("user", "a"),
        {"role": "assistant", "content": "b"},
    ]
    assert to_messages(turns) == [Message("user", "a"), Message("assistant", "b")]


@pytest.mark.parametrize(
    "wrong", ["", " \n\t", [], [{"role": "user"}], ["hello"], [{"content": 1}]]
)
def test_an_invalid_prompt_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError):
        to_messages(wrong)


CALL = ToolCall(0, "call_1", "weather", '{"city": "Paris"}')
WIRE = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
}


@pytest.mark.parametrize(
    "asked",
    [
        Message("assistant", "", tool_calls=(CALL,)),
        Message("assistant", "", tool_calls={0: CALL}.values()),
        {"role": "assistant", "tool_calls": {0: CALL}.values()},
        {"role": "assistant", "content": None, "tool_calls": [WIRE]},
        {"role": "assistant", "content": "", "tool_calls": [{**WIRE, "index": 0}]},
    ],
)
@pytest.mark.parametrize(
    "result",
    [
        Message("tool", "20 °C", tool_call_id="call_1"),
        {"role": "tool", "content": "20 °C", "tool_call_id": "call_1"},
        {"role": "tool", "content": "20 °C", "tool_call_id": "call_1", "name": "weather"},
    ],
)
def test_a_tool_call_and_its_result(asked: Any, result: Any) -> None:
    messages = to_messages([Message("user", "Weather?"), asked, result])
    assert [message.to_wire() for message in messages] == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [WIRE]},
        {"role": "tool", "content": "20 °C", "tool_call_id": "call_1"},
    ]


def test_a_tool_call_beside_text_and_without_arguments() -> None:
    message = Message("assistant", "I look.", tool_calls=(ToolCall(0, "call_1", "now"),))
    assert message.to_wire() == {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
        ],
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"role": "user", "content": "a", "tool_calls": [CALL]}, "Only an assistant's message has"),
        ({"role": "assistant", "tool_calls": [ToolCall()]}, "ToolCalls with an id and a name, not"),
        ({"role": "assistant", "tool_calls": [5]}, "a ToolCall or the API's JSON, not 5"),
        ({"role": "tool", "content": "a", "tool_call_id": 5}, "tool_call_id belongs to a message"),
        ({"role": "user", "content": "a", "tool_call_id": 0}, "tool_call_id belongs to a message"),
        ({"role": "assistant", "tool_calls": 5}, "a ToolCall or the API's JSON, not 5"),
        ({"role": "assistant", "content": 5, "tool_calls": [CALL]}, "content is text, not 5"),
        ({"role": "assistant", "tool_calls": []}, "a dict with role and content, not"),
        ({"role": "user", "content": "a", "name": "b"}, "a dict with role and content, not"),
        ({"role": "tool", "content": "a"}, "tool_call_id belongs to a message of role"),
        (
            {"role": "user", "content": "a", "tool_call_id": "b"},
            "tool_call_id belongs to a message",
        ),
        (
            {"role": "tool", "content": "a", "tool_call_id": "b"},
            "The result of 'b' has no call: put",
        ),
        ({"role": "tool", "content": {"a": 1}, "tool_call_id": "b"}, "with role and content, not"),
        ({"role": "assistant", "tool_calls": [{**WIRE, "id": "\ud83d"}]}, "half a character"),
    ],
)
def test_a_tool_message_that_the_api_refuses(wrong: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        to_messages([wrong])
    assert len(str(caught.value).splitlines()) == 1


@given(st.text().filter(str.strip))
def test_no_character_is_changed(text: str) -> None:
    (message,) = to_messages(text + "\n")
    assert message.content == text
