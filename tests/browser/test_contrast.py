"""The contrast of text and controls in JupyterLab."""

from __future__ import annotations

import nbformat

from tests.support.contrast import measured
from tests.support.hand import Hand
from tests.support.lab import Lab, NotebookPage, Profile

TOKENS_PER_SECOND = 2000
CELLS = (
    "%%groq -m demo/reasoning --max-tokens 60\nExplain server-sent events",
    "%%groq -m demo/mid-stream-error\nmath",
    "%%groq -m demo/search\nnews",
    "%%groq -m demo/tools\nweather",
    "%groq models",
)


def check_all(book: NotebookPage) -> None:
    """In both themes, with all that is folded."""
    for fold in book.page.locator("details").all():
        fold.evaluate("e => (e.open = true)")
    answers = book.page.locator(".groq-answer").all()
    assert len(measured(answers)) > 20
    with book.in_dark():
        measured(answers)


def check_a_live_answer(book: NotebookPage, number: int, hand: Hand) -> None:
    book.run(number)
    hand.think("It thinks, so that there is something to unfold.")
    hand.say(*"A few words and a list:\n\n- one\n- two\n\n> quoted\n\n`code`\n\n".split(" "))
    answer = book.answer(number)
    answer.get_by_text("quoted").wait_for()
    answer.locator("details").evaluate("e => (e.open = true)")
    names = {one[0] for one in measured([answer])}
    assert {"button Stop", "border of Stop", "button Run again"} <= names
    with book.in_dark():
        measured([answer])
    hand.end()


def test_the_contrast_of_answers(lab: Lab, browser: Profile, hand: Hand) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 6000})
    book = NotebookPage(page, lab, lab.write("contrast.ipynb", *CELLS, hand.cell))
    for number in range(len(CELLS)):
        book.run(number)
    check_a_live_answer(book, len(CELLS), hand)
    book.until(lambda: page.locator(".groq-answer").count() == len(CELLS))
    book.until(lambda: page.locator(".groq-stop").count() == 0)
    check_all(book)
    notebook = nbformat.from_dict(book.save())
    for cell in notebook.cells:  # another hash: nobody has trusted it
        cell.source += " "
    path = book.path.with_name("untrusted.ipynb")
    nbformat.write(notebook, path)
    other = NotebookPage(page, lab, path)
    other.until(lambda: page.locator(".groq-answer").count() == len(CELLS))
    check_all(other)
    page.close()
