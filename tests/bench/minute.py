"""Notebooks that run all their prompts at once, under a plan's limits.

``python -m tests.bench.minute [plain halved shared paid]``

``plain``: kernels run a notebook of prompts each, all cells at once; the demo server has the
limits of the free plan, times ``--scale``. ``halved``: the same, and the limits are halved when
half of the prompts are admitted. ``shared``: the same, and another client without groq_magic
takes half of the minute's tokens. It prints what the server refused, how much of the minute's
tokens was used, and whether the prompts were admitted in the order in which the cells ran.

``paid``: the limits of a paid account; the time to first token of single small requests, and of
another checkout's beside them, one after the other in turns: ``--beside PATH``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx

from groq_magic.demo.answers import tokenised, tokens_of
from groq_magic.demo.plan import PLANS, Limits
from tests.support.demo import Demo, running_demo
from tests.support.kernels import Kernel, running_kernel

ROOT = Path(__file__).parents[2]
MODES = ("plain", "halved", "shared", "paid")
MODEL = "openai/gpt-oss-120b"
OTHER = "Another client asks."
SMALLEST, LARGEST = 30, 2_500
"""Tokens of a prompt."""
SWAP_SECONDS = 0.05
"""Who asks within it of one another may swap, across notebooks."""
LONGEST_RUN = 3_600.0
Seen = dict[str, Any]
"""What the server saw of a request."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modes", nargs="*", default=["plain"], help=" ".join(MODES))
    parser.add_argument("--scale", type=int, default=4, help="times the free plan's limits")
    parser.add_argument("--notebooks", type=int, default=5)
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--charge-prompt-only", action="store_true", help="the demo server's")
    parser.add_argument("--requests", type=int, default=100, help="of `paid`")
    parser.add_argument("--beside", type=Path, default=ROOT, help="a checkout, for `paid`")
    options = parser.parse_args()
    for mode in options.modes:
        print(f"{mode}:", flush=True)
        for line in paid(options) if mode == "paid" else run(mode, options):
            print(f"  {line}", flush=True)


# The prompts


def texts() -> list[str]:
    """Paragraphs of prose and code, as prompts have them."""
    files = ("english", "german", "code", "formulas")
    whole = [(ROOT / f"tests/data/answers/{name}.md").read_text("utf-8") for name in files]
    whole.append((ROOT / "docs/guide.md").read_text("utf-8"))
    return [part.replace("{{", "{") for text in whole for part in text.split("\n\n")]


def prompt(chance: random.Random, size: int, paragraphs: Sequence[str]) -> str:
    """A text of about so many tokens."""
    tokens: list[str] = []
    while len(tokens) < size:
        tokens += tokenised(chance.choice(paragraphs) + "\n\n")
    return "".join(tokens[:size]).strip()


def cells(notebook: int, count: int) -> Iterator[str]:
    """Most prompts are small; a third have a maximum, a tenth are turns of a chat."""
    chance, paragraphs = random.Random(notebook), texts()
    for number in range(count):
        size = round(SMALLEST * (LARGEST / SMALLEST) ** (chance.random() ** 2.5))
        flags = f"-m {MODEL} -o answer_{number}"
        if number % 10 == 5:
            flags, size = f"{flags} -c", min(size, 200)
        elif number % 3 == 0:
            flags = f"{flags} --max-tokens {chance.choice((100, 300, 1_000))}"
        head = f"Prompt {notebook}-{number} of {{{{ time.time() }}}}."
        yield f"%%groq {flags}\n{head}\n{prompt(chance, size, paragraphs)}"


LAST_CELL = """
import json
answers = [globals()[f"answer_{{number}}"] for number in range({count})]
for answer in answers:
    answer.wait()
ended = [(a.state, a.text, type(a.error).__name__) for a in answers]
print(json.dumps([time.process_time(), ended]))
"""

# The notebooks


