"""Which frontend runs a cell, and what it can show."""

from __future__ import annotations

import os
import sys
from typing import Any

from IPython import get_ipython


def is_terminal(shell: Any, *, wait: bool) -> bool:
    """Whether printed text is what the reader can see: there is no kernel, or no outputs.

    jupyter console has a kernel but no outputs that change. It names no cell; a notebook that
    names none, such as the classic one, has a session. So in the console a cell prints if it is
    to ``wait``; one that returns at once would print into the next prompt.
    """
    if getattr(shell, "kernel", None) is None:
        return True
    names_cell = "cellId" in shell.kernel.get_parent().get("metadata", {})
    is_notebook = names_cell or _has_session() or is_voila()
    return wait and somebody_watches(shell) and not is_notebook


def is_voila() -> bool:
    """Whether the kernel is one of Voila's."""
    return "VOILA_KERNEL_ID" in os.environ


def is_colab() -> bool:
    """Whether the kernel is Colab's, whose page shows no updates of a widget from a thread.

    https://github.com/googlecolab/colabtools/issues/3373
    """
    return "google.colab" in sys.modules


def somebody_watches(shell: Any) -> bool:
    """Whether the frontend that runs this cell is interactive.

    nbconvert, papermill and ``jupyter execute`` allow no input; Voila neither, but people watch
    it. What is no cell, such as a click on a widget, people do. xeus-python keeps no content of
    a request: there people watch a kernel that a server started for a document.
    """
    request = shell.kernel.get_parent()
    is_cell = request.get("header", {}).get("msg_type") == "execute_request"
    if "content" not in request:
        return _has_session()
    return is_voila() or not is_cell or bool(request["content"].get("allow_stdin"))


def is_run_by_server(shell: Any) -> bool:
    """Whether this is the cell of a prompt that a server runs for its pages.

    jupyter-server-documents does: it allows no input, shows what a cell displays until its end,
    and adds the updates of an output as new ones.
    """
    code = str(shell.kernel.get_parent().get("content", {}).get("code", ""))
    return _has_session() and not somebody_watches(shell) and code.startswith("%%groq")


def _has_session() -> bool:
    """Whether a server started the kernel for a document."""
    return "JPY_SESSION_NAME" in os.environ


def running_cell() -> tuple[str | None, str | None]:
    """The id of the running cell, if the frontend names it, and the id of this run."""
    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent() if kernel else {}
    cell = request.get("metadata", {}).get("cellId")
    return cell, request.get("header", {}).get("msg_id")
