"""Types of requests and responses, named as the API names them. Pure: no I/O.

https://console.groq.com/docs/api-reference#chat-create
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from groq_magic.errors import InputError, ParseError

from . import DEFAULT_MODEL


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model asks the caller to run; ``arguments`` is JSON text, as sent.

    >>> call = ToolCall(0, id="call_1", name="add", arguments='{"a": 1, "b": 2}')
    >>> call.parse()
    {'a': 1, 'b': 2}
    """

    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""

    def to_wire(self) -> dict[str, Any]:
        """The call as JSON, for the message that the model's next request repeats."""
        function = {"name": self.name, "arguments": self.arguments or "{}"}
        return {"id": self.id, "type": "function", "function": function}

    def parse(self) -> dict[str, Any]:
        """The arguments by name; none for an empty text and for ``null``.

        Raises `ParseError` if they are not a JSON object.
        """
        try:
            arguments = json.loads(self.arguments or "null")
        except (ValueError, RecursionError):
            arguments = self.arguments
        if isinstance(arguments, dict | None):
            return arguments or {}
        said = f"The arguments of {reprlib.repr(self.name)} are not a JSON object"
        raise ParseError(said, self.arguments, "Ask again, or raise max_completion_tokens.")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request.

    Raises `InputError` for a content that is not text, for text that UTF-8 cannot encode, and
    for tool calls and results that the API refuses.

    >>> Message("user", "Hello").to_wire()
    {'role': 'user', 'content': 'Hello'}
    >>> Message("tool", "20 °C", tool_call_id="call_1").to_wire()
    {'role': 'tool', 'content': '20 °C', 'tool_call_id': 'call_1'}
    """

    role: str
    """"system", "user", "assistant" or "tool"."""
    content: str
    """Empty in a message that only calls tools."""
    images: tuple[str, ...] = field(default=(), repr=False)
    """URLs of images that belong to a user's message, ``https:`` or ``data:``."""
    tool_calls: Collection[ToolCall] = ()
    """The calls that an assistant's message asks for, such as ``answer.tool_calls.values()``."""
    tool_call_id: str | None = None
    """In a message of role "tool": the call whose result ``content`` is."""

    def __post_init__(self) -> None:
        if not isinstance(self.content, str):
            raise InputError(f"A message's content is text, not {reprlib.repr(self.content)}.")
        object.__setattr__(self, "tool_calls", _calls(self.tool_calls))
        if self.tool_calls and self.role != "assistant":
            raise InputError(f"Only an assistant's message has tool_calls, not one of {self.role}.")
        has_id = isinstance(self.tool_call_id, str) and self.tool_call_id != ""
        if has_id != (self.role == "tool") or not isinstance(self.tool_call_id, str | None):
            raise InputError('A tool_call_id belongs to a message of role "tool", and only there.')
        parts = (part for call in self.tool_calls for part in (call.id, call.name, call.arguments))
        for text in (self.content, self.tool_call_id or "", *parts):
            _check_text(text)

    def to_wire(self) -> dict[str, Any]:
        """The message as JSON; the API refuses other properties.

        With images the content is a list of parts, https://console.groq.com/docs/vision;
        a message that only calls tools has null.
        """
        if self.images:
            parts: list[dict[str, Any]] = [{"type": "text", "text": self.content}]
            parts += [{"type": "image_url", "image_url": {"url": url}} for url in self.images]
            return {"role": self.role, "content": parts}
        if self.tool_calls:
            calls = [call.to_wire() for call in self.tool_calls]
            return {"role": self.role, "content": self.content or None, "tool_calls": calls}
        wire = {"role": self.role, "content": self.content}
        return {**wire, "tool_call_id": self.tool_call_id} if self.tool_call_id else wire


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens and seconds that the server counted; None where it did not say.

    >>> Usage(prompt_tokens=5, completion_time=0.25).to_dict()
    {'prompt_tokens': 5, 'completion_time': 0.25}
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """Reasoning included."""
    total_tokens: int | None = None
    queue_time: float | None = None
    """Seconds in the server's queue; not part of ``total_time``."""
    prompt_time: float | None = None
    """Seconds."""
    completion_time: float | None = None
    """Seconds."""
    total_time: float | None = None
    """Seconds: prompt and completion."""
    cached_tokens: int | None = None
    """Prompt tokens that were in the server's cache."""
    reasoning_tokens: int | None = None
    breakdown: tuple[tuple[str, Usage], ...] = ()
    """Each model that a compound system used, by its name, with its share."""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], breakdown: Any = None) -> Usage:
        """Read the API's ``usage`` and ``usage_breakdown``; ignore unknown and wrong values."""
        flat = {
            **_object(wire, "prompt_tokens_details"),
            **_object(wire, "completion_tokens_details"),
            **wire,
        }
        amounts = {f.name: _amount(flat.get(f.name)) for f in fields(cls)[:-1]}
        return cls(**amounts, breakdown=tuple(_shares(breakdown)))

    def to_dict(self) -> dict[str, Any]:
        """The known fields by name; the breakdown is a list of such dicts with ``model``."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self)[:-1])
        shares = [{"model": model, **usage.to_dict()} for model, usage in self.breakdown]
        known = {name: value for name, value in values if value is not None}
        return {**known, "breakdown": shares} if shares else known


class Delta(NamedTuple):
    """What one chunk adds to the answer."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    executed_tools: tuple[dict[str, Any], ...] = ()
    """As sent; a later one with the same ``index`` adds to the earlier."""
    annotations: tuple[dict[str, Any], ...] = ()


