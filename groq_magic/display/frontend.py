"""Which frontend runs a cell, and what it lets us do."""

from __future__ import annotations

import os
from typing import Any

from IPython import get_ipython


def is_terminal(shell: Any, *, wait: bool) -> bool:
    """Whether text that is printed as it comes is what the reader can see.

    So it is without a kernel. jupyter console has one, but no widgets, and nothing tells it
    from other frontends but that those name the cell they run, as Voila does not. Where the
    cell is to wait, printing is right there, and where not, it would be in the way.
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

    nbconvert, papermill and ``jupyter execute`` allow no input; nor does Voila, where
    people do watch. What is no cell, such as a click on somebody's widget, only people do.
    """
    request = shell.kernel.get_parent()
    is_cell = request.get("header", {}).get("msg_type") == "execute_request"
    return is_voila() or not is_cell or bool(request["content"].get("allow_stdin"))


def running_cell() -> tuple[str | None, str | None]:
    """The id of the cell that runs, where the frontend names it, and of this run of it."""
    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent() if kernel else {}
    cell = request.get("metadata", {}).get("cellId")
    return cell, request.get("header", {}).get("msg_id")
