"""How many tokens a prompt has, estimated before it is sent. Pure: no I/O, and no tokenizer.

Each character becomes one byte that says its class: a letter, a digit, a sign, a space, a script.
How often some classes and pairs of them occur says how many tokens a text has; each family of
models weighs them otherwise. The weights fit the families' tokenizers, and what is added for
messages and tools fits the sizes that servers counted: ``python -m tests.bench.estimates``.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from statistics import median
from typing import Any, NamedTuple

TOKENS_PER_IMAGE = 2048  # https://console.groq.com/docs/vision
ERROR = 0.2
"""95 of 100 estimates are off by less, relative to them, beside `SLACK`."""
ERROR_LEARNED = 0.12
"""The same, once `Calibration` has learned from a few of the model's answers."""
SLACK = 10
"""Tokens. What a server adds varies with the date and the effort, which short prompts feel."""


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
        classes = b"n" + text.encode("utf-8", "replace").translate(_CLASSES, _DROPPED)
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
            lines=own(b"n") - 1,
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
    """Of all messages, and of the calls in them."""
    schemas: Text
    """Of the names and values in the tools."""
    form: Text
    """Of the names and values in the response's format."""
    values: int = 0
    """How many names and values the tools have."""
    messages: int = 0
    systems: int = 0
    """How many of them are the system's."""
    calls: int = 0
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
        values = list(_values(tools))
        form = _values(_objects([body.get("response_format")]))
        parts = [part for message in messages for part in _objects(message.get("content"))]
        calls = [call for message in messages for call in _objects(message.get("tool_calls"))]
        functions = [call.get("function") for call in calls]
        return cls(
            text=Text.of("\n".join([*_texts(messages), *_texts(parts), *_values(functions)])),
            schemas=Text.of(" ".join(values)),
            form=Text.of(" ".join(form)),
            values=len(values),
            messages=len(messages),
            systems=sum(message.get("role") == "system" for message in messages),
            calls=len(calls),
            tools=len(tools),
            images=sum(part.get("type") == "image_url" for part in parts),
        )


class Family(NamedTuple):
    """Models that share a tokenizer and a template."""

    weights: Text
    """Tokens of each that is counted in a text, in hundredths."""
    opening: int
    """Tokens before the first message and after the last."""
    system: int
    """Tokens that the system's message has more than another; it may replace a default."""
    message: int
    """Tokens around each message."""
    call: int
    """Tokens around each call."""
    calling: int
    """Tokens that explain the use of tools, where there are any."""
    value: float
    """Tokens around each name and value in the tools."""
    form: float = 0.0
    """Tokens for each of the response format's; 0 if the format only restricts the answer."""

    def tokens(self, prompt: Prompt) -> int:
        """About how many tokens a prompt has."""
        text = _weighed(prompt.text, self.weights) + _weighed(prompt.schemas, self.weights)
        text += self.form * _weighed(prompt.form, self.weights)
        around = self.opening + self.message * prompt.messages + self.call * prompt.calls
        around += self.system if prompt.systems else 0
        around += self.calling if prompt.tools else 0
        images = TOKENS_PER_IMAGE * prompt.images
        return max(1, round(text / 100 + self.value * prompt.values) + around + images)


# fmt: off
_O200K = Text(96, 55, 26, 126, 38, 12, 123, 102, 28, 65, 101, -60, -100, 16,
              140, 12, 15, 17, 75, 80, 70, 57, 143)
_LLAMA = Text(100, 55, 15, 138, 39, 11, 122, 107, 25, 67, 104, -62, -100, 16,
              169, 14, 19, 41, 66, 79, 73, 51, 162)
_QWEN = Text(100, 52, 15, 134, 36, 84, 67, 76, 25, 72, 107, -68, -100, 14,
              165, 21, 30, 77, 65, 68, 81, 64, 182)
# fmt: on
FAMILIES = {
    "gpt-oss": Family(_O200K, 66, -2, 5, 12, 33, -0.4, 2.3),
    "llama-4": Family(_O200K, 5, 0, 5, 20, 650, 1.0),
    "distill-llama": Family(_LLAMA, 1, 0, 2, 20, 80, 1.0),
    "llama-3": Family(_LLAMA, 30, -5, 5, 7, 120, 1.5),
    "llama": Family(_LLAMA, 20, -5, 5, 7, 70, 1.0),
    "qwen3.": Family(_QWEN, 5, 0, 5, 40, 200, 2.0),
    "qwen": Family(_QWEN, 3, 0, 5, 16, 80, 2.0),
    "kimi": Family(_O200K, 20, -19, 5, 20, 14, 2.0),
    "gpt-": Family(_O200K, 3, 0, 4, 5, 10, -0.1, 0.9),
    "": Family(_LLAMA, 3, 0, 4, 12, 100, 2.0),
}
"""By a part of the model's name; the first that fits."""


