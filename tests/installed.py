"""The wheel as a stranger has it, in clean environments: ``nox -s install`` runs these.

An environment has what ``pip install groq-magic`` and ipykernel bring and no more; this
process is outside of it, and speaks to its kernel and its terminal. The lowest versions
are those that pyproject.toml declares, and of ipykernel the one that Colab has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.support.kernels import Kernel, running_kernel
from tests.support.terminals import terminal

ROOT = Path(__file__).parents[1]
UV = (sys.executable, "-m", "uv", "--no-python-downloads")
STARTUP = "etc/ipython/startup/50-groq-magic.py"
PLUGIN = "share/jupyter/labextensions/groq-magic/static"
TEMPLATE = "share/jupyter/nbconvert/templates/groq-magic"
KINDS = {
    "lowest on 3.11": ("3.11", "lowest-direct"),
    "newest on 3.11": ("3.11", "highest"),
    "newest on 3.12": ("3.12", "highest"),
    "newest on 3.13": ("3.13", "highest"),
    "newest on 3.14": ("3.14", "highest"),
}


def run(*command: str | Path) -> str:
    """What it says; it must succeed."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class Environment:
    """A clean environment in which the wheel is installed."""

    def __init__(self, folder: Path, kind: str, wheel: Path) -> None:
        version, self._resolution = KINDS[kind]
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._wheel = wheel
        run(*UV, "venv", "--python", version, folder)
        self._bring()
        self._pip("install", "--no-index", wheel)
        run(self.python, "-m", "ipykernel", "install", "--prefix", folder, "--name", "installed")

    def _bring(self, *more: str | Path) -> None:
        # What pip itself would take, but pip knows no lowest versions.
        into = ("--python", self.python, "--resolution", self._resolution)
        run(*UV, "pip", "install", *into, "-r", ROOT / "pyproject.toml", "ipykernel>=6.17", *more)

    def _pip(self, *arguments: str | Path) -> None:
        run(sys.executable, "-m", "pip", "--python", self.python, *arguments)

    @contextmanager
    def without(self, package: str) -> Iterator[None]:
        """The environment after ``pip uninstall``, and then as it was."""
        self._pip("uninstall", "--yes", package)
        yield
        self._bring(self._wheel)

    @contextmanager
    def kernel(self, cwd: Path) -> Iterator[Kernel]:
        """A kernel of this environment, as a frontend elsewhere starts it."""
        specs = KernelSpecManager(kernel_dirs=[str(self.folder / "share" / "jupyter" / "kernels")])
        manager = KernelManager(kernel_name="installed", kernel_spec_manager=specs)
        environment = {**os.environ, "IPYTHONDIR": str(cwd / "ipython")}
        with running_kernel(environment, str(cwd), manager) as kernel:
            yield kernel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*UV, "build", "--wheel", "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module", params=KINDS)
def environment(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    version, _ = KINDS[request.param]
    find = [*UV, "python", "find", version]
    if subprocess.run(find, capture_output=True, check=False).returncode:
        pytest.skip(f"there is no Python {version} on this machine")
    return Environment(tmp_path_factory.mktemp("environment"), request.param, wheel)


@pytest.fixture(autouse=True)
def _not_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_kernel_has_the_magic_at_its_start(environment: Environment, tmp_path: Path) -> None:
    assert (environment.folder / STARTUP).is_file()
    plugin = {path.name for path in (environment.folder / PLUGIN).iterdir()}
    assert plugin == {"answers.js", "controls.css", "dom.js", "plugin.js", "prompts.js"}
    assert (environment.folder / TEMPLATE / "index.md.j2").is_file()
    with environment.kernel(tmp_path) as kernel:
        assert kernel.run("%groq demo").stdout.startswith("Answers come from the demo server")
        asked = kernel.run("%%groq -o answer\nExplain server-sent events")
        (placeholder,) = asked.of_type("display_data")
        assert "application/vnd.jupyter.widget-view+json" in placeholder["content"]["data"]
        static = kernel.until_static(asked)["content"]
        sent = [m["content"]["data"].get("content", {}) for m in asked.messages if _is_comm(m)]
        assert [one["type"] for one in sent if one].count("batch") > 3
        assert set(static["data"]) == {"text/html", "text/plain"}
        assert static["data"]["text/plain"].endswith("a radio broadcast.\n")
        assert "<table" in static["data"]["text/html"]
        assert static["metadata"]["groq"]["state"] == "done"
        where = kernel.run("import groq_magic; print(groq_magic.__file__)").stdout
        assert where.startswith(str(environment.folder))


def _is_comm(message: dict[str, object]) -> bool:
    return message["msg_type"] == "comm_msg"


def test_a_terminal_has_the_magic_at_its_start(environment: Environment, tmp_path: Path) -> None:
    with terminal("IPython --no-banner", tmp_path, "", environment.python) as ipython:
        ipython.until("In [1]:")
        ipython.type("%groq demo")
        ipython.until("Answers come from the demo server")
        ipython.type("%%groq\ncat names\n\n")
        ipython.until("- **Semicolon**, who pauses in doorways")
        ipython.until("openai/gpt-oss-120b · ")
        ipython.type("import groq_magic; print('at', groq_magic.__file__)")
        ipython.until(f"at {environment.folder}")


def test_a_package_that_is_missing_is_named_in_a_line(
    environment: Environment, tmp_path: Path
) -> None:
    with environment.without("anywidget"), environment.kernel(tmp_path) as kernel:
        assert kernel.run("print(6 * 7)").stdout == "42\n"
        kernel.run("%groq demo")
        asked = kernel.run("%%groq\ncat names")
        assert asked.error == ""
        (said,) = asked.stdout.splitlines()
        assert said.startswith("UsageError: %%groq cannot run: No module named 'anywidget'.")
        assert "%pip install groq-magic" in said
        assert kernel.run("%groq last").stdout == asked.stdout


def test_uninstalled_it_leaves_nothing(environment: Environment, tmp_path: Path) -> None:
    run(
        environment.python, "-c", "import groq_magic.demo.server, groq_magic.display.show"
    )  # leaves bytecode
    assert len(ours(environment)) > 20
    with environment.without("groq-magic"):
        assert ours(environment) == []
        with environment.kernel(tmp_path) as kernel:
            assert "Cell magic `%%groq` not found" in kernel.run("%%groq\ncat names").stdout


def ours(environment: Environment) -> list[Path]:
    """All whose path in the environment has our name in it."""
    paths = environment.folder.rglob("*")
    return [path for path in paths if "groq" in str(path.relative_to(environment.folder))]
