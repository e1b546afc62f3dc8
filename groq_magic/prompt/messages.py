"""A prompt, as people give it, to the messages that are sent."""

from __future__ import annotations

import builtins
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from types import CodeType
from typing import Any, NamedTuple

from groq_magic.errors import InputError
from groq_magic.wire.protocol import Message

from .images import check_images, image_url
from .values import Block

Prompt = str | Sequence[Message | Mapping[str, str]]
"""Text, or the messages of a conversation so far."""


def to_messages(
    prompt: Prompt, system: str | None = None, images: Iterable[object] = ()
) -> list[Message]:
    """The messages for ``prompt``, the system message first where there is one.

    ``images`` go with a prompt that is text; what they may be, `images.image_url` says.
    Raises `InputError` for a prompt without any text, for a message that is none, and for
    images that the API would not take.

    >>> to_messages("Hi", system="Be brief.")[0]
    Message(role='system', content='Be brief.')
    """
    head = [Message("system", system)] if system else []
    urls = tuple(map(image_url, _listed(images)))
    check_images(urls)
    if isinstance(prompt, str):
        return [*head, Message("user", _text(prompt), urls)]
    if urls:
        raise InputError("Images go with a prompt that is text. A Message has its own images.")
    return [*head, *_messages(prompt)]


def _listed(images: Iterable[object]) -> Iterable[object]:
    if isinstance(images, str | bytes) or not isinstance(images, Iterable):
        raise InputError("images must be a list, as in images=[figure].")
    return images


def _messages(items: Sequence[Message | Mapping[str, str]]) -> list[Message]:
    if not isinstance(items, Sequence):
        raise InputError(f"A prompt is text, or a list of messages, not {reprlib.repr(items)}.")
    if not items:
        raise InputError("The prompt is empty: give it some text.")
    messages = [_message(item) for item in items]
    check_images(url for message in messages for url in message.images)
    return messages


def _text(prompt: str) -> str:
    if not prompt.strip():
        raise InputError("The prompt is empty: write it below the %%groq line.")
    return prompt.removesuffix("\n")


def _message(item: Message | Mapping[str, str]) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, Mapping) and {"role", "content"} == item.keys():
        role, content = item["role"], item["content"]
        if isinstance(role, str) and isinstance(content, str):
            return Message(role, content)
    shown = reprlib.repr(item)
    raise InputError(f"A message is a Message, or a dict of role and content, not {shown}.")


# {{ expression }}. White space on both inner sides makes it one: so LaTeX's {{a}}, an
# f-string's {{x}} and nested JSON are never taken for one.

_OPENING = re.compile(r"\{\{(?=\s)")
_CLOSING = re.compile(r"(?<=\s)\}\}")
_UNSPACED = re.compile(r"\{\{([^\W\d]\w*)\}\}")
_MOST_CLOSINGS = 20  # that are tried for one expression
_RAW = "To send braces as they are: --raw"


class Filled(NamedTuple):
    """A text with values in the place of its expressions."""

    text: str
    images: list[bytes]
    """Those that the text calls ``[image 1]`` and so on, in order; PNG or JPEG."""


def interpolate(
    text: str,
    namespace: Mapping[str, Any],
    tell: Callable[[object], str | bytes],
    *,
    images: int = 0,
) -> Filled:
    """Put the value of each ``{{ expression }}`` in its place, as ``tell`` says it.

    Expressions are evaluated in ``namespace``; `values.shown` is what cells tell values by.
    Where that gives an image, the text has ``[image N]``, behind the ``images`` that there
    are already. Raises `InputError` that names the first expression that fails, and why.

    >>> interpolate("{{ n + 1 }} and {n}, {{n}}", {"n": 1}, str).text
    '2 and {n}, {{n}}'
    """
    filled = Filled("", [])
    pieces, at = [], 0
    for expression in list(_expressions(text)):  # none is evaluated before all are understood
        value = _value(expression, namespace, tell)
        if isinstance(value, bytes):
            filled.images.append(value)
            value = f"[image {images + len(filled.images)}]"
        if isinstance(value, Block):
            value = _apart(value, text[: expression.start], text[expression.end :])
        pieces += [text[at : expression.start], value]
        at = expression.end
    return filled._replace(text="".join([*pieces, text[at:]]))


