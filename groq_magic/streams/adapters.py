"""What the items of other libraries' streams mean, as chunks. Pure: no I/O.

No library is imported: an item is recognised by what it has, be it an object or a dict. A new
library is a line of ``_EVENTS`` or of ``_MESSAGES``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from groq_magic.errors import APIError, InputError
from groq_magic.wire.parsing import chunk_of, word
from groq_magic.wire.protocol import Chunk, Delta, ToolCall, Usage


class _Form(NamedTuple):
    """Where an item has what: paths; of two with a bar between them the first that leads there."""

    content: str = ""
    reasoning: str = ""
    calls: str = ""
    """A tool call that begins, or a list of calls and pieces of calls."""
    arguments: str = ""
    """The next piece of the JSON of the call with the item's index."""
    cited: str = ""
    usage: str = ""
    finish_reason: str = ""
    model: str = ""
    request_id: str = ""
    error: str = ""


_ERROR = _Form(error="error.message|response.error.message|message")
_END = _Form(
    usage="response.usage",
    finish_reason="response.incomplete_details.reason|response.status",
    model="response.model",
    request_id="response.id",
)
_EVENTS = {
    # Anthropic, https://docs.anthropic.com/en/docs/build-with-claude/streaming
    "message_start": _Form(usage="message.usage", model="message.model", request_id="message.id"),
    "content_block_start": _Form("content_block.text", "content_block.thinking", "content_block"),
    "content_block_delta": _Form(
        "delta.text", "delta.thinking", "", "delta.partial_json", "delta.citation"
    ),
    "message_delta": _Form(usage="usage", finish_reason="delta.stop_reason"),
    # OpenAI's Responses, https://platform.openai.com/docs/api-reference/responses-streaming
    "response.output_text.delta": _Form(content="delta"),
    "response.refusal.delta": _Form(content="delta"),
    "response.reasoning_text.delta": _Form(reasoning="delta"),
    "response.reasoning_summary_text.delta": _Form(reasoning="delta"),
    "response.output_item.added": _Form(calls="item"),
    "response.function_call_arguments.delta": _Form(arguments="delta"),
    "response.output_text.annotation.added": _Form(cited="annotation"),
    "response.completed": _END,
    "response.incomplete": _END,
    "response.failed": _ERROR,
    "error": _ERROR,
}
_MESSAGES = {
    # LangChain, https://reference.langchain.com/python/langchain_core/messages/
    "response_metadata": _Form(
        "content",
        "additional_kwargs.reasoning_content",
        "tool_call_chunks",
        usage="usage_metadata",
        finish_reason="response_metadata.finish_reason|response_metadata.stop_reason",
        model="response_metadata.model_name|response_metadata.model",
    ),
    # chatlas, https://posit-dev.github.io/chatlas/ (it runs the calls of its tools by itself)
    "content_type": _Form("text", "thinking", cited="source"),
}
_CALLS = ("tool_use", "function_call", "tool_call_chunk")
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_PROMPT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_CACHED = (
    "cache_read_input_tokens|input_tokens_details.cached_tokens|input_token_details.cache_read"
)
_THOUGHT = "output_tokens_details.reasoning_tokens|output_token_details.reasoning"


