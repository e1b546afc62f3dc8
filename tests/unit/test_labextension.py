"""The prebuilt extension of JupyterLab that the wheel brings."""

from __future__ import annotations

import json
from pathlib import Path

from groq_magic import __version__

FOLDER = Path(__file__).parents[2] / "jupyter-config" / "labextension"


def test_it_has_the_version_of_the_package() -> None:
    """No browser then keeps the files of the version before."""
    package = json.loads((FOLDER / "package.json").read_text("utf-8"))
    assert package["version"] == __version__
    load, _, version = package["jupyterlab"]["_build"]["load"].partition("?v=")
    assert version == __version__
    assert (FOLDER / load).is_file()
