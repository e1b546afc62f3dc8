"""A file in the user's cache by which all processes share what an account may send in a minute.

It holds numbers, and hashes of servers, keys and models: no prompt, no key, no name.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from platformdirs import user_cache_path

from groq_magic.runtime import runtime
from groq_magic.wire.endpoint import Endpoint

from .minute import Minute

T = TypeVar("T")
Change = Callable[[Minute, float], T]
"""Reads and changes an account's minute at a time, in seconds since 1970."""
_BUSY_SECONDS = 5.0
FORGOTTEN = 3_600.0
"""Seconds after which a limit that no response has confirmed counts as unknown."""
_TABLE = "CREATE TABLE IF NOT EXISTS minutes (account TEXT PRIMARY KEY, heard REAL, minute TEXT)"


def account_of(endpoint: Endpoint, model: str) -> str:
    """The name of a server, key and model in the file."""
    parts = json.dumps([endpoint.base_url, endpoint.api_key, model])
    return sha256(parts.encode()).hexdigest()[:32]


class Ledger:
    """The `Minute` of each account.

    If the file cannot be used, the process uses one of its own.
    """

    def __init__(self) -> None:
        self._path = user_cache_path("groq_magic") / "limits.db"
        self.after_fork()

    def after_fork(self) -> None:
        """Start a thread: the parent's is not in the child."""
        self._thread = ThreadPoolExecutor(1, "groq_magic limits")

    def submit(self, account: str, change: Change[T]) -> Future[T]:
        """The same as `change`, on a thread of its own, in the order of the calls."""
        try:
            return self._thread.submit(self.change, account, change)
        except RuntimeError:  # the process ends, or it can have no more threads
            done: Future[T] = Future()
            done.set_result(self.change(account, change))
            return done

    def change(self, account: str, change: Change[T]) -> T:
        """Call ``change`` with the account's minute and save it, in a single transaction."""
        try:
            return self._changed(account, change)
        except (OSError, sqlite3.Error):
            self._path = self._own_path
            return self._changed(account, change)

    def _changed(self, account: str, change: Change[T]) -> T:
        with self._opened() as db:
            now = time.time()
            minute = _minute(db, account)
            result = change(minute, now)
            saved = json.dumps(vars(minute))
            row = [account, minute.heard or now, saved]
            db.execute("INSERT OR REPLACE INTO minutes VALUES (?, ?, ?)", row)
            return result

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A fork in between would leave the child with locks that it does not have.
        with runtime.loop.without_forks(), closing(self._connection()) as db:
            db.execute("PRAGMA synchronous = OFF")  # after a power cut all minutes are over
            db.execute("BEGIN IMMEDIATE")
            with db:
                db.execute(_TABLE)
                db.execute("DELETE FROM minutes WHERE heard < ?", [time.time() - FORGOTTEN])
                yield db

    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)

    @cached_property
    def _own_path(self) -> Path:
        self._folder = TemporaryDirectory(prefix="groq_magic")
        return Path(self._folder.name) / "limits.db"


def _minute(db: sqlite3.Connection, account: str) -> Minute:
    row = db.execute("SELECT minute FROM minutes WHERE account = ?", [account]).fetchone()
    try:
        return Minute.from_dict(json.loads(row[0])) if row else Minute()
    except (AttributeError, KeyError, TypeError, ValueError):  # of another version
        return Minute()
