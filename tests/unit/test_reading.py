"""Our own answers in ``tests/data``: each construct that models write, in eight languages."""

from __future__ import annotations

import random
import re

import pytest

from groq_magic.markdown import render
from tests.bench.reading import OWN, difference, retractions, vanished
from tests.support.attacks import assert_harmless
from tests.support.markdown import assert_law, cut

TEXTS = {path.stem: path.read_text("utf-8") for path in OWN.glob("*.md")}


@pytest.mark.parametrize("name", TEXTS)
def test_an_answer_grows_into_what_it_is(name: str) -> None:
    assert_law(cut(TEXTS[name], random.Random(0), 6))
    for seed in range(1, 4):
        assert_law(cut(TEXTS[name], random.Random(seed), 40))


@pytest.mark.parametrize("name", TEXTS)
def test_no_markup_is_left(name: str) -> None:
    html = render(TEXTS[name])
    assert_harmless(html)
    prose = re.sub(r'(?s)<code.*?</code>|<(span|div) class="mathjax.*?</\1>|<[^>]*>', "", html)
    assert re.findall(r"\*\*|~~|\]\(|\[!|&lt;/?[a-z]{1,5}&gt;|&lt;!--|^ *(?:•|##)|\|", prose) == []


def test_what_is_compared_with_the_reference() -> None:
    found = difference("**a** b <br>", "<p><em>a</em> b <br />c</p>")
    assert (dict(found.more), dict(found.fewer)) == ({"strong": 1, "p": 1}, {"em": 1, "p": 1})
    assert dict(found.lost) == {"c": 1}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a b\n\n- c\n- d\n", 0),
        ("a\n---\n", 1),  # the paragraph
        ("**a** b", 5),  # two stars, then one and the <em> that it made, then the other star
        ("- a\n\n- b", 1),  # a tight list
    ],
)
def test_what_is_taken_back_while_an_answer_comes(text: str, count: int) -> None:
    assert retractions(text, 1, cosmetics=False) == count
    assert retractions(text, len(text), cosmetics=False) == 0


def test_what_vanishes() -> None:
    assert vanished("abc", "abcd") == vanished("ac", "abc") == vanished("", "") == 0
    assert vanished(["p", "em"], ["p", "strong"]) == 1
