"""The demo server in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen


class Demo:
    """The demo server in a process of its own."""

    def __init__(self, tokens_per_second: float, *options: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "groq_magic.demo", "--port", "0", "--keep-requests"),
                *("--tokens-per-second", str(tokens_per_second)),
                *options,
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

    def change_plan(self, plan: str) -> None:
        """Go on with other limits; it was started with ``--plan``."""
        url = self.base_url.replace("/openai/v1", "/demo/plan")
        urlopen(Request(url, plan.encode(), method="PUT")).close()

    def until(self, state: str, number: int = -1, timeout: float = 90.0) -> dict[str, Any]:
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
def running_demo(tokens_per_second: float, *options: str) -> Iterator[Demo]:
    """A demo server, with more options of its command, such as ``--plan free``."""
    demo = Demo(tokens_per_second, *options)
    try:
        yield demo
    finally:
        demo.close()
