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


def somebody_watches(shell: Any) -> bool:
    """Whether the frontend that runs this cell is interactive.

    nbconvert, papermill and ``jupyter execute`` allow no input; neither do Voila and a server
    that runs the cells of its pages, but people watch these.
    """
    return is_voila() or _has_session() or _allows_input(shell)


def has_live_widgets(shell: Any) -> bool:
    """Whether a widget in this cell's output can change while the answer comes.

    Not where the server runs the cells, as jupyter-server-documents does, and not in Colab:
    https://github.com/googlecolab/colabtools/issues/3373. Both show what a running cell shows.
    """
    is_colab = "google.colab" in sys.modules
    return not is_colab and (is_voila() or _allows_input(shell))


def _allows_input(shell: Any) -> bool:
    """What is no cell, such as a click on a widget, people do."""
    request = shell.kernel.get_parent()
    is_cell = request.get("header", {}).get("msg_type") == "execute_request"
    return not is_cell or bool(request["content"].get("allow_stdin"))


def _has_session() -> bool:
    """Whether a server started the kernel for a document."""
    return "JPY_SESSION_NAME" in os.environ


def running_cell() -> tuple[str | None, str | None]:
    """The id of the running cell, if the frontend names it, and the id of this run."""
    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent() if kernel else {}
    cell = request.get("metadata", {}).get("cellId")
    return cell, request.get("header", {}).get("msg_id")
