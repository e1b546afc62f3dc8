"""What `%groq` does, command by command, and what Tab offers in both magics.

It knows no magics: what a command needs of the shell and of the settings it is given.
"""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from groq_magic.errors import InputError, MissingKeyError, printable, span

if TYPE_CHECKING:
    from decimal import Decimal

    from groq_magic.answer import Answer
    from groq_magic.wire.models import Model

_NAMED = 5
Settings = Mapping[str, Any]
"""What is configured for the magic, by name."""
Command = Callable[[Sequence[str], Any, Settings], object]
"""A function of the words behind its name, the shell and the settings."""


def run(line: str, shell: Any, settings: Settings) -> None:
    """Do what the line says. Raises `InputError` where it says nothing that is known."""
    name, *words = line.split() or [""]
    if name not in _COMMANDS:
        raise InputError(_unknown(name))
    _COMMANDS[name](words, shell, settings)


def _unknown(name: str) -> str:
    near = get_close_matches(name, filter(None, _COMMANDS), 1)
    meant = f"Did you mean %groq {near[0]}? " if near else ""
    return f"%groq {name} is no command. {meant}There are {_LIST}. To ask a model: %%groq"


def _nothing_behind(words: Sequence[str], command: str) -> None:
    if words:
        raise InputError(f"{command} takes nothing behind it, not {' '.join(words)!r}.")


def _number(words: Sequence[str], wanted: str) -> int:
    """The one word as a number from 1, which is also what no word means."""
    number = words[0] if words else "1"
    if len(words) > 1 or not (number.isdecimal() and len(number) < 10 and int(number) > 0):
        raise InputError(wanted)
    return int(number)


# How things stand


def _status(_words: Sequence[str], _shell: Any, settings: Settings) -> None:
    from groq_magic.display.table import Table

    rows = [
        ("Model", _model(settings)),
        ("Server", _server(settings)),
        ("Key", _key(settings)),
        ("Running", _running()),
        ("Chats", _chats_line()),
        ("Rate limit", _left()),
        ("Price", _spent()),
    ]
    Table([row for row in rows if row[1]]).show()


def _model(settings: Settings) -> str:
    from groq_magic.wire.protocol import DEFAULT_MODEL

    return str(settings.get("model") or DEFAULT_MODEL)


def _server(settings: Settings) -> str:
    from groq_magic.api import present_url

    try:
        return present_url(settings.get("base_url"))
    except InputError as error:
        return str(error)


def _key(settings: Settings) -> str:
    from groq_magic.api import has_key
    from groq_magic.wire.endpoint import key_source

    try:
        needed = has_key(settings.get("base_url"))
    except MissingKeyError:
        return "none: run %groq login, or set GROQ_API_KEY"
    except InputError as error:
        return str(error)
    return key_source() if needed else "none is sent to this server"


def _running() -> str:
    from groq_magic.answer import running

    answers = running()
    named = [f"{answer.model} for {answer.seconds:.0f} s" for answer in answers[:_NAMED]]
    named += ["…"] if len(answers) > _NAMED else []
    return f"{_count(len(answers), 'answer')}: {', '.join(named)}" if answers else "no answer"


def _left() -> str:
    from groq_magic.usage import rate_limits

    known = rate_limits()
    if known is None:
        return ""
    of, ago = known
    requests = (of.remaining_requests, of.limit_requests, of.reset_requests)
    tokens = (of.remaining_tokens, of.limit_tokens, of.reset_tokens)
    parts = (_share("requests a day", *requests, ago), _share("tokens a minute", *tokens, ago))
    return "; ".join(filter(None, parts))


def _share(unit: str, left: int | None, limit: int | None, reset: float | None, ago: float) -> str:
    """What is left of a limit, by a response that came so many seconds ago.

    >>> _share("tokens a minute", 7_970, 8_000, 12.5, 2.0)
    '7,970 of 8,000 tokens a minute (all again in 11 s)'
    """
    if left is None:
        return ""
    whole = unit if limit is None else f"of {limit:,} {unit}"
    if reset is None or left == limit:
        return f"{left:,} {whole}"
    return f"{left:,} {whole} (all again in {span(reset - ago)})" if reset > ago else f"all {whole}"


def _spent() -> str:
    from groq_magic.usage import spent
    from groq_magic.wire.models import dollars

    total = spent()
    if not total.priced:
        return ""
    more = f"; not known for {total.unpriced:,} more" if total.unpriced else ""
    return f"{dollars(total.usd)} for {_count(total.priced, 'answer')}{more}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# Chats


