"""Growing Markdown, compared with rendering the whole text so far at each flush.

``python -m tests.bench.markdown [--tokens 1000 8000] [--documents mixed fence]``

A token is 4.2 characters, a flush comes every 33 tokens: 30 a second at 1,000 tokens per
second. CPU is of the whole answer; bytes are what a view gets. The full rendering is sampled at 24
lengths, because all thousand take minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from groq_magic.markdown import Operation, StreamingMarkdown, render
from groq_magic.markdown.code import _highlighted

CHARACTERS_PER_TOKEN = 4.2
TOKENS_PER_FLUSH = 33
SAMPLES = 24

WORDS = (
    "the model reads a stream of tokens and each delta goes to one place where it is kept "
    "until the answer ends so nothing that came is lost when somebody stops it early"
).split()


def sentence(chance: random.Random) -> str:
    words = [chance.choice(WORDS) for _ in range(chance.randint(6, 16))]
    words[2] = chance.choice(["**{}**", "`{}`", "*{}*", "[{}](https://example.org)", "{}"]).format(
        words[2]
    )
    return " ".join(words).capitalize() + ". "


def paragraph(chance: random.Random) -> str:
    return "".join(sentence(chance) for _ in range(chance.randint(2, 5))).rstrip()


def fence(chance: random.Random, lines: int) -> Iterator[str]:
    yield "```python\n"
    for number in range(lines):
        indent = "    " * chance.randint(0, 3)
        yield f"{indent}value_{number} = compute({chance.choice(WORDS)!r}, {number})\n"
    yield "```\n\n"


def mixed(chance: random.Random) -> Iterator[str]:
    while True:
        yield f"## {chance.choice(WORDS).capitalize()} {chance.choice(WORDS)}\n\n"
        yield f"{paragraph(chance)}\n\n{paragraph(chance)}\n\n"
        yield from (f"- {sentence(chance).rstrip()}\n" for _ in range(chance.randint(3, 7)))
        yield "\n"
        yield from fence(chance, chance.randint(4, 14))
        yield "| name | value | note |\n|---|---|---|\n"
        yield from (row(chance) for _ in range(chance.randint(3, 8)))
        yield "\n> " + paragraph(chance) + "\n\nThen $x_1 + y^2$ follows.\n\n$$\na = b\n$$\n\n"


def row(chance: random.Random) -> str:
    return f"| {chance.choice(WORDS)} | `{chance.randint(0, 999)}` | {sentence(chance)}|\n"


def one_fence(chance: random.Random) -> Iterator[str]:
    yield "```python\n"
    number = 0
    while True:
        number += 1
        yield f"    value_{number} = compute({chance.choice(WORDS)!r}, {number})\n"


def one_list(chance: random.Random) -> Iterator[str]:
    while True:
        yield f"- {sentence(chance).rstrip()}\n"


def one_table(chance: random.Random) -> Iterator[str]:
    yield "| name | value | note |\n|---|---|---|\n"
    while True:
        yield row(chance)


def one_paragraph(chance: random.Random) -> Iterator[str]:
    while True:
        yield sentence(chance)


DOCUMENTS: dict[str, Callable[[random.Random], Iterator[str]]] = {
    "mixed": mixed,
    "fence": one_fence,
    "list": one_list,
    "table": one_table,
    "paragraph": one_paragraph,
}


def text_of(kind: str, tokens: int) -> str:
    length = int(tokens * CHARACTERS_PER_TOKEN)
    parts, size = [], 0
    for part in DOCUMENTS[kind](random.Random(7)):
        parts.append(part)
        size += len(part)
        if size >= length:
            return "".join(parts)[:length]
    raise AssertionError


def size_of(operations: list[Operation]) -> int:
    return sum(len(json.dumps(operation).encode()) for operation in operations)


class Growth(NamedTuple):
    """Of one answer, in both ways: CPU in seconds, and what a view gets in bytes."""

    ours: float
    told: int
    worst: float
    full: float
    sent: int

    @property
    def times_cpu(self) -> float:
        return self.full / self.ours

    @property
    def times_bytes(self) -> float:
        return self.sent / self.told


def grow(kind: str, tokens: int) -> Growth:
    text = text_of(kind, tokens)
    render(text_of(kind, 1_000))  # so that nothing is loaded within the measurement
    _highlighted.cache_clear()
    return Growth(*incremental(text), *full(text))


def incremental(text: str) -> tuple[float, int, float]:
    """Seconds of CPU, bytes and the slowest flush in seconds."""
    step = int(TOKENS_PER_FLUSH * CHARACTERS_PER_TOKEN)
    markdown = StreamingMarkdown()
    took, size = [], 0
    for start in range(0, len(text), step):
        begun = time.process_time()
        markdown.feed(text[start : start + step])
        operations = markdown.flush()
        took.append(time.process_time() - begun)
        size += size_of(operations)
    begun = time.process_time()
    operations = markdown.close()
    took.append(time.process_time() - begun)
    assert markdown.html == render(text)
    return sum(took), size + size_of(operations), max(took)


def full(text: str) -> tuple[float, int]:
    flushes = len(text) / CHARACTERS_PER_TOKEN / TOKENS_PER_FLUSH
    seconds, size = 0.0, 0
    for sample in range(SAMPLES):
        so_far = text[: len(text) * (2 * sample + 1) // (2 * SAMPLES)]
        begun = time.process_time()
        html = render(so_far)
        seconds += time.process_time() - begun
        size += len(json.dumps(html).encode())
    return seconds / SAMPLES * flushes, int(size / SAMPLES * flushes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[1_000, 8_000, 32_000, 128_000])
    parser.add_argument("--documents", nargs="+", default=list(DOCUMENTS))
    options = parser.parse_args()
    heads = {"full s": 10, "MB": 9, "ours s": 9, "MB ": 8, "x CPU": 8, "x bytes": 9, "worst ms": 10}
    print(" " * 18 + "".join(f"{head:>{width}}" for head, width in heads.items()))
    for kind in options.documents:
        for tokens in options.tokens:
            print(f"{kind:10}{tokens:8,}{columns(grow(kind, tokens))}", flush=True)


def columns(grown: Growth) -> str:
    return (
        f"{grown.full:10.2f}{grown.sent / 1e6:9.1f}{grown.ours:9.3f}{grown.told / 1e6:8.2f}"
        f"{grown.times_cpu:8.0f}{grown.times_bytes:9.0f}{grown.worst * 1e3:10.1f}"
    )


if __name__ == "__main__":
    main()
