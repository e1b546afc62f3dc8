"""Frontends that show no live widgets, and several views of one answer, in a real kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.demo import Demo
from tests.support.kernels import (
    WIDGET,
    Kernel,
    Run,
    bundle,
    custom,
    running_kernel,
    updates,
    widget_of,
)

TOKENS_PER_SECOND = 200
SLOW = "%%groq -m demo/slow\nA long history of notebooks"


@pytest.fixture(scope="module")
def kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One that a server has started for a document."""
    home = tmp_path_factory.mktemp("home")
    environment = {"GROQ_BASE_URL": server.base_url, "IPYTHONDIR": str(home)}
    environment["JPY_SESSION_NAME"] = "a.ipynb"
    with running_kernel({**os.environ, **environment}, str(home)) as kernel:
        kernel.run("%reload_ext groq_magic")
        yield kernel


def has_grown(run: Run) -> bool:
    return len(updates(run)) >= 3 and "</h1>" in updates(run)[-1]["text/html"]


def sizes(run: Run) -> list[int]:
    return [len(data["text/html"]) for data in updates(run)]


def test_where_the_server_runs_the_cells_the_output_grows_and_an_interrupt_stops(
    kernel: Kernel, server: Demo
) -> None:
    """jupyter-server-documents shows what a running cell displays, and no updates of it."""
    run = kernel.start(SLOW, interactive=False, cell="")

    def shown() -> list[dict[str, str]]:
        return [message["content"]["data"] for message in run.of_type("display_data")]

    kernel.collect(run, lambda: len(shown()) >= 3 and "</h1>" in shown()[-1]["text/html"])
    assert all(WIDGET not in data for data in shown())
    assert "interrupt its cell" in shown()[-1]["text/html"]
    assert run.reply is None
    kernel.manager.interrupt_kernel()
    kernel.finish(run)  # before that it aborts what it is asked next
    assert "Interrupted: the answer was stopped" in run.error
    server.until("closed")
    assert len(run.of_type("clear_output")) == len(shown()) - 1  # one at a time
    assert updates(run) == []
    data, made = bundle(run.of_type("display_data")[-1])  # before the cell has ended
    assert made["state"] == "stopped"
    assert "interrupt its cell" not in data["text/html"]


def test_where_the_server_runs_a_cell_with_more_in_it_nothing_is_cleared(kernel: Kernel) -> None:
    code = "print('Before')\nimport groq_magic; groq_magic.stream('cat names', display=True); None"
    run = kernel.run(code, interactive=False, cell="")
    assert run.stdout == "Before\n"
    (shown,) = run.of_type("display_data")
    assert bundle(shown)[1]["state"] == "done"
    assert run.of_type("clear_output") == []


COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')"


def test_in_colab_the_output_grows_while_the_cell_waits(kernel: Kernel) -> None:
    kernel.run(COLAB)
    try:
        run = kernel.run("%%groq\nExplain server-sent events", cell="")
    finally:
        kernel.run("del sys.modules['google.colab']")
    (shown,) = run.of_type("display_data")
    assert WIDGET not in shown["content"]["data"]
    assert len(updates(run)) >= 2
    assert bundle(run.of_type("update_display_data")[-1])[1]["state"] == "done"


def test_where_no_view_asks_the_output_grows_beside_the_widget(
    kernel: Kernel, server: Demo
) -> None:
    """And where one has asked, the output stays as it is: the page would make the view anew."""
    asked = kernel.run(SLOW)
    kernel.send_to_widget(widget_of(asked), {"type": "snapshot"})
    kernel.collect(asked, lambda: "snapshot" in str(custom(asked, widget_of(asked))))
    run = kernel.run(SLOW)
    assert "coming" in run.of_type("display_data")[0]["content"]["data"]["text/plain"]
    kernel.collect(run, lambda: has_grown(run))
    asked.messages += run.messages
    assert updates(asked) == []
    assert sizes(run) == sorted(sizes(run))
    assert updates(run)[-1][WIDGET]["model_id"] == widget_of(run)
    assert updates(run)[-1]["text/plain"].startswith("# A short history")
    stop = kernel.run("%groq stop all")
    run.messages += stop.messages
    _, made = bundle(kernel.until_static(run))
    assert made["state"] == "stopped"
    server.until("closed")


def test_while_a_cell_waits_a_view_that_cannot_ask_is_not_made_anew(kernel: Kernel) -> None:
    """With ipykernel 6 the kernel hears no view before the cell has ended."""
    run = kernel.run("%%groq -m demo/slow --max-tokens 90 --wait\nA long history of notebooks")
    (static,) = run.of_type("update_display_data")
    assert bundle(static)[1]["seconds"] > 4  # a view asks within three


def test_a_waiting_cell_of_a_notebook_that_names_none_shows_it(kernel: Kernel) -> None:
    """The classic notebook; a console, which has no session, prints it."""
    run = kernel.run("%%groq --wait\ncat names", cell="")
    assert run.stdout == ""
    assert "Mochi" in kernel.until_static(run)["content"]["data"]["text/plain"]


def test_one_view_at_a_time_gets_the_static_output(kernel: Kernel) -> None:
    """Another one, three seconds later: the first may be gone."""
    run = kernel.run("%%groq\ncat names")
    kernel.until_static(run)
    widget = widget_of(run)

    def writers() -> list[str]:
        return [m["view"] for m in custom(run, widget) if m["type"] == "static"]

    def ask(view: str) -> bool:
        kernel.send_to_widget(widget, {"type": "static", "view": view})
        run.messages += kernel.run("0").messages
        return view in writers()

    kernel.collect(run, lambda: ask("a"))
    ask("b")
    ask("a")
    assert set(writers()) == {"a"}
    kernel.collect(run, lambda: ask("b"))
    ask("a")
    assert writers()[-1] == "b"
