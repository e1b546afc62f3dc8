"""Bytes to server-sent events: a push decoder without I/O.

The format is the WHATWG specification's "event stream interpretation",
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re
from typing import NamedTuple

from groq_magic.errors import APIError

_DIGITS = re.compile("[0-9]{1,15}")  # more would be no time, and the longest are no int
_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One dispatched event; ``event`` is "message" unless the server named it."""

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None
    """Reconnection time in milliseconds, where this event's block set one."""


class SSEDecoder:
    r"""Feed it a body's bytes in pieces of any size; it returns the events they complete.

    Lines end in LF, CR or CRLF, and only there: U+2028, U+2029 and U+0085 are text.
    Bytes that are not UTF-8 become U+FFFD. Nothing raises but an event larger than
    ``max_event_size`` bytes (`APIError`), and that by itself: where other events came with
    it, the next call raises.

    >>> SSEDecoder().feed(b"data: one\n\ndata: tw")
    [ServerSentEvent(data='one', event='message', id='', retry=None)]
    """

    def __init__(self, max_event_size: int = 8 * 2**20) -> None:
        self._max_event_size = max_event_size
        self._size = 0
        self._line: list[bytes] = []
        self._at_start = True
        self._after_cr = False
        self._last_id = ""
        self._data: list[str] = []
        self._event = ""
        self._retry: int | None = None
        self._fault: APIError | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the body; return the events that are now complete."""
        if self._fault:
            raise self._fault
        lines = self._lines(data)
        rest = lines.pop()
        events: list[ServerSentEvent] = []
        try:
            if lines and (self._line or self._at_start):
                lines[0] = self._joined(lines[0])
            for line in lines:
                if line:
                    self._take(line)
                elif event := self._dispatch():
                    events.append(event)
            if rest:
                self._hold(rest)
        except APIError as fault:
            self._fault = fault
            if not events:
                raise
        return events

    def close(self) -> list[ServerSentEvent]:
        """The body has ended; return the event that only lacks its blank line.

        The specification discards what has no blank line behind it, and so do we
        for a line that the end cut off. But when the body ends right behind a
        complete line, the event is whole: servers leave the last blank line out,
        and the event so lost would be the answer's ``finish_reason``.
        """
        if self._fault:
            raise self._fault
        if self._line:
            return []
        event = self._dispatch()
        return [event] if event else []

    def _lines(self, data: bytes) -> list[bytes]:
        """Split at line ends; the last item is the start of an unfinished line."""
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        return data.split(b"\n")

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]  # the second half of a CRLF whose CR ended the line
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _hold(self, part: bytes) -> None:
        self._line.append(part)
        self._count(len(part))

    def _joined(self, end: bytes) -> bytes:
        line = b"".join((*self._line, end))
        self._size -= len(line) - len(end)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        return line

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        self._count(len(line) + 1)  # and its end, so that empty ones do not come free
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
        else:
            self._field(name, text)

    def _field(self, name: bytes, value: str) -> None:
        if name == b"event":
            self._event = value
        elif name == b"id" and "\0" not in value:
            self._last_id = value
        elif name == b"retry" and _DIGITS.fullmatch(value):
            self._retry = int(value)

    def _dispatch(self) -> ServerSentEvent | None:
        event = None
        if self._data:
            data = self._data[0] if len(self._data) == 1 else "\n".join(self._data)
            event = ServerSentEvent(data, self._event or "message", self._last_id, self._retry)
        self._size, self._data, self._event, self._retry = 0, [], "", None
        return event

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._max_event_size:
            raise APIError(f"The server sent an event larger than {self._max_event_size} bytes")
