"""Under Voila all cells have run before there is a page, and nobody sees a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.support.demo import running_demo
from tests.support.lab import KERNEL, Profile
from tests.support.servers import running_server
from tests.support.waiting import until

CELLS = (
    "%%groq --max-tokens 20\ncat names",  # it has ended when the page is there
    "%%groq\nExplain server-sent events",
    "%%groq -m demo/slow\nA long history of notebooks",
)


@contextmanager
def running_voila(folder: Path, base_url: str) -> Iterator[str]:
    """Voila with a notebook of the cells; the URL of the page."""
    path = folder / "page.ipynb"
    cells = [new_code_cell(cell) for cell in CELLS]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    environment = {"GROQ_BASE_URL": base_url, "IPYTHONDIR": str(folder)}
    with running_server("voila", str(path), "--no-browser", env=environment) as url:
        yield url


def test_answers_grow_are_stopped_and_stay_whole(browser: Profile, tmp_path: Path) -> None:
    with running_demo(60) as server, running_voila(tmp_path, server.base_url) as url:
        page = browser.new_page()
        page.goto(url)
        cut, whole, slow = (page.locator(".groq-answer").nth(number) for number in range(3))

        # What has ended is there, and what has not grows.
        slow.get_by_role("button", name="Stop").wait_for()
        until(lambda: "Cut at 20 tokens." in cut.inner_text())
        until(lambda: "A short history" in slow.inner_text())
        before = len(slow.inner_text())
        until(lambda: len(slow.inner_text()) > before)
        assert slow.locator("h1").count() == 1

        # Stop closes the connection, and keeps the text.
        asked = [request["body"]["model"] for request in server.seen()]  # in any order
        number = asked.index("demo/slow")
        assert server.seen()[number]["state"] == "streaming"
        slow.get_by_role("button", name="Stop").click()
        server.until("closed", number)
        until(lambda: "stopped after" in slow.inner_text())
        assert "A short history" in slow.inner_text()

        # Another goes on to its end.
        until(lambda: "a radio broadcast" in whole.inner_text())
        assert max(request["tokens"] for request in server.seen()) > 300
        page.locator(".groq-stop:visible").last.wait_for(state="hidden")
        assert whole.locator("td code").first.inner_text() == "data"
        assert page.locator(".groq-answer").count() == 3
