"""How many tokens a prompt has, estimated before it is sent. Pure: no I/O, and no tokenizer.

A text's letters, digits, signs and spaces become one byte each, of a class; how often some pairs
of classes stand in it says how many tokens it has, for each family of models with other weights.
The weights fit the families' tokenizers; what is added for messages and tools fits the prompt
sizes that servers counted, ``python -m tests.bench.estimates``.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

TOKENS_PER_IMAGE = 2048  # https://console.groq.com/docs/vision
ERROR = 0.2
"""The relative error that 95 of 100 estimates stay below."""
ERROR_LEARNED = 0.15
"""The same after `Calibration` has learned from some answers of the model."""
SLACK = 30
"""Tokens that an estimate may be off besides: what a server adds to a short prompt varies."""


class Text(NamedTuple):
    """What is counted in a text."""

    words: int
    glued: int
    """Words right after a sign, as in ``(word``."""
    long: int
    """Eight letters of a word in a row."""
    humps: int
    """As in camelCase."""
    capitals: int
    """Pairs of them."""
    digits: int
    numbers: int
    spaced: int
    """Numbers after a space."""
    signs: int
    """ASCII punctuation."""
    runs: int
    """Of signs."""
    lines: int
    closed: int
    """Lines that end with a sign."""
    blank: int
    """Empty lines."""
    gaps: int
    """Pairs of spaces."""
    latin: int
    """Accented letters."""
    greek: int
    """And Cyrillic letters."""
    arabic: int
    """And Hebrew letters."""
    indic: int
    """And Thai letters."""
    kana: int
    han: int
    hangul: int
    symbols: int
    other: int

    @classmethod
    def of(cls, text: str) -> Text:
        """Count; linear in the text's length."""
        classes = b"n%bn" % text.encode("utf-8", "replace").translate(_CLASSES, _CONTINUATION)
        words = classes.translate(_WORDS)
        own, count = classes.count, words.count
        return cls(
            words=count(b" a") + count(b"na") + count(b"0a"),
            glued=count(b".a"),
            long=count(b"a" * 8),
            humps=own(b"aA"),
            capitals=own(b"AA"),
            digits=own(b"0"),
            numbers=count(b" 0") + count(b".0") + count(b"n0") + count(b"a0"),
            spaced=own(b" 0"),
            signs=own(b"."),
            runs=count(b" .") + count(b"a.") + count(b"0.") + count(b"n."),
            lines=own(b"n"),
            closed=own(b".n"),
            blank=own(b"nn"),
            gaps=own(b"  "),
            latin=own(b"l"),
            greek=own(b"r"),
            arabic=own(b"h"),
            indic=own(b"i"),
            kana=own(b"k"),
            han=own(b"c"),
            hangul=own(b"g"),
            symbols=own(b"s"),
            other=own(b"o"),
        )


class Prompt(NamedTuple):
    """What is counted in a request's body."""

    text: Text
    """Of all messages and calls together."""
    schemas: Text
    """Of the tools and the response's format, as JSON."""
    messages: int = 0
    tools: int = 0
    images: int = 0

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Prompt:
        """Count in a body as `request_body` makes it; ignore what is of another form.

        >>> body = {"messages": [{"role": "user", "content": "Hello"}]}
        >>> Prompt.of(body).messages, Prompt.of(body).text.words
        (1, 1)
        """
        messages, tools = _objects(body.get("messages")), _objects(body.get("tools"))
        schemas = [*tools, *_objects([body.get("response_format")])]
        parts = [part for message in messages for part in _objects(message.get("content"))]
        return cls(
            Text.of("\n".join(text for message in messages for text in _texts(message))),
            Text.of("\n".join(json.dumps(schema, ensure_ascii=False) for schema in schemas)),
            len(messages),
            len(tools),
            sum(part.get("type") == "image_url" for part in parts),
        )


class Family(NamedTuple):
    """Models that share a tokenizer and a template."""

    weights: Text
    """Tokens of each that is counted, in hundredths."""
    opening: int
    """Tokens before the first message and after the last."""
    message: int
    """Tokens around each message."""
    calling: int
    """Tokens that explain the use of tools, where there are any."""
    schemas: float
    """Tokens for each of the schemas' JSON."""

    def tokens(self, prompt: Prompt) -> int:
        """About how many tokens a prompt has."""
        schemas = self.schemas * _weighed(prompt.schemas, self.weights)
        text = (_weighed(prompt.text, self.weights) + schemas) / 100
        around = self.opening + self.message * prompt.messages
        around += self.calling if prompt.tools else 0
        return round(text) + around + TOKENS_PER_IMAGE * prompt.images


# fmt: off
_O200K = Text(98, 56, 13, 132, 38, 11, 122, 98, 27, 68, 99, -68, -100, 16,
              109, 12, 73, 10, 75, 79, 69, 50, 149)
_LLAMA = Text(101, 56, 9, 141, 39, 9, 127, 101, 25, 68, 101, -68, -100, 16,
              145, 14, 121, 38, 66, 78, 72, 42, 166)
_QWEN = Text(99, 50, 10, 135, 37, 82, 72, 72, 25, 72, 103, -71, -100, 15,
             172, 22, 98, 88, 63, 71, 80, 59, 154)
# fmt: on
FAMILIES = {
    "gpt-oss": Family(_O200K, opening=66, message=4, calling=40, schemas=0.5),
    "llama-3.": Family(_LLAMA, opening=30, message=4, calling=125, schemas=1.0),
    "llama-4": Family(_O200K, opening=5, message=4, calling=640, schemas=1.0),
    "llama": Family(_LLAMA, opening=6, message=4, calling=125, schemas=1.0),
    "qwen": Family(_QWEN, opening=5, message=4, calling=140, schemas=1.0),
    "kimi": Family(_O200K, opening=5, message=4, calling=20, schemas=1.0),
    "": Family(_LLAMA, opening=5, message=4, calling=100, schemas=1.0),
}
"""By a part of the model's name; the first that fits."""


def family_of(model: object) -> Family:
    """The family of a model's name; that of the empty name where no other fits."""
    name = model.lower() if isinstance(model, str) else ""
    return next(family for part, family in FAMILIES.items() if part in name)


def estimate(body: Mapping[str, Any]) -> int:
    """About how many tokens the prompt of a request's body has, by its model.

    95 of 100 estimates are off by at most `ERROR` of the prompt and `SLACK` tokens.

    >>> estimate({"model": "openai/gpt-oss-20b", "messages": [{"content": "Say hello."}]})
    75
    """
    return family_of(body.get("model")).tokens(Prompt.of(body))


class Bounds(NamedTuple):
    """Between which a prompt's tokens are, in 95 of 100 cases."""

    least: int
    most: int


class Calibration:
    """What a process learns from the answers: how far estimates are off, by model.

    >>> calibration = Calibration()
    >>> for _ in range(5):
    ...     calibration.learn("m", 1_000, prompt_tokens=1_100)
    >>> calibration.corrected("m", 2_000)
    2200
    """

    def __init__(self) -> None:
        self._seen: defaultdict[str, deque[tuple[int, float]]] = defaultdict(_recent)

    def learn(self, model: str, estimated: int, prompt_tokens: int) -> None:
        """Remember what the server counted for a prompt that `estimate` said to have so many."""
        if estimated > 0 and prompt_tokens > 0:
            ratio = min(max(prompt_tokens / estimated, 1 / _MOST_OFF), _MOST_OFF)
            self._seen[model].append((estimated, ratio))

    def corrected(self, model: str, estimated: int) -> int:
        """An estimate, corrected as the model's prompts of about its size were off.

        The median, of them and of no correction: a single odd answer changes little.
        """
        seen = sorted(self._near(model, estimated))
        return round(estimated * median([1.0, *seen]))

    def bounds(self, model: str, estimated: int) -> Bounds:
        """Between which the tokens are that the server will count."""
        error = ERROR_LEARNED if len(self._near(model, estimated)) >= 3 else ERROR
        middle = self.corrected(model, estimated)
        return Bounds(
            max(0, math.floor(middle * (1 - error)) - SLACK),
            math.ceil(middle * (1 + error)) + SLACK,
        )

    def _near(self, model: str, estimated: int) -> Sequence[float]:
        """The ratios of the few prompts that are nearest in size."""
        size = math.log(max(1, estimated))
        seen = sorted(self._seen.get(model, ()), key=lambda pair: abs(math.log(pair[0]) - size))
        return [ratio for _, ratio in seen[:_NEAREST]]


_NEAREST = 5
_MOST_OFF = 2.0
"""No estimate is corrected by more than this factor."""


def _recent() -> deque[tuple[int, float]]:
    return deque(maxlen=50)


def _weighed(text: Text, weights: Text) -> int:
    return sum(count * weight for count, weight in zip(text, weights, strict=True))


def _objects(value: Any) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list | tuple) else ()
    return [each for each in values if isinstance(each, Mapping)]


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a message: its content's, and the names and arguments of its calls."""
    content = message.get("content")
    yield content if isinstance(content, str) else ""
    yield from (str(part.get("text") or "") for part in _objects(content))
    for call in _objects(message.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, Mapping):
            yield f"{function.get('name')} {function.get('arguments')}"


def _classes() -> bytes:
    """For each first byte of a character in UTF-8, the letter of its class."""
    classes = bytearray(b"o" * 256)
    classes[:128] = b"." * 128
    classes[:32] = b"o" * 32
    of_bytes = {
        " ": b" \t", "n": b"\n\r", "0": b"0123456789",
        "a": range(0x61, 0x7B), "A": range(0x41, 0x5B), "l": [*range(0xC3, 0xCB), 0xE1],
        "r": range(0xCB, 0xD4), "h": range(0xD4, 0xE0), "i": [0xE0], "s": [0xC2, 0xE2],
        "k": [0xE3], "c": range(0xE4, 0xEA), "g": range(0xEA, 0xEE),
    }  # fmt: skip
    for letter, numbers in of_bytes.items():
        for number in numbers:
            classes[number] = ord(letter)
    return bytes(classes)


_CLASSES = _classes()
_CONTINUATION = bytes(range(0x80, 0xC0))
_WORDS = bytes(97 if each in b"aAlrhi" else each if each in b".0n" else 32 for each in range(256))
