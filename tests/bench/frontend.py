"""The live view beside the usual ways, in a real frontend: ``python -m tests.bench.frontend``.

The same answers of the demo server are shown by ours, by ``update_display(Markdown(all))``
for each delta, and by ``widgets.HTML.value = all`` for each delta. The page itself takes
the times: of its frames, of its long tasks, and of when the end of the text was there.
Browser, server and kernel share this machine, and the measuring itself costs some. The same
way shows a small answer first, whose output is cleared again, so that what the kernel imports
once is not counted as the answer's CPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import psutil
from nbformat.v4 import new_markdown_cell
from playwright.sync_api import Browser, Page

from groq_magic.demo.answers import tokens_of
from groq_magic.markdown import render
from tests.support.demo import Demo, running_demo
from tests.support.lab import PAGES, Lab, NotebookPage, running_browser, running_lab

PLAIN = "Explain server-sent events"  # headings, a table, code
MATH = "More"  # all there is, and a formula for every 140 tokens
WARM_UP = 400  # tokens: a table, code and a list

SET_UP = """
import os, threading
import ipywidgets
from IPython.display import Markdown, display
from groq_magic import stream
print("pid", os.getpid())
PROMPT = {prompt!r}
def asked(tokens):
    return stream(PROMPT, model="demo/long", max_completion_tokens=tokens)
def by_update_display(tokens):
    handle = display(Markdown(""), display_id=True)
    follow(tokens, lambda text: handle.update(Markdown(text)))
def by_html_widget(tokens):
    from groq_magic.markdown import render
    widget = ipywidgets.HTML()
    display(widget)
    follow(tokens, lambda text: setattr(widget, "value", render(text)))
def follow(tokens, show):
    def run():
        text = ""
        for delta in asked(tokens):
            text += delta
            show(text)
    threading.Thread(target=run).start()
