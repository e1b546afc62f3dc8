"""Settled blocks and their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from markdown_it.token import Token

from .parser import Environment, parse_inline, to_html

NO_LEVEL = -1
HIDDEN = Token("paragraph_close", "p", -1, hidden=True)
"""The end of a paragraph without tags; what follows it in an item begins with a new line."""


class Part(NamedTuple):
    """Settled HTML, in a tight and in a loose list; outside of lists they are the same.

    A part with link labels keeps its tokens, because a definition may come late. ``level`` is
    that of the paragraphs that a tight list hides.
    """

    tight: str
    loose: str
    is_text: bool
    level: int
    labels: AbstractSet[str]
    tokens: list[Token]


def settled_part(tokens: list[Token], env: Environment, level: int = NO_LEVEL) -> Part:
    """Render tokens that do not change any more, except by link definitions."""
    recorder = _Recorder(env["references"])
    parse_inline(tokens, {"references": recorder})
    shown = [token for token in tokens if token.type != "list_item_open" or not token.hidden]
    loosen(shown, level, is_loose=False)
    tight = loose = to_html(shown, env)
    if level != NO_LEVEL:
        loosen(shown, level, is_loose=True)
        loose = to_html([token for token in shown if token is not HIDDEN], env)
    is_text = tokens[-1].type == "paragraph_close"
    kept = tokens if recorder.labels else []
    for token in kept:
        token.children = []  # parsed again with a new definition; objects slow garbage collections
    return Part(tight, loose, is_text, level, recorder.labels, kept)


def begin_of_item() -> Token:
    """What stands before the first text of an item, to find the box of a task; not shown."""
    return Token("list_item_open", "li", 1, hidden=True)


def loosen(tokens: Sequence[Token], level: int, *, is_loose: bool) -> None:
    """Show or hide the paragraphs on that level."""
    for token in tokens:
        if token.level == level and token.type.startswith("paragraph_") and token is not HIDDEN:
            token.hidden = not is_loose


class _Recorder(dict[str, Any]):
    """Link definitions that record which labels are looked up."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        super().__init__()
        self._definitions = definitions
        self.labels: set[str] = set()

    def get(self, label: str, default: Any = None) -> Any:
        self.labels.add(label)
        return self._definitions.get(label, default)


class Block:
    """Settled parts between a start and an end; a part can be a block itself."""

    def __init__(self, parts: Sequence[Part | Block], before: str = "", after: str = "") -> None:
        self.parts = list(parts)
        self.before = before
        self.after = after

    @property
    def is_text(self) -> bool:
        """Whether it is a paragraph."""
        return False

    @property
    def is_loose(self) -> bool:
        """Whether the paragraphs of its parts have tags."""
        return False

    @property
    def labels(self) -> AbstractSet[str]:
        """The link labels that its parts look up."""
        return frozenset().union(*(part.labels for part in self.parts))

    def html(self, tail: str = "") -> str:
        """The HTML, with an unsettled part ``tail`` at the end."""
        return "".join((self.before, self.html_of(self.parts), tail, self.after))

    def html_of(self, parts: Sequence[Part | Block]) -> str:
        """The HTML of some parts."""
        return "".join(
            part.html() if isinstance(part, Block) else part.loose if self.is_loose else part.tight
            for part in parts
        )

    def render_again(self, changed: AbstractSet[str], env: Environment) -> bool:
        """Render the parts with these labels again; return whether there are any."""
        is_changed = False
        for index, part in enumerate(self.parts):
            if isinstance(part, Block):
                is_changed |= part.render_again(changed, env)
            elif part.labels & changed:
                self.parts[index] = settled_part(part.tokens, env, part.level)
                is_changed = True
        return is_changed
