"""The client beside others, in one run: ``python -m tests.bench.client``.

A server in a process of its own sends the same chunks to each client, each in a process
of its own: ours (read delta by delta, as ``for delta in answer`` does), the groq and openai
SDKs, httpx with httpx-sse, and bare ``httpx.AsyncClient`` with ``aiter_lines`` and ``json``.
Rounds are interleaved, and the median of each figure is taken. A client that is not
installed is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMPILED = Path(tempfile.gettempdir()) / "groq_magic-bench-compiled"
CLIENTS = {
    "ours": "groq_magic",
    "groq": "groq",
    "openai": "openai",
    "httpx-sse": "httpx_sse",
    "bare": "httpx",
}
"""And the module of each."""
WARM_UP = 200
FLOODS = 3
KEPT = 128_000
"""Chunks of an answer whose memory is taken."""

Figures = dict[str, float]

# The server


def chunk(text: str, **choice: Any) -> bytes:
    """An event as Groq frames it."""
    data = {
        "id": "chatcmpl-75baf1bb-17c6-470c-a321-54c0e252200f",
        "object": "chat.completion.chunk",
        "created": 1762103733,
        "model": "openai/gpt-oss-120b",
        "system_fingerprint": "fp_8d9ccea017",
        "choices": [
            {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
            | choice
        ],
    }
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send as many chunks at as many a second as the path says: /COUNT/RATE/…"""
    while head := (await reader.readuntil(b"\r\n\r\n")).decode():
        if head.startswith("GET"):  # ours asks for the models, behind its first answer
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            continue
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        await reader.readexactly(length)
        _, count, rate, *_ = head.split()[1].split("/")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        await send(writer, int(count), float(rate))
        end = chunk("", delta={}, finish_reason="stop") + b"data: [DONE]\n\n"
        writer.write(framed(end) + b"0\r\n\r\n")


