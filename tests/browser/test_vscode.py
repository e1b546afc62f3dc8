"""Answers in a page as VS Code makes it: its own manager of widgets, its dark colours.

The page stands in for VS Code's; the manager, anywidget and the kernel are the real ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Locator, Page

from tests.support.contrast import measured
from tests.support.fetch import vscode_manager
from tests.support.hand import Hand
from tests.support.lab import Lab, Profile

ANYWIDGET = Path(sys.prefix) / "share" / "jupyter" / "nbextensions" / "anywidget" / "index.js"

PAGE = """
<style>
  body {
    --vscode-editor-background: #1f1f1f;
    --vscode-editor-foreground: #cccccc;
    --vscode-foreground: #cccccc;
    --vscode-disabledForeground: rgba(204, 204, 204, 0.5);
    --vscode-focusBorder: #0078d4;
    --vscode-list-hoverBackground: #2a2d2e;
    --vscode-textLink-foreground: #4daafc;
    background: #1f1f1f;
    color: var(--vscode-foreground);
    font: 13px sans-serif;
    margin: 0;
    padding: 8px;
  }
  a { color: var(--vscode-textLink-foreground); }
  .cell-output-ipywidget-background { background: white !important; }
  table { width: 100%; }
  table, th, tr { text-align: left !important; }
  table, tr, th, td { border: none !important; }
  thead { background: rgba(130, 130, 130, 0.16); }
  tr:nth-child(even) { background: rgba(130, 130, 130, 0.08); }
</style>
<body class="vscode-dark"></body>
"""

# What VS Code has around its manager: a loader of modules, a kernel, and outputs.
HOST = """
async ({ manager: source, socket: url }) => {
  const modules = {};
  window.define = (name, needed, make = needed) => {
    if (typeof name !== "string") [name, needed, make] = ["anywidget", name, needed];
    modules[name] = make(...(Array.isArray(needed) ? needed.map((one) => modules[one]) : []));
  };
  window.requirejs = (names, done) => done(...names.map((name) => modules[name]));
  const script = new Blob([source], { type: "text/javascript" });
  (await import(URL.createObjectURL(script))).activate();
  window.vscIPyWidgets8.load();

  const socket = new WebSocket(url);
  await new Promise((opened) => { socket.onopen = opened; });
  const targets = {};
  const comms = {};
  const outputs = {};
  const send = (msg_type, content, metadata = {}) => {
    const header = { msg_id: crypto.randomUUID(), msg_type, session: "a", username: "",
                     version: "5.3", date: new Date().toISOString() };
    const parts = { parent_header: {}, metadata, content, buffers: [], channel: "shell" };
    socket.send(JSON.stringify({ header, ...parts }));
    return { msg: { header } };
  };
  const commOf = (commId) => ({
    commId,
    send: (data) => send("comm_msg", { comm_id: commId, data }),
    close: () => send("comm_close", { comm_id: commId, data: {} }),
  });
  const nothing = { connect: () => {} };
  const kernel = {
    name: "python3", status: "idle", handleComms: false,
    statusChanged: nothing, connectionStatusChanged: nothing, iopubMessage: nothing,
    registerCommTarget: (name, open) => { targets[name] = open; },
  };
  const loader = { widgetsRegisteredInRequireJs: new Set(["anywidget"]), successHandler: () => {} };
  const { WidgetManager } = window.vscIPyWidgets;
  const manager = new WidgetManager(kernel, document.body, loader, () => {});

  const show = async ({ data, transient }) => {
    const output = outputs[transient.display_id] ??=
      document.body.appendChild(document.createElement("div"));
    output.replaceChildren();
    const widget = data["application/vnd.jupyter.widget-view+json"];
    if (!widget) return (output.innerHTML = data["text/html"]);
    const box = output.appendChild(document.createElement("div"));
    box.className = "cell-output-ipywidget-background";
    const model = await manager.get_model(widget.model_id);
    await manager.display_view(null, await manager.create_view(model), { node: box });
  };
  let last = Promise.resolve();
  const hear = async ({ header: { msg_type }, content, ...rest }) => {
    const message = { header: { msg_type }, content, ...rest };
    const id = content?.comm_id;
    if (msg_type === "comm_open") {
      comms[id] = commOf(id);
      await targets[content.target_name](comms[id], message);
    }
    if (msg_type === "comm_msg") await comms[id]?.onMsg(message);
    if (msg_type.endsWith("display_data")) await show(content);
  };
  socket.onmessage = ({ data }) => {
    last = last.then(() => hear(JSON.parse(data)));
  };
  window.run = (code) => {
    const content = { code, silent: false, store_history: true, user_expressions: {},
                      allow_stdin: true, stop_on_error: true };
    send("execute_request", content, { cellId: "vscode-notebook-cell:a" });
  };
}
"""

TEXT = """\
# First

A paragraph with `code`, a [link](https://example.org) and $e^{i\\pi} = -1$.

- one
- two

> quoted

| a | b |
|---|---|
| 1 | 2 |
| 3 | 4 |

```python
print("There it is.")
```

And a last word.
"""

SIZE = "e => parseFloat(getComputedStyle(e).fontSize)"


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    return shared_lab


@pytest.fixture
def page(lab: Lab, browser: Profile) -> Iterator[Page]:
    if not vscode_manager().exists():
        pytest.skip("VS Code's manager is not here: python -m tests.support.fetch, with Node.js")
    with urlopen(Request(f"{lab.url}api/kernels", b"{}", method="POST")) as response:
        kernel = json.load(response)["id"]
    page = browser.new_page(viewport={"width": 800, "height": 1000})
    page.goto(f"{lab.url}static/style/index.css")  # for the origin of the socket
    page.set_content(PAGE)
    url = f"{lab.url.replace('http', 'ws', 1)}api/kernels/{kernel}/channels"
    page.evaluate(HOST, {"manager": vscode_manager().read_text("utf-8"), "socket": url})
    page.add_script_tag(path=ANYWIDGET)
    yield page
    page.close()
    urlopen(Request(f"{lab.url}api/kernels/{kernel}", method="DELETE")).close()


def check_looks(answer: Locator) -> None:
    assert answer.locator("h1").evaluate(SIZE) > 1.5 * answer.locator("li").first.evaluate(SIZE)
    assert "e^{i\\pi} = -1" in answer.inner_text()
    assert len(measured([answer], "no-such")) > 10


def test_an_answer_is_legible_live_and_static_and_stop_ends_it(page: Page, hand: Hand) -> None:
    page.evaluate("code => run(code)", hand.cell)
    hand.think("It thinks, so that there is something to unfold.")
    hand.say(TEXT)
    answer = page.locator(".groq-answer")
    answer.get_by_text("And a last word.").wait_for()
    answer.locator("details").evaluate("e => (e.open = true)")
    check_looks(answer)
    background = "e => getComputedStyle(e).backgroundColor"
    box = page.locator(".cell-output-ipywidget-background")
    assert box.evaluate(background) == "rgba(0, 0, 0, 0)"
    answer.get_by_role("button", name="Stop").click()
    assert hand.has_been_left()
    answer.get_by_text("To go on:").wait_for()
    page.locator(".groq-stop").wait_for(state="detached")
    answer.locator("details").evaluate("e => (e.open = true)")
    check_looks(answer)
