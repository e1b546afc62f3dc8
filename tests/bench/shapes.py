"""What growing texts of unusual shape cost: ``python -m tests.bench.shapes [--only quote]``.

Each is one block for long, or asks for something that comes late. A flush comes every 33 tokens,
as in `markdown`. Milliseconds of CPU: the longest flush and `close`; of all flushes together, and
as a multiple of one rendering of the whole text.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import NamedTuple

from groq_magic.markdown import StreamingMarkdown, render
from groq_magic.markdown.code import _highlighted
from groq_magic.markdown.segments import _is_closed

from .markdown import CHARACTERS_PER_TOKEN, TOKENS_PER_FLUSH, row, sentence

STEP = int(TOKENS_PER_FLUSH * CHARACTERS_PER_TOKEN)
_CHANCE = random.Random(7)
_SENTENCES = [sentence(_CHANCE) for _ in range(1_400)]
_RICH = "".join(_SENTENCES)
_CODE = [f"value_{number} = compute({number})" for number in range(2_500)]


def lines(prefix: str, texts: list[str]) -> str:
    return "".join(f"{prefix}{text}\n" for text in texts)


SHAPES = {
    "formula that does not close": "$$\n" + "\\frac{a_1}{b^2} + \\sqrt{x} \\\\\n" * 740,
    "item with 1,500 children": "- a\n" + lines("  - ", _SENTENCES[:1] * 1_500),
    "paragraph of one line": _RICH[:99_000],
    "paragraph of many lines": "\n".join(_SENTENCES)[:99_000],
    "paragraph in an item": f"- a\n\n  {_RICH[:50_000]}",
    "heading": f"# {_RICH[:20_000]}",
    "heading of *": "# " + "*" * 20_000,
    "heading with blanks": "##a" + " " * 20_000 + "b",
    "row of a table": f"|a|b|\n|-|-|\n| {_RICH[:20_000]}",
    "[": "[" * 2_400,
    "![[]()": "![[]()" * 1_667,
    "**a": "**a " * 2_500,
    "label that comes last": "See [it] there.\n\n" * 6_600 + "[it]: https://example.org\n\nEnd.",
    "quote": lines("> ", _SENTENCES),
    "quote of paragraphs": "".join(f"> {text}\n>\n" for text in _SENTENCES),
    "quote of items": lines("> - ", _SENTENCES),
    "indented code": lines("    ", _CODE),
    "fence": "```python\nclass A:\n" + lines("    ", _CODE),
    "fence in an item": "- Run:\n\n  ```python\n" + lines("  ", _CODE),
    "fence in a quote": "> ```python\n" + lines("> ", _CODE),
    "table in a quote": "> |a|b|c|\n> |-|-|-|\n" + "".join(f"> {row(_CHANCE)}" for _ in _CODE),
    "definitions": "".join(f"[label {n}]: https://example.org/{n}\n" for n in range(2_500)),
    "list in lists": "- a\n  - b\n    - c\n" + lines("      - ", _SENTENCES),
    "markers at the nesting limit": "> " * 40 + "a\n" + lines("> " * 40, _SENTENCES[:300]),
}


class Cost(NamedTuple):
    """Milliseconds: the longest flush, `close`, all of them, one rendering."""

    longest: float
    close: float
    total: float
    once: float


def _forget() -> None:
    for cache in (_highlighted, _is_closed):
        cache.cache_clear()


def cost(text: str) -> Cost:
    _forget()
    begun = time.process_time()
    html = render(text)
    once = time.process_time() - begun
    _forget()
    markdown, took = StreamingMarkdown(), []
    for start in range(0, len(text), STEP):
        markdown.feed(text[start : start + STEP])
        begun = time.process_time()
        markdown.flush()
        took.append(time.process_time() - begun)
    begun = time.process_time()
    markdown.close()
    close = time.process_time() - begun
    assert markdown.html == html
    return Cost(max(took) * 1e3, close * 1e3, (sum(took) + close) * 1e3, once * 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    render(_RICH[:5_000])  # so that nothing is loaded within the measurement
    print(f"{'':30}{'characters':>11}{'longest':>9}{'close':>7}{'total':>9}{'/ one':>7}")
    for name, text in SHAPES.items():
        if options.only in name:
            longest, close, total, once = cost(text)
            print(
                f"{name:30}{len(text):11,}{longest:9.1f}{close:7.1f}{total:9.0f}"
                f"{total / once:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
