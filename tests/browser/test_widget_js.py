"""The browser's half follows the kernel's: `widget.js` in a real Chromium."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright

from groq_magic.display import widget as live
from groq_magic.markdown import StreamingMarkdown
from tests.support.commonmark import examples
from tests.support.lab import launched_browser
from tests.support.markdown import FRAGMENTS, SAMPLE, cut, small_limits

STATUS = {"state": "streaming", "header": "", "thinking": False, "thought": "", "note": ""}

# What each page has: the view on a model, and messages of a kernel whose answer streams.
PAGE = """
window.mount = async (el, model = {}) => {
  const url = URL.createObjectURL(new Blob([%s], {type: "text/javascript"}));
  const view = (await import(url)).default;
  const hears = {};
  const on = (name, heard) => { hears[name] = heard; };
  const given = {on, off: () => {}, get: () => null, send: () => {}, ...model};
  const unmount = view.render({model: given, el});
  return {hears, hear: (message) => hears["msg:custom"](message), unmount};
};
window.nothing = {settled: [], open: "", inner: 0, tail: "", parts: [""]};
window.streaming = {state: "streaming", header: "", thinking: false, thought: "", note: ""};
window.snapshot = (text, status = streaming, n = 0) =>
  ({type: "snapshot", n, text: {...nothing, ...text}, reasoning: nothing, status});
window.batch = (n, text, status = streaming) => ({type: "batch", n, text, reasoning: [], status});
window.lines = (count) => [...Array(count)].map(() => ["settle", "<p>A line.</p>"]);
window.painted = () =>
  new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
"""

# Gives the view these messages, and says where it shows another thing.
FOLLOW = """
async (messages) => {
  const el = document.createElement("div");
  const expected = document.createElement("div");
  const blocks = (text) => {
    const copy = text.cloneNode(true);
    copy.querySelectorAll(".groq-buttons").forEach((buttons) => buttons.remove());
    return [...copy.children].map((block) => block.outerHTML).join("\\n");
  };
  const asked = [];
  const {hear, unmount} = await mount(el, {send: ({type}) => asked.push(type)});
  try {
    for (const [number, [message, html]] of messages.entries()) {
      asked.length = 0;
      hear(message);
      if (html === null) {
        if (!asked.includes("snapshot")) return `${number}: a gap, and no snapshot was asked for`;
        continue;
      }
      expected.innerHTML = html;
      for (const place of [".groq-text", ".groq-reasoning"]) {
        const shown = blocks(el.querySelector(place));
        if (shown !== blocks(expected)) return `${number}: ${shown} is not ${blocks(expected)}`;
      }
    }
  } finally {
    unmount();
  }
  return "";
}
"""


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One without a profile: a clock is that of all pages of a context."""
    with launched_browser(playwright) as browser:
        yield browser


def new_page(browser: Browser) -> Page:
    page = browser.new_page()
    page.add_init_script(PAGE % json.dumps(str(live.AnswerWidget._esm)))
    page.goto("about:blank")
    return page


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    return new_page(browser)


class Kernel:
    """The messages of a kernel to a view, each with what is then to be seen."""

    def __init__(self) -> None:
        self.markdown = StreamingMarkdown()
        self.messages: list[tuple[dict[str, Any], str | None]] = []
        self._number = 0

    def batch(
        self, operations: list[Any], *, is_lost: bool = False, is_doubled: bool = False
    ) -> None:
        self._number += 1
        message = self._message("batch", text=operations, reasoning=operations)
        self.messages += [(message, self.markdown.html)] * (1 + is_doubled)

    def gap(self) -> None:
        """A batch is lost, the next one shows it, and a snapshot mends it."""
        self._number += 2
        self.messages.append((self._message("batch", text=[], reasoning=[]), None))
        self.snapshot()

    def late(self) -> None:
        """The last batch comes before the one it follows; a snapshot mends it."""
        *_, before, first, last = [message for message, _ in self.messages[-3:]]
        if (before["n"] + 2, "batch", "batch") == (last["n"], first["type"], last["type"]):
            self.messages.insert(-1, (self.messages.pop()[0], None))
            self.snapshot()

    def snapshot(self) -> None:
        shown = self.markdown.snapshot()
        message = self._message("snapshot", text=shown, reasoning=shown)
        self.messages.append((message, self.markdown.html))

    def _message(self, kind: str, **content: Any) -> dict[str, Any]:
        return {"type": kind, "n": self._number, "status": STATUS, **content}


