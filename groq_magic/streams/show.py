"""`show()`: the stream of another library as a live answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from groq_magic.accumulator import Accumulator
from groq_magic.answer import Answer
from groq_magic.display.show import show as show_answer
from groq_magic.display.show import show_once
from groq_magic.errors import InputError
from groq_magic.runtime.loop import running_loop

from .reading import LoopReading, Reading


def show(source: Iterable[object] | AsyncIterable[object]) -> Answer:
    """Show a stream of any library as live Markdown with Stop; return its `Answer` at once.

    ``source`` is an iterator, synchronous or asynchronous, of texts, of chunks or events of
    OpenAI, Groq, Anthropic or LiteLLM, as objects or dicts, or of messages of LangChain or
    chatlas. No library is needed. Without a count by the source, ``tokens`` are its deltas.

    A synchronous source is read on a thread of its own. An asynchronous one is read in the
    caller's event loop if that runs, as in a notebook: use ``await`` to wait for its answer
    there. A Stop closes the source: its ``close`` or ``aclose``, or those of its ``response``.
    A plain generator that waits is closed when it goes on; the answer ends at once. Inside a
    ``with`` that closes the source, wait for the end.

    Raises `InputError` if ``source`` is no iterator. If the source fails, nothing is raised
    here: the answer's ``state`` becomes "failed" and its ``error`` says why.

    >>> answer = show(iter(["**Three** names", " for a cat"]))
    **Three** names for a cat
    >>> answer.state, answer.text
    ('done', '**Three** names for a cat')
    """
    if isinstance(source, Answer):
        show_answer(source)
        return source
    answer = answer_of(source)
    with answer:  # an interrupt stops it, since the caller does not have it yet
        show_answer(answer.start())
    return answer


def answer_of(source: Any) -> Answer:
    """The answer that reads ``source`` once it is started; it shows nothing."""
    is_other = isinstance(source, str | bytes | Mapping)
    if is_other or not isinstance(source, Iterable | AsyncIterable):
        raise InputError(
            f"show() takes an iterator of texts or chunks, not {type(source).__name__}: "
            "what a call with stream=True returns, awaited if it is asynchronous."
        )
    loop = running_loop() if (is_async := _is_async(source)) else None
    reading = LoopReading(source, loop) if is_async else Reading(source)

    def observe(_: Answer, ended: bool) -> None:  # noqa: FBT001  # as the receiver calls it
        if ended:
            reading.close()

    content = Accumulator("a stream")  # until the source names its model
    return Answer(reading.chunks(), content=content, show=show_once, observer=observe, loop=loop)


def _is_async(source: object) -> bool:
    if isinstance(source, AsyncIterable) and isinstance(source, Iterable):
        # LiteLLM's can be read in both ways, of which one works.
        return str(getattr(getattr(source, "logging_obj", None), "call_type", "")).startswith("a")
    return isinstance(source, AsyncIterable)
