"""Cells whose answer a test says by hand, in real frontends."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.lab import PAGES, Lab, NotebookPage
from tests.support.peer import DONE, Connection, Peer, event, finish

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

    def __init__(self, peer: Peer, number: int = 0) -> None:
        """It answers the request of that number."""
        self._peer = peer
        self._number = number
        self.cell = shown(peer)
        self.base_url = peer.base_url

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self.send(content=piece)

    def think(self, reasoning: str) -> None:
        self.send(reasoning=reasoning)

    def send(self, **delta: Any) -> None:
        self._connection.chunk(event({"choices": [{"index": 0, "delta": delta}]}))

    def end(self, reason: str = "stop") -> None:
        self._connection.chunk(finish(reason) + DONE)
        self._connection.end()

    def fail(self) -> None:
        self._connection.chunk(event({"error": {"message": "The model is over capacity"}}))

    def asked(self) -> Connection:
        """The request, before anything has been said to it."""
        return self._peer.connection(self._number, timeout=30)

    def has_been_left(self) -> bool:
        return self.asked().closed.wait(30)

    @cached_property
    def _connection(self) -> Connection:
        connection = self.asked()
        connection.begin()  # here, not in the script: nothing may be said before it
        return connection


def stops(page: Page) -> int:
    return page.locator(".groq-stop").count()


def half_shown(kind: type[NotebookPage], page: Page, lab: Lab, hand: Hand) -> NotebookPage:
    """A notebook whose answer has come half way, saved."""
    book = kind(page, lab, lab.add(hand.cell))
    book.run(0)
    hand.say(HALF)
    book.until(lambda: "The first half," in book.text(0))
    book.save()
    return book


def is_whole(book: NotebookPage) -> bool:
    return "That is all." in book.text(0) and stops(book.page) == 0
