"""The flags of `%%groq`: the parser, help, Tab completion and settings follow from `FLAGS`."""

from __future__ import annotations

import json
import keyword
import re
import shlex
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from IPython.core.error import UsageError

from groq_magic.errors import InputError, printable
from groq_magic.wire import DEFAULT_MODEL

if TYPE_CHECKING:
    from .namespace import Namespace


class Flag(NamedTuple):
    """One flag of `%%groq`."""

    names: str
    """Separated by a space, the long name last."""
    metavar: str
    """The value in the help; in brackets if optional. Tab completes MODEL and CHAT."""
    help: str
    kind: type = str
    """The type of the value; a list is for flags that can be repeated."""
    parameter: str = ""
    """The parameter of `stream()`, if it is not the long name."""
    is_setting: bool = True
    """Whether ``%config GroqMagic`` has a default for it."""

    @property
    def name(self) -> str:
        """The name of the parameter and of the setting."""
        return self.parameter or self.names.rpartition("--")[2].replace("-", "_")

    def add_to(self, parser: ArgumentParser) -> None:
        """Declare the flag to argparse."""
        options: dict[str, Any] = {"metavar": self.metavar.strip("[]")}
        if self.kind is bool:
            options = {"action": BooleanOptionalAction if self.is_setting else "store_true"}
        elif self.kind is list:
            options["action"] = "append"
        elif self.metavar.startswith("["):
            options |= {"nargs": "?", "const": ""}
        parser.add_argument(*self.names.split(), dest=self.name, help=self.help, **options)


API_FLAGS = (
    Flag("-m --model", "MODEL", "the model; default: openai/gpt-oss-120b"),
    Flag("-t --temperature", "T", "sampling temperature, 0 to 2", float),
    Flag("--top-p", "P", "nucleus sampling, 0 to 1", float),
    Flag("--max-tokens", "N", "the most tokens, reasoning included", int, "max_completion_tokens"),
    Flag("--seed", "N", "ask for the same answer again, as far as possible", int),
    Flag("--stop", "TEXT", "end the answer before this text; up to four times", list),
    Flag("--reasoning-effort", "WORD", "none, low, medium or high; depends on the model"),
    Flag("--reasoning-format", "WORD", "parsed, raw or hidden"),
    Flag("--service-tier", "WORD", "auto, on_demand, flex or performance"),
)
"""Parameters of the API, passed on unchanged."""

CELL_FLAGS = (
    Flag("--param", "KEY=JSON", "any other parameter of the API; repeatable", list),
    Flag("-s --system", "TEXT", "the system prompt; the flag also takes @FILE"),
    Flag("-c --chat", "[CHAT]", "go on with the notebook's chat, or this one", is_setting=False),
    Flag("--continue", "", "go on with this cell's answer", bool, "resume", is_setting=False),
    Flag("--image", "PATH", "a file, address or variable; repeatable", list, "images"),
    Flag("--search", "", "let a gpt-oss model search the web", bool, is_setting=False),
    Flag("--python", "", "let a gpt-oss model run Python at Groq", bool, is_setting=False),
    Flag("--raw", "", "send {{ }} unchanged", bool, is_setting=False),
    Flag("-o --out", "NAME", "the variable for the Answer", is_setting=False),
    Flag("--max-cost", "USD", "ask before the answer may cost more", float),
    Flag("--keep", "", "keep the answer on disk, and take it from there next time", bool),
    Flag("--fresh", "", "ask anew, and replace the kept answer", bool, is_setting=False),
    Flag("--replay", "", "type a kept answer out", bool, is_setting=False),
    Flag("--wait", "", "finish the cell when the answer ends", bool),
)
"""Flags that `%%groq` itself handles."""

FLAGS = API_FLAGS + CELL_FLAGS
SETTINGS = [flag for flag in FLAGS if flag.is_setting and flag.kind is not list]
_KINDS = {flag.name: flag.kind for flag in FLAGS}
_NOT_OF_THE_API = {"", "prompt", "base_url", "timeout", "max_retries", "display", "store"}
_NOT_OF_THE_API |= {flag.name for flag in CELL_FLAGS}
_BUILT_IN_TOOLS = {"search": "browser_search", "python": "code_interpreter"}
"""The tools of gpt-oss at Groq, by flag: https://console.groq.com/docs/browser-search"""


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(printable(f"%%groq: {message}. All flags: %%groq?"))


@cache
def parser() -> ArgumentParser:
    """Made when a flag is read first: each kernel loads this module."""
    parser = _Parser(
        "%%groq",
        description="Send the cell to a model at Groq and stream the answer below the cell.",
        epilog="The kernel stays free. Stop ends the answer and keeps its text.",
        add_help=False,
        allow_abbrev=False,
    )
    for flag in FLAGS:
        flag.add_to(parser)
    return parser


