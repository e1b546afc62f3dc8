"""How far estimates of a prompt's tokens are off: ``python -m tests.bench.estimates``.

Beside what servers counted: ``tests/data/prompt_sizes.json`` has the counts of real requests in
public recordings, and of their texts only what `Prompt` counts. ``--corpus FOLDER`` reads the
recorded requests in its ``recorded-streams`` as well, texts and all.

The weights of a text fit tokenizers on other texts; of the servers' counts only what a template
adds was read off, and not from the prompts that are marked unseen. "Learned" is each prompt after
those before it of the same server and model, in a random order.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groq_magic.wire.tokens import FAMILIES, Calibration, Prompt, Text, family_of

SIZES = Path(__file__).parents[1] / "data" / "prompt_sizes.json"
SHORT = 100
NOT_SERVED = {"gpt-", ""}
"""Families that Groq never served."""


class Size(NamedTuple):
    """A prompt that a server counted."""

    server: str
    model: str
    prompt: Prompt
    prompt_tokens: int
    is_unseen: bool = False

    @property
    def family(self) -> str:
        """The part of the model's name that says its family."""
        return next(part for part in FAMILIES if part in self.model.lower())

    @property
    def estimated(self) -> int:
        return family_of(self.model).tokens(self.prompt)

    def off(self, estimated: int) -> float:
        return abs(estimated - self.prompt_tokens) / self.prompt_tokens


class Estimate(NamedTuple):
    """How far both estimates of a prompt are off, relative to its tokens."""

    size: Size
    first: float
    learned: float


def read(path: Path = SIZES) -> list[Size]:
    return list(map(_size, json.loads(path.read_text("utf-8"))))


def _size(wire: Mapping[str, Any]) -> Size:
    text, schemas, form = (_text(wire.get(name)) for name in Prompt._fields[:3])
    prompt = Prompt(text, schemas, form, *(wire.get(name, 0) for name in Prompt._fields[3:]))
    unseen = wire.get("unseen", False)
    return Size(wire["server"], wire["model"], prompt, wire["prompt_tokens"], unseen)


def _text(counts: Sequence[int] | None) -> Text:
    return Text(*(counts or [0] * len(Text._fields)))


def recorded(folder: Path) -> Iterator[Size]:
    """The recorded requests whose answers have a count.

    Without those to compound, which reads what it finds, and those that repeat thoughts, which
    the server drops.
    """
    for path in sorted((folder / "recorded-streams").glob("*.request.json")):
        answer = path.with_name(path.name.replace(".request.json", ".sse"))
        text, stream = path.read_text("utf-8"), answer.read_text("utf-8") if answer.exists() else ""
        found, body = re.findall(r'"prompt_tokens":(\d+)', stream), json.loads(text)
        if found and "messages" in body and "compound" not in text and "</think>" not in text:
            yield Size("Groq", body["model"], Prompt.of(body), int(found[-1]))


def estimates(sizes: Iterable[Size]) -> list[Estimate]:
    """Each prompt's, in a random order."""
    shuffled = list(sizes)
    random.Random(1).shuffle(shuffled)
    calibrations: defaultdict[str, Calibration] = defaultdict(Calibration)
    return [_estimate(size, calibrations[size.server]) for size in shuffled]


def _estimate(size: Size, calibration: Calibration) -> Estimate:
    first = size.estimated
    learned = calibration.bounds(size.model, first).likely
    calibration.learn(size.model, first, size.prompt_tokens)
    return Estimate(size, size.off(first), size.off(learned))


def percentile_95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if values[1:] else values[0]


def groups(taken: Sequence[Estimate]) -> Iterator[tuple[str, list[Estimate]]]:
    for family in FAMILIES:
        yield family or "any other", [each for each in taken if each.size.family == family]
    served = [each for each in taken if each.size.family not in NOT_SERVED]
    yield "all that Groq serves or served", served
    yield "  of these, counted by Groq", [each for each in served if each.size.server == "Groq"]
    yield "  of these, unseen", [each for each in served if each.size.is_unseen]
    yield "all", list(taken)


HEADS = ("family", "prompts", "median", "95 %", "learned: median", "95 %")


def table(taken: Sequence[Estimate]) -> str:
    lines = [f"{HEADS[0]:32}" + "".join(f"{head:>17}" for head in HEADS[1:])]
    for name, some in groups(taken):
        if some:
            first, learned = [each.first for each in some], [each.learned for each in some]
            figures = [f"{len(some):,}"] + [
                f"{of(errors):.1%}"
                for errors in (first, learned)
                for of in (statistics.median, percentile_95)
            ]
            lines.append(f"{name:32}" + "".join(f"{figure:>17}" for figure in figures))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="a folder with recorded-streams")
    options = parser.parse_args()
    taken = estimates(read())
    print(f"Prompts of {SHORT} tokens or more: relative error\n")
    print(table([each for each in taken if each.size.prompt_tokens >= SHORT]))
    print(f"\nAll prompts, the shortest too\n\n{table(taken)}")
    if options.corpus:
        print(f"\nRecorded streams\n\n{table(estimates(recorded(options.corpus)))}")


if __name__ == "__main__":
    main()
