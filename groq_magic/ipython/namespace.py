"""What a prompt can use of the notebook: variables, their display formats, the last error."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from IPython.core.error import UsageError

from groq_magic.conversation import DEFAULT_CHAT, Conversation, chat_named
from groq_magic.errors import GroqError, InputError
from groq_magic.prompt.interpolation import interpolate, unspaced
from groq_magic.prompt.values import to_text

_OWN_ERRORS = (GroqError, KeyboardInterrupt, UsageError)


class Namespace:
    """The variables and the last error of an IPython ``shell``."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._last_error: BaseException | None = None
        self._keep(getattr(sys, "last_value", None))
        shell.events.register("post_run_cell", self._keep_error)

    def close(self) -> None:
        """Stop following the cells."""
        self._shell.events.unregister("post_run_cell", self._keep_error)

    @property
    def variables(self) -> Mapping[str, Any]:
        """The user's variables, and ``error``, the last traceback, unless the user has one."""
        variables: dict[str, Any] = self._shell.user_ns
        if self._last_error is None:
            return variables
        return {"error": _plain_traceback(self._last_error), **variables}

    def fill_cell(self, cell: str, images: list[Any]) -> str:
        """The cell with its expressions replaced; their images are appended to ``images``."""
        filled = interpolate(cell, self.variables, self._to_text, images=len(images))
        images += filled.images
        for name in unspaced(cell, self.variables):
            text = f"{{{{{name}}}}} was sent unchanged. To send the value of {name}, write "
            print(f"{text}{{{{ {name} }}}} with spaces.", file=sys.stderr)
        return filled.text

    def fill(self, text: str, form: Callable[[str], str] = str) -> str:
        """A flag's text with its expressions replaced; ``form`` converts each value."""

        def text_only(value: object) -> str:
            text = self._to_text(value)
            if isinstance(text, bytes):
                raise InputError("it is an image: pass its name to --image")
            return form(text)

        return interpolate(text, self.variables, text_only).text

    def chat(self, name: str, *, is_typed: bool) -> Conversation:
        """The chat of that name; a name that the user typed may be a variable's."""
        variable = self._shell.user_ns.get(name) if is_typed else None
        return variable if isinstance(variable, Conversation) else chat_named(name or DEFAULT_CHAT)

    def image(self, name: str) -> object:
        """The value of the variable of that name, else the name: a path or an address."""
        if "{{ " in name:
            raise InputError("--image takes no {{ }}: give the name of a variable, or a path.")
        return self._shell.user_ns.get(name, name) if name.isidentifier() else name

    def _to_text(self, value: object) -> str | bytes:
        return to_text(value, self._formats)

    def _formats(self, value: object) -> Callable[[str], Any]:
        display = self._shell.display_formatter
        bundle = _raising(display.mimebundle_formatter)(value) or {}
        data = bundle[0] if isinstance(bundle, tuple) else bundle

        def display_as(mime_type: str) -> Any:
            if mime_type in data or mime_type not in display.formatters:
                return data.get(mime_type)
            return _raising(display.formatters[mime_type])(value)

        return display_as

    def _keep_error(self, result: Any) -> None:
        self._keep(result.error_before_exec or result.error_in_exec)

    def _keep(self, error: BaseException | None) -> None:
        """Keep the error of a user's cell, for ``{{ error }}``; ignore those of `%%groq`."""
        if error is not None and not isinstance(error, _OWN_ERRORS):
            self._last_error = error


def _raising(formatter: Any) -> Callable[[object], Any]:
    """The formatter without IPython's guard, which prints an error instead of raising it."""
    call = type(formatter).__call__
    return partial(getattr(call, "__wrapped__", call), formatter)


def _plain_traceback(error: BaseException) -> str:
    """The traceback from the user's cell on, without IPython's own frames."""
    frames = error.__traceback__
    while frames and str(frames.tb_frame.f_globals.get("__name__")).startswith("IPython."):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()
