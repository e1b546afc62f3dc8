"""Everything that goes wrong between here and there, over real sockets, plain and TLS."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import socket
import threading
import weakref
from contextlib import suppress
from typing import NamedTuple

import httpx
import pytest
import trustme

from groq_magic import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    CapacityError,
    CertificateError,
    IncompleteStreamError,
    InternalServerError,
    RateLimitError,
)
from groq_magic.answer import Answer
from groq_magic.wire.body import body_of
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.protocol import Waiting
from tests.support.asker import Asker, on_the_loop
from tests.support.demo import running_demo
from tests.support.peer import (
    DONE,
    Connection,
    Peer,
    Request,
    Script,
    answers,
    delta,
    event,
    finish,
    peer,
)
from tests.support.proxy import Proxy
from tests.support.tls import tls_peer
from tests.support.waiting import free_port, until

TEXT = "one two"
BEGUN = delta("one ") + delta("two")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
RESET = (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def only(*steps: Script) -> Script:
    def play(connection: Connection) -> None:
        for step in steps:
            step(connection)

    return play


def begin_and(*then: Script) -> Script:
    return only(Connection.begin, chunk(BEGUN), *then)


def chunk(data: bytes) -> Script:
    return lambda connection: connection.chunk(data)


def raw(data: bytes) -> Script:
    return lambda connection: connection.send(data)


def refuse(status: str, body: bytes, **headers: str) -> Script:
    headers = {"content_type": "application/json", **headers}
    return lambda connection: connection.respond(body, status, **headers)


def reset(connection: Connection) -> None:
    connection.socket.setsockopt(*RESET)
    connection.socket.close()


def break_record(connection: Connection) -> None:
    """Under TLS a record that nobody encrypted, else no chunk's beginning."""
    os.write(connection.socket.fileno(), b"\x17\x03\x03\x00\x20" + b"\r\n" * 16)


def half_close(connection: Connection) -> None:
    """Under TLS without the word that nothing follows, as who cuts an answer short would."""
    connection.socket.shutdown(socket.SHUT_WR)


def drip(connection: Connection) -> None:
    body = BEGUN + finish() + DONE
    for byte in HEAD + b"content-length: %d\r\n\r\n" % len(body) + body:
        connection.send(bytes([byte]))


def without_end(data: bytes) -> Script:
    def play(connection: Connection) -> None:
        with suppress(OSError):
            while True:
                connection.send(data)

    return play


wait = Connection.until_closed


