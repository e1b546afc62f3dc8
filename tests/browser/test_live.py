"""The live view and what becomes of it, in a real JupyterLab in a real Chromium."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from groq_magic.demo.server import _answers, _tokens_of
from tests.support.attacks import ATTACKS
from tests.support.demo import Demo
from tests.support.lab import DARK, PAGES, Lab, Notebook7Page, NotebookPage, Profile, running_lab
from tests.support.peer import DONE, Connection, Peer, event, finish, peer

TOKENS_PER_SECOND = 300
HALF = "## A title\n\nThe **first** half, "
REST = "and the rest.\n\nThat is all.\n"

in_both = pytest.mark.parametrize("kind", PAGES.values(), ids=PAGES)


def shown(peer: Peer) -> str:
    """A cell that shows the peer's answer."""
    return (
        "from groq_magic import stream\n"
        f"answer = stream('Hello', base_url={peer.base_url!r}, display=True); None"
    )


class Hand:
    """A server that says what the test wants, when it wants."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.cell = shown(peer)

    def say(self, *pieces: str, reasoning: str = "") -> None:
        deltas = [{"content": piece} for piece in pieces] or [{"reasoning": reasoning}]
        for piece in deltas:
            self._connection.chunk(event({"choices": [{"index": 0, "delta": piece}]}))

    def end(self, reason: str = "stop") -> None:
        self._connection.chunk(finish(reason) + DONE)
        self._connection.end()

    def fail(self) -> None:
        self._connection.chunk(event({"error": {"message": "The model is over capacity"}}))

    def asked(self) -> Connection:
        """The request, before anything has been said to it."""
        return self._peer.connection(timeout=30)

    def has_been_left(self) -> bool:
        return self.asked().closed.wait(30)

    @cached_property
    def _connection(self) -> Connection:
        connection = self.asked()
        connection.begin()  # here, not in the script: nothing may be said before it
        return connection


@pytest.fixture
def hand() -> Iterator[Hand]:
    with peer(Connection.until_closed) as server:
        yield Hand(server)


def stops(page: Page) -> int:
    return page.locator(".groq-stop").count()


def half_shown(kind: type[NotebookPage], page: Page, lab: Lab, hand: Hand) -> NotebookPage:
    """A notebook whose answer has come half way, saved."""
    number = len(list((lab.folder / "notebooks").iterdir()))
    book = kind(page, lab, lab.write(f"half{number}.ipynb", hand.cell))
    book.run(0)
    hand.say(HALF)
    book.until(lambda: "The first half," in book.text(0))
    book.save()
    return book


def is_whole(book: NotebookPage) -> bool:
    return "That is all." in book.text(0) and stops(book.page) == 0


def check_saved(book: NotebookPage) -> None:
    (output,) = book.save()["cells"][0]["outputs"]
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert output["data"]["text/plain"] == HALF + REST
    assert output["metadata"]["groq"]["state"] == "done"
    assert book.text(0).count("A title") == 1


@in_both
def test_reloaded_half_way_it_runs_on_and_stays_for_good(
    kind: type[NotebookPage], lab: Lab, page: Page, hand: Hand
) -> None:
    book = half_shown(kind, page, lab, hand)
    book.open()
    book.until(lambda: "The first half," in book.text(0))
    hand.say(REST)
    book.until(lambda: "That is all." in book.text(0))
    assert stops(page) == 1
    hand.end()
    book.until(lambda: stops(page) == 0)  # the page puts the static output in by itself
    check_saved(book)


def close(book: NotebookPage, lab: Lab) -> None:
    book.page.goto(f"{lab.url}lab?reset")
    book.page.locator(".jp-DirListing-item", has_text=book.path.name).wait_for()
    assert book.page.locator(".jp-Notebook").count() == 0


def test_closed_and_opened_again_it_runs_on(lab: Lab, page: Page, hand: Hand) -> None:
    book = half_shown(NotebookPage, page, lab, hand)
    close(book, lab)
    hand.say("which nobody saw, ")
    book.open()
    book.until(lambda: "The first half, which nobody saw," in book.text(0))
    assert stops(page) == 1
    hand.say(REST)
    hand.end()
    book.until(lambda: is_whole(book))


@in_both
def test_ended_while_no_page_is_open_it_is_whole(
    kind: type[NotebookPage], lab: Lab, page: Page, hand: Hand
) -> None:
    book = half_shown(kind, page, lab, hand)
    close(book, lab)
    hand.say(REST)
    hand.end()
    book.open()
    book.until(lambda: is_whole(book))
    check_saved(book)


@in_both
def test_two_windows_show_the_same(
    kind: type[NotebookPage], lab: Lab, browser: Profile, page: Page, hand: Hand
) -> None:
    one = half_shown(kind, page, lab, hand)
    second = browser.new_page(viewport={"width": 1100, "height": 900})
    two = kind(second, lab, one.path)
    two.until(lambda: "The first half," in two.text(0))
    hand.say(REST)
    one.until(lambda: "That is all." in one.text(0))
    two.until(lambda: "That is all." in two.text(0))
    assert stops(page) == stops(second) == 1
    hand.end()
    one.until(lambda: is_whole(one))
    two.until(lambda: is_whole(two))
    assert one.answer(0).inner_text() == two.answer(0).inner_text()
    second.close()


def check_what_had_come(book: NotebookPage, hand: Hand) -> None:
    assert hand.has_been_left()
    book.until(lambda: stops(book.page) == 0)
    (output,) = book.save()["cells"][0]["outputs"]
    assert "The <strong>first</strong> half," in output["data"]["text/html"]
    assert "half," in output["data"]["text/plain"]
    assert "button" not in output["data"]["text/html"]


@in_both
def test_a_kernel_restart_keeps_what_had_come(
    kind: type[NotebookPage], lab: Lab, page: Page, hand: Hand
) -> None:
    book = half_shown(kind, page, lab, hand)
    book.restart_kernel()
    book.until(lambda: "The kernel is gone" in book.text(0))
    check_what_had_come(book, hand)


def test_a_kernel_shut_down_keeps_what_had_come(lab: Lab, page: Page, hand: Hand) -> None:
    book = half_shown(NotebookPage, page, lab, hand)
    book.shut_down_kernel()
    check_what_had_come(book, hand)


def test_twenty_answers_at_once(lab: Lab, browser: Profile, server: Demo) -> None:
    """Run All in a window of the usual size: most of the cells are out of sight."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    topics = ("events", "cats", "table", "code", "math")
    cells = [
        f"%%groq -m demo/long --max-tokens {2000 + number}\n{topics[number % 5]} {number}"
        for number in range(20)
    ]
    book = NotebookPage(page, lab, lab.write("twenty.ipynb", *cells))
    before = len(server.seen())
    book.run_all()
    book.until(lambda: [seen["state"] for seen in server.seen()[before:]] == ["done"] * 20, 60)
    seen = server.seen()[before:]
    assert max(each["began_at"] for each in seen) < min(each["ended_at"] for each in seen)
    book.until(lambda: stops(page) == 0)
    bodies = {each["body"]["messages"][-1]["content"]: each["body"] for each in seen}
    seconds = []
    for cell in book.save()["cells"]:
        (output,) = cell["outputs"]
        body = bodies[cell["source"].partition("\n")[2]]
        text = "".join(token for _, token in _tokens_of("demo/long", body)[0])
        assert output["data"]["text/plain"] == text
        seconds.append(output["metadata"]["groq"]["seconds"])
    assert max(seconds) < 1.5 * min(seconds)  # each has been read as fast as the others
    book.cell(19).scroll_into_view_if_needed()
    book.answer(19).get_by_text("The end.").wait_for()
    page.close()


