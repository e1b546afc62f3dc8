"""Items of other libraries' streams as chunks: recorded ones, as objects and as dicts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from groq_magic import APIError, InputError
from groq_magic.accumulator import Accumulator
from groq_magic.streams.adapters import Adapter
from tests.bench.libraries import TEXT, THOUGHT

RECORDED = sorted((Path(__file__).parents[1] / "data" / "chunks").glob("*.json"))


class Object(SimpleNamespace):
    """As the libraries' own: attributes that are objects in turn."""

    def __init__(self, wire: dict[str, Any]) -> None:
        super().__init__(**{name: as_objects(value) for name, value in wire.items()})
        self._wire = wire

    def model_dump(self) -> dict[str, Any]:
        return self._wire


def as_objects(value: Any) -> Any:
    if isinstance(value, list):
        return [as_objects(item) for item in value]
    return Object(value) if isinstance(value, dict) else value


def taken(items: list[Any]) -> Accumulator:
    adapter, content = Adapter(), Accumulator("m")
    for item in items:
        content.take(adapter.chunk(item))
    content.take(adapter.end())
    return content


@pytest.mark.parametrize("form", [list, as_objects], ids=["dicts", "objects"])
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_all_that_a_library_gives_arrives(path: Path, form: Any) -> None:
    content = taken(form(json.loads(path.read_text("utf-8"))))
    name = path.stem
    assert "".join(content.deltas()) == TEXT
    assert content.fields.finish_reason in ("stop", "tool_calls")
    assert content.reasoning == ("" if name in ("chatlas", "langchain-openai") else THOUGHT)
    if not name.startswith("chatlas"):
        calls = [(call.id, call.name, call.parse()) for call in content.tool_calls.values()]
        assert calls == [("call_1", "weather", {"city": "Paris"})]
        assert content.model == "model"
    if not name.startswith(("chatlas", "litellm")):
        usage = content.fields.usage
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == (11, 22)


def test_anthropics_cache_is_part_of_the_prompt() -> None:
    counts = {"input_tokens": 1, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 300}
    begun = {"type": "message_start", "message": {"usage": counts}}
    usage = Adapter().chunk(begun).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens) == (321, 20)


def test_a_tool_that_the_server_runs_is_no_call() -> None:
    block = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '{"query"'}
    content = taken(
        [
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": piece},
        ]
    )
    assert content.tool_calls == {}


def test_citations_are_sources() -> None:
    page = {"url": "https://e.org/", "title": "E"}
    delta = {"type": "citations_delta", "citation": {"type": "web_search_result_location", **page}}
    content = taken([{"type": "content_block_delta", "index": 0, "delta": delta}])
    assert content.sources == [("E", "https://e.org/")]


def test_langgraphs_pairs_and_what_others_say_in_them() -> None:
    said = {"content": "b", "response_metadata": {}}
    pairs: list[Any] = [
        ({**said, "type": "AIMessageChunk", "content": [{"type": "text", "text": "a"}]}, {}),
        ({**said, "type": "tool"}, {}),
        ({**said, "type": "human"}, {}),
    ]
    assert "".join(taken(pairs).deltas()) == "a"


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (["a"], "stop"),
        ([{"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}], "length"),
        ([{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}], "stop"),
        ([{"type": "ping"}], None),
        ([{"choices": [{"delta": {"content": "cut"}}]}], None),
    ],
)
def test_how_it_ended(items: list[Any], reason: str | None) -> None:
    assert taken(items).fields.finish_reason == reason


@pytest.mark.parametrize(
    "item",
    [
        {"error": {"message": "Overloaded"}, "type": "error"},
        {"type": "response.failed", "response": {"error": {"message": "Overloaded"}}},
        {"choices": [], "error": {"message": "Overloaded"}},
    ],
)
def test_an_error_among_the_events(item: Any) -> None:
    with pytest.raises(APIError, match="Overloaded"):
        Adapter().chunk(item)


@pytest.mark.parametrize("item", [5, b"bytes", None, {"text": "a"}, object()])
def test_an_item_of_no_known_form_names_the_next_step(item: Any) -> None:
    with pytest.raises(InputError, match=r"know items of type \w+\. Give it the texts in them"):
        Adapter().chunk(item)
