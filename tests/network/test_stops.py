"""A stop at any moment closes the connection and leaves nothing."""

from __future__ import annotations

import random
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from groq_magic.answer import Answer
from groq_magic.wire.endpoint import Endpoint
from tests.support.asker import Asker, open_files
from tests.support.peer import Connection, answers, delta, peer
from tests.support.waiting import until


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
def test_two_hundred_and_fifty_stops(scheme: str, authority: trustme.CA, ask: Asker) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = Watched(context if scheme == "https" else None)
    client = ask.client()
    endpoint = Endpoint(f"{scheme}://127.0.0.1:{server.port}/v1")
    chance = random.Random(7)
    delays: list[float] = []

    def stop_once(phase: str, *, is_accepted: bool) -> None:
        server.phase, before, accepted = phase, len(server.closed_at), server.accepted
        answer = Answer(client.stream(endpoint, {})).start()
        until(lambda: server.accepted > accepted or not is_accepted)
        time.sleep(chance.uniform(0.0, 0.02))
        answer.stop()
        stopped = time.monotonic()
        assert answer.state == "stopped"
        assert ask.held() == []
        until(lambda: len(server.closed_at) == server.accepted)
        # A stop before the connection leaves the server nothing to see.
        delays.extend(max(0.0, at - stopped) for at in server.closed_at[before:])

    stop_once("mid-stream", is_accepted=True)  # builds the TLS context
    threads, files = threading.active_count(), open_files()
    phases = ["connecting", "before headers", "mid-stream", "flood"]
    for number in range(250):
        stop_once(phases[number % 4], is_accepted=number % 8 < 4)
    delays.sort()
    p50, p99 = (delays[len(delays) * part // 100] * 1e3 for part in (50, 99))
    # A figure to read (``pytest -k two_hundred -rP``): how fast it is, is the machine's, too.
    print(f"{scheme}: {len(delays)} closes seen, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    assert len(delays) >= 125
    assert threading.active_count() <= threads
    assert open_files() <= files
    server.close()


@contextmanager
def full_listener() -> Iterator[tuple[socket.socket, ExitStack]]:
    """A socket that has as many guests as it takes: the next connection stays in the making."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as guests:
        is_full = False
        while not is_full:
            guest = guests.enter_context(socket.socket())
            guest.settimeout(0)
            guest.connect_ex(listener.getsockname())
            is_full = not select.select([], [guest], [], 0.2)[1]
        yield listener, guests


def in_the_making(port: int) -> int:
    """How many connections to that port were asked for, and not answered."""
    lines = Path("/proc/self/net/tcp").read_text().splitlines()
    return sum(f":{port:04X} 02 " in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells what it waits for")
@pytest.mark.parametrize("places", [0, 100], ids=["never let in", "let in later"])
def test_stops_while_the_connection_is_made(places: int, ask: Asker) -> None:
    with full_listener() as (listener, guests):
        port = listener.getsockname()[1]
        before = in_the_making(port)
        stopped = [ask(f"http://127.0.0.1:{port}/v1") for _ in range(20)]
        until(lambda: in_the_making(port) == before + 20)
        for answer in stopped:
            answer.stop()
        assert {answer.state for answer in stopped} == {"stopped"}
        listener.listen(places)
        assert ask.held() == []
        guests.close()
        assert in_the_making(port) == 0
        assert said_by_all(listener) == b""


def said_by_all(listener: socket.socket) -> bytes:
    """What those who wait there to be let in have sent until they closed."""
    said = b""
    while select.select([listener], [], [], 0)[0]:
        with listener.accept()[0] as accepted:
            accepted.settimeout(30)
            said += accepted.recv(100)
    return said


def test_a_stop_while_a_name_is_looked_up(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo
    asked, may_answer = threading.Event(), threading.Event()

    def slow(*given: Any, **more: Any) -> Any:  # no resolver here can be told to take its time
        asked.set()
        may_answer.wait(30)
        return look_up(*given, **more)

    with peer(answers("too late")) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        answer = ask(server.base_url.replace("127.0.0.1", "localhost"))
        assert asked.wait(30)
        answer.stop()
        assert answer.state == "stopped"
        may_answer.set()
        assert ask.held() == []
        assert server.connections == []
