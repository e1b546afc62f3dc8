"""A text of an answer as HTML while it grows: the text itself, or its reasoning."""

from __future__ import annotations

from typing import Any

from groq_magic.markdown import Operation, StreamingMarkdown

_AT_ONCE = 20_000  # characters; a garbage collection in between stops all threads


class GrowingText:
    """Renders what it is fed, and keeps the operations that no batch has sent yet."""

    def __init__(self) -> None:
        self._markdown = StreamingMarkdown()
        self._operations: list[Operation] = []

    @property
    def html(self) -> str:
        """The whole HTML of what was fed."""
        return self._markdown.html

    def snapshot(self) -> dict[str, Any]:
        """All that a view shows, see `Transcript.snapshot`."""
        return self._markdown.snapshot()

    def feed(self, text: str) -> None:
        """Render what is new."""
        size = _AT_ONCE
        while text:
            self._markdown.feed(text[:size])
            operations = self._markdown.flush()
            self._operations += operations
            text = text[size:]
            size *= 1 if operations[1:] else 2  # one long block would be parsed again and again

    def close(self) -> None:
        """The text is complete."""
        self._operations += self._markdown.close()

    def take_operations(self) -> list[Operation]:
        """The operations since the last call, with the last tail only.

        The browser drops the shown tail once per batch.
        """
        operations, self._operations = self._operations, []
        kept = [operation for operation in operations[:-1] if operation[0] != "tail"]
        return kept + operations[-1:]
