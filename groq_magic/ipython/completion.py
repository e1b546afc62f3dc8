"""Tab completion in `%%groq` and `%groq`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from groq_magic.errors import InputError

from .flags import FLAGS, parser

Settings = Mapping[str, Any]


def matcher(settings: Callable[[], Settings]) -> Any:
    """A matcher for IPython's completer; ``settings`` returns what is configured."""

    @context_matcher(identifier="groq_magic")  # type: ignore[untyped-decorator]
    def match(context: CompletionContext) -> Any:
        line = context.text_until_cursor
        is_cell = line.startswith("%%groq ") and context.cursor_line == 0
        is_ours = is_cell or line.startswith("%groq ")
        word, words = _completions(line, settings()) if is_ours else ("", [])
        return {
            "completions": [SimpleCompletion(text) for text in words],
            "matched_fragment": word,
            "suppress": bool(words),  # hides Python's own completions
        }

    return match


def _completions(line: str, settings: Settings) -> tuple[str, list[str]]:
    """The word that ends at the cursor, and the words it may become."""
    *before, word = re.sub(r"(--[\w-]+)=", r"\1 ", line).split(" ")
    before = [text for text in before if text]
    offered = _arguments if before[0] == "%groq" else _flags
    return word, [text for text in offered(before[1:], word, settings) if text.startswith(word)]


def _arguments(before: Sequence[str], _word: str, settings: Settings) -> Sequence[str]:
    from .commands import COMMANDS

    if not before:
        return [name for name in COMMANDS if name]
    if len(before) > 1 or before[0] not in COMMANDS:
        return ()
    argument = COMMANDS[before[0]].usage.partition(" ")[2].strip("[]")
    words = [word for word in argument.split("|") if word.islower()]
    return words or _values(argument, settings)


def _flags(before: Sequence[str], word: str, settings: Settings) -> Sequence[str]:
    if word.startswith("-"):
        return list(parser()._option_string_actions)  # noqa: SLF001  # argparse has no public list
    flags = [flag for flag in FLAGS if before and before[-1] in flag.names.split()]
    return _values(flags[0].metavar.strip("[]"), settings) if flags else ()


def _values(metavar: str, settings: Settings) -> Sequence[str]:
    if metavar == "CHAT":
        from groq_magic.conversation import chats

        return [chat.name for chat in chats()]
    return _models(settings) if metavar == "MODEL" else ()


def _models(settings: Settings) -> Sequence[str]:
    from groq_magic.api import models_soon

    try:
        models = models_soon(settings.get("base_url"))
    except InputError:  # no key, or an invalid URL
        return ()
    return [model.id for model in models if model.writes_text]
