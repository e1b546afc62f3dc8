"""A file in the user's cache by which all processes share what an account may send in a minute.

It holds numbers, and hashes of servers, keys and models: no prompt, no key, no name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from platformdirs import user_cache_path

from groq_magic.runtime import runtime
from groq_magic.wire.endpoint import Endpoint

from .minute import Minute

try:
    import sqlite3  # here, not by a request: a fork meanwhile would leave the module locked
except ImportError:  # not every Python has it
    _FAULTS: tuple[type[Exception], ...] = (OSError, NameError)  # of sqlite3
else:
    _FAULTS = (OSError, sqlite3.Error)

T = TypeVar("T")
Change = Callable[[Minute, float], T]
"""Reads and changes an account's minute at a time, in seconds since 1970."""
_BUSY_SECONDS = 3.0
_READ_SECONDS = 0.2
_ALONE_SECONDS = 30.0
FORGOTTEN = 600.0
"""Seconds after which a limit that no response has confirmed counts as unknown."""
_TABLE = "CREATE TABLE IF NOT EXISTS minutes (account TEXT PRIMARY KEY, heard REAL, minute TEXT)"


def account_of(endpoint: Endpoint, parameters: Mapping[str, Any]) -> str:
    """The name of a server, key, model and service tier in the file.

    A tier has limits of its own, https://console.groq.com/docs/flex-processing
    """
    tier = parameters.get("service_tier") or "on_demand"
    parts = json.dumps([endpoint.base_url, endpoint.api_key, str(parameters["model"]), tier])
    return sha256(parts.encode()).hexdigest()[:32]


class Ledger:
    """The `Minute` of each account.

    Where the file cannot be used, or is locked for long, the process plans for itself alone.
    """

    def __init__(self) -> None:
        self._path = user_cache_path("groq_magic") / "limits.db"
        self._own: dict[str, Minute] = {}
        self._alone_until = 0.0
        self.after_fork()

    def after_fork(self) -> None:
        """Start a thread: the parent's is not in the child."""
        self._thread = ThreadPoolExecutor(1, "groq_magic limits")

    def read(self, account: str) -> Minute:
        """The account's minute as it was left; a new one where it is not known."""
        own = self._own.get(account, Minute())
        if self._is_alone:
            return own
        with suppress(*_FAULTS), self._opened(_READ_SECONDS) as db:
            return max(own, _minute(db, account) or own, key=lambda each: each.heard)
        return own

    def submit(self, account: str, change: Change[T]) -> Future[T]:
        """The same as `change`, on a thread of its own, in the order of the calls."""
        try:
            return self._thread.submit(self.change, account, change)
        except RuntimeError:  # the process ends, or it can have no more threads
            self.after_fork()  # the call stands in the queue nevertheless
            done: Future[T] = Future()
            done.set_result(self.change(account, change))
            return done

    def change(self, account: str, change: Change[T]) -> T:
        """Call ``change`` with the account's minute and save it, in a single transaction."""
        if not self._is_alone:
            try:
                with self._opened(_BUSY_SECONDS) as db:
                    db.execute("BEGIN IMMEDIATE")
                    with db:
                        return _changed(db, account, change)
            except _FAULTS as error:
                self._give_up(error)
        now = time.time()
        own = self._own.setdefault(account, Minute())
        if own.heard and abs(now - own.heard) > FORGOTTEN:
            own = self._own[account] = Minute()
        return change(own, now)

    @property
    def _is_alone(self) -> bool:
        return time.monotonic() < self._alone_until

    def _give_up(self, error: Exception) -> None:
        if type(error).__name__ == "DatabaseError":  # it is none, or damaged
            with suppress(OSError):
                self._path.unlink()
        else:
            self._alone_until = time.monotonic() + _ALONE_SECONDS

    @contextmanager
    def _opened(self, timeout: float) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A fork in between would leave the child with locks that it does not have.
        with runtime.loop.without_forks(), closing(_connected(self._path, timeout)) as db:
            db.execute("PRAGMA synchronous = OFF")  # after a power cut all minutes are over
            yield db


def _connected(path: Path, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout, isolation_level=None)


def _changed(db: sqlite3.Connection, account: str, change: Change[T]) -> T:
    db.execute(_TABLE)
    now = time.time()
    db.execute("DELETE FROM minutes WHERE heard < ?", [now - FORGOTTEN])
    minute = _minute(db, account) or Minute()
    result = change(minute, now)
    row = [account, minute.heard or now, json.dumps(vars(minute))]
    db.execute("INSERT OR REPLACE INTO minutes VALUES (?, ?, ?)", row)
    return result


def _minute(db: sqlite3.Connection, account: str) -> Minute | None:
    row = db.execute("SELECT minute FROM minutes WHERE account = ?", [account]).fetchone()
    try:
        return Minute.from_dict(json.loads(row[0])) if row else None
    except (AttributeError, KeyError, TypeError, ValueError):  # of another version
        return None
