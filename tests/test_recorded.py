"""Real streams of Groq, served over a socket; the figures are an independent decoder's."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from groq_magic import APIError, stream
from groq_magic.answer import Answer
from groq_magic.chat import ToolCall
from groq_magic.client import Client, Endpoint

from .conftest import RECORDED
from .peer import Connection, peer

STREAMS = sorted(RECORDED.glob("*.sse"))
REFUSALS = sorted(RECORDED.glob("error-*.body"))

pytestmark = pytest.mark.skipif(not STREAMS, reason="recorded streams are not here")


def expected_of(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".expected.json").read_text("utf-8")))


def answer_to(body: bytes, pieces: list[int], status: int, content_type: str) -> Answer:
    def play(connection: Connection) -> None:
        if status != 200:
            connection.respond(body, f"{status} No", content_type=content_type)
            return
        connection.begin()
        start = 0
        for length in pieces:
            connection.chunk(body[start : start + length])
            start += length
        connection.end()

    with peer(play) as server:
        answer = stream("as recorded", base_url=server.base_url)
        assert answer.wait(30)
    return answer


def read_lengths(path: Path, size: int) -> list[int]:
    """The lengths of the network reads, where the recorder kept them."""
    kept = path.with_suffix(".chunklens.json")
    return list(json.loads(kept.read_text())) if kept.exists() else [size]


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_stream(path: Path) -> None:
    expected = expected_of(path)
    body = path.read_bytes()
    answer = answer_to(body, read_lengths(path, len(body)), 200, "text/event-stream")
    assert (answer.text, answer.reasoning) == text_and_reasoning(expected)
    assert answer.finish_reason == expected["finish_reason"]
    assert answer.state == ("done" if expected["finish_reason"] else "failed")
    usage = expected["usage"] or expected["x_groq_usage"]
    assert (answer.usage.to_dict() if answer.usage else None) == flat(usage)
    if error := expected.get("exception"):
        assert isinstance(answer.error, APIError)
        assert answer.error.message == error["message"]
        assert answer.error.failed_generation == error["body"]["failed_generation"]


class Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def cut(body: bytes) -> dict[str, Iterable[bytes]]:
    return {
        "whole": [body],
        "byte by byte": (body[i : i + 1] for i in range(len(body))),
        "CRLF": (line + b"\r\n" for line in body.split(b"\n")),
        "CR": (body.replace(b"\n", b"\r")[i : i + 1000] for i in range(0, len(body), 1000)),
    }


@pytest.mark.parametrize("cutting", cut(b""))
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_stream_in_any_cut(path: Path, cutting: str) -> None:
    expected = expected_of(path)
    headers = {"content-type": "text/event-stream"}
    pieces = Pieces(cut(path.read_bytes())[cutting])
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=pieces))
    answer = Answer(Client(transport=transport).stream(Endpoint("https://127.0.0.1"), {}))
    assert answer.wait(60)
    assert (answer.text, answer.reasoning) == text_and_reasoning(expected)
    assert answer.finish_reason == expected["finish_reason"]
    assert list(answer.tool_calls.values()) == [
        ToolCall(call["index"], call["id"], call["name"], call["arguments"])
        for call in expected["tool_calls"]
    ]
    last = {tool["index"]: tool.get("output") for tool in expected["executed_tools"]}
    assert {i: tool.get("output") for i, tool in answer.executed_tools.items()} == last


@pytest.mark.parametrize("path", REFUSALS, ids=lambda path: path.stem)
def test_a_refusal(path: Path) -> None:
    expected = expected_of(path)
    body = path.read_bytes()
    answer = answer_to(body, [len(body)], expected["status"], "application/json")
    said = expected["exception"]["body"]["error"]
    assert answer.state == "failed"
    assert type(answer.error).__name__ == expected["exception"]["class"]
    assert said["message"] in str(answer.error)
    assert getattr(answer.error, "code", None) == said.get("code")


def text_and_reasoning(expected: dict[str, Any]) -> tuple[str, str]:
    """Of the content, what a model thought aloud at its head is reasoning."""
    aloud = re.fullmatch(r"\s*<think>(.*?)</think>\s*(.*)", expected["content"], re.DOTALL)
    return (aloud[2], aloud[1]) if aloud else (expected["content"], expected["reasoning"])


def flat(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    flattened: dict[str, Any] = {}
    for name, value in usage.items():
        flattened |= value if isinstance(value, dict) else {name: value}
    return flattened