def documents() -> Iterator[str]:
    yield SAMPLE
    for seed in range(60):
        chance = random.Random(seed)
        some = [*examples(), *FRAGMENTS * 20] if seed % 2 else FRAGMENTS
        yield "".join(chance.choices(some, k=chance.randint(3, 25)))


@pytest.mark.parametrize("limits", [nullcontext, small_limits])
def test_the_screen_shows_what_the_kernel_has(page: Page, limits: Any) -> None:
    with limits():
        follow_documents(page)


def follow_documents(page: Page) -> None:
    for seed, text in enumerate(documents()):
        chance = random.Random(seed)
        kernel = Kernel()
        kernel.snapshot()
        for piece in cut(text, chance, chance.choice([3, 20, 60])):
            kernel.markdown.feed(piece)
            kernel.batch(kernel.markdown.flush(), is_doubled=chance.random() < 0.05)
            if chance.random() < 0.05:
                kernel.gap()
            if len(kernel.messages) > 2 and chance.random() < 0.05:
                kernel.late()
        kernel.batch(kernel.markdown.close())
        assert page.evaluate(FOLLOW, kernel.messages) == "", text


# Gives the view that early state, and says what is there at once.
EARLY = """
async ({message, before}) => {
  const el = document.createElement("div");
  const asked = [];
  let state = before ? message : null;
  const model = {get: () => state, send: ({type}) => asked.push(type)};
  const {hears, unmount} = await mount(el, model);
  if (!before) { state = message; hears["change:early"](); }
  state = null;
  hears["change:early"]();
  const text = el.querySelector(".groq-text").textContent;
  unmount();
  return [text, asked];
}
"""


@pytest.mark.parametrize("before", [True, False])
def test_what_came_before_a_view_is_shown_and_the_rest_is_asked_for(
    page: Page, *, before: bool
) -> None:
    kernel = Kernel()
    kernel.markdown.feed("First words")
    kernel.batch(kernel.markdown.flush())
    kernel.snapshot()
    early = {"message": kernel.messages[-1][0], "before": before}
    assert page.evaluate(EARLY, early) == ["First words\n", ["snapshot"]]


# Keeps the types of what the view sends, and clicks Stop.
CLICK = """
async () => {
  const el = document.createElement("div");
  window.sent = [];
  window.hear = (await mount(el, {send: ({type}) => window.sent.push(type)})).hear;
  el.querySelector(".groq-stop").click();
}
"""


def test_a_stop_is_sent_until_the_answer_is_seen_to_have_ended(browser: Browser) -> None:
    """A snapshot is no sign of that: it may answer what was asked before, or another view."""
    kernel = Kernel()
    kernel.snapshot()
    (streaming, _), *_ = kernel.messages
    stopped = {**streaming, "status": {**STATUS, "state": "stopped"}}
    page = new_page(browser)
    page.clock.install()
    page.evaluate(CLICK)
    for message, is_sent_again in ((streaming, True), (stopped, False)):
        page.evaluate("message => { sent = []; hear(message); }", message)
        page.clock.run_for(1000)
        assert page.evaluate("sent.includes('stop')") is is_sent_again
    page.close()


# Mounts the view in a notebook with a picture, and with its own output.
NOTEBOOK = """
async () => {
  const widget = {"application/vnd.jupyter.widget-view+json": {model_id: "ours"}};
  window.shown = [{data: {"image/png": "a picture"}}, {data: widget}];
  const outputs = {
    length: 2, get: (index) => shown[index], set: (index, output) => { shown[index] = output; },
  };
  window.isDead = false;
  window.sent = [];
  window.early = null;
  const send = ({type, view}) => {
    if (isDead) throw new Error("Cannot send");
    sent.push(type);
    window.view = view;
  };
  window.awareness = {clientID: 1, getStates: () => new Map([[1, {}], [2, {}]])};
  const model = {cells: [{outputs}, {}], sharedModel: {awareness}};
  const widget_manager = {context: {model}};
  window.el = document.createElement("div");
  window.hear = (await mount(el, {get: () => early, send, widget_manager})).hears;
}
"""


@pytest.fixture
def notebook(browser: Browser) -> Iterator[Page]:
    page = new_page(browser)
    page.clock.install()
    page.evaluate(NOTEBOOK)
    yield page
    page.close()


def tell(page: Page, state: str) -> None:
    kernel = Kernel()
    kernel.markdown.feed("**Some** text")
    kernel.markdown.flush()
    kernel.snapshot()
    status = {**STATUS, "state": state}
    message = {**kernel.messages[0][0], "status": status, "model_id": "ours"}
    page.evaluate("message => hear['msg:custom'](message)", message)


