"""Check the law of growing Markdown on random documents.

``python -m tests.bench.law [--seconds 300] [--documents 100000] [--seed 1]``

For every third one the limits are small, so that blocks settle inside blocks. Prints each text
that raises, or whose HTML, after some flush, is not that of the text so far.
"""

from __future__ import annotations

import argparse
import random
import time
from contextlib import nullcontext

from tests.support import fetch
from tests.support.commonmark import examples
from tests.support.markdown import FRAGMENTS, assert_law, cut, nested, small_limits

SHOWN = 10  # texts


def document(seed: int) -> list[str]:
    """The deltas of a random document."""
    chance = random.Random(seed)
    some = FRAGMENTS if seed % 2 else [*examples(), *FRAGMENTS * 10]
    parts = chance.choices(some, k=chance.randint(1, 8))
    longest = chance.choice([1, 3, 10, 40, 40])
    if seed % 20 == 0:
        longest = 100
        parts.insert(chance.randint(0, len(parts)), nested(chance))
    text = "".join(parts)
    if seed % 7 == 0:
        text = text.replace("\n", "\r\n")
    return list(cut(text, chance, longest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1_000_000)
    options = parser.parse_args()
    fetch.main()
    until, seed, flushes = time.monotonic() + options.seconds, options.seed, 0
    faults = {"unequal": 0, "raised": 0}
    while time.monotonic() < until and seed < options.seed + options.documents:
        deltas = document(seed)
        try:
            with small_limits() if seed % 3 == 0 else nullcontext():
                assert_law(iter(deltas))
        except Exception as error:
            fault = "unequal" if isinstance(error, AssertionError) else "raised"
            faults[fault] += 1
            if sum(faults.values()) <= SHOWN:
                print(f"{seed}: {fault}: {''.join(deltas)!r}", flush=True)
        seed, flushes = seed + 1, flushes + len(deltas)
    count = f"{seed - options.seed:,} documents, {flushes:,} flushes"
    print(f"{count}: {faults['unequal']} unequal, {faults['raised']} raised")


if __name__ == "__main__":
    main()