def marked(text: str) -> tuple[str, list[str]]:
    """The text with a number between NULs for each expression, and those, not evaluated."""
    expressions = [text[one.start : one.end] for one in _expressions(text)]
    for number, expression in enumerate(expressions):
        text = text.replace(expression, f"\0{number}\0", 1)
    return text, expressions


def unspaced(text: str, namespace: Mapping[str, Any]) -> list[str]:
    """The variables that stand as ``{{name}}``, which is no expression, though it may be meant."""
    return [name for name in dict.fromkeys(_UNSPACED.findall(text)) if name in namespace]


def _apart(block: Block, before: str, after: str) -> str:
    """The block with blank lines to what else is in its first and last line."""
    begin = "\n\n" if before.rpartition("\n")[2].strip() else ""
    end = "\n\n" if after.partition("\n")[0].strip() else ""
    return f"{begin}{block}{end}"


class _Expression(NamedTuple):
    source: str
    code: CodeType
    start: int
    """In the text, braces included."""
    end: int

    def __str__(self) -> str:
        return _in_braces(self.source)


def _expressions(text: str) -> Iterator[_Expression]:
    opening = _OPENING.search(text)
    while opening:
        expression = _expression(text, opening)
        yield expression
        opening = _OPENING.search(text, expression.end)


def _expression(text: str, opening: re.Match[str]) -> _Expression:
    """The shortest expression there; its own braces may look like its end."""
    following = _OPENING.search(text, opening.end())
    closings = _CLOSING.finditer(text, opening.end(), following.start() if following else len(text))
    failure = ""
    for closing, _ in zip(closings, range(_MOST_CLOSINGS), strict=False):
        source = text[opening.end() : closing.start()].strip()
        in_brackets = f"({source}\n)" if "\n" in source else source  # for it may go over lines
        try:
            code = compile(in_brackets, "<groq>", "eval", dont_inherit=True)
        except Exception as error:  # what the parser has to say of it
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            failure = failure or f"{_in_braces(source)}: {reason.rstrip('.?')}. {_RAW}"
        else:
            return _Expression(source, code, opening.start(), closing.end())
    begun = _in_line(text[opening.start() :])
    raise InputError(failure or f"{begun!r} has no end, which is a blank and two braces. {_RAW}")


def _value(
    expression: _Expression,
    namespace: Mapping[str, Any],
    tell: Callable[[object], str | bytes],
) -> str | bytes:
    try:
        return tell(eval(expression.code, dict(namespace)))  # noqa: S307  # the user's own code
    except (Exception, SystemExit) as error:
        reason, next_step = type(error).__name__, ""
        with suppress(Exception):  # the error's own words, or names, may be broken, too
            reason = f"{reason}: {error}" if str(error) else reason
            next_step = _next_step(error, namespace)
        raise InputError(f"{expression}: {_in_line(reason, 200)}{next_step}") from None


def _next_step(error: BaseException, namespace: Mapping[str, Any]) -> str:
    there: Iterable[str] = ()
    if isinstance(error, NameError):
        there = [*namespace, *filter(str.islower, vars(builtins))]
    elif isinstance(error, AttributeError):
        there = dir(error.obj)
    near = get_close_matches(str(getattr(error, "name", "")), there)
    if near:
        return f". Near names: {', '.join(near)}"
    return f". {_RAW}" if isinstance(error, NameError) else ""


def _in_braces(source: str) -> str:
    return f"{{{{ {_in_line(source)} }}}}"


def _in_line(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"
