"""In marimo an answer is the output of its cell: live, then static, without IPython's displays."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.demo import running_demo
from tests.support.lab import Profile
from tests.support.waiting import until

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    from groq_magic import show, stream
    return mo, show, stream


@app.cell
def _(stream):
    stream("A long history of notebooks", model="demo/slow")
    return


@app.cell
def _(mo, stream):
    mo.output.append(mo.md("above"))
    _answer = stream("Explain server-sent events", display=True)
    return


@app.cell
def _(show):
    async def words():
        yield "# One\\n\\n"
        yield "*two*"

    show(words())
    return
"""


EXPORTED = """
import marimo

app = marimo.App()


@app.cell
def _():
    from groq_magic import stream

    stream("Explain server-sent events")
    return
"""


class Marimo:
    def __init__(self, folder: Path, base_url: str) -> None:
        path = folder / "notebook.py"
        path.write_text(NOTEBOOK, "utf-8")
        self.console: list[str] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "marimo", "run", str(path), "--host", "127.0.0.1"),
                *("--headless", "--no-token"),
            ],
            env=os.environ
            | {"GROQ_BASE_URL": base_url, "HOME": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        threading.Thread(target=self.console.extend, args=(self.process.stdout,)).start()

    def url(self) -> str:
        """Where it listens, which it says a moment before it does."""
        until(lambda: re.search(r"http://\S+:\d+", "".join(self.console)))
        url = re.findall(r"http://\S+", "".join(self.console))[0]
        until(lambda: _listens(int(re.findall(r":(\d+)", url)[0])))
        return str(url)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def running_marimo(folder: Path, base_url: str) -> Iterator[Marimo]:
    marimo = Marimo(folder, base_url)
    try:
        yield marimo
    finally:
        marimo.process.terminate()
        marimo.process.wait()


def test_answers_are_live_with_stop_and_then_static(browser: Profile, tmp_path: Path) -> None:
    with running_demo(80) as server, running_marimo(tmp_path, server.base_url) as marimo:
        page = browser.new_page()
        page.goto(marimo.url())
        slow, other = (page.locator(".groq-answer").filter(has_text=t) for t in ("slow", "gpt-oss"))

        # The last expression of a cell and display=True are live.
        for answer in (other, slow):
            answer.get_by_role("button", name="Stop").wait_for()
        slow.locator("h1").wait_for()
        said = page.locator("body > .groq-said")
        said.wait_for(state="attached")
        box = said.bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (1, 1)

        # Stop closes the connection; static output takes the view's place.
        number = [request["body"]["model"] for request in server.seen()].index("demo/slow")
        slow.get_by_role("button", name="Stop").click()
        server.until("closed", number)
        static = page.locator(".markdown .groq-answer")
        static.filter(has_text="To go on: answer.resume().").wait_for()
        other.get_by_text("a radio broadcast").wait_for()  # beside what the cell shows else
        page.get_by_text("above").wait_for()
        until(lambda: page.get_by_role("button", name="Stop").count() == 0)
        assert "gpt-oss" not in "".join(marimo.console)
        assert "server-sent" not in "".join(marimo.console).lower()

        # An asynchronous source is read in marimo's own loop.
        assert static.filter(has_text="a stream").locator("h1").inner_text() == "One"
        page.close()


def test_an_export_waits_for_the_end(tmp_path: Path) -> None:
    notebook, page = tmp_path / "notebook.py", tmp_path / "page.html"
    notebook.write_text(EXPORTED, "utf-8")
    command = [sys.executable, "-m", "marimo", "--yes", "export", "html", str(notebook)]
    with running_demo(2000) as server:
        environment = os.environ | {"GROQ_BASE_URL": server.base_url, "HOME": str(tmp_path)}
        subprocess.run([*command, "-o", str(page)], env=environment, check=True)
    assert "a radio broadcast" in page.read_text("utf-8")
