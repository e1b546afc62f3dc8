"""Reasoning that a model writes into its content, between tags. Pure: no I/O."""

from __future__ import annotations

from typing import Literal

_LONGEST_HEAD = 1000  # characters before the tag, so that endless blanks are not held back


class ThinkTags:
    r"""Separates ``<think>…</think>`` at the start of the content from the text after it.

    Some models write their reasoning so; a tag may arrive in several deltas. Elsewhere the
    tags are text. Blank lines after the closing tag are dropped.

    >>> tags = ThinkTags()
    >>> tags.split("<think>Hm"), tags.split(".</think>"), tags.split("\n\nYes.")
    (('Hm', ''), ('.', ''), ('', 'Yes.'))
    """

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["head", "thought", "gap", "text"] = "head"

    def split(self, content: str) -> tuple[str, str]:
        """Reasoning and text of the next delta's content."""
        if self._state == "text":
            return "", content
        self._held += content
        reasoning = ""
        if self._state == "head":
            self._leave_head()
        if self._state == "thought":
            reasoning = self._thought()
        if self._state == "gap":
            self._held = self._held.lstrip()
            self._state = "text" if self._held else "gap"
        return reasoning, self._text()

    @property
    def held(self) -> tuple[str, str]:
        """Reasoning and text that wait because they may be part of a tag."""
        return (self._held, "") if self._state == "thought" else ("", self._held)

    def _leave_head(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith("<think>"):
            self._held, self._state = begun.removeprefix("<think>"), "thought"
        elif not "<think>".startswith(begun) or len(self._held) > _LONGEST_HEAD:
            self._state = "text"

    def _thought(self) -> str:
        thought, tag, rest = self._held.partition("</think>")
        if tag:
            self._held, self._state = rest, "gap"
            return thought
        kept = next(n for n in range(7, -1, -1) if thought.endswith("</think>"[:n]))
        self._held = thought[len(thought) - kept :]
        return thought[: len(thought) - kept]

    def _text(self) -> str:
        if self._state != "text":
            return ""
        text, self._held = self._held, ""
        return text
