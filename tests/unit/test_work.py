"""No text makes the work of rendering grow faster than itself.

Work is counted, because time depends on the machine.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from groq_magic.markdown import render

PATHOLOGICAL = {
    "images": lambda n: "![" * n,
    "images and one end": lambda n: "![" * n + "]",
    "brackets": lambda n: "[" * n,
    "closed brackets": lambda n: "[" * n + "a" + "]" * n,
    "bracket lines": lambda n: "[\n" * n,
    "link openers": lambda n: "[a" * n,
    "link closers": lambda n: "a]" * n,
    "links in links": lambda n: "[a](" * n,
    "links and brackets": lambda n: "[ (](" * n,
    "empty images": lambda n: "![[]()" * n,
    "image references": lambda n: "![a][" * n,
    "strong": lambda n: "*a **a " * n + "b" + " a** a*" * n,
    "openers": lambda n: "_a " * n,
    "closers": lambda n: "a_ " * n,
    "mismatched": lambda n: "*a_ " * n,
    "stars": lambda n: "*" * n + "a" + "*" * n,
    "link and emphasis": lambda n: "**x [a*b**c*](d)" * n,
    "quotes": lambda n: "> " * n + "a " * n,
    "backticks": lambda n: "".join("e" + "`" * i for i in range(int((2 * n) ** 0.5))),
    "tags": lambda n: "a <b" * n,
    "comments": lambda n: "</" + "<!--" * n,
    "openings": lambda n: "<b>" * n,
    "endings": lambda n: "<b>" * n + "</i>" * n,
    "pairs": lambda n: "<b><i>a</b></i>" * n,
    "definitions": lambda n: "[a]: u\n" * n,
    "titles": lambda n: '[a]: u "t\n' * n,
    "wide table": lambda n: "|" + "a|" * n + "\n|" + "-|" * n + "\n",
    "pipes in code": lambda n: "|a|b|\n|-|-|\n" + "|`a|b`|c|\n" * n,
    "pipes and code": lambda n: "|a|b|\n|-|-|\n" + "|`a" * n,
    "tables": lambda n: "|a|\n|-|\n```\n```\n" * n,
    "bullets": lambda n: "• a\n" * n,
    "escaped dollars": lambda n: "$" + "\\$" * n,
    "ordered": lambda n: "1. a\n" * n,
    "images of https": lambda n: "![a](https://e.org) " * n,
    "images in links": lambda n: "[![a](https://e.org)](https://e.org) " * n,
    "nested lists": lambda n: "- " * n,
    "setext": lambda n: "a\n" * n + "=",
    "formulas": lambda n: "\\(" * n,
    "formulas and one end": lambda n: "\\(" * n + "`\\)",
    "dollars": lambda n: "$a " * n,
    "blocks of dollars": lambda n: "$$\na\n" * n,
    "formulas of many lines": lambda n: "$$ a\n" * n,
    "environments": lambda n: "\\begin{align}\n" * n,
    "parentheses of a URL": lambda n: "http://a" + "(" * n + ")" * 2 * n,
    "mail": lambda n: "a@b.com\n" * n,
    "headings that open": lambda n: "# " + "*" * n + "\n",
    "blanks in a heading": lambda n: "##a" + " " * n + "b\n",
    "nul": lambda n: "a\0b" * n,
}


def work(text: str) -> int:
    """How many lines, calls and returns Python executes to render the text."""
    count = 0

    def on_event(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return on_event

    sys.settrace(on_event)
    try:
        render(text)
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_no_text_makes_the_work_grow_faster_than_itself(name: str) -> None:
    make = PATHOLOGICAL[name]
    render(make(100))
    small, large = work(make(400)), work(make(1_600))  # long enough for several segments
    assert large / small < 5.5  # 4 is linear, 16 quadratic


def test_the_work_for_images_is_linear() -> None:
    image = "![a](https://e.org)"
    assert work(image * 1_000) / work(image * 250) < 5.5
