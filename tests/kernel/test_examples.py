"""The tour, as a stranger runs it: no key, nobody watching, and in a real JupyterLab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat

from tests.support.notebooks import EXAMPLES, without_outputs


def test_it_runs_headless_and_leaves_the_answers_in_the_file(tmp_path: Path) -> None:
    path = without_outputs(EXAMPLES, tmp_path / "examples.ipynb")
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", str(path)]
    subprocess.run(command, env=environment, timeout=120, check=True)
    done = nbformat.read(path, as_version=4)
    nbformat.validate(done)
    asked = [cell for cell in done.cells if cell.source.startswith("%%groq")]
    assert len(asked) >= 3
    for cell in asked:
        (output,) = cell.outputs
        assert output.metadata["groq"]["state"] == "done"
        assert len(output.data["text/plain"]) > 80
        assert set(output.data) == {"text/html", "text/plain"}
    assert "widgets" not in done.metadata


def test_its_saved_outputs_are_there_and_name_no_place_of_this_machine() -> None:
    notebook = nbformat.read(EXAMPLES, as_version=4)
    nbformat.validate(notebook)
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    text = EXAMPLES.read_text("utf-8")
    assert str(Path.home()) not in text
    assert str(EXAMPLES.parent) not in text
