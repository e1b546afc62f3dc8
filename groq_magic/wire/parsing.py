"""Bytes of a body to chunks. Pure: no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from groq_magic.errors import APIError

from .protocol import Chunk, Delta, Done, ToolCall, Usage
from .sse import ServerSentEvent, SSEDecoder


class BodyReader:
    r"""Turns the bytes of a body into chunks until ``[DONE]``; what follows is ignored.

    ``clean`` changes the data of each event before it is parsed.

    >>> [*BodyReader(str.upper).feed(b"data: [DONE]\n\ndata: more\n\n")]
    [Done()]
    """

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._decoder = SSEDecoder()
        self._is_over = False

    def feed(self, piece: bytes) -> Iterator[Chunk | Done]:
        """Yield what the next bytes complete; then raise `APIError` if an event is wrong."""
        return self._items(self._decoder.feed(piece))

    def close(self) -> Iterator[Chunk | Done]:
        """Yield what the end of the body completes."""
        return self._items(self._decoder.close())

    def _items(self, events: list[ServerSentEvent]) -> Iterator[Chunk | Done]:
        for data, name, _, _ in events:
            if self._is_over:
                return
            if data.startswith("[DONE]"):
                self._is_over = True
                yield Done()
            elif data and (name == "message" or '"choices"' in data):  # and not "event: ping"
                yield parse_chunk(self._clean(data))
            elif name == "error":
                raise _error_event(self._clean(data))


_LONGEST_WORD = 200
_raw_decode = json.JSONDecoder().raw_decode


def parse_chunk(data: str) -> Chunk:
    """Parse the data of one event, or an answer that was not streamed; ignore unknown fields.

    Raises `APIError` for an error object and for data that is not a chunk.
    """
    try:
        wire = _loads(data)
    except (ValueError, RecursionError):  # the latter for endless brackets
        raise APIError(f"The server sent an event that is not JSON: {data[:80]!r}") from None
    if not isinstance(wire, dict):
        raise APIError(f"The server sent an event that is not a JSON object: {data[:80]!r}")
    return chunk_of(wire)


def chunk_of(wire: dict[str, Any]) -> Chunk:
    """The chunk that ``wire`` is; ignore unknown fields.

    Raises `APIError` for an error object and for what is not a chunk.
    """
    if is_error(wire):
        raise in_stream_error(wire)
    try:
        return _chunk(wire)
    except (AttributeError, IndexError, KeyError, TypeError):
        data = json.dumps(wire, ensure_ascii=False, default=repr)
        raise APIError(f"The server sent a chunk of another form: {data[:80]!r}") from None


def unparse_chunk(chunk: Chunk) -> str:
    """The data of an event that `parse_chunk` reads as ``chunk``, in ASCII.

    >>> parse_chunk(unparse_chunk(Chunk(Delta("Hi"), "stop"))) == Chunk(Delta("Hi"), "stop")
    True
    """
    usage, delta = chunk.usage, chunk.delta._asdict()
    delta["tool_calls"] = list(map(_wire_call, chunk.delta.tool_calls))
    said = {name: value for name, value in delta.items() if value}
    shares = usage.breakdown if usage else ()
    models = [{"model": model, "usage": share.to_dict()} for model, share in shares]
    wire = {
        "choices": [{"delta": said, "finish_reason": chunk.finish_reason}],
        "usage": usage and usage.to_dict(),
        "usage_breakdown": {"models": models},
        "x_groq": {"id": chunk.request_id, "seed": chunk.seed},
        **{name: getattr(chunk, name) for name in ("model", "system_fingerprint", "service_tier")},
    }
    return json.dumps(wire)


def _loads(data: str) -> Any:
    """As `json.loads`, in half its time."""
    text = data.strip()
    value, end = _raw_decode(text)
    if end != len(text):
        raise ValueError(text)
    return value


def _error_event(data: str) -> APIError:
    """The error of an ``event: error``, whatever its form."""
    try:
        wire = json.loads(data)
    except (ValueError, RecursionError):
        wire = None
    return in_stream_error(wire) if isinstance(wire, dict) else APIError(data or _NO_MESSAGE)


_NO_MESSAGE = "The server reported an error"


def is_error(wire: Mapping[str, Any]) -> bool:
    """Whether a body or event reports an error, in any of the forms that servers use."""
    if "choices" in wire:
        return bool(wire.get("error"))
    return wire.get("object") == "error" or any(map(wire.get, ("error", "errors", "detail")))


def in_stream_error(wire: Mapping[str, Any]) -> APIError:
    """The exception for a body or event that reports an error."""
    return APIError(said_in(wire) or _NO_MESSAGE, fields_of(wire))


def fields_of(wire: Mapping[str, Any]) -> dict[str, Any]:
    """The object that holds the ``code`` and the other fields of an error."""
    match wire:
        case {"error": dict() as fields} | {"errors": [dict() as fields, *_]}:
            return fields
    return dict(wire)


def said_in(wire: Any, depth: int = 4) -> str:
    """The sentences in a server's error; empty where there are none.

    >>> said_in({"detail": [{"msg": "Field required", "loc": ["body", "model"]}]})
    'Field required (body.model)'
    """
    match wire:
        case str():
            return wire
        case {"msg": str(said), "loc": list(place)}:
            path = ".".join(str(step) for step in place if isinstance(step, str | int))
            return f"{said} ({path})"
        case dict() if depth:
            names = ("message", "msg", "detail", "error", "errors")
            return next(filter(None, (said_in(wire.get(name), depth - 1) for name in names)), "")
        case list() if depth:
            return "; ".join(filter(None, (said_in(part, depth - 1) for part in wire[:3])))
    return ""


def _chunk(wire: dict[str, Any]) -> Chunk:
    x_groq = wire.get("x_groq") or {}
    if x_groq.get("error"):
        said = said_in(x_groq["error"]) or _NO_MESSAGE
        raise APIError(f"The server stopped the answer: {said}", fields_of(x_groq))
    choices = wire.get("choices") or [{}]  # the usage-only chunk has none
    choice = choices[0]
    seed = x_groq.get("seed")
    breakdown = x_groq.get("usage_breakdown") or wire.get("usage_breakdown")
    usage = wire.get("usage") or x_groq.get("usage")  # until late 2025 only in x_groq
    return Chunk(
        _delta(choice.get("delta") or _numbered(choice.get("message") or {})),
        word(choice.get("finish_reason")),
        Usage.from_wire(usage, breakdown) if usage else None,
        word(wire.get("model")),
        word(x_groq.get("id")),
        seed if type(seed) is int else None,
        word(wire.get("system_fingerprint")),
        word(wire.get("service_tier")),
    )


def word(value: object) -> str | None:
    """A name from the server; None if it is not text, is long, or has control characters."""
    if value is None or not isinstance(value, str) or len(value) > _LONGEST_WORD:
        return None
    return value if value.isprintable() else None


def _delta(wire: dict[str, Any]) -> Delta:
    content, reasoning = wire.get("content") or "", wire.get("reasoning")
    if reasoning is None:
        reasoning = wire.get("reasoning_content")  # as vLLM, DeepSeek and llama.cpp call it
    reasoning = reasoning or ""
    if isinstance(content, list):
        content, thoughts = _joined(content)
        reasoning = reasoning or thoughts
    if not (isinstance(content, str) and isinstance(reasoning, str)):
        raise TypeError("content")
    if content and len(wire) == 1:  # as most
        return Delta(content, reasoning)
    return Delta(
        content,
        reasoning,
        tuple(map(_tool_call, wire.get("tool_calls") or ())),
        tuple(filter(_is_executed_tool, wire.get("executed_tools") or ())),
        tuple(filter(_is_object, wire.get("annotations") or ())),
    )


def _numbered(message: dict[str, Any]) -> dict[str, Any]:
    """The message of an answer that was not streamed, where calls and tools may have no index."""
    calls = [{**call, "index": n} for n, call in enumerate(message.get("tool_calls") or ())]
    ran = enumerate(filter(_is_object, message.get("executed_tools") or ()))
    tools = [{"index": n, **tool} for n, tool in ran]
    return {**message, "tool_calls": calls, "executed_tools": tools}


def _joined(parts: list[Any]) -> tuple[str, str]:
    """Text and reasoning of a content that is a list of parts, as Mistral sends it."""
    thoughts = [part for whole in parts for part in whole.get("thinking") or ()]
    return "".join(map(_text_of, parts)), "".join(map(_text_of, thoughts))


def _text_of(part: dict[str, Any]) -> Any:
    return part["text"] if part.get("type") == "text" else ""


def _tool_call(wire: dict[str, Any]) -> ToolCall:
    function = wire.get("function") or {}
    call = ToolCall(
        index=wire.get("index") or 0,
        id=wire.get("id") or "",
        name=function.get("name") or "",
        arguments=function.get("arguments") or "",
    )
    if list(map(type, (call.index, call.id, call.name, call.arguments))) != [int, str, str, str]:
        raise TypeError("tool_calls")
    return call


def _wire_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}  # which may be a part
    return {"index": call.index, "id": call.id, "function": function}


def _is_executed_tool(wire: Any) -> bool:
    return _is_object(wire) and isinstance(wire.get("index"), int | None)


def _is_object(wire: Any) -> bool:
    return isinstance(wire, dict)