def _chats_line() -> str:
    from groq_magic.conversation import chats

    return ", ".join(f"{chat.name} ({_count(len(chat.turns), 'turn')})" for chat in chats())


def _chats(words: Sequence[str], _shell: Any, _settings: Settings) -> None:
    _nothing_behind(words, "%groq chats")
    from groq_magic.conversation import chats
    from groq_magic.display.table import Table

    if not chats():
        print("There is no chat in this kernel yet. Begin one with %%groq -c.")
        return
    rows = [
        (
            chat.name,
            str(len(chat.turns)),
            _start(chat.system or ""),
            _start(chat.turns[-1].prompt.content),
        )
        for chat in chats()
    ]
    Table(rows, ("Chat", "Turns", "Told first", "Asked last"), frozenset({1})).show()


def _start(text: str) -> str:
    """The beginning of a text, in a line."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _forget(words: Sequence[str], _shell: Any, _settings: Settings) -> None:
    from groq_magic.conversation import chats, forget

    name, names = " ".join(words), [chat.name for chat in chats()]
    if (forgotten := forget(name)) is None:
        near = get_close_matches(name, names, 1)
        known = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names) or 'none'}."
        raise InputError(f"%groq forget takes the name of a chat, not {name!r}. {known}")
    count = _count(len(forgotten.turns), "turn")
    print(printable(f"Forgot {name}, {count}. Its answers stay where they are."))


# The models


def _models(words: Sequence[str], _shell: Any, settings: Settings) -> None:
    _nothing_behind(words, "%groq models")
    from groq_magic.api import fetch_models, present_url
    from groq_magic.display.table import Table

    models = fetch_models(settings.get("base_url"))
    texts = [model for model in models if model.writes_text]
    if not texts:
        url = present_url(settings.get("base_url"))
        raise InputError(f"{url} lists no models that write text. Check GROQ_BASE_URL.")
    head = ("Model", "Context", "Max output", "$ in", "$ out", "Owner")
    rows = [_model_row(model) for model in texts]
    note = "Prices are for a million tokens."
    if others := len(models) - len(texts):
        note += f" Not listed: {others} without text output."
    Table(rows, head, frozenset({1, 2, 3, 4}), note).show()


def _model_row(model: Model) -> tuple[str, ...]:
    sizes = (model.context_window, model.max_completion_tokens)
    prices = (model.prompt_price, model.completion_price)
    return (
        model.id,
        *("" if size is None else f"{size:,}" for size in sizes),
        *("" if price is None else _per_million(price) for price in prices),
        model.owned_by or "",
    )


def _per_million(price: Decimal) -> str:
    """Dollars and cents, and what there is beyond.

    >>> from decimal import Decimal
    >>> _per_million(Decimal("0.0000006")), _per_million(Decimal("0.000000075"))
    ('0.60', '0.075')
    """
    whole, _, rest = f"{float(price) * 1e6:,.6f}".partition(".")
    return f"{whole}.{rest.rstrip('0'):0<2}"


# Answers


def _stop(words: Sequence[str], _shell: Any, _settings: Settings) -> None:
    if words not in ([], ["all"]):
        raise InputError("%groq stop ends the answer asked last, %groq stop all every one.")
    from groq_magic.answer import running

    answers = running() if words else running()[-1:]
    for answer in answers:
        answer.stop()
    stopped = ", ".join(map(_stopped, answers))
    print(f"Stopped: {stopped}." if answers else "No answer is running.")
    if not words and (left := len(running())):
        print(f"{_count(left, 'answer')} still running: %groq stop all")


def _stopped(answer: Answer) -> str:
    return f"{answer.model} after {answer.seconds:.1f} s, {_count(answer.tokens, 'token')} kept"


def _last(words: Sequence[str], _shell: Any, settings: Settings) -> None:
    number = _number(words, "%groq last takes how many answers: %groq last 3")
    from groq_magic.display.show import show_last

    if not show_last(number, reasoning=settings.get("show_reasoning")):
        print("There is no answer in this kernel yet. Ask for one with %%groq.")


def _code(words: Sequence[str], shell: Any, _settings: Settings) -> None:
    number = _number(words, "%groq code takes the number of a code block: %groq code 2")
    from groq_magic.display.show import last_answer
    from groq_magic.markdown.parser import code_blocks

    answer = last_answer()
    if answer is None:
        raise InputError("There is no answer in this kernel yet. Ask for one with %%groq.")
    if not answer.ended:
        raise InputError("The last answer is still coming. Wait for its end, or %groq stop.")
    blocks = code_blocks(answer.text)
    if number > len(blocks):
        there = f"has {_count(len(blocks), 'code block')}" if blocks else "has no code block"
        raise InputError(f"The last answer {there}.")
    shell.set_next_input(blocks[number - 1].removesuffix("\n"))
    if len(blocks) > 1 and not words:
        print(f"The first of {len(blocks)} code blocks. The second: %groq code 2")


# Where answers come from


def _login(words: Sequence[str], _shell: Any, _settings: Settings) -> None:
    if words:  # it is in the history now
        raise InputError("%groq login asks for the key; never write one into a cell.")
    from groq_magic.wire.endpoint import keep_key

    keep_key(_colab_key() or _asked_key())
    print("The key is kept in this process's memory, and goes before GROQ_API_KEY.")


def _asked_key() -> str:
    """What is typed, without an echo."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would echo
            return getpass.getpass("Groq API key: ")
    except (NotImplementedError, getpass.GetPassWarning, EOFError):
        raise InputError(
            "A key cannot be asked for here: nothing can be typed unseen. Set GROQ_API_KEY."
        ) from None