def outputs(page: Page) -> list[dict[str, str]]:
    page.clock.run_for(20_000)
    return [output["data"] for output in page.evaluate("shown")]


PICTURE = {"image/png": "a picture"}


def test_a_view_that_knows_nothing_yet_touches_no_output(notebook: Page) -> None:
    before = notebook.evaluate("shown.map((output) => output.data)")
    notebook.evaluate("hear['comm_live_update']()")
    notebook.evaluate("hear['msg:custom']({type: 'static', output: {data: {}}})")
    assert outputs(notebook) == before


def test_a_kernel_that_is_gone_leaves_what_had_come(notebook: Page) -> None:
    tell(notebook, "streaming")
    notebook.evaluate("isDead = true")  # shut down: nothing tells, but sending fails
    picture, ours = outputs(notebook)
    assert picture == PICTURE
    assert "<strong>Some</strong> text" in ours["text/html"]
    assert "The kernel is gone." in ours["text/html"]
    assert ours["text/plain"].strip() == "Some text"


CLASSIC = """
() => {
  window.saved = [{output_type: "stream"}, {metadata: {groq: {}}, data: {
    "application/vnd.jupyter.widget-view+json": {model_id: "ours"}}}];
  const output_area = {
    toJSON: () => [...saved],
    clear_output: () => { saved = []; },
    fromJSON: (outputs) => { saved.push(...outputs); },
  };
  window.Jupyter = {notebook: {get_cells: () => [{}, {output_area}]}};
}
"""


def test_in_the_classic_notebook_the_output_is_replaced_too(notebook: Page) -> None:
    notebook.evaluate(CLASSIC)
    tell(notebook, "streaming")
    notebook.evaluate("hear['comm_live_update']()")
    outputs(notebook)
    before, ours = notebook.evaluate("saved")
    assert before == {"output_type": "stream"}
    assert "<strong>Some</strong> text" in ours["data"]["text/html"]
    assert ours["metadata"] == {"groq": {}}


def test_where_pages_share_the_notebook_one_writes_what_had_come(notebook: Page) -> None:
    notebook.evaluate("awareness.clientID = 2")
    tell(notebook, "streaming")
    notebook.evaluate("hear['comm_live_update']()")
    notebook.clock.run_for(3000)  # in which page 1 has its turn
    assert "text/html" not in notebook.evaluate("shown")[1]["data"]
    assert "text/html" in outputs(notebook)[1]


def test_the_static_output_of_another_view_is_left_to_that(notebook: Page) -> None:
    tell(notebook, "done")
    notebook.clock.run_for(2000)
    for view in ("another", notebook.evaluate("view")):
        assert "text/html" not in notebook.evaluate("shown")[1]["data"]
        output = {"data": {"text/html": "<p>It</p>"}}
        message = {"type": "static", "view": view, "output": output}
        notebook.evaluate("message => hear['msg:custom'](message)", message)
    assert outputs(notebook)[1] == {"text/html": "<p>It</p>"}


def test_an_answer_that_has_ended_outlives_its_kernel(notebook: Page) -> None:
    tell(notebook, "done")
    notebook.evaluate("hear['comm_live_update'](); isDead = true")
    picture, ours = outputs(notebook)
    assert picture == PICTURE
    assert "<strong>Some</strong> text" in ours["text/html"]
    assert "The kernel is gone." not in ours["text/html"]


def test_a_snapshot_of_what_is_shown_already_changes_nothing(notebook: Page) -> None:
    tell(notebook, "streaming")
    notebook.evaluate("window.first = el.querySelector('.groq-text').firstElementChild")
    tell(notebook, "done")  # of the same number
    assert notebook.evaluate("el.querySelector('.groq-text').firstElementChild === first")
    assert notebook.evaluate("el.querySelector('.groq-answer').dataset.state") == "done"


def test_a_snapshot_that_comes_late_does_not_revive_an_answer(notebook: Page) -> None:
    kernel = Kernel()
    kernel.snapshot()
    kernel.batch([])
    (late, _), (batch, _) = kernel.messages
    done = {**batch, "status": {**STATUS, "state": "done"}}
    for message in (late, done, late):
        notebook.evaluate("message => hear['msg:custom'](message)", message)
    assert notebook.evaluate("el.querySelector('.groq-answer').dataset.state") == "done"
    assert notebook.evaluate("el.querySelector('.groq-stop').hidden")


