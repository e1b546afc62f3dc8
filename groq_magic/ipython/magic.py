"""The magics: `%%groq` passes its flags to `stream()`; `%groq` runs a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Bool, Float, Int, TraitType, Unicode

from groq_magic.errors import InputError, TooLongError, check_threads

from . import flags
from .ceiling import Interrupted, ceiling_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from groq_magic.answer import Answer

    from .namespace import Namespace

_TRAITS = {str: Unicode, float: Float, int: Int, bool: Bool}


def _setting(kind: type, text: str) -> TraitType[Any, Any]:
    trait: TraitType[Any, Any] = _TRAITS[kind](None, allow_none=True, help=text)
    return trait.tag(config=True)


FlagSettings: Any = type(
    "FlagSettings",
    (Magics,),
    {flag.name: _setting(flag.kind, flag.help) for flag in flags.SETTINGS},
)


def _flag_help() -> str:
    return flags.parser().format_help()


def _command_help() -> str:
    from . import commands

    return commands.format_help()


@magics_class
class GroqMagic(FlagSettings):
    """The magics and the defaults of their flags.

    Set one with ``%config GroqMagic.model = "…"``, or ``c.GroqMagic.model = "…"`` in the
    profile's ``ipython_config.py``. None leaves it to the API. The key is not a setting.
    """

    base_url = _setting(str, "the server; overrides GROQ_BASE_URL")
    timeout = _setting(float, "seconds without any data after which an answer fails; default: 60")
    max_retries = _setting(int, "how often a request is repeated after a passing fault; default: 2")
    store = _setting(str, "the file for --keep; default: groq-answers.db in the working directory")
    never_keep = _setting(str, "a regular expression; a cell or prompt that it matches is not kept")
    budget = _setting(float, "USD; ask before all answers of this kernel may cost more")
    show_reasoning = _setting(bool, "show the model's reasoning; default: True")

    @no_var_expand  # IPython would fill in {name} and $name
    @cell_magic("groq")  # type: ignore[arg-type]  # its own types allow no function
    def ask(self, line: str, cell: str) -> None:
        """Send the cell to a model at Groq: see ``%%groq?``."""
        with _one_line_errors():
            from groq_magic.display.show import show  # loading the extension must be fast

            answer, wait = self._ask(line, cell)
        try:
            waited = show(answer, wait=wait, reasoning=self.show_reasoning)
        except KeyboardInterrupt:
            answer.stop()  # it may have come before the wait
            kept = "; its text so far is kept" if answer.text else ""
            raise Interrupted(f"Interrupted: the answer was stopped{kept}.") from None
        if waited and answer.error is not None:
            raise answer.error

    ask.getdoc = _flag_help  # type: ignore[assignment]  # IPython calls it for ?

    @line_magic("groq")  # type: ignore[arg-type]
    def command(self, line: str) -> None:
        """Commands about models, answers and chats: see ``%groq?``."""
        try:
            with _one_line_errors():
                from . import commands

                commands.run(line, self.shell, self.settings())
        except KeyboardInterrupt:
            raise Interrupted("Interrupted.") from None

    command.getdoc = _command_help  # type: ignore[assignment]

    def close(self) -> None:
        """Detach from the shell."""
        if "_namespace" in vars(self):
            self._namespace.close()

    def settings(self) -> dict[str, Any]:
        """What is configured, by name."""
        values = {name: getattr(self, name) for name in self.trait_names(config=True)}
        return {name: value for name, value in values.items() if value is not None}

    @cached_property
    def _namespace(self) -> Namespace:
        from .namespace import Namespace

        return Namespace(self.shell)

    def _ask(self, line: str, cell: str) -> tuple[Answer, bool | None]:
        """The answer, and whether the cell waits for its end."""
        from groq_magic.api import stream
        from groq_magic.display.show import resume_here

        given = flags.parse(line, self._namespace)
        arguments = self.settings() | given
        ceiling = ceiling_of(arguments)
        if arguments.pop("resume", False):
            with ceiling:
                answer = resume_here()
            return self._named(given.get("out"), answer), given.get("wait", self.wait)
        chat = given.get("chat")
        if chat is not None and chat.system is not None:
            arguments["system"] = given.get("system")  # the chat overrides the setting
        out, raw, wait, *_ = (
            arguments.pop(name, None) for name in ("out", "raw", "wait", "show_reasoning", "budget")
        )
        flags.use_built_in_tools(arguments)
        arguments["images"] = list(map(self._namespace.image, given.get("images", ())))
        text, sizes = (cell, {}) if raw else self._namespace.fill_cell(cell, arguments)
        flags.choose_how_to_keep(arguments, line, cell, text)
        with ceiling, _naming_the_longest(sizes):
            return self._named(out, stream(text, **arguments)), wait

    def _named(self, name: str | None, answer: Answer) -> Answer:
        if name and self.shell:
            self.shell.user_ns[name] = answer
        return answer


@contextmanager
def _naming_the_longest(sizes: dict[str, int]) -> Iterator[None]:
    """Say which value makes a request too long; ``sizes`` has the characters of each."""
    try:
        yield
    except TooLongError as error:
        if not sizes:
            raise
        value = max(sizes, key=sizes.__getitem__)
        said = f"{error} The longest value is {value}: {sizes[value]:,} characters."
        raise InputError(said) from None


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Show invalid input, and a missing package, as one line without a traceback."""
    check_threads()  # before it looks as if a package were missing
    try:
        yield
    except InputError as error:
        raise UsageError(str(error)) from None
    except ImportError as error:
        raise UsageError(
            f"%%groq cannot run: {error}. "
            "Install what is missing with %pip install groq-magic, and restart the kernel."
        ) from None


def load(shell: InteractiveShell) -> None:
    """Register the magics and Tab completion."""
    shell.register_magics(GroqMagic)
    with suppress(ImportError):  # IPython before 8.6 has no matchers
        from .completion import matcher

        magic = shell.magics_manager.registry["GroqMagic"]
        shell.Completer.custom_matchers.append(matcher(magic.settings))


def unload(shell: InteractiveShell) -> None:
    """Remove both; running answers continue."""
    manager = shell.magics_manager
    for kind in ("cell", "line"):
        manager.magics[kind].pop("groq", None)
    if magic := manager.registry.pop("GroqMagic", None):
        magic.close()
        shell.configurables.remove(magic)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", "") != "groq_magic"]
