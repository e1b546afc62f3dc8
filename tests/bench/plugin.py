"""What the plugin costs, beside the same without it: ``python -m tests.bench.plugin``.

Of a notebook of 200 cells: the time from the page's start until it can be edited, and the work
of the page for one keystroke, in code and in a prompt.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import CDPSession, Page

from tests.support.lab import Lab, NotebookPage, running_browser, running_lab

from .table import Row, machine, number, table

ROUNDS = 5
KEYS = 60
CELLS = [f"value_{number} = [{number}, 'text'] * 2  # a line of code" for number in range(200)]
PROMPT = "%%groq\n" + "What is it, and why isn't it `that`? " * 20


def work(session: CDPSession) -> float:
    """Milliseconds of CPU of the page's main thread for its tasks so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1e3 * float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def per_key(page: Page, session: CDPSession, cell: int) -> float:
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(cell).click()
    page.keyboard.press("Control+End")
    page.wait_for_timeout(1000)
    before = work(session)
    for _ in range(KEYS):
        page.keyboard.press("x")
    page.evaluate("new Promise(requestAnimationFrame)")
    return (work(session) - before) / KEYS


def measure(lab: Lab) -> Iterator[tuple[float, float, float]]:
    """Per round: milliseconds until the notebook is there, and per key in a prompt and in code."""
    path = lab.write("cost.ipynb", PROMPT, *CELLS)
    with running_browser() as browser:
        for _ in range(ROUNDS):
            page = browser.new_page()
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            book = NotebookPage(page, lab, path)
            ready = page.evaluate("performance.now()") if book.is_idle() else float("nan")
            yield ready, per_key(page, session, 0), per_key(page, session, 1)
            page.close()


def measured(*, has_plugin: bool) -> list[float]:
    with (
        TemporaryDirectory() as folder,
        running_lab(Path(folder), {}, has_plugin=has_plugin) as lab,
    ):
        return [statistics.median(values) for values in zip(*measure(lab), strict=True)]


def main() -> None:
    root = Path(__file__).parents[2]
    files = [*(root / "jupyter-config/labextension/static").iterdir()]
    files += [root / "groq_magic/display" / name for name in ("dom.js", "controls.css")]
    sizes = sum(file.stat().st_size for file in files)
    with_it, without = measured(has_plugin=True), measured(has_plugin=False)
    whats = (
        "JupyterLab with a notebook of 200 cells: ready to run, ms",
        "a keystroke in a prompt of 700 characters: work of the page, ms",
        "a keystroke in code: work of the page, ms",
    )
    rows = [
        Row(what, number(one), [], f"without the plugin {number(other)}")
        for what, one, other in zip(whats, with_it, without, strict=True)
    ]
    print(f"{machine()}\n\n{table([Row('the plugin, KB', number(sizes / 1e3), [], ''), *rows])}")


if __name__ == "__main__":
    main()