class Chunk(NamedTuple):
    """One ``chat.completion.chunk`` with the delta of its only choice."""

    delta: Delta = Delta()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    request_id: str | None = None
    seed: int | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


class Responded(NamedTuple):
    """A response has begun; the names of its headers are in lower case."""

    request_id: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    status_code: int = 200


class Waiting(NamedTuple):
    """The request failed for now; it is sent again after ``seconds``."""

    reason: str
    seconds: float
    attempt: int
    """The number of the next attempt; 2 is the first retry."""
    attempts: int
    """The largest number of attempts."""
    message: str = ""
    """What the server said."""


class Queued(NamedTuple):
    """The request waits until an earlier turn ends."""

    reason: str


class Planned(NamedTuple):
    """The request is sent after ``seconds``, when its minute has room for it."""

    tokens: int
    """What the server will count: the prompt, as estimated, and ``max_completion_tokens``."""
    limit: int | None
    """Tokens a minute; None as long as it is not known."""
    seconds: float = 0.0
    requests: int | None = None
    """Requests a minute, where these are used up."""


class Asked(NamedTuple):
    """The request of a chat is sent now."""

    note: str
    """What the request changed in the chat, for the reader."""


class Done(NamedTuple):
    """``data: [DONE]``: the answer is complete; only the end of the body follows."""


class Kept(NamedTuple):
    """The answer of an earlier run follows; nothing was sent."""

    since: datetime
    """When it was asked."""
    asked: int
    """How often, this time included."""
    request_id: str | None
    seconds: float
    """From the request to the end."""
    first_token: float | None
    """Seconds from the request to the first token."""
    thinking: float | None
    """Seconds from the first reasoning to the first text."""

    @property
    def day(self) -> str:
        """The date in local time; the year where it is not this one."""
        since, today = self.since.astimezone(), datetime.now().astimezone()
        return f"{since.day} {since:{'%b' if since.year == today.year else '%b %Y'}}"


class Missed(NamedTuple):
    """No answer is kept: the request is sent now."""

    note: str = ""
    """Why not, for the reader."""


Item = Queued | Asked | Kept | Missed | Planned | Responded | Waiting | Chunk | Done
"""What a stream yields, in this order."""


def request_parameters(*, model: str = DEFAULT_MODEL, **parameters: Any) -> dict[str, Any]:
    """The parameters of a request, without those that are None.

    Raises `InputError` for a value that no model accepts.

    >>> request_parameters(model="m", temperature=None, seed=1)
    {'model': 'm', 'seed': 1}
    """
    _check(model, parameters)
    given = {name: value for name, value in parameters.items() if value is not None}
    return {"model": model, **given}


def request_body(messages: Sequence[Message], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a request: streaming, unless it has a JSON schema.

    Groq refuses both together, https://console.groq.com/docs/structured-outputs

    >>> request_body([Message("user", "Hi")], {"model": "m"})
    {'model': 'm', 'messages': [{'role': 'user', 'content': 'Hi'}], 'stream': True}
    """
    wire = [message.to_wire() for message in messages]
    form = parameters.get("response_format") or {}
    return {**parameters, "messages": wire, "stream": form.get("type") != "json_schema"}


def _calls(given: Any) -> tuple[ToolCall, ...]:
    calls = tuple(given) if isinstance(given, Iterable) else (given,)
    for call in calls:
        if not (isinstance(call, ToolCall) and call.id and call.name):
            said = f"tool_calls are ToolCalls with an id and a name, not {reprlib.repr(call)}."
            raise InputError(said)
    return calls


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        said = f"The prompt has half a character, {half!r}, at index {error.start}."
        raise InputError(said) from None


_LARGEST_AMOUNT = 10**12


def _object(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return wire.get(name) or {}


def _shares(breakdown: Any) -> Iterator[tuple[str, Usage]]:
    models = breakdown.get("models") if isinstance(breakdown, dict) else None
    for wire in models if isinstance(models, list) else ():
        match wire:
            case {"model": str(model), "usage": dict(usage)}:
                yield model, Usage.from_wire(usage)


def _amount(value: Any) -> Any:
    """A count or a time; None for any other value."""
    return value if _is_number(value) and 0 <= value < _LARGEST_AMOUNT else None


def _check(model: str, parameters: Mapping[str, Any]) -> None:
    if not (isinstance(model, str) and model.strip() and model.isprintable()):
        raise InputError(f"model must be a name such as {DEFAULT_MODEL!r}, not {model!r}.")
    for name, value in parameters.items():
        if name in ("messages", "stream"):
            raise InputError(f"{name} is no parameter: groq_magic sets it.")
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


# Only limits of all models: what one model supports is the server's to say.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (lambda value: _is_number(value) and 0 <= value <= 2, "a number from 0 to 2"),
    "top_p": (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "max_completion_tokens": (
        lambda value: type(value) is int and value >= 1,
        "a whole number from 1",
    ),
    "seed": (lambda value: type(value) is int, "a whole number"),
    "stop": (_is_texts, "a text or up to four texts"),
    "reasoning_effort": (lambda value: isinstance(value, str), "a word such as 'low'"),
    "reasoning_format": (lambda value: isinstance(value, str), "a word such as 'parsed'"),
    "response_format": (
        lambda value: isinstance(value, Mapping) and "type" in value and _is_json(value),
        "a pydantic class or JSON such as {'type': 'json_object'}",
    ),
    "service_tier": (lambda value: isinstance(value, str), "a word such as 'flex'"),
}
