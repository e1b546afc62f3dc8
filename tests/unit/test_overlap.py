"""What a resumed text repeats of the text before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic.overlap import Overlap

TEXTS = st.text("ab \n", max_size=30)


def fed(before: str, *pieces: str) -> str:
    overlap = Overlap(before)
    return "".join(map(overlap.feed, pieces)) + overlap.close("")


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ("Once upon a ti", "upon a time", "me"),
        ("def f():\n    retu", "    return 1\n", "rn 1\n"),
        ("| a | b |\n|---|---|\n| 1 |", "| 1 | 2 |\n", " 2 |\n"),
        ("It is a bo", "ok.", "ok."),  # a repetition begins where a word does
        ("A line.\n\n", "\nAnother.", "\nAnother."),  # white space alone is none
        ("ha ha ha", "ha ha ha ho", " ho"),  # the longest one
        ("so far", "so far", ""),
        ("so far", "so f", "so f"),
        ("", "It begins.", "It begins."),
        ("a " * 2000, "a " * 1000 + "b", "b"),
        ("x " + "y" * 4001, "x " + "y" * 4001, "x " + "y" * 4001),  # only the last 4,000 count
    ],
)
def test_what_is_dropped(before: str, after: str, new: str) -> None:
    assert fed(before, after) == fed(before, *after) == new


@given(TEXTS, st.lists(TEXTS))
def test_the_pieces_do_not_matter(before: str, pieces: list[str]) -> None:
    assert fed(before, *pieces) == fed(before, "".join(pieces))


@given(st.lists(st.sampled_from(["one", "two", "three"]), min_size=1), st.data(), TEXTS)
def test_a_repeated_end_is_dropped(words: list[str], data: st.DataObject, rest: str) -> None:
    before = " ".join(words)
    repeated = " ".join(words[data.draw(st.integers(0, len(words) - 1)) :])
    new = fed(before, f"{repeated}, {rest}")
    assert new == f", {rest}"


def test_nothing_waits_that_cannot_be_a_repetition() -> None:
    overlap = Overlap("Once upon a time")
    assert [overlap.feed(text) for text in ("up", "on", " ", "an", "y")] == [
        "",
        "",
        "",
        "upon an",
        "y",
    ]
