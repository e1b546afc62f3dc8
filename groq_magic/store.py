"""The file of kept answers: SQLite, in which each change is one transaction.

A connection lives for one operation, so kernels share the file and a fork finds none open. The
journal is SQLite's default: one file at rest, also on a network drive, where WAL does not work
(https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from groq_magic.runtime import runtime
from groq_magic.wire.parsing import parse_chunk, unparse_chunk, word
from groq_magic.wire.protocol import Chunk, Delta, Kept, Missed

from .errors import APIError, InputError
from .question import Question, is_near

STORE = "groq-answers.db"
"""The file's name where none is given."""
_FORMAT = 1
_BUSY_SECONDS = 10.0
_CANDIDATES = 20
_LARGEST = 1e11  # of seconds since 1970 and all other numbers
_SCHEMA = (
    """\
CREATE TABLE answers (
    key TEXT PRIMARY KEY,  -- SHA-256 of the server and the request
    shape TEXT NOT NULL,  -- SHA-256 of the prompt without its numbers
    since REAL NOT NULL,  -- seconds since 1970
    asked INTEGER NOT NULL,
    request_id TEXT,
    seconds REAL NOT NULL,
    first_token REAL,
    thinking REAL,
    cost REAL,  -- USD
    prompt TEXT NOT NULL,
    rest TEXT NOT NULL,  -- JSON: the rest of the request
    chunks TEXT NOT NULL  -- JSON, one in each line
)""",
    "CREATE INDEX shapes ON answers (shape)",
    f"PRAGMA user_version = {_FORMAT}",
)
_FIND = """
    SELECT since, asked, request_id, seconds, first_token, thinking, cost, chunks
    FROM answers WHERE key = ?
"""
_LIST = """
    SELECT since, asked, request_id, seconds, first_token, thinking, cost,
        prompt, rest, length(prompt) + length(rest) + length(chunks)
    FROM answers ORDER BY since
"""
_COUNT = "UPDATE answers SET asked = asked + 1 WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CHOOSE = "Choose another with %config GroqMagic.store."


class KeptAnswer(NamedTuple):
    """All that is kept of an answer."""

    kept: Kept
    cost: float | None
    """USD; None if it was not known."""
    chunks: list[Chunk]


class Entry(NamedTuple):
    """What a list of kept answers says about one."""

    model: str
    prompt: str
    kept: Kept
    size: int
    """Characters."""
    cost: float | None


@dataclass(frozen=True)
class Store:
    """The answers that are kept in a file, which is made with the first of them.

    All methods raise `InputError` if the file cannot be used.
    """

    name: str
    """The path as it was given."""
    _path: Path

    @classmethod
    def at(cls, path: str | PathLike[str] = STORE) -> Store:
        """The store at ``path``. Raises `InputError` for what is no path."""
        if not isinstance(path, str | PathLike) or not str(path):
            raise InputError(f"store must be the path of a file, not {path!r}.")
        return cls(str(path), Path(path).expanduser().absolute())  # the folder may change

    def find(self, question: Question) -> KeptAnswer | Missed:
        """The answer to exactly this request; else where the nearest one differs."""
        if not self._path.exists():
            return Missed(f"Prompts and answers are kept in {self.name} from now on.")
        with self._opened() as db:
            if found := db.execute(_FIND, [question.key]).fetchone():
                *row, chunks = found
                return KeptAnswer(_kept(row), row[-1], list(map(parse_chunk, chunks.split("\n"))))
            return Missed(_why_not(db, question))

    def write(self, changes: Iterable[tuple[Question, KeptAnswer | None]]) -> None:
        """Replace each question's answer; without one, count that it was asked again.

        All in one transaction: when this returns, it is on the disk.
        """
        with suppress(OSError):  # it is there, or SQLite says what is wrong
            self._path.touch(mode=0o600, exist_ok=False)  # prompts are their owner's alone
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            with db:
                for question, answer in changes:
                    if answer:
                        db.execute(_PUT, _row(question, answer))
                    else:
                        db.execute(_COUNT, [question.key])

    def entries(self) -> list[Entry]:
        """All answers, the oldest first."""
        if not self._path.exists():
            return []
        with self._opened() as db:
            return [_entry(*row) for row in db.execute(_LIST)]

    def clear(self, days: int = 0) -> int:
        """Delete the answers that are older than so many days; return how many."""
        if not self._path.exists():
            return 0
        with self._opened() as db:
            until = time.time() - days * 86_400
            count = db.execute("DELETE FROM answers WHERE since <= ?", [until]).rowcount
            db.execute("VACUUM")  # else the texts stay in free pages of the file
        return count

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            # A fork in between would leave the child with locks that it does not have.
            with runtime.loop.without_forks(), closing(self._connection()) as db:
                _check(db, self.name)
                yield db
        except InputError:
            raise
        except sqlite3.Error as error:
            raise InputError(f"{self.name} cannot be used: {error}. {_CHOOSE}") from None
        except (APIError, AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError):
            said = f"{self.name} holds something that groq_magic did not write."
            raise InputError(f"{said} Ask with --fresh, or %groq kept clear.") from None

    def _connection(self) -> sqlite3.Connection:
        uri = f"{self._path.as_uri()}?mode=rw"  # no new file
        return sqlite3.connect(uri, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)


