"""A server on a real loopback socket that plays a script: what a test says, byte by byte."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Script = Callable[["Connection"], None]


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    socket: socket.socket
    request: Request
    rest: bytes = b""
    """What the client sent behind its request."""
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when the client has closed the connection."""

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed.set()
            raise

    def respond(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        """A whole response; header names are written with underscores."""
        headers = {"content_type": "text/event-stream", **headers}
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def begin(self) -> None:
        """The head of a chunked event stream."""
        self.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def until_closed(self) -> None:
        with suppress(OSError):
            while more := self.socket.recv(65536):
                self.rest += more
        self.closed.set()


class Peer:
    """Plays ``scripts`` in turn, one for each connection, the last one for all that follow.

    An answer has the models asked for in the background, whenever that may be: so this is
    no part of a script, unless it is about ``models``.
    """

    def __init__(self, scripts: Sequence[Script], *, models: bool = False) -> None:
        self.connections: list[Connection] = []
        """Those on which a request has come."""
        self.accepted = 0
        self._models = models
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/openai/v1"
        self._arrived = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def connection(self, number: int = 0, timeout: float = 90.0) -> Connection:
        """The connection of that number, once it has come."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.connections) > number, timeout)
            return self.connections[number]

    def close(self) -> None:
        self._listener.close()
        for connection in self.connections:
            connection.socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.accepted += 1
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # sent is sent
                threading.Thread(target=self._play, args=(accepted,), daemon=True).start()

    def _play(self, accepted: socket.socket) -> None:
        with suppress(OSError), accepted:
            request = _read_request(accepted)
            if request is None:
                return
            connection = Connection(accepted, request)
            if "/models" in request.line and not self._models:
                connection.respond(b"", "404 Not Found")
                return
            with self._arrived:
                script = self._scripts[min(len(self.connections), len(self._scripts) - 1)]
                self.connections.append(connection)
                self._arrived.notify_all()
            script(connection)


@contextmanager
def peer(*scripts: Script, models: bool = False) -> Iterator[Peer]:
    playing = Peer(scripts, models=models)
    try:
        yield playing
    finally:
        playing.close()


def delta(content: str) -> bytes:
    """The event of one chunk of text."""
    return event({"model": "m", "choices": [{"index": 0, "delta": {"content": content}}]})


def finish(reason: str = "stop", **more: Any) -> bytes:
    """The event of the chunk with a finish_reason."""
    return event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **more})


DONE = b"data: [DONE]\n\n"


def event(data: object) -> bytes:
    return b"data: %s\n\n" % json.dumps(data).encode()


def answers(*texts: str) -> Script:
    """A whole, well-formed answer of these deltas."""
    body = b"".join(map(delta, texts)) + finish() + DONE
    return lambda connection: connection.respond(body)


def refusal(status: str, body: bytes = b'{"error": {"message": "No"}}', **headers: str) -> Script:
    """A response with an error status."""
    headers = {"content_type": "application/json", **headers}
    return lambda connection: connection.respond(body, status, **headers)


def begins_then(fault: Script) -> Script:
    """A stream of two chunks, and then the fault."""

    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta("one ") + delta("two"))
        fault(connection)

    return play


def _read_request(accepted: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = accepted.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (f.split(": ", 1) for f in fields)}
    while len(body) < int(headers.get("content-length", 0)):
        more = accepted.recv(65536)
        if not more:
            return None
        body += more
    return Request(line, headers, body)