class Ended(NamedTuple):
    """An answer, as its kernel has it."""

    state: str
    text: str
    error: str


def run_all(kernel: Kernel, notebook: int, count: int, together: threading.Barrier) -> list[Ended]:
    """Run all cells at once; the last waits for the answers."""
    kernel.run("%reload_ext groq_magic\nimport time")
    prepared = list(cells(notebook, count))
    together.wait()
    for number, code in enumerate(prepared):
        kernel.start(code, cell=f"cell-{number}")
    last = kernel.finish(kernel.start(LAST_CELL.format(count=count)), LONGEST_RUN)
    if not last.stdout:
        raise RuntimeError(last.error)
    cpu, ended = json.loads(last.stdout)
    print(f"  notebook {notebook}: {cpu:.1f} s of CPU", flush=True)
    return [Ended(*each) for each in ended]


def run_notebooks(server: Demo, notebooks: int, count: int) -> list[list[Ended]]:
    """Run all notebooks, each in a kernel and on a thread of its own."""
    together = threading.Barrier(notebooks)

    def run_one(notebook: int) -> list[Ended]:
        with TemporaryDirectory() as home, running_kernel(environment(server, home), home) as one:
            return run_all(one, notebook, count, together)

    with ThreadPoolExecutor(notebooks) as pool:
        return list(pool.map(run_one, range(notebooks)))


def environment(server: Demo, home: str) -> dict[str, str]:
    given = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": home}
    given.pop("GROQ_API_KEY", None)
    return given


# What changes meanwhile


class Change(NamedTuple):
    """From when there are which limits, in seconds since 1970."""

    at: float
    limits: Limits