"""

WAYS = {
    "ours": "%%groq -m demo/long --max-tokens {tokens}\n{prompt}",
    "update_display": "by_update_display({tokens})",
    "widgets.HTML": "by_html_widget({tokens})",
}

# Where the text is.
CONTENT = {
    "ours": ".groq-answer .jp-RenderedMarkdown",
    "update_display": ".jp-OutputArea .jp-RenderedMarkdown",
    "widgets.HTML": ".jp-OutputArea .widget-html-content",
}

# Watches the last cell's output from now on.
WATCH = """
(content) => {
  const watch = window.watch = {frames: [], tasks: [], first: null, complete: null, live: null};
  const now = () => performance.timeOrigin + performance.now();
  // The last element's text is enough to know the end by; all of it would disturb.
  const last = () => [...document.querySelectorAll(content)].at(-1)?.lastElementChild;
  let before = performance.now();
  const frame = (at) => {
    watch.frames.push([now(), at - before]);
    before = at;
    if (watch.first === null && last()) watch.first = now();
    if (!watch.over) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  watch.timer = setInterval(() => {
    const isComplete = /The end\\.\\s*$/.test(last()?.textContent ?? "");
    if (watch.complete === null && isComplete) watch.complete = now();
  }, 25);
  // The live text of the view that has ended; the swap takes it out as it is. What lost
  // batches would have left out is missing there for good: the static output has it all.
  watch.observer = new MutationObserver((changes) => {
    const root = changes.find(({target}) => target.dataset.state === "done")?.target;
    watch.live ??= root?.querySelector(".groq-text") ?? null;
  });
  watch.observer.observe(document, {subtree: true, attributeFilter: ["data-state"]});
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) {
      watch.tasks.push([performance.timeOrigin + task.startTime, task.duration]);
    }
  }).observe({type: "longtask"});
}
"""

STOP_WATCHING = """
() => {
  const {timer, observer, frames, tasks, first, complete} = window.watch;
  window.watch.over = true;
  clearInterval(timer);
  observer.disconnect();
  return {frames, tasks, first, complete};
}
"""

# Whether the text was the answer's to the letter, live and as it stays. Formulas are compared by
# their source, which of what the notebook itself has typeset is gone; the line breaks between
# blocks, which nobody sees, are not.
TEXT = """
(html) => {
  const BLOCKS = "div, blockquote, ul, ol, li, table, thead, tbody, tr";
  const expected = document.createElement("div");
  expected.innerHTML = html;
  const textOf = (node, formulas) => {
    const text = node.cloneNode(true);
    text.querySelectorAll(".mathjax_process").forEach((formula) => {
      formula.textContent = formulas ? formula.dataset.source ?? formula.textContent : "";
    });
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    const parts = [];
    while (walker.nextNode()) {
      const {data, parentNode} = walker.currentNode;
      if (data !== "\\n" || !parentNode.matches(BLOCKS)) parts.push(data);
    }
    return parts.join("");
  };
  const still = [...document.querySelectorAll(".groq-answer .jp-RenderedMarkdown")].at(-1);
  const {live} = window.watch;
  if (!live || textOf(live, true) !== textOf(expected, true)) return "WRONG live";
  return textOf(still, false) === textOf(expected, false) ? "exact" : "WRONG static";
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--tokens", nargs="+", type=int, default=[2_000, 8_000, 32_000])
    parser.add_argument("--rates", nargs="+", type=int, default=[1000, 3000])
    parser.add_argument("--prompts", nargs="+", default=[PLAIN, MATH])
    parser.add_argument("--patience", type=float, default=60, help="seconds behind the end")
    parser.add_argument("--page", default="JupyterLab", choices=PAGES)
    options = parser.parse_args()
    with running_browser() as browser:
        for rate in options.rates:
            with running_demo(rate) as server:
                for prompt, tokens, way in product(options.prompts, options.tokens, options.ways):
                    kind = PAGES[options.page]
                    case = Case(way, prompt, tokens, options.patience, kind)
                    figures = run(browser, server, case)
                    show(way, prompt, tokens, rate, figures)


class Case(NamedTuple):
    way: str
    prompt: str
    tokens: int
    patience: float
    kind: type[NotebookPage] = NotebookPage


def run(browser: Browser, server: Demo, case: Case) -> dict[str, float | str]:
    """One answer in a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"GROQ_BASE_URL": server.base_url}
        with running_lab(Path(folder), environment) as lab:
            page = browser.new_page(viewport={"width": 1100, "height": 1400})
            try:
                return measure(page, lab, server, case)
            finally:
                page.close()


def measure(page: Page, lab: Lab, server: Demo, case: Case) -> dict[str, float | str]:
    warm_up, ask = (
        WAYS[case.way].format(tokens=tokens, prompt=case.prompt)
        for tokens in (WARM_UP, case.tokens)
    )
    path = lab.write("bench.ipynb", SET_UP.replace("{prompt!r}", repr(case.prompt)), warm_up, ask)
    with_heading(path)
    book = case.kind(page, lab, path)
    book.run(0)
    book.until(lambda: "pid" in book.text(0))
    kernel = psutil.Process(int(book.text(0).split()[1]))
    show_all(book, 1)
    book.clear_outputs()
    page.evaluate(WATCH, CONTENT[case.way])
    requests = len(server.seen())
    cpu = sum(kernel.cpu_times()[:2])
    book.run(2)
    ended = server.until("done", requests, timeout=600)
    cpu = sum(kernel.cpu_times()[:2]) - cpu
    wait(page, ended["ended_at"] + case.patience)
    page.wait_for_timeout(1500)  # the swap, and what comes behind it
    book.until(lambda: page.locator(".groq-stop").count() == 0)
    watched = page.evaluate(STOP_WATCHING)
    return figures(watched, ended, cpu) | {"text": is_exact(page, case)}


def first_paints(browser: Browser, server: Demo, rounds: int) -> list[float]:
    """Milliseconds from the first byte to the first paint, where the view has been there before.

    The answers of the other figures begin at once, as none from afar does, and their first
    paint is the notebook's as it makes a widget. These here have waited for a rate limit.
    """
    environment = {"GROQ_BASE_URL": server.base_url}
    with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder), environment) as lab:
        page = browser.new_page(viewport={"width": 1100, "height": 1400})
        cell = f"%%groq -m demo/rate-limit\n{PLAIN}"
        book = NotebookPage(page, lab, lab.write("first.ipynb", *[cell] * rounds))
        taken = [first_paint(book, server, number) for number in range(rounds)]
        page.close()
    return taken


def first_paint(book: NotebookPage, server: Demo, number: int) -> float:
    book.page.evaluate(WATCH, CONTENT["ours"])
    book.run(number)
    book.until(lambda: book.page.evaluate("window.watch.first") is not None)
    first = float(book.page.evaluate(STOP_WATCHING)["first"])
    book.until(lambda: book.page.locator(".groq-stop").count() == 0)
    book.clear_outputs()
    return first - float(server.seen()[-1]["began_at"]) * 1e3


def show_all(book: NotebookPage, number: int) -> None:
    """Run a cell until its whole answer is there, as it stays."""
    book.run(number)
    book.until(lambda: "The end." in book.text(number), 60)
    book.until(lambda: book.page.locator(".groq-stop").count() == 0)
    book.until_idle()


def with_heading(path: Path) -> None:
    """Nearly every notebook has text cells, and has MathJax loaded because of them."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, new_markdown_cell("# A benchmark"))
    nbformat.write(notebook, path)


def wait(page: Page, deadline: float) -> None:
    while page.evaluate("window.watch.complete") is None and time.time() < deadline:
        page.wait_for_timeout(100)


def is_exact(page: Page, case: Case) -> str:
    if case.way != "ours":
        return ""
    messages = [{"content": case.prompt}]
    body = {"messages": messages, "max_completion_tokens": case.tokens}
    text = "".join(token for _, token in tokens_of("demo/long", body)[0])
    return str(page.evaluate(TEXT, render(text)))


def figures(watched: dict[str, Any], ended: dict[str, Any], cpu: float) -> dict[str, float | str]:
    begun, end = ended["began_at"] * 1e3, ended["ended_at"] * 1e3
    frames = sorted(length for at, length in watched["frames"] if begun < at < end)
    streaming = [length for at, length in watched["tasks"] if begun < at < end]
    swap = [length for at, length in watched["tasks"] if at >= end]
    complete = watched["complete"]
    return {
        "first ms": (watched["first"] or float("nan")) - begun,
        "lag s": float("nan") if complete is None else (complete - end) / 1e3,
        "frame p50 ms": statistics.median(frames),
        "frame p95 ms": frames[len(frames) * 95 // 100],
        "longest task ms": max(streaming, default=0.0),
        "at the swap ms": max(swap, default=0.0),
        "kernel CPU %": cpu / ((end - begun) / 1e3) * 100,
    }


def show(way: str, prompt: str, tokens: int, rate: int, figures: dict[str, float | str]) -> None:
    """A line of the table; nan is what had not come when patience ended."""
    values = ", ".join(
        f"{name} {value}" if isinstance(value, str) else f"{name} {value:.1f}"
        for name, value in figures.items()
    )
    print(f"{way}, {prompt!r}, {tokens:,} tokens at {rate:,}/s: {values}", flush=True)


if __name__ == "__main__":
    main()
