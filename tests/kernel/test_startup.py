"""The file that loads us at every start of IPython: nothing of the working folder runs by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kernels import running_kernel

STARTUP = Path(__file__).parents[2] / "jupyter-config/ipython/startup/50-groq-magic.py"
ASK = (
    "import sys; print('magic', get_ipython().find_cell_magic('groq') is not None, '' in sys.path)"
)
IPYTHON = Path(sys.executable).with_name("ipython")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A profile with our startup file, and a working folder with modules of somebody else."""
    startup = tmp_path / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / STARTUP.name).write_bytes(STARTUP.read_bytes())
    (tmp_path / "folder").mkdir()
    for name in ("groq_magic", "httpx", "markdown_it", "anywidget"):
        (tmp_path / "folder" / f"{name}.py").write_text("open('ran', 'a').write(__name__)")
    return {**os.environ, "IPYTHONDIR": str(tmp_path)}


def test_a_kernel_runs_nothing_of_its_folder(tmp_path: Path, environment: dict[str, str]) -> None:
    with running_kernel(environment, str(tmp_path / "folder")) as kernel:
        assert kernel.run(ASK).stdout == "magic True True\n"
    assert not (tmp_path / "folder" / "ran").exists()


@pytest.mark.parametrize("command", [[IPYTHON], [sys.executable, "-m", "IPython"]])
def test_a_terminal_runs_nothing_of_its_folder(
    tmp_path: Path, environment: dict[str, str], command: list[str | Path]
) -> None:
    ran = subprocess.run(
        [*command, "--no-banner", "--simple-prompt", "-c", ASK],
        env=environment,
        cwd=tmp_path / "folder",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "magic True" in ran.stdout
    assert not (tmp_path / "folder" / "ran").exists()
