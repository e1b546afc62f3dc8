"""A real kernel, spoken to over the Jupyter protocol as a frontend does."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

Message = dict[str, Any]


@dataclass
class Run:
    """An execute request and what has come of it."""

    id: str
    reply: Message | None = None
    replied_at: float = 0.0
    messages: list[Message] = field(default_factory=list)
    """All that was published meanwhile, by whatever request."""

    def of_type(self, *types: str) -> list[Message]:
        """Of the messages, those that belong to this request and have the type."""
        return [
            message
            for message in self.messages
            if message["msg_type"] in types and message["parent_header"].get("msg_id") == self.id
        ]

    @property
    def stdout(self) -> str:
        return "".join(m["content"]["text"] for m in self.of_type("stream"))

    @property
    def error(self) -> str:
        """The traceback that a frontend shows."""
        return "\n".join(line for m in self.of_type("error") for line in m["content"]["traceback"])


class Kernel:
    def __init__(self, client: BlockingKernelClient, manager: KernelManager) -> None:
        self._client = client
        self.manager = manager

    def run(self, code: str, *, timeout: float = 90.0, **how: Any) -> Run:
        """Execute and `finish`."""
        return self.finish(self.start(code, **how), timeout)

    def finish(self, run: Run, timeout: float = 90.0) -> Run:
        """Collect messages until the kernel has replied and is idle."""
        self.collect(run, lambda: run.reply is not None and bool(self._idle(run)), timeout)
        return run

    def start(self, code: str, *, interactive: bool = True, cell: str = "a-cell") -> Run:
        """Execute, as JupyterLab does unless told otherwise; do not wait."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": interactive,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell} if cell else {}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(message)
        return Run(message["header"]["msg_id"])

    def question(self) -> str:
        """The kernel's next question to the user."""
        return str(self._client.get_stdin_msg(timeout=90)["content"]["prompt"])

    def type(self, text: str) -> None:
        """Answer the question."""
        self._client.input(text)

    def collect(self, run: Run, met: Callable[[], bool], timeout: float = 90.0) -> None:
        """Collect messages until the condition is met."""
        deadline = time.monotonic() + timeout
        while not met():
            assert time.monotonic() < deadline, run.messages[-3:]
            self._take(run)

    def until_static(self, run: Run) -> Message:
        """The update that puts the static output in the widget's place."""
        self.collect(run, lambda: bool(updates(run)) and WIDGET not in updates(run)[-1])
        return run.of_type("update_display_data")[-1]

    def send_to_widget(self, comm_id: str, content: Any) -> None:
        """A custom message, as a widget's view sends it: with an id of its own."""
        data = {"method": "custom", "content": {"id": uuid.uuid4().hex, **content}}
        message = self._client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self._client.shell_channel.send(message)

    def _idle(self, run: Run) -> list[Message]:
        return [m for m in run.of_type("status") if m["content"]["execution_state"] == "idle"]

    def _take(self, run: Run) -> None:
        if self._client.shell_channel.msg_ready():
            reply = self._client.get_shell_msg(timeout=1)
            if reply["parent_header"].get("msg_id") == run.id:
                run.reply, run.replied_at = reply, time.monotonic()
        if self._client.iopub_channel.msg_ready():
            run.messages.append(self._client.get_iopub_msg(timeout=1))
        else:
            time.sleep(0.002)


@contextmanager
def running_kernel(
    env: dict[str, str], cwd: str, manager: KernelManager | None = None
) -> Iterator[Kernel]:
    manager = manager or KernelManager(kernel_name="python3")
    manager.start_kernel(env=env, cwd=cwd)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=180)
        yield Kernel(client, manager)
    finally:
        client.stop_channels()
        is_measured = "COVERAGE_PROCESS_CONFIG" in os.environ  # a kernel that is killed writes none
        manager.shutdown_kernel(now=not is_measured)


WIDGET = "application/vnd.jupyter.widget-view+json"


def bundle(message: Message) -> tuple[dict[str, str], dict[str, Any]]:
    return message["content"]["data"], message["content"]["metadata"]["groq"]


def updates(run: Run) -> list[dict[str, Any]]:
    """What its output has been replaced by, one after another."""
    return [message["content"]["data"] for message in run.of_type("update_display_data")]


def widget_of(run: Run) -> str:
    (shown,) = run.of_type("display_data")
    return str(shown["content"]["data"][WIDGET]["model_id"])


def custom(run: Run, comm_id: str) -> list[dict[str, Any]]:
    """What the kernel sent to the widget's views."""
    return [
        message["content"]["data"]["content"]
        for message in run.messages
        if message["msg_type"] == "comm_msg"
        and message["content"]["comm_id"] == comm_id
        and message["content"]["data"]["method"] == "custom"
    ]
