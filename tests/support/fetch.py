"""What tests take from the package index, fetched before they run.

``python -m tests.support.fetch [--specification]``
"""

from __future__ import annotations

import shutil
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
COLLABORATION = {
    "jupyter-collaboration-ui": "3.0.4",
    "jupyter-docprovider": "3.0.4",
    "jupyter-server-fileid": "0.10.0",
    "jupyter-server-ydoc": "3.0.4",
    "jupyter-ydoc": "4.2.1",
    "pycrdt": "0.14.13",
    "pycrdt-store": "0.1.5",
    "pycrdt-websocket": "0.16.5",
    "sqlite-anyio": "0.2.10",
}
"""What jupyter-collaboration 5.0.4 adds to JupyterLab: installed, it would be on in all tests."""
VSCODE_MANAGER = "@vscode/jupyter-ipywidgets8@1.0.9"


def kernel_folder(ipykernel: str) -> Path:
    """Where that version is, alone: its dependencies are those of the environment."""
    return FOLDER / f"ipykernel-{ipykernel}"


def lab_folder() -> Path:
    """Where the lowest JupyterLab is, alone."""
    return FOLDER / f"jupyterlab-{LOWEST_LAB}"


def collaboration_folder() -> Path:
    """Where real-time collaboration is, alone."""
    return FOLDER / "collaboration"


def vscode_manager() -> Path:
    """VS Code's manager of widgets, a module."""
    return FOLDER / "vscode" / "package" / "dist" / "ipywidgets.js"


def main() -> None:
    if not SPECIFICATION.exists():
        _fetch_specification()
    if "--specification" not in sys.argv:
        for ipykernel in KERNELS:
            if not kernel_folder(ipykernel).exists():
                _fetch(["install", "--target"], kernel_folder(ipykernel), f"ipykernel=={ipykernel}")
        if not lab_folder().exists():
            _fetch(["install", "--target"], lab_folder(), f"jupyterlab=={LOWEST_LAB}")
        if not collaboration_folder().exists():
            packages = [f"{name}=={version}" for name, version in COLLABORATION.items()]
            _fetch(["install", "--target"], collaboration_folder(), *packages)
        if not vscode_manager().exists() and (npm := shutil.which("npm")):
            _fetch_vscode_manager(npm)


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


def _fetch_vscode_manager(npm: str) -> None:
    folder = vscode_manager().parents[2]
    folder.mkdir(parents=True, exist_ok=True)
    pack = [npm, "pack", "--silent", "--pack-destination", str(folder), VSCODE_MANAGER]
    subprocess.run(pack, check=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")


def _fetch(command: list[str], folder: Path, *packages: str) -> None:
    pip = [sys.executable, "-m", "pip", command[0], "--quiet", "--no-deps"]
    subprocess.run([*pip, *command[1:], str(folder), *packages], check=True)


if __name__ == "__main__":
    main()
