"""The live view and what becomes of it, in a real JupyterLab in a real Chromium."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

from .attacks import ATTACKS
from .conftest import Demo
from .lab import DARK, Lab, NotebookPage, running_lab
from .peer import DONE, Connection, Peer, event, finish, peer

TOKENS_PER_SECOND = 40
ASK = "%%groq\nExplain server-sent events"
SLOW = "%%groq -m demo/slow\nExplain server-sent events"


class Hand:
    """A server that says what the test wants, when it wants."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.cell = (
            "from groq_magic import stream\n"
            f"answer = stream('Hello', base_url={peer.base_url!r}, display=True); None"
        )

    def say(self, *pieces: str, reasoning: str = "") -> None:
        deltas = [{"content": piece} for piece in pieces] or [{"reasoning": reasoning}]
        for piece in deltas:
            self._connection.chunk(event({"choices": [{"index": 0, "delta": piece}]}))

    def end(self) -> None:
        self._connection.chunk(finish() + DONE)
        self._connection.end()

    @cached_property
    def _connection(self) -> Connection:
        connection = self._peer.connection()
        connection.begin()  # here, not in the script: nothing may be said before it
        return connection


@pytest.fixture
def hand() -> Iterator[Hand]:
    with peer(Connection.until_closed) as server:
        yield Hand(server)


def stops(page: Page) -> int:
    return page.locator(".groq-stop").count()


def test_reloaded_half_way_it_runs_on_and_stays_for_good(
    lab: Lab, page: Page, server: Demo
) -> None:
    book = NotebookPage(page, lab, lab.write("reload.ipynb", ASK))
    book.run(0)
    book.until(lambda: "never has to end" in book.text(0))
    book.save()
    book.open()
    assert server.seen()[-1]["state"] == "streaming"
    book.until(lambda: "a radio broadcast" in book.text(0))
    book.until(lambda: stops(page) == 0)  # the page puts the static output in by itself
    (output,) = book.save()["cells"][0]["outputs"]
    assert set(output["data"]) == {"text/html", "text/markdown", "text/plain"}
    assert output["metadata"]["groq"]["state"] == "done"
    assert book.text(0).count("Server-sent events") == 1


def test_closed_and_opened_again_it_runs_on(lab: Lab, page: Page, server: Demo) -> None:
    book = NotebookPage(page, lab, lab.write("closed.ipynb", SLOW))
    book.run(0)
    book.until(lambda: "never has to end" in book.text(0))
    book.save()
    page.goto(f"{lab.url}lab?reset")
    page.locator(".jp-DirListing-item", has_text="closed.ipynb").wait_for()
    assert page.locator(".jp-Notebook").count() == 0
    book.open()
    assert server.seen()[-1]["state"] == "streaming"
    book.until(lambda: "a radio broadcast" in book.text(0) and stops(page) == 0, 40)


def test_two_windows_show_the_same(lab: Lab, browser: Browser, server: Demo) -> None:
    path = lab.write("two.ipynb", ASK)
    first, second = (browser.new_page(viewport={"width": 1100, "height": 900}) for _ in "ab")
    one = NotebookPage(first, lab, path)
    one.run(0)
    one.until(lambda: "never has to end" in one.text(0))
    one.save()
    two = NotebookPage(second, lab, path)
    two.until(lambda: "never has to end" in two.text(0))
    assert server.seen()[-1]["state"] == "streaming"
    for book in (one, two):
        book.answer(0).get_by_text("a radio broadcast").wait_for(state="attached")
        book.page.locator(".groq-stop").wait_for(state="detached")
    assert one.answer(0).inner_text() == two.answer(0).inner_text()
    first.close()
    second.close()


def test_a_kernel_restart_keeps_what_had_come(lab: Lab, page: Page, server: Demo) -> None:
    book = NotebookPage(page, lab, lab.write("restart.ipynb", ASK))
    book.run(0)
    book.until(lambda: "never has to end" in book.text(0))
    book.restart_kernel()
    book.until(lambda: "The kernel is gone" in book.text(0))
    server.until("closed")
    book.until(lambda: stops(page) == 0)
    (output,) = book.save()["cells"][0]["outputs"]
    assert "<strong>never has to end</strong>" in output["data"]["text/html"]
    assert "never has to end" in output["data"]["text/plain"]
    assert "button" not in output["data"]["text/html"]


