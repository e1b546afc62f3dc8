"""What a cell's prompt can reach: the user's names, how they display, the last error."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from IPython.core.error import UsageError

from groq_magic.conversation import DEFAULT_CHAT, Conversation
from groq_magic.errors import GroqError, InputError
from groq_magic.prompt.messages import interpolate
from groq_magic.prompt.values import shown

_OWN_ERRORS = (GroqError, KeyboardInterrupt, UsageError)


class Notebook:
    """The user's side of an IPython ``shell``."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._last_error: BaseException | None = None
        self._keep(getattr(sys, "last_value", None))
        shell.events.register("post_run_cell", self._keep_error)

    def close(self) -> None:
        """Hear of no more cells."""
        self._shell.events.unregister("post_run_cell", self._keep_error)

    @property
    def names(self) -> Mapping[str, Any]:
        """The user's names and, where that is none of them, ``error``: the last traceback."""
        names: dict[str, Any] = self._shell.user_ns
        if self._last_error is None:
            return names
        return {"error": _plain_traceback(self._last_error), **names}

    def tell(self, value: object) -> str | bytes:
        """A value as a prompt says it, see `values.shown`."""
        return shown(value, self._formats)

    def fill(self, text: str, form: Callable[[str], str] = str) -> str:
        """A flag's text with its values, each in that form."""

        def tell(value: object) -> str:
            told = self.tell(value)
            if isinstance(told, bytes):
                raise InputError("it is an image: give its name to --image")
            return form(told)

        return interpolate(text, self.names, tell).text

    def chat(self, name: str | None) -> str | Conversation:
        """The variable of that name, if it holds a chat, else the chat of that name."""
        variable = self._shell.user_ns.get(name)
        return variable if isinstance(variable, Conversation) else name or DEFAULT_CHAT

    def image(self, name: str) -> object:
        """What the variable of that name holds, else the name, which is a path or address."""
        if "{{ " in name:
            raise InputError("--image takes no {{ }}: give a variable's name, or a path.")
        return self._shell.user_ns.get(name, name) if name.isidentifier() else name

    def _formats(self, value: object) -> Callable[[str], Any]:
        display = self._shell.display_formatter
        bundle = _unguarded(display.mimebundle_formatter)(value) or {}
        data = bundle[0] if isinstance(bundle, tuple) else bundle

        def display_as(mime_type: str) -> Any:
            if mime_type in data or mime_type not in display.formatters:
                return data.get(mime_type)
            return _unguarded(display.formatters[mime_type])(value)

        return display_as

    def _keep_error(self, result: Any) -> None:
        self._keep(result.error_before_exec or result.error_in_exec)

    def _keep(self, error: BaseException | None) -> None:
        """Keep an error that a prompt may be about, which none of a prompt's own is."""
        if not (error is None or isinstance(error, _OWN_ERRORS)):
            self._last_error = error


def _unguarded(formatter: Any) -> Callable[[object], Any]:
    """The formatter, but an error goes to the caller: IPython's own guard would print it."""
    call = type(formatter).__call__
    return partial(getattr(call, "__wrapped__", call), formatter)


def _plain_traceback(error: BaseException) -> str:
    frames = error.__traceback__
    while frames and str(frames.tb_frame.f_globals.get("__name__")).startswith("IPython."):
        frames = frames.tb_next  # those that ran the cell
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()
