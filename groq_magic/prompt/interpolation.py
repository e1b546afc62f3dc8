"""Fill ``{{ expression }}`` in a text.

Braces are an expression only with white space on both inner sides. LaTeX's ``{{a}}``, an
f-string's ``{{x}}`` and nested JSON therefore stay unchanged.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from types import CodeType
from typing import Any, NamedTuple

from groq_magic.errors import InputError

from .values import Block, cut_of

_OPENING = re.compile(r"\{\{(?=\s)")
_CLOSING = re.compile(r"(?<=\s)\}\}")
_UNSPACED = re.compile(r"\{\{([^\W\d]\w*)\}\}")
_MOST_CLOSINGS = 20  # tried for one expression
_RAW = "To send braces unchanged: --raw"


class Filled(NamedTuple):
    """A text whose expressions are replaced with their values."""

    text: str
    images: list[bytes]
    """PNG or JPEG; the text calls them ``[image 1]``, ``[image 2]`` and so on."""
    sizes: dict[str, int]
    """The characters of each value, by its expression."""
    cuts: dict[str, str]
    """What was cut of a value, by its expression."""


def interpolate(
    text: str,
    namespace: Mapping[str, Any],
    to_text: Callable[[object], str | bytes],
    *,
    images: int = 0,
) -> Filled:
    """Replace each ``{{ expression }}`` with its value in ``namespace``.

    ``to_text`` converts a value, as `values.to_text` does. If it returns the bytes of an image,
    the text gets ``[image N]``; N counts from ``images``, the number of images that the
    prompt already has. No expression is evaluated unless all can be parsed. Raises
    `InputError` with the first expression that fails, and the reason.

    >>> interpolate("{{ n + 1 }} and {n}, {{n}}", {"n": 1}, str).text
    '2 and {n}, {{n}}'
    """
    parts, pictures, sizes, cuts, end = [], [], {}, {}, 0
    for expression in list(_expressions(text)):
        value = _value(expression, namespace, to_text)
        if isinstance(value, bytes):
            pictures.append(value)
            value = f"[image {images + len(pictures)}]"
        name = _in_braces(expression.source)
        if cut := cut_of(value):
            cuts[name] = cut
        if isinstance(value, Block):
            value = _on_own_lines(value, text[: expression.start], text[expression.end :])
        parts += [text[end : expression.start], value]
        sizes[name] = len(value)
        end = expression.end
    return Filled("".join([*parts, text[end:]]), pictures, sizes, cuts)


def mark(text: str) -> tuple[str, list[str]]:
    """Replace each expression with its number between NULs; return the expressions, too."""
    expressions = [text[one.start : one.end] for one in _expressions(text)]
    for number, expression in enumerate(expressions):
        text = text.replace(expression, f"\0{number}\0", 1)
    return text, expressions


def unspaced(text: str, namespace: Mapping[str, Any]) -> list[str]:
    """The variables that occur as ``{{name}}``, which is not an expression."""
    return [name for name in dict.fromkeys(_UNSPACED.findall(text)) if name in namespace]


def _on_own_lines(block: Block, before: str, after: str) -> str:
    begin = "\n\n" if before.rpartition("\n")[2].strip() else ""
    end = "\n\n" if after.partition("\n")[0].strip() else ""
    return f"{begin}{block}{end}"


class _Expression(NamedTuple):
    source: str
    code: CodeType
    start: int
    """The index of the opening braces."""
    end: int
    """The index after the closing braces."""


def _expressions(text: str) -> Iterator[_Expression]:
    opening = _OPENING.search(text)
    while opening:
        expression = _expression(text, opening)
        yield expression
        opening = _OPENING.search(text, expression.end)


def _expression(text: str, opening: re.Match[str]) -> _Expression:
    """The shortest valid expression; an inner ``}}`` may look like its end."""
    following = _OPENING.search(text, opening.end())
    closings = _CLOSING.finditer(text, opening.end(), following.start() if following else len(text))
    failure = ""
    for closing, _ in zip(closings, range(_MOST_CLOSINGS), strict=False):
        source = text[opening.end() : closing.start()].strip()
        in_brackets = f"({source}\n)" if "\n" in source else source  # so that it may span lines
        try:
            code = compile(in_brackets, "<groq>", "eval", dont_inherit=True)
        except Exception as error:  # SyntaxError, ValueError, MemoryError, RecursionError
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            failure = failure or f"{_in_braces(source)}: {reason.rstrip('.?')}. {_RAW}"
        else:
            return _Expression(source, code, opening.start(), closing.end())
    rest = one_line(text[opening.start() :])
    raise InputError(failure or f"{rest!r} has no end: a space and two closing braces. {_RAW}")


def _value(
    expression: _Expression,
    namespace: Mapping[str, Any],
    to_text: Callable[[object], str | bytes],
) -> str | bytes:
    try:
        return to_text(eval(expression.code, dict(namespace)))  # noqa: S307  # the user's own code
    except (Exception, SystemExit) as error:
        reason, next_step = type(error).__name__, ""
        with suppress(Exception):  # the error's ``__str__`` may fail, too
            reason = f"{reason}: {error}" if str(error) else reason
            next_step = _next_step(error, namespace)
        where = _in_braces(expression.source)
        raise InputError(f"{where}: {one_line(reason, 200)}{next_step}") from None


def _next_step(error: BaseException, namespace: Mapping[str, Any]) -> str:
    known: Iterable[str] = ()
    if isinstance(error, NameError):
        known = [*namespace, *filter(str.islower, vars(builtins))]
    elif isinstance(error, AttributeError):
        known = dir(error.obj)
    near = get_close_matches(str(getattr(error, "name", "")), known)
    if near:
        return f". Similar names: {', '.join(near)}"
    return f". {_RAW}" if isinstance(error, NameError) else ""


def _in_braces(source: str) -> str:
    return f"{{{{ {one_line(source)} }}}}"


def one_line(text: str, most: int = 60) -> str:
    """The start of a text in one line, with at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"