def _check(db: sqlite3.Connection, name: str) -> None:
    """Make the table in an empty file. Raises `InputError` for a file of another kind.

    A stranger's file may have triggers and views, which would run: so it must have none.
    """
    if not _made_by(db):
        db.execute("BEGIN IMMEDIATE")  # of several kernels, the first makes it
        with db:
            for statement in () if _made_by(db) else _SCHEMA:
                db.execute(statement)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > _FORMAT:
        said = f"A newer groq_magic wrote {name}: format {version}, and this one reads {_FORMAT}."
        raise InputError(f"{said} Run %pip install -U groq-magic, and restart the kernel.")
    if _made_by(db) != [*_SCHEMA[:-1]]:
        raise InputError(f"{name} is not a file of kept answers. {_CHOOSE}")


def _made_by(db: sqlite3.Connection) -> list[str]:
    """The statements that made what is in the file."""
    return [made for (made,) in db.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")]


def _kept(row: Sequence[Any]) -> Kept:
    """Raises an error for values that groq_magic does not write: the file may be a stranger's."""
    since, asked, request_id, seconds, first, thinking, cost = row
    for number in (since, asked, seconds, first or 0, thinking or 0, cost or 0):
        if not 0 <= number < _LARGEST:
            raise ValueError(number)
    began = datetime.fromtimestamp(since).astimezone()
    return Kept(began, int(asked), word(request_id), seconds, first, thinking)


def _joined(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same answer in few chunks: those that differ in text alone are one."""
    for (has_more, *fields), group in groupby(chunks, lambda c: (any(c.delta[2:]), *c[1:])):
        if has_more:
            yield from group
        else:
            content, reasoning = map("".join, zip(*(c.delta[:2] for c in group), strict=True))
            yield Chunk(Delta(content, reasoning), *fields)


def _row(question: Question, answer: KeptAnswer) -> list[Any]:
    kept, cost, chunks = answer
    head = [question.key, question.shape, kept.since.timestamp(), *kept[1:], cost]
    is_counted = any(chunk.usage for chunk in chunks)  # else each chunk counts as a token
    lines = map(unparse_chunk, _joined(chunks) if is_counted else chunks)
    return [*head, question.prompt, json.dumps(question.rest), "\n".join(lines)]


def _entry(*row: Any) -> Entry:
    *kept, prompt, rest, size = row
    return Entry(str(json.loads(rest)["model"]), str(prompt), _kept(kept), size, kept[-1])


def _why_not(db: sqlite3.Connection, question: Question) -> str:
    """Where the nearest prompt differs, if that is little."""
    select, latest = "SELECT key, prompt, rest FROM answers", "ORDER BY rowid DESC LIMIT"
    same = db.execute(f"{select} WHERE shape = ? {latest} 1", [question.shape]).fetchall()
    for key, prompt, rest in same or db.execute(f"{select} {latest} {_CANDIDATES}"):
        if same or is_near(prompt, question.prompt):
            return question.difference(Question(key, prompt, json.loads(rest)))
    return ""
