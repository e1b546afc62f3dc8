"""A notebook that two pages share: real-time collaboration."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page

from tests.support.fetch import collaboration_folder
from tests.support.hand import HALF, REST, Hand
from tests.support.lab import Lab, NotebookPage, Profile, running_lab

HTML = "text/html"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    added = collaboration_folder()
    if not added.exists():
        pytest.skip("real-time collaboration is not here: python -m tests.support.fetch")
    folder = tmp_path_factory.mktemp("shared")
    paths = [folder / "home" / "share", added / "share" / "jupyter"]
    environment = {
        "PYTHONPATH": os.pathsep.join([str(added), os.environ.get("PYTHONPATH", "")]),
        "JUPYTER_PATH": os.pathsep.join(map(str, paths)),
        "JUPYTER_CONFIG_PATH": str(added / "etc" / "jupyter"),
    }
    config = folder / "home" / "CONFIG" / "jupyter_server_config.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"SQLiteYStore": {"db_path": str(folder / "store.db")}}))
    with running_lab(folder, environment) as lab:
        yield lab


@pytest.fixture(scope="module")
def tabs(browser: Profile, lab: Lab) -> Iterator[list[Page]]:
    """Two pages that show JupyterLab: it takes seconds to load."""
    tabs = [browser.new_page(), browser.new_page()]
    yield tabs
    for tab in tabs:
        tab.close()


@pytest.fixture
def pages(tabs: list[Page], lab: Lab, hand: Hand) -> list[NotebookPage]:
    """One notebook in both, whose answer has come half way.

    The second has opened it after the cell was run: before, it trusts no widget of another page.
    """
    path = lab.add(hand.cell)
    book = NotebookPage(tabs[0], lab, path)
    book.run(0)
    hand.say(HALF)
    pages = [book, NotebookPage(tabs[1], lab, path)]
    until_half(pages)
    return pages


def until_half(pages: list[NotebookPage]) -> None:
    for each in pages:
        each.answer(0).get_by_text("The first half,").wait_for()
        each.answer(0).get_by_role("button", name="Stop").wait_for()


def outputs_in(path: Path) -> list[Any]:
    """Those of the first cell; none while the server writes the file."""
    with suppress(nbformat.reader.NotJSONError):
        return list(nbformat.read(path, as_version=4).cells[0].outputs)
    return []


def is_in_the_file(words: str, path: Path) -> bool:
    """The server writes it by itself, a little later."""
    return any(words in output.data.get(HTML, "") for output in outputs_in(path))


def check_one_output(pages: list[NotebookPage], words: str) -> Any:
    path = pages[0].path
    for each in pages:
        each.answer(0).get_by_text(words).first.wait_for()
        each.page.locator(".groq-stop").first.wait_for(state="detached")
    pages[0].until(lambda: is_in_the_file(words, path))
    assert [each.answer(0).count() for each in pages] == [1, 1]
    found = list[Any]()

    def is_read() -> bool:
        found[:] = outputs_in(path)
        return bool(found)

    pages[0].until(is_read)
    (output,) = found
    return output


def test_opened_anew_in_both_pages_it_leaves_one_output(
    pages: list[NotebookPage], lab: Lab, hand: Hand
) -> None:
    """Such a page does not get the kernel's update, and puts the output in by itself."""
    for each in pages:
        each.close()
    pages = [NotebookPage(each.page, lab, each.path) for each in pages]
    until_half(pages)
    hand.say(REST)
    hand.end()
    output = check_one_output(pages, "That is all.")
    assert output.data["text/plain"] == HALF + REST
