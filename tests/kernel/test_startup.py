"""Our startup file runs nothing of the working folder when a kernel or a terminal starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from venv import EnvBuilder

import pytest
from jupyter_client.manager import KernelManager

from tests.support.kernels import running_kernel

STARTUP = Path(__file__).parents[2] / "jupyter-config/ipython/startup/50-groq-magic.py"
ASK = (
    "import sys; print('magic', get_ipython().find_cell_magic('groq') is not None, '' in sys.path)"
)
IPYTHON = str(Path(sys.executable).with_name("ipython"))


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Python with the packages of this one, where the only startup file is the source's.

    The startup file that is installed here would load the extension first.
    """
    builder = EnvBuilder(symlinks=True)
    builder.create(tmp_path / "environment")
    made = builder.ensure_directories(tmp_path / "environment")
    startup = Path(made.env_dir, "etc", "ipython", "startup")
    startup.mkdir(parents=True)
    shutil.copy(STARTUP, startup)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": made.env_dir}))
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    add = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    (packages / "packages.pth").write_text("\n".join([*paths, add]), "utf-8")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "profiles"))
    for name in ("VIRTUAL_ENV", "PYTHONPATH"):  # they come before the working folder
        monkeypatch.delenv(name, raising=False)
    return str(made.env_exe)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder whose modules have the names of ours and of libraries."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("groq_magic", "httpx", "markdown_it", "anywidget"):
        (folder / f"{name}.py").write_text("open('ran', 'a').write(__name__)")
    return folder


def test_a_kernel_runs_nothing_of_its_folder(folder: Path, python: str) -> None:
    manager = KernelManager(kernel_name="python3")
    assert manager.kernel_spec
    manager.kernel_spec.argv[0] = python
    with running_kernel(dict(os.environ), str(folder), manager) as kernel:
        assert kernel.run(ASK).stdout == "magic True True\n"
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("command", [[IPYTHON], ["-m", "IPython"]])
@pytest.mark.parametrize("active", ["", sys.prefix])
def test_a_terminal_runs_nothing_of_its_folder(
    folder: Path, python: str, command: list[str], active: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPython puts the packages of another active environment before the working folder."""
    monkeypatch.setenv("VIRTUAL_ENV", active)
    ran = subprocess.run(
        [python, *command, "--no-banner", "--simple-prompt", "-c", ASK],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "magic True" in ran.stdout
    assert not (folder / "ran").exists()