def test_all_that_are_in_sight_stream_at_once(lab: Lab, browser: Profile) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 12_000})
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
    page.close()


def limited(connection: Connection) -> None:
    connection.respond(b"{}", "429 Too Many Requests", retry_after="30")


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
        assert 20 < min(left) < max(left) <= 30
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
    lab: Lab, browser: Profile, hand: Hand
) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 800})
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
    page.close()


def test_the_keyboard_unfolds_and_copies(lab: Lab, browser: Profile, hand: Hand) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    book = NotebookPage(page, lab, lab.write("keyboard.ipynb", hand.cell))
    book.run(0)
    hand.say(reasoning="Let me see.")
    hand.say("```python\nprint(4)\n```\n\nNext")
    summary = book.answer(0).locator("summary", has_text="Thought for")
    thought = book.answer(0).get_by_text("Let me see.")
    summary.focus()
    page.keyboard.press("Enter")
    book.until(thought.is_visible)
    button = book.answer(0).get_by_role("button", name="Copy this code")
    page.keyboard.press("Tab")
    assert button.evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    book.until(lambda: page.evaluate("navigator.clipboard.readText()") == "print(4)\n")
    hand.end()
    book.until(lambda: stops(page) == 0)
    summary.focus()
    page.keyboard.press("Space")
    book.until(thought.is_visible)
    page.keyboard.press("Space")
    book.until(thought.is_hidden)
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


def test_code_is_copied(lab: Lab, browser: Profile, hand: Hand) -> None:
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
    lab: Lab, browser: Profile, hand: Hand
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
    page.mouse.wheel(0, answer.evaluate(BELOW) + 20)  # and returns, just past the answer's end
    book.until(lambda: answer.evaluate(BELOW) < 0)
    page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 300))")
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


