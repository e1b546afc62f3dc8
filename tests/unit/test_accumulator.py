"""What chunks add up to, and what of it counts at any moment."""

from __future__ import annotations

import time

from groq_magic.accumulator import Accumulator
from groq_magic.wire.protocol import Chunk, Delta, ToolCall, Usage


def after(*chunks: Chunk) -> Accumulator:
    content = Accumulator("m")
    for chunk in chunks:
        content.take(chunk)
    return content


def test_half_a_character_waits_and_is_replaced_at_the_end() -> None:
    content = after(*(Chunk(Delta(text)) for text in ("a\ud83d", "\ude00b", "c\ud83d")))
    assert content.texts(content.so_far) == ["a", "\U0001f600b", "c"]
    assert content.texts(content.so_far, ended=True) == ["a", "\U0001f600b", "c", "\ufffd"]
    assert content.texts(content.so_far, 3, ended=True) == ["\ufffd"]
    assert content.texts(content.so_far, 4, ended=True) == []


def test_what_may_be_a_tag_is_held_back_and_shown_at_the_end() -> None:
    content = after(Chunk(Delta("<thi")))
    assert content.texts(content.so_far) == []
    assert content.texts(content.so_far, ended=True) == ["<thi"]
    content.take(Chunk(Delta("nk>hm</")))
    assert content.thoughts(content.so_far) == ["hm"]
    assert content.thoughts(content.so_far, ended=True) == ["hm", "</"]


def test_what_comes_behind_a_moment_does_not_change_it() -> None:
    content = after(Chunk(Delta("a")), Chunk(Delta("b", "hm")))
    moment = content.so_far
    content.take(Chunk(Delta("c", "hm")))
    assert content.texts(moment, ended=True) == ["a", "b"]
    assert content.thoughts(moment, ended=True) == ["hm"]


def test_what_is_said_last_counts_but_for_the_first_request_id() -> None:
    content = after(
        Chunk(model="x", request_id="1", seed=0), Chunk(Delta("a")), Chunk(request_id="2")
    )
    content.take(Chunk(finish_reason="stop", usage=Usage(total_tokens=3)))
    assert (content.model, content.request_id, content.seed) == ("x", "1", 0)
    assert (content.finish_reason, content.usage) == ("stop", Usage(total_tokens=3))


def test_a_call_in_many_pieces_takes_time_in_proportion() -> None:
    pieces = [Chunk(Delta(tool_calls=(ToolCall(1, "", "", "x" * 500),)))] * 100_000
    begun = time.monotonic()
    content = after(Chunk(Delta(tool_calls=(ToolCall(1, "id", "f", "{"),))), *pieces)
    (call,) = content.tool_calls.values()
    assert time.monotonic() - begun < 60  # joined one by one they copy 2.5 TB
    assert (call.index, call.id, call.name, len(call.arguments)) == (1, "id", "f", 50_000_001)
