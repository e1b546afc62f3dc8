"""Wait for a condition; a port where nobody listens."""

from __future__ import annotations

import faulthandler
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def free_port() -> Iterator[int]:
    """A port where nobody listens, held so that nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def until(met: Callable[[], object], timeout: float = 60.0) -> None:
    """Return as soon as the condition is met; the timeout only ends a test that hangs."""
    deadline = time.monotonic() + timeout
    while not met():
        if time.monotonic() > deadline:
            faulthandler.dump_traceback(file=sys.stderr)  # where each thread is
            raise AssertionError
        time.sleep(0.002)
