"""`%%groq` and `%groq`: flags to `stream()`. Nothing else is done here."""

from __future__ import annotations

import json
import keyword
import shlex
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    RawDescriptionHelpFormatter,
)
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from traitlets import Bool, Float, Int, Unicode

from .errors import InputError


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ArgumentTypeError(f"{text!r} cannot be the name of a variable")
    return text


def _text_or_file(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentTypeError(f"cannot read {text[1:]}: {error}") from None


def _parameter(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if name in ("prompt", "system", "base_url", "display"):
        raise ArgumentTypeError(f"{name} is no parameter of the API")
    try:
        return name, json.loads(value)
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is not KEY=JSON, as in top_k=40 or user='\"me\"'"
        ) from None


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%groq: {message}. The flags: %%groq?")


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
    add(
        "-s", "--system", type=_text_or_file, metavar="TEXT", help="what it is told first; or @FILE"
    )
    add("-t", "--temperature", type=float, metavar="T", help="0 to 2")
    add("--top-p", type=float, metavar="P", help="0 to 1")
    add(
        "--max-tokens",
        type=int,
        metavar="N",
        dest="max_completion_tokens",
        help="the longest answer, reasoning included",
    )
    add("--seed", type=int, metavar="N", help="the same answer again, as far as possible")
    add("--stop", action="append", metavar="TEXT", help="end before it; up to four times")
    add("--reasoning-effort", metavar="WORD", help="none, low, medium, high: as the model has it")
    add("--reasoning-format", metavar="WORD", help="parsed, raw, hidden")
    add("--service-tier", metavar="WORD", help="auto, on_demand, flex, performance")
    add(
        "--param",
        type=_parameter,
        action="append",
        metavar="KEY=JSON",
        help="any other parameter of the API; as often as wanted",
    )
    add("-o", "--out", type=_name, metavar="NAME", help="a variable that gets the Answer")
    add("--wait", action=BooleanOptionalAction, help="the cell ends when the answer has")
    return parser


class _Interrupted(KeyboardInterrupt):
    """An interrupt of a waiting cell: it stops the cells behind it, too, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return ["Interrupted: the answer was stopped; what had come is kept."]


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

    parser = _parser()

    @cell_magic("groq")  # type: ignore[arg-type]  # its own types allow no function
    def ask(self, line: str, cell: str) -> None:  # noqa: D102  # the parser writes it
        flags = self._configured() | _flags(line)
        out, wait = flags.pop("out", None), flags.pop("wait", None)
        with _importing():  # now: loading the extension must cost nothing
            from .api import stream
            from .view import show

        try:
            answer = stream(cell, **flags)
        except InputError as error:
            raise UsageError(str(error)) from None
        if out and self.shell:
            self.shell.user_ns[out] = answer
        try:
            waited = show(answer, wait=wait)
        except KeyboardInterrupt:
            answer.stop()  # it may have come before anything waited
            raise _Interrupted from None
        if waited and answer.error is not None:
            raise answer.error

    def _configured(self) -> dict[str, Any]:
        names = GroqMagic.class_own_traits(config=True)
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    ask.__doc__ = parser.format_help()  # type: ignore[assignment]

    @line_magic("groq")  # type: ignore[arg-type]
    def command(self, line: str) -> None:
        """Commands around `%%groq`.

        %groq last [N]   the last answer again, or the last N
        %groq demo       answers from a server on this machine: no key, no network
        %groq demo off   answers from Groq again
        """
        match line.split():
            case ["last", *number]:
                _show_last(number)
            case ["demo"]:
                _demo_on()
            case ["demo", "off"]:
                _demo_off()
            case _:
                raise UsageError("%groq last [N], or %groq demo [off]. To ask a model: %%groq")


def _show_last(words: list[str]) -> None:
    number = words[0] if words else "1"
    if len(words) > 1 or not (number.isdecimal() and int(number) > 0):
        raise UsageError("%groq last takes how many answers: %groq last 3")
    with _importing():
        from .view import show_last

    if not show_last(int(number)):
        print("There is no answer in this kernel yet. Ask for one with %%groq.")


def _demo_on() -> None:
    with _importing():
        from .api import use_endpoint
        from .client import Endpoint

    url = _start_demo()
    use_endpoint(Endpoint(url))  # without the key: the demo has no business with it
    print(f"Answers come from the demo server on this machine, {url}")
    print("They are written beforehand. Back to Groq: %groq demo off")


def _demo_off() -> None:
    with _importing():
        from .api import use_endpoint

    use_endpoint(None)
    print("Answers come from Groq again.")


def _flags(line: str) -> dict[str, Any]:
    """The magic line's flags by `stream()`'s names, those not given left out."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%%groq {line}: {error}.") from None
    given = vars(GroqMagic.parser.parse_args(words))
    given |= dict(given.pop("param") or ())
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def _importing() -> Iterator[None]:
    """A package that is missing is said in a line, without a traceback."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"%%groq cannot run: {error}. "
            "Bring what is missing with %pip install groq-magic, and restart the kernel."
        ) from None


def _start_demo() -> str:
    try:
        from . import demo
    except ImportError:
        raise UsageError("The demo server needs tornado: pip install tornado") from None
    return demo.start()
