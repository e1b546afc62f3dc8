"""Notebooks that tools run where nobody watches: the file, and what is made of the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from markdown_it import MarkdownIt
from nbconvert import HTMLExporter, MarkdownExporter, PythonExporter
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page

from tests.support.demo import running_demo
from tests.support.lab import KERNEL, Lab, Profile
from tests.support.notebooks import RUNNERS

STOPPED = """\
from groq_magic import stream
answer = stream("A long history of notebooks", model="demo/slow")
for number, _ in enumerate(answer):
    if number == 20:
        answer.stop()
answer"""
CELLS = {
    "done": "%%groq\nA python function for primes",
    "thought": "%%groq -m demo/reasoning -t 0.5 -s 'Be exact.'\nmath",
    "cut": "%%groq --max-tokens 60\nExplain server-sent events",
    "stopped": STOPPED,
    "failed": "%%groq -m demo/mid-stream-error\nmath",
}


class Saved(NamedTuple):
    """A notebook that was run, and what the server saw of it."""

    path: Path
    seen: list[dict[str, Any]]

    def outputs(self) -> dict[str, Any]:
        """The first output of each cell, by the cell's name."""
        cells = nbformat.read(self.path, as_version=4).cells
        sources = {cell.source: cell.outputs[0] for cell in cells if cell.cell_type == "code"}
        return {name: sources[source] for name, source in CELLS.items()}


@pytest.fixture(scope="module", params=RUNNERS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("saved")
    path = folder / "saved.ipynb"
    cells = [new_code_cell(source) for source in CELLS.values()]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    command = [sys.executable, "-m", *RUNNERS[request.param].format(path).split()]
    with running_demo(2000) as demo:
        environment = {"GROQ_BASE_URL": demo.base_url, "IPYTHONDIR": str(folder)}
        ran = subprocess.run(command, env={**os.environ, **environment}, timeout=120, check=False)
        assert ran.returncode == (request.param == "papermill")
        return Saved(path, demo.seen())


@pytest.fixture
def page(browser: Profile) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1100, "height": 4000})  # all cells are shown
    yield page
    page.close()


def shown(page: Page) -> dict[str, Locator]:
    """The answers on the page by the names of their cells, as soon as all are there."""
    page.locator(".groq-answer").nth(len(CELLS) - 1).wait_for()
    return dict(zip(CELLS, page.locator(".groq-answer").all(), strict=True))


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    return shared_lab


def test_the_file_is_valid_and_has_each_answer_as_html_and_text(saved: Saved) -> None:
    nbformat.validate(nbformat.read(saved.path, as_version=4))
    for output in saved.outputs().values():
        assert output.output_type == "display_data"
        assert set(output.data) == {"text/html", "text/plain"}
    plain = {name: output.data["text/plain"] for name, output in saved.outputs().items()}
    assert plain["done"].startswith("The sieve of Eratosthenes")
    assert plain["done"].endswith("one byte for each number.\n")
    assert plain["stopped"].startswith("# A short history")
    assert plain["failed"].startswith("### The Gaussian integral")


def test_the_metadata_say_how_each_answer_was_made(saved: Saved) -> None:
    states = ["done", "done", "done", "stopped", "failed"]
    for number, output in enumerate(saved.outputs().values()):
        made, seen = output.metadata["groq"], saved.seen[number]
        asked = {name: seen["body"][name] for name in seen["body"].keys() - {"messages", "stream"}}
        assert made["parameters"] == asked
        assert made["model"] == seen["body"]["model"]
        assert made["request_id"] == f"req_demo{number:06}"
        assert made["state"] == states[number]
        assert 0 < made["time_to_first_token"] <= made["seconds"]
        if made["state"] == "done":
            assert made["usage"]["completion_tokens"] == seen["tokens"]


