"""Random stops, interrupts, forks and exits while answers run: ``python -m tests.bench.stress``.

Workers are processes of their own. Each round starts answers, waits for them in one of the ways
that there are, and disturbs that after a random time. Then every answer must have ended, its text
must be the beginning of what the server sent, a new answer must come whole; in the end no thread,
task, descriptor or connection may be left. A round that takes longer than a minute is a hang: its
stacks are printed, its worker is ended, and another worker goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from groq_magic import stream
from groq_magic.answer import Answer, running
from groq_magic.runtime.loop import _LOADED_LATE
from tests.bench.soak import text_of
from tests.support.asker import open_files, tasks
from tests.support.demo import running_demo
from tests.support.peer import DONE, Connection, Peer, answers, delta, finish

HANG_SECONDS = 60.0
_WORDS = [f"{number} " for number in range(20_000)]
_ALL = "".join(_WORDS)
_WHOLE = "".join(_WORDS[:30])
_DEMO_TOKENS = 100
_DEMO_TEXT = text_of(_DEMO_TOKENS)
_MODELS = ("whole", "slow", "slow", "slow", "silent", "head", "limited", "refused", "cut", "demo")
_LIST = json.dumps({"data": [{"id": model} for model in _MODELS]}).encode()
_KINDS = ("stop", "interrupt", "fork", "exit")
_RAPID = "rapid interrupt"


# The server


class Server:
    """Plays a model by its name, and knows how many of its connections are open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.open = 0
        self.peer = Peer([self._play], models=True)

    def _play(self, connection: Connection) -> None:
        with self._lock:
            self.open += 1
            self.peer.connections.clear()  # which would keep thousands of requests
        is_list = "/models" in connection.request.line
        try:
            _SCRIPTS["list" if is_list else connection.request.json["model"]](connection)
        finally:
            with self._lock:
                self.open -= 1

    def left(self) -> int:
        """The connections that nobody closes."""
        give_up_at = time.monotonic() + 30
        while self.open and time.monotonic() < give_up_at:
            time.sleep(0.01)
        return self.open


def _slow(connection: Connection) -> None:
    connection.begin()
    for word in _WORDS:
        connection.chunk(delta(word))
        if connection.closed.wait(0.002):
            return
    connection.chunk(finish() + DONE)
    connection.end()


def _head(connection: Connection) -> None:
    connection.begin()
    connection.until_closed()


def _cut(connection: Connection) -> None:
    connection.begin()
    connection.chunk(delta(_WORDS[0]) + delta(_WORDS[1])[:-9])


_SCRIPTS: dict[str, Callable[[Connection], None]] = {
    "list": lambda connection: connection.respond(_LIST, content_type="application/json"),
    "whole": answers(*_WORDS[:30]),
    "slow": _slow,
    "silent": Connection.until_closed,
    "head": _head,
    "limited": lambda connection: connection.respond(b"{}", "429 Slow", retry_after="50"),
    "refused": lambda connection: connection.respond(b"{}", "400 Bad Request"),
    "cut": _cut,
}


# A worker


class Asked(NamedTuple):
    """An answer, and what the server sends."""

    answer: Answer
    model: str
    sent: str
    seen: list[str]
    """The deltas that a reader has seen."""


