"""One Markdown table of figures, each beside its goal; whether it is met is computed."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from tests.support.lab import chromium

HEADS = ("what is measured", "ours", "goal", "beside it")
PACKAGES = ("ipykernel", "jupyterlab", "httpx", "groq", "openai")


class Goal(NamedTuple):
    """What is wanted of a figure, and whether it is so; None where nothing is there to tell by."""

    said: str
    is_met: bool | None

    def __str__(self) -> str:
        words = {True: "met", False: "**missed**", None: "not compared"}
        return f"{self.said}: {words[self.is_met]}"


class Row(NamedTuple):
    what: str
    ours: str
    goals: Sequence[Goal] = ()
    beside: str = ""

    def __str__(self) -> str:
        goals = "; ".join(map(str, self.goals)) or "none"
        return line(self.what, self.ours, goals, self.beside)


def at_most(limit: float, *taken: float) -> Goal:
    return Goal(f"≤ {limit:g}", all(value <= limit for value in taken))


def at_least(limit: float, *taken: float) -> Goal:
    return Goal(f"≥ {limit:g}", all(value >= limit for value in taken))


def beside(said: str, factor: float, ours: float, theirs: float | None) -> Goal:
    """At most so many times another's figure of the same run."""
    return Goal(f"≤ {said}", None if theirs is None else ours <= factor * theirs)


def number(value: float) -> str:
    """Three digits, or all there are before the point."""
    if not math.isfinite(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table(rows: Iterable[Row]) -> str:
    return "\n".join([line(*HEADS), "|---|---|---|---|", *map(str, rows)])


def machine() -> str:
    """The date, what it ran on, and how busy that was before."""
    versions = [f"{name} {version_of(name)}" for name in PACKAGES]
    browser = subprocess.check_output([chromium(), "--version"], text=True).split()
    parts = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"{os.cpu_count()} x {processor()}",
        system(),
        f"Python {platform.python_version()}",
        *versions,
        " ".join(browser[:2]),
        f"load before {os.getloadavg()[0]:.1f}",
    )
    return ", ".join(parts)


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(each for each in lines if each.startswith("model name")).split(": ", 1)[1]
    return platform.processor() or platform.machine()


def system() -> str:
    with suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return platform.platform()
