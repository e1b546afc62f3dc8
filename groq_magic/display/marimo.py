"""An answer in marimo: a live view as the output of its cell, then static output in its place.

https://docs.marimo.io/guides/integrating_with_marimo/displaying_objects/
"""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakValueDictionary

from groq_magic.answer import Answer
from groq_magic.runtime import runtime

from .live import LiveView
from .static import static_bundle


def running_marimo() -> Any:
    """The module ``marimo`` if one of its notebooks runs here, else None."""
    marimo: Any = sys.modules.get("marimo")
    return marimo if marimo and marimo.running_in_notebook() else None


def marimo_output(answer: Answer, *, is_last: bool) -> Any:
    """What the cell shows: the answer live, or as it ended.

    What the last expression of the cell shows live is replaced at the end. Beside other outputs
    of the cell the live view stays: marimo can only replace all of them.
    """
    marimo = running_marimo()
    if marimo.app_meta().request is None and not answer.needs_this_loop:
        answer.wait()  # an export: nobody watches
    if answer.ended:
        return _static(marimo, static_bundle(answer)[0])
    views = runtime.own(_Running)
    view = views.get(id(answer)) or _View(answer, "")  # with display=True it may have one
    views[id(answer)] = view
    if is_last:
        marimo.Thread(target=view.replace, args=(marimo,), daemon=True).start()
    return view.element(marimo)


def _static(marimo: Any, data: dict[str, str]) -> Any:
    """The output that stays, with the styles of ``marimo.md``: the page resets all others."""
    return marimo.Html(f'<div class="markdown prose dark:prose-invert">{data["text/html"]}</div>')


class _View(LiveView):
    """A live view that no display of IPython's shows."""

    _display = _update_display = staticmethod(lambda *_, **__: None)

    def element(self, marimo: Any) -> Any:
        """The view as an output of marimo."""
        return marimo.ui.anywidget(self._channel.widget)

    def replace(self, marimo: Any) -> None:
        """Replace it at the end, on a thread of the cell: marimo lets no other do it."""
        self.finished.wait()
        if not marimo.current_thread().should_exit:  # the cell has not run again
            marimo.output.replace(_static(marimo, self._output[0]))


class _Running(WeakValueDictionary[int, _View]):
    """The views of the answers that run, by the id of the answer."""
