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
from groq_magic.limits.planner import Share
from groq_magic.prompt.interpolation import interpolate, mark, unspaced
from groq_magic.prompt.values import to_text
from groq_magic.wire.endpoint import Endpoint

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

    def fill_cell(self, cell: str, arguments: dict[str, Any]) -> tuple[str, dict[str, int]]:
        """The cell with its expressions replaced, and the characters of each value.

        The images of the values are appended to those of the arguments. A value that is larger
        than its share of the account's minute is cut, but not in a kept question, which is the
        same for each account.
        """
        share = None if _is_kept(arguments) else _share(cell, arguments)
        images = arguments["images"]
        to_text = partial(self._to_text_of, share) if share else self._to_text
        filled = interpolate(cell, self.variables, to_text, images=len(images))
        images += filled.images
        for value, cut in filled.cuts.items():
            print(f"The model gets {cut} of {value}.")
        for name in unspaced(cell, self.variables):
            text = f"{{{{{name}}}}} was sent unchanged. To send the value of {name}, write "
            print(f"{text}{{{{ {name} }}}} with spaces.", file=sys.stderr)
        return filled.text, filled.sizes

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

    def _to_text_of(self, share: Share, value: object) -> str | bytes:
        text = self._to_text(value)
        if isinstance(text, bytes) or (over := share.excess(text)) <= 1:
            return text
        return to_text(value, self._formats, int(len(text) / over))

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


def _is_kept(arguments: Mapping[str, Any]) -> bool:
    return any(arguments.get(name) for name in ("keep", "fresh", "replay"))


def _share(cell: str, arguments: Mapping[str, Any]) -> Share | None:
    text, expressions = mark(cell)
    endpoint = Endpoint.from_environment(arguments.get("base_url"), needs_key=False)
    return Share.of(endpoint, arguments, text, len(expressions))


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
