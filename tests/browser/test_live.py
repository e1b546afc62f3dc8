"""The live view, in a real JupyterLab in a real Chromium."""

from __future__ import annotations

import re
from contextlib import ExitStack

from playwright.sync_api import Locator, Page

from groq_magic.demo.answers import tokens_of
from tests.support.demo import Demo
from tests.support.hand import Hand, shown, stops
from tests.support.lab import Lab, Notebook7Page, NotebookPage
from tests.support.peer import Connection, peer

TOKENS_PER_SECOND = 300


def test_twenty_answers_at_once(lab: Lab, page: Page, server: Demo) -> None:
    """Run All in a window of the usual size: most of the cells are out of sight."""
    page.set_viewport_size({"width": 1100, "height": 900})
    topics = ("events", "cats", "table", "code", "math")
    cells = [
        f"%%groq -m demo/long --max-tokens {2000 + number}\n{topics[number % 5]} {number}"
        for number in range(20)
    ]
    book = NotebookPage(page, lab, lab.write("twenty.ipynb", *cells))
    before = len(server.seen())
    book.run_all()
    book.until(lambda: [seen["state"] for seen in server.seen()[before:]] == ["done"] * 20)
    seen = server.seen()[before:]
    book.until(lambda: stops(page) == 0)
    bodies = {each["body"]["messages"][-1]["content"]: each["body"] for each in seen}
    for cell in book.save()["cells"]:
        (output,) = cell["outputs"]
        body = bodies[cell["source"].partition("\n")[2]]
        text = "".join(token for _, token in tokens_of("demo/long", body)[0])
        assert output["data"]["text/plain"] == text
    book.cell(19).scroll_into_view_if_needed()
    book.answer(19).get_by_text("The end.").wait_for()


def test_all_that_are_in_sight_stream_at_once(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 1100, "height": 12_000})
    with ExitStack() as stack:
        hands = [Hand(stack.enter_context(peer(Connection.until_closed))) for _ in range(20)]
        path = lab.write("sight.ipynb", *(hand.cell for hand in hands))
        book = NotebookPage(page, lab, path)
        book.run_all()
        for number, hand in enumerate(hands):
            hand.say(f"Number **{number}**.")
        for number in range(20):
            book.answer(number).get_by_text(f"Number {number}.").wait_for()
        assert stops(page) == 20


def limited(connection: Connection) -> None:
    connection.respond(b"{}", "429 Too Many Requests", retry_after="60")


def test_the_wait_for_a_rate_limit_is_counted_down_and_stopped(lab: Lab, page: Page) -> None:
    with peer(limited) as server:
        book = NotebookPage(page, lab, lab.write("limit.ipynb", shown(server)))
        book.run(0)
        answer, left = book.answer(0), set[int]()

        def count() -> int:
            found = re.search(r"rate limit · tries again in (\d+) s \(", book.text(0))
            left.update([int(found[1])] if found else [])
            return len(left)

        book.until(lambda: count() >= 3)
        assert max(left) <= 60
        assert answer.get_attribute("data-state") == "waiting"
        assert page.locator("body > .groq-said").inner_text() == "waiting"
        answer.get_by_role("button", name="Stop").click()
        book.until(lambda: "Stopped. No text has arrived." in book.text(0))
        book.until(lambda: stops(page) == 0)
        assert len(server.connections) == 1


def test_stop_before_the_first_token(lab: Lab, page: Page, hand: Hand) -> None:
    book = NotebookPage(page, lab, lab.write("first.ipynb", hand.cell))
    book.run(0)
    hand.asked()
    book.answer(0).get_by_role("button", name="Stop").click()
    assert hand.has_been_left()
    book.until(lambda: "Stopped. No text has arrived." in book.text(0))
    book.until(lambda: stops(page) == 0)


WIDE = f"""\
https://example.org/{"long" * 40}

| {" | ".join("abcdefgh")} |
|{"---|" * 8}
| {" | ".join(["a value"] * 8)} |

```python
print("{"wide " * 40}")
```

"""


