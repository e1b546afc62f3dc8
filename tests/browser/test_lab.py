"""What people see: a real JupyterLab in a real Chromium, answers of the demo server."""

from __future__ import annotations

from pathlib import Path

import nbformat
from playwright.sync_api import Page

from tests.support.attacks import ATTACKS
from tests.support.demo import Demo
from tests.support.lab import Lab, NotebookPage, Profile, running_lab
from tests.support.notebooks import EXAMPLES, without_outputs

TOKENS_PER_SECOND = 60


def test_the_whole_path(lab: Lab, page: Page, server: Demo) -> None:
    path = lab.write(
        "path.ipynb",
        "%%groq -m demo/slow\nExplain server-sent events",
        "print(6 * 7)",
        "%%groq -m demo/slow\nA long history of notebooks",
    )
    book = NotebookPage(page, lab, path)

    # It streams, formatted, while the kernel is idle and runs another cell.
    book.run(0)
    book.until(lambda: book.answer(0).locator("pre code").count() > 0)
    assert server.seen()[0]["state"] == "streaming"
    assert book.is_idle()
    assert book.answer(0).locator("h2").inner_text() == "Server-sent events"
    assert book.answer(0).locator("table td code").first.inner_text() == "data"
    assert "##" not in book.text(0)
    before = len(book.text(0))
    book.run(1)
    book.until(lambda: "42" in book.text(1))
    book.until(lambda: len(book.text(0)) > before)
    assert server.seen()[0]["state"] == "streaming"

    # Stop ends the second one, upstream too, and keeps its text.
    book.run(2)
    book.until(lambda: "A short history" in book.text(2))
    assert book.answer(2).get_by_role("button", name="Stop").is_enabled()
    book.answer(2).get_by_role("button", name="Stop").click()
    server.until("closed", 1)
    book.until(lambda: "stopped after" in book.text(2))

    # Both are static in the end, on the screen and in the file, and after a reload.
    book.until(lambda: book.page.locator(".groq-stop").count() == 0)
    assert server.until("done", 0)["tokens"] > 300
    shown, kept = book.text(0), book.text(2)
    assert "A short history" in kept
    saved = book.save()
    for cell, state in ((0, "done"), (2, "stopped")):
        (output,) = saved["cells"][cell]["outputs"]
        assert set(output["data"]) == {"text/html", "text/plain"}
        assert output["metadata"]["groq"]["state"] == state
    assert saved["cells"][2]["outputs"][0]["data"]["text/plain"].startswith("# A short history")
    book.open()
    assert (book.text(0), book.text(2)) == (shown, kept)
    assert "widgets" not in saved["metadata"]


def test_the_tour_runs_from_top_to_bottom(browser: Profile, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 6000})
    with running_lab(tmp_path, {}) as lab:  # no key and no base URL, as on a new machine
        path = without_outputs(EXAMPLES, lab.folder / "notebooks" / "examples.ipynb")
        book = NotebookPage(page, lab, path)
        book.run_all()
        book.until(lambda: page.locator(".groq-stop").count() > 0)
        book.until(lambda: page.locator(".groq-answer").count() == 12, 60)
        book.until(lambda: page.locator(".groq-stop").count() == 0)
        book.until(lambda: page.get_by_text("[*]:").count() == 0)
        cells = book.save()["cells"]
    page.close()
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    states = [o["metadata"]["groq"]["state"] for o in outputs if "groq" in o.get("metadata", {})]
    assert states == ["done"] * 12
    assert [output for output in outputs if output["output_type"] == "error"] == []


def test_what_a_model_writes_does_not_run(lab: Lab, page: Page) -> None:
    attack = "<img src=x onerror=window.canary=1> [x](javascript:window.canary=1)"
    path = lab.write(
        "attack.ipynb",
        "from groq_magic.answer import Answer; from groq_magic.wire.protocol import Chunk, Delta\n"
        "from groq_magic.display.show import show; import asyncio\n"
        "async def source():\n"
        f"    yield Chunk(Delta({attack!r}), model={attack!r})\n"
        "    await asyncio.sleep(0.5)\n"
        "    yield Chunk(Delta(reasoning='<script>canary = 1</script>'), finish_reason='stop')\n"
        "answer = Answer(source()).start(); show(answer); None",
    )
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    book = NotebookPage(page, lab, path)
    book.run(0)
    book.until(lambda: "onerror" in book.text(0))
    book.until(lambda: book.page.locator(".groq-stop").count() == 0)
    assert book.page.evaluate("window.canary") is None
    assert book.answer(0).locator("img, script, a").count() == 0
    assert all(url.startswith((lab.url, "data:", "blob:")) for url in requests)