def test_a_gap_behind_a_late_early_state_is_asked_about(notebook: Page) -> None:
    kernel = Kernel()
    kernel.snapshot()
    kernel.batch([])
    kernel.gap()
    (snapshot, _), _, (gap, _), _ = kernel.messages
    notebook.evaluate("message => hear['msg:custom'](message)", snapshot)
    notebook.clock.run_for(700)
    notebook.evaluate("message => { early = message; hear['change:early'](); }", snapshot)
    notebook.evaluate("message => { sent = []; hear['msg:custom'](message); }", gap)
    assert notebook.evaluate("sent") == ["snapshot"]


def test_the_end_is_said_where_the_swap_leaves_it_and_the_focus_goes_to_the_cell(
    notebook: Page,
) -> None:
    notebook.evaluate(
        "() => { document.body.innerHTML = '<div class=jp-Cell tabindex=-1></div>';"
        " document.body.firstChild.append(el); }"
    )
    tell(notebook, "streaming")
    notebook.locator(".groq-stop").focus()
    assert notebook.get_by_role("status").inner_text() == "streaming"
    kernel = Kernel()
    kernel.batch([])
    (batch, _), *_ = kernel.messages
    status = {**STATUS, "state": "failed", "note": "<div>Failed. Why.</div>"}
    notebook.evaluate("message => hear['msg:custom'](message)", {**batch, "status": status})
    assert notebook.evaluate("document.activeElement.className") == "jp-Cell"
    notebook.evaluate("el.remove()")
    assert notebook.get_by_role("status").inner_text() == "failed Failed. Why."


# A view in a box that scrolls, and what its reader sees: how far its last line is below the box.
SCROLLED = """
async () => {
  document.body.innerHTML = `<div style="height: 300px; overflow-y: auto; overflow-anchor: none">
    <div class="above"></div><div class="answer"></div></div>`;
  const box = document.body.firstChild;
  const {hear} = await mount(box.querySelector(".answer"));
  let n = 0;
  let status = streaming;
  hear(snapshot());
  const below = async (count) => {
    hear(batch(++n, lines(count), status));
    await painted();
    const last = box.querySelector(".groq-answer").getBoundingClientRect().bottom;
    return Math.round(last - box.getBoundingClientRect().bottom);
  };
  const seen = [await below(50)];
  box.querySelector(".above").style.height = "150px";
  seen.push(await below(5));
  box.scrollTop -= 80;  // by the reader
  await painted();
  seen.push(await below(5) > 80);
  box.scrollTop = box.scrollHeight;
  await painted();
  seen.push(await below(5));
  status = {...status, thought: "Thought for 1 s"};
  seen.push(await below(5));
  box.querySelector(".groq-reasoning").style.height = "400px";
  box.querySelector("summary").click();  // to read what is folded
  await painted();
  seen.push(await below(5) > 80);
  let failed = false;
  try { hear(batch(n + 1, [["no such"]])); } catch { failed = true; }
  await painted();
  box.scrollTop = box.scrollHeight;
  await painted();
  return [...seen, failed, await below(5)];
}
"""


def test_who_has_not_left_the_last_line_is_kept_there(page: Page) -> None:
    """Also when something above the answer has grown since; and who has left it, is left alone."""
    page.goto("about:blank")
    assert page.evaluate(SCROLLED) == [0, 0, True, 0, 0, True, True, 0]


# A view in a page that scrolls by itself, as Voila's does, which its reader leaves.
WHOLE_PAGE = """
async () => {
  document.body.innerHTML = "<div></div>";
  const {hear} = await mount(document.body.firstChild);
  let n = 0;
  hear(snapshot());
  const say = async () => {
    hear(batch(++n, lines(50)));
    await painted();
    return scrollY;
  };
  const followed = await say();
  scrollTo(0, 0);
  await painted();
  return [followed > 0, await say()];
}
"""


def test_a_page_that_scrolls_by_itself_can_be_left(page: Page) -> None:
    page.goto("about:blank")
    assert page.evaluate(WHOLE_PAGE) == [True, 0]


# A view whose text is there before it is in the page, at the top of a box that scrolls or below.
LATE = """
async (above) => {
  document.body.innerHTML = `<div style="height: 300px; overflow-y: auto"></div>`;
  const box = document.body.firstChild;
  const early = snapshot({settled: lines(50).map(([, html]) => html)}, streaming, 3);
  const el = document.createElement("div");
  const {hear} = await mount(el, {get: () => early});
  box.innerHTML = `<div style="height: ${above}px"></div>`;
  box.append(el);
  const observed = () => painted().then(() => new Promise((done) => setTimeout(done, 50)));
  await observed();
  hear(batch(4, [["settle", "<p>The last.</p>"]]));
  await observed();
  const last = box.querySelector(".groq-answer").getBoundingClientRect().bottom;
  return [Math.round(last - box.getBoundingClientRect().bottom), box.scrollTop];
}
"""


