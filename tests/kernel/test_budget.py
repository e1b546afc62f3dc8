"""The question before a cell passes its ceiling, in a real kernel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from tests.support.demo import Demo
from tests.support.kernels import Kernel, Run, running_kernel

TOKENS_PER_SECOND = 2000

NOT_SENT = (
    r"^UsageError: This answer may cost up to \$0.039. Spent: \$0 of \$0.030. "
    r"Nothing was sent. Raise GroqMagic.budget, or shorten the answer with --max-tokens.\n$"
)

AMOUNT = "must be an amount in USD, such as 0.10"


@pytest.fixture(scope="module")
def shared_kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = str(tmp_path_factory.mktemp("home"))
    environment = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": home}
    environment.pop("GROQ_API_KEY", None)
    with running_kernel(environment, home) as kernel:
        kernel.run("%reload_ext groq_magic\nfrom groq_magic.runtime import runtime")
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Iterator[Kernel]:
    """The kernel, which has spent nothing, with a budget of three cents."""
    shared_kernel.run("runtime.reset()\n%config GroqMagic.budget = 0.03")
    yield shared_kernel
    shared_kernel.run("%config GroqMagic.budget = None\n%config GroqMagic.max_cost = None")


def asks(kernel: Kernel, cell: str, reply: str, name: str = "a-cell") -> tuple[Run, str]:
    """Run a cell that asks, and reply; return the question, too."""
    run = kernel.start(cell, cell=name)
    question = kernel.question()
    kernel.type(reply)
    return kernel.finish(run), question


@pytest.mark.parametrize("reply", ["y", " YES "])
def test_a_yes_sends_the_request(kernel: Kernel, server: Demo, reply: str) -> None:
    before = len(server.seen())
    run, question = asks(kernel, "%%groq --wait\ncat names", reply)
    assert question == "This answer may cost up to $0.039. Spent: $0 of $0.030. Send it? [y/N] "
    assert run.error == ""
    assert len(server.seen()) == before + 1
    (status,) = kernel.run("%groq").of_type("display_data")
    said = status["content"]["data"]["text/plain"]
    assert re.search(r"Cost +<\$0.0001 of \$0.030 for 1 answer$", said)


@pytest.mark.parametrize("reply", ["", "n", "yesterday"])
def test_anything_else_sends_nothing(kernel: Kernel, server: Demo, reply: str) -> None:
    before = len(server.seen())
    run, _ = asks(kernel, "%%groq\ncat names", reply)
    assert re.search(NOT_SENT, run.stdout)
    assert len(server.seen()) == before


def test_where_nobody_can_be_asked_nothing_is_sent(kernel: Kernel, server: Demo) -> None:
    before = len(server.seen())
    assert re.search(NOT_SENT, kernel.run("%%groq\ncat names", interactive=False).stdout)
    assert len(server.seen()) == before
    kernel.run("%%groq --max-tokens 50\ncat names", interactive=False)
    assert len(server.seen()) == before + 1


def test_an_interrupt_at_the_question_sends_nothing(kernel: Kernel, server: Demo) -> None:
    before = len(server.seen())
    run = kernel.start("%%groq\ncat names")
    kernel.question()
    kernel.manager.interrupt_kernel()
    assert kernel.finish(run).error == "Interrupted: nothing was sent."
    assert len(server.seen()) == before


def test_the_ceiling_of_one_answer_is_a_flag_and_a_setting(kernel: Kernel, server: Demo) -> None:
    kernel.run("%config GroqMagic.budget = None")
    before = len(server.seen())
    run, question = asks(kernel, "%%groq --max-cost 0.01\ncat names", "n")
    assert question == "This answer may cost up to $0.039; --max-cost is $0.010. Send it? [y/N] "
    assert (
        "Nothing was sent. Raise --max-cost, or shorten the answer with --max-tokens." in run.stdout
    )
    kernel.run("%config GroqMagic.max_cost = 0.01")
    assert asks(kernel, "%%groq\ncat names", "n")[1] == question
    assert len(server.seen()) == before
    kernel.run("%%groq --max-cost 0.1 --wait\ncat names")
    assert len(server.seen()) == before + 1


@pytest.mark.parametrize(
    ("setting", "flags", "said"),
    [
        ("budget = float('nan')", "", f"budget {AMOUNT}, not nan."),
        ("budget = -1", "", f"budget {AMOUNT}, not -1.0."),
        ("budget = None", "--max-cost 0,10", f"max_cost {AMOUNT}, not '0,10'."),
        ("budget = None", "--param max_cost=1", "max_cost is not a parameter of the API."),
    ],
)
def test_what_is_no_amount_gives_one_line_and_sends_nothing(
    kernel: Kernel, server: Demo, setting: str, flags: str, said: str
) -> None:
    before = len(server.seen())
    kernel.run(f"%config GroqMagic.{setting}")
    assert said in kernel.run(f"%%groq {flags}\ncat names").stdout
    assert len(server.seen()) == before


def test_the_rest_of_an_answer_is_asked_about_too(kernel: Kernel, server: Demo) -> None:
    kernel.run("%config GroqMagic.budget = 0.05")
    kernel.run("%%groq -m demo/slow --max-tokens 9 --wait -o cut\nGo on", cell="cut")
    kernel.run("%config GroqMagic.budget = 0.000001")
    before = len(server.seen())
    for cell in ("%%groq --continue\nGo on", "%groq continue"):
        run, question = asks(kernel, cell, "n", name="cut")
        assert question.startswith("This answer may cost up to ")
        assert "Nothing was sent. Raise GroqMagic.budget" in run.stdout
    assert len(server.seen()) == before
    run, _ = asks(kernel, "%%groq --continue --wait\nGo on", "y", name="cut")
    assert run.error == ""
    assert len(server.seen()) == before + 1
