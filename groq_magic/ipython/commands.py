"""The commands of `%groq`: dispatch, help and Tab completion follow from `command`."""

from __future__ import annotations

import getpass
import re
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from groq_magic.answer import Answer, running
from groq_magic.conversation import chats, forget
from groq_magic.display.show import last_answer, show, show_last, shown_answers
from groq_magic.errors import InputError, printable
from groq_magic.markdown import code_blocks
from groq_magic.wire.endpoint import Endpoint, keep_key, use_endpoint

from . import tables
from .ceiling import ceiling_of
from .tables import counted

_NO_ANSWER = "There is no answer in this kernel yet. Ask with %%groq."


class Call(NamedTuple):
    """What a command gets: its argument, the shell, and what ``%config GroqMagic`` sets."""

    argument: str
    shell: Any
    settings: Mapping[str, Any]


Function = Callable[[Call], None]


class Command(NamedTuple):
    """One command of `%groq`."""

    usage: str
    """Its name and argument: N for a number, CHAT for a name; in brackets if optional."""
    help: str
    run: Function


COMMANDS: dict[str, Command] = {}


def command(usage: str, text: str) -> Callable[[Function], Function]:
    """Declare a function as the command with this usage and help."""

    def declare(function: Function) -> Function:
        COMMANDS[usage.partition(" ")[0]] = Command(usage, text, function)
        return function

    return declare


def run(line: str, shell: Any, settings: Mapping[str, Any]) -> None:
    """Run the command in the line. Raises `InputError` for an unknown one."""
    name, *words = line.split() or [""]
    if name not in COMMANDS:
        raise InputError(_unknown(name))
    found, argument = COMMANDS[name], " ".join(words)
    if not _fits(argument, found.usage):  # it is not repeated: it may be a key
        raise InputError(f"Usage: %groq {found.usage}: {found.help}.")
    found.run(Call(argument, shell, settings))


def _fits(argument: str, usage: str) -> bool:
    expected = usage.partition(" ")[2].strip("[]")
    forms = re.escape(expected).replace("N", "[1-9][0-9]{0,8}").replace(r"\|", "|")
    return argument == "" or expected == "CHAT" or bool(re.fullmatch(forms, argument))


def format_help() -> str:
    """All commands, one per line."""
    lines = [f"%groq {f'{one.usage} ':<13}{one.help}" for one in COMMANDS.values()]
    return "\n".join(["Commands about models, answers and chats.", "", *lines])


def _unknown(name: str) -> str:
    near = get_close_matches(name, filter(None, COMMANDS), 1)
    hint = f"Did you mean %groq {near[0]}? " if near else ""
    known = ", ".join(one.usage for one in COMMANDS.values() if one.usage)
    return f"%groq {name} is not a command. {hint}Commands: {known}. To ask a model: %%groq"


@command("", "model, server, key, running answers, rate limit and cost")
def _status(call: Call) -> None:
    tables.status(call.settings).show()


@command("models", "the server's models with their sizes and prices")
def _models(call: Call) -> None:
    tables.models(call.settings).show()


@command("stop [all]", "stop the newest answer, or all answers")
def _stop(call: Call) -> None:
    answers = running() if call.argument else running()[-1:]
    for answer in reversed(answers):  # see `Conversation.add`
        answer.stop()
    print(f"Stopped: {', '.join(map(_stopped, answers))}." if answers else "No answer is running.")
    if not call.argument and (left := len(running())):
        print(f"{counted(left, 'answer')} still running: %groq stop all")


def _stopped(answer: Answer) -> str:
    return f"{answer.model} after {answer.seconds:.1f} s, {counted(answer.tokens, 'token')} kept"


@command("last [N]", "show the last N answers again; default: 1")
def _last(call: Call) -> None:
    if not show_last(int(call.argument or 1), reasoning=call.settings.get("show_reasoning")):
        print(_NO_ANSWER)


@command("continue", "go on with the last answer, if it was stopped or cut")
def _continue(call: Call) -> None:
    if before := last_answer():
        wait, reasoning = call.settings.get("wait"), call.settings.get("show_reasoning")
        with ceiling_of(call.settings):
            answer = before.resume()
        with answer:  # an interrupt stops it
            show(answer, wait=wait, reasoning=reasoning)
    else:
        print(_NO_ANSWER)