def family_of(model: object) -> Family:
    """The family of a model's name; that of the empty name where no other fits."""
    name = model.lower() if isinstance(model, str) else ""
    return next(family for part, family in FAMILIES.items() if part in name)


def estimate(body: Mapping[str, Any]) -> int:
    """About how many tokens the prompt of a request's body has, by its model.

    `Calibration.bounds` says how far it may be off: most with models of an unknown family, and
    in languages other than English that are written in Latin letters.

    >>> estimate({"model": "openai/gpt-oss-20b", "messages": [{"content": "Say hello."}]})
    74
    """
    return family_of(body.get("model")).tokens(Prompt.of(body))


def maximum_of(parameters: Mapping[str, Any]) -> int:
    """``max_completion_tokens`` of a request, or its older name; 0 without.

    >>> maximum_of({"max_tokens": 100})
    100
    """
    given = (parameters.get(name) for name in ("max_completion_tokens", "max_tokens"))
    return next((value for value in given if type(value) is int and value > 0), 0)


class Bounds(NamedTuple):
    """How many tokens a prompt likely has, and between which they are in 95 of 100 cases."""

    least: int
    likely: int
    most: int


class Calibration:
    """What a process has learned from its answers: how far estimates are off, by account.

    An account is the name of a server, key and model.

    >>> calibration = Calibration()
    >>> for _ in range(3):
    ...     calibration.learn("m", 1_000, prompt_tokens=1_100)
    >>> calibration.bounds("m", 2_000)
    Bounds(least=1926, likely=2200, most=2474)
    """

    def __init__(self) -> None:
        self._seen: defaultdict[str, deque[tuple[int, float]]] = defaultdict(_recent)

    def learn(self, account: str, estimated: int, prompt_tokens: int) -> None:
        """Note what the server counted for a prompt of so many tokens by `estimate`."""
        ratio = prompt_tokens / max(1, estimated)
        if 0 < ratio <= _MOST_OFF:
            self._seen[account].append((estimated, max(ratio, 1 / _MOST_OFF)))

    def bounds(self, account: str, estimated: int) -> Bounds:
        """How many tokens the server will count, as estimates of about this size were off.

        By their median, with one more that was right: a single odd answer changes little.
        """
        near = self._near(account, estimated)
        likely = round(estimated * median([1.0, *near]))
        error = ERROR_LEARNED if len(near) >= _FEW else ERROR
        least = max(0, round(likely * (1 - error)) - SLACK)
        return Bounds(least, likely, round(likely * (1 + error)) + SLACK)

    def _near(self, account: str, estimated: int) -> list[float]:
        """The ratios of the prompts that are nearest in size."""
        size, seen = max(1, estimated), [*self._seen.get(account, ())]
        near = sorted((abs(math.log(other / size)), ratio) for other, ratio in seen)
        return [ratio for distance, ratio in near[:_NEAREST] if distance < _FAR]


_FEW, _NEAREST = 3, 5
_FAR = math.log(4)  # what a server adds to a short prompt says nothing of a long one
_MOST_OFF = 2.0  # more is not the prompt alone: what tools at the server read counts, too


def _recent() -> deque[tuple[int, float]]:
    return deque(maxlen=20)


def _weighed(text: Text, weights: Text) -> float:
    return sum(count * weight for count, weight in zip(text, weights, strict=True))


def _objects(value: Any) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list | tuple) else ()
    return [each for each in values if isinstance(each, Mapping)]


def _texts(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The texts of messages and of their parts."""
    for each in objects:
        yield from (text for text in map(each.get, ("content", "text")) if isinstance(text, str))


def _values(value: Any) -> Iterator[str]:
    """All names and values in an object of JSON."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from _values(each)
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_values, value))
    else:
        yield str(value)


def _classes() -> bytes:
    """For each first byte of a character in UTF-8, the letter of its class."""
    classes = bytearray(b"o" * 256)
    classes[:128] = b"." * 128
    classes[:32] = b"o" * 32
    of_bytes = {
        " ": b" \t", "n": b"\n", "0": b"0123456789",
        "a": range(0x61, 0x7B), "A": range(0x41, 0x5B), "l": [*range(0xC3, 0xCB), 0xE1],
        "r": range(0xCB, 0xD4), "h": range(0xD4, 0xE0), "i": [0xE0], "s": [0xC2, 0xE2],
        "k": [0xE3], "c": range(0xE4, 0xEA), "g": range(0xEA, 0xEE),
    }  # fmt: skip
    for letter, numbers in of_bytes.items():
        for number in numbers:
            classes[number] = ord(letter)
    return bytes(classes)


_CLASSES = _classes()
_DROPPED = b"\r" + bytes(range(0x80, 0xC0))  # a character is its first byte
_WORDS = bytes(97 if each in b"aAlrhi" else each if each in b".0n" else 32 for each in range(256))
