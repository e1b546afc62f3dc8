"""The question before a cell passes its ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any


class Interrupted(KeyboardInterrupt):
    """An interrupt without a traceback; it also ends the cells that wait to run."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def ceiling_of(settings: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Ask in the running cell before what is sent within costs more than the settings allow."""
    from groq_magic.limits.cost import ceiling

    return ceiling(settings.get("budget"), settings.get("max_cost"), _agrees)


def _agrees(question: str) -> bool:
    """Whether the user answers with yes; not where nobody can be asked."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, NotImplementedError):  # nbconvert and papermill allow no input
        return False
    except KeyboardInterrupt:
        raise Interrupted("Interrupted: nothing was sent.") from None
