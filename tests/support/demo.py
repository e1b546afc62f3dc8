"""The demo server in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen


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
def running_demo(tokens_per_second: float) -> Iterator[Demo]:
    demo = Demo(tokens_per_second)
    try:
        yield demo
    finally:
        demo.close()