def drip_an_error(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 500 Oh\r\ncontent-length: 100000\r\n\r\n")
    while not connection.closed.wait(0.01):
        connection.send(b"x")


def packed(body: bytes, packing: str) -> Script:
    """A whole answer, as packed as it says."""
    return refuse("200 OK", body, content_type="text/event-stream", content_encoding=packing)


class Fault(NamedTuple):
    play: Script
    error: type[Exception] | None = None
    """Exactly this; None where the answer is done all the same."""
    text: str = ""
    retries: int = 0
    requests: int = 1
    silence: float = 60.0
    """The longest silence of the server in seconds, short where the fault is a silence."""
    is_used_again: bool = False
    """Whether the connection, whose response came whole, stays open for the next request."""


LATE = event({"error": {"message": "Hot", "code": "c", "status_code": 503}})
HTML = b"<html><body>Bad gateway</body></html>"
GZIP = gzip.compress(BEGUN + finish() + DONE)
BOMB = gzip.compress(b"data: " + bytes(2**26))
LONG = b"x" * 2**16

FAULTS = {
    "reset before headers": Fault(reset, APIConnectionError),
    "reset in mid-event": Fault(begin_and(chunk(delta("x")[:9]), reset), APIConnectionError, TEXT),
    "closed before headers": Fault(half_close, APIConnectionError),
    "closed within the headers": Fault(only(raw(HEAD), half_close), APIConnectionError),
    "stall before headers": Fault(wait, APITimeoutError, silence=0.4),
    "stall in mid-stream": Fault(begin_and(wait), APITimeoutError, TEXT, silence=2.0),
    "half-close": Fault(begin_and(half_close), APIConnectionError, TEXT),
    "half-close where that ends the body": Fault(
        only(raw(HEAD + b"\r\n" + BEGUN), half_close), IncompleteStreamError, TEXT
    ),
    "truncated chunk": Fault(
        begin_and(raw(b"ff\r\n" + delta("x")[:20]), half_close), APIConnectionError, TEXT
    ),
    "broken chunk or record": Fault(begin_and(break_record), APIConnectionError, TEXT),
    "broken record before headers": Fault(break_record, APIConnectionError, retries=1, requests=2),
    "bytes one by one": Fault(drip, None, TEXT, is_used_again=True),
    "200 with a JSON error": Fault(refuse("200 OK", b'{"error": {"message": "Odd"}}'), APIError),
    "200 with HTML": Fault(refuse("200 OK", HTML, content_type="text/html"), IncompleteStreamError),
    "error event first": Fault(only(Connection.begin, chunk(b"event: error\n" + LATE)), APIError),
    "error event after text": Fault(begin_and(chunk(b"event: error\n" + LATE)), APIError, TEXT),
    "no finish_reason": Fault(
        begin_and(Connection.end), IncompleteStreamError, TEXT, is_used_again=True
    ),
    "no [DONE]": Fault(begin_and(chunk(finish()), Connection.end), None, TEXT, is_used_again=True),
    "429": Fault(refuse("429 Slow", b"{}"), RateLimitError, retries=1, requests=2),
    "429 with retry-after": Fault(
        refuse("429 Slow", b"{}", retry_after="0.01"), RateLimitError, retries=2, requests=3
    ),
    "429 with a retry-after of minutes": Fault(
        refuse("429 Slow", b"{}", retry_after="578"), RateLimitError, retries=2
    ),
    "429 with x-should-retry: false": Fault(
        refuse("429 Slow", b"{}", x_should_retry="false", retry_after="0.01"),
        RateLimitError,
        retries=2,
    ),
    "498": Fault(refuse("498 Full", b""), CapacityError),
    "500": Fault(refuse("500 Oh", b'{"error": "boom"}'), InternalServerError),
    "502 with HTML": Fault(refuse("502 Oh", HTML, content_type="text/html"), InternalServerError),
    "503, huge": Fault(refuse("503 Full", LONG * 64), InternalServerError),
    "gzip all the same": Fault(packed(GZIP, "gzip"), None, TEXT),
    "gzip that holds an event of 64 MiB": Fault(packed(BOMB, "gzip"), APIError),
    "gzip that breaks": Fault(packed(GZIP[:30] + b"\xff" * 99, "gzip"), IncompleteStreamError),
    "gzip in gzip": Fault(packed(gzip.compress(GZIP), "gzip, gzip"), IncompleteStreamError),
    "br": Fault(packed(GZIP, "br"), IncompleteStreamError),
    "deflate": Fault(packed(GZIP, "deflate"), IncompleteStreamError),
    "zstd": Fault(packed(GZIP, "zstd"), IncompleteStreamError),
    "500 in br": Fault(refuse("500 Oh", b"?", content_encoding="br"), InternalServerError),
    "500 in a large gzip": Fault(
        refuse("500 Oh", BOMB, content_encoding="gzip"), InternalServerError
    ),
    "500, dripping": Fault(drip_an_error, InternalServerError, silence=2.0),
    "never stops sending": Fault(
        begin_and(chunk(finish() + DONE), without_end(b"1\r\n:\r\n")), None, TEXT
    ),
    "never ends its headers": Fault(
        only(raw(HEAD), without_end(b"x: y\r\n" * 999)), APIConnectionError
    ),
    "never ends an event": Fault(
        begin_and(chunk(b"data: "), without_end(b"10000\r\n%s\r\n" % LONG)), APIError, TEXT
    ),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault(fault: Fault, scheme: str, authority: trustme.CA, ask: Asker) -> None:
    play = only(fault.play, Connection.until_closed)
    serving = peer(play) if scheme == "http" else tls_peer(play, authority=authority)
    with serving as server:
        answer = ask(server.base_url, max_retries=fault.retries, timeout=fault.silence)
        check(answer, fault.error, fault.text)
        assert len(ask.held()) == fault.is_used_again
        assert len(server.connections) == fault.requests
        for connection in server.connections:
            assert fault.is_used_again or connection.closed.wait(30)


def check(answer: Answer, error: type[Exception] | None, text: str = "", words: str = "") -> None:
    assert answer.wait(30)
    assert (answer.state, answer.text) == ("failed" if error else "done", text)
    assert type(answer.error) is (error or type(None))
    assert answer.error is None or len(str(answer.error).splitlines()) == 1
    assert words in str(answer.error)


def test_the_loop_is_free_between_the_steps_of_unpacking() -> None:
    bomb = gzip.compress(bytes(2**24))
    response = httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(bomb)
    )

    async def turns_and_sizes() -> tuple[int, list[int]]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        running = asyncio.ensure_future(others())
        sizes = [len(piece) async for piece in body_of(response)]
        running.cancel()
        return turns, sizes

    turns, sizes = asyncio.run(turns_and_sizes())
    assert sum(sizes) == 2**24
    assert max(sizes) <= 2**16
    assert turns >= 2**24 // 2**16


def test_few_idle_connections_are_kept(ask: Asker) -> None:
    together = threading.Barrier(10)

    def play(connection: Connection) -> None:
        together.wait(30)
        connection.begin()
        connection.chunk(BEGUN + finish() + DONE)
        connection.end()
        connection.until_closed()

    with peer(play) as server:
        client = ask.client()
        asked = [Answer(client.stream(Endpoint(server.base_url), {})).start() for _ in range(10)]
        assert [answer.result(30) for answer in asked] == [TEXT] * 10
        assert len(ask.held()) == 4


def test_a_redirect_gets_nothing(ask: Asker) -> None:
    with peer(answers("stolen")) as other:
        redirect = refuse("307 Go", b"", location=f"{other.base_url}/chat/completions")
        with peer(only(redirect, wait)) as server:
            check(ask(server.base_url, max_retries=2), APIStatusError)
            assert ask.held() == []
            assert server.connection().closed.wait(30)
            assert (server.accepted, other.accepted) == (1, 0)


# No connection


class Unanswering(Peer):
    """A server that does something else than to begin TLS."""

    def _play(self, accepted: socket.socket) -> None:
        with suppress(OSError), accepted:
            connection = Connection(accepted, Request("", {}, b""))
            self.connections.append(connection)
            self._scripts[0](connection)
            connection.until_closed()


UNENCRYPTED = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("play", "error"),
    [
        (reset, APIConnectionError),
        (half_close, APIConnectionError),
        (UNENCRYPTED, APIConnectionError),
        (wait, APITimeoutError),
    ],
    ids=["reset", "half-close", "not TLS", "stall"],
)
def test_a_fault_of_the_handshake(play: Script, error: type[Exception], ask: Asker) -> None:
    server = Unanswering([play])
    check(ask(server.base_url.replace("http:", "https:")), error, words="127.0.0.1")
    assert ask.held() == []
    assert server.connections[0].closed.wait(30)
    server.close()