def halve(server: Demo, changes: list[Change], prompts: int, end: threading.Event) -> None:
    """Halve the limits as soon as half of the prompts are admitted."""
    while sum(each.get("status") == 200 for each in server.seen()) < prompts / 2:
        if end.wait(0.5):
            return
    tokens, requests, *day = changes[0].limits
    halved = Limits(tokens // 2, requests // 2, *day)
    server.change_plan(",".join(map(str, halved)))
    changes.append(Change(time.time(), halved))


def eat(server: Demo, limits: Limits, end: threading.Event) -> None:
    """Take half of the minute's tokens, as fast as the server lets it."""
    body = {"model": MODEL, "max_completion_tokens": 20}
    body["messages"] = [{"role": "user", "content": f"{OTHER} {'word ' * 150}"}]
    while not server.seen():
        if end.wait(0.05):
            return
    begun, taken = time.monotonic(), 0.0
    with httpx.Client(base_url=server.base_url, timeout=60, trust_env=False) as client:
        while not end.is_set():
            if taken <= (time.monotonic() - begun) * limits.tokens_per_minute / 60 / 2:
                response = client.post("chat/completions", json=body)
                if response.status_code == 200:
                    taken += response.json()["usage"]["total_tokens"]
                    continue
            time.sleep(0.05)


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    end = threading.Event()
    thread = threading.Thread(target=work, args=(end,))
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def run(mode: str, options: argparse.Namespace) -> Iterator[str]:
    """Run the notebooks once; yield the lines to print."""
    limits = scaled(options.scale)
    plan = ["--plan", ",".join(map(str, limits))]
    plan += ["--charge-prompt-only"] * options.charge_prompt_only
    changes = [Change(0.0, limits)]
    with running_demo(500.0 * options.scale, *plan) as server:
        works: dict[str, Callable[[threading.Event], None]] = {
            "plain": lambda _end: None,
            "halved": partial(halve, server, changes, options.notebooks * options.cells),
            "shared": partial(eat, server, limits),
        }
        with meanwhile(works[mode]):
            ended = run_notebooks(server, options.notebooks, options.cells)
        yield from report(server.seen(), ended, changes)


def scaled(scale: int) -> Limits:
    """The free plan's limits, times so much; with few a day groq_magic expects 30 a minute."""
    free = PLANS["free"]
    if scale == 1:
        return free
    day = PLANS["paid"].requests_per_day
    minute = (free.tokens_per_minute * scale, free.requests_per_minute * scale)
    return Limits(*minute, day, free.tokens_per_day * scale)


# What came of it


class Asked(NamedTuple):
    """A prompt that was admitted."""

    notebook: int
    number: int
    at: float
    """When its cell ran."""
    admitted: float
    seen: Seen

    @classmethod
    def of(cls, seen: Seen) -> Asked:
        head = re.match(
            r"Prompt (\d+)-(\d+) of ([\d.]+)\.", seen["body"]["messages"][-1]["content"]
        )
        assert head, seen["body"]["messages"][-1]["content"][:100]
        return cls(int(head[1]), int(head[2]), float(head[3]), seen["admitted_at"], seen)

    @property
    def is_later_turn(self) -> bool:
        """Whether it waited for the turn before, too."""
        return len(self.seen["body"]["messages"]) > 1


def report(seen: list[Seen], ended: list[list[Ended]], changes: list[Change]) -> Iterator[str]:
    theirs = [each for each in seen if OTHER in each["body"]["messages"][0]["content"]]
    ours = [each for each in seen if each not in theirs]
    admitted = sorted((e for e in ours if e["status"] == 200), key=lambda e: e["admitted_at"])
    asked = [Asked.of(each) for each in admitted]
    yield from outcome(ours, ended, asked)
    also = [each for each in theirs if each["status"] == 200]
    yield from shares(asked, also, changes)
    if theirs:
        yield f"another client: {len(also)} answers, 429 met {refused(theirs, 429)}"
    yield from order([each for each in asked if not each.is_later_turn])


def refused(seen: list[Seen], status: int) -> str:
    """How many times, and because of which limits."""
    by = Counter(
        re.findall(r"\(([TR]P[MD])\)", each["refusal"])[0]
        for each in seen
        if each["status"] == status
    )
    limits = ", ".join(f"{count} {limit}" for limit, count in by.items())
    return f"{by.total()} times" + (f" ({limits})" if limits else "")


def outcome(ours: list[Seen], ended: list[list[Ended]], asked: list[Asked]) -> Iterator[str]:
    """What the server refused, and what came of the answers."""
    answers = [answer for notebook in ended for answer in notebook]
    states = Counter(answer.state for answer in answers)
    yield f"{len(answers)} prompts: " + ", ".join(f"{n} {state}" for state, n in states.items())
    if errors := Counter(answer.error for answer in answers if answer.state == "failed"):
        yield "failed with " + ", ".join(f"{n} {name}" for name, n in errors.items())
    yield f"413 met {refused(ours, 413)}, 429 met {refused(ours, 429)}"
    lost = sum(not is_whole(ended[each.notebook][each.number], each.seen) for each in asked)
    yield f"texts lost or changed: {lost} of {len(asked)} that were sent"


def is_whole(answer: Ended, seen: Seen) -> bool:
    tokens, _ = tokens_of(MODEL, seen["body"])
    return answer.text == "".join(token for _, token in tokens)


def shares(asked: list[Asked], also: list[Seen], changes: list[Change]) -> Iterator[str]:
    """How much of the minutes' tokens was used until the last prompt was admitted."""
    begun, last = asked[0].admitted, asked[-1].admitted
    offer = offered(begun, last, changes)
    meanwhile = [each for each in also if begun <= each["admitted_at"] <= last]
    for what in ("charged", "requested"):
        ours = sum(each.seen[what] for each in asked)
        theirs = sum(each[what] for each in meanwhile)
        share = f"{(ours + theirs) / offer:.1%}"
        share += f", {theirs / offer:.1%} of it another client's" if theirs else ""
        yield f"tokens {what}: {ours + theirs:,} of {offer:,.0f} offered, {share}"
    wall = max(each.seen["ended_at"] for each in asked) - min(each.at for each in asked)
    best = ideal(begun, sum(e.seen["charged"] for e in asked), len(asked), changes)
    yield f"wall time {wall:.1f} s; at best {best:.1f} s for these prompts alone"


def offered(begun: float, last: float, changes: list[Change]) -> float:
    """Tokens that one could use: a bucket's fill, and what it refills, at each limit's time."""
    total = float(changes[-1].limits.tokens_per_minute)
    for change, end in zip(changes, [*(c.at for c in changes[1:]), last], strict=True):
        seconds = max(0.0, min(end, last) - max(change.at, begun))
        total += seconds * change.limits.tokens_per_minute / 60
    return total


def ideal(begun: float, tokens: int, requests: int, changes: list[Change]) -> float:
    """Seconds until so many are admitted where the limits are used wholly."""
    seconds = 0.0
    while offered(begun, begun + seconds, changes) < tokens:
        seconds += 0.1
    limit = changes[0].limits.requests_per_minute
    return max(seconds, (requests - limit) / limit * 60)


def order(asked: list[Asked]) -> Iterator[str]:
    """How many were admitted before one that had asked earlier, turns of chats left out."""
    notebooks = {each.notebook for each in asked}
    swapped = sum(
        overtakers([each for each in asked if each.notebook == notebook], 0.0)
        for notebook in notebooks
    )
    yield f"order within notebooks: {swapped} admitted before an earlier one"
    late, any_ = overtakers(asked, SWAP_SECONDS), overtakers(asked, 0.0)
    within = f"{any_ - late} more within {SWAP_SECONDS * 1e3:.0f} ms"
    yield f"order overall: {late} admitted before an earlier one, {within}"


def overtakers(asked: list[Asked], tolerance: float) -> int:
    """Of prompts in the order of their admission, those before one that asked earlier."""
    earliest, count = float("inf"), 0
    for each in reversed(asked):
        count += earliest < each.at - tolerance
        earliest = min(earliest, each.at)
    return count


# Time to first token

WORKER = """
import sys, time
import groq_magic
from groq_magic import stream
print(groq_magic.__file__, flush=True)
for line in sys.stdin:
    begun = time.perf_counter()
    answer = stream("Three names for a cat?", model="openai/gpt-oss-120b")
    next(iter(answer))
    seconds = time.perf_counter() - begun
    answer.result()
    print(seconds, flush=True)
"""


class Worker:
    """A process that asks with one checkout's code."""

    def __init__(self, checkout: Path, server: Demo, home: str) -> None:
        given = environment(server, home) | {"PYTHONPATH": str(checkout)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=home,
            env=given,
        )
        loaded = self._line()
        assert Path(loaded).is_relative_to(checkout.resolve()), loaded

    def ask(self) -> float:
        """Milliseconds to the first token of a small request."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line()) * 1e3

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def paid(options: argparse.Namespace) -> Iterator[str]:
    """Ask in turns, this checkout first in every other turn."""
    with running_demo(500, "--plan", "paid") as server, TemporaryDirectory() as home:
        workers = [Worker(path.resolve(), server, home) for path in (ROOT, options.beside)]
        taken: list[list[float]] = [[], []]
        try:
            for turn in range(options.requests + 5):
                for number in (0, 1) if turn % 2 else (1, 0):
                    taken[number].append(workers[number].ask())
        finally:
            for worker in workers:
                worker.close()
    for name, all_of_it in zip(("this checkout", "beside it"), taken, strict=True):
        milliseconds = sorted(all_of_it[5:])  # the first make connections
        p95 = milliseconds[round(0.95 * (len(milliseconds) - 1))]
        middle = statistics.median(milliseconds)
        yield f"time to first token, {name}: median {middle:.2f} ms, p95 {p95:.2f} ms"


if __name__ == "__main__":
    main()
