"""What the demo server answers, and how many tokens it counts. Pure but for its two files."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from groq_magic.resuming import GO_ON

_THOUGHT = (
    "The demo server has nothing to think about, but a thought looks like this: "
    "what is asked, what is known, which of the prepared answers fits best. Take that one."
)

_TEMPLATE = 66
_TEMPLATE_OF_MESSAGE = 4
"""Tokens that Groq counts for gpt-oss models beside the messages' own."""


def tokens_of(model: str, body: dict[str, Any]) -> tuple[list[tuple[str, Any]], str]:
    """The answer as pairs of field and token, and its finish_reason."""
    limit = maximum_of(body)
    if model in _streams() and body["messages"][-1]["role"] != "tool":
        return _played(**_streams()[model])
    if model == "demo/long":
        return [("content", token) for token in _long(body, limit or 8000)], "stop"
    thought = _THOUGHT if model == "demo/reasoning" else ""
    tokens = [("reasoning", token) for token in tokenised(thought)]
    tokens += [("content", token) for token in tokenised(_rest(body))]
    if limit and limit < len(tokens):
        return tokens[:limit], "length"
    return tokens, "stop"


def maximum_of(body: dict[str, Any]) -> int:
    """The most tokens that the request asks for; 0 where it names none."""
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or 0)


def prompt_tokens(body: dict[str, Any], *, with_template: bool) -> int:
    """The tokens of the request's messages, and of what some models have around them."""
    text = len(tokenised(" ".join(map(_text, body["messages"]))))
    if with_template and "gpt-oss" in body["model"]:
        return text + _TEMPLATE + _TEMPLATE_OF_MESSAGE * len(body["messages"])
    return text


def _played(
    deltas: list[tuple[str, Any]], finish_reason: str = "stop"
) -> tuple[list[tuple[str, Any]], str]:
    """A prepared stream, its texts as tokens; a pause is the time of so many tokens."""
    tokens: list[tuple[str, Any]] = []
    for kind, value in deltas:
        if kind == "pause":
            tokens += [(kind, "")] * value
        else:
            tokens += [(kind, t) for t in (tokenised(value) if isinstance(value, str) else [value])]
    return tokens, finish_reason


@cache
def _streams() -> dict[str, dict[str, Any]]:
    """The prepared streams, by model."""
    return dict(json.loads(Path(__file__).with_name("streams.json").read_text("utf-8")))


def _long(body: dict[str, Any], count: int) -> list[str]:
    """The chosen answer, or all of them, again and again, and a unique end."""
    text = _chosen(body) or "\n".join(prepared().values())
    end = tokenised("\n\nThe end.")
    return [*islice(cycle(tokenised(text + "\n")), max(0, count - len(end))), *end][-count:]


def _rest(body: dict[str, Any]) -> str:
    """The chosen answer, or what follows the part of it that the request ends with."""
    *asked, last = body["messages"]
    goes_on = last["content"] == GO_ON
    if goes_on:
        *asked, last = asked
    whole = _chosen({"messages": asked} if last["role"] == "assistant" else body)
    whole = whole or prepared()["fallback"]
    if last["role"] != "assistant" or not whole.startswith(said := _text(last)):
        return whole
    return whole[said.rfind("\n") + 1 if goes_on else len(said) :]


def _chosen(body: dict[str, Any]) -> str | None:
    """The answer whose words occur most often in the last message; None if none does."""
    asked = set(re.findall(r"[\w-]+", _text(body["messages"][-1]).lower()))
    answers = prepared()
    best = max(answers, key=lambda words: len(asked.intersection(words.split())))
    return answers[best] if asked.intersection(best.split()) else None


def _text(message: dict[str, Any]) -> str:
    content = message["content"] or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


@cache
def prepared() -> dict[str, str]:
    """The answers, by the words that choose them."""
    source = Path(__file__).with_name("answers.md").read_text("utf-8")
    parts = (part.partition("\n") for part in source.split("%% ")[1:])
    return {words.strip(): answer.strip() + "\n" for words, _, answer in parts}


def tokenised(text: str) -> list[str]:
    """Split the text into parts of about the size of a model's tokens."""
    return re.findall(r" ?\w{1,6}|\s+(?=\s)|\s|[^\w\s]{1,2}", text)
