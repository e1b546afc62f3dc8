"""The project's commands; ``nox -l`` lists them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]
nox.options.reuse_existing_virtualenvs = True

# Many tests wait for a process; a file shares its server or kernel. In the files' own order the
# tests in the browser, which share a JupyterLab, come one after another.
IN_PARALLEL = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")


@nox.session
def lab(session: nox.Session) -> None:
    """Open JupyterLab on the examples."""
    session.install(".[lab]")
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    session.run("jupyter", "lab", "examples.ipynb", *as_root, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests: real sockets, real kernels, real JupyterLab in a real Chromium."""
    session.install(".[test]")
    chromium = find_or_install_chromium(session)
    session.run("python", "-m", "tests.support.fetch")
    session.run("pytest", *IN_PARALLEL, *session.posargs, env={"CHROMIUM": chromium})


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that need no network, kernel or browser."""
    session.install(".[unit]")
    fetch = ("python", "-m", "tests.support.fetch", "--specification")
    session.run(*fetch, success_codes=range(256))  # without a network some tests are skipped
    session.run("pytest", "-n", "2", "tests/unit", "groq_magic", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests with their kernels and servers measured; print what no test reaches."""
    session.install(".[test]", "coverage>=7.10")
    chromium = find_or_install_chromium(session)
    session.run("python", "-m", "tests.support.fetch")
    session.run("coverage", "erase")
    tests = ("-m", "pytest", *IN_PARALLEL, *session.posargs)
    session.run("coverage", "run", *tests, env={"CHROMIUM": chromium})
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--show-missing")


@nox.session
def install(session: nox.Session) -> None:
    """Test the wheel in clean environments: newest and lowest versions of what it needs."""
    session.install("hypothesis", "jupyter_client", "pexpect", "pytest", "uv")
    session.run("pytest", "tests/installed.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks beside others and print one table; ``-- --quick`` to try it."""
    session.install(".[bench]")
    chromium = find_or_install_chromium(session)
    session.run("python", "-m", "tests.support.fetch")
    session.run("python", "-m", "tests.bench", *session.posargs, env={"CHROMIUM": chromium})


@nox.session
def mutants(session: nox.Session) -> None:
    """Break each guarantee of SECURITY.md in a copy; its named test must fail."""
    session.install(".[test]")
    chromium = find_or_install_chromium(session)
    session.run("python", "-m", "tests.mutants", *session.posargs, env={"CHROMIUM": chromium})


@nox.session
def pictures(session: nox.Session) -> None:
    """Make the README's moving pictures anew."""
    session.install(".[test]")
    chromium = find_or_install_chromium(session)
    session.run("python", "-m", "tests.pictures", env={"CHROMIUM": chromium})


@nox.session
def docs(session: nox.Session) -> None:
    """Draw the imports, build the site into docs/_build, and check its links."""
    session.install(".[docs]")
    session.run("python", "docs/draw_imports.py")
    session.run("sphinx-build", "-q", "-W", "--keep-going", "docs", "docs/_build")


@nox.session
def lint(session: nox.Session) -> None:
    """Lint, formatting and types; those of the JavaScript where Node.js is installed."""
    session.install("--no-compile", ".[test]", "ruff", "mypy", "nox")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    if npx := shutil.which("npx"):
        node = [npx, "--yes", "--package", "typescript@7.0.2", "--package", "prettier@3.10.1"]
        session.run(*node, "tsc", external=True)
        session.run(
            *node, "prettier", "--check", "groq_magic/display", "jupyter-config", external=True
        )
    else:
        session.log("Without Node.js the JavaScript is not checked.")


def find_or_install_chromium(session: nox.Session) -> str:
    """The path of a Chromium: on PATH, Playwright's own, or one installed now."""
    if found := chromium_on_path() or playwright_chromium(session):
        return found
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with_libraries = ["--with-deps"] if is_root else []
    session.run("playwright", "install", *with_libraries, "chromium", success_codes=range(256))
    if found := playwright_chromium(session):
        return found
    if shutil.which("apt-get") and is_root:
        # Playwright's download cannot be reached everywhere; Debian's own package often can.
        session.run("apt-get", "update", "-q", external=True)
        session.run("apt-get", "install", "-y", "-q", "chromium", external=True)
        if found := chromium_on_path():
            return found
    return session.error("No Chromium for the browser tests: install one, so that it is on PATH.")


def chromium_on_path() -> str | None:
    """A Chromium or Chrome on PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(runs, map(shutil.which, names)), None)


def playwright_chromium(session: nox.Session) -> str | None:
    """The Chromium that ``playwright install`` put down, if it did."""
    ask = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p: print(p.chromium.executable_path)"
    )
    path = str(session.run("python", "-c", ask, silent=True)).strip()
    return path if runs(path) else None


def runs(path: str | None) -> bool:
    """Whether it is there and finds its libraries."""
    if path is None or not Path(path).exists():
        return False
    return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit("Run it with nox: pip install nox && nox -s tests")
