"""Request bodies out."""

from __future__ import annotations

from typing import Any

import pytest

from groq_magic import InputError, Message
from groq_magic.wire.protocol import RateLimits, parse_duration, request_body, request_parameters
from groq_magic.wire.think_tags import ThinkTags


def test_a_body_has_only_what_was_given() -> None:
    parameters = request_parameters(model="m", temperature=0.0, max_completion_tokens=None)
    body = request_body([Message("user", "é")], parameters)
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
        request_parameters(**wrong)


def test_numbers_beyond_reason_are_not_given() -> None:
    many = "9" * 5_000
    limits = {"x-ratelimit-remaining-tokens": many, "x-ratelimit-reset-tokens": f"{many}s"}
    assert RateLimits.from_headers(limits) == RateLimits()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h2m3.5s", 3723.5),
        ("172.799999ms", 0.172799999),
        ("1.s", 1.0),
        ("5", None),
        ("1.2.3s", None),
        ("1" * 50, None),
        ("1" * 100_000, None),
        ("1s" * 100_000, None),
        ("", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_blanks_without_end_are_no_head_of_a_thought() -> None:
    tags = ThinkTags()
    for _ in range(1_001):
        assert tags.split(" ")[0] == ""
    assert tags.split("<think>") == ("", "<think>")
