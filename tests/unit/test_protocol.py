"""Request bodies out."""

from __future__ import annotations

from typing import Any

import pytest

from groq_magic import InputError, Message, ParseError, Source, ToolCall
from groq_magic.wire.protocol import request_body, request_parameters
from groq_magic.wire.rate_limits import RateLimits, parse_duration
from groq_magic.wire.sources import MOST_SOURCES, sources_in
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


@pytest.mark.parametrize("text", ["", "null", "{}", " {} "])
def test_a_tool_call_without_arguments(text: str) -> None:
    assert ToolCall(name="now", arguments=text).parse() == {}


@pytest.mark.parametrize("text", ['{"a": 1', "[1]", "5", '"a"', "[" * 100_000, "9" * 5_000])
def test_arguments_that_are_no_object(text: str) -> None:
    with pytest.raises(ParseError, match="arguments of 'add' are not a JSON object") as caught:
        ToolCall(name="add", arguments=text).parse()
    assert caught.value.text == text
    assert text[:50] in str(caught.value)
    assert str(caught.value).endswith("Ask again, or raise max_completion_tokens.")
    assert len(str(caught.value)) < 400


def test_sources_of_tools_and_annotations_each_once_and_in_order() -> None:
    a, b, c, d = ({"title": name, "url": f"https://{name}.example/"} for name in "abcd")
    tools: list[dict[str, Any]] = [
        {"search_results": {"results": [b, a, b]}},
        {"browser_results": [a, c]},
        {},
    ]
    cited: list[dict[str, Any]] = [
        {"type": "url_citation", "url_citation": d},
        c,
        {"type": "document_citation"},
    ]
    assert [source.title for source in sources_in(tools, cited)] == ["b", "a", "c", "d"]


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//a.example", ""),
        *("https://", "https://a b", 'https://a"b', "https://a\x1b]0;b", "https://a\u202eb", 5),
    ],
)
def test_an_address_that_is_no_source(url: object) -> None:
    assert sources_in([{"search_results": {"results": [{"title": "t", "url": url}]}}], []) == []


@pytest.mark.parametrize("results", [5, "x", {"results": 5}, [5, None, "x", []], {"a": 1}, None])
def test_results_of_another_form_are_no_sources(results: object) -> None:
    tool = {"search_results": results, "browser_results": results}
    assert sources_in([tool], [{"url_citation": "x"}, {"url": {}}]) == []


def test_sources_are_bounded_and_titles_are_one_line() -> None:
    many = [{"url": f"https://a.example/{n}"} for n in range(5_000)]
    found = sources_in([{"browser_results": many}], [])
    assert len(found) == MOST_SOURCES
    assert found[0] == Source("https://a.example/0", "https://a.example/0")
    odd = {"title": "a\n\u202e b\x1b" + "c" * 5_000, "url": "HTTP://a.example"}
    (source,) = sources_in([{"browser_results": [odd]}], [])
    assert source.title[:5] == "a bcc"
    assert len(source.title) <= 300