async def send(writer: asyncio.StreamWriter, count: int, rate: float) -> None:
    """Each chunk carries when it was written, in nanoseconds.

    A rate of 0 is no limit: all carry one time then, and cost next to nothing to make. Two
    cores can share one core's units, and a server at work would slow down who is measured.
    """
    begun = time.monotonic()
    same = framed(chunk(f"{time.monotonic_ns()} "))
    for number in range(count):
        if rate and (ahead := begun + number / rate - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        writer.write(framed(chunk(f"{time.monotonic_ns()} ")) if rate else same)
        if not rate and number % 64 == 0:
            await writer.drain()
    await writer.drain()


def framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve() -> None:
    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# The clients: each makes a function from a base URL to an iterator of texts


def ours() -> Callable[[str], Iterator[str]]:
    from groq_magic import stream

    return lambda url: iter(stream("Hello", base_url=url))


def sdk(name: str) -> Callable[[str], Iterator[str]]:
    module = __import__(name)
    make = module.Groq if name == "groq" else module.OpenAI

    def texts(url: str) -> Iterator[str]:
        if url not in clients:
            clients[url] = make(api_key="x", base_url=url)
        chunks = clients[url].chat.completions.create(
            messages=[{"role": "user", "content": "Hello"}], model="m", stream=True
        )
        for piece in chunks:
            if piece.choices[0].delta.content:
                yield piece.choices[0].delta.content

    clients: dict[str, Any] = {}
    return texts


def with_httpx_sse() -> Callable[[str], Iterator[str]]:
    import httpx
    from httpx_sse import connect_sse

    client = httpx.Client()

    def texts(url: str) -> Iterator[str]:
        body = {"messages": [], "stream": True}
        with connect_sse(client, "POST", f"{url}/chat/completions", json=body) as source:
            for event in source.iter_sse():
                if event.data != "[DONE]":
                    yield json.loads(event.data)["choices"][0]["delta"].get("content", "")

    return texts


async def bare(client: Any, url: str, take: Callable[[str], object]) -> None:
    body = {"messages": [], "stream": True}
    async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                take(json.loads(line[6:])["choices"][0]["delta"].get("content", ""))


# One client's figures, taken in its own process


def measure(name: str, port: int, count: int) -> Figures:
    begun = time.perf_counter()
    run = runner(name)
    figures = {"import s": time.perf_counter() - begun}
    base = f"http://127.0.0.1:{port}"
    cold, *warm = (first_token(run, f"{base}/{WARM_UP}/1000/v1") for _ in range(16))
    figures["first token cold ms"] = cold
    figures["first token warm ms"] = statistics.median(warm)
    figures |= medians([streamed(run, f"{base}/{count}/0/v1", "flood") for _ in range(FLOODS)])
    figures |= streamed(run, f"{base}/{count // 5}/1000/v1", "1000/s")
    return figures


def first_token(run: Callable[[str, Callable[[str], object]], None], url: str) -> float:
    """Milliseconds from the question to the first text."""
    time.sleep(0.1)  # nobody asks again within the millisecond
    at: list[float] = []
    begun = time.perf_counter()
    run(url, lambda _text: at.append(time.perf_counter()))
    return (at[0] - begun) * 1e3


def runner(name: str) -> Callable[[str, Callable[[str], object]], None]:
    """A function that takes the texts of one answer, one by one."""
    if name == "bare":
        import httpx

        loop, client = asyncio.new_event_loop(), httpx.AsyncClient()

        def run_bare(url: str, take: Callable[[str], object]) -> None:
            loop.run_until_complete(bare(client, url, take))

        return run_bare
    made = {"ours": ours, "httpx-sse": with_httpx_sse}
    texts = made[name]() if name in made else sdk(name)

    def run(url: str, take: Callable[[str], object]) -> None:
        for text in texts(url):
            take(text)

    return run


def streamed(run: Callable[[str, Callable[[str], object]], None], url: str, label: str) -> Figures:
    delays: list[int] = []

    def take(text: str) -> None:
        if text:
            delays.append(time.monotonic_ns() - int(text))

    cpu, wall = time.process_time(), time.perf_counter()
    run(url, take)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    delays.sort()
    figures = {f"{label}: CPU per chunk us": cpu / len(delays) * 1e6}
    if label == "flood":
        return figures | {"flood: chunks/s": len(delays) / wall}
    return figures | {
        f"{label}: latency p50 us": delays[len(delays) // 2] / 1e3,
        f"{label}: latency p99 us": delays[len(delays) * 99 // 100] / 1e3,
    }


def memory(name: str, port: int, count: int) -> Figures:
    """Peak memory beyond the text itself, of an answer that is kept."""
    run = runner(name)
    run(f"http://127.0.0.1:{port}/{WARM_UP}/0/v1", lambda _text: None)
    before = resident("VmRSS")
    if name == "ours":
        from groq_magic import stream

        kept = stream("Hello", base_url=f"http://127.0.0.1:{port}/{count}/0/v1").result()
    else:
        pieces: list[str] = []
        run(f"http://127.0.0.1:{port}/{count}/0/v1", pieces.append)
        kept = "".join(pieces)
    beyond = resident("VmHWM") - before - len(kept) / 2**20
    return {f"{count:,} chunks: MB beyond the text": beyond}


def resident(what: str) -> float:
    """Memory of this process, now (VmRSS) or at its peak (VmHWM), in MB.

    ``ru_maxrss`` would not do: it begins with that of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


# The table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.run:
        what, name, port, count = options.run
        figures = {"measure": measure, "memory": memory}[what]
        print(json.dumps(figures(name, int(port), int(count))))
    else:
        show(compare(options.rounds, options.chunks))
        print(f"%load_ext groq_magic, in a shell that runs: {load(options.rounds):.1f} ms")


def compare(rounds: int, chunks: int, kept: int = KEPT) -> dict[str, Figures]:
    """The medians of each client that is installed."""
    names = [name for name, module in CLIENTS.items() if find_spec(module)]
    taken: dict[str, list[Figures]] = {name: [] for name in names}
    server = subprocess.Popen([*ME, "--serve"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        for name in names:
            taken[name].append(run_by_itself("memory", name, port, kept))
        for _ in range(rounds):
            for name in names:
                taken[name].append(run_by_itself("measure", name, port, chunks))
    finally:
        server.terminate()
    return {name: medians(figures) for name, figures in taken.items()}


ME = (sys.executable, "-m", "tests.bench.client")


def run_by_itself(what: str, name: str, port: str, count: int) -> Figures:
    return dict(json.loads(said_by(*ME, "--run", what, name, port, str(count))))


def said_by(*command: str) -> str:
    """What a fresh process prints; it finds our modules compiled, as pip leaves all others."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(COMPILED)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.check_output(command, cwd=ROOT, env=environment, text=True)


def medians(taken: list[Figures]) -> Figures:
    rows = dict.fromkeys(row for figures in taken for row in figures)
    return {
        row: statistics.median(figures[row] for figures in taken if row in figures) for row in rows
    }


def load(rounds: int) -> float:
    """Milliseconds that %load_ext takes in a shell that runs, the median."""
    command = (sys.executable, "-c", LOAD)
    said_by(*command)  # the first compiles
    return statistics.median(float(said_by(*command)) for _ in range(rounds))


LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
begun = time.perf_counter()
shell.extension_manager.load_extension("groq_magic")
print((time.perf_counter() - begun) * 1e3)
"""


def show(taken: dict[str, Figures]) -> None:
    print(f"{'':34}" + "".join(f"{name:>12}" for name in taken))
    for row in taken["ours"]:
        print(f"{row:34}" + "".join(f"{figures[row]:12,.2f}" for figures in taken.values()))


if __name__ == "__main__":
    main()
