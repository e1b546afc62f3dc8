"""A server in a process of its own that takes a free port and prints its URL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running_server(*module: str, env: dict[str, str]) -> Iterator[str]:
    """Run ``python -m module…``; the URL that it prints once it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        found = (re.search(r"http://\S+?:\d+", line) for line in process.stderr)
        url = next(filter(None, found), None)
        assert url is not None, f"{module[0]} ended without a URL"
        threading.Thread(target=process.stderr.read, daemon=True).start()  # its log goes nowhere
        yield url[0]
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
