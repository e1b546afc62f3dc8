"""Kept answers, counted: ``python -m tests.bench.kept [rebuild mutations kills cost]``.

``rebuild`` runs a notebook of 30 prompts with values, images and chats, then runs it again with
neither a key nor a server. ``mutations`` asks 200 times for almost the same. ``kills`` kills
writers, four at a time, and looks at the file that they leave. ``cost`` asks what is not kept,
beside the same without ``keep``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from groq_magic import stream
from groq_magic.keeping import when_written
from groq_magic.question import Question
from groq_magic.store import KeptAnswer, Store
from groq_magic.wire.protocol import Chunk, Delta, Kept, Missed
from tests.support.peer import DONE, Connection, event, finish, peer

KEY = "gsk_canary_0123456789_abcdefghijklmnop"
PROMPTS = 30
THINKS = 0.06  # seconds, less than any model; what was kept before is written meanwhile
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WORDS = "stone river lamp engine cloud ladder copper violin winter needle harbour mirror".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=" ".join(PARTS))
    for part in parser.parse_args().parts:
        with TemporaryDirectory() as folder:
            found = PARTS[part](Path(folder))
            when_written(lambda: None)
        print(f"{part}:", "; ".join(f"{name} {value}" for name, value in found.items()), flush=True)


Found = dict[str, Any]
"""Figures by name."""


# The server


def speak(connection: Connection) -> None:
    """Answer with a text that the request alone decides, with reasoning, tools and usage."""
    body = connection.request.json
    chance = random.Random(json.dumps(body))
    text = " ".join(chance.choices(WORDS, k=60))
    deltas: list[dict[str, Any]] = [{"reasoning": f"Hm, {word}. "} for word in text.split()[:3]]
    deltas += [{"content": f"{word} "} for word in f"# {text}".split(" ")]
    if chance.random() < 0.3:
        call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}
        deltas.append({"tool_calls": [call]})
    usage = {"prompt_tokens": 9, "completion_tokens": 63, "completion_time": 0.1}
    made = [event({"model": body["model"], "choices": [{"delta": delta}]}) for delta in deltas]
    made.append(finish(usage=usage, x_groq={"id": f"req_{chance.random()}", "seed": 1}))
    connection.respond(b"".join([*made, DONE]))


def think_and_speak(connection: Connection) -> None:
    time.sleep(THINKS)
    speak(connection)


# A notebook of prompts


def notebook(path: Path, prompts: int = PROMPTS) -> None:
    """A third of the prompts have values, a third an image, a third are turns of a chat."""
    chance = random.Random(1)
    cells = [f"%config GroqMagic.keep = True\npicture, rows = {PNG!r}, list(range(9))"]
    for number in range(prompts):
        text = " ".join(chance.choices(WORDS, k=20))
        kind = ("-m m", "-m m --image picture", "-m m -c")[number % 3]
        cells.append(f"%%groq {kind}\n{text} {{{{ rows[:{number}] }}}}")
    cells.append("%groq kept")
    nbformat.write(new_notebook(cells=list(map(new_code_cell, cells))), path)


def run(path: Path, server: str | None) -> None:
    """Run it in place; without a server there is no key either."""
    environment = {**os.environ, "GROQ_BASE_URL": "http://groq.example/openai/v1"}
    environment |= {"GROQ_SEND_KEY_UNENCRYPTED": "yes", "IPYTHONDIR": str(path.parent / "home")}
    environment["HTTP_PROXY"] = server or "http://127.0.0.1:9"  # where nobody listens
    environment.pop("GROQ_API_KEY", None)
    if server:
        environment["GROQ_API_KEY"] = KEY
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", path.name]
    subprocess.run(command, env=environment, cwd=path.parent, timeout=300, check=True)


def outputs(path: Path) -> list[str]:
    """The outputs of the prompts without the marking: from when they are, and what was kept."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.source.startswith("%%groq")]
    made = [json.dumps(cell.outputs, ensure_ascii=False) for cell in cells]
    mark = r" ·(</span>) <span [^>]*>kept from [^<]*</span>"
    first = " ?Prompts and answers are kept in groq-answers.db from now on."
    made = [re.sub(first, "", re.sub(mark, r"\1", output)) for output in made]
    return [re.sub(r'<br>(?=<)|"note": "", ', "", output) for output in made]


def seconds(path: Path) -> float:
    """From the start of the first prompt's cell to the end of the last one's."""
    cells = nbformat.read(path, as_version=4).cells[1:-1]
    first, last = cells[0].metadata.execution, cells[-1].metadata.execution
    begun = datetime.fromisoformat(first["iopub.execute_input"])
    return (datetime.fromisoformat(last["shell.execute_reply"]) - begun).total_seconds()


def rebuild(folder: Path, prompts: int = PROMPTS) -> Found:
    path = folder / "notebook.ipynb"
    notebook(path, prompts)
    with peer(speak) as server:
        url = server.base_url.partition("/openai")[0]
        run(path, url)
        asked, first, took = len(server.connections), outputs(path), seconds(path)
        run(path, url)
        again, second, retook = len(server.connections) - asked, outputs(path), seconds(path)
    run(path, None)
    data = (folder / "groq-answers.db").read_bytes().lower()
    return {
        "prompts": prompts,
        "requests of the first run": asked,
        "seconds": round(took, 2),
        "requests of the second": again,
        "its seconds": round(retook, 2),
        "its equal outputs": sum(map(str.__eq__, first, second)),
        "equal outputs without key and server": sum(map(str.__eq__, first, outputs(path))),
        "its seconds without": round(seconds(path), 2),
        "kB of file": len(data) // 1000,
        "secrets in it": [
            word for word in (KEY, "bearer", "authorization") if word.encode() in data
        ],
    }


