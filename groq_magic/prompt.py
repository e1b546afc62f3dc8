"""A prompt, as people give it, to the messages that are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .chat import Message
from .errors import InputError

Prompt = str | Sequence[Message | Mapping[str, str]]
"""Text, or the messages of a conversation so far."""


def to_messages(prompt: Prompt, system: str | None = None) -> list[Message]:
    """The messages for ``prompt``, the system message first where there is one.

    Raises `InputError` for a prompt without any text and for a message that is none.

    >>> to_messages("Hi", system="Be brief.")[0]
    Message(role='system', content='Be brief.')
    """
    head = [Message("system", _sendable(system))] if system else []
    if isinstance(prompt, str):
        return [*head, Message("user", _text(prompt))]
    return [*head, *_messages(prompt)]


def _messages(items: Sequence[Message | Mapping[str, str]]) -> list[Message]:
    if not isinstance(items, Sequence):
        raise InputError(f"A prompt is text, or a list of messages, not {items!r}.")
    if not items:
        raise InputError("The prompt is empty: give it some text.")
    return [_message(item) for item in items]


def _text(prompt: str) -> str:
    if not prompt.strip():
        raise InputError("The prompt is empty: write it below the %%groq line.")
    return _sendable(prompt.removesuffix("\n"))


def _sendable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"The prompt has half a character, {text[error.start]!r}, at {error.start}."
        ) from None
    return text


def _message(item: Message | Mapping[str, str]) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, Mapping) and {"role", "content"} == item.keys():
        role, content = item["role"], item["content"]
        if isinstance(role, str) and isinstance(content, str):
            return Message(role, _sendable(content))
    raise InputError(f"A message is a Message, or a dict of role and content, not {item!r}.")
