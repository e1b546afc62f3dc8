"""Prompts to messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic import InputError, Message
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


@given(st.text().filter(str.strip))
def test_no_character_is_changed(text: str) -> None:
    (message,) = to_messages(text + "\n")
    assert message.content == text
