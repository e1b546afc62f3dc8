"""What the tests share: servers, a browser, and an environment without anybody's key."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.asker import Asker
    from tests.support.lab import Lab

RECORDED = Path(__file__).parents[2] / "shared" / "recorded-streams"


class Demo:
    """The demo server in a process of its own."""

    def __init__(self, tokens_per_second: float) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "groq_magic.demo", "--port", "0", "--keep-requests"),
                *("--tokens-per-second", str(tokens_per_second)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().split()[0].partition("=")[2]

    def seen(self) -> list[dict[str, Any]]:
        """What the server saw of each request."""
        with urlopen(self.base_url.replace("/openai/v1", "/demo/requests")) as response:
            return list(json.load(response)["requests"])

    def until(self, state: str, number: int = -1, timeout: float = 30.0) -> dict[str, Any]:
        """The request of that number, as soon as it is in that state."""
        deadline = time.monotonic() + timeout
        while True:
            seen = self.seen()[number:] or [{"state": "not there"}]
            if seen[0]["state"] == state:
                return seen[0]
            assert time.monotonic() < deadline, seen[0]
            time.sleep(0.005)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextmanager
def running_demo(tokens_per_second: float) -> Iterator[Demo]:
    demo = Demo(tokens_per_second)
    try:
        yield demo
    finally:
        demo.close()


@pytest.fixture(scope="session")
def demo_server() -> Iterator[Demo]:
    with running_demo(2000) as demo:
        yield demo


@pytest.fixture
def demo(demo_server: Demo, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """A fast demo server, and the environment that leads there."""
    monkeypatch.setenv("GROQ_BASE_URL", demo_server.base_url)
    return demo_server


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.delenv("GROQ_BASE_URL", raising=False)


@pytest.fixture
def ask() -> Iterator[Asker]:
    """Asks through clients of its own, of which nothing may be left at the test's end."""
    from tests.support.asker import Asker

    asker = Asker()
    yield asker
    asker.close()


# What follows is one for each module: Playwright's loop, as long as it runs, keeps the other
# tests from running loops of their own. It is imported there: tests/installed.py goes without.


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """A demo server as fast as the module says."""
    with running_demo(request.module.TOKENS_PER_SECOND) as demo:
        yield demo


@pytest.fixture(scope="module")
def lab(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab whose kernels ask the module's server."""
    from tests.support.lab import running_lab

    folder = tmp_path_factory.mktemp("lab")
    with running_lab(folder, {"GROQ_BASE_URL": server.base_url}) as lab:
        yield lab


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from tests.support.lab import running_browser

    with running_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    yield page
    page.close()
