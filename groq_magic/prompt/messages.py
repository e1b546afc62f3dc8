"""A prompt as the user gives it, as the messages of a request."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence

from groq_magic.errors import InputError
from groq_magic.wire.protocol import Message

from .images import check_images, image_url

Prompt = str | Sequence[Message | Mapping[str, str]]
"""Text, or the messages of a conversation so far."""


def to_messages(
    prompt: Prompt, system: str | None = None, images: Iterable[object] = ()
) -> list[Message]:
    """The messages for ``prompt``, after the system message if there is one.

    ``images`` need a prompt that is text; `images.image_url` says what an image may be.
    Raises `InputError` for a prompt without text, an invalid message, and images that the
    API does not accept.

    >>> to_messages("Hi", system="Be brief.")[0]
    Message(role='system', content='Be brief.')
    """
    if isinstance(images, str | bytes) or not isinstance(images, Iterable):
        raise InputError("images must be a list, as in images=[figure].")
    urls = tuple(map(image_url, images))
    check_images(urls)
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


def _messages(items: Sequence[Message | Mapping[str, str]]) -> list[Message]:
    if not isinstance(items, Sequence):
        raise InputError(f"A prompt is text or a list of messages, not {reprlib.repr(items)}.")
    if not items:
        raise InputError("The prompt is empty: give it some text.")
    messages = list(map(_message, items))
    check_images(url for message in messages for url in message.images)
    return messages


def _message(item: Message | Mapping[str, str]) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, Mapping) and {"role", "content"} == item.keys():
        role, content = item["role"], item["content"]
        if isinstance(role, str) and isinstance(content, str):
            return Message(role, content)
    given = reprlib.repr(item)
    raise InputError(f"A message is a Message or a dict with role and content, not {given}.")
