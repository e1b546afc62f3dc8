"""The key is nowhere: a whole session with a key to look for, and everything that it left.

A kernel in which an interactive frontend runs cells, the runners that run where nobody
watches, scripts that crash, and exports, all at home in one folder, which is then searched.
"""

from __future__ import annotations

import base64
import html
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Lock
from urllib.parse import quote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from groq_magic.wire import DEFAULT_MODEL
from tests.support.kernels import running_kernel
from tests.support.lab import KERNEL
from tests.support.notebooks import RUNNERS
from tests.support.peer import Connection, Peer, answers, delta, event, peer

KEY = 'gsk_can+ary/0123456789&"=='
"""Its characters are those that URLs, HTML and JSON write in other ways."""

MADE = "from groq_magic import stream"
FAULTS = ("refused", "gone", "broken", "silent")
WRAPPED = """\
def mine():
    try:
        return stream("Hi", model={!r}, timeout=0.5, max_retries=0).result()
    except Exception as error:
        raise RuntimeError("A traceback through all frames") from error
mine()"""
CELLS = (
    "import logging; logging.basicConfig(filename='debug.log', level=logging.DEBUG, force=True)",
    "%logstart -o -r session.log",
    MADE,
    "%%groq --wait -o whole\nHi",
    "whole",
    "import os",
    "%%groq --keep --wait -s {{ os.environ['GROQ_API_KEY'] }}\n{{ os.environ['GROQ_API_KEY'] }}",
    "%%groq --wait -m refused -o refused\nHi",
    "%tb",
    "%xmode Verbose",
    *(WRAPPED.format(model) for model in FAULTS),
    "%tb",
    "stream('Hi', base_url='http://example.invalid').result()",
    "%tb",
    "%%groq --wait -m limited -o limited\nHi",
    "%%groq --wait -m broken -o broken\nHi",
    "%%groq --wait -m gone -o gone\nHi",
    "%%groq -m endless -o stopped\nHi",
    "next(iter(stopped)), stopped.stop(), stopped.wait(30)",
    "made = [whole, refused, limited, broken, gone, stopped]; made",
    "[(vars(each), vars(each.error) if each.error else None) for each in made]",
    "[(each.state, each.rate_limits, each.parameters, each.request_id) for each in made]",
    "from groq_magic import api\nfrom groq_magic.wire.client import Endpoint",
    "endpoint = Endpoint.from_environment(); endpoint",
    "import pickle; open('a.pickle', 'wb').write(pickle.dumps((endpoint, refused.error)))",
    "pickle.dump(whole, open('b.pickle', 'wb'))",
    "import copy; copy.deepcopy(endpoint)",
    "import faulthandler; faulthandler.dump_traceback(open('threads', 'w'))",
    "logging.error('%r failed', refused, exc_info=refused.error, stack_info=True)",
    "%config GroqMagic",
    "%whos",
    "%history -n",
    "%history -f cells.py",
    "%groq last 6",
    "%%groq?",
    "%save -f saved.py 1-20",
    "%store made",
    "%notebook session.ipynb",
    "%history -g gsk",
)
RUN_WHERE_NOBODY_WATCHES = (
    "%%groq\nHi",
    "%%groq -m limited\nHi",
    "%%groq -m broken\nHi",
    "%%groq -m gone\nHi",
    f"%xmode Verbose\n{MADE}\n{WRAPPED.format('refused')}",
    "%%groq -m refused\nHi",
)
CRASH = f"{MADE}\n{WRAPPED}"
WITH_LOCALS = f"""\
import sys, traceback
def report(kind, error, frames):
    seen = traceback.TracebackException(kind, error, frames, capture_locals=True)
    print("".join(seen.format()))
sys.excepthook = report
{CRASH}"""
IPYTHON_CRASH = f"""\
from IPython.terminal.ipapp import TerminalIPythonApp
app = TerminalIPythonApp.instance()
app.initialize(["--no-banner", "--TerminalIPythonApp.verbose_crash=True"])
{CRASH}"""
FORMATS = "html markdown python slides notebook".split()
EXPORT = f"""\
from pathlib import Path
from nbconvert import get_exporter
for name in {FORMATS}:
    text, _ = get_exporter(name)().from_filename("execute.ipynb")
    Path(f"as_{{name}}").write_text(text, "utf-8")"""


