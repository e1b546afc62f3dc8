"""What an answer's chunks add up to. Pure: no lock, no clock, no event loop."""

from __future__ import annotations

from typing import Any, NamedTuple

from groq_magic.wire.protocol import Chunk, Delta, Responded, ToolCall
from groq_magic.wire.rate_limits import RateLimits
from groq_magic.wire.sources import Source, sources_in
from groq_magic.wire.think_tags import ThinkTags

from .overlap import Overlap


class SoFar(NamedTuple):
    """How many deltas count, and what follows them if no other chunk comes."""

    texts: int = 0
    thoughts: int = 0
    held_text: str = ""
    held_thought: str = ""


class Accumulator:
    r"""Takes chunks on one thread; any other thread can read it meanwhile.

    >>> answer = Accumulator()
    >>> for text in ("Hi ", "\ud83d", "\ude00", "!"):
    ...     answer.take(Chunk(Delta(text)))
    >>> answer.deltas()
    ['Hi ', '😀', '!']
    """

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.request_id: str | None = None
        self.rate_limits = RateLimits()
        self.fields = Chunk()
        """The last value of each field."""
        self.annotations: list[dict[str, Any]] = []
        self.executed_tools: dict[int, dict[str, Any]] = {}
        self.so_far = SoFar()
        """Each chunk sets it last, in one step: readers never see half a chunk."""
        self._texts = _Deltas()
        self._thoughts = _Deltas()
        self._calls: dict[int, list[ToolCall]] = {}
        self._think_tags = ThinkTags()
        self._last: tuple[object, ...] = ()
        self._before = SoFar()
        self._overlap: Overlap | None = None

    def to_resume(self, *, repeats: bool) -> Accumulator:
        """One that begins with all that this one has.

        With ``repeats`` the next text may begin with the end of this one, which is dropped.
        """
        resumed = Accumulator(self.model)
        texts, reasoning = self.ended()
        resumed._texts += texts
        resumed._thoughts.add(reasoning and f"{reasoning}\n\n")
        resumed.annotations += self.annotations
        count = max(self.executed_tools, default=-1) + 1  # the next request counts from 0 again
        tools = {index - count: tool for index, tool in self.executed_tools.items()}
        resumed.executed_tools |= tools
        resumed.so_far = resumed._before = SoFar(len(texts), len(resumed._thoughts))
        resumed._overlap = Overlap("".join(texts)) if repeats else None
        return resumed

    def respond(self, response: Responded) -> None:
        """Take what the headers of the response say."""
        self.request_id = response.request_id
        self.rate_limits = RateLimits.from_headers(response.headers)

    def take(self, chunk: Chunk) -> None:
        """Add the next chunk."""
        delta = chunk.delta
        reasoning, text = self._think_tags.split(delta.content)
        self._thoughts.add(delta.reasoning + reasoning)
        self._texts.add(self._overlap.feed(text) if self._overlap else text)
        if any(delta[2:]):  # few have more than text
            self._take_tools(delta)
        if chunk[1:] != self._last:  # most chunks of an answer repeat the same fields
            self._last = chunk[1:]
            self._take_fields(chunk)
        thought, text = self._think_tags.held
        if self._overlap:
            text = self._overlap.close(text)
        held = self._texts.held_with(text), self._thoughts.held_with(thought)
        self.so_far = SoFar(len(self._texts), len(self._thoughts), *held)

    def deltas(self, start: int = 0) -> list[str]:
        """The deltas of the text from number ``start`` on."""
        return self._texts[start : self.so_far.texts]

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._thoughts[: self.so_far.thoughts])

    def ended(self) -> tuple[list[str], str]:
        """The deltas and the reasoning of an answer that ends here, with what was held back."""
        texts, thoughts, text, thought = self.so_far
        deltas = self._texts[:texts] + [text] * bool(text)
        return deltas, "".join(self._thoughts[:thoughts]) + thought

    @property
    def sources(self) -> list[Source]:
        """The web pages of tools and annotations."""
        return sources_in(self.executed_tools.copy().values(), self.annotations[:])

    @property
    def tool_calls(self) -> dict[int, ToolCall]:
        """By index; joined only when read, for a call can come in many chunks."""
        return {index: _joined(calls[:]) for index, calls in self._calls.copy().items()}

    @property
    def tokens(self) -> int:
        """The server's count; until it comes, the number of deltas of this request."""
        usage = self.fields.usage
        if usage and usage.completion_tokens is not None:
            return usage.completion_tokens
        return sum(self.came)

    @property
    def came(self) -> tuple[int, int]:
        """How many deltas of the text and of the reasoning came with this request."""
        so_far, before = self.so_far, self._before
        return so_far.texts - before.texts, so_far.thoughts - before.thoughts

    def _take_tools(self, delta: Delta) -> None:
        self.annotations += delta.annotations
        for call in delta.tool_calls:
            self._calls.setdefault(call.index, []).append(call)
        for tool in delta.executed_tools:
            index = tool.get("index") or 0
            known = self.executed_tools.get(index, {})
            if tool.get("type") not in (None, known.get("type")):  # another tool
                known = {}
            said = {name: value for name, value in tool.items() if value is not None}
            self.executed_tools[index] = {**tool, **known, **said}

    def _take_fields(self, chunk: Chunk) -> None:
        self.model = chunk.model or self.model
        self.request_id = self.request_id or chunk.request_id
        given = {name: value for name, value in chunk._asdict().items() if value not in (None, "")}
        self.fields = self.fields._replace(**given)


class _Deltas(list[str]):
    """Texts without empty ones; a server may cut an escaped character, such as an emoji, in two."""

    half = ""

    def add(self, text: str) -> None:
        """Append ``text``; half a character waits for its other half."""
        if self.half or not text.isascii():
            text = self.half + text
            self.half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
            text = _repaired(text.removesuffix(self.half))
        if text:
            self.append(text)

    def held_with(self, text: str) -> str:
        """What follows if ``text`` is the last; half a character is replaced."""
        return _repaired(self.half + text) if self.half or text else ""


def _repaired(text: str) -> str:
    """Join the halves of characters; a half without its other half is replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _joined(calls: list[ToolCall]) -> ToolCall:
    names = [call.name for call in calls if call.name]
    ids = [call.id for call in calls if call.id]
    arguments = _repaired("".join(call.arguments for call in calls))
    return ToolCall(calls[0].index, "".join(ids[-1:]), "".join(names[-1:]), arguments)