FRAME = """\
import pandas as pd
import matplotlib.pyplot as plt
sales = pd.DataFrame({"city": ["Oslo", "Rome"], "sold": [3, 22]})
figure = sales.plot("city", kind="bar").figure
"""


def test_a_table_and_a_figure_in_a_prompt(lab: Lab, page: Page, server: Demo) -> None:
    sees = "%%groq -c -m qwen/qwen3.8-27b"
    cells = [FRAME, f"{sees}\nName cats by {{{{ sales }}}}\nand {{{{ figure }}}}", f"{sees}\nmath"]
    book = NotebookPage(page, lab, lab.write("values.ipynb", *cells))
    before = len(server.seen())
    book.run_all()
    book.until(lambda: "Turn 2 of chat." in book.text(2), 60)
    book.until(lambda: page.locator(".groq-stop").count() == 0)
    first, second = (entry["body"]["messages"] for entry in server.seen()[before:])
    text, image = first[0]["content"]
    table = "|  | city | sold |\n| --- | --- | --- |\n| 0 | Oslo | 3 |\n| 1 | Rome | 22 |"
    assert text["text"] == f"Name cats by \n\n{table}\nand [image 1]"
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert second[0] == first[0]
    assert "Semicolon" in second[1]["content"]
    assert "Turn 1 of chat." in book.text(1)
    book.run(1)  # again: JupyterLab names the cell, and so its turn is replaced
    book.until(lambda: "which replaces this cell's earlier turn; turn 2 is dropped" in book.text(1))


def test_the_file_is_valid_in_each_state_and_keeps_no_variable(
    lab: Lab, page: Page, server: Demo
) -> None:
    secret = "my-marker"  # which no cell's source says
    asked = "for {{ secret }}"
    cells = [
        "secret = 'my marker'.replace(' ', '-')",
        f"%%groq\nThree cats {asked}",
        f"%%groq --max-tokens 30\nThree cats {asked}",
        f"%%groq -m demo/mid-stream-error\nThree cats {asked}",
        f"%%groq -m demo/reasoning\nThree cats {asked}",
        f"%%groq -m demo/slow\nA long history {asked}",
        f"%%groq -m demo/slow\nA long history {asked}",
    ]
    book = NotebookPage(page, lab, lab.write("states.ipynb", *cells))
    before = len(server.seen())
    book.run_all()
    book.until(lambda: "A short history" in book.text(5) and "A short history" in book.text(6))
    book.answer(5).get_by_role("button", name="Stop").click()
    book.until(lambda: page.locator(".groq-stop").count() == 1)
    saved = book.save()
    book.answer(6).get_by_role("button", name="Stop").click()
    nbformat.validate(nbformat.from_dict(saved))
    *_, running = outputs = [cell["outputs"][0] for cell in saved["cells"][1:]]
    states = [output["metadata"]["groq"]["state"] for output in outputs[:-1]]
    assert states == ["done", "done", "failed", "done", "stopped"]
    assert "application/vnd.jupyter.widget-view+json" in running["data"]
    bodies = [seen["body"] for seen in server.seen()[before:]]
    assert all(secret in str(body["messages"]) for body in bodies)
    assert secret not in book.path.read_text("utf-8")


NAMES = """() => [...document.querySelectorAll(".jp-OutputArea-output *")].flatMap(
  node => node.getAttributeNames())"""


