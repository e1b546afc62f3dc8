"""`%%groq` under an account's limits: values that are cut, what is refused, what waits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from tests.support.demo import Demo, running_demo
from tests.support.kernels import Kernel, running_kernel
from tests.support.waiting import until


@pytest.fixture(scope="module")
def small() -> Iterator[Demo]:
    with running_demo(200, "--plan", "60000,600") as demo:
        yield demo


@pytest.fixture(scope="module")
def kernel(small: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel that knows the limits, and has a table of 5,000 rows."""
    home = str(tmp_path_factory.mktemp("home"))
    environment = {**os.environ, "GROQ_BASE_URL": small.base_url, "IPYTHONDIR": home}
    with running_kernel(environment, home) as kernel:
        kernel.run("%reload_ext groq_magic")
        kernel.run("import pandas; table = pandas.DataFrame({'n': range(5_000)})")
        kernel.run("%%groq --wait\nThree names for a cat")
        yield kernel


def rows_sent(small: Demo) -> int:
    found = re.search(r"the first ([\d,]+) of 5,000 rows", str(small.seen()[-1]["body"]))
    assert found
    return int(found[1].replace(",", ""))


def test_a_value_is_cut_to_what_the_minute_has_room_for(kernel: Kernel, small: Demo) -> None:
    run = kernel.run("%%groq --wait --max-tokens 57000\nSum up {{ table }}")
    alone = rows_sent(small)
    assert run.stdout == f"The model gets the first {alone:,} of 5,000 rows of {{{{ table }}}}.\n"
    kernel.run("%%groq --wait --max-tokens 57000\nCompare {{ table }} with {{ table }}")
    assert rows_sent(small) < alone / 1.8
    assert all(seen["status"] == 200 for seen in small.seen())


def test_a_kept_question_is_the_same_for_each_account(kernel: Kernel, small: Demo) -> None:
    """It is not cut, so it may not fit."""
    before = len(small.seen())
    run = kernel.run("%%groq --wait --keep --max-tokens 57000\nSum up {{ table }}")
    assert re.search(r"TooLongError: The request needs about 6\d,\d{3} tokens", run.error)
    kernel.run("%%groq --wait\nSum up {{ table }}")
    asked = rows_sent(small)
    kernel.run("%%groq --wait --keep\nSum up {{ table }}")
    assert rows_sent(small) == asked
    assert len(small.seen()) == before + 2


def test_a_text_that_fits_into_no_minute_is_named(kernel: Kernel, small: Demo) -> None:
    before = len(small.seen())
    kernel.run("short, words = 'a word', 'word ' * 90_000")
    run = kernel.run("%%groq\nCompare {{ short }} with {{ words }}")
    assert run.stdout.startswith("UsageError: The request needs about ")
    assert run.stdout.endswith("The longest value is {{ words }}: 450,000 characters.\n")
    assert len(run.stdout.splitlines()) == 1
    assert len(small.seen()) == before


def test_the_status_says_what_waits_and_when_it_is_sent(kernel: Kernel) -> None:
    kernel.run("%%groq -m demo/slow --max-tokens 50000 -o first\nThree names for a cat")
    kernel.run("next(iter(first))")
    for _ in range(2):
        kernel.run("%%groq -m demo/slow --max-tokens 50000\nThree names for a cat")
    until(lambda: "2 answers; the next is sent in" in status(kernel))
    # Of 60,000 the first holds 50,000, whatever the last response said was left.
    left = r"(8|9|10),\d{3} of 60,000 tokens left this minute \(full again in \d\d s\)"
    assert re.search(f"Limits of demo/slow +{left}", status(kernel))
    kernel.run("%groq stop all")
    assert "Waiting" not in status(kernel)


def status(kernel: Kernel) -> str:
    (shown,) = kernel.run("%groq").of_type("display_data")
    return str(shown["content"]["data"]["text/plain"])
