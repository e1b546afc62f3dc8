"""What chunks add up to, at each moment and at the end."""

from __future__ import annotations

from typing import Any

import pytest

from groq_magic.accumulator import Accumulator
from groq_magic.wire.protocol import Chunk, Delta, Responded, ToolCall, Usage


def after(*chunks: Chunk) -> Accumulator:
    content = Accumulator("m")
    for chunk in chunks:
        content.take(chunk)
    return content


def test_half_a_character_waits_and_is_replaced_at_the_end() -> None:
    content = after(*(Chunk(Delta(text)) for text in ("a\ud83d", "\ude00b", "c\ud83d")))
    assert content.deltas() == ["a", "\U0001f600b", "c"]
    assert content.deltas(2) == ["c"]
    assert content.ended() == (["a", "\U0001f600b", "c", "\ufffd"], "")


def test_half_a_character_of_the_reasoning_waits_and_is_replaced_at_the_end() -> None:
    content = after(*(Chunk(Delta("", text)) for text in ("a\ud83d", "\ude00b\ud83d")))
    assert (content.reasoning, content.ended()) == ("a\U0001f600b", ([], "a\U0001f600b\ufffd"))


def test_what_may_be_a_tag_is_held_back_and_shown_at_the_end() -> None:
    content = after(Chunk(Delta("<thi")))
    assert (content.deltas(), content.ended()) == ([], (["<thi"], ""))
    content.take(Chunk(Delta("nk>hm</")))
    assert (content.reasoning, content.ended()) == ("hm", ([], "hm</"))


def test_an_end_does_not_change_with_later_chunks() -> None:
    content = after(Chunk(Delta("a")), Chunk(Delta("b", "hm")))
    end = content.ended()
    content.take(Chunk(Delta("c", "hm")))
    assert end == (["a", "b"], "hm")


@pytest.mark.parametrize("empty", [None, ""])
def test_the_last_value_of_a_field_counts(empty: str | None) -> None:
    content = after(
        Chunk(model="x", request_id="1", seed=0, service_tier="flex", system_fingerprint="fp"),
        Chunk(Delta("a"), model=empty, service_tier=empty, system_fingerprint=empty),
        Chunk(request_id="2", finish_reason="stop", usage=Usage(total_tokens=3)),
        Chunk(finish_reason=empty),
    )
    fields = content.fields
    assert (content.model, fields.seed, fields.service_tier) == ("x", 0, "flex")
    assert (fields.system_fingerprint, fields.finish_reason) == ("fp", "stop")
    assert fields.usage == Usage(total_tokens=3)


def test_the_first_request_id_counts() -> None:
    assert after(Chunk(request_id="1"), Chunk(request_id="2")).request_id == "1"
    content = Accumulator()
    content.respond(Responded("header", {"x-ratelimit-limit-requests": "5"}))
    content.take(Chunk(request_id="1"))
    assert (content.request_id, content.rate_limits.limit_requests) == ("header", 5)


def test_tokens_are_the_deltas_until_the_server_has_counted() -> None:
    content = after(Chunk(Delta("a", "hm")), Chunk(Delta("b")))
    assert content.tokens == 3
    content.take(Chunk(usage=Usage(completion_tokens=0)))
    assert content.tokens == 0


def test_a_call_in_many_chunks_is_joined_in_one_step() -> None:
    class Arguments(str):
        __slots__ = ()

        def __add__(self, _: str) -> str:
            raise AssertionError("each addition copies all that came before")

        __radd__ = __add__

    part = Chunk(Delta(tool_calls=(ToolCall(1, "", "", Arguments("x")),)))
    content = after(Chunk(Delta(tool_calls=(ToolCall(1, "id", "f", "{"),))), *[part] * 1000)
    assert content.tool_calls == {1: ToolCall(1, "id", "f", "{" + "x" * 1000)}


def test_a_character_of_the_arguments_may_be_cut_in_two() -> None:
    halves = [Chunk(Delta(tool_calls=(ToolCall(arguments=half),))) for half in ("\ud83d", "\ude00")]
    assert after(*halves).tool_calls == {0: ToolCall(arguments="😀")}
    assert after(halves[0]).tool_calls == {0: ToolCall(arguments="\ufffd")}


def ran(*tools: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return after(*(Chunk(Delta(executed_tools=(tool,))) for tool in tools)).executed_tools


def test_what_a_chunk_says_of_a_tool_is_added_to_what_is_known() -> None:
    begun = {"index": 1, "type": "python", "arguments": "{}", "output": None}
    tool = {"index": 1, "type": "python", "arguments": "{}", "output": "15"}
    assert ran(begun) == {1: begun}
    assert ran(begun, {"index": 1, "output": "15", "type": None}) == {1: tool}


def test_another_tool_with_the_same_index_replaces_the_first() -> None:
    search = {"index": 0, "type": "search", "output": "found"}
    python = {"index": 0, "type": "python", "arguments": "{}"}
    assert ran(search, python) == {0: python}