class Server:
    """Plays a model by its name. Where it fails, it says the key that it was sent."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._lock = Lock()

    def __call__(self, connection: Connection) -> None:
        key = connection.request.headers["authorization"].removeprefix("Bearer ")
        assert key == KEY
        if connection.request.line.startswith("GET"):
            listed = {"data": [{"id": "goner"}]}
            connection.respond(json.dumps(listed).encode(), content_type="application/json")
            return
        model = connection.request.json["model"]
        with self._lock:
            self.asked.append(model)
        play = getattr(self, f"_{model}", None)
        play(connection, key) if play else answers("It is ", "so.")(connection)

    def _refused(self, connection: Connection, key: str) -> None:
        body = json.dumps({"error": {"message": f"Bad key {key}", "failed_generation": key}})
        in_php = body.replace("/", r"\/")
        connection.respond(in_php.encode(), "401 Unauthorized", content_type="application/json")

    def _gone(self, connection: Connection, key: str) -> None:
        error = {"message": f"{key} sees no such model", "code": "model_not_found"}
        connection.respond(json.dumps({"error": error}).encode(), "404 Not Found")

    def _limited(self, connection: Connection, key: str) -> None:
        if self.asked.count("limited") % 2:
            error = {"message": f"Key {key} is asked too often"}
            connection.respond(
                json.dumps({"error": error}).encode(), "429 Slow", retry_after="0.01"
            )
        else:
            answers(f"Your key is {key}.")(connection)

    def _broken(self, connection: Connection, key: str) -> None:
        connection.begin()
        connection.chunk(delta("It "))
        connection.chunk(event({"error": {"message": f"Key {key} has run out"}}))

    def _silent(self, connection: Connection, key: str) -> None:
        connection.begin()
        connection.until_closed()

    def _endless(self, connection: Connection, key: str) -> None:
        connection.begin()
        connection.chunk(delta("It "))
        connection.until_closed()


class Session:
    """A home folder, and what is done there."""

    def __init__(self, home: Path, server: Peer) -> None:
        self.home = home
        jupyter = {
            f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")
        }
        xdg = {
            f"XDG_{name}_HOME": str(home / name) for name in ("CACHE", "CONFIG", "DATA", "STATE")
        }
        self.environment = {
            **os.environ,
            **jupyter,
            **xdg,
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "IPYTHONDIR": str(home / "ipython"),
            "PYTHONFAULTHANDLER": "1",
            "GROQ_API_KEY": KEY,
            "GROQ_BASE_URL": server.base_url,
        }
        (home / "tmp").mkdir()

    def in_a_kernel(self) -> None:
        """Run the cells as an interactive frontend does; keep all that the kernel published."""
        with running_kernel(self.environment, str(self.home)) as kernel:
            published = [message for cell in CELLS for message in kernel.run(cell).messages]
        (self.home / "published.json").write_text(json.dumps(published, default=str), "utf-8")

    def where_nobody_watches(self, runner: str) -> None:
        path = self.home / f"{runner}.ipynb"
        cells = [new_code_cell(source) for source in RUN_WHERE_NOBODY_WATCHES]
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
        self.run(f"{runner}.log", "-m", *RUNNERS[runner].format(path).split())

    def run(self, log: str, *command: str) -> int:
        """Run Python there; its output goes to a file, too."""
        with (self.home / log).open("w") as out:
            ran = subprocess.run(
                [sys.executable, *command],
                cwd=self.home,
                env=self.environment,
                input="\n",
                stdout=out,
                stderr=out,
                text=True,
                timeout=120,
                check=False,
            )
        return ran.returncode


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def home(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a session left behind."""
    folder = tmp_path_factory.mktemp("home")
    with peer(server, models=True) as playing:
        session = Session(folder, playing)
        session.in_a_kernel()
        for runner in RUNNERS:
            session.where_nobody_watches(runner)
        assert session.run("export.log", "-c", EXPORT) == 0
        for model in FAULTS:
            assert session.run(f"crash_{model}", "-c", WITH_LOCALS.format(model)) == 1
        session.run("ipython.log", "-c", IPYTHON_CRASH.format("refused"))
    return folder


def forms(key: str) -> dict[str, bytes]:
    """The key as it may be written: as it is, and in the codes of files and of the web."""
    raw = key.encode()
    shifted = [base64.b64encode(b"?" * n + raw)[4 * (n > 0) : -4] for n in range(3)]
    return {
        "plain": raw,
        "URL": quote(key, safe="").encode(),
        "HTML": html.escape(key).encode(),
        "JSON": json.dumps(key)[1:-1].encode(),
        "JSON of PHP": json.dumps(key)[1:-1].replace("/", r"\/").encode(),
        "JSON twice": json.dumps(json.dumps(key))[3:-3].encode(),
        "hexadecimal": raw.hex().encode(),
        "UTF-16": key.encode("utf-16-le"),
        **{f"base64, {n}": code for n, code in enumerate(shifted)},
        **{f"base64 of URLs, {n}": c.translate(IN_URLS) for n, c in enumerate(shifted)},
    }


IN_URLS = bytes.maketrans(b"+/", b"-_")


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes; of archives those of each member, too, and of databases all rows."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as database:
            yield "\n".join(database.iterdump()).encode()


def found_in(folder: Path, key: str) -> set[tuple[str, str]]:
    """The files with the key, each with the form that it has there."""
    return {
        (str(path.relative_to(folder)), name)
        for path in folder.rglob("*")
        if path.is_file()
        for content in contents(path)
        for name, form in forms(key).items()
        if form in content
    }


def test_the_key_is_in_no_file(home: Path) -> None:
    assert found_in(home, KEY) == set()


def test_it_would_have_been_there(home: Path, server: Server) -> None:
    """What was searched is all there, and says what the server said around the key."""
    assert set(server.asked) == {DEFAULT_MODEL, "limited", "endless", *FAULTS}
    text = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    said = b"Bad key [API key]"
    for name in ("published.json", "debug.log", "crash_refused", "as_html", "as_markdown"):
        assert said in text[name], name
    for runner in RUNNERS:
        assert b"Your key is [API key]." in text[f"{runner}.ipynb"]
    assert said in next(text[name] for name in text if name.startswith("Crash_report"))
    assert b"Your key is [API key]" in text["published.json"]
    assert b"send_request_headers" in text["debug.log"]
    assert b"%%groq" in text["history.sqlite"]


@pytest.mark.parametrize("form", forms(KEY))
def test_the_search_finds_each_form(form: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"before" + forms(KEY)[form] + b"after")
    assert ("a file", form) in found_in(tmp_path, KEY)


def test_the_search_looks_into_archives_and_databases(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", KEY * 2)
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database, database:
        database.execute("CREATE TABLE cells (source)")
        database.execute("INSERT INTO cells VALUES (?)", ("." * 4090 + KEY + "." * 9000,))
    assert {("a.zip", "plain"), ("a.sqlite", "plain")} <= found_in(tmp_path, KEY)
