"""`show()` beside chatlas's own display: ``python -m tests.bench.chatlas``.

A server on this machine streams the same answer to chatlas in two notebooks in JupyterLab: for
``chat.chat(…)``, which displays it, and for ``show(chat.stream(…))``. For each: the messages that
the page received, their bytes, and how long after the server's last word the page showed it.
Browser, servers and kernel share this machine. It needs chatlas:

    pip install -e ".[test]" chatlas
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as TooLateError

from tests.bench.libraries import Handler, Server
from tests.support.lab import Lab, NotebookPage, running_browser, running_lab

SETUP = """
from chatlas import ChatOpenAICompletions
from groq_magic import show
chat = ChatOpenAICompletions(model="m", base_url="{url}/v1", api_key="k")
print("ready")
"""
WAYS = {"chatlas's display": "chat.chat('Hi')", "show()": "answer = show(chat.stream('Hi'))"}
WORDS = (
    "**A** word, `code` and *more*.\n\n- an item\n- another\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
)
WORDS += "```python\nprint(1)\n```\n\n"
IS_WHOLE = "document.querySelector('.jp-Notebook').textContent.includes('Done, all.')"


PATIENCE = 60  # seconds


class Many(Handler):
    """Streams as many deltas as it is to, at a rate."""

    deltas = 4_000
    per_second = 1_200
    ended_at = 0.0

    def play(self, asked: dict[str, Any]) -> None:
        words, begun = WORDS.split(" "), time.perf_counter()
        for n in range(self.deltas):
            time.sleep(max(0.0, begun + n / self.per_second - time.perf_counter()))
            self._send({"content": words[n % len(words)] + " "})
        self._send({"content": "Done, all."})
        type(self).ended_at = time.time()
        self._send({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, delta: dict[str, str], reason: str | None = None) -> None:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self.wfile.write(f"data: {json.dumps(head | {'choices': [choice]})}\n\n".encode())


class Received:
    """What the page's connections received."""

    def __init__(self, page: Page) -> None:
        self.messages = self.bytes = 0
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, payload: str | bytes) -> None:
        self.messages += 1
        self.bytes += len(payload)


def measured(lab: Lab, page: Page, url: str, name: str) -> str:
    received = Received(page)
    notebook = NotebookPage(page, lab, lab.add(SETUP.format(url=url), WAYS[name]))
    notebook.run(0)
    notebook.until(lambda: "ready" in notebook.text(0))
    messages, size = received.messages, received.bytes
    notebook.run(1)
    try:
        page.wait_for_function(IS_WHOLE, timeout=PATIENCE * 1000)
        late = f"{time.time() - Many.ended_at:.2f} s"
    except TooLateError:
        late = f"not there {PATIENCE} s after the request"
    messages, size = received.messages - messages, received.bytes - size
    return f"{name:20}{messages:>9}{size / 1e6:>9.2f} MB   {late}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deltas", type=int, default=Many.deltas)
    parser.add_argument("--per-second", type=int, default=Many.per_second)
    given = parser.parse_args()
    if find_spec("chatlas") is None:
        raise SystemExit("chatlas is not installed: pip install chatlas")
    Many.deltas, Many.per_second = given.deltas, given.per_second
    server = Server(Many)
    print(f"{given.deltas:,} deltas, {given.per_second:,} a second")
    print(f"{'':20}{'messages':>9}{'received':>12}   late")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_browser() as browser,
        running_lab(Path(folder), {"NO_PROXY": "*"}) as lab,
    ):
        for name in WAYS:
            page = browser.new_page()
            print(measured(lab, page, server.url, name), flush=True)
            page.close()


if __name__ == "__main__":
    main()
