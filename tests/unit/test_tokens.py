"""Estimates of a prompt's tokens: beside what servers counted, and of odd bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from groq_magic.runtime import runtime
from groq_magic.wire.protocol import Message, ToolCall, request_body
from groq_magic.wire.tokens import (
    ERROR,
    FAMILIES,
    SLACK,
    TOKENS_PER_IMAGE,
    Calibration,
    Text,
    estimate,
)
from tests.bench.estimates import NOT_SERVED, Size, estimates, percentile_95, read, recorded

SIZES = read()
SERVED = [family for family in FAMILIES if family not in NOT_SERVED]
SHARED = Path(__file__).parents[3] / "shared"
MODEL = "openai/gpt-oss-120b"


def body_of(*messages: Message, model: str = MODEL, **parameters: Any) -> dict[str, Any]:
    return request_body(messages, {"model": model, **parameters})


def tokens_of(text: str) -> int:
    return estimate(body_of(Message("user", text))) - estimate(body_of(Message("user", "")))


def is_within_the_error(size: Size) -> bool:
    return abs(size.prompt_tokens - size.estimated) <= ERROR * size.estimated + SLACK


# Beside what servers counted


@pytest.mark.parametrize("family", SERVED)
def test_estimates_are_within_the_documented_error(family: str) -> None:
    sizes = [size for size in SIZES if size.family == family]
    # Ollama leaves the tools of a Llama out once they were called.
    sizes = [size for size in sizes if (size.server, size.prompt.calls > 0) != ("Ollama", True)]
    within = sum(map(is_within_the_error, sizes))
    assert within >= 0.95 * len(sizes) > 0


def test_the_counts_are_many_and_mixed() -> None:
    served = [size for size in SIZES if size.family in SERVED]
    assert len(served) >= 200
    assert sum(size.server == "Groq" for size in served) >= 90
    assert sum(size.prompt.tools > 0 for size in served) >= 100
    assert max(size.prompt_tokens for size in SIZES) > 50_000


def test_what_was_learned_makes_estimates_better() -> None:
    taken = [each for each in estimates(SIZES) if each.size.prompt_tokens >= 100]
    first, learned = ([getattr(e, name) for e in taken] for name in ("first", "learned"))
    assert percentile_95(learned) < percentile_95(first) * 0.75


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded requests are not in the repository")
def test_the_counts_are_those_of_the_recorded_requests() -> None:
    known = {(size.prompt, size.prompt_tokens) for size in SIZES}
    assert {(size.prompt, size.prompt_tokens) for size in recorded(SHARED)} <= known


# What a text adds


def test_a_text_is_counted_by_its_kinds_of_characters() -> None:
    counted = Text.of("Sum(a1): 12 camelCase\n\n  größer 漢字 слово שלום नमस्ते かな 한글 → 😀\n")
    nothing = Text.of("")._asdict()
    assert {name: n for name, n in counted._asdict().items() if n != nothing[name]} == {
        "words": 6, "glued": 1, "long": 1, "humps": 1, "digits": 3, "numbers": 2, "spaced": 1,
        "signs": 3, "runs": 2, "lines": 3, "blank": 1, "gaps": 1, "latin": 2, "greek": 5,
        "arabic": 4, "indic": 6, "kana": 2, "han": 2, "hangul": 2, "symbols": 1, "other": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 201),
        ("def add(first, second):\n    return first + second\n\n\n" * 20, 260),
        ("2024-03-01,Berlin,12.50,17\n" * 20, 320),
        ("Die Verordnung gilt für alle Mitgliedstaaten der Union. " * 20, 240),
        ("梯度下降是一种优化算法，用于寻找函数的最小值。" * 20, 380),
    ],
)
def test_texts_of_many_kinds_are_near_the_tokenizers_count(text: str, tokens: int) -> None:
    assert tokens_of(text) == pytest.approx(tokens, rel=0.3)


def test_twice_the_text_has_twice_the_tokens() -> None:
    once = Text.of("Some words, 12 numbers and\n 漢字.\n" * 10_000)
    twice = Text.of("Some words, 12 numbers and\n 漢字.\n" * 20_000)
    assert twice == Text(*(2 * count for count in once))


def test_lines_are_counted_once_however_they_end() -> None:
    assert Text.of("a\r\nb\r\n") == Text.of("a\nb\n")


def test_an_enormous_text_is_counted_whole() -> None:
    assert tokens_of("word " * 1_000_000) == pytest.approx(1_000 * tokens_of("word " * 1_000))


# What else a prompt has


def test_each_image_adds_the_vendors_number_however_long_its_address_is() -> None:
    without = estimate(body_of(Message("user", "Look")))
    images = ("https://example.org/a.png", "data:image/png;base64," + "A" * 100_000)
    assert estimate(body_of(Message("user", "Look", images=images))) - without == (
        2 * TOKENS_PER_IMAGE
    )


def test_messages_calls_tools_and_formats_add_tokens() -> None:
    ask, call = Message("user", "Add 1 and 2."), ToolCall(0, "call_1", "add", '{"a": 1, "b": 2}')
    asked = Message("assistant", "", tool_calls=[call])
    told = Message("tool", "3", tool_call_id="call_1")
    numbers = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
    tool = {"type": "function", "function": {"name": "add", "parameters": numbers}}
    form = {"type": "json_schema", "json_schema": {"name": "sum", "schema": numbers}}
    bodies = [
        body_of(ask),
        body_of(Message("system", ""), ask),
        body_of(ask, tools=[tool]),
        body_of(ask, asked, told, tools=[tool]),
        body_of(ask, asked, told, tools=[tool, tool], response_format=form),
    ]
    sizes = [estimate(body) for body in bodies]
    assert sizes == sorted(set(sizes))


def test_an_id_of_a_call_is_not_counted() -> None:
    calls = [ToolCall(0, name, "add", "{}") for name in ("a", "a" * 1_000)]
    bodies = [body_of(Message("assistant", "", tool_calls=[call])) for call in calls]
    assert estimate(bodies[0]) == estimate(bodies[1])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": None, "messages": None},
        {"model": MODEL, "messages": "text", "tools": {}, "response_format": "json"},
        {"model": MODEL, "messages": [None, 1, {}, {"role": "user", "content": None}]},
        {
            "messages": [
                {"role": ["user"], "content": [None, "text", {"type": "video"}, {"text": 3}]}
            ]
        },
        {"messages": [{"content": 5, "tool_calls": [None, {}, {"function": None}]}]},
        {"messages": [{"content": "\ud800\x00"}], "tools": [None, {"type": "browser_search"}]},
    ],
)
def test_odd_bodies_have_an_estimate(body: dict[str, Any]) -> None:
    assert 1 <= estimate(body) < 200


# What is learned


def test_estimates_are_corrected_as_they_were_off() -> None:
    calibration = Calibration()
    assert calibration.bounds(MODEL, 1_000).likely == 1_000
    before = calibration.bounds(MODEL, 1_000)
    for _ in range(5):
        calibration.learn(MODEL, 1_000, 1_300)
    assert calibration.bounds(MODEL, 1_000).likely == 1_300
    assert calibration.bounds("another", 1_000).likely == 1_000
    least, _, most = calibration.bounds(MODEL, 1_000)
    assert least < 1_300 < most
    assert most - least < before.most - before.least


def test_one_odd_answer_changes_little() -> None:
    calibration = Calibration()
    calibration.learn(MODEL, 1_000, 50_000)
    assert calibration.bounds(MODEL, 1_000).likely <= 1_500
    for prompt_tokens in (1_000, 1_010, 990):
        calibration.learn(MODEL, 1_000, prompt_tokens)
    assert calibration.bounds(MODEL, 1_000).likely == pytest.approx(1_000, rel=0.02)


def test_a_prompt_learns_from_those_of_its_size() -> None:
    calibration = Calibration()
    for _ in range(5):
        calibration.learn(MODEL, 100, 150)
        calibration.learn(MODEL, 10_000, 9_000)
    assert calibration.bounds(MODEL, 90).likely == 135
    assert calibration.bounds(MODEL, 20_000).likely == 18_000


def test_a_long_prompt_learns_nothing_from_short_ones() -> None:
    """What a server adds to each is much for them and little for it."""
    calibration = Calibration()
    for _ in range(5):
        calibration.learn(MODEL, 80, 140)
    assert calibration.bounds(MODEL, 5_000).likely == 5_000


def test_what_servers_do_not_count_is_not_learned() -> None:
    calibration = Calibration()
    calibration.learn(MODEL, 0, 100)
    calibration.learn(MODEL, 100, 0)
    assert calibration.bounds(MODEL, 100).likely == 100
    assert calibration.bounds(MODEL, 0) == (0, 0, SLACK)


def test_a_server_may_count_less_than_half() -> None:
    """As those do to which an image is few tokens; more than twice is not the prompt alone."""
    calibration = Calibration()
    for prompt_tokens in (900, 900, 900, 9_000, 9_000, 9_000, 9_000):
        calibration.learn(MODEL, 2_100, prompt_tokens)
    assert calibration.bounds(MODEL, 2_100).likely == 1_050


def test_a_process_has_one_calibration() -> None:
    assert runtime.own(Calibration) is runtime.own(Calibration)
