"""Show an answer: live, whole when it ends, or printed as it streams."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakValueDictionary

from IPython import get_ipython
from IPython.display import clear_output, display, update_display

from groq_magic.answer import Answer, wait_if_kept
from groq_magic.errors import GroqError, InputError, printable
from groq_magic.runtime import runtime

from .beside import plain_beside
from .frontend import is_colab, is_run_by_server, is_terminal, running_cell, somebody_watches
from .live import LiveView
from .marimo import marimo_output, running_marimo
from .static import static_bundle
from .status import line_of, note_of, show_reasoning

_KEPT = 100


class _Shown:
    """The answers that this process has shown."""

    def __init__(self) -> None:
        self.last_run: WeakKeyDictionary[Answer, int | None] = WeakKeyDictionary()
        self.recent: deque[Answer] = deque(maxlen=_KEPT)
        self.display_ids: WeakKeyDictionary[Answer, list[str]] = WeakKeyDictionary()
        self.by_cell: WeakValueDictionary[str, Answer] = WeakValueDictionary()

    def new_display_id(self, answer: Answer) -> str:
        display_id = uuid4().hex
        self.display_ids.setdefault(answer, []).append(display_id)
        return display_id


def show(answer: Answer, *, wait: bool | None = None, reasoning: bool | None = None) -> bool:
    """Show ``answer`` in the running cell; return whether this waited for its end.

    In a terminal the text is printed as it streams. Where the frontend is not interactive
    (nbconvert, papermill), the file is written when the last cell returns: the cell waits and
    shows the whole answer. Elsewhere a running answer is shown live; the cell waits if ``wait``
    is true, or if the frontend has no live widgets and shows only what a running cell shows.
    ``reasoning`` shows or hides the reasoning from now on; None changes nothing.
    """
    if reasoning is not None:
        show_reasoning(answer, shown=reasoning)
    if marimo := running_marimo():
        marimo.output.append(marimo_output(answer, is_last=False))
        return answer.ended
    shell = get_ipython()
    shown = runtime.own(_Shown)
    shown.last_run[answer] = getattr(shell, "execution_count", None)
    if answer not in shown.recent:
        shown.recent.append(answer)
    if cell := running_cell()[0]:
        shown.by_cell[cell] = answer
    if is_terminal(shell, wait=bool(wait)):
        _print_later(answer) if answer.needs_this_loop else _print(answer)
        return answer.ended
    by_server = is_run_by_server(shell)
    wait_if_kept(answer)
    if answer.ended or not (by_server or somebody_watches(shell)):
        _show_later(answer) if answer.needs_this_loop else _show_at_end(answer)
        return answer.ended
    has_widget = not (by_server or is_colab())
    update = _display_alone if by_server else None
    view = LiveView(answer, shown.new_display_id(answer), has_widget=has_widget, update=update)
    waits = (bool(wait) or not has_widget) and not answer.needs_this_loop
    if waits:
        try:
            answer.wait()
        finally:  # also where an interrupt has stopped it
            view.finished.wait(5.0)
    return waits


def show_once(answer: Answer) -> object:
    """Show ``answer`` unless the running cell has shown it already; in marimo return the view."""
    if running_marimo():
        return marimo_output(answer, is_last=True)
    shell = get_ipython()
    if runtime.own(_Shown).last_run.get(answer) != getattr(shell, "execution_count", None):
        show(answer)
    return None


def renew(answers: Iterable[Answer]) -> None:
    """Make the outputs of these answers anew; a live view does it at its end."""
    for answer in answers:
        for display_id in runtime.own(_Shown).display_ids.get(answer, ()):
            data, metadata = static_bundle(answer)
            update_display(data, metadata=metadata, raw=True, display_id=display_id)


def show_last(count: int, *, reasoning: bool | None = None) -> int:
    """Show the last answers of this process again, the latest at the end; return how many."""
    answers = list(runtime.own(_Shown).recent)[-count:]
    for answer in answers:
        show(answer, reasoning=reasoning)
    return len(answers)


def shown_answers() -> list[tuple[int, Answer]]:
    """The last answers of this process, each with the number of the cell that showed it last."""
    shown, shell = runtime.own(_Shown), get_ipython()
    # IPython 9 counts a cell before it runs, earlier ones afterwards.
    ahead = shell.execution_count - len(shell.history_manager.input_hist_raw) + 1
    return [((shown.last_run.get(answer) or 0) - ahead, answer) for answer in shown.recent]


def last_answer() -> Answer | None:
    """The answer whose first display is the newest; None if none was displayed."""
    recent = runtime.own(_Shown).recent
    return recent[-1] if recent else None


def resume_here() -> Answer:
    """Resume the last answer that the running cell has shown, where the frontend names the cell.

    Raises `InputError` if there is none, or nothing is missing; the answer is then shown again.
    """
    if answer := runtime.own(_Shown).by_cell.get(running_cell()[0] or ""):
        try:
            return answer.resume()
        except (InputError, KeyboardInterrupt):
            show(answer)  # the run of the cell has removed its output
            raise
    raise InputError(
        "This cell has no answer to go on with. Run it without --continue, or go on with the last "
        "answer: %groq continue"
    )


def can_resume(cell: str) -> bool:
    """Whether this process has an ended answer of that cell: the plugin asks before a run."""
    answer = runtime.own(_Shown).by_cell.get(cell)
    return answer is not None and answer.can_resume


def _display_alone(data: dict[str, str], **how: Any) -> None:
    """Display it as the only output of the cell."""
    clear_output(wait=True)
    display(data, **how)


def _show_at_end(answer: Answer) -> None:
    try:
        answer.wait()
    finally:  # an interrupt has stopped the answer; its text so far is shown
        data, metadata = static_bundle(answer)
        display_id = runtime.own(_Shown).new_display_id(answer)
        display(data, metadata=metadata, raw=True, display_id=display_id)


def _show_later(answer: Answer) -> None:
    """Show it at its end, where to wait here would hold the loop that reads it."""
    display_id = runtime.own(_Shown).new_display_id(answer)
    text = "The answer is kept where a cell waits for it: await show(...)."
    display({"text/plain": text}, raw=True, display_id=display_id)
    _at_each_change(answer, lambda: renew([answer] if answer.ended else []))


def _print_later(answer: Answer) -> None:
    """Print it as it comes, where to wait here would hold the loop that reads it."""
    printed = 0

    def print_more() -> None:
        nonlocal printed
        new = answer.deltas(printed)
        printed += len(new)
        print(printable("".join(new)), end="", flush=True)
        if answer.ended:
            _print_end(answer)

    _at_each_change(answer, print_more)


def _at_each_change(answer: Answer, function: Callable[[], object]) -> None:
    def call() -> None:
        if not answer.ended:
            answer.at_change(call)
        function()

    answer.at_change(call)


def _print(answer: Answer) -> None:
    """Print the text as it streams, and its status to stderr: where it waits, and at its end."""
    _print_waits(answer)
    try:
        with suppress(GroqError):  # `answer.error` has it
            for delta in answer:
                print(printable(delta), end="", flush=True)
    except KeyboardInterrupt:  # while it prints; in a wait the answer stops itself
        answer.stop()
        raise
    finally:
        _print_end(answer)


def _print_waits(answer: Answer) -> None:
    """Print why nothing comes, once for each wait."""
    before: type | None = None

    def print_new() -> None:
        nonlocal before
        waiting = answer.waiting
        kind = type(waiting) if waiting else None
        if kind and kind is not before:
            line = f"{answer.model} · {line_of(answer)} · Ctrl-C ends it"
            print(printable(line), file=sys.stderr, flush=True)
        before = kind

    _at_each_change(answer, print_new)
    print_new()


def _print_end(answer: Answer) -> None:
    """Print what the answer has beside its text, and its status to stderr."""
    if beside := "\n\n".join(filter(None, plain_beside(answer))):
        print(printable(f"\n\n{beside}"), end="")
    note = note_of(answer)
    said = f"\n{note.strong} {note.rest}" if note else ""
    line = " · ".join(filter(None, [answer.model, line_of(answer), answer.note]))
    print(printable(f"\n\n{line}{said}"), file=sys.stderr)
