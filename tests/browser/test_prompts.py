"""The plugin edits prompts as prose: in a real JupyterLab and a real Notebook 7."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page

from tests.support.demo import Demo
from tests.support.fetch import LOWEST_LAB, lab_folder
from tests.support.hand import in_both
from tests.support.lab import Lab, NotebookPage, Profile, running_lab

TOKENS_PER_SECOND = 2000
PROSE = """\
What's the shop's best day if it doesn't open on "Sunday"? It isn't Monday, is it?
Please answer in these parts:
1. For which class of goods is it true?
  - and if not, while stocks last:
2. Give it as {"day": [1, 2], "why": None}, and # mark the best.
import nothing from last year; raise questions (if in doubt
def is a word that I don't know: `why?"""


def editor(book: NotebookPage, number: int) -> Locator:
    return book.cell(number).locator(".cm-editor")


def is_prose(book: NotebookPage, number: int) -> bool:
    return "groq-prompt" in str(editor(book, number).get_attribute("class"))


def colours(book: NotebookPage, number: int, text: str) -> set[str]:
    """The colours in which a text is written in the editor."""
    return set(
        editor(book, number).evaluate(
            """(editor, text) => {
              const walker = document.createTreeWalker(editor.querySelector(".cm-content"), 4);
              const found = [];
              while (walker.nextNode())
                if (text.includes(walker.currentNode.data.trim()))
                  found.push(getComputedStyle(walker.currentNode.parentElement).color);
              return found;
            }""",
            text,
        )
    )


def edit(book: NotebookPage, number: int, key: str = "Control+End") -> None:
    """Put the caret into a cell."""
    editor(book, number).locator(".cm-content").click()
    book.page.keyboard.press(key)


@in_both
def test_what_is_typed_is_sent(
    kind: type[NotebookPage], lab: Lab, page: Page, server: Demo
) -> None:
    book = kind(page, lab, lab.write(f"typed-{kind.__name__}.ipynb", ""))
    edit(book, 0)
    for line in ("%%groq", *PROSE.splitlines()):
        page.keyboard.type(f"{line}\n" if line != PROSE.splitlines()[-1] else line)
    assert is_prose(book, 0)
    seen = len(server.seen())
    page.keyboard.press("Control+Enter")
    book.until(lambda: len(server.seen()) > seen)
    assert server.seen()[-1]["body"]["messages"][-1]["content"].rstrip("\n") == PROSE


@pytest.fixture
def book(lab: Lab, page: Page) -> NotebookPage:
    cells = (
        "%%groq -m demo/slow\nIt's {{ len('a') }} word",
        "value = 'It is code'",
        "%%groq --raw\nBraces {{ stay }}",
    )
    return NotebookPage(page, lab, lab.write("prose.ipynb", *cells))


def test_a_prompt_is_prose(book: NotebookPage, page: Page) -> None:
    book.until(lambda: is_prose(book, 0))
    assert not is_prose(book, 1)
    plain = colours(book, 0, "word")
    assert len(plain) == 1
    assert colours(book, 0, "It's ") == plain
    assert colours(book, 0, "-m") != plain
    assert colours(book, 0, "'a'") == colours(book, 1, "'It is code'") != plain
    assert editor(book, 0).locator(".groq-expression").count() == 1
    assert editor(book, 2).locator(".groq-expression").count() == 0
    check_that_it_follows_the_first_line(book, page)
    check_tab(book, page)
    check_a_fence(book, page)


def check_that_it_follows_the_first_line(book: NotebookPage, page: Page) -> None:
    edit(book, 0, "Control+Home")
    page.keyboard.type("#")
    assert not is_prose(book, 0)
    page.keyboard.press("Control+z")
    assert is_prose(book, 0)
    page.keyboard.press("Control+Shift+z")
    assert not is_prose(book, 0)
    page.keyboard.press("Backspace")
    assert is_prose(book, 0)
    edit(book, 1, "Control+a")
    page.keyboard.insert_text("%%groq\nIt isn't code any more")  # as a paste does
    assert is_prose(book, 1)
    assert len(colours(book, 1, "It isn't code any more")) == 1


def test_it_stays_when_the_cell_and_the_kernel_change(book: NotebookPage, page: Page) -> None:
    book.until(lambda: is_prose(book, 0))
    book.save()  # with the kernel's language, which JupyterLab puts in
    book.open()
    book.until(lambda: is_prose(book, 0))
    assert page.locator(".jp-mod-dirty").count() == 0
    edit(book, 0)
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    page.locator(".jp-MarkdownCell").wait_for()
    assert page.locator(".jp-MarkdownCell .groq-prompt").count() == 0
    page.keyboard.press("y")
    book.until(lambda: is_prose(book, 0))
    book.restart_kernel()
    book.until_idle()
    assert is_prose(book, 0)
    assert not is_prose(book, 1)
    book.save()
    book.open()
    book.until(lambda: is_prose(book, 0))
    book.run(1)
    book.until_idle()
    assert is_prose(book, 0)
    assert not is_prose(book, 1)


def check_tab(book: NotebookPage, page: Page) -> None:
    """It completes flags, and nothing in prose."""
    edit(book, 0)
    page.keyboard.press("Tab")
    page.wait_for_timeout(1000)
    assert page.locator(".jp-Completer:visible").count() == 0
    assert editor(book, 0).locator(".cm-line").last.inner_text().endswith("word    ")
    edit(book, 0, "Control+Home")
    page.keyboard.press("End")
    page.keyboard.type(" --max-t")
    page.keyboard.press("Tab")
    choices = page.locator(".jp-Completer-item")
    book.until(lambda: "--max-tokens" in " ".join(choices.all_inner_texts()))
    assert choices.count() == 1  # and no word of the prompt
    page.keyboard.press("Enter")
    line = editor(book, 0).locator(".cm-line").first
    book.until(lambda: "--max-tokens" in line.inner_text())


def check_a_fence(book: NotebookPage, page: Page) -> None:
    """Code in it is edited as code."""
    edit(book, 1, "Control+a")
    page.keyboard.type("%%groq\nWhy?\n```python\nif 'a':\n")
    page.keyboard.type("b")
    text = editor(book, 1).locator(".cm-content").inner_text()
    assert text.endswith("if 'a':\n    b")
    assert len(colours(book, 1, "if 'a':")) == 3


def test_in_the_lowest_jupyterlab(tmp_path: Path, browser: Profile, server: Demo) -> None:
    if not lab_folder().exists():
        pytest.skip("it is not here: python -m tests.support.fetch")
    environment = {
        "GROQ_BASE_URL": server.base_url,
        "PYTHONPATH": os.pathsep.join([str(lab_folder()), os.environ.get("PYTHONPATH", "")]),
        "JUPYTERLAB_DIR": str(lab_folder() / "share" / "jupyter" / "lab"),
    }
    page = browser.new_page()
    with running_lab(tmp_path, environment) as lab:
        assert f'"appVersion": "{LOWEST_LAB}"' in urlopen(f"{lab.url}lab").read().decode()
        book = NotebookPage(page, lab, lab.write("lowest.ipynb", "", "1 + 1"))
        edit(book, 0)
        page.keyboard.type("%%groq\n")
        book.until(lambda: is_prose(book, 0))
        page.keyboard.type(PROSE)
        assert not is_prose(book, 1)
        page.keyboard.press("Control+Enter")
        book.answer(0).locator(".groq-buttons").first.wait_for(state="attached")
        book.until(lambda: page.locator(".groq-stop").count() == 0)
        assert server.seen()[-1]["body"]["messages"][-1]["content"].rstrip("\n") == PROSE
        book.answer(0).get_by_role("button", name="Run cell 1 again").wait_for(state="attached")
    page.close()