class Worker:
    """Runs rounds in this process and prints what each found, one JSON object a line."""

    def __init__(self, url: str, demo: str, seed: int) -> None:
        self._url, self._demo = url, demo
        self._chance = random.Random(seed)
        self._faults: set[str] = set()
        self._dropped = 0
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
        faulthandler.register(signal.SIGUSR1, file=os.dup(2))
        sys.unraisablehook = self._note_dropped
        logging.disable()  # asyncio's, of event loops that interrupts have left half made

    def run(self, kind: str, rounds: int) -> None:
        """Run so many rounds; the kind "mixed" stands for all three that share a process."""
        kinds = {
            "stop": self.stop,
            "interrupt": self.interrupt,
            "fork": self.fork,
            "exit": self.exit,
            _RAPID: self.rapid_interrupt,
        }
        if kind != "exit":  # there only children have answers: in this process is no thread
            self._warm_up()
        before = self._held() if kind != "exit" else {}
        for number in range(rounds):
            chosen = _KINDS[number % 3] if kind == "mixed" else kind
            if kind == "exit" and number == rounds // 4:
                _load_what_comes_late()  # else the rest of the run does nothing but import
            self._faults = set()
            kinds[chosen]()
            tell(kind=chosen, faults=sorted(self._faults))
        if kind != "exit":
            until(lambda: tasks() == 0 and threading.active_count() <= before["threads"])
            _finish_loop()
            held = self._held()
            tell(dropped=self._dropped)
            tell(left={name: max(0, held[name] - before[name]) for name in held})

    # The kinds of rounds

    def stop(self) -> None:
        """Stop answers from a thread, from several at once, and within an event loop."""
        asked = self._some()
        readers = [self._reader(one) for one in asked if self._chance.random() < 0.7]
        time.sleep(self._moment())
        for one in asked:
            self._stop_somewhere(one.answer)
        self._settle(asked)
        for reader in readers:
            self._join(reader)
        self._try_another()

    def _stop_somewhere(self, answer: Answer) -> None:
        way = self._chance.choice(("here", "threads", "loop"))
        if way == "here":
            answer.stop()
        elif way == "threads":
            for thread in (threading.Thread(target=answer.stop) for _ in range(3)):
                thread.start()
        else:

            async def stop() -> None:
                answer.stop()

            asyncio.run(stop())

    def interrupt(self) -> None:
        """Wait somewhere, until another process sends a SIGINT."""
        asked: list[Asked] = []
        way = self._chance.choice(list(_WAYS))
        # asyncio.run sets its count of interrupts to zero just after it has begun to count them:
        # one that comes in between is a CancelledError.
        with suppress(KeyboardInterrupt, asyncio.CancelledError):
            asked += self._some()
            tell(arm=self._moment())
            self._use(way, asked)
            time.sleep(HANG_SECONDS)  # until it comes, should it not have come yet
        tell(caught=True)
        self._settle(asked)
        self._try_another()

    def rapid_interrupt(self) -> None:
        """Wait somewhere, and be interrupted by a timer within microseconds to milliseconds."""
        asked: list[Asked] = []
        fired = 0
        way = self._chance.choice(list(_WAYS))

        def fire(*_: object) -> None:
            nonlocal fired
            fired += 1
            signal.raise_signal(signal.SIGINT)

        signal.signal(signal.SIGALRM, fire)
        dropped = self._dropped
        with suppress(KeyboardInterrupt):
            asked += self._some(1)
            if asked[0].model in ("slow", "whole") and self._chance.random() < 0.5:
                next(iter(asked[0].answer))
            # Should the interrupt be dropped, another one follows.
            signal.setitimer(signal.ITIMER_REAL, 10 ** self._chance.uniform(-6, -2.3), 5)
            self._use(way, asked, _IN_ONE_LOOP)
            time.sleep(HANG_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if fired - 1 > self._dropped - dropped:
            self._faults.add(f"swallowed in {way}")
        self._settle(asked)
        for lost in running():  # an interrupt kept them from whoever asked
            lost.stop()
        if self._chance.random() < 0.1:
            self._try_another()

    def _use(self, way: str, asked: list[Asked], more: Ways | None = None) -> None:
        if way == "stream":
            asked.extend(self._ask() for _ in range(5))
        for one in asked:
            with suppress(Exception):  # what the answer failed with
                (_WAYS | (more or {}))[way](one)

    def fork(self) -> None:
        """Fork while answers run: they go on here, and there others come."""
        asked = self._some()
        time.sleep(self._moment())
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            self._in_child(asked)
        self._reap(child, 0)
        for one in asked:
            if one.model in ("whole", "demo") and not one.answer.wait(HANG_SECONDS):
                self._faults.add("hang in the parent of a fork")
            elif one.model in ("whole", "demo") and one.answer.text != one.sent:
                self._faults.add("lost text in the parent of a fork")
            one.answer.stop()
        self._settle(asked)
        self._try_another()

    def _in_child(self, asked: Sequence[Asked]) -> NoReturn:
        self._faults = set()
        self._settle(asked)
        self._try_another()
        for fault in self._faults:
            print(f"in the child of a fork: {fault}", file=sys.stderr, flush=True)
        if self._chance.random() < 0.5:
            os._exit(len(self._faults))
        raise SystemExit(len(self._faults))

    def exit(self) -> None:
        """Leave an interpreter in one of the ways that there are, while answers run."""
        way = self._chance.choice(list(_EXITS))
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            self._leave(way)
        self._reap(child, _EXITS[way])

    def _leave(self, way: str) -> NoReturn:
        asked = self._some()
        for one in asked:
            if self._chance.random() < 0.5:
                self._reader(one)
        time.sleep(self._moment())
        if self._chance.random() < 0.3:
            if (child := os.fork()) == 0:
                self._in_child(asked)
            self._reap(child, 0)
        if self._faults or not all(map(_is_kept, asked)):
            os._exit(99)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # for the tracebacks that are meant
        if way == "an error":
            raise ValueError
        if way == "an interrupt":
            signal.raise_signal(signal.SIGINT)
        if way == "in a loop":
            asyncio.run(_exit_soon(asked[0].answer))
        raise SystemExit(0)

    # What rounds are made of

    def _ask(self, model: str = "") -> Asked:
        model = model or self._chance.choice(_MODELS)
        if model == "demo":
            options = {"model": "demo/long", "max_completion_tokens": _DEMO_TOKENS}
            answer = stream("x", base_url=self._demo, **options)  # type: ignore[arg-type]
            return Asked(answer, model, _DEMO_TEXT, [])
        sent = _WHOLE if model == "whole" else _ALL
        return Asked(stream("x", model=model, base_url=self._url), model, sent, [])

    def _some(self, most: int = 3) -> list[Asked]:
        return [self._ask() for _ in range(self._chance.randint(1, most))]

    def _moment(self) -> float:
        return 10 ** self._chance.uniform(-5, -1.5)

    def _reader(self, one: Asked) -> threading.Thread:
        way = self._chance.choice(["for", "wait", "result", "await", "async for", "with"])

        def read() -> None:
            with suppress(Exception):  # what the answer failed with
                _WAYS[way](one)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def _join(self, reader: threading.Thread) -> None:
        reader.join(HANG_SECONDS)
        if reader.is_alive():
            self._faults.add("hang of a reader")

    def _settle(self, asked: Sequence[Asked]) -> None:
        for one in asked:
            one.answer.stop()
            if not one.answer.wait(HANG_SECONDS):
                self._faults.add(f"hang of {one.model}")
            if not _is_kept(one):
                self._faults.add(f"lost text of {one.model}")

    def _try_another(self) -> None:
        another = self._ask("whole")
        if not another.answer.wait(HANG_SECONDS) or another.answer.text != _WHOLE:
            self._faults.add(f"a later answer is {another.answer!r}: {another.answer.error}")

    def _reap(self, child: int, expected: int) -> None:
        give_up_at = time.monotonic() + HANG_SECONDS
        while time.monotonic() < give_up_at:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                if (code := os.waitstatus_to_exitcode(status)) != expected:
                    self._faults.add(f"a child ended with {code}, not {expected}")
                return
            time.sleep(0.001)
        self._faults.add("hang of a child")
        os.kill(child, signal.SIGUSR1)
        time.sleep(1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def _warm_up(self) -> None:
        several = [self._ask("demo") for _ in range(8)] + [self._ask("whole")]
        for one in several:
            one.answer.wait(HANG_SECONDS)
        until(lambda: tasks() == 0)

    def _note_dropped(self, said: Any) -> None:
        """Count the interrupts that Python drops, such as in the callback of a weak reference."""
        self._dropped += isinstance(said.exc_value, KeyboardInterrupt)

    def _held(self) -> dict[str, int]:
        gc.collect()
        files = open_files()
        return {
            "threads": threading.active_count(),
            "tasks": tasks(),
            "descriptors": len(files),
            "sockets": sum("socket:" in file for file in files),
            "answers": sum(type(each) is Answer for each in gc.get_objects()),
        }


def _is_kept(one: Asked) -> bool:
    """Whether its text is the beginning of what was sent, and holds all that a reader saw."""
    text = one.answer.text
    if one.model in ("whole", "demo") and one.answer.state == "done" and text != one.sent:
        return False
    return one.sent.startswith(text) and text.startswith("".join(one.seen))


def _iterate(one: Asked) -> None:
    for each in one.answer:
        one.seen.append(each)


def _iterate_within(one: Asked) -> None:
    with one.answer:
        for each in one.answer:
            one.seen.append(each)
            time.sleep(0)


async def _iterate_async(one: Asked) -> None:
    async for each in one.answer:
        one.seen.append(each)


async def _awaited(one: Asked) -> None:
    await one.answer


async def _exit_soon(answer: Answer) -> NoReturn:
    with suppress(TimeoutError):
        await asyncio.wait_for(answer.changed(-1), 0.001)
    raise SystemExit(0)


def _in_one_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop that is there already, so that interrupts fall into what is ours."""
    loop = _loop()
    task = loop.create_task(coroutine)
    try:
        loop.run_until_complete(task)
    finally:
        task.cancel()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _load_what_comes_late() -> None:
    """Have here, for the children to come, what the loop's thread of each imports else."""
    for name in _LOADED_LATE:
        import_module(name)


def _finish_loop() -> None:
    """Let the tasks end that interrupts have left in that loop."""
    if left := asyncio.all_tasks(_loop()):
        _loop().run_until_complete(asyncio.wait(left))
    _loop().close()


Ways = dict[str, Callable[[Asked], object]]
_IN_ONE_LOOP: Ways = {
    "await": lambda one: _in_one_loop(_awaited(one)),
    "async for": lambda one: _in_one_loop(_iterate_async(one)),
}
_WAYS: Ways = {
    "for": _iterate,
    "wait": lambda one: one.answer.wait(HANG_SECONDS),
    "result": lambda one: one.answer.result(HANG_SECONDS),
    "await": lambda one: asyncio.run(_awaited(one)),
    "async for": lambda one: asyncio.run(_iterate_async(one)),
    "with": _iterate_within,
    "stop": lambda one: one.answer.stop(),
    "stream": lambda one: one.answer.text,
}
_EXITS = {"the end": 0, "an error": 1, "an interrupt": -signal.SIGINT, "in a loop": 0}


def until(met: Callable[[], bool]) -> None:
    """Wait for it, half a minute at most."""
    give_up_at = time.monotonic() + 30
    while not met() and time.monotonic() < give_up_at:
        time.sleep(0.001)


def tell(**found: object) -> None:
    """Tell the driver, in one write."""
    os.write(1, json.dumps(found).encode() + b"\n")


# The driver


class Totals:
    """What all workers found."""

    def __init__(self) -> None:
        self.rounds: Counter[str] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()
        self.left: Counter[str] = Counter()
        self.dropped = 0

    def add(self, found: dict[str, Any]) -> None:
        self.left.update(found.get("left", {}))
        self.dropped += found.get("dropped", 0)
        if "kind" in found:
            self.rounds[found["kind"]] += 1
            self.faults.update((found["kind"], fault) for fault in found["faults"])

    def lines(self) -> Iterator[str]:
        kinds = ("hang", "lost text", "a later answer", "swallowed")
        yield f"| kind | rounds | {' | '.join(kinds)} | other faults |"
        yield "|---|---|---|---|---|---|---|"
        for kind, rounds in self.rounds.items():
            counts = dict.fromkeys((*kinds, "other"), 0)
            for (of, fault), count in self.faults.items():
                if of == kind:
                    named = next((name for name in kinds if fault.startswith(name)), "other")
                    counts[named] += count
            yield f"| {kind} | {rounds:,} | {' | '.join(map(str, counts.values()))} |"
        yield f"interrupts dropped by Python within destructors: {self.dropped}"
        yield f"left: {', '.join(f'{count} {name}' for name, count in self.left.items())}"
        yield from (f"{count} x {kind}: {fault}" for (kind, fault), count in self.faults.items())

    @property
    def are_clean(self) -> bool:
        return not self.faults and not any(self.left.values())


def drive(kind: str, rounds: int, seed: int, totals: Totals) -> None:
    """Have a worker run so many rounds; after a hang another one goes on, ten times at most."""
    server = Server()
    with running_demo(2_000) as demo:
        for attempt in range(10):
            rounds -= _drive_one(
                kind, rounds, (server.peer.base_url, demo.base_url), seed + attempt, totals
            )
            if rounds <= 0:
                break
        totals.left["connections"] += server.left()
    server.peer.close()


def _drive_one(kind: str, rounds: int, urls: tuple[str, str], seed: int, totals: Totals) -> int:
    """Return how many rounds were run, the one that hangs included."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--worker", kind, *urls]
    command += ["--rounds", str(rounds), "--seed", str(seed)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    run = 0
    watch = _Watch(worker)
    for line in worker.stdout:
        watch.heard()
        found = json.loads(line)
        if "arm" in found:
            time.sleep(found["arm"])
            watch.interrupt()
        elif "caught" in found:
            watch.is_caught.set()
        totals.add(found)
        run += "kind" in found
    code = worker.wait()
    watch.end()
    if code == 0:
        return rounds
    totals.add({"kind": kind, "faults": [f"hang or crash of a worker, which ended with {code}"]})
    return run + 1


class _Watch:
    """Interrupts a worker, and ends one that says nothing for longer than a round may take."""

    def __init__(self, worker: subprocess.Popen[str]) -> None:
        self._worker = worker
        self._is_over = threading.Event()
        self._heard_at = time.monotonic()
        self.is_caught = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def end(self) -> None:
        self._is_over.set()

    def interrupt(self) -> None:
        """Send a SIGINT, and another one where Python drops that."""
        self.is_caught.clear()
        self._worker.send_signal(signal.SIGINT)
        threading.Thread(target=self._interrupt_again, daemon=True).start()

    def _interrupt_again(self) -> None:
        if not self.is_caught.wait(20):
            self._worker.send_signal(signal.SIGINT)

    def _watch(self) -> None:
        while not self._is_over.wait(1):
            if time.monotonic() - self._heard_at > 4 * HANG_SECONDS:
                self._worker.send_signal(signal.SIGUSR1)  # its stacks go to stderr
                time.sleep(1)
                self._worker.kill()
                return


def main() -> int:
    """Run it all, two workers at a time; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2_000)
    parser.add_argument("--interrupts", type=int, default=20_000, help="rapid ones, by a timer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", nargs=3, metavar=("KIND", "URL", "DEMO"), help="internal")
    options = parser.parse_args()
    if options.worker:
        kind, url, demo = options.worker
        Worker(url, demo, options.seed).run(kind, options.rounds)
        return 0
    begun = time.monotonic()
    totals = Totals()
    exits = options.rounds // 4
    halves = (options.interrupts // 2, options.interrupts - options.interrupts // 2)
    jobs = [
        ("mixed", options.rounds - exits),
        ("exit", exits),
        *((_RAPID, half) for half in halves),
    ]
    with ThreadPoolExecutor(2) as lanes:
        running = [
            lanes.submit(drive, kind, rounds, options.seed + 100 * number, totals)
            for number, (kind, rounds) in enumerate(jobs)
            if rounds
        ]
        for each in running:
            each.result()
    print("\n".join(totals.lines()))
    print(f"{time.monotonic() - begun:.0f} s")
    return int(not totals.are_clean)


if __name__ == "__main__":
    sys.exit(main())