def test_no_attack_gets_through(lab: Lab, page: Page) -> None:
    page.set_viewport_size({"width": 1100, "height": 30_000})  # all cells are shown
    cells = [
        "from groq_magic.markdown import render\n"
        "from IPython.display import display\n"
        f"for attack in {ATTACKS[first : first + 40]!r}:\n"  # JupyterLab shows 50 outputs at most
        "    html = f'<div class=mathjax_ignore>{render(attack)}</div>'\n"  # as in an answer
        "    display({'text/html': html}, raw=True)\n"
        for first in range(0, len(ATTACKS), 40)
    ]
    path = lab.write("rendered.ipynb", *cells, "print('all shown')")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    book = NotebookPage(page, lab, path)
    book.run_all()
    book.until(lambda: "all shown" in book.text(len(cells)), 30)
    page.wait_for_timeout(500)  # what was to run has run
    assert page.evaluate("window.canary") is None
    book.save()
    book.open()
    book.until(lambda: "all shown" in book.text(len(cells)), 30)
    page.wait_for_timeout(500)
    assert page.evaluate("window.canary") is None
    shown = page.locator(".jp-OutputArea-output")
    assert shown.locator("script, iframe, object, embed, form, video, style").count() == 0
    assert shown.locator("img, [href^='javascript' i]").count() == 0
    names = set(page.evaluate(NAMES))
    assert "class" in names
    assert [name for name in names if name.startswith("on")] == []
    assert all(url.startswith((lab.url, "data:", "blob:")) for url in requests)


def test_no_formula_changes_another(lab: Lab, page: Page) -> None:
    """MathJax keeps macros for the whole page."""
    show = "display({'text/html': render(%r)}, raw=True)"
    first = "from groq_magic.markdown import render; from IPython.display import display\n"
    first += show % r"$\let\le\ge \def\sin{\cos}$"
    book = NotebookPage(page, lab, lab.write("macros.ipynb", first, show % r"$\sin x \le 1$"))
    book.run(0)
    book.until(lambda: page.locator(".jp-OutputArea-output code").count() == 1, 30)
    book.run(1)
    book.until(lambda: page.locator("mjx-container").count() == 1, 30)
    glyphs = page.locator("mjx-container .mjx-c2264, mjx-container .mjx-c2265")
    assert [one.get_attribute("class") for one in glyphs.all()] == ["mjx-c2264"]


def test_code_goes_into_a_new_cell_below(lab: Lab, page: Page) -> None:
    path = lab.write("code.ipynb", "%%groq --wait\nA function for primes", "%groq code", "'last'")
    book = NotebookPage(page, lab, path)
    book.run_all()
    book.until(lambda: "last" in book.text(3))
    sources = [cell["source"] for cell in book.save()["cells"]]
    assert sources[2].startswith('def primes(limit: int) -> list[int]:\n    """All primes')
    assert sources[2] == book.answer(0).locator("pre code").first.inner_text().removesuffix("\n")
    assert sources[3] == "'last'"
    book.run(2)
    book.until(lambda: "[2, 3, 5, 7, 11" in book.text(2))


def test_the_models_are_a_table_in_the_colours_of_the_theme(lab: Lab, page: Page) -> None:
    path = lab.write("models.ipynb", "%groq models", "%groq")
    book = NotebookPage(page, lab, path)
    book.run_all()
    book.until(lambda: book.page.locator(".groq-table").count() == 2)
    models = book.cell(0).locator(".groq-table")
    assert models.locator("thead th").all_inner_texts()[:2] == ["Model", "Context"]
    rows = models.locator("tbody tr").all_inner_texts()
    assert len(rows) == 15
    assert "openai/gpt-oss-120b\t131,072\t65,536\t0.15\t0.60\tOpenAI" in rows
    # One line for each model, its numbers under each other.
    assert models.locator("tbody").evaluate("e => e.offsetHeight") < 15 * 40
    right = (
        "e => [...e.querySelectorAll('td:nth-child(4)')].map(c => getComputedStyle(c).textAlign)"
    )
    assert set(models.locator("tbody").evaluate(right)) == {"right"}
    colour = "e => getComputedStyle(e.querySelector('td')).color"
    theme = "() => getComputedStyle(document.querySelector('.jp-RenderedHTMLCommon')).color"
    assert models.evaluate(colour) == book.page.evaluate(theme)
    assert "Server" in book.text(1)
