"""What each weighs beside ipykernel, and how soon it is there: ``python -m tests.bench.weight``.

Ours, jupyter-ai-magics, chatlab and the groq SDK, each installed by pip together with
ipykernel in a clean environment; the first row is ipykernel alone. Packages are counted
without pip and setuptools. Times are medians of five fresh processes in which IPython
is imported and its shell made already: of the import alone, of the import and of loading
the extension where there is one, and of the import and a first ``stream()`` that returns.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.support.demo import running_demo

ROOT = Path(__file__).parents[2]
INSTALLERS = {"pip", "setuptools", "wheel"}
ROUNDS = 5

LOAD = "import {0}; {0}.load_ipython_extension(shell)"
CONTENDERS = {
    "ipykernel alone": ((), ()),
    "groq-magic": (
        (str(ROOT),),
        (
            "import groq_magic",
            LOAD.format("groq_magic"),
            "from groq_magic import stream; stream('cat names')",
        ),
    ),
    "jupyter-ai-magics": (
        ("jupyter-ai-magics",),
        ("import jupyter_ai_magics", LOAD.format("jupyter_ai_magics")),
    ),
    "chatlab": (("chatlab",), ("import chatlab",)),
    "groq": (("groq",), ("import groq",)),
}
"""What pip is given besides ipykernel, and the statements that are timed, each by itself."""

TIMED = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
begun = time.perf_counter()
{statement}
print(time.perf_counter() - begun)
"""


FAILS = math.nan
"""The time of a statement that does not run."""


class Weight(NamedTuple):
    packages: int
    megabytes: float
    milliseconds: tuple[float, ...]
    """Of each statement."""

    def __str__(self) -> str:
        times = (f"{said(taken):>11}" for taken in self.milliseconds)
        return f"{self.packages:10}{self.megabytes:8.1f}" + "".join(times)


def said(milliseconds: float) -> str:
    return "fails" if math.isnan(milliseconds) else f"{milliseconds:.1f}"


class Environment:
    """A clean environment with pip alone."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        self._folder = folder
        self._python = str(folder / "bin" / "python")
        self._bytes_before = self._bytes()

    def install(self, *what: str) -> str:
        """Why it cannot be installed; empty where it can."""
        command = [self._python, "-m", "pip", "install", "--quiet", "ipykernel", *what]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
        return (errors or [f"pip ended with {ran.returncode}"])[-1] if ran.returncode else ""

    def packages(self) -> int:
        command = [self._python, "-m", "pip", "list", "--format=json"]
        listed = json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))
        return len({package["name"].lower() for package in listed} - INSTALLERS)

    def megabytes(self) -> float:
        return (self._bytes() - self._bytes_before) / 1e6

    def seconds(self, statement: str, base_url: str) -> float:
        """The median time that the statement takes in a fresh process."""
        code = TIMED.format(statement=statement)
        environment = {**os.environ, "GROQ_BASE_URL": base_url}
        environment.pop("PYTHONPATH", None)  # what is installed, not the checkout
        command = [self._python, "-c", code]

        def once() -> float:
            said = subprocess.check_output(command, env=environment, cwd=self._folder, text=True)
            return float(said)

        once()  # the first one after the installation reads from the disk
        return statistics.median(once() for _ in range(ROUNDS))

    def _bytes(self) -> int:
        files = (path for path in self._folder.rglob("*") if not path.is_symlink())
        return sum(path.stat().st_size for path in files if path.is_file())


def main() -> None:
    print(f"{'':20}{'packages':>10}{'MB':>8}{'import ms':>11}{'loaded ms':>11}{'stream ms':>11}")
    with running_demo(2000) as server, tempfile.TemporaryDirectory() as folder:
        for name in CONTENDERS:
            weight = weigh(name, Path(folder) / name, server.base_url)
            figures = f"  does not install: {weight}" if isinstance(weight, str) else weight
            print(f"{name:20}{figures}", flush=True)


def weigh(name: str, folder: Path, base_url: str) -> Weight | str:
    """The figures of one, or why it does not install."""
    packages, statements = CONTENDERS[name]
    environment = Environment(folder)
    if reason := environment.install(*packages):
        return reason
    packages_and_size = environment.packages(), environment.megabytes()
    times = tuple(milliseconds(environment, each, base_url) for each in statements)
    return Weight(*packages_and_size, times)


def milliseconds(environment: Environment, statement: str, base_url: str) -> float:
    try:
        return environment.seconds(statement, base_url) * 1e3
    except subprocess.CalledProcessError:
        return FAILS


if __name__ == "__main__":
    main()