def test_on_a_narrow_page_the_header_wraps_and_stop_is_there(
    lab: Lab, page: Page, hand: Hand
) -> None:
    page.set_viewport_size({"width": 420, "height": 800})
    book = Notebook7Page(page, lab, lab.write("narrow.ipynb", hand.cell))
    book.run(0)
    answer = book.answer(0)
    header = answer.locator(".groq-header > div")
    hand.say(*"A few words that come one by one, so that there is a speed.".split(), WIDE)
    header.get_by_text("tokens/s").wait_for()
    answer.get_by_text("wide wide").wait_for()
    # Each status replaces the header's element.
    book.until(lambda: header.evaluate("e => e.clientHeight") >= 2 * 24)
    assert answer.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    stop = answer.get_by_role("button", name="Stop")
    box = stop.bounding_box()
    assert box
    assert box["x"] + box["width"] <= 420
    stop.click()
    assert hand.has_been_left()


def test_the_keyboard_unfolds_and_copies(lab: Lab, page: Page, hand: Hand) -> None:
    page.set_viewport_size({"width": 1100, "height": 900})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    book = NotebookPage(page, lab, lab.write("keyboard.ipynb", hand.cell))
    book.run(0)
    hand.think("Let me see.")
    hand.say("```python\nprint(4)\n```\n\nNext")
    summary = book.answer(0).locator("summary", has_text="Thought")
    thought = book.answer(0).get_by_text("Let me see.")
    book.answer(0).get_by_text("Next").wait_for()  # the reasoning has collapsed
    summary.focus()
    page.keyboard.press("Enter")
    book.until(thought.is_visible)
    button = book.answer(0).get_by_role("button", name="Copy this code")
    for _ in range(2):  # Insert below stands before it
        page.keyboard.press("Tab")
    assert button.evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    book.until(lambda: page.evaluate("navigator.clipboard.readText()") == "print(4)\n")
    hand.end()
    book.until(lambda: stops(page) == 0)
    assert thought.is_visible()  # the end folds nothing
    summary.focus()
    page.keyboard.press("Space")
    book.until(thought.is_hidden)
    page.keyboard.press("Space")
    book.until(thought.is_visible)


def test_the_reasoning_unfolds_and_folds(lab: Lab, page: Page, hand: Hand) -> None:
    book = NotebookPage(page, lab, lab.write("thought.ipynb", hand.cell))
    book.run(0)
    hand.think("Let **me** see.")
    thought = book.answer(0).locator("details")
    book.until(lambda: "Let me see." in thought.inner_text())
    assert thought.locator("strong").inner_text() == "me"
    assert thought.locator("summary").inner_text() == "Thinking"
    hand.say("It is.")
    book.until(lambda: "It is." in book.text(0))
    assert thought.locator("summary").inner_text().startswith("Thought")
    assert not thought.get_by_text("Let me see.").is_visible()
    hand.end()
    book.until(lambda: stops(page) == 0)
    assert not thought.get_by_text("Let me see.").is_visible()
    thought.locator("summary").click()
    assert thought.get_by_text("Let me see.").is_visible()
    assert thought.locator("strong").inner_text() == "me"


def test_code_is_copied(lab: Lab, page: Page, hand: Hand) -> None:
    page.set_viewport_size({"width": 1100, "height": 900})
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


def test_the_keyboard_reaches_stop(lab: Lab, page: Page, hand: Hand) -> None:
    book = NotebookPage(page, lab, lab.write("keys.ipynb", hand.cell))
    book.run(0)
    hand.say("So it begins.")
    book.until(lambda: "So it begins." in book.text(0))
    stop = book.answer(0).get_by_role("button", name="Stop")
    stop.focus()
    assert page.locator("body > .groq-said").inner_text() == "streaming"
    page.keyboard.press("Enter")
    assert hand.has_been_left()
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
    lab: Lab, page: Page, hand: Hand
) -> None:
    page.set_viewport_size({"width": 1100, "height": 700})
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

    def is_back() -> bool:
        page.mouse.wheel(0, -600)  # the reader goes back; a busy page can lose it
        page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 300))")
        return bool(answer.evaluate(BELOW) > 300)

    book.until(is_back)
    seen = answer.get_by_text("Line 65.").bounding_box()
    hand.say(*lines(80, 120))
    book.until(lambda: answer.get_by_text("Line 119.").count() == 1)
    assert answer.get_by_text("Line 65.").bounding_box() == seen
    page.mouse.wheel(0, answer.evaluate(BELOW) + 20)  # and returns, just past the answer's end
    book.until(lambda: answer.evaluate(BELOW) < 0)
    page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 300))")
    hand.say(*lines(120, 160))
    book.until(lambda: answer.get_by_text("Line 159.").count() == 1)
    book.until(is_at_the_end)
