"""What the tests in the browser share.

A JupyterLab and a Chromium live for the whole package: each takes seconds to start, and the
first page of a new pair takes twice the time of the next ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

from tests.support.demo import Demo
from tests.support.hand import Hand
from tests.support.lab import Lab, Profile, launched_profile, running_lab
from tests.support.peer import Connection, peer


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """While its loop runs, no other test can run a loop of its own: hence not the session's."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Profile]:
    with launched_profile(playwright) as browser:
        yield browser


@pytest.fixture(scope="package")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab"), {}) as lab:
        yield lab


@pytest.fixture(scope="module")
def lab(server: Demo, shared_lab: Lab) -> Iterator[Lab]:
    """A JupyterLab whose kernels ask the module's server."""
    shared_lab.ask(server.base_url)
    yield shared_lab
    shared_lab.shut_down_kernels()


@pytest.fixture
def page(browser: Profile) -> Iterator[Page]:
    page = browser.take()
    yield page
    browser.give_back(page)


@pytest.fixture
def hand() -> Iterator[Hand]:
    with peer(Connection.until_closed) as server:
        yield Hand(server)
