"""Answers in real frontends on kernels of several versions, in states in which one is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from tests.support.demo import Demo
from tests.support.fetch import KERNELS, kernel_folder
from tests.support.lab import Lab, NotebookPage, Profile, running_lab

INSTALLED = version("ipykernel")
VERSIONS = (*KERNELS, INSTALLED)

ANSWER, BUSY, WAITING, AGAIN, VERSION = range(5)
CELLS = (
    "%%groq -m demo/long -o answer\nSay much",
    "import time; print('It sleeps.'); time.sleep(600)",
    "%%groq -m demo/long --wait\nSay much",
    "answer",
    "import ipykernel; ipykernel.__version__",
)
BEGINNING = "never has to end"
"""Of what the demo server says to that."""


@contextmanager
def running_frontend(folder: Path, ipykernel: str, server: Demo) -> Iterator[Lab]:
    """A server for JupyterLab and Notebook 7 whose kernels are of that version of ipykernel."""
    folders = [os.environ.get("PYTHONPATH", "")]
    if ipykernel != INSTALLED:
        if not kernel_folder(ipykernel).exists():
            pytest.skip("that ipykernel is not here: python -m tests.support.fetch")
        folders.insert(0, str(kernel_folder(ipykernel)))
    paths = os.pathsep.join(filter(None, folders))
    with running_lab(folder, {"GROQ_BASE_URL": server.base_url, "PYTHONPATH": paths}) as lab:
        yield lab


@contextmanager
def opened(
    kind: type[NotebookPage], browser: Profile, lab: Lab, ipykernel: str
) -> Iterator[NotebookPage]:
    """A notebook of the cells above, in a kernel that says it is of that version."""
    page = browser.new_page()
    before = set(page.context.pages) - {page}
    book = kind(page, lab, lab.write(f"{kind.__name__}.ipynb", *CELLS))
    book.run(VERSION)
    book.until(lambda: ipykernel in book.text(VERSION), 30)
    yield book
    for opened in set(page.context.pages) - before:
        opened.close()


def rest(book: NotebookPage) -> None:
    """Interrupt what still runs, until nothing does, and close the second views."""
    if _runs(book):
        book.interrupt()
    book.until(lambda: not _runs(book))  # a kernel busy with a cell may say it is idle
    book.until_idle()
    for page in book.page.context.pages:
        if page is not book.page:
            page.close()
    tab = book.page.locator(".lm-TabBar-tab", has_text="Output View")
    while tab.count():
        tab.first.locator(".lm-TabBar-tabCloseIcon").click()


def _runs(book: NotebookPage) -> bool:
    return book.is_running(BUSY) or book.is_running(WAITING)


# The states. Each is a function that brings an answer into it, and returns that answer
# where its Stop button is to be clicked.


def idle(book: NotebookPage) -> Locator:
    """The cell has returned."""
    return _begun(book, ANSWER)


def busy(book: NotebookPage) -> Locator:
    """Another cell runs."""
    answer = _begun(book, ANSWER)
    book.run(BUSY)
    book.until(lambda: "It sleeps." in book.text(BUSY))
    return answer


def waiting(book: NotebookPage) -> Locator:
    """The cell itself waits for the answer."""
    return _begun(book, WAITING)


def reloaded(book: NotebookPage) -> Locator:
    """The page has been reloaded, just now."""
    _begun(book, ANSWER)
    book.save()
    book.open()
    return book.answer(ANSWER)


def linked_view(book: NotebookPage) -> Locator:
    """The output has a second view, beside the notebook."""
    _begun(book, ANSWER).locator(".groq-text").click(button="right")
    book.page.get_by_role("menuitem", name="Create New View for Cell Output").click()
    return book.page.locator(".jp-LinkedOutputView .groq-answer")


def another_cell(book: NotebookPage) -> Locator:
    """Another cell shows the answer, too."""
    _begun(book, ANSWER)
    return _begun(book, AGAIN)


def another_page(book: NotebookPage) -> Locator:
    """Another page shows the notebook, too."""
    _begun(book, ANSWER)
    book.save()
    return book.in_another_page().answer(ANSWER)


State = Callable[[NotebookPage], Locator]
IN_ANY = (idle, busy, waiting, reloaded)
IN_LAB = (*IN_ANY, linked_view, another_cell, another_page)


def _begun(book: NotebookPage, number: int) -> Locator:
    book.run(number)
    button = book.answer(number).get_by_role("button", name="Stop")
    book.until(button.is_visible)  # else the text may be that of the run before
    book.until(lambda: BEGINNING in book.text(number))
    return book.answer(number)