@command("code [N]", "put the N-th code block of the last answer into a new cell; default: 1")
def _code(call: Call) -> None:
    answer, number = last_answer(), int(call.argument or 1)
    if answer is None:
        raise InputError(_NO_ANSWER)
    if not answer.ended:
        raise InputError("The last answer is still running. Wait for its end, or %groq stop.")
    blocks = code_blocks(answer.text)
    if number > len(blocks):
        raise InputError(f"The last answer has {counted(len(blocks), 'code block')}.")
    call.shell.set_next_input(blocks[number - 1].removesuffix("\n"))
    if len(blocks) > 1 and not call.argument:
        print(f"This is the first of {len(blocks)} code blocks. For the second: %groq code 2")


@command("chats", "the chats of this kernel")
def _chats(_call: Call) -> None:
    if (table := tables.chats()) is None:
        print("There is no chat in this kernel yet. Start one with %%groq -c.")
    else:
        table.show()


@command("forget CHAT", "delete this chat; its answers stay in the notebook")
def _forget(call: Call) -> None:
    name, names = call.argument, [chat.name for chat in chats()]
    if (chat := forget(name)) is None:
        near = get_close_matches(name, names, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Chats: {', '.join(names) or 'none'}."
        raise InputError(f"%groq forget takes the name of a chat, not {name!r}. {hint}")
    turns = counted(len(chat.turns), "turn")
    print(printable(f"Forgot {name} ({turns}). Its answers stay in the notebook."))


@command(
    "kept [check|clear|clear older than N days]",
    "list the kept answers; check that all of this run were kept; delete them",
)
def _kept(call: Call) -> None:
    from groq_magic.keeping import when_written  # which needs SQLite
    from groq_magic.store import STORE, Store

    store = Store.at(call.settings.get("store", STORE))
    if call.argument == "check":
        _check_kept()
    elif call.argument:
        days = int(re.sub(r"\D", "", call.argument) or 0)
        count = counted(when_written(store.clear, days), "answer")
        print(f"Deleted {count} from {store.name}.")
    elif entries := when_written(store.entries):
        tables.kept(entries).show()
    else:
        print(f"No answer is kept in {store.name}. Keep one with %%groq --keep.")


def _check_kept() -> None:
    answers = shown_answers()
    if not answers:
        raise InputError(_NO_ANSWER)
    tables.check(answers).show()
    if new := sum(answer.kept is None for _, answer in answers):
        said = f"{counted(new, 'answer')} of {len(answers)} came from no file of kept answers."
        raise InputError(f"{said} Run the cells with --keep, and take the file along.")


@command("login", "type a key, unseen, for this kernel only; never write one into a cell")
def _login(_call: Call) -> None:
    keep_key(_colab_key() or _typed_key())
    print("The key is kept in this process's memory. It overrides GROQ_API_KEY.")


def _colab_key() -> str:
    """GROQ_API_KEY from Colab's secrets; empty anywhere else."""
    try:
        from google.colab import userdata

        return str(userdata.get("GROQ_API_KEY") or "")
    except Exception:  # not Colab, no such secret, or no access to it
        return ""


def _typed_key() -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would show the key
            return getpass.getpass("Groq API key: ")
    except (NotImplementedError, getpass.GetPassWarning, EOFError):
        raise InputError("A key cannot be typed unseen here. Set GROQ_API_KEY.") from None


@command("demo [off]", "use a server on this machine without a key; off: use Groq again")
def _demo(call: Call) -> None:
    if call.argument:
        use_endpoint(None)
        print("Answers come from Groq again.")
        return
    try:
        from groq_magic import demo
    except ImportError:
        raise InputError("The demo server needs tornado: pip install tornado") from None
    use_endpoint(Endpoint(demo.start()))  # without the key, which it does not need
    # Its URL holds a secret, and this output is saved with the notebook.
    print("Answers come from the demo server on this machine; they are prepared texts.")
    print("To use Groq again: %groq demo off")
