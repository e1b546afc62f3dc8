"""What the documents say is there, is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.findall(r"`(tests/\w+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text("utf-8"))


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_a_guarantee_has_its_test(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    assert name.startswith("test_")
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_guarantee_names_a_test() -> None:
    guarantees = (ROOT / "SECURITY.md").read_text("utf-8").split("\n## ")[1].split("\n\n")[1:]
    assert len(guarantees) > 5
    assert [text for text in guarantees if not re.search(r"`tests/\w+\.py::\w+`", text)] == []