def test_the_metadata_say_why_each_answer_ended(saved: Saved) -> None:
    made = {name: output.metadata["groq"] for name, output in saved.outputs().items()}
    assert made["done"]["finish_reason"] == made["thought"]["finish_reason"] == "stop"
    assert made["cut"]["finish_reason"] == "length"
    assert made["failed"]["error"] == "The model is over capacity. Run the cell again."
    assert "usage" not in made["stopped"]


def test_as_html_it_reads_as_in_the_notebook(saved: Saved, page: Page) -> None:
    html, _ = HTMLExporter().from_filename(str(saved.path))
    page.set_content(html, wait_until="commit")  # the page's scripts are somewhere in the net
    answers = shown(page)
    assert "list[int]:\n" in answers["done"].locator("pre code").inner_text()
    assert answers["done"].locator("p code").first.inner_text() == "n"
    assert answers["thought"].locator("h3").inner_text() == "The Gaussian integral"
    assert answers["thought"].locator("summary").inner_text().startswith("Thought")
    assert answers["cut"].locator("strong").inner_text() == "never has to end"
    assert "Cut at 60 tokens." in answers["cut"].inner_text()
    assert "stopped after" in answers["stopped"].inner_text()
    assert "Failed. The model is over capacity." in answers["failed"].inner_text()


def test_as_markdown_it_is_the_same_once_rendered(saved: Saved, page: Page) -> None:
    """Exported as HTML within Markdown, where a blank line would end the HTML."""
    markdown, _ = MarkdownExporter().from_filename(str(saved.path))
    page.set_content(MarkdownIt("commonmark").render(markdown), wait_until="commit")
    answers = shown(page)
    text = saved.outputs()["done"].data["text/plain"]
    code = text.partition("```python\n")[2].partition("```")[0]
    assert answers["done"].locator("pre code").evaluate("e => e.textContent") == code
    assert answers["done"].locator("p").last.inner_text().startswith("It crosses out")
    assert "Failed." in answers["failed"].inner_text()


def test_as_a_script_it_has_the_cells(saved: Saved) -> None:
    script, _ = PythonExporter().from_filename(str(saved.path))
    compile(script, "saved.py", "exec")
    assert "run_cell_magic('groq', '--max-tokens 60', 'Explain server-sent events\\n')" in script
    assert STOPPED in script


@pytest.mark.parametrize("saved", ["execute"], indirect=True)
def test_reopened_where_there_is_no_kernel_all_is_there(saved: Saved, lab: Lab, page: Page) -> None:
    """It comes from elsewhere: JupyterLab trusts none of its HTML."""
    notebook = nbformat.read(saved.path, as_version=4)
    gone = {"name": "gone", "display_name": "Gone", "language": "gone"}
    notebook.metadata = {"kernelspec": gone, "language_info": {"name": "gone"}}
    nbformat.write(notebook, lab.folder / "notebooks" / "reopened.ipynb")
    page.goto(f"{lab.url}lab/tree/reopened.ipynb?reset")
    dialog = page.locator(".jp-Dialog")
    dialog.get_by_role("button", name="No Kernel").click(timeout=60_000)
    answers = shown(page)
    assert answers["done"].locator("pre code .k").first.inner_text() == "def"
    assert answers["done"].locator("p").last.inner_text().startswith("It crosses out")
    assert answers["thought"].locator("mjx-container").first.is_visible()
    assert "Cut at 60 tokens." in answers["cut"].inner_text()
    assert "stopped after" in answers["stopped"].inner_text()
    assert "Failed. The model is over capacity." in answers["failed"].inner_text()
    colour = "e => getComputedStyle(e).color"
    dots = {name: one.locator("span").first.evaluate(colour) for name, one in answers.items()}
    assert len({dots["done"], dots["stopped"], dots["failed"]}) == 3
    assert page.get_by_text("model not found").count() == 0
    assert page.locator(".jupyter-widgets").count() == 0
    assert page.locator(".groq-answer :is(img, script, style, iframe)").count() == 0
    assert page.locator(".groq-answer button:not(.groq-button)").count() == 0
