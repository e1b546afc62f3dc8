"""Stop and Interrupt, in JupyterLab and Notebook 7, on each kind of kernel there is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.demo import Demo
from tests.support.frontends import (
    ANSWER,
    BEGINNING,
    BUSY,
    IN_ANY,
    IN_LAB,
    VERSIONS,
    WAITING,
    State,
    busy,
    idle,
    opened,
    rest,
    running_frontend,
    waiting,
)
from tests.support.lab import KERNEL, Lab, Notebook7Page, NotebookPage, Profile

TOKENS_PER_SECOND = 60
SIX, FIRST_SEVEN, *_, NEWEST = VERSIONS


@pytest.fixture(scope="module")
def ipykernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def lab(ipykernel: str, server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_frontend(tmp_path_factory.mktemp("lab"), ipykernel, server) as lab:
        yield lab


@pytest.fixture(scope="module")
def shared_book(
    request: pytest.FixtureRequest, lab: Lab, ipykernel: str, browser: Profile
) -> Iterator[NotebookPage]:
    with opened(request.param, browser, lab, ipykernel) as book:
        yield book


@pytest.fixture
def book(shared_book: NotebookPage) -> Iterator[NotebookPage]:
    """A notebook in which nothing runs, neither before a test nor after it."""
    yield shared_book
    rest(shared_book)


def name(value: object) -> str:
    return getattr(value, "__name__", str(value))


on = partial(pytest.mark.parametrize, ("ipykernel", "shared_book"), indirect=True, ids=name)
when = partial(pytest.mark.parametrize, "state", ids=name)


def check_stop(book: NotebookPage, state: State, server: Demo) -> None:
    answer = state(book)
    assert server.seen()[-1]["state"] == "streaming"
    answer.get_by_role("button", name="Stop").click()
    server.until("closed")
    assert book.is_running(BUSY) == (state is busy)
    first = book.answer(WAITING if state is waiting else ANSWER)
    book.until(lambda: "stopped after" in answer.inner_text())
    book.until(lambda: "stopped after" in first.inner_text())
    assert BEGINNING in answer.inner_text()
    assert BEGINNING in first.inner_text()
    book.until(lambda: not book.is_running(WAITING))


@on([(NEWEST, NotebookPage)])
@when(IN_LAB)
def test_stop_in_jupyterlab(book: NotebookPage, state: State, server: Demo) -> None:
    check_stop(book, state, server)


@on([(NEWEST, NotebookPage)])
def test_a_press_is_enough(book: NotebookPage, server: Demo) -> None:
    """An answer above that grows can move the button before the release: that is no click."""
    idle(book).get_by_role("button", name="Stop").hover()
    book.page.mouse.down()
    book.page.mouse.move(0, 0)
    book.page.mouse.up()
    server.until("closed")
    book.until(lambda: "stopped after" in book.text(ANSWER))


@on([(NEWEST, NotebookPage)])
def test_a_page_reloaded_while_a_cell_runs_has_stop_when_that_ends(
    book: NotebookPage, server: Demo
) -> None:
    """JupyterLab asks the kernel for its widgets, and a kernel that runs a cell does not say."""
    busy(book)
    book.save()
    book.load()
    book.until(lambda: "Loading widget..." in book.text(ANSWER))
    book.page.get_by_text(f"{KERNEL['display_name']} |").wait_for()
    stop = book.answer(ANSWER).get_by_role("button", name="Stop")

    def shows_stop() -> bool:  # an interrupt before the page has its kernel does nothing
        book.interrupt()
        book.page.wait_for_timeout(3000)
        return stop.is_visible()

    book.until(shows_stop)
    stop.click()
    server.until("closed")
    book.until(lambda: "stopped after" in book.text(ANSWER))
    assert BEGINNING in book.text(ANSWER)


@on([(NEWEST, Notebook7Page)])
@when(IN_ANY)
def test_stop_in_notebook_7(book: NotebookPage, state: State, server: Demo) -> None:
    check_stop(book, state, server)


@on([(FIRST_SEVEN, NotebookPage)])
@when((busy, waiting))
def test_stop_on_kernels_that_use_subshells(book: NotebookPage, state: State, server: Demo) -> None:
    check_stop(book, state, server)


@on([(SIX, NotebookPage)])
def test_stop_on_ipykernel_6(book: NotebookPage, server: Demo) -> None:
    check_stop(book, idle, server)


@on([(SIX, NotebookPage)])
def test_ipykernel_6_hears_stop_when_the_running_cell_ends(
    book: NotebookPage, server: Demo
) -> None:
    busy(book).get_by_role("button", name="Stop").click()
    assert server.seen()[-1]["state"] == "streaming"
    book.interrupt()
    server.until("closed")
    book.until(lambda: "stopped after" in book.text(ANSWER))
    assert BEGINNING in book.text(ANSWER)


@on([(SIX, NotebookPage)])
def test_a_waiting_cell_is_live_on_ipykernel_6(book: NotebookPage, server: Demo) -> None:
    waiting(book)  # which has seen text in it
    assert server.seen()[-1]["state"] == "streaming"
    assert book.is_running(WAITING)


@on([(SIX, NotebookPage), (NEWEST, NotebookPage)])
def test_an_interrupt_stops_the_answer_that_a_cell_waits_for(
    book: NotebookPage, server: Demo
) -> None:
    book.run(WAITING)
    server.until("streaming")
    book.until(lambda: server.seen()[-1]["tokens"] > 60)
    book.interrupt()
    server.until("closed")
    book.until(lambda: "stopped after" in book.text(WAITING))
    assert BEGINNING in book.text(WAITING)
    book.until(lambda: "Interrupted: the answer was stopped" in book.text(WAITING))
