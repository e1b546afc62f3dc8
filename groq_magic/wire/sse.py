"""Bytes to server-sent events. Pure: no I/O.

The format is the WHATWG specification's "event stream interpretation",
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import re
from typing import NamedTuple

from groq_magic.errors import APIError

_DIGITS = re.compile("[0-9]{1,15}")  # more is not a time, and Python refuses the longest
_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One dispatched event; ``event`` is "message" unless the server named it."""

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None
    """Reconnection time in milliseconds, if this event sets one."""


class SSEDecoder:
    r"""Takes a body's bytes in any portions and returns the events that they complete.

    Lines end with LF, CR or CRLF only; U+2028, U+2029 and U+0085 are text. Bytes that are
    not UTF-8 become U+FFFD. Raises `APIError` only for an event larger than
    ``max_event_size`` bytes, after the events before it have been returned.

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
        """Take the next bytes; return the events that they complete."""
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
        """End the body; return the event that lacks only its blank line.

        The specification discards an event without a blank line after it. Some servers leave
        the last blank line out, and that event has the ``finish_reason``: so it is kept,
        unless its last line is cut off.
        """
        if self._fault:
            raise self._fault
        if self._line:
            return []
        event = self._dispatch()
        return [event] if event else []

    def _lines(self, data: bytes) -> list[bytes]:
        """Split at line ends; the last item is the start of an incomplete line."""
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        return data.split(b"\n")

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]  # the LF of a CRLF whose CR has ended the line
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
        self._count(len(line) + 1)  # with its end, so that empty lines count, too
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