TEXTS = [text for words, text in _answers().items() if words.startswith(("sse", "math", "code"))]
STATES = ("done", "done", "stopped", "done", "failed")
"""Of the answers below: the fourth is cut."""


def end(hands: list[Hand], book: NotebookPage) -> None:
    """Each in its own way, as the states say."""
    hands[0].end()
    hands[1].end()
    book.answer(2).get_by_role("button", name="Stop").click()
    hands[3].end("length")
    hands[4].fail()


@pytest.mark.parametrize("settings", [{}, DARK], ids=["light", "dark"])
def test_the_static_output_looks_as_the_live_view_did(
    browser: Profile, tmp_path: Path, settings: dict[str, Any]
) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 5000})
    # The page puts the static output in 1.5 s behind the end: time for the picture.
    page.add_init_script(
        "const soon = setTimeout; window.setTimeout = (f, ms) => soon(f, ms === 1500 ? 6000 : ms)"
    )
    with running_lab(tmp_path, {}, settings) as lab, ExitStack() as stack:
        hands = [Hand(stack.enter_context(peer(Connection.until_closed))) for _ in STATES]
        book = NotebookPage(page, lab, lab.write("look.ipynb", *(hand.cell for hand in hands)))
        book.run_all()
        hands[0].say(reasoning="Let me see.")
        for number, hand in enumerate(hands):
            hand.say(TEXTS[number % len(TEXTS)])
            book.answer(number).locator("p").first.wait_for()
        book.save()
        book.open()
        book.until(lambda: stops(page) == len(hands))
        for hand in hands:
            hand.say("\n\nAnd a last word.")
        book.until(lambda: page.get_by_text("And a last word.").count() == len(hands))
        end(hands, book)
        for number, state in enumerate(STATES):
            book.cell(number).locator(f"[data-state={state}]").wait_for()
        live = [pixels(book.answer(number)) for number in range(len(hands))]
        assert stops(page) == len(hands)  # hidden by now, but there: these are the live views
        formulas = page.locator("mjx-container").count()
        book.until(lambda: stops(page) == 0)
        book.until(lambda: page.locator("mjx-container").count() == formulas > 2)
        still = [pixels(book.answer(number)) for number in range(len(hands))]
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


def check_attacks(book: NotebookPage, requests: list[str], hand: Hand) -> None:
    """Have all of them come in, and stay for good."""
    book.page.on("request", lambda request: requests.append(request.url))
    book.run(0)
    for attack in ATTACKS:
        hand.say(*attack.split("=", 1), f"\n\n{attack}\n\n", reasoning=attack)
    hand.say("\n\nThat was all of it.")
    check_harmless(book)
    hand.end()
    book.until(lambda: stops(book.page) == 0)
    check_harmless(book)


def check_harmless(book: NotebookPage) -> None:
    book.until(lambda: "That was all of it." in book.text(0), 30)
    book.page.wait_for_function("new Promise((done) => setTimeout(() => done(true), 500))")
    assert book.page.evaluate("window.canary") is None
    assert book.answer(0).locator("script, iframe, img, object, embed, form, style").count() == 0


def test_no_attack_gets_through_while_it_streams(lab: Lab, browser: Profile, hand: Hand) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 30_000})
    requests: list[str] = []
    book = NotebookPage(page, lab, lab.write("attacks.ipynb", hand.cell))
    check_attacks(book, requests, hand)
    book.save()
    changed = book.path.with_name("changed.ipynb")  # so that its signature is unknown
    changed.write_text(book.path.read_text("utf-8").replace("None", "0"), "utf-8")
    book = NotebookPage(page, lab, changed)
    check_harmless(book)
    trust = page.locator(".jp-StatusItem-trust")
    assert trust.get_attribute("title") == "Notebook not trusted: 0 of 2 code cells trusted."
    page.keyboard.press("Control+Shift+c")
    page.locator(".lm-CommandPalette-input").fill("Trust Notebook")
    page.keyboard.press("Enter")
    page.locator(".jp-Dialog").get_by_role("button", name="Trust").click()
    trusted = "Notebook trusted: 2 of 2 code cells trusted."
    book.until(lambda: trust.get_attribute("title") == trusted)
    check_harmless(book)
    assert all(url.startswith((lab.url, "data:", "blob:")) for url in requests)
    page.close()


def test_no_attack_gets_through_in_notebook_7(lab: Lab, browser: Profile, hand: Hand) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 30_000})
    requests: list[str] = []
    book = Notebook7Page(page, lab, lab.write("attacks7.ipynb", hand.cell))
    check_attacks(book, requests, hand)
    assert all(url.startswith((lab.url, "data:", "blob:")) for url in requests)
    page.close()
