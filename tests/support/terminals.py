"""A program in a real terminal."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect


class Terminal:
    """A program at a terminal: what is typed into it, and what it prints."""

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self._child = child
        self._raw = ""

    def type(self, code: str) -> None:
        """Type the lines, each with Enter."""
        self._child.send(code.replace("\n", "\r") + "\r")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._child.sendintr()

    def until(self, said: str, timeout: float = 90.0) -> str:
        """What is printed before it says that; the next search begins behind it."""
        deadline = time.monotonic() + timeout
        while said not in (printed := _SEQUENCES.sub("", self._raw)):
            assert time.monotonic() < deadline, printed
            try:
                self._raw += self._child.read_nonblocking(4096, 0.1)
            except pexpect.TIMEOUT:
                continue
        before, _, self._raw = printed.partition(said)
        return before


def _heed_interrupts() -> None:
    """A shell starts what it runs in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# What moves the cursor and colours the text, or asks the terminal something.
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")


@contextmanager
def terminal(
    program: str, folder: Path, base_url: str, python: Path | str = sys.executable
) -> Iterator[Terminal]:
    child: pexpect.spawn[str] = pexpect.spawn(
        str(python),
        ["-m", *program.split()],
        encoding="utf-8",
        dimensions=(50, 120),
        cwd=str(folder),
        env={**os.environ, "GROQ_BASE_URL": base_url, "IPYTHONDIR": str(folder)},
        preexec_fn=_heed_interrupts,
    )
    try:
        yield Terminal(child)
    finally:
        child.kill(signal.SIGKILL)
        child.wait()  # `close` alone gives a busy machine half a second
        child.close()
