"""The widget that shows an answer, and the messages between the kernel and its views.

Kernel and browser send custom messages over the widget's comm. To the browser:

    {"type": "batch", "n": 7, "text": [["settle", html], ["tail", html, part, …], …],
     "reasoning": [the same], "status": {…}}
    {"type": "snapshot", "n": 7, "text": {"settled": [html, …], "open": html, "inner": 0,
     "tail": html, "parts": [html, …]}, "reasoning": {the same}, "status": {…}, "model_id": "…"}
    {"type": "static", "view": the view that may write, "output": {"output_type": …}}
    {"type": "text", "text": the answer's Markdown}

The operations are those of `markdown.transcript`. A batch without operations changes only the
status, which leaves out ``tools`` and ``calls`` where they are as in the message before.

From the browser, each with an ``id`` of its own, and the ``view`` that asks:

    {"type": "snapshot"}  when a view mounts, misses a number or has heard nothing for long;
                          sent again until a snapshot comes
    {"type": "stop"}      sent again until the status says that the answer has ended
    {"type": "static"}    when the answer has ended and no static output has replaced the view,
                          as in a page that was loaded meanwhile: the view puts it into the
                          notebook. One view at a time is answered, since two pages that write
                          at once leave two outputs in a notebook that they share
    {"type": "text"}      when the reader copies the answer as Markdown
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import anywidget
from traitlets import Instance

from groq_magic.answer import Answer
from groq_magic.markdown import Operation

from .beside import Beside, beside
from .status import Status

_IDS = 100
_WRITING_SECONDS = 3.0  # in which a view has put the output into the notebook, or is gone
_IMPORT = re.compile(r'^import [^;]* from "./dom.js";$', re.MULTILINE)


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


class AnswerWidget(anywidget.AnyWidget):
    """The browser's half of a live view."""

    early = Instance(dict, allow_none=True).tag(sync=True)
    """A snapshot for a view that cannot ask yet; None once one has asked, and at the end."""
    _esm = _read("dom.js") + _IMPORT.sub("", _read("widget.js"))
    _css = _read("controls.css") + _read("widget.css")


class Channel:
    """The kernel's side of the comm: numbers what it sends, and receives each message once.

    ``receive`` is called with the type of each message and the view that sent it, on any thread.
    """

    def __init__(self, answer: Answer, receive: Callable[[str, str], object]) -> None:
        self.widget = AnswerWidget()
        self.model_id: str = self.widget.model_id
        self._answer = answer
        self._receive = receive
        self._number = 0
        self._beside = Beside("", "")
        self._ids: deque[Any] = deque(maxlen=_IDS)
        self._writer, self._writes_until = "", 0.0
        self._sending = threading.Lock()
        self.widget.on_msg(lambda _widget, content, _buffers: self._on_message(content))
        _receive_while_busy(self.widget.comm, self._on_message)

    @property
    def is_asked(self) -> bool:
        """Whether a view has sent a message."""
        return bool(self._ids)

    def send_batch(self, text: Sequence[Operation], reasoning: Sequence[Operation]) -> None:
        """Send the operations on both, and the status."""
        with self._sending:
            self._send_batch(list(text), list(reasoning), beside(self._answer))

    def send_status(self) -> None:
        """Send the status alone, unless another thread is sending: it never blocks."""
        if self._sending.acquire(blocking=False):
            try:
                self._send_batch([], [], self._beside)  # to make it anew would hold the loop
            finally:
                self._sending.release()

    def send_snapshot(self, shown: Mapping[str, Any]) -> None:
        """Send all that the view shows."""
        with self._sending:
            self.widget.send(self._snapshot(shown))

    def send_static(self, view: str, data: Mapping[str, str], metadata: Mapping[str, Any]) -> None:
        """Send ``view`` the output that replaces it, unless another one is writing it."""
        if view != self._writer and monotonic() < self._writes_until:
            return
        self._writer, self._writes_until = view, monotonic() + _WRITING_SECONDS
        output = {"output_type": "display_data", "data": data, "metadata": metadata}
        self.widget.send({"type": "static", "view": view, "output": output})

    def send_text(self, text: str) -> None:
        """Send the answer's Markdown."""
        self.widget.send({"type": "text", "text": text})

    def set_early(self, shown: Mapping[str, Any] | None) -> None:
        """Put a snapshot into the widget's state, or remove it."""
        with self._sending:
            self.widget.early = None if shown is None else self._snapshot(shown)

    def _send_batch(self, text: list[Any], reasoning: list[Any], parts: Beside) -> None:
        self._number += 1
        message = self._message("batch", parts, text=text, reasoning=reasoning)
        if parts == self._beside:  # it can be large, and seldom changes
            for name in parts._fields:
                del message["status"][name]
        self._beside = parts
        self.widget.send(message)

    def _snapshot(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        content = {**shown, "model_id": self.model_id}
        return self._message("snapshot", beside(self._answer), **content)

    def _message(self, kind: str, parts: Beside, **content: Any) -> dict[str, Any]:
        status = Status.of(self._answer, parts)._asdict()
        return {"type": kind, "n": self._number, "status": status, **content}

    def _on_message(self, content: Any) -> None:
        """Handle a message from the browser, on any thread; ignores duplicates."""
        if isinstance(content, dict) and content.get("id") not in self._ids:
            self._ids.append(content.get("id"))
            self._receive(str(content.get("type")), str(content.get("view")))


def _receive_while_busy(comm: Any, receive: Callable[[Any], None]) -> None:
    """Receive the comm's messages while a cell runs, in ipykernel 7.4 too.

    ipykernel 7.1 to 7.3 do it by themselves, on a subshell
    (https://github.com/jupyterlab/jupyterlab/pull/17363). 7.4.0 sends a message to the shell
    that last used its comm, which is the busy one, after asking the comm on a thread that is
    never busy. There is no upstream issue and no newer release; 6 does not ask.
    """
    original = getattr(comm, "_reply_subshell_for", None)
    if original is None:
        return

    def route(data: Any, default: Any) -> Any:
        with suppress(Exception):  # never break the kernel's routing
            if data.get("method") == "custom":
                receive(data.get("content"))
        return original(data, default)

    comm._reply_subshell_for = route  # noqa: SLF001  # there is no public way
