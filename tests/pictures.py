"""The README's pictures, made anew from a real JupyterLab: ``nox -s pictures``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, ViewportSize

from tests.support.demo import running_demo
from tests.support.lab import DARK, Lab, NotebookPage, running_browser, running_lab
from tests.support.notebooks import EXAMPLES, without_outputs

FOLDER = Path(__file__).parents[1] / "docs"
ASK = "%%groq\nExplain server-sent events to someone who knows HTTP."
SIZE: ViewportSize = {"width": 940, "height": 860}
FRAME_MS = 80
LAST_FRAME_MS = 3000
TOKENS_PER_SECOND = 90  # a slow model: at full speed there would be nothing to see


def main() -> None:
    """Two pictures for each of JupyterLab's themes: an answer that comes, a part of the tour."""
    FOLDER.mkdir(exist_ok=True)
    with running_browser() as browser:
        for theme, settings in (("light", {}), ("dark", DARK)):
            with _lab(settings) as lab, _page(browser) as page:
                _write_moving(FOLDER / f"streaming-{theme}.webp", _streaming(page, lab))
                _tour(page, lab).save(FOLDER / f"tour-{theme}.webp", quality=70, method=6)
    for path in sorted(FOLDER.glob("*.webp")):
        print(f"{path.name}: {path.stat().st_size // 1024} KB")


@contextmanager
def _lab(settings: dict[str, Any]) -> Iterator[Lab]:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(TOKENS_PER_SECOND) as server,
        running_lab(Path(folder), {"GROQ_BASE_URL": server.base_url}, settings) as lab,
    ):
        yield lab


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport=SIZE)
    yield page
    page.close()


Frame = tuple[float, Image.Image]
"""When it was taken, in seconds, and what was seen."""


def _streaming(page: Page, lab: Lab) -> list[Frame]:
    book = NotebookPage(page, lab, lab.write("hello.ipynb", ASK))
    page.keyboard.press("Control+b")  # the file browser is of no interest
    book.run(0)
    frames = [_frame(page)]
    while page.locator(".groq-stop").count() or "broadcast" not in book.text(0):
        page.wait_for_timeout(FRAME_MS)
        frames.append(_frame(page))
    return [*frames, _frame(page)]


def _tour(page: Page, lab: Lab) -> Image.Image:
    notebook = without_outputs(EXAMPLES, lab.folder / "notebooks" / "examples.ipynb")
    book = NotebookPage(page, lab, notebook)
    page.keyboard.press("Control+b")
    book.run_all()
    book.until(book.is_idle, 90)
    book.until(lambda: page.locator(".groq-stop").count() == 0, 90)
    heading = page.get_by_role("heading", name="Values in the prompt")
    for _ in range(3):  # what was out of sight gets its true height when it is drawn
        heading.evaluate("heading => heading.scrollIntoView()")
        page.wait_for_timeout(500)
    return _frame(page)[1]


def _frame(page: Page) -> Frame:
    panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").bounding_box()
    assert panel is not None
    clip: FloatRect = {**panel, "height": SIZE["height"] - panel["y"] - 24}
    return time.monotonic(), Image.open(BytesIO(page.screenshot(clip=clip)))


def _write_moving(path: Path, frames: list[Frame]) -> None:
    moments, images = zip(*frames, strict=True)
    lasted = [round(1000 * (b - a)) for a, b in pairwise(moments)]
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=[*lasted, LAST_FRAME_MS],
        loop=0,
        quality=60,
        method=6,
        minimize_size=True,
    )


if __name__ == "__main__":
    main()
