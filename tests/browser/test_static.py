"""The static output looks as the live view did."""

from __future__ import annotations

import base64
from contextlib import ExitStack

from playwright.sync_api import Locator

from groq_magic.demo.answers import prepared
from tests.support.hand import Hand, stops
from tests.support.lab import Lab, NotebookPage, Profile
from tests.support.peer import Connection, peer

TOKENS_PER_SECOND = 300


DIFFERENCE = """
async (shots) => {
  const [one, other] = await Promise.all(shots.map(async (data) => {
    const blob = await (await fetch(`data:image/png;base64,${data}`)).blob();
    const image = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  }));
  if (one.width !== other.width || one.height !== other.height) return 1;
  let differ = 0;
  for (let at = 0; at < one.data.length; at += 4) {
    const differs = (i) => Math.abs(one.data[at + i] - other.data[at + i]) > 16;
    if ([0, 1, 2].some(differs)) differ += 1;
  }
  return differ / (one.data.length / 4);
}
"""


TEXTS = [text for words, text in prepared().items() if words.startswith(("sse", "math", "code"))]
STATES = ("done", "done", "stopped", "done", "failed")
"""Of the answers below: the fourth is cut."""


def end(hands: list[Hand], book: NotebookPage) -> None:
    """Each in its own way, as the states say."""
    hands[0].end()
    hands[1].end()
    book.answer(2).get_by_role("button", name="Stop").click()
    hands[3].end("length")
    hands[4].fail()


def test_the_static_output_looks_as_the_live_view_did(lab: Lab, browser: Profile) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 5000})
    # The page puts the static output in 1.5 s after the end; here when the test asks for it.
    page.add_init_script(
        "const soon = setTimeout, held = [];"
        "window.setTimeout = (f, ms) => ms === 1500 ? (held.push(f), 0) : soon(f, ms);"
        "window.release = () => { window.setTimeout = soon; held.forEach((f) => f()); }"
    )
    with ExitStack() as stack:
        hands = [Hand(stack.enter_context(peer(Connection.until_closed))) for _ in STATES]
        book = NotebookPage(page, lab, lab.write("look.ipynb", *(hand.cell for hand in hands)))
        book.run_all()
        hands[0].think("Let me **see**:\n\n- this\n- `that`")
        for number, hand in enumerate(hands):
            hand.say(TEXTS[number % len(TEXTS)])
            book.answer(number).locator(".groq-text p").first.wait_for()
        book.save()
        book.open()
        book.until(lambda: stops(page) == len(hands))
        for hand in hands:
            hand.say("\n\nAnd a last word.")
        book.until(lambda: page.get_by_text("And a last word.").count() == len(hands))
        end(hands, book)
        for number, state in enumerate(STATES):
            book.cell(number).locator(f"[data-state={state}]").wait_for()
        live = pictures(book)
        assert stops(page) == len(hands)  # hidden by now, but there: these are the live views
        formulas = page.locator("mjx-container").count()
        page.evaluate("release()")
        book.until(lambda: stops(page) == 0)
        book.until(lambda: page.locator("mjx-container").count() == formulas > 2)
        still = pictures(book)
    page.goto("about:blank")
    for pair in zip(live, still, strict=True):
        assert page.evaluate(DIFFERENCE, pair) < 0.02
    page.close()


def pictures(book: NotebookPage) -> list[str]:
    """Of each answer, in light and in dark."""
    answers = [book.answer(number) for number in range(len(STATES))]
    light = [pixels(answer) for answer in answers]
    with book.in_dark():
        return light + [pixels(answer) for answer in answers]


def pixels(answer: Locator) -> str:
    """A picture of it, without the margin that JupyterLab gives to one and not to the other."""
    box = answer.bounding_box()
    assert box
    box["width"] = 640
    return base64.b64encode(answer.page.screenshot(clip=box, full_page=True)).decode()
