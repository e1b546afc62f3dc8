"""What a kept answer is found by: all of its request. Pure: no I/O."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

_HASHED = "sha256:"
_WITH_DIGITS = re.compile(r"\w*\d\w*")  # addresses, times, counters
_LITTLE = 0.2  # the largest share of a prompt that differs "in little"
_MOST_DIFFERENCES = 3


class Question(NamedTuple):
    """A request as the store knows it."""

    key: str
    """SHA-256 of the server and of all that is sent, in its order."""
    prompt: str
    """The text of the last message."""
    rest: dict[str, str]
    """The rest of the request by name. Earlier messages, images and texts in parameters are
    hashes: they may be long, or of a cell that is not to be kept."""

    @classmethod
    def of(cls, server: str, body: Mapping[str, Any], clean: Callable[[str], str]) -> Question:
        """``clean`` takes the key out of the texts that are stored."""
        *before, last = body["messages"]
        content = last["content"] or ""
        parts = [{"text": content}] if isinstance(content, str) else content
        system = before.pop(0)["content"] if before and before[0]["role"] == "system" else ""
        rest = {"server": server, "model": body["model"], "system prompt": clean(system)}
        rest |= {"earlier messages": _hash(before), "images": _hash(parts[1:])}
        rest |= {name: _shown(body[name]) for name in body.keys() - _NOT_PARAMETERS}
        key = _hash([server, sorted(body.items())])
        return cls(key, clean(parts[0]["text"]), rest)

    @property
    def shape(self) -> str:
        """Equal for prompts that differ in words with digits alone."""
        return _hash(_WITH_DIGITS.sub("#", self.prompt))

    def difference(self, then: Question) -> str:
        """Where it differs from an earlier one, in words; empty if that is much."""
        new, old = ({**one.rest, "prompt": one.prompt} for one in (self, then))
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        said = [_difference(name, new.get(name, ""), old.get(name, "")) for name in names]
        return f"Not kept: {'; '.join(said)}." if len(said) <= _MOST_DIFFERENCES else ""


_NOT_PARAMETERS = {"model", "messages", "stream"}


def is_near(one: str, other: str) -> bool:
    """Whether two prompts differ in little: they begin and end alike.

    >>> is_near("Explain <a object> briefly, please.", "Explain <b object> briefly, please.")
    True
    """
    enough = max(len(one), len(other)) * (1 - _LITTLE)
    half = int(enough / 2)
    if one[:half] != other[:half] and one[-half:] != other[-half:]:
        return False  # nearly all end here
    return _common(one, other) + _common(one[::-1], other[::-1]) >= enough


def _common(one: str, other: str) -> int:
    """The length of the common beginning, by comparing slices: a loop would take milliseconds."""
    ends = range(1, min(len(one), len(other)) + 1)
    return bisect_left(ends, 1, key=lambda end: one[:end] != other[:end])


def _difference(name: str, new: str, old: str) -> str:
    if _HASHED in (new + old)[: len(_HASHED)]:
        return f"the {name} changed"
    at = _common(new, old)
    start = max(at - 20, new.rfind(" ", 0, at) + 1)  # of the word
    there = f" at character {at + 1}" if start else ""
    words = (repr(text[start : at + 30]) if text else "nothing" for text in (new, old))
    return "the {}{} has {}, had {}".format(name, there, *words)


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else _hash(value)


def _hash(value: Any) -> str:
    return _HASHED + sha256(json.dumps(value).encode()).hexdigest() if value else ""
