"""Whole streams in any cut: our own in tests/data, and recorded ones where they are there.

What a recorded stream holds is an independent decoder's word.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import fields, is_dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from groq_magic import stream
from groq_magic.accumulator import Accumulator
from groq_magic.answer import Answer
from groq_magic.display.static import static_bundle
from groq_magic.wire.parsing import BodyReader
from groq_magic.wire.protocol import Item, ToolCall
from tests.support.event_streams import DATA, RECORDED
from tests.support.peer import Connection, Script, peer

STREAMS = sorted([*DATA.glob("*.sse"), *RECORDED.glob("*.sse")])
REFUSALS = sorted(RECORDED.glob("error-*.body"))
CUTS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "whole": lambda body: [body],
    "byte by byte": lambda body: (body[i : i + 1] for i in range(len(body))),
    "CRLF, by line": lambda body: (line + b"\r\n" for line in body.split(b"\n")),
    "CRLF, byte by byte": lambda body: CUTS["byte by byte"](body.replace(b"\n", b"\r\n")),
    "CR, byte by byte": lambda body: CUTS["byte by byte"](body.replace(b"\n", b"\r")),
}

every_stream = pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)


@every_stream
@pytest.mark.parametrize("cutting", CUTS)
def test_a_stream_in_any_cut(path: Path, cutting: str) -> None:
    answer = Answer(read(CUTS[cutting](path.read_bytes())), content=Accumulator("as asked")).start()
    assert answer.wait(60)
    check(answer, path)


@every_stream
def test_a_stream_as_it_came_over_the_network(path: Path) -> None:
    body = path.read_bytes()

    def play(connection: Connection) -> None:
        connection.begin()
        start = 0
        for length in read_lengths(path, len(body)):
            connection.chunk(body[start : start + length])
            start += length
        assert start == len(body)
        connection.end()

    check(answer_to(play), path)


@pytest.mark.skipif(not REFUSALS, reason="the recorded refusals are not here")
@pytest.mark.parametrize("path", REFUSALS, ids=lambda path: path.stem)
def test_a_refusal(path: Path) -> None:
    status = expected_of(path)["status"]
    headers = {"content_type": "application/json", "x_request_id": "req_1"}
    answer = answer_to(lambda c: c.respond(path.read_bytes(), f"{status} No", **headers))
    check(answer, path, request_id="req_1")
    assert getattr(answer.error, "request_id", None) == "req_1"


@every_stream
def test_the_table_of_fields_is_true(path: Path) -> None:
    answer = Answer(read([path.read_bytes()]), content=Accumulator("as asked")).start()
    assert answer.wait(30)
    metadata = list(leaves(static_bundle(answer)[1]))
    for field, value in last_values(path).items():
        attributes, is_in_metadata = FIELDS[field]
        kept = [leaf for name in attributes for leaf in leaves(attrgetter(name)(answer))]
        for places in ([kept] if attributes else []) + ([metadata] if is_in_metadata else []):
            assert any(value in leaf for leaf in places), field


def fields_of_the_table() -> dict[str, tuple[list[str], bool]]:
    """By field: the attributes of `Answer`, and whether it is in the metadata."""
    page = (Path(__file__).parents[2] / "docs" / "fields.md").read_text("utf-8")
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| .+? \| (yes|no) \|$", page, re.MULTILINE)
    return {field: (re.findall(r"`([\w.]+)`", where), yes == "yes") for field, where, yes in rows}


FIELDS = fields_of_the_table()


def last_values(path: Path) -> dict[str, str]:
    """The last value of each field that is not empty, as the table names the field."""
    found: dict[str, str] = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("data: {"):
            found |= values_in(json.loads(line.removeprefix("data: ")))
    return found


def values_in(wire: Any, name: str = "") -> dict[str, str]:
    if isinstance(wire, dict | list):
        inner = wire.items() if isinstance(wire, dict) else (("[]", part) for part in wire)
        found: dict[str, str] = {}
        for key, part in inner:
            found |= values_in(part, f"{name}.{key}".removeprefix(".").replace(".[]", "[]"))
        return found
    name = name.replace("x_groq.usage.", "usage.")
    name = re.sub(r"(breakdown.*\.usage)\..*", r"\1.*", name)
    return {name: str(wire).strip()} if wire not in (None, "") else {}


def leaves(value: Any) -> Iterable[str]:
    """The texts and numbers in a value, as text."""
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return [str(value)]
    return [leaf for part in value for leaf in leaves(part)]


async def read(pieces: Iterable[bytes]) -> AsyncGenerator[Item]:
    reader = BodyReader(str)
    for piece in pieces:
        for item in reader.feed(piece):
            yield item
    for item in reader.close():
        yield item


def answer_to(play: Script) -> Answer:
    with peer(play) as server:
        answer = stream("as recorded", base_url=server.base_url, model="as asked")
        assert answer.wait(30)
    return answer


def read_lengths(path: Path, size: int) -> list[int]:
    """The lengths of the network reads, where the recorder kept them."""
    kept = path.with_suffix(".chunklens.json")
    return list(json.loads(kept.read_text())) if kept.exists() else [size]


def expected_of(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".expected.json").read_text("utf-8")))


def check(answer: Answer, path: Path, **more: object) -> None:
    """Whether it is all that was recorded."""
    assert facts_of(answer) == {**facts_in(expected_of(path)), **more}


def facts_of(answer: Answer) -> dict[str, Any]:
    error = answer.error
    return {
        "state": answer.state,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "finish_reason": answer.finish_reason,
        "usage": answer.usage.to_dict() if answer.usage else None,
        "tool_calls": answer.tool_calls,
        "executed_tools": answer.executed_tools,
        "annotations": answer.annotations,
        "model": answer.model,
        "request_id": answer.request_id,
        "seed": answer.seed,
        "system_fingerprint": answer.system_fingerprint,
        "service_tier": answer.service_tier,
        "error": error and {"class": type(error).__name__, **what(vars(error))},
    }


def facts_in(expected: dict[str, Any]) -> dict[str, Any]:
    text, reasoning = text_and_reasoning(expected)
    calls = expected["tool_calls"]
    ids = [of_chunk for _, of_chunk in expected["x_groq_ids"]]
    fingerprints = [name for name in expected["system_fingerprints"] if name != "None"]
    return {
        "state": "done" if expected["finish_reason"] else "failed",
        "text": text,
        "reasoning": reasoning,
        "finish_reason": expected["finish_reason"],
        "usage": usage_in(expected),
        "tool_calls": {
            call["index"]: ToolCall(call["index"], call["id"], call["name"], call["arguments"])
            for call in calls
        },
        "executed_tools": {
            tool["index"]: {name: value for name, value in tool.items() if name != "chunk"}
            for tool in expected["executed_tools"]
        },
        "annotations": expected["annotations"],
        "model": [*expected["models"], "as asked"][0],
        "request_id": [*ids, None][0],
        "seed": expected["x_groq_seed"],
        "system_fingerprint": [*fingerprints, None][0],
        "service_tier": expected["service_tier"],
        "error": error_in(expected),
    }


def error_in(expected: dict[str, Any]) -> dict[str, Any] | None:
    if not (raised := expected.get("exception")):
        return None
    said = raised["body"].get("error", raised["body"])
    return {"class": raised["class"], **what({**said, "status_code": raised["status_code"]})}


def what(said: dict[str, Any]) -> dict[str, Any]:
    names = ("message", "status_code", "code", "type", "param", "failed_generation")
    return {name: said.get(name) for name in names}


def text_and_reasoning(expected: dict[str, Any]) -> tuple[str, str]:
    """Of the content, what a model thought aloud at its head is reasoning."""
    aloud = re.fullmatch(r"\s*<think>(.*?)</think>\s*(.*)", expected["content"], re.DOTALL)
    return (aloud[2], aloud[1]) if aloud else (expected["content"], expected["reasoning"])


def usage_in(expected: dict[str, Any]) -> dict[str, Any] | None:
    usage = flat(expected["usage"] or expected["x_groq_usage"])
    if usage and (breakdown := expected.get("usage_breakdown")):
        shares = [{"model": one["model"], **one["usage"]} for one in breakdown["models"]]
        usage["breakdown"] = shares
    return usage


def flat(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    flattened: dict[str, Any] = {}
    for name, value in usage.items():
        flattened |= value if isinstance(value, dict) else {name: value}
    return flattened
