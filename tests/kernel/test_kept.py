"""`--keep` and its kin in a real kernel, and a notebook that is rebuilt without a key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.kept import rebuild
from tests.support.demo import Demo
from tests.support.kernels import Kernel, Run, bundle, running_kernel

TOKENS_PER_SECOND = 5000
FORGET = "from groq_magic.runtime import runtime; runtime.reset()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernel")


@pytest.fixture(scope="module")
def shared_kernel(server: Demo, folder: Path) -> Iterator[Kernel]:
    environment = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": str(folder)}
    environment.pop("GROQ_API_KEY", None)
    with running_kernel(environment, str(folder)) as kernel:
        kernel.run("%reload_ext groq_magic")
        kernel.run("import os; from groq_magic import stream")
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Kernel:
    """The kernel, with nothing asked, kept or configured."""
    for name in ("keep", "store", "never_keep"):
        shared_kernel.run(f"%config GroqMagic.{name} = None")
    shared_kernel.run("%groq kept clear")
    shared_kernel.run(FORGET)
    return shared_kernel


def header(run: Run) -> str:
    """The words above the text of an output that came with the cell."""
    (message,) = run.of_type("display_data")
    html = bundle(message)[0]["text/html"]
    return re.sub(r"\s*<[^>]*>", "", html.partition("</div>")[0])


def asked(server: Demo) -> int:
    return len(server.seen())


def test_a_kept_answer_is_static_at_once_and_says_so(kernel: Kernel, server: Demo) -> None:
    first = kernel.until_static(kernel.run("%%groq --keep\ncat names"))
    before = asked(server)
    again = kernel.run("%%groq --keep -o kept\ncat names")
    assert not again.of_type("update_display_data", "comm_open")
    assert re.search(r"·kept from \d+ \w+, asked 2 times$", header(again))
    assert (
        bundle(again.of_type("display_data")[0])[0]["text/plain"] == bundle(first)[0]["text/plain"]
    )
    assert kernel.run("print(kept.kept.asked, kept.cost, kept.usage.total_tokens > 0)").stdout == (
        "2 None True\n"
    )
    assert asked(server) == before
    status = json.dumps(kernel.run("%groq").of_type("display_data")[0]["content"]["data"])
    assert " for 1 answer" in status  # the kept one costs nothing


def test_replay_is_live_and_fresh_asks_anew(kernel: Kernel, server: Demo) -> None:
    kernel.until_static(kernel.run("%%groq --keep\na long history"))
    before = asked(server)
    replayed = kernel.run("%%groq --replay\na long history")
    assert "kept from" in bundle(kernel.until_static(replayed))[0]["text/html"]
    assert (len(replayed.of_type("comm_open")) > 0, asked(server)) == (True, before)
    fresh = kernel.until_static(kernel.run("%%groq --fresh\na long history"))
    assert ("kept from" in bundle(fresh)[0]["text/html"], asked(server)) == (False, before + 1)


def test_the_setting_is_for_all_cells_and_a_flag_overrides_it(kernel: Kernel) -> None:
    kernel.run("%config GroqMagic.keep = True")
    kernel.run("%config GroqMagic.store = 'other.db'")
    kernel.until_static(kernel.run("%%groq\nmath"))
    kernel.until_static(kernel.run("%%groq --no-keep\npoem"))
    listed = kernel.run("%groq kept").of_type("display_data")[0]["content"]["data"]["text/plain"]
    assert "math" in listed
    assert "poem" not in listed


@pytest.mark.parametrize(
    ("cell", "is_kept"),
    [
        ("%%groq\ncat names", True),
        ("%%groq\nmy password is short", False),
        ("%%groq\nit is {{ secret }}", False),
        ("%%groq -s 'password 1'\ncat names", False),
        ("%%groq --keep\npassword", False),
    ],
)
def test_what_the_pattern_matches_is_not_kept(kernel: Kernel, cell: str, is_kept: bool) -> None:  # noqa: FBT001
    kernel.run("%config GroqMagic.keep = True")
    kernel.run("%config GroqMagic.never_keep = 'pass(word|wd)'; secret = 'passwd'")
    kernel.run("secret = 'passwd'")
    kernel.until_static(kernel.run(cell))
    assert bool(kernel.run("%groq kept").of_type("display_data")) is is_kept


def test_a_pattern_that_is_none_is_one_line(kernel: Kernel) -> None:
    kernel.run("%config GroqMagic.never_keep = '('")
    assert kernel.run("%%groq --keep\nHi").stdout.startswith(
        "UsageError: GroqMagic.never_keep is not a regular expression: "
    )


def test_kept_lists_and_clears(kernel: Kernel) -> None:
    assert kernel.run("%groq kept").stdout == (
        "No answer is kept in groq-answers.db. Keep one with %%groq --keep.\n"
    )
    kernel.until_static(kernel.run("%%groq --keep -m demo/other\ncat names, and more of them"))
    listed = kernel.run("%groq kept").of_type("display_data")[0]["content"]["data"]["text/plain"]
    head, row = listed.splitlines()
    assert head.split() == ["Model", "Prompt", "From", "Asked", "Size", "Price"]
    assert re.match(r"demo/other +cat names, and more of them +\d+ \w+ +1 +\d+\.\d kB", row)
    older = kernel.run("%groq kept clear older than 1 days").stdout
    assert older == "Deleted no answers from groq-answers.db.\n"
    assert kernel.run("%groq kept clear").stdout == "Deleted 1 answer from groq-answers.db.\n"


def test_check_says_where_each_answer_is_from_and_fails_unless_all_were_kept(
    kernel: Kernel,
) -> None:
    kernel.until_static(kernel.run("%%groq --keep\ncat names"))
    kernel.run("%groq kept")  # behind what is still to be written
    kernel.run(FORGET)
    kernel.run("%%groq --keep\ncat names")
    good = kernel.run("%groq kept check")
    assert good.error + good.stdout == ""
    kernel.run("%%groq --keep --wait -m demo/error-401\nHi")
    last = kernel.run("%%groq\npoem")
    kernel.until_static(last)
    bad = kernel.run("%groq kept check")
    rows = bad.of_type("display_data")[0]["content"]["data"]["text/plain"].splitlines()[1:]
    assert rows[-1].startswith(
        f"In [{last.of_type('execute_input')[0]['content']['execution_count']}]"
    )
    ends = [re.sub(r".*  (?=\w)", "", row) for row in rows]
    assert [end.partition(" from")[0] for end in ends] == ["kept", "missing", "asked"]
    assert bad.stdout == (
        "UsageError: 2 answers of 3 came from no file of kept answers. "
        "Run the cells with --keep, and take the file along.\n"
    )


def test_a_turn_of_a_chat_that_waits_is_found_too(kernel: Kernel, server: Demo) -> None:
    cells = [f"%%groq --keep -c\n{text}" for text in ("cat names", "math")]
    for number, cell in enumerate(cells):
        kernel.until_static(kernel.run(cell, cell=str(number)))
    before = asked(server)
    kernel.run("%groq kept")
    kernel.run(FORGET)
    for number, cell in enumerate(cells):
        run = kernel.run(cell, cell=str(number))
        assert f"Turn {number + 1} of chat." in header(run)
        assert "kept from" in header(run)
    assert asked(server) == before


def test_a_notebook_is_rebuilt_as_it_was_without_key_and_server(tmp_path: Path) -> None:
    found = rebuild(tmp_path, 6)
    assert found["requests of the first run"] == 6
    assert found["requests of the second"] == 0
    assert found["its equal outputs"] == found["equal outputs without key and server"] == 6
    assert found["secrets in it"] == []
