"""Pages and kernels that go and come back while an answer streams."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.support.hand import HALF, REST, Hand, half_shown, in_both, is_whole, stops
from tests.support.lab import Lab, NotebookPage, Profile

TOKENS_PER_SECOND = 300


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


def test_ended_while_no_page_is_open_it_is_whole(lab: Lab, page: Page, hand: Hand) -> None:
    book = half_shown(NotebookPage, page, lab, hand)
    book.close()
    hand.say(REST)
    hand.end()
    book = NotebookPage(page, lab, book.path)
    book.until(lambda: is_whole(book))
    check_saved(book)


def test_two_windows_show_the_same(lab: Lab, browser: Profile, page: Page, hand: Hand) -> None:
    one = half_shown(NotebookPage, page, lab, hand)
    second = browser.new_page(viewport={"width": 1100, "height": 900})
    two = NotebookPage(second, lab, one.path)
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


def test_a_kernel_restart_keeps_what_had_come(lab: Lab, page: Page, hand: Hand) -> None:
    book = half_shown(NotebookPage, page, lab, hand)
    book.restart_kernel()
    book.until(lambda: "The kernel is gone" in book.text(0))
    check_what_had_come(book, hand)


def test_a_kernel_shut_down_keeps_what_had_come(lab: Lab, page: Page, hand: Hand) -> None:
    book = half_shown(NotebookPage, page, lab, hand)
    book.shut_down_kernel()
    check_what_had_come(book, hand)