def test_twenty_answers_at_once(lab: Lab, browser: Browser, server: Demo) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 12_000})
    cells = [
        f"%%groq -m demo/slow --max-tokens 200\n{'http' * (n % 2) or 'math'}" for n in range(20)
    ]
    book = NotebookPage(page, lab, lab.write("twenty.ipynb", *cells))
    before = len(server.seen())
    book.run_all()
    book.until(lambda: stops(page) == 20)  # all of them live at the same time
    book.until(lambda: all(book.text(number).strip() for number in range(20)))
    book.until(lambda: stops(page) == 0, 40)
    for number in range(20):
        expected = "Server-sent events" if number % 2 else "The Gaussian"
        assert expected in book.answer(number).inner_text()
        assert "Cut at 200 tokens." in book.answer(number).inner_text()
    assert [seen["state"] for seen in server.seen()[before:]] == ["done"] * 20
    page.close()


def test_the_reasoning_unfolds_and_folds(lab: Lab, page: Page, hand: Hand) -> None:
    book = NotebookPage(page, lab, lab.write("thought.ipynb", hand.cell))
    book.run(0)
    hand.say(reasoning="Let me see.")
    thought = book.answer(0).locator("details")
    book.until(lambda: "Let me see." in thought.inner_text())
    assert thought.locator("summary").inner_text() == "Thinking"
    hand.say("It is.")
    book.until(lambda: "It is." in book.text(0))
    assert thought.locator("summary").inner_text().startswith("Thought for")
    assert not thought.get_by_text("Let me see.").is_visible()
    hand.end()
    book.until(lambda: stops(page) == 0)
    assert not thought.get_by_text("Let me see.").is_visible()
    thought.locator("summary").click()
    assert thought.get_by_text("Let me see.").is_visible()


def test_code_is_copied(lab: Lab, browser: Browser, hand: Hand) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    book = NotebookPage(page, lab, lab.write("copy.ipynb", hand.cell))
    book.run(0)
    hand.say("```python\nprint(1 < 2)\n\nprint(3)\n```\n\nNext")
    button = book.answer(0).get_by_role("button", name="Copy this code")
    button.wait_for(state="attached")
    book.answer(0).locator("pre").hover()
    button.click()
    book.until(lambda: page.evaluate("navigator.clipboard.readText()").strip() != "")
    assert page.evaluate("navigator.clipboard.readText()") == "print(1 < 2)\n\nprint(3)\n"
    assert "Copy" not in book.answer(0).inner_text()  # the text is the answer's alone
    page.close()


def test_formulas_are_typeset_while_it_streams(lab: Lab, page: Page, hand: Hand) -> None:
    book = NotebookPage(page, lab, lab.write("math.ipynb", hand.cell))
    book.run(0)
    hand.say("So $e^{i\\pi} = -1$, for \\$5.\n\n", "- $x$ and\n- $y$\n\n$$\nz\n$$\n\nNext")
    book.until(lambda: book.answer(0).locator(".groq-text mjx-container").count() == 4)
    assert stops(page) == 1
    assert book.answer(0).locator("p", has_text="for $5.").locator("mjx-container").count() == 1
    hand.end()
    book.until(lambda: stops(page) == 0)
    book.until(lambda: book.answer(0).locator("mjx-container").count() == 4)


def test_the_keyboard_reaches_stop(lab: Lab, page: Page, server: Demo) -> None:
    book = NotebookPage(page, lab, lab.write("keys.ipynb", "%%groq -m demo/slow\nmath"))
    book.run(0)
    book.until(lambda: "Gaussian" in book.text(0))
    stop = book.answer(0).get_by_role("button", name="Stop")
    stop.focus()
    assert page.locator("body > .groq-said").inner_text() == "streaming"
    page.keyboard.press("Enter")
    server.until("closed")
    book.until(lambda: "stopped after" in book.text(0))


def lines(first: int, last: int) -> list[str]:
    """Lines, of which each tenth is a formula that is higher once it is typeset."""
    formula = "$$\n\\sum_{n=1}^\\infty \\frac{1}{n^2}\n$$\n\n"
    return [
        f"Line {number}.\n\n" + (formula if number % 10 == 5 else "")
        for number in range(first, last)
    ]


def is_in_sight(button: Locator) -> bool:
    box, panel = (
        button.bounding_box(),
        button.page.locator(".jp-WindowedPanel-outer").bounding_box(),
    )
    return bool(box and panel and panel["y"] <= box["y"] < panel["y"] + panel["height"])


