"""The examples notebook, and the programs that run a notebook."""

from __future__ import annotations

from pathlib import Path

import nbformat

EXAMPLES = Path(__file__).parents[2] / "examples.ipynb"


def without_outputs(notebook: Path, copy: Path) -> Path:
    """A copy of the notebook in which nothing was run."""
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbformat.write(content, copy)
    return copy


RUNNERS = {
    "execute": "jupyter execute --allow-errors --inplace {0}",
    "nbconvert": "jupyter nbconvert --to notebook --execute --allow-errors --inplace {0}",
    "papermill": "papermill {0} {0}",  # it fails with the cell, and writes the file
}
