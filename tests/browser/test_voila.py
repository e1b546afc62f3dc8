"""Under Voila all cells have run before there is a page, and nobody sees a notebook."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.conftest import running_demo
from tests.support.lab import KERNEL, running_browser

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
    url = f"http://127.0.0.1:{(port := free_port())}/"
    command = [sys.executable, "-m", "voila", str(path), "--no-browser", f"--port={port}"]
    environment = {**os.environ, "GROQ_BASE_URL": base_url, "IPYTHONDIR": str(folder)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(f"{url}voila/static/require.min.js"), 60)
        yield url
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Voila does not say which port it took."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urlopen(url):
            return True
    except OSError as error:
        return hasattr(error, "code")  # whatever it says, it is there


def until(met: Callable[[], object], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_answers_grow_are_stopped_and_stay_whole(tmp_path: Path) -> None:
    with (
        running_demo(60) as server,
        running_voila(tmp_path, server.base_url) as url,
        running_browser() as browser,
    ):
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
