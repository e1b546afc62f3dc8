"""Widget state in a notebook from elsewhere: what anywidget does with it, see SECURITY.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as NotSeen

from tests.support.lab import Lab

TOKENS_PER_SECOND = 500.0
REPORT = Path(__file__).parents[2] / "docs" / "anywidget-trust.md"


@pytest.mark.xfail(
    raises=pytest.fail.Exception,
    reason="docs/anywidget-trust.md: anywidget imports code that a file brings",
)
def test_a_file_that_is_not_trusted_brings_no_code(lab: Lab, page: Page) -> None:
    case = re.findall(r"```json\n(.*?)```", REPORT.read_text("utf-8"), re.DOTALL)[0]
    (lab.folder / "notebooks" / "case.ipynb").write_text(case, "utf-8")
    page.goto(f"{lab.url}lab/tree/case.ipynb?reset")
    page.locator(".jp-Notebook").first.wait_for(timeout=60_000)
    page.locator("[title*='not trusted'], [title*='Not Trusted']").first.wait_for(timeout=60_000)
    try:
        page.wait_for_function("document.title.includes('has run')", timeout=30_000)
    except NotSeen:
        return
    pytest.fail("the code of the file has run")