# Almost the same


def mutations(folder: Path, count: int = 200) -> Found:
    chance = random.Random(2)
    base = {"prompt": "Compare {'a': 1.5} at 12:30 with <obj at 0x7f3a>.", "system": "Be brief."}
    whole: dict[str, Any] = {
        **base,
        "temperature": 0.5,
        "seed": 7,
        "images": [PNG],
        "stop": ["END"],
    }
    with peer(speak) as server:

        def is_kept(question: dict[str, Any]) -> bool:
            store = folder / "a.db"
            answer = stream(**question, model="m", store=store, keep=True, base_url=server.base_url)
            answer.result()
            return answer.kept is not None

        is_kept(whole)
        mutants = [mutated(whole, number, chance) for number in range(count)]
        return {
            "mutants": count,
            "false hits": sum(map(is_kept, mutants)),
            "requests": len(server.connections) - 1,
            "kept when asked again, with the first": sum(map(is_kept, [whole, *mutants])),
        }


def mutated(base: dict[str, Any], number: int, chance: random.Random) -> dict[str, Any]:
    """The request with one part changed by little, each time in another way."""
    name = list(base)[number % len(base)]
    match base[name]:
        case str(text):
            at, letter = chance.randrange(len(text)), chance.choice(["\u00a0", "e\u0301", "é", "x"])
            changed: Any = text[:at] + letter * (number + 1) + text[at + chance.randrange(2) :]
        case float(value):
            changed = value + (number + 1) / 1000
        case int(value):
            changed = value + number + 1
        case [bytes(image)]:
            changed = [image + number.to_bytes(2)]
        case [str(text)]:
            changed = [text + str(number)]
    return {**base, name: changed}


# Kills


def question(number: int) -> Question:
    return Question.of("server", body(f"Question {number}"), str)


def body(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "stream": True}


def put(store: Store, number: int) -> None:
    chunks = [Chunk(Delta(f"Answer {number} " * 300)), Chunk(finish_reason="stop")]
    kept = Kept(datetime.now(UTC), 1, None, 1.0, 0.1, None)
    store.write([(question(number), KeptAnswer(kept, None, chunks))])


def kills(folder: Path, count: int = 1000, writers: int = 4) -> Found:
    store, chance, begun = Store.at(folder / "a.db"), random.Random(3), time.perf_counter()
    committed: set[int] = set()
    for first in range(0, count, writers):
        children = [writer(store, (first + n) * 1000) for n in range(writers)]
        time.sleep(chance.uniform(0, 0.15))
        for child, _ in chance.sample(children, writers):
            time.sleep(chance.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
        for child, reading in children:
            os.waitpid(child, 0)
            with os.fdopen(reading) as lines:
                committed |= {int(line) for line in lines if line.endswith("\n")}
    with closing(sqlite3.connect(folder / "a.db")) as db:
        state = db.execute("PRAGMA integrity_check").fetchone()[0]
    return {
        "kills": count,
        "seconds": round(time.perf_counter() - begun),
        "integrity": state,
        "committed": len(committed),
        "in the file": len(store.entries()),
        "lost": sum(isinstance(store.find(question(n)), Missed) for n in committed),
    }


def writer(store: Store, first: int) -> tuple[int, int]:
    """A process that puts answers without end and says which: its id, and where it says so."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        return child, reading
    try:
        for number in range(first, first + 1000):
            put(store, number)
            os.write(writing, f"{number}\n".encode())
    finally:
        os._exit(0)


# Cost


def cost(folder: Path, count: int = 200, kept: int = 1000) -> Found:
    store = Store.at(folder / "a.db")
    put(store, 0)
    with closing(sqlite3.connect(folder / "a.db")) as db, db:  # one transaction for all
        row = db.execute("SELECT * FROM answers").fetchone()
        prompt = [" ".join(random.choices(WORDS, k=200)) for _ in range(kept)]
        rows = [(f"key {n}", f"shape {n}", *row[2:-3], prompt[n], *row[-2:]) for n in range(kept)]
        db.executemany(f"INSERT INTO answers VALUES ({', '.join('?' * len(row))})", rows)
    taken: dict[bool, list[float]] = {False: [], True: []}
    with peer(think_and_speak) as server:
        for number in range(count):
            for keep in (False, True):
                begun = time.perf_counter()
                text = f"{' '.join(random.choices(WORDS, k=200))} {number}"
                answer = stream(
                    text, model="m", keep=keep, store=store.name, base_url=server.base_url
                )
                next(iter(answer))
                taken[keep].append((time.perf_counter() - begun) * 1e3)
                answer.result()
    plain, asked = (statistics.quantiles(taken[keep], n=10) for keep in (False, True))
    return {
        "answers in the file": kept,
        "ms to the first token, median": round(plain[4], 2),
        "more with keep": round(asked[4] - plain[4], 2),
        "more, of the fastest tenth": round(asked[0] - plain[0], 2),
    }


PARTS: dict[str, Callable[[Path], Found]] = {
    "rebuild": rebuild,
    "mutations": mutations,
    "kills": kills,
    "cost": cost,
}

if __name__ == "__main__":
    main()
