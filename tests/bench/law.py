"""Check the law of growing Markdown on random documents.

``python -m tests.bench.law [--seconds 300] [--seed 1]``

Prints the first text whose HTML, after some flush, is not that of the text so far.
"""

from __future__ import annotations

import argparse
import random
import time

from tests.support import fetch
from tests.support.commonmark import examples
from tests.support.markdown import FRAGMENTS, assert_law, cut


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1_000_000)
    options = parser.parse_args()
    fetch.main()
    until, seed, flushes = time.monotonic() + options.seconds, options.seed, 0
    while time.monotonic() < until:
        chance = random.Random(seed)
        some = FRAGMENTS if seed % 2 else [*examples(), *FRAGMENTS * 10]
        text = "".join(chance.choices(some, k=chance.randint(1, 25)))
        if seed % 7 == 0:
            text = text.replace("\n", "\r\n")
        deltas = list(cut(text, chance, chance.choice([1, 3, 10, 40])))
        assert_law(iter(deltas))
        seed, flushes = seed + 1, flushes + len(deltas)
    print(f"{seed - options.seed:,} documents, {flushes:,} flushes, all as rendered at once")


if __name__ == "__main__":
    main()
