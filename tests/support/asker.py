"""Clients, and what is left when their answers have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from groq_magic import stream
from groq_magic.answer import Answer
from groq_magic.runtime import runtime
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from tests.support.peer import Script, peer
from tests.support.waiting import until

T = TypeVar("T")


class Asker:
    """Asks with clients that try once; in the end nothing may be left."""

    def __init__(self) -> None:
        tasks()  # for which the loop opens files of its own
        self._files = open_files()
        self._clients: list[Client] = []

    def client(self, **options: Any) -> Client:
        self._clients.append(Client(**options))
        return self._clients[-1]

    def __call__(self, base_url: str, **options: Any) -> Answer:
        client = self.client(**{"timeout": 60.0, "max_retries": 0, **options})
        return Answer(client.stream(Endpoint(base_url), {"model": "m", "stream": True})).start()

    def held(self) -> list[Any]:
        """The connections in the pools, when nothing runs any more."""
        until(lambda: not tasks())
        transports: Any = [client._http._transport for client in self._built()]
        return [held for transport in transports for held in transport._pool.connections]

    def _built(self) -> list[Client]:
        return [client for client in self._clients if "_http" in vars(client)]

    def close(self) -> None:
        assert all(held.is_idle() for held in self.held())
        for client in self._built():
            on_the_loop(client._http.aclose())
        until(lambda: open_files() <= self._files)


def on_the_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, runtime.loop._running_loop()).result(30)


def tasks() -> int:
    """How many run on the background loop, those that libraries started included."""

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return on_the_loop(count())


def open_files() -> set[str]:
    """What the descriptors of this process are for, each of another name, where Linux tells."""
    found = set()
    for descriptor in list(Path("/proc/self/fd").glob("*")):
        with suppress(OSError):  # the listing's own is closed again
            found.add(f"{descriptor.name} {descriptor.readlink()}")
    return found


def ask(*scripts: Script, models: bool = False) -> Answer:
    """An answer, at its end, of ``stream()`` to a server that plays the scripts."""
    with peer(*scripts, models=models) as server:
        answer = stream("Hello", base_url=server.base_url)
        assert answer.wait(30)
    return answer
