"""The wire's nouns: request body out, chunk in. Pure: no I/O.

Names are the API's own, https://console.groq.com/docs/api-reference#chat-create
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from groq_magic.errors import InputError

DEFAULT_MODEL = "openai/gpt-oss-120b"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation that is sent.

    >>> Message("user", "Hello").to_wire()
    {'role': 'user', 'content': 'Hello'}
    """

    role: str
    """"system", "user" or "assistant"."""
    content: str
    images: tuple[str, ...] = field(default=(), repr=False)
    """URLs of images that go with a user's text: https, or data with the image in it."""

    def __post_init__(self) -> None:
        """Raise `InputError` for a content that is no text, or cannot be sent."""
        if not isinstance(self.content, str):
            raise InputError(f"A message's content is text, not {reprlib.repr(self.content)}.")
        try:
            self.content.encode()
        except UnicodeEncodeError as error:
            half = self.content[error.start]
            raise InputError(
                f"The prompt has half a character, {half!r}, at {error.start}."
            ) from None

    def to_wire(self) -> dict[str, Any]:
        """The message as the API takes it; the API refuses any property beyond these.

        With images it is made of parts, https://console.groq.com/docs/vision
        """
        if not self.images:
            return {"role": self.role, "content": self.content}
        parts: list[dict[str, Any]] = [{"type": "text", "text": self.content}]
        parts += [{"type": "image_url", "image_url": {"url": url}} for url in self.images]
        return {"role": self.role, "content": parts}


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, as the server counted it; None where it did not say.

    >>> Usage(prompt_tokens=5, completion_time=0.25).to_dict()
    {'prompt_tokens': 5, 'completion_time': 0.25}
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """Reasoning included."""
    total_tokens: int | None = None
    queue_time: float | None = None
    """Seconds before the server began; not part of ``total_time``."""
    prompt_time: float | None = None
    """Seconds."""
    completion_time: float | None = None
    """Seconds."""
    total_time: float | None = None
    """Seconds: prompt and completion."""
    cached_tokens: int | None = None
    """Prompt tokens taken from the cache, on a hit."""
    reasoning_tokens: int | None = None

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Usage:
        """Read the API's ``usage`` object; what is no amount, or of no field here, is ignored."""
        flat = {
            **_object(wire, "prompt_tokens_details"),
            **_object(wire, "completion_tokens_details"),
            **wire,
        }
        return cls(**{f.name: _amount(flat.get(f.name)) for f in fields(cls)})

    def to_dict(self) -> dict[str, int | float]:
        """The fields that are known, by name."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called; ``arguments`` is JSON text, as sent.

    >>> begun = ToolCall(0, id="call_1", name="add", arguments='{"a": 1, ')
    >>> begun.plus(ToolCall(0, arguments='"b": 2}')).arguments
    '{"a": 1, "b": 2}'
    """

    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""

    def plus(self, more: ToolCall) -> ToolCall:
        """This call with the next delta of the same index added."""
        return replace(
            self,
            id=more.id or self.id,
            name=more.name or self.name,
            arguments=self.arguments + more.arguments,
        )


class Delta(NamedTuple):
    """What one chunk adds to the answer."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    executed_tools: tuple[dict[str, Any], ...] = ()
    """As sent; the same ``index`` sent again replaces the first."""
    annotations: tuple[dict[str, Any], ...] = ()


class Chunk(NamedTuple):
    """One ``chat.completion.chunk``: the delta of its only choice, and what ends an answer."""

    delta: Delta = Delta()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    request_id: str | None = None
    seed: int | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


class RateLimits(NamedTuple):
    """What is left, by the ``x-ratelimit-*`` headers; None where the server did not say.

    Groq counts requests by the day and tokens by the minute,
    https://console.groq.com/docs/rate-limits
    """

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests: float | None = None
    """Seconds until all requests are there again."""
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens: float | None = None
    """Seconds until all tokens are there again."""

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimits:
        """Read a response's headers, whose names are in lower case."""
        said = {name: headers.get(f"x-ratelimit-{name.replace('_', '-')}") for name in cls._fields}
        known: dict[str, Any] = {
            name: parse_duration(text) if name.startswith("reset") else _whole(text)
            for name, text in said.items()
            if text is not None
        }
        return cls(**known)


class Responded(NamedTuple):
    """The server has answered, for better or worse: its headers, their names in lower case."""

    request_id: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})


class Waiting(NamedTuple):
    """The request failed in a way that passes; it is sent again after ``seconds``."""

    reason: str
    seconds: float
    attempt: int
    """The number of the attempt that comes next: 2 is the first retry."""
    attempts: int
    """How many there will be at most."""


class Queued(NamedTuple):
    """The request is not sent yet: something else must end first."""

    reason: str


class Asked(NamedTuple):
    """The request goes out now, as part of a chat."""

    note: str
    """What became of the chat by it, for the reader."""