def _colab_key() -> str:
    """GROQ_API_KEY among Colab's secrets; empty elsewhere, and where it is not given."""
    try:
        from google.colab import userdata

        return str(userdata.get("GROQ_API_KEY") or "")
    except Exception:  # no Colab, no such secret, or this notebook may not have it
        return ""


def _demo(words: Sequence[str], _shell: Any, _settings: Settings) -> None:
    if words == ["off"]:
        _demo_off()
    elif words:
        raise InputError("%groq demo, or %groq demo off.")
    else:
        _demo_on()


def _demo_on() -> None:
    from groq_magic.api import use_endpoint
    from groq_magic.wire.endpoint import Endpoint

    url = _start_demo()
    use_endpoint(Endpoint(url))  # without the key: the demo has no business with it
    print(f"Answers come from the demo server on this machine, {url}")
    print("They are written beforehand. Back to Groq: %groq demo off")


def _demo_off() -> None:
    from groq_magic.api import use_endpoint

    use_endpoint(None)
    print("Answers come from Groq again.")


def _start_demo() -> str:
    try:
        from groq_magic import demo
    except ImportError:
        raise InputError("The demo server needs tornado: pip install tornado") from None
    return demo.start()


_COMMANDS: dict[str, Command] = {
    "": _status,
    "models": _models,
    "stop": _stop,
    "last": _last,
    "code": _code,
    "chats": _chats,
    "forget": _forget,
    "login": _login,
    "demo": _demo,
}
_LIST = "models, stop [all], last [N], code [N], chats, forget NAME, login and demo [off]"
_AFTER: Mapping[str, Sequence[str]] = {
    "": [name for name in _COMMANDS if name],
    "stop": ["all"],
    "demo": ["off"],
}


# What Tab offers


def completions(line: str, flags: Sequence[str], settings: Settings) -> tuple[str, list[str]]:
    """The word that ends at the cursor, as ``line`` does, and all that it may become."""
    *words, begun = f"{line}.".replace("--model=", "--model ").split()
    begun = begun.removesuffix(".")
    offered: Sequence[str] = ()
    if words == ["%groq", "forget"]:
        offered = _chat_names()
    elif words[:1] == ["%groq"]:
        offered = _AFTER.get(" ".join(words[1:]), ())
    elif words[-1:] in (["-m"], ["--model"]):
        offered = _model_names(settings)
    elif words[-1:] in (["-c"], ["--chat"]) and not begun.startswith("-"):
        offered = _chat_names()
    elif words and begun.startswith("-"):
        offered = flags
    return begun, [word for word in offered if word.startswith(begun)]


def _chat_names() -> list[str]:
    from groq_magic.conversation import chats

    return [chat.name for chat in chats()]


def _model_names(settings: Settings) -> list[str]:
    from groq_magic.api import models_soon

    try:
        models = models_soon(settings.get("base_url"))
    except InputError:  # without a key there is nobody to ask
        return []
    return [model.id for model in models if model.writes_text]
