"""Attacks in answers, in a real JupyterLab and Notebook 7."""

from __future__ import annotations

import json

from tests.support.attacks import ATTACKS
from tests.support.hand import Hand, stops
from tests.support.lab import Lab, Notebook7Page, NotebookPage, Profile

TOKENS_PER_SECOND = 300


def check_attacks(book: NotebookPage, requests: list[str], hand: Hand) -> None:
    """Have all of them come in, and stay for good."""
    book.page.on("request", lambda request: requests.append(request.url))
    book.run(0)
    for attack in ATTACKS:
        hand.think(f"{attack}\n\n")
    for attack in ATTACKS:
        hand.say(*attack.split("=", 1), f"\n\n{attack}\n\n")
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


def check_unfolded(book: NotebookPage) -> None:
    book.until(lambda: book.answer(0).locator("details").count() > 10)
    unfold = "document.querySelectorAll('details').forEach((fold) => (fold.open = true))"
    book.page.evaluate(unfold)
    check_harmless(book)


def test_no_attack_gets_through_while_it_streams(lab: Lab, browser: Profile, hand: Hand) -> None:
    page = browser.new_page()
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
    page = browser.new_page()
    requests: list[str] = []
    book = Notebook7Page(page, lab, lab.write("attacks7.ipynb", hand.cell))
    check_attacks(book, requests, hand)
    assert all(url.startswith((lab.url, "data:", "blob:")) for url in requests)
    page.close()


def test_no_attack_beside_the_text_gets_through(lab: Lab, browser: Profile, hand: Hand) -> None:
    page = browser.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    book = NotebookPage(page, lab, lab.write("beside.ipynb", hand.cell))
    book.run(0)
    for index, attack in enumerate(ATTACKS[::4]):
        said = json.dumps({"query": attack, "code": attack})
        results = [{"title": attack, "url": attack}, {"title": attack, "url": "https://e.org/"}]
        tool = {"index": index, "type": attack, "arguments": said, "output": attack}
        if index % 2:
            tool |= {"type": "search", "search_results": {"results": results}}
        function = {"name": attack, "arguments": json.dumps({attack: attack})}
        hand.send(
            executed_tools=[{**tool, "code_results": [{"png": attack}]}],
            tool_calls=[{"index": index, "id": attack, "function": function}],
        )
    hand.say("That was all of it.")
    check_unfolded(book)
    hand.end("tool_calls")
    book.until(lambda: stops(page) == 0)
    check_unfolded(book)
    book.save()
    book.open()
    check_unfolded(book)
    assert all(url.startswith((lab.url, "data:", "blob:")) for url in requests)
    page.close()