def test_refused(ask: Asker) -> None:
    with free_port() as port:
        check(ask(f"http://127.0.0.1:{port}/v1"), APIConnectionError, words="127.0.0.1")
        assert ask.held() == []


def test_a_name_that_is_not_known(ask: Asker) -> None:
    answer = ask("https://no-such-host.invalid/v1", max_retries=1)
    until(lambda: answer.waiting is not None)
    waiting = answer.waiting
    check(answer, APIConnectionError, words="no-such-host.invalid")
    assert isinstance(waiting, Waiting)
    assert (waiting.reason, waiting.attempt, waiting.attempts) == ("no connection", 2, 2)
    assert ask.held() == []


# TLS


def test_a_private_authority_is_trusted_where_the_environment_says_so(
    authority: trustme.CA, ask: Asker
) -> None:
    with tls_peer(answers("ok"), authority=authority) as server:
        assert ask(server.base_url).result(30) == "ok"


def test_a_certificate_that_is_not_trusted(ask: Asker) -> None:
    with tls_peer(answers("ok"), authority=trustme.CA()) as server:
        check(ask(server.base_url, max_retries=2), CertificateError, words="SSL_CERT_FILE")
        assert ask.held() == []
        assert (server.accepted, server.connections) == (1, [])


# A proxy


def test_a_proxy_of_the_environment(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, ask: Asker
) -> None:
    key = "gsk_for_the_server_alone"
    with tls_peer(answers("ok"), authority=authority) as server:
        proxy = Proxy(server.port)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        endpoint = Endpoint(f"https://groq.test:{server.port}/v1", key)
        answer = Answer(ask.client(max_retries=0).stream(endpoint, {})).start()
        assert answer.result(30) == "ok"
        assert server.connection().request.headers["authorization"] == f"Bearer {key}"
        proxy.close()
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT groq.test:{server.port} ")
    assert key not in asked


def test_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch, ask: Asker) -> None:
    proxy = Proxy(9)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "no-such-host.invalid")
    answer = ask("https://no-such-host.invalid/v1")
    assert answer.wait(30)
    assert answer.state == "failed"
    assert proxy.asked == []
    proxy.close()


def test_ten_answers_at_once_lose_nothing_and_leave_nothing(ask: Asker) -> None:
    from groq_magic.demo.answers import tokens_of
    from groq_magic.wire.client import _IDLE_CONNECTIONS

    body = {"max_completion_tokens": 1000, "messages": [{"role": "user", "content": "x"}]}
    tokens, _ = tokens_of("demo/long", body)
    sent = "".join(token for _, token in tokens)
    with running_demo(200) as demo:
        client, endpoint = ask.client(), Endpoint(demo.base_url)
        asked = {"model": "demo/long", **body}
        answers = [Answer(client.stream(endpoint, asked)).start() for _ in range(10)]
        assert [answer.result(30) for answer in answers] == [sent] * 10
        assert len(ask.held()) == _IDLE_CONNECTIONS
        kept = [weakref.ref(answer) for answer in answers]
        del answers
        gc.collect()
        assert [answer() for answer in kept] == [None] * 10


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("play", [answers("a"), refuse("400 No", b"{}")], ids=["done", "refused"])
def test_a_stop_leaves_nothing_open_wherever_it_falls(
    play: Script, scheme: str, authority: trustme.CA, ask: Asker
) -> None:
    """Also within the closing of a connection; and where an interrupt makes two stops of it."""

    async def stop_after(turns: int, answer: Answer) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        answer._receiver._stop_here()
        await asyncio.sleep(0)
        answer._receiver._stop_here()

    with peer(play) if scheme == "http" else tls_peer(play, authority=authority) as server:
        client = ask.client()
        for turns in range(200):
            answer = Answer(client.stream(Endpoint(server.base_url), {})).start()
            on_the_loop(stop_after(turns, answer))
            assert answer.wait(30)
        assert [held for held in ask.held() if not held.is_idle()] == []
