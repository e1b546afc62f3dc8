"""Which frontend runs a cell, and what it can show."""

from __future__ import annotations

import os
from typing import Any

from IPython import get_ipython


def is_terminal(shell: Any, *, wait: bool) -> bool:
    """Whether printed text is what the reader can see: there is no kernel, or no widgets.

    jupyter console has a kernel but no widgets. Only the missing id of its cell tells it from
    other frontends, and Voila names no cell either. So there a cell prints if it is to ``wait``;
    one that returns at once would print into the next prompt.
    """
    if getattr(shell, "kernel", None) is None:
        return True
    names_cell = "cellId" in shell.kernel.get_parent().get("metadata", {})
    return wait and somebody_watches(shell) and not (names_cell or is_voila())


def is_voila() -> bool:
    """Whether the kernel is one of Voila's."""
    return "VOILA_KERNEL_ID" in os.environ


def somebody_watches(shell: Any) -> bool:
    """Whether the frontend that runs this cell is interactive.

    nbconvert, papermill and ``jupyter execute`` allow no input; Voila neither, but people watch
    it. What is no cell, such as a click on a widget, people do. xeus-python keeps no content of
    a request: there people watch a kernel that a server started for a document.
    """
    request = shell.kernel.get_parent()
    is_cell = request.get("header", {}).get("msg_type") == "execute_request"
    if "content" not in request:
        return "JPY_SESSION_NAME" in os.environ
    return is_voila() or not is_cell or bool(request["content"].get("allow_stdin"))


def running_cell() -> tuple[str | None, str | None]:
    """The id of the running cell, if the frontend names it, and the id of this run."""
    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent() if kernel else {}
    cell = request.get("metadata", {}).get("cellId")
    return cell, request.get("header", {}).get("msg_id")
