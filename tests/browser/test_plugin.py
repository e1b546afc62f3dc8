"""The plugin's buttons and commands on answers: in a real JupyterLab and a real Notebook 7."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page

from tests.support.demo import Demo
from tests.support.hand import Hand, in_both, stops
from tests.support.lab import Lab, NotebookPage, Profile, errors_of, running_lab
from tests.support.peer import Connection, peer

TOKENS_PER_SECOND = 300
CODE = "def hello():\n    return 'world'\n"
ANSWER = f"## So\n\nHere it is:\n\n```python\n{CODE}```\n\nThat is all.\n"


def copied(page: Page) -> str:
    """What the clipboard has, read as a user reads it: pasted."""
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('textarea'), {id: 'p'}))"
    )
    page.locator("#p").focus()
    page.keyboard.press("Control+v")
    text = page.locator("#p").input_value()
    page.evaluate("document.getElementById('p').remove()")
    return text


@pytest.fixture(autouse=True)
def _clipboard(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])


def ended(kind: type[NotebookPage], lab: Lab, page: Page, hand: Hand) -> NotebookPage:
    """A notebook with an answer that has ended and is saved."""
    book = kind(page, lab, lab.add(hand.cell, "1 + 1"))
    book.run(0)
    hand.say(ANSWER)
    hand.end()
    book.until(lambda: "That is all." in book.text(0) and stops(page) == 0)
    book.save()
    return book


def button(place: Locator, name: str) -> Locator:
    return place.get_by_role("button", name=re.compile(name))


def test_an_answer_has_buttons_also_after_a_reload(lab: Lab, page: Page, hand: Hand) -> None:
    book = ended(NotebookPage, lab, page, hand)
    saved = book.path.read_text("utf-8")
    check_copy(page, book.answer(0))
    book.open()
    check_copy(page, book.answer(0))
    assert book.path.read_text("utf-8") == saved
    check_insert(book)


def check_copy(page: Page, answer: Locator) -> None:
    answer.hover()
    button(answer, "Copy the answer of .* in cell 1 as Markdown").click()
    assert copied(page) == ANSWER
    answer.locator("pre").hover()
    button(answer, "Copy this code").click()
    assert copied(page) == CODE
    assert answer.locator(".groq-buttons").count() == 2


def check_insert(book: NotebookPage) -> None:
    """The code goes into a new cell, which has the focus and is not run."""
    button(book.answer(0), "Insert this code below").click()
    book.until(lambda: book.page.locator(".jp-Notebook .jp-CodeCell").count() == 3)
    editor = book.cell(1).locator(".cm-content")
    assert editor.inner_text() == CODE.rstrip("\n")
    book.until(lambda: editor.evaluate("e => e.contains(document.activeElement)"))
    assert book.cell(1).locator(".jp-InputPrompt").inner_text() == "[ ]:"
    assert book.cell(2).locator(".cm-content").inner_text() == "1 + 1"


def test_by_keyboard_and_without_a_kernel(lab: Lab, page: Page, hand: Hand) -> None:
    book = ended(NotebookPage, lab, page, hand)
    notebook = nbformat.read(book.path, as_version=4)
    gone = {"name": "gone", "display_name": "Gone", "language": "gone"}
    notebook.metadata = {"kernelspec": gone, "language_info": {"name": "gone"}}
    nbformat.write(notebook, book.path.with_name("gone.ipynb"))
    page.goto(f"{lab.url}lab/tree/gone.ipynb?reset")
    dialog = page.locator(".jp-Dialog")
    dialog.get_by_role("button", name="No Kernel").click(timeout=60_000)
    first = button(book.answer(0), "Copy the answer")
    opacity = "e => getComputedStyle(e.parentElement).opacity"
    page.mouse.move(0, 0)
    assert first.evaluate(opacity) == "0"
    book.cell(0).focus()
    for _ in range(10):
        page.keyboard.press("Tab")
        if first.evaluate("e => e === document.activeElement"):
            break
    assert first.evaluate(opacity) == "1"
    page.keyboard.press("Enter")
    assert copied(page) == ANSWER
    check_insert(book)


def test_run_again(lab: Lab, page: Page, server: Demo) -> None:
    book = NotebookPage(page, lab, lab.write("again.ipynb", "%%groq\ncat names", "1 + 1"))
    book.run(0)
    book.until(lambda: "Semicolon" in book.text(0) and stops(page) == 0)
    count = len(server.seen())
    book.cell(1).focus()
    book.answer(0).hover()
    button(book.answer(0), "Run cell 1 again").click()
    server.until("done", count)
    book.until(lambda: "Semicolon" in book.text(0) and stops(page) == 0)
    assert book.text(1) == ""


BEGUN, MORE = "So:\n\n```python\ndef f():\n    retu", "rn 1\n```\n\nThat is all.\n"


def stopped(lab: Lab, page: Page, hand: Hand) -> NotebookPage:
    """A notebook whose second cell has a stopped answer, with the pointer on it."""
    cell = f"%config GroqMagic.base_url = {hand.base_url!r}"
    book = NotebookPage(
        page,
        lab,
        lab.add(cell, "%%groq -m llama -o answer\nSome code", "print('all' in answer.text)"),
    )
    book.run(0)
    book.run(1)
    hand.say(BEGUN)
    book.until(lambda: "retu" in book.text(1))
    page.locator(".groq-stop").click()
    book.until(lambda: "Stopped." in book.text(1))
    book.answer(1).hover()
    return book


def test_a_stopped_answer_is_continued_in_place(lab: Lab, page: Page) -> None:
    with peer(Connection.until_closed) as server:
        book, rest = stopped(lab, page, Hand(server)), Hand(server, 1)
        source = book.cell(1).locator(".cm-content").inner_text()
        button(book.answer(1), "Continue the answer of llama in cell 2").click()
        asked = rest.asked().request.json["messages"]
        book.until(lambda: stops(page) == 1 and "retu" in book.text(1))
        rest.say(MORE)
        book.until(lambda: "return 1" in book.text(1))
        rest.end()
        book.until(lambda: "That is all." in book.text(1) and stops(page) == 0)
        assert asked[-1] == {"role": "assistant", "content": BEGUN}
        assert book.cell(1).locator(".cm-content").inner_text() == source
        assert book.answer(1).locator("pre").count() == 1
        assert button(book.answer(1), "Continue").count() == 0
        book.run(2)
        book.until(lambda: "True" in book.text(2))


def test_an_answer_that_the_kernel_has_lost_is_not_continued(
    lab: Lab, page: Page, hand: Hand
) -> None:
    book = stopped(lab, page, hand)
    book.restart_kernel()
    book.until_idle()
    book.answer(1).hover()
    button(book.answer(1), "Continue").click()
    lost = "The kernel does not have this answer any longer. Run the cell again."
    book.until(lambda: page.get_by_title(lost).count() == 1)
    assert "retu" in book.text(1)


def test_a_live_answer_is_copied_as_markdown(lab: Lab, page: Page, hand: Hand) -> None:
    book = NotebookPage(page, lab, lab.write("live.ipynb", hand.cell))
    book.run(0)
    hand.say(ANSWER)
    answer = book.answer(0)
    answer.get_by_text("That is all.").wait_for()
    answer.locator(".groq-bar").hover()
    button(answer, "Copy the answer").click()
    answer.locator(".groq-copied").wait_for()
    assert copied(page) == ANSWER
    answer.locator("pre").hover()
    button(answer, "Insert this code below").click()
    assert book.cell(1).locator(".cm-content").inner_text() == CODE.rstrip("\n")
    hand.end()
    book.until(lambda: stops(page) == 0)


SPOOFS = {
    "a class without metadata": "display(HTML('<div class=\"groq-answer\"><pre>x</pre></div>'))",
    "metadata without a class": "display(HTML('<div><pre>x</pre></div>'), metadata={'groq': {}})",
    "an answer in an answer": (
        'display(HTML(\'<div class="groq-answer"><div class="groq-answer">'
        "<pre>x</pre></div></div>'))"
    ),
}


def test_what_is_no_answer_gets_no_buttons(lab: Lab, page: Page, server: Demo) -> None:
    errors = errors_of(page)
    cells = [f"from IPython.display import HTML, display\n{spoof}" for spoof in SPOOFS.values()]
    book = NotebookPage(page, lab, lab.write("spoofs.ipynb", *cells, "%%groq\ncat names"))
    for number in range(len(cells) + 1):
        book.run(number)
    book.until(lambda: "Semicolon" in book.text(len(cells)) and stops(page) == 0)
    book.answer(len(cells)).locator(".groq-buttons").first.wait_for(state="attached")
    for number in range(len(cells)):
        assert book.cell(number).locator(".groq-buttons").count() == 0
    assert errors == []


LONG = "%%groq -m demo/long\nSay much"


def running(server: Demo) -> int:
    return [seen["state"] for seen in server.seen()].count("streaming")


def begin(book: NotebookPage, *numbers: int) -> None:
    for number in numbers:
        book.run(number)
        book.until(partial(shows, book, number, "never has to end"))


def test_an_interrupt_of_an_idle_kernel_stops_the_answers(
    lab: Lab, page: Page, server: Demo
) -> None:
    book = NotebookPage(page, lab, lab.write("interrupt.ipynb", LONG, LONG))
    begin(book, 0, 1)

    def is_stopped_by_keys() -> bool:  # a busy page takes keys a second apart for two shortcuts
        book.cell(0).focus()
        page.keyboard.press("i")
        page.keyboard.press("i")
        page.wait_for_timeout(3000)
        return running(server) == 0

    book.until(is_stopped_by_keys)
    book.until(lambda: "stopped after" in book.text(0) and "stopped after" in book.text(1))


def test_stop_by_keyboard_menu_and_palette(lab: Lab, page: Page, server: Demo) -> None:
    book = NotebookPage(page, lab, lab.write("stops.ipynb", LONG, LONG, "1 + 1"))
    begin(book, 0, 1)
    status = page.locator("#jp-bottom-panel .groq-running, .jp-StatusBar-Widget .groq-running")
    assert status.inner_text() == "2 answers run"
    book.cell(0).focus()
    page.keyboard.press("Control+.")
    book.until(lambda: "stopped after" in book.text(0))
    assert running(server) == 1
    book.until(lambda: status.inner_text() == "1 answer runs")
    status.click()
    assert "jp-mod-active" in str(book.cell(1).get_attribute("class"))
    book.cell(1).locator(".jp-InputPrompt").click(button="right")
    page.get_by_role("menuitem", name="Stop answer").click()
    book.until(lambda: running(server) == 0)
    book.until(lambda: not status.is_visible())
    begin(book, 0, 1)
    page.keyboard.press("Control+Shift+c")
    page.keyboard.type("Stop all answers")
    page.keyboard.press("Enter")
    book.until(lambda: running(server) == 0)
    book.until(lambda: "stopped after" in book.text(0) and "stopped after" in book.text(1))


def test_an_answer_whose_output_is_gone_does_not_run(lab: Lab, page: Page, server: Demo) -> None:
    book = NotebookPage(page, lab, lab.write("cleared.ipynb", LONG))
    begin(book, 0)
    status = page.locator(".jp-StatusBar-Widget .groq-running")
    assert status.inner_text() == "1 answer runs"
    book.clear_outputs()
    book.until(lambda: not status.is_visible())
    assert book.save()["cells"][0]["outputs"] == []
    book.interrupt()


FILLER = "\n".join(f"# line {number}" for number in range(30))


def test_the_answer_of_a_run_cell_comes_into_sight(lab: Lab, page: Page, hand: Hand) -> None:
    page.set_viewport_size({"width": 1000, "height": 700})
    cells = [FILLER, f"{FILLER}\n{hand.cell}", FILLER]
    book = NotebookPage(page, lab, lab.write("below.ipynb", *cells))
    editor = book.cell(1).locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+End")
    bottom = "e => e.scrollIntoView({block: 'end'})"
    book.cell(1).locator(".cm-line").last.evaluate(bottom)  # at the window's lower edge
    page.keyboard.press("Control+Enter")
    hand.say(*(f"Line {number}.\n\n" for number in range(60)))
    last = book.answer(1).get_by_text("Line 59.")
    last.wait_for()
    book.until(lambda: is_in_sight(last))


def is_in_sight(node: Locator) -> bool:
    box = node.bounding_box()
    return box is not None and 0 < box["y"] < 700 - box["height"]


def test_a_caret_below_a_growing_answer_stays(lab: Lab, page: Page, hand: Hand) -> None:
    page.set_viewport_size({"width": 1000, "height": 700})
    book = NotebookPage(page, lab, lab.write("caret.ipynb", hand.cell, "# here", FILLER))
    book.run(0)
    hand.say("A beginning.\n\n")
    book.answer(0).get_by_text("A beginning.").wait_for()
    book.cell(1).locator(".cm-content").click()
    tops = set[int]()
    for number in range(40):
        page.keyboard.type("x")
        hand.say(f"Line {number}.\n\n")
        book.answer(0).get_by_text(f"Line {number}.", exact=True).wait_for()
        page.evaluate("new Promise(requestAnimationFrame)")
        box = book.cell(1).locator(".cm-content").bounding_box()
        assert box is not None
        tops.add(round(box["y"]))
    assert max(tops) - min(tops) <= 1


def test_a_reader_further_up_can_jump_to_the_latest_line(lab: Lab, page: Page, hand: Hand) -> None:
    page.set_viewport_size({"width": 1000, "height": 700})
    book = NotebookPage(page, lab, lab.write("jump.ipynb", hand.cell))
    book.run(0)
    hand.say(*(f"Line {number}.\n\n" for number in range(60)))
    book.until(lambda: is_in_sight(book.answer(0).get_by_text("Line 59.")))
    jump = book.answer(0).get_by_role("button", name="Jump to the latest line")
    assert not jump.is_visible()
    book.answer(0).hover()
    page.mouse.wheel(0, -900)
    jump.wait_for()
    hand.say("Line 60.\n\n")
    book.answer(0).get_by_text("Line 60.").wait_for()
    assert not is_in_sight(book.answer(0).get_by_text("Line 60."))
    jump.click()
    book.until(lambda: is_in_sight(book.answer(0).get_by_text("Line 60.")))
    hand.say("Line 61.\n\n")
    book.until(lambda: is_in_sight(book.answer(0).get_by_text("Line 61.")))
    book.until(lambda: not jump.is_visible())


def test_where_only_the_kernel_has_the_package(
    tmp_path: Path, browser: Profile, server: Demo
) -> None:
    page = browser.new_page()
    errors = errors_of(page)
    with running_lab(tmp_path, {"GROQ_BASE_URL": server.base_url}, has_plugin=False) as lab:
        book = NotebookPage(page, lab, lab.write("without.ipynb", LONG, "%%groq\ncat names"))
        begin(book, 0)
        assert page.locator(".groq-prompt").count() == 0
        book.answer(0).get_by_role("button", name="Stop").click()
        book.until(lambda: "stopped after" in book.text(0))
        book.run(1)
        book.until(lambda: "Semicolon" in book.text(1) and stops(page) == 0)
        assert page.locator(".groq-answer [data-label='Run again']").count() == 0
        page.close()
    assert errors == []


def test_where_only_the_server_has_the_package(lab: Lab, page: Page) -> None:
    """The kernel is of another environment, and has no %%groq."""
    errors = errors_of(page)
    cells = ("%unload_ext groq_magic", "%%groq\nIt isn't there", "1 + 1")
    book = NotebookPage(page, lab, lab.write("server.ipynb", *cells))
    book.run(0)
    book.run(1)
    book.until(lambda: "`%%groq` not found" in book.text(1))
    book.run(2)
    book.until(lambda: "2" in book.text(2))
    assert errors == []


SELECTED = "() => getSelection().toString()"


@in_both
def test_the_end_leaves_folds_the_selection_and_the_height_as_they_are(
    kind: type[NotebookPage], lab: Lab, page: Page, hand: Hand
) -> None:
    book = kind(page, lab, lab.add(hand.cell))
    book.run(0)
    hand.think("It **thinks**.")
    hand.say("A word to select, and `code`.\n\n")
    text = book.answer(0).get_by_text("A word to select")
    text.wait_for()
    book.answer(0).locator("summary").click()
    text.select_text()
    selected = page.evaluate(SELECTED)
    assert "select, and code" in selected
    hand.say("A paragraph.\n\n" * 100, "And the last paragraph.")
    book.answer(0).get_by_text("And the last paragraph.").wait_for()
    height = book.cell(0).evaluate("cell => cell.offsetHeight")
    hand.end()
    book.until(lambda: stops(page) == 0)
    assert abs(book.cell(0).evaluate("cell => cell.offsetHeight") - height) < 20
    assert book.answer(0).locator("details").get_attribute("open") is not None
    assert page.evaluate(SELECTED).strip() == selected.strip()


def test_a_file_saved_in_mid_stream_has_the_text_so_far(lab: Lab, page: Page, hand: Hand) -> None:
    book = NotebookPage(page, lab, lab.write("mid.ipynb", hand.cell))
    book.run(0)
    hand.say(ANSWER, "And so $x^2$ on")
    book.answer(0).get_by_text("That is all.").wait_for()
    view = book.answer(0).element_handle()
    saved = book.save()
    data = saved["cells"][0]["outputs"][0]["data"]
    assert "That is all." in data["text/plain"]
    assert "<h2" in data["text/html"]
    assert "button" not in data["text/html"]
    assert view is not None
    assert view.evaluate("e => e.isConnected")  # and the view is still the same
    hand.say(", still live.")
    book.answer(0).get_by_text("still live.").wait_for()
    book.shut_down_kernel()
    page.wait_for_timeout(500)
    book.path.write_text(nbformat.writes(nbformat.from_dict(saved)), "utf-8")
    page.goto("about:blank")
    book.load()
    answer = book.answer(0)
    answer.get_by_text("That is all.").wait_for()
    assert "Not finished." in answer.inner_text()
    assert answer.locator("h2").inner_text() == "So"
    assert page.get_by_text("model not found").count() == 0
    answer.hover()
    button(answer, "Copy the answer").click()
    assert "That is all." in copied(page)
    assert not page.locator(".groq-running").is_visible()


def shows(book: NotebookPage, number: int, words: str) -> bool:
    return words in book.text(number)


def test_a_dropped_turn_says_so(lab: Lab, page: Page, server: Demo) -> None:
    cells = [f"%%groq -c\ncat names {number}" for number in range(3)]
    book = NotebookPage(page, lab, lab.write("dropped.ipynb", *cells))
    for number in range(3):
        book.run(number)
        book.until(partial(shows, book, number, f"Turn {number + 1} of chat"))
        book.until(lambda: stops(page) == 0)
    book.run(0)
    for number in (1, 2):
        words = "No longer part of chat: its turn 1 was asked again"
        book.until(partial(shows, book, number, words))
        assert "Semicolon" in book.text(number)
    book.until(lambda: stops(page) == 0)
    assert "No longer part" not in book.text(0)
