"""A prompt as the user gives it, as the messages of a request."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from groq_magic.errors import InputError
from groq_magic.wire.protocol import Message, ToolCall

from .images import image_url

Prompt = str | Sequence[Message | Mapping[str, Any]]
"""Text, or the messages of a conversation so far."""
_KEYS = {"role", "content", "tool_calls", "tool_call_id", "name"}


def to_messages(
    prompt: Prompt, system: str | None = None, images: Iterable[object] = ()
) -> list[Message]:
    """The messages for ``prompt``, after the system message if there is one.

    ``images`` need a prompt that is text; `images.image_url` says what an image may be.
    Raises `InputError` for a prompt without text, an invalid message, a tool's result without
    its call, and images of another kind than the API's.

    >>> to_messages("Hi", system="Be brief.")[0].to_wire()
    {'role': 'system', 'content': 'Be brief.'}
    """
    if isinstance(images, str | bytes) or not isinstance(images, Iterable):
        raise InputError("images must be a list, as in images=[figure].")
    urls = tuple(map(image_url, images))
    head = [Message("system", system)] if system else []
    if isinstance(prompt, str):
        return [*head, Message("user", _text(prompt), urls)]
    if urls:
        raise InputError("images need a prompt that is text. A Message has its own images.")
    return [*head, *_messages(prompt)]


def _text(prompt: str) -> str:
    if not prompt.strip():
        raise InputError("The prompt is empty: write it below the %%groq line.")
    return prompt.removesuffix("\n")


def _messages(items: Sequence[Message | Mapping[str, Any]]) -> list[Message]:
    if not isinstance(items, Sequence):
        raise InputError(f"A prompt is text or a list of messages, not {reprlib.repr(items)}.")
    if not items:
        raise InputError("The prompt is empty: give it some text.")
    messages = list(map(_message, items))
    _check_results(messages)
    return messages


def _check_results(messages: list[Message]) -> None:
    """Raise `InputError` for a result without its call, which the API refuses."""
    called: set[str] = set()
    for message in messages:
        called |= {call.id for call in message.tool_calls}
        if message.tool_call_id and message.tool_call_id not in called:
            raise InputError(
                f"The result of {message.tool_call_id!r} has no call: put the assistant's message "
                "with its tool_calls before it."
            )


def _message(item: Message | Mapping[str, Any]) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, Mapping) and "role" in item and item.keys() <= _KEYS:
        role, content, calls = item["role"], item.get("content"), item.get("tool_calls")
        calls = calls if isinstance(calls, Iterable | None) else [calls]
        has_name = "name" in item and role != "tool"  # a function's name beside its result
        if isinstance(role, str) and not has_name and (isinstance(content, str) or calls):
            calls = tuple(map(_tool_call, calls or ()))
            return Message(role, content or "", (), calls, item.get("tool_call_id"))
    given = reprlib.repr(item)
    raise InputError(f"A message is a Message or a dict with role and content, not {given}.")


def _tool_call(call: Any) -> ToolCall:
    match call:
        case ToolCall():
            return call
        case {"id": str(name), "function": {"name": str(function), "arguments": str(arguments)}}:
            return ToolCall(id=name, name=function, arguments=arguments)
    raise InputError(f"A tool call is a ToolCall or the API's JSON, not {reprlib.repr(call)}.")
