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
    head = [Message("system", system)] if system else []
    if isinstance(prompt, str):
        return [*head, Message("user", _text(prompt))]
    messages = [_message(item) for item in prompt]
    if not messages:
        raise InputError("The prompt is empty: give it some text.")
    return [*head, *messages]


def _text(prompt: str) -> str:
    if not prompt.strip():
        raise InputError("The prompt is empty: write it below the %%groq line.")
    return prompt.removesuffix("\n")


def _message(item: Message | Mapping[str, str]) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, Mapping) and {"role", "content"} == item.keys():
        return Message(item["role"], item["content"])
    raise InputError(f"A message is a Message, or a dict of role and content, not {item!r}.")
