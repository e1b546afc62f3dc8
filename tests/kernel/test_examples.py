"""The tour as it is in the repository; `tests/browser/test_lab.py` runs it."""

from __future__ import annotations

from pathlib import Path

import nbformat

from tests.support.notebooks import EXAMPLES


def test_its_saved_outputs_are_there_and_name_no_place_of_this_machine() -> None:
    notebook = nbformat.read(EXAMPLES, as_version=4)
    nbformat.validate(notebook)
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    text = EXAMPLES.read_text("utf-8")
    assert str(Path.home()) not in text
    assert str(EXAMPLES.parent) not in text
