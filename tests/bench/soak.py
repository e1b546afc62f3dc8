"""A hundred answers at once, 200 tokens a second each, for a minute.

``python -m tests.bench.soak``

The demo server runs in a process of its own. Every text is compared with what was sent,
byte by byte. Memory is taken when the answers of a round were dropped and the allocator has
given back what it holds for later: what a round adds then would be a leak.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from groq_magic import stream
from groq_magic.demo.answers import tokens_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--rate", type=int, default=200, help="tokens per second of each")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    command = [sys.executable, "-m", "groq_magic.demo", "--port", "0"]
    command += ["--tokens-per-second", str(options.rate)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().split()[0].partition("=")[2]
        soak(base_url, options.answers, options.rate * options.seconds, options.rounds)
    finally:
        server.terminate()


def soak(base_url: str, count: int, tokens: int, rounds: int) -> None:
    sent = text_of(tokens)
    print(f"{count} answers of {len(sent):,} characters each")
    for number in range(1, rounds + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        equal = sum(text == sent for text in run(base_url, count, tokens))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        gc.collect()
        give_back()
        print(
            f"round {number}: {equal} of {count} equal to what was sent, {wall:.1f} s, "
            f"{cpu / wall:.0%} of a core, {cpu / count / tokens * 1e6:.0f} us a token; "
            f"then {resident():.1f} MB, {len(os.listdir('/proc/self/fd'))} open files",
            flush=True,
        )


def run(base_url: str, count: int, tokens: int) -> list[str]:
    options: dict[str, Any] = {"model": "demo/long", "max_completion_tokens": tokens}
    answers = [stream("x", base_url=base_url, **options) for _ in range(count)]
    return [answer.result() for answer in answers]


def text_of(tokens: int) -> str:
    body = {"max_completion_tokens": tokens, "messages": [{"role": "user", "content": "x"}]}
    return "".join(token for _, token in tokens_of("demo/long", body)[0])


def give_back() -> None:
    """Have glibc return the memory that is free to the system; other allocators keep theirs."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> float:
    """Memory of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
