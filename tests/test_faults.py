"""Everything that goes wrong between here and there, over real sockets, plain and TLS."""

from __future__ import annotations

import gzip
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from groq_magic import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    CertificateError,
    IncompleteStreamError,
    InternalServerError,
    RateLimitError,
)
from groq_magic.answer import Answer
from groq_magic.background import background
from groq_magic.chat import Waiting
from groq_magic.client import Client, Endpoint

from .conftest import running_demo
from .peer import DONE, Connection, Peer, Script, answers, delta, event, finish, peer
from .test_client import free_port, until

BEGUN = delta("one ") + delta("two")
RESET = (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def ask(base_url: str, **options: Any) -> Answer:
    """An answer of a client that is impatient and tries once."""
    client = Client(**{"timeout": 0.4, "max_retries": 0, **options})
    return Answer(client.stream(Endpoint(base_url), {"model": "m", "stream": True}))


def reset(connection: Connection) -> None:
    connection.socket.setsockopt(*RESET)


def begin_and(*then: Script) -> Script:
    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(BEGUN)
        for step in then:
            step(connection)

    return play


def only(*steps: Script) -> Script:
    def play(connection: Connection) -> None:
        for step in steps:
            step(connection)

    return play


def chunk(data: bytes) -> Script:
    return lambda connection: connection.chunk(data)


def refuse(status: str, body: bytes, **headers: str) -> Script:
    headers = {"content_type": "application/json", **headers}
    return only(lambda c: c.respond(body, status, **headers), Connection.until_closed)


def wait(connection: Connection) -> None:
    connection.until_closed()


def half_close(connection: Connection) -> None:
    connection.socket.shutdown(socket.SHUT_WR)
    connection.until_closed()


def cut_chunk(connection: Connection) -> None:
    connection.send(b"ff\r\n" + delta("three")[:20])


def drip(connection: Connection) -> None:
    connection.begin()
    for byte in BEGUN + finish() + DONE:
        connection.chunk(bytes([byte]))
    connection.end()


def gzipped(connection: Connection) -> None:
    body = gzip.compress(BEGUN + finish() + DONE)
    connection.respond(body, content_encoding="gzip")


def flood(connection: Connection) -> None:
    """Sends on behind the answer's end, for ever."""
    connection.begin()
    connection.chunk(BEGUN + finish() + DONE)
    with suppress(OSError):
        while True:
            connection.chunk(delta("more"))
    connection.closed.set()


LATE = event({"error": {"message": "Hot", "code": "c", "status_code": 503}})
HTML = b"<html><body>Bad gateway</body></html>"

FAULTS: dict[str, tuple[Script, str, type[Exception] | None, str]] = {
    "reset before headers": (reset, "failed", APIConnectionError, ""),
    "reset in mid-event": (
        begin_and(chunk(delta("x")[:9]), reset), "failed", APIConnectionError, "one two",
    ),
    "closed before headers": (only(), "failed", APIConnectionError, ""),
    "stall before headers": (wait, "failed", APITimeoutError, ""),
    "stall in mid-stream": (begin_and(wait), "failed", APITimeoutError, "one two"),
    "half-close": (begin_and(half_close), "failed", APIConnectionError, "one two"),
    "truncated chunk": (begin_and(cut_chunk), "failed", APIConnectionError, "one two"),
    "bytes one by one": (drip, "done", None, "one two"),
    "200 with a JSON error": (
        refuse("200 OK", b'{"error": {"message": "Odd"}}'), "failed", APIError, "",
    ),
    "200 with HTML": (
        refuse("200 OK", HTML, content_type="text/html"), "failed", IncompleteStreamError, "",
    ),
    "error event first": (
        only(Connection.begin, chunk(b"event: error\n" + LATE), wait), "failed", APIError, "",
    ),
    "error event after text": (
        begin_and(chunk(b"event: error\n" + LATE), wait), "failed", APIError, "one two",
    ),
    "no finish_reason": (begin_and(Connection.end), "failed", IncompleteStreamError, "one two"),
    "no [DONE]": (begin_and(chunk(finish()), Connection.end), "done", None, "one two"),
    "429": (refuse("429 Slow", b"{}"), "failed", RateLimitError, ""),
    "429 with retry-after": (
        refuse("429 Slow", b"{}", retry_after="1"), "failed", RateLimitError, "",
    ),
    "498": (refuse("498 Full", b""), "failed", APIStatusError, ""),
    "500": (refuse("500 Oh", b'{"error": "boom"}'), "failed", InternalServerError, ""),
    "502 with HTML": (
        refuse("502 Oh", HTML, content_type="text/html"), "failed", InternalServerError, "",
    ),
    "503, huge": (refuse("503 Full", b"x" * 2**22), "failed", InternalServerError, ""),
    "gzip all the same": (gzipped, "done", None, "one two"),
    "never stops sending": (flood, "done", None, "one two"),
}  # fmt: skip


# The response is whole, and its connection may be used again.
LEFT_OPEN = [drip, FAULTS["no finish_reason"][0], FAULTS["no [DONE]"][0]]


@pytest.mark.parametrize(("script", "state", "error", "text"), FAULTS.values(), ids=FAULTS)
def test_a_fault(script: Script, state: str, error: type[Exception] | None, text: str) -> None:
    def play(connection: Connection) -> None:
        script(connection)
        if script is not reset:
            connection.until_closed()

    with peer(play) as server:
        answer = ask(server.base_url)
        assert answer.wait(10)
        assert (answer.state, answer.text) == (state, text)
        if error is None:
            assert answer.error is None
        else:
            assert isinstance(answer.error, error)
            assert len(str(answer.error).splitlines()) == 1
        assert len(server.connections) == 1
        if script is not reset and script not in LEFT_OPEN:
            assert server.connections[0].closed.wait(3)
    until(lambda: not background._running)


def test_refused() -> None:
    with free_port() as port:
        answer = ask(f"http://127.0.0.1:{port}/v1")
        assert answer.wait(10)
    assert type(answer.error) is APIConnectionError


def test_a_name_that_is_not_known() -> None:
    answer = ask("https://no-such-host.invalid/v1")
    assert answer.wait(20)
    assert type(answer.error) is APIConnectionError
    assert "no-such-host.invalid" in str(answer.error)


def test_a_name_that_is_not_known_yet_is_tried_again() -> None:
    answer = ask("https://no-such-host.invalid/v1", max_retries=1)
    until(lambda: answer.waiting is not None)
    waiting = answer.waiting
    assert answer.wait(20)
    assert type(answer.error) is APIConnectionError
    assert isinstance(waiting, Waiting)
    assert (waiting.reason, waiting.attempt, waiting.attempts) == ("no connection", 2, 2)


def test_a_redirect_gets_nothing() -> None:
    with peer(answers("stolen")) as other:
        redirect = refuse("307 Go", b"", location=f"{other.base_url}/chat/completions")
        with peer(redirect) as server:
            answer = ask(server.base_url, max_retries=2)
            assert answer.wait(10)
            assert len(server.connections) == 1
        assert answer.state == "failed"
        assert other.connections == []


# TLS


class TLSPeer(Peer):
    """A peer behind TLS, with a certificate for ``groq.test`` and this machine."""

    def __init__(self, *scripts: Script, authority: trustme.CA) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("groq.test", "127.0.0.1").configure_cert(self._context)
        super().__init__(scripts)
        self.port = int(self.base_url.split(":")[2].split("/")[0])
        self.base_url = self.base_url.replace("http://", "https://")

    def _play(self, accepted: socket.socket) -> None:
        with suppress(OSError):
            super()._play(self._context.wrap_socket(accepted, server_side=True))


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A private certificate authority that the environment names."""
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return authority


@contextmanager
def tls_peer(*scripts: Script, authority: trustme.CA) -> Iterator[TLSPeer]:
    server = TLSPeer(*scripts, authority=authority)
    try:
        yield server
    finally:
        server.close()


def test_a_private_authority_is_trusted_where_the_environment_says_so(
    authority: trustme.CA,
) -> None:
    with tls_peer(answers("ok"), authority=authority) as server:
        assert ask(server.base_url).result(10) == "ok"


def test_a_certificate_that_is_not_trusted(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with tls_peer(answers("ok"), authority=authority) as server:
        begun = time.monotonic()
        answer = ask(server.base_url, max_retries=2)
        assert answer.wait(10)
        assert server.connections == []
    assert type(answer.error) is CertificateError
    assert "SSL_CERT_FILE" in str(answer.error)
    assert time.monotonic() - begun < 5


def test_a_server_that_does_not_speak_tls() -> None:
    with peer(answers("ok")) as server:
        answer = ask(server.base_url.replace("http://", "https://"))
        assert answer.wait(10)
    assert isinstance(answer.error, APIConnectionError)


# A proxy


class Proxy:
    """An HTTP proxy that tunnels every CONNECT to one port of this machine."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.asked.append(head.decode())
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                both = {client: server, server: client}
                while True:
                    for ready in select.select(list(both), [], [])[0]:
                        if not (data := ready.recv(65536)):
                            return
                        both[ready].sendall(data)


def test_a_proxy_of_the_environment(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "gsk_for_the_server_alone"
    with tls_peer(answers("ok"), authority=authority) as server:
        proxy = Proxy(server.port)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        endpoint = Endpoint(f"https://groq.test:{server.port}/v1", key)
        answer = Answer(Client(max_retries=0).stream(endpoint, {}))
        assert answer.result(10) == "ok"
        assert server.connection().request.headers["authorization"] == f"Bearer {key}"
        proxy.close()
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT groq.test:{server.port} ")
    assert key not in asked


def test_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(9)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "no-such-host.invalid")
    answer = ask("https://no-such-host.invalid/v1")
    assert answer.wait(20)
    assert answer.state == "failed"
    assert proxy.asked == []
    proxy.close()


# Stop, at any moment


class Watched:
    """A server for stops: it holds a connection in some phase and notes when it is closed."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.phase = ""
        self.accepted = 0
        self.closed_at: list[float] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.accepted += 1
                with accepted, suppress(OSError):
                    self._hold(accepted)
                self.closed_at.append(time.monotonic())

    def _hold(self, accepted: socket.socket) -> None:
        if self.phase != "connecting" and self._context:
            accepted = self._context.wrap_socket(accepted, server_side=True)
        if self.phase in ("mid-stream", "flood"):
            accepted.recv(65536)
            connection = Connection(accepted, None)  # type: ignore[arg-type]  # not needed
            connection.begin()
            connection.chunk(delta("one"))
            while self.phase == "flood":
                connection.chunk(delta("more") * 20)
        while accepted.recv(65536):
            pass


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_two_hundred_and_fifty_stops(scheme: str, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = Watched(context if scheme == "https" else None)
    client = Client()
    endpoint = Endpoint(f"{scheme}://127.0.0.1:{server.port}/v1")
    chance = random.Random(7)
    delays: list[float] = []

    def stop_once(phase: str) -> None:
        server.phase, before = phase, len(server.closed_at)
        answer = Answer(client.stream(endpoint, {}))
        time.sleep(chance.uniform(0.0, 0.02))
        answer.stop()
        stopped = time.monotonic()
        assert answer.state == "stopped"
        until(lambda: not background._running)
        until(lambda: len(server.closed_at) == server.accepted)
        # A stop before the connection leaves the server nothing to see.
        delays.extend(max(0.0, at - stopped) for at in server.closed_at[before:])

    stop_once("mid-stream")  # builds the TLS context
    threads, files = threading.active_count(), open_files()
    phases = ["connecting", "before headers", "mid-stream", "flood"]
    for number in range(250):
        stop_once(phases[number % 4])
    delays.sort()
    p50, p99 = (delays[len(delays) * part // 100] * 1e3 for part in (50, 99))
    # A figure to read (``pytest -k two_hundred -rP``): how fast it is, is the machine's, too.
    print(f"{scheme}: {len(delays)} closes seen, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    assert len(delays) >= 150
    assert threading.active_count() <= threads
    assert open_files() <= files
    pool = client._http._transport._pool  # type: ignore[attr-defined]
    assert [held for held in pool.connections if not held.is_closed()] == []
    server.close()


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_ten_answers_at_once_lose_nothing() -> None:
    from groq_magic.demo import _tokens_of

    body = {"max_completion_tokens": 1000, "messages": [{"role": "user", "content": "x"}]}
    tokens, _ = _tokens_of("demo/long", body)
    sent = "".join(token for _, token in tokens)
    with running_demo(200) as demo:
        client = Client()
        asked = {"model": "demo/long", **body}
        answers = [Answer(client.stream(Endpoint(demo.base_url), asked)) for _ in range(10)]
        assert [answer.result(30) for answer in answers] == [sent] * 10