def parse(line: str, namespace: Namespace) -> dict[str, Any]:
    """The given flags by `Flag.name`, and the parameters of ``--param``.

    Expressions are filled after the flags are parsed: a value is text, never a flag or a file.
    """
    parsed = vars(parser().parse_args(_words(line)))
    given = {name: value for name, value in parsed.items() if value is not None}
    fill = _unfilled if given.get("raw") else namespace.fill
    parameters = dict(_parameter(text, fill) for text in given.pop("param", ()))
    filled = {name: _filled(name, value, fill) for name, value in given.items()}
    if "chat" in given:
        is_typed = filled["chat"] == given["chat"]
        filled["chat"] = namespace.chat(filled["chat"], is_typed=is_typed)
    return filled | parameters


def use_built_in_tools(arguments: dict[str, Any]) -> None:
    """Replace ``--search`` and ``--python`` by the API's ``tools``.

    Raises `InputError` for a model that has no such tools.
    """
    asked = [name for name in _BUILT_IN_TOOLS if arguments.pop(name, False)]
    model, tools = arguments.get("model", DEFAULT_MODEL), arguments.get("tools", [])
    if not asked:
        return
    if not re.search(r"gpt-oss|^demo/", model):
        advice = "leave it out: compound models search and run Python by themselves"
        advice = advice if "compound" in model else f"choose one, as in -m {DEFAULT_MODEL}"
        raise InputError(f"--{asked[0]} works with gpt-oss models, not with {model}: {advice}.")
    if not isinstance(tools, list):
        raise InputError(f"tools must be a list, not {tools!r}.")
    arguments["tools"] = [*tools, *({"type": _BUILT_IN_TOOLS[name]} for name in asked)]


def choose_how_to_keep(arguments: dict[str, Any], *texts: str) -> None:
    """Replace ``--fresh``, ``--replay`` and the setting ``never_keep`` by `stream()`'s ``keep``.

    What ``never_keep`` matches in one of the texts or in the system prompt is not kept. Raises
    `InputError` for a pattern that is none.
    """
    names = ("fresh", "replay", "never_keep")
    fresh, replay, never = (arguments.pop(name, None) for name in names)
    keep = "fresh" if fresh else "replay" if replay else arguments.get("keep", False)
    try:
        secret = never and re.search(never, "\n".join([*texts, arguments.get("system") or ""]))
    except re.error as error:
        raise InputError(f"GroqMagic.never_keep is not a regular expression: {error}.") from None
    arguments["keep"] = False if secret else keep


def _words(line: str) -> list[str]:
    """The words of the line; an expression is part of one word."""
    from groq_magic.prompt.interpolation import mark

    try:
        text, expressions = mark(line)
    except InputError:
        if "--raw" not in line.split():
            raise
        text, expressions = line, []
    try:
        words = shlex.split(_with_quotes(text))
    except ValueError as error:
        raise InputError(f"%%groq {line}: {error}.") from None
    for number, expression in enumerate(expressions):
        words = [word.replace(f"\0{number}\0", expression) for word in words]
    return words


_PARAMETER = re.compile(r"(?<!\S)--param(?:=|\s+)[^\s='\"]+=")
_json_at = json.JSONDecoder(strict=False).raw_decode  # an expression's number is between NULs


def _with_quotes(line: str) -> str:
    r"""Quote the JSON of ``--param``, since shlex removes the quotes inside it.

    >>> _with_quotes('--param a={"b": 1} -m c')
    '--param a=\'{"b": 1}\' -m c'
    """
    parts, done = [], 0
    matches = _PARAMETER.finditer(line)
    for match in (match for match in matches if match.start() >= done):
        with suppress(ValueError, RecursionError):  # quoted already, or not JSON
            shlex.split(line[done : match.start()])  # raises inside quotes
            _, end = _json_at(line, match.end())
            if not line[end : end + 1].strip():
                parts += [line[done : match.end()], shlex.quote(line[match.end() : end])]
                done = end
    return "".join([*parts, line[done:]])


def _filled(name: str, value: Any, fill: Callable[..., str]) -> Any:
    if name == "images" or isinstance(value, bool):
        return value
    if isinstance(value, list):
        return list(map(fill, value))
    if name == "out":
        return _variable(value)
    if name == "system" and value.startswith("@"):
        return _content(fill(value[1:]))
    text = fill(value)
    with suppress(ValueError):  # `stream()` raises for a text that is not a number
        return _KINDS[name](text)
    return text


def _variable(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise InputError(f"-o {text}: this cannot be the name of a variable.")
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
    if name in _NOT_OF_THE_API or "{{" in name:
        raise InputError(f"--param {text}: {name or text} is not a parameter of the API.")
    filled = fill(value, str if value.startswith("{{") else _inside_quotes)
    try:
        return name, json.loads(filled)
    except ValueError:
        raise InputError(
            f'--param {text!r} is not KEY=JSON, as in top_k=40 or user="me".'
        ) from None


def _inside_quotes(text: str) -> str:
    """The text escaped for JSON, so that it cannot end the string it is part of."""
    return json.dumps(text)[1:-1]
