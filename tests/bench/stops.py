"""How soon the server sees a Stop, and how many are lost: ``python -m tests.bench.stops``.

For each version of ipykernel, frontend and state: milliseconds from before the driver's click,
and from the click as the page has it, until the server sees the connection closed; the median
and the worst of some rounds. Then answers whose page is reloaded and that are stopped by the
page itself the moment there is a button, which is sooner than anybody's hand.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from playwright.sync_api import WebSocket

from tests.support.demo import Demo, running_demo
from tests.support.frontends import (
    IN_ANY,
    IN_LAB,
    VERSIONS,
    State,
    busy,
    idle,
    opened,
    reloaded,
    rest,
    running_frontend,
    waiting,
)
from tests.support.lab import Notebook7Page, NotebookPage, Profile, running_profile

SIX, *_, NEWEST = VERSIONS
GIVEN_UP = 10.0

NOTE_CLICKS = """
for (const type of ["mousedown", "click"])
  addEventListener(type, () => { window.clickedAt ??= Date.now(); }, true);
"""
CLICK_AT_ONCE = """
const timer = setInterval(() => {
  const button = sessionStorage.clickAtOnce && document.querySelector(".groq-stop");
  if (!button) return;
  clearInterval(timer);
  button.click();
}, 1);
"""


class Stops(NamedTuple):
    """Of some rounds: milliseconds from each click, infinite where it was lost."""

    version: str
    kind: type[NotebookPage]
    state: str
    page: Sequence[float]
    """From the click as the page has it."""
    driver: Sequence[float] = ()
    """From before the driver's click; where the page clicks by itself, there are none."""
    sent: int = 0
    """How many stops the page sent, where it clicks by itself."""

    @property
    def lost(self) -> int:
        return self.page.count(math.inf)

    def __str__(self) -> str:
        label = f"{self.version:7} {self.kind.NAME:10}"
        if self.driver:
            return f"{label} {self.state:14} {figures(self.driver)} {figures(self.page)}"
        label += f" {len(self.page)} {self.state}"
        return f"{label} {figures(self.page)} lost: {self.lost}, sent: {self.sent}"


class Closing:
    """Sees on a thread when the server saw the last answer's connection closed, if it did."""

    def __init__(self, server: Demo) -> None:
        self._server = server
        self._pool = ThreadPoolExecutor(1)

    def watch(self) -> Future[float]:
        return self._pool.submit(self._watch)

    def _watch(self) -> float:
        try:
            self._server.until("closed", timeout=GIVEN_UP)
        except AssertionError:
            return math.inf
        return time.time()


def stopped(book: NotebookPage, state: State, closing: Closing) -> tuple[float, float]:
    """Milliseconds from before the driver's click, and from the page's."""
    button = state(book).get_by_role("button", name="Stop")
    button.wait_for()
    button.page.evaluate("window.clickedAt = undefined")
    closed = closing.watch()
    begun = time.time()
    button.click()
    at = closed.result()
    clicked = button.page.evaluate("window.clickedAt") / 1e3
    rest(book)
    return (at - begun) * 1e3, (at - clicked) * 1e3


def stopped_by_the_page(book: NotebookPage, closing: Closing) -> float:
    """Milliseconds from the page's click, as soon as it can after a reload."""
    idle(book)
    book.save()
    book.page.evaluate("sessionStorage.clickAtOnce = 1")
    book.load()
    book.until(lambda: book.page.evaluate("window.clickedAt"))
    at = closing.watch().result()
    book.page.evaluate("delete sessionStorage.clickAtOnce")
    rest(book)
    return (at - float(book.page.evaluate("window.clickedAt")) / 1e3) * 1e3


def measure_states(
    book: NotebookPage, closing: Closing, states: Sequence[State], rounds: int
) -> Iterator[tuple[str, Sequence[float], Sequence[float]]]:
    """Of each state its name, and milliseconds from the page's and from the driver's click."""
    book.page.context.add_init_script(NOTE_CLICKS)
    book.open()
    for state in states:
        driver, page = zip(*(stopped(book, state, closing) for _ in range(rounds)), strict=True)
        yield state.__name__, page, driver


def measure_reloads(
    book: NotebookPage, closing: Closing, count: int
) -> tuple[Sequence[float], int]:
    """Milliseconds from the page's clicks, and how many stops it sent."""
    sent: list[bytes | str] = []
    book.page.on("websocket", partial(note_stops, sent))
    book.page.context.add_init_script(NOTE_CLICKS + CLICK_AT_ONCE)
    book.open()
    return [stopped_by_the_page(book, closing) for _ in range(count)], len(sent)


def note_stops(sent: list[bytes | str], socket: WebSocket) -> None:
    def note(frame: bytes | str) -> None:
        text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
        if '"type":"stop"' in text:
            sent.append(frame)

    socket.on("framesent", note)


def figures(taken: Sequence[float]) -> str:
    return f"{statistics.median(taken):8.0f} {max(taken):6.0f}"


Case = tuple[str, type[NotebookPage], Sequence[State]]


def measure(
    browser: Profile, server: Demo, case: Case, rounds: int, reloads: int
) -> Iterator[Stops]:
    version, kind, states = case
    with (
        TemporaryDirectory() as folder,
        running_frontend(Path(folder), version, server) as lab,
        opened(kind, browser, lab, version) as book,
    ):
        for state, page, driver in measure_states(book, Closing(server), states, rounds):
            yield Stops(version, kind, state, page, driver)
        if reloaded in states:
            page, sent = measure_reloads(book, Closing(server), reloads)
            yield Stops(version, kind, "at a reload", page, sent=sent)


def plan(versions: Sequence[str]) -> Iterator[Case]:
    for version in versions:
        if version != NEWEST:
            yield version, NotebookPage, (idle,) if version == SIX else (idle, busy, waiting)
    if NEWEST in versions:
        yield NEWEST, NotebookPage, IN_LAB
        yield NEWEST, Notebook7Page, IN_ANY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--ipykernel", choices=VERSIONS, nargs="+", default=VERSIONS)
    options = parser.parse_args()
    print(f"{'milliseconds: median, worst':39} from the driver from the page")
    with running_demo(60) as server, running_profile() as browser:
        for case in plan(options.ipykernel):
            for stops in measure(browser, server, case, options.rounds, options.reloads):
                print(stops, flush=True)


if __name__ == "__main__":
    main()