class Adapter:
    """Turns the items of one stream into chunks.

    >>> adapter = Adapter()
    >>> adapter.chunk("Hi").delta.content
    'Hi'
    >>> adapter.chunk({"choices": [{"delta": {"content": "!"}}]}).delta.content
    '!'
    """

    def __init__(self) -> None:
        self._counts: dict[str, Any] = {}
        self._called: set[int] = set()
        self._has_end = False  # or is to have one of its own

    def chunk(self, item: object) -> Chunk:
        """What ``item`` adds to the answer; nothing if it is an event of another kind.

        Raises `InputError` for an item of no known form, and `APIError` for a server's error.
        """
        if isinstance(item, str):
            return Chunk(Delta(item))
        if isinstance(item, tuple) and item:  # LangGraph's message, and what it is about
            item = item[0]
        wire: Any = item
        if _at(wire, "choices") is not None:  # OpenAI, Groq, LiteLLM
            self._has_end = True
            return chunk_of(dict(wire) if isinstance(wire, Mapping) else wire.model_dump())
        chunk = self._chunk(item, self._form(item))
        self._has_end |= chunk.finish_reason is not None
        return chunk

    def end(self) -> Chunk:
        """What the end of the stream adds: that of texts is the only sign that all have come."""
        return Chunk() if self._has_end else Chunk(finish_reason="stop")

    def _form(self, item: object) -> _Form:
        kind = _text(_at(item, "type"))
        for name, form in _MESSAGES.items():
            if _at(item, name) is not None:  # not what a tool or the user says in LangGraph
                return form if name == "content_type" or kind.lower().startswith("ai") else _Form()
        if not kind:
            raise InputError(
                f"show() does not know items of type {type(item).__name__}. "
                "Give it the texts in them: show(text_of(item) for item in source)."
            )
        self._has_end = True  # or the stream was cut
        return _EVENTS.get(kind, _Form())

    def _chunk(self, item: Any, form: _Form) -> Chunk:
        if error := _text(_at(item, form.error)):
            raise APIError(error)
        content = _at(item, form.content)
        reasoning = _text(_at(item, form.reasoning)) + _thoughts(content)
        calls = tuple(self._calls(item, form))
        cited = _at(item, form.cited)
        pages = ({"url": _at(cited, "url"), "title": _at(cited, "title")},) if cited else ()
        return Chunk(
            Delta(_text(content), reasoning, calls, annotations=pages),
            _reason(_at(item, form.finish_reason)),
            self._usage(_at(item, form.usage)),
            word(_at(item, form.model)),
            word(_at(item, form.request_id)),
        )

    def _calls(self, item: Any, form: _Form) -> Iterator[ToolCall]:
        """The pieces of calls; those of tools that the server runs have other types."""
        index = _at(item, "index|output_index")
        begun = _at(item, form.calls)
        for call in begun if isinstance(begun, list) else [begun]:
            if _at(call, "type") in _CALLS:
                number = _number(index if index is not None else _at(call, "index"))
                self._called.add(number)
                texts = (_text(_at(call, path)) for path in ("call_id|id", "name", "args"))
                yield ToolCall(number, *texts)
        if (piece := _text(_at(item, form.arguments))) and _number(index) in self._called:
            yield ToolCall(_number(index), arguments=piece)

    def _usage(self, wire: Any) -> Usage | None:
        """All counts so far: some count the prompt at the start and the answer at the end."""
        if wire is None:
            return None
        counts = {
            "prompt_tokens": sum(_number(_at(wire, name)) for name in _PROMPT),
            "completion_tokens": _at(wire, "output_tokens"),
            "cached_tokens": _at(wire, _CACHED),
            "reasoning_tokens": _at(wire, _THOUGHT),
        }
        self._counts |= {name: count for name, count in counts.items() if count}
        return Usage.from_wire(self._counts)


def _at(item: Any, paths: str) -> Any:
    """What the first path leads to that leads to anything, through objects and dicts."""
    for path in paths.split("|") if paths else ():
        found = item
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
        if found is not None:
            return found
    return None


def _text(value: Any) -> str:
    """A text, or those in the blocks of a list."""
    if isinstance(value, list):
        return "".join(
            block if isinstance(block, str) else _text(_at(block, "text")) for block in value
        )
    return value if isinstance(value, str) else ""


def _thoughts(content: Any) -> str:
    """The reasoning in the blocks of a list."""
    blocks = content if isinstance(content, list) else []
    return "".join(_text(_at(block, "thinking|reasoning|summary")) for block in blocks)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _reason(said: Any) -> str | None:
    reason = word(said)
    return _REASONS.get(reason.lower(), reason.lower()) if reason else None