class Done(NamedTuple):
    """``data: [DONE]``: nothing of the answer follows, only the end of the response."""


Item = Queued | Asked | Responded | Waiting | Chunk | Done
"""What a stream is made of, in the order it happens."""


def request_body(
    messages: Sequence[Message], /, *, model: str = DEFAULT_MODEL, **parameters: Any
) -> dict[str, Any]:
    """The JSON object of a streaming request; parameters that are None are left out.

    >>> request_body([Message("user", "Hi")], model="m", temperature=None)
    {'model': 'm', 'messages': [{'role': 'user', 'content': 'Hi'}], 'stream': True}
    """
    _check(model, parameters)
    given = {name: value for name, value in parameters.items() if value is not None}
    return {
        "model": model,
        "messages": [message.to_wire() for message in messages],
        "stream": True,
        **given,
    }


_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:h|ms|m|s|us|µs|ns))+")
_LONGEST_NUMBER = 15  # digits: what is longer counts nothing, and the longest raise
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def parse_duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it, https://pkg.go.dev/time#ParseDuration.

    >>> parse_duration("2m59.56s"), parse_duration("130ms"), parse_duration("soon")
    (179.56, 0.13, None)
    """
    if len(text) > 4 * _LONGEST_NUMBER or not _DURATION.fullmatch(text):
        return None
    parts = re.findall(r"([\d.]+)([a-zµ]+)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


_LARGEST_AMOUNT = 10**12
_LONGEST_HEAD = 1000  # characters before the tag: blanks without end would be read for ever


class ThinkTags:
    """Takes ``<think>…</think>`` at the head of a text apart from what follows.

    Some models write their reasoning into the content so; the tags arrive in pieces.
    Anywhere else the tags are text. The blank lines behind the closing tag are dropped.
    """

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["head", "thought", "gap", "text"] = "head"

    @property
    def is_over(self) -> bool:
        """Whether all that follows is text."""
        return self._state == "text"

    def split(self, content: str) -> tuple[str, str]:
        """The reasoning and the text in the next piece of content."""
        self._held += content
        reasoning = ""
        if self._state == "head":
            self._leave_head()
        if self._state == "thought":
            reasoning = self._thought()
        if self._state == "gap":
            self._held = self._held.lstrip()
            self._state = "text" if self._held else "gap"
        return reasoning, self._text()

    def close(self) -> tuple[str, str]:
        """The reasoning and the text that were held back, because more might have come."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "thought" else ("", held)

    def _leave_head(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith("<think>"):
            self._held, self._state = begun.removeprefix("<think>"), "thought"
        elif not "<think>".startswith(begun) or len(self._held) > _LONGEST_HEAD:
            self._state = "text"

    def _thought(self) -> str:
        thought, tag, rest = self._held.partition("</think>")
        if tag:
            self._held, self._state = rest, "gap"
            return thought
        kept = next(n for n in range(7, -1, -1) if thought.endswith("</think>"[:n]))
        self._held = thought[len(thought) - kept :]
        return thought[: len(thought) - kept]

    def _text(self) -> str:
        if self._state != "text":
            return ""
        text, self._held = self._held, ""
        return text


def _object(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return wire.get(name) or {}


def _amount(value: Any) -> Any:
    """A count or a time, None for what is none."""
    return value if _is_number(value) and 0 <= value < _LARGEST_AMOUNT else None


def _check(model: str, parameters: Mapping[str, Any]) -> None:
    if not (isinstance(model, str) and model.strip() and model.isprintable()):
        raise InputError(f"model must be a name such as {DEFAULT_MODEL!r}, not {model!r}.")
    for name, value in parameters.items():
        if name in ("messages", "stream"):
            raise InputError(f"{name} is no parameter: it is what groq_magic itself sends.")
        is_right, words = _RULES.get(name, (_is_json, "JSON"))
        if value is not None and not is_right(value):
            raise InputError(f"{name} must be {words}, not {value!r}.")


def _is_json(value: object) -> bool:
    try:
        return bool(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return False


def _is_texts(value: object) -> bool:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return False
    return 1 <= len(texts) <= 4 and all(isinstance(text, str) and text for text in texts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number else None


# Only what no model will ever take otherwise: what a model supports, the server says.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (lambda value: _is_number(value) and 0 <= value <= 2, "a number from 0 to 2"),
    "top_p": (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "max_completion_tokens": (
        lambda value: type(value) is int and value >= 1,
        "a whole number from 1",
    ),
    "seed": (lambda value: type(value) is int, "a whole number"),
    "stop": (_is_texts, "a text or up to four"),
    "reasoning_effort": (lambda value: isinstance(value, str), "a word such as 'low'"),
    "reasoning_format": (lambda value: isinstance(value, str), "a word such as 'parsed'"),
    "service_tier": (lambda value: isinstance(value, str), "a word such as 'flex'"),
}