BELOW = """
(answer) => {
  const panel = answer.closest(".jp-WindowedPanel-outer");
  return answer.getBoundingClientRect().bottom - panel.getBoundingClientRect().bottom;
}
"""


def test_the_last_line_is_followed_while_the_reader_is_there(
    lab: Lab, browser: Browser, hand: Hand
) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 700})
    book = NotebookPage(page, lab, lab.write("follow.ipynb", hand.cell))
    book.run(0)
    answer = book.answer(0)

    formulas = answer.locator("mjx-container")

    def is_at_the_end() -> bool:
        return bool(answer.evaluate(BELOW) < 30)

    for first in (0, 40):
        hand.say(*lines(first, first + 40))
        answer.get_by_text(f"Line {first + 39}.").wait_for(state="attached")
        formulas.nth(first // 10 + 3).wait_for(state="attached")
        book.until(is_at_the_end)
    assert abs(answer.evaluate(BELOW)) < 30  # its last line is that of the window
    assert is_in_sight(answer.get_by_role("button", name="Stop"))
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -600)  # the reader goes back
    book.until(lambda: answer.evaluate(BELOW) > 300)
    page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 300))")
    seen = answer.get_by_text("Line 65.").bounding_box()
    hand.say(*lines(80, 120))
    book.until(lambda: answer.get_by_text("Line 119.").count() == 1)
    assert answer.get_by_text("Line 65.").bounding_box() == seen
    page.mouse.wheel(0, 10_000)  # and returns
    book.until(is_at_the_end)
    hand.say(*lines(120, 160))
    book.until(lambda: answer.get_by_text("Line 159.").count() == 1)
    book.until(is_at_the_end)
    page.close()


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


@pytest.mark.parametrize("settings", [{}, DARK], ids=["light", "dark"])
def test_the_static_output_looks_as_the_live_view_did(
    server: Demo, browser: Browser, tmp_path: Path, settings: dict[str, Any]
) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 2400})
    # The page puts the static output in 1.5 s behind the end: time for the picture.
    page.add_init_script(
        "const soon = setTimeout; window.setTimeout = (f, ms) => soon(f, ms === 1500 ? 6000 : ms)"
    )
    with running_lab(tmp_path, {"GROQ_BASE_URL": server.base_url}, settings) as lab:
        book = NotebookPage(
            page, lab, lab.write("look.ipynb", "%%groq -m demo/reasoning\nmath", ASK)
        )
        book.run_all()
        book.until(lambda: "never has to end" in book.text(1) and "Gauss" in book.text(0))
        book.save()
        book.open()
        book.until(lambda: page.locator("[data-state=done]").count() == 2)
        live = [pixels(book.answer(number)) for number in range(2)]
        assert stops(page) == 2  # hidden by now, but there: these are the live views
        book.until(lambda: stops(page) == 0)
        book.until(lambda: page.locator("mjx-container").count() > 2)
        still = [pixels(book.answer(number)) for number in range(2)]
    page.goto("about:blank")
    for pair in zip(live, still, strict=True):
        assert page.evaluate(DIFFERENCE, pair) < 0.02
    page.close()


def pixels(answer: Locator) -> str:
    """A picture of it, without the margin that JupyterLab gives to one and not to the other."""
    box = answer.bounding_box()
    assert box
    box["width"] = 640
    return base64.b64encode(answer.page.screenshot(clip=box, full_page=True)).decode()


def test_no_attack_gets_through_while_it_streams(lab: Lab, browser: Browser, hand: Hand) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 30_000})
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    book = NotebookPage(page, lab, lab.write("attacks.ipynb", hand.cell))
    book.run(0)
    for attack in ATTACKS:
        hand.say(*attack.split("=", 1), f"\n\n{attack}\n\n", reasoning=attack)
    hand.say("\n\nThat was all of it.")
    book.until(lambda: "That was all of it." in book.text(0), 30)
    page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 500))")
    assert page.evaluate("window.canary") is None
    assert book.answer(0).locator("script, iframe, img, object, embed, form, style").count() == 0
    hand.end()
    book.until(lambda: stops(page) == 0)
    book.save()
    book.open()
    book.until(lambda: "That was all of it." in book.text(0), 30)
    page.keyboard.press("Control+Shift+c")
    page.locator(".lm-CommandPalette-input").fill("Trust Notebook")
    page.keyboard.press("Enter")
    page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 500))")
    assert page.evaluate("window.canary") is None
    assert all(url.startswith((lab.url, "data:", "blob:")) for url in requests)
    page.close()
