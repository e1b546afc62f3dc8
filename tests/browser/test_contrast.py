"""The contrast of text and controls: https://www.w3.org/TR/WCAG22/#contrast-minimum."""

from __future__ import annotations

import nbformat
from playwright.sync_api import Locator

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
MEASURE = """\
(root, skipped) => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data;
  };
  const over = ([r, g, b, a], below, opacity = 1) =>
    [r, g, b].map((c, i) => below[i] + (c - below[i]) * (a / 255) * opacity);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) =>
      c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const above = (node) => node ? [...above(node.parentElement), node] : [];
  const background = (node) => above(node).reduce((below, one) =>
    over(rgba(getComputedStyle(one).backgroundColor), below), [255, 255, 255]);
  const opacity = (node) => above(node).reduce((product, one) =>
    product * getComputedStyle(one).opacity, 1);
  const found = [];
  const measure = (what, node, colour, least, behind = node) => {
    const below = background(behind);
    const shown = over(rgba(colour), below, opacity(node));
    found.push([what, Math.round(100 * ratio(shown, below)) / 100, least]);
  };
  for (const one of root.querySelectorAll(".groq-buttons")) one.style.opacity = 1;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.data.trim();
    const node = walker.currentNode.parentElement;
    if (!words || !node.checkVisibility() || node.closest(skipped)) continue;
    measure(words, node, getComputedStyle(node).color, words === "●" ? 3 : 4.5);
  }
  for (const button of root.querySelectorAll("button")) {
    if (!button.checkVisibility()) continue;
    const { color, borderTopColor } = getComputedStyle(button);
    const name = button.dataset.label ?? button.textContent;
    measure(`button ${name}`, button, color, 4.5);
    measure(`border of ${name}`, button, borderTopColor, 3, button.parentElement);
  }
  return found;
}
"""


def measured(answers: list[Locator], skipped: str = "pre, mjx-container") -> list[list[object]]:
    """What is measured, with its contrast and the least that it needs; none is too faint."""
    found = [one for answer in answers for one in answer.evaluate(MEASURE, skipped)]
    assert [one for one in found if one[1] < one[2]] == []
    return found


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
