"""An answer on the screen: live, or at once and whole, or printed; and those shown before."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from weakref import WeakKeyDictionary

from IPython import get_ipython
from IPython.display import display

from groq_magic.answer import Answer
from groq_magic.errors import GroqError, printable
from groq_magic.runtime import runtime

from .frontend import is_terminal, somebody_watches
from .live import LiveView
from .static import line_of, note_of, show_reasoning, static_bundle

_KEPT = 100


class _Shown:
    """The answers that this process has shown."""

    def __init__(self) -> None:
        self.last_run: WeakKeyDictionary[Answer, int | None] = WeakKeyDictionary()
        self.recent: deque[Answer] = deque(maxlen=_KEPT)


def show(answer: Answer, *, wait: bool | None = None, reasoning: bool | None = None) -> bool:
    """Show ``answer`` in the running cell; return whether its end was waited for.

    Live where somebody watches; at once and whole where nobody does (nbconvert,
    papermill: the file is written when the cells are through, so the cell waits) and
    where it has ended; as growing text in a terminal. ``wait`` true waits everywhere.
    ``reasoning`` false leaves out what the model thought, from now on wherever the answer
    is shown; None changes nothing.
    """
    if reasoning is not None:
        show_reasoning(answer, shown=reasoning)
    shell = get_ipython()
    shown = runtime.own(_Shown)
    shown.last_run[answer] = getattr(shell, "execution_count", None)
    if answer not in shown.recent:
        shown.recent.append(answer)
    if is_terminal(shell, wait=bool(wait)):
        _print(answer)
        return True
    if answer.ended or not somebody_watches(shell):
        _show_at_end(answer)
        return True
    view = LiveView(answer)
    if wait:
        answer.wait()
        view.finished.wait(5.0)
    return bool(wait)


def show_once(answer: Answer) -> None:
    """Show ``answer`` unless this very cell has shown it already."""
    shell = get_ipython()
    if runtime.own(_Shown).last_run.get(answer) != getattr(shell, "execution_count", None):
        show(answer)


def show_last(count: int, *, reasoning: bool | None = None) -> int:
    """Show the last answers of this process again, the latest below; return how many."""
    answers = list(runtime.own(_Shown).recent)[-count:]
    for answer in answers:
        show(answer, reasoning=reasoning)
    return len(answers)


def last_answer() -> Answer | None:
    """The answer that was shown last, for the first time; None where none was."""
    recent = runtime.own(_Shown).recent
    return recent[-1] if recent else None


def _show_at_end(answer: Answer) -> None:
    try:
        answer.wait()
    finally:  # an interrupt has stopped the answer; show what came
        data, metadata = static_bundle(answer)
        display(data, metadata=metadata, raw=True)


def _print(answer: Answer) -> None:
    """Write the text to stdout as it comes."""
    try:
        with suppress(GroqError):  # the caller has it as ``answer.error``
            for delta in answer:
                print(printable(delta), end="", flush=True)
    except KeyboardInterrupt:  # perhaps while it printed; a wait would have stopped the answer
        answer.stop()
        raise
    finally:
        note = note_of(answer)
        said = f"\n{note.strong} {note.rest}" if note else ""
        line = " · ".join(filter(None, [answer.model, line_of(answer), answer.note]))
        print(printable(f"\n\n{line}{said}"), file=sys.stderr)
