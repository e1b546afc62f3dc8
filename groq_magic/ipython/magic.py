"""`%%groq` and `%groq`: flags to `stream()`. Nothing else is done here."""

from __future__ import annotations

import json
import keyword
import shlex
import sys
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Bool, Float, Int, Unicode

from groq_magic.errors import InputError, printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from groq_magic.answer import Answer
    from groq_magic.conversation import Conversation

    from .namespace import Notebook

_OURS = "groq_magic"
_NO_PARAMETERS = {"", "prompt", "system", "images", "chat", "base_url", "timeout", "max_retries"}
_NO_PARAMETERS |= {"display", "out", "wait", "raw"}
_NUMBERS: dict[str, Callable[[str], Any]] = {"temperature": float, "top_p": float}
_NUMBERS |= {"max_completion_tokens": int, "seed": int}


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ArgumentTypeError(f"{text!r} cannot be the name of a variable")
    return text


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(printable(f"%%groq: {message}. The flags: %%groq?"))


def _parser() -> _Parser:
    parser = _Parser(
        "%%groq",
        description="Send the cell to a model at Groq; its answer is typed out below the cell.",
        epilog="The kernel is free while the answer comes. Stop ends it and keeps its text.",
        formatter_class=RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-m", "--model", help="default: openai/gpt-oss-120b")
    add("-s", "--system", metavar="TEXT", help="what it is told first; or @FILE")
    add("-t", "--temperature", metavar="T", help="0 to 2")
    add("--top-p", metavar="P", help="0 to 1")
    add(
        "--max-tokens",
        metavar="N",
        dest="max_completion_tokens",
        help="the longest answer, reasoning included",
    )
    add("--seed", metavar="N", help="the same answer again, as far as possible")
    add("--stop", action="append", metavar="TEXT", help="end before it; up to four times")
    add("--reasoning-effort", metavar="WORD", help="none, low, medium, high: as the model has it")
    add("--reasoning-format", metavar="WORD", help="parsed, raw, hidden")
    add("--service-tier", metavar="WORD", help="auto, on_demand, flex, performance")
    add(
        "--param",
        action="append",
        metavar="KEY=JSON",
        help="any other parameter of the API; as often as wanted",
    )
    add(
        "-c",
        "--chat",
        nargs="?",
        const="",
        metavar="NAME",
        help="go on with the notebook's chat, or with that of the name",
    )
    add(
        "--image",
        action="append",
        dest="images",
        metavar="PATH",
        help="a file, an address, or a variable: a figure, an image, bytes; up to five times",
    )
    add("--raw", action="store_true", default=None, help="send {{ }} as it stands")
    add("-o", "--out", type=_name, metavar="NAME", help="a variable that gets the Answer")
    add("--wait", action=BooleanOptionalAction, help="the cell ends when the answer has")
    return parser


class _Interrupted(KeyboardInterrupt):
    """An interrupt of a waiting cell: it stops the cells behind it, too, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@magics_class
class GroqMagic(Magics):
    """The cell magic and the line magic.

    What a cell's flags leave open is taken from here: ``%config GroqMagic.model = "…"``, or
    ``c.GroqMagic.model = "…"`` in the profile's ``ipython_config.py``. None leaves it to Groq.
    The key is not among it.
    """

    model = Unicode(None, allow_none=True, help="The model.").tag(config=True)
    system = Unicode(None, allow_none=True, help="What the model is told first.").tag(config=True)
    temperature = Float(None, allow_none=True, help="0 to 2.").tag(config=True)
    max_completion_tokens = Int(
        None, allow_none=True, help="The longest answer, reasoning included."
    ).tag(config=True)
    reasoning_effort = Unicode(
        None, allow_none=True, help="none, low, medium, high: as the model has it."
    ).tag(config=True)
    base_url = Unicode(None, allow_none=True, help="Before GROQ_BASE_URL.").tag(config=True)
    timeout = Float(
        None, allow_none=True, help="The server's longest silence, in seconds; 60."
    ).tag(config=True)
    max_retries = Int(
        None, allow_none=True, help="How often a request that failed in passing is sent again; 2."
    ).tag(config=True)
    wait = Bool(None, allow_none=True, help="A cell ends when its answer has.").tag(config=True)

    show_reasoning = Bool(
        None, allow_none=True, help="What the model thinks is shown, folded; True."
    ).tag(config=True)

    parser = _parser()

    @no_var_expand  # IPython would take single braces and dollars for variables
    @cell_magic("groq")  # type: ignore[arg-type]  # its own types allow no function
    def ask(self, line: str, cell: str) -> None:  # noqa: D102  # the parser writes it
        with _in_a_line():
            from groq_magic.display.show import (
                show,  # imported now: loading the extension must cost nothing
            )

            answer, wait = self._asked(line, cell)
        try:
            waited = show(answer, wait=wait, reasoning=self.show_reasoning)
        except KeyboardInterrupt:
            answer.stop()  # it may have come before anything waited
            said = "Interrupted: the answer was stopped; what had come is kept."
            raise _Interrupted(said) from None
        if waited and answer.error is not None:
            raise answer.error

    def _asked(self, line: str, cell: str) -> tuple[Answer, bool | None]:
        from groq_magic.api import stream

        given = _flags(line, self._notebook)
        out, wait = given.pop("out", None), given.pop("wait", self.wait)
        given["images"] = list(map(self._notebook.image, given.get("images", ())))
        text = cell if given.pop("raw", False) else self._filled(cell, given["images"])
        answer = stream(text, **(self._defaults(given.get("chat")) | given))
        if out and self.shell:
            self.shell.user_ns[out] = answer
        return answer, wait

    def _filled(self, cell: str, images: list[object]) -> str:
        """The cell with its values; those that are images are added to ``images``."""
        from groq_magic.prompt.messages import interpolate, unspaced

        names = self._notebook.names
        filled = interpolate(cell, names, self._notebook.tell, images=len(images))
        images += filled.images
        for name in unspaced(cell, names):
            braces = f"{{{{{name}}}}} was sent as it stands. For the value of {name} write"
            print(f"{braces} {{{{ {name} }}}}, with blanks.", file=sys.stderr)
        return filled.text

    @cached_property
    def _notebook(self) -> Notebook:
        from .namespace import Notebook

        return Notebook(self.shell)

    def close(self) -> None:
        """Leave the shell alone from now on."""
        if "_notebook" in vars(self):
            self._notebook.close()

    def _configured(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in GroqMagic.class_own_traits(config=True)}
        return {name: value for name, value in values.items() if value is not None}

    def _defaults(self, chat: str | Conversation | None) -> dict[str, Any]:
        """What the flags go before: the settings, and before those what a chat was told first."""
        from groq_magic.conversation import Conversation, chat_named

        settings = self._configured()
        for of_the_view in ("wait", "show_reasoning"):
            settings.pop(of_the_view, None)
        if chat is not None:
            chat = chat if isinstance(chat, Conversation) else chat_named(chat)
            if chat.system is not None:
                settings["system"] = chat.system
        return settings

    def completions(self, line: str, number: int) -> tuple[str, list[str]]:
        """The word before the cursor, and what it may become, in a cell's line of that number."""
        is_ours = line.startswith("%groq ") or (number == 0 and line.startswith("%%groq "))
        if not is_ours:
            return "", []
        from . import commands

        return commands.completions(line, self._flag_names(), self._configured())

    def _flag_names(self) -> list[str]:
        return [name for one in self.parser._actions for name in one.option_strings]  # noqa: SLF001

    ask.__doc__ = parser.format_help()  # type: ignore[assignment]

    @line_magic("groq")  # type: ignore[arg-type]
    def command(self, line: str) -> None:
        """Commands around `%%groq`.

        %groq            model, server, key, what runs, what is left, what it cost
        %groq models     the server's models, their sizes and prices
        %groq stop       end the answer that was asked last; %groq stop all: every one
        %groq last [N]   the last answer again, or the last N
        %groq code [N]   the last answer's first code block, or the N-th, into a new cell
        %groq chats      the chats of this kernel; %groq forget NAME: begin that one anew
        %groq login      take a key, unseen, for this kernel alone; before GROQ_API_KEY
        %groq demo       answers from a server on this machine: no key, no network
        %groq demo off   answers from Groq again
        """
        try:
            with _in_a_line():
                from . import commands

                commands.run(line, self.shell, self._configured())
        except KeyboardInterrupt:
            raise _Interrupted("Interrupted.") from None


@contextmanager
def _in_a_line() -> Iterator[None]:
    """Bad input, and a package that is missing, is said in a line, without a traceback."""
    try:
        yield
    except InputError as error:
        raise UsageError(str(error)) from None
    except ImportError as error:
        raise UsageError(
            f"%%groq cannot run: {error}. "
            "Bring what is missing with %pip install groq-magic, and restart the kernel."
        ) from None


def _flags(line: str, notebook: Notebook) -> dict[str, Any]:
    """The flags by `stream()`'s names, those not given left out.

    Values are filled in when the flags are known: a value is text, never a flag or a file.
    """
    parsed = vars(GroqMagic.parser.parse_args(_words(line)))
    given = {name: value for name, value in parsed.items() if value is not None}
    fill = _unfilled if "raw" in given else notebook.fill
    parameters = dict(_parameter(text, fill) for text in given.pop("param", ()))
    meant = {name: _meant(name, value, fill) for name, value in given.items()}
    if "chat" in given and meant["chat"] == given["chat"]:  # a value names no variable
        meant["chat"] = notebook.chat(given["chat"])
    return meant | parameters


def _words(line: str) -> list[str]:
    """The words of the line, each expression within one of them."""
    from groq_magic.prompt.messages import marked

    try:
        text, expressions = marked(line)
        words = shlex.split(text)
    except InputError:
        if "--raw" not in line.split():
            raise
        return shlex.split(line)
    except ValueError as error:
        raise InputError(f"%%groq {line}: {error}.") from None
    for number, expression in enumerate(expressions):
        words = [word.replace(f"\0{number}\0", expression) for word in words]
    return words


def _meant(name: str, value: Any, fill: Callable[..., str]) -> Any:
    """What was typed behind a flag, with its values."""
    if name == "stop":
        return list(map(fill, value))
    if name == "out" or not isinstance(value, str):
        return value
    if name == "system" and value.startswith("@"):
        return _content(fill(value[1:]))
    text = fill(value)
    with suppress(ValueError):  # `stream()` says what is no number
        return _NUMBERS.get(name, str)(text)
    return text


def _unfilled(text: str, _form: object = None) -> str:
    return text


def _content(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8")
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"-s cannot read {path}: {error}") from None


def _parameter(text: str, fill: Callable[..., str]) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if name in _NO_PARAMETERS or "{{" in name:
        raise InputError(f"--param {text}: {name or text} is no parameter of the API.")
    filled = fill(value, str if value.startswith("{{") else _within_quotes)
    try:
        return name, json.loads(filled)
    except ValueError:
        raise InputError(
            f"--param {text!r} is not KEY=JSON, as in top_k=40 or user='\"me\"'."
        ) from None


def _within_quotes(text: str) -> str:
    """The text as JSON has it between quotes, which it cannot end."""
    return json.dumps(text)[1:-1]


def load(shell: InteractiveShell) -> None:
    """Register the magics, and what Tab offers in them."""
    shell.register_magics(GroqMagic)
    with suppress(ImportError):  # IPython before 8.6 has no such matchers
        matcher = _matcher_for(shell.magics_manager.registry["GroqMagic"])
        shell.Completer.custom_matchers.append(matcher)


def unload(shell: InteractiveShell) -> None:
    """Take them out again; answers that run go on."""
    manager = shell.magics_manager
    for kind in ("cell", "line"):
        manager.magics[kind].pop("groq", None)
    if magic := manager.registry.pop("GroqMagic", None):
        magic.close()
        shell.configurables.remove(magic)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if getattr(one, "matcher_identifier", "") != _OURS]


def _matcher_for(magic: GroqMagic) -> Any:
    from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

    @context_matcher(identifier=_OURS)
    def matcher(context: CompletionContext) -> Any:
        begun, words = magic.completions(context.text_until_cursor, context.cursor_line)
        completions = [SimpleCompletion(word) for word in words]
        # Where we have any, Python's words have no place.
        return {"completions": completions, "matched_fragment": begun, "suppress": bool(words)}

    return matcher
