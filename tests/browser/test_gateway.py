"""Kernels on another machine: JupyterLab in front of a Jupyter Kernel Gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.demo import running_demo
from tests.support.lab import NotebookPage, Profile, errors_of, running_lab
from tests.support.servers import running_server

WHOLE, SLOW, REMOTE = range(3)
CELLS = (
    "%%groq -m demo/slow\nExplain server-sent events",
    "%%groq -m demo/slow\nA long history of notebooks",
    "import os; print('It is remote:', os.environ.get('KERNEL_GATEWAY'))",
)


@contextmanager
def running_gateway(folder: Path, base_url: str) -> Iterator[str]:
    """A gateway with an environment of its own, which its kernels have; its URL."""
    given = {"GROQ_BASE_URL": base_url, "IPYTHONDIR": str(folder)}
    handed_on = ",".join([*given, "PYTHONPATH"])  # else its kernels have of it the PATH alone
    environment = {**given, "KG_ENV_PROCESS_WHITELIST": handed_on}
    with running_server("kernel_gateway", "--ip=127.0.0.1", env=environment) as url:
        yield url


class RemotePage(NotebookPage):
    """A notebook whose kernel is behind the gateway."""

    def until_idle(self) -> None:
        """Have the output of a cell.

        What the page sends before its server is connected to the gateway is lost: a cell, or the
        question whose reply would say that the kernel is idle. A user runs the cell again, or
        loads the page again.
        """
        for _ in range(12):
            with suppress(AssertionError):
                self.until(self.is_idle, 10)
                self.run(REMOTE)
                self.until(lambda: "It is remote: 1" in self.text(REMOTE), 5)
                return
            if not self.is_idle():
                self.load()
        pytest.fail("The remote kernel hears nothing.")


def test_an_answer_is_live_is_stopped_and_is_saved(browser: Profile, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    (tmp_path / "local").mkdir()
    with (
        running_demo(60) as server,
        running_gateway(tmp_path / "remote", server.base_url) as url,
        running_lab(tmp_path / "local", {"JUPYTER_GATEWAY_URL": url}) as lab,
    ):
        page = browser.new_page()
        errors = errors_of(page)
        book = RemotePage(page, lab, lab.write("remote.ipynb", *CELLS))

        # It grows, formatted, while the kernel is free.
        book.run(WHOLE)
        book.until(lambda: book.answer(WHOLE).locator("pre code").count() > 0)
        assert server.seen()[0]["state"] == "streaming"
        before = len(book.text(WHOLE))
        book.run(SLOW)
        book.until(lambda: len(book.text(WHOLE)) > before)

        # Stop ends the other one, upstream, too, and keeps its text.
        book.until(lambda: "A short history" in book.text(SLOW))
        book.answer(SLOW).get_by_role("button", name="Stop").click()
        server.until("closed", 1)
        book.until(lambda: "stopped after" in book.text(SLOW))

        # The plugin, on the server's side, works with the package on the kernel's.
        assert book.answer(SLOW).locator("[data-label='Run again']").count() == 1

        # Both are plain output in the end, and that is what is saved.
        book.until(lambda: page.locator(".groq-stop").count() == 0)
        saved = book.save()
        page.close()
    # The gateway does not say which kernels it has.
    assert [error for error in errors if "/api/kernels" not in error] == []
    for cell, state, text in ((WHOLE, "done", "a radio"), (SLOW, "stopped", "A short history")):
        (output,) = saved["cells"][cell]["outputs"]
        assert set(output["data"]) == {"text/html", "text/plain"}
        assert output["metadata"]["groq"]["state"] == state
        assert text in output["data"]["text/plain"]
    assert "widgets" not in saved["metadata"]
