"""What the documents say is there, is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import groq_magic
from groq_magic import Answer
from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SECURITY = (ROOT / "SECURITY.md").read_text("utf-8")
GUARANTEES = SECURITY.split("\n## ")[1].split("\n\n")[1:]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TESTS = {*TEST.findall(SECURITY)}
BROKEN = {tuple(f"tests/{row.test.partition('[')[0]}".split("::")) for row in MUTANTS}


@pytest.mark.parametrize(("file", "name"), sorted(TESTS | BROKEN))
def test_a_guarantee_has_its_test(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    assert name.startswith("test_")
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_guarantee_names_a_test() -> None:
    assert len(GUARANTEES) > 5
    assert [text for text in GUARANTEES if not TEST.search(text)] == []


def test_a_mutant_breaks_every_guarantee() -> None:
    assert {*TEST.findall("".join(GUARANTEES))} - BROKEN == set()


@pytest.mark.parametrize("row", MUTANTS, ids=lambda row: row.old.strip())
def test_a_mutant_changes_code_that_is_there(row: Mutant) -> None:
    assert row.old in (ROOT / "groq_magic" / row.file).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"(?:\]\(|src(?:set)?=\")([^)\"\s]+)", page.read_text("utf-8"))
    paths = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [path for path in paths if path and not (page.parent / path).exists()] == []


def test_every_public_name_says_what_it_is() -> None:
    public = {name: getattr(groq_magic, name) for name in groq_magic.__all__}
    public |= {name: member for name, member in vars(Answer).items() if name[0] != "_"}
    assert [name for name, value in public.items() if not own_words(value)] == []


@pytest.mark.parametrize("name", "Answer GroqError Message ToolCall Usage stream".split())
def test_what_one_uses_has_an_example(name: str) -> None:
    assert ">>> " in own_words(getattr(groq_magic, name))


@pytest.mark.parametrize("name", "changed deltas result stop wait".split())
def test_what_one_does_with_an_answer_has_an_example(name: str) -> None:
    assert ">>> " in own_words(vars(Answer)[name])


def own_words(value: object) -> str:
    """Its docstring; of a class none that it inherits."""
    return (vars(value).get("__doc__") if isinstance(value, type) else value.__doc__) or ""
