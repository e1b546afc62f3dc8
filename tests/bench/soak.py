"""A hundred answers at once, 200 tokens a second each, for a minute.

``python tests/bench/soak.py``

The demo server runs in a process of its own. Every text is compared with what was sent,
byte by byte, and memory is taken before, and after the answers were dropped.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from groq_magic import stream
from groq_magic.demo import _tokens_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--rate", type=int, default=200, help="tokens per second of each")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    command = [sys.executable, "-m", "groq_magic.demo", "--port", "0"]
    command += ["--tokens-per-second", str(options.rate)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().strip().partition("=")[2]
        soak(base_url, options.answers, options.rate * options.seconds)
    finally:
        server.terminate()


def soak(base_url: str, count: int, tokens: int) -> None:
    sent = text_of(tokens)
    run(base_url, count, tokens // 4)  # what a first round leaves behind is no leak
    memory, files = resident(), len(os.listdir("/proc/self/fd"))
    cpu, wall = time.process_time(), time.perf_counter()
    texts = run(base_url, count, tokens)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    equal = sum(text == sent for text in texts)
    del texts
    gc.collect()
    print(f"answers equal to what was sent: {equal} of {count}, {len(sent):,} characters each")
    per_token = cpu / count / tokens * 1e6
    print(f"time: {wall:.1f} s; CPU: {cpu / wall:.0%} of a core, {per_token:.0f} us a token")
    print(f"memory: {memory:.1f} MB before, {resident():.1f} MB after")
    print(f"open files: {files} before, {len(os.listdir('/proc/self/fd'))} after")


def run(base_url: str, count: int, tokens: int) -> list[str]:
    options: dict[str, Any] = {"model": "demo/long", "max_completion_tokens": tokens}
    answers = [stream("x", base_url=base_url, **options) for _ in range(count)]
    return [answer.result() for answer in answers]


def text_of(tokens: int) -> str:
    body = {"max_completion_tokens": tokens, "messages": [{"role": "user", "content": "x"}]}
    return "".join(token for _, token in _tokens_of("demo/long", body)[0])


def resident() -> float:
    """Memory of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


if __name__ == "__main__":
    main()
