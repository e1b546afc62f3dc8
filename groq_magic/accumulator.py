"""What an answer's chunks add up to; neither a clock nor a thread is known here."""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

from groq_magic.wire.protocol import Chunk, Delta, ToolCall, Usage
from groq_magic.wire.think_tags import ThinkTags


class SoFar(NamedTuple):
    """How far an answer has come, whatever comes behind: counts, and what was held back."""

    texts: int = 0
    thoughts: int = 0
    held_thoughts: tuple[str, ...] = ()
    held_texts: tuple[str, ...] = ()


class Accumulator:
    r"""Takes chunks one by one, on one thread; it can be read on any other meanwhile.

    >>> answer = Accumulator()
    >>> for piece in ("Hi ", "\ud83d", "\ude00", "!"):
    ...     answer.take(Chunk(Delta(piece)))
    >>> answer.texts(answer.so_far)
    ['Hi ', '😀', '!']
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.request_id: str | None = None
        self.seed: int | None = None
        self.system_fingerprint: str | None = None
        self.service_tier: str | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.annotations: list[dict[str, Any]] = []
        self.executed_tools: dict[int, dict[str, Any]] = {}
        self.so_far = SoFar()
        """Set last by each chunk, in one step."""
        self._texts = _Pieces()
        self._thoughts = _Pieces()
        self._calls: dict[int, list[ToolCall]] = {}
        self._think_tags: ThinkTags | None = ThinkTags()
        self._last_rest: tuple[Any, ...] = ()

    def take(self, chunk: Chunk) -> None:
        """Add the next chunk."""
        delta, rest = chunk.delta, chunk[1:]
        self._thoughts.add(delta.reasoning)
        self._take_content(delta.content)
        if delta.tool_calls or delta.executed_tools or delta.annotations:
            self._take_tools(delta)
        if rest != self._last_rest:  # it mostly is the same, and thousands come a second
            self._last_rest = rest
            self._take_rest(chunk)
        self.so_far = SoFar(len(self._texts), len(self._thoughts), *self._held())

    def texts(self, so_far: SoFar, start: int = 0, *, ended: bool = False) -> list[str]:
        """The text's pieces from number ``start`` on; ended, also what was held back."""
        held = so_far.held_texts if ended else ()
        return _pieces(self._texts, so_far.texts, held, start)

    def thoughts(self, so_far: SoFar, *, ended: bool = False) -> list[str]:
        """The reasoning's pieces; ended, also what was held back."""
        return _pieces(self._thoughts, so_far.thoughts, so_far.held_thoughts if ended else ())

    @property
    def tool_calls(self) -> dict[int, ToolCall]:
        """By index, as far as they have come; joined when read, for they come in many pieces."""
        return {index: _joined(calls[:]) for index, calls in self._calls.copy().items()}

    def _take_content(self, content: str) -> None:
        if self._think_tags is None:
            self._texts.add(content)
            return
        reasoning, text = self._think_tags.split(content)
        if self._think_tags.is_over:
            self._think_tags = None
        self._thoughts.add(reasoning)
        self._texts.add(text)

    def _held(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is shown if nothing follows; half a character is replaced then."""
        if self._think_tags is None and not (self._thoughts.half or self._texts.half):
            return (), ()
        reasoning, text = copy(self._think_tags).close() if self._think_tags else ("", "")
        return self._thoughts.closed_with(reasoning), self._texts.closed_with(text)

    def _take_tools(self, delta: Delta) -> None:
        self.annotations += delta.annotations
        for call in delta.tool_calls:
            self._calls.setdefault(call.index, []).append(call)
        for tool in delta.executed_tools:
            self.executed_tools[tool.get("index") or 0] = tool

    def _take_rest(self, chunk: Chunk) -> None:
        self.model = chunk.model or self.model
        self.request_id = self.request_id or chunk.request_id
        self.system_fingerprint = chunk.system_fingerprint or self.system_fingerprint
        self.service_tier = chunk.service_tier or self.service_tier
        self.seed = self.seed if chunk.seed is None else chunk.seed
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.usage = chunk.usage or self.usage


class _Pieces(list[str]):
    """Pieces of text; servers may cut an escaped character, such as an emoji, in two."""

    half = ""

    def add(self, piece: str) -> None:
        """Take the next piece; half a character waits for its other half."""
        if self.half or not piece.isascii():
            piece, self.half = _split(self.half + piece)
        if piece:
            self.append(piece)

    def closed_with(self, last: str) -> tuple[str, ...]:
        """What would follow if the piece were the last."""
        whole, half = _split(self.half + last)
        return tuple(filter(None, (whole, "\ufffd" if half else "")))


def _split(piece: str) -> tuple[str, str]:
    """The whole characters, and the first half of one behind them."""
    half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
    whole = piece[: len(piece) - len(half)]
    return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), half


def _pieces(pieces: list[str], count: int, held: tuple[str, ...], start: int = 0) -> list[str]:
    behind = max(0, start - count)
    return [*pieces[start:count], *held[behind:]]


def _joined(calls: list[ToolCall]) -> ToolCall:
    names = [call.name for call in calls if call.name]
    ids = [call.id for call in calls if call.id]
    arguments = "".join(call.arguments for call in calls)
    return ToolCall(calls[0].index, "".join(ids[-1:]), "".join(names[-1:]), arguments)