@pytest.mark.parametrize("above", [0, 1000])
def test_text_that_was_there_before_its_view_is_followed_where_that_is_in_sight(
    page: Page, above: int
) -> None:
    page.goto("about:blank")
    below, scrolled = page.evaluate(LATE, above)
    assert (below == 0) is (above == 0)
    assert (scrolled > 0) is (above == 0)


# Unfolds a tool, and says whether it stays unfolded in two batches: in one the tools are as they
# were, in the other there is another one.
UNFOLD = """
async () => {
  const el = document.createElement("div");
  const {hear, unmount} = await mount(el);
  const tool = "<details><summary>Ran</summary></details>";
  hear(snapshot({}, {...streaming, tools: tool, calls: ""}));
  const shown = el.querySelector(".groq-tools details");
  shown.open = true;
  hear(batch(1, []));
  const isSame = el.querySelector(".groq-tools details") === shown;
  hear(batch(2, [], {...streaming, tools: tool + tool, calls: ""}));
  unmount();
  return [isSame, ...[...el.querySelectorAll(".groq-tools details")].map((each) => each.open)];
}
"""


def test_a_tool_that_is_unfolded_stays_so(page: Page) -> None:
    assert page.evaluate(UNFOLD) == [True, True, False]


# Gives the view these words as the summary of the reasoning, and says what is shown.
THINK = """
async (thought) => {
  const el = document.createElement("div");
  const {hear, unmount} = await mount(el);
  hear(snapshot({}, {...streaming, thought}));
  const summary = el.querySelector("summary");
  unmount();
  return [summary.children.length, summary.textContent];
}
"""


def test_the_summary_of_the_reasoning_is_text(page: Page) -> None:
    words = "<img src=x onerror=canary()> <b>x</b>"
    assert page.evaluate(THINK, words) == [0, words]


# Clicks Copy at that code, and says what is copied and what is said of it.
COPY = """
async ({code, isSecure}) => {
  const el = document.createElement("div");
  document.body.append(el);
  const {hear, unmount} = await mount(el);
  let copied;
  const writeText = async (text) => { copied = text; };
  const value = isSecure ? {writeText} : undefined;
  Object.defineProperty(navigator, "clipboard", {value, configurable: true});
  const keep = (event) => { copied = event.clipboardData.getData("text/plain"); };
  addEventListener("copy", keep);
  hear(snapshot({settled: ["<pre><code></code></pre>"]}));
  el.querySelector("code").textContent = code;
  const button = el.querySelector(".groq-copy");
  button.click();
  await new Promise((done) => setTimeout(done));
  removeEventListener("copy", keep);
  const said = document.querySelector("body > .groq-said").textContent;
  unmount();
  el.remove();
  return [copied, said, button.title];
}
"""


@pytest.mark.parametrize("is_secure", [True, False])
@pytest.mark.parametrize(
    ("code", "copied", "words"),
    [
        ("a\tb\nc é 🙂", "a\tb\nc é 🙂", ""),
        ("a\u202eb\nc", "ab\nc", "Copied without 1 hidden character"),
        ("\u2066a\u200b\x1b[0m\ufeff\u2069", "a[0m", "Copied without 5 hidden characters"),
    ],
)
def test_copy_leaves_out_what_nobody_sees_and_says_so(
    page: Page, code: str, copied: str, words: str, *, is_secure: bool
) -> None:
    told = {"code": code, "isSecure": is_secure}
    assert page.evaluate(COPY, told) == [copied, words or "Copied", words]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ab", "Not copied. Selected: press Ctrl+C"),
        ("a\u202eb", "Not copied. Selected with 1 hidden character: press Ctrl+C"),
    ],
)
def test_a_copy_that_fails_selects_the_code_and_says_so(page: Page, code: str, words: str) -> None:
    page.evaluate("""() => {
      document.execCommand = () => false;
      window.uncaught = 0;
      onunhandledrejection = () => { uncaught += 1; };
    }""")
    try:
        assert page.evaluate(COPY, {"code": code, "isSecure": False})[1:] == [words, words]
        assert page.evaluate("uncaught") == 0
    finally:
        page.evaluate("() => { delete document.execCommand; }")
