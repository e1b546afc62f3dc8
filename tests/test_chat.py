"""Request bodies out."""

from __future__ import annotations

from typing import Any

import pytest

from groq_magic import InputError, Message
from groq_magic.chat import request_body


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
