"""Database: one connection per thread and process, the pragmas, and the only BEGIN in the code."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcpweb.db import driver
from mcpweb.db.driver import Connection
from mcpweb.db.faults import failure_of
from mcpweb.errors import Unavailable

BUSY_TIMEOUT_MS = 10_000
STATEMENT_DEADLINE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0003, 0.004
_BUSY = 5  # SQLITE_BUSY
_PROGRESS_STEPS = 20_000  # virtual machine steps between two looks at the clock, about a millisecond

__all__ = ["Connection", "Database", "configure", "driver", "failure_of"]


def configure(conn: Connection, *, cache_kib: int) -> None:
    """Set the pragmas of SPEC §3 on a fresh connection; the busy timeout comes first."""
    conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("PRAGMA synchronous = NORMAL")
    conn.execute(f"PRAGMA cache_size = -{cache_kib}")
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.execute("PRAGMA secure_delete = ON")
    conn.execute("PRAGMA trusted_schema = OFF")
    conn.execute("PRAGMA cell_size_check = ON")
    conn.execute("PRAGMA journal_size_limit = 4194304")
    conn.execute("PRAGMA mmap_size = 0")


class Database:
    """Opens connections when they are first needed; nothing is open before a fork or carried over it."""

    def __init__(
        self, path: Path, *, cache_kib: int = 1024, statement_deadline_s: float = STATEMENT_DEADLINE_S
    ) -> None:
        self.path = path
        self._cache_kib = cache_kib
        self._deadline_s = statement_deadline_s
        self._local = threading.local()
        self._turn = os.getpid(), threading.Lock()
        self._opened: list[_Held] = []

    @contextmanager
    def reading(self, *, deadline_s: float | None = None) -> Iterator[Connection]:
        """Give a connection that cannot write; all reads inside see one state.

        The reads must end within ``deadline_s`` (the database's own when None), or Unavailable is raised.
        """
        held = self._held()
        if held.writing or held.reads:
            yield held.writer if held.writing else held.reader  # type: ignore[misc]
            return
        conn = held.reader or self._open(held, "reader")
        held.reads = True
        held.until = time.monotonic() + (deadline_s or self._deadline_s)
        try:
            conn.execute("BEGIN")
            yield conn
        except driver.DatabaseError as error:
            raise failure_of(error, self.path) from error
        finally:
            held.reads = False
            _end(conn)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection inside BEGIN IMMEDIATE; commit at the end, roll back on any exception.

        Raises RuntimeError when this thread has a transaction already, StorageFull, StorageUnusable, Unavailable.
        """
        held = self._held()
        if held.writing or held.reads:
            raise RuntimeError("a transaction is open on this thread already")
        conn = held.writer or self._open(held, "writer")
        turn = self._take_turn()
        held.writing = True
        held.until = time.monotonic() + self._deadline_s + BUSY_TIMEOUT_MS / 1000
        try:
            _begin_writing(conn)
            yield conn
            conn.execute("COMMIT")
        except driver.IntegrityError:
            raise
        except driver.DatabaseError as error:
            raise failure_of(error, self.path) from error
        finally:
            held.writing = False
            _end(conn)
            turn.release()

    def _take_turn(self) -> threading.Lock:
        """Stand in line among the threads of this process, so that one of them asks for SQLite's lock and not all of them.

        Raises Unavailable after as long as SQLite would wait.
        """
        pid, turn = self._turn
        if pid != os.getpid():  # a lock is not carried over a fork
            turn = threading.Lock()
            self._turn = os.getpid(), turn
        if not turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise Unavailable(f"The database is busy. ({self.path.name})", next_step="Try again.")
        return turn

    def data_version(self) -> int:
        """Return a number that differs from the one before when anybody else than this thread wrote in between."""
        with self.reading() as conn:
            return int(conn.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close this thread's connections; the next use opens new ones."""
        held = getattr(self._local, "held", None)
        if held is not None and held.pid == os.getpid():
            held.close()
            with suppress(ValueError):
                self._opened.remove(held)
        self._local.held = None

    def close_all(self) -> None:
        """Close the connections of all threads of this process, as far as nobody uses them."""
        self.close()
        for held in list(self._opened):
            if held.pid == os.getpid() and not (held.reads or held.writing):
                try:
                    self._opened.remove(held)
                except ValueError:
                    continue
                held.close()

    def _held(self) -> _Held:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None or held.pid != os.getpid():
            held = self._local.held = _Held()
        return held

    def _open(self, held: _Held, kind: str) -> Connection:
        self._forget_the_dead()
        try:
            # mode=rw: a file that is gone is an error, never a new and empty database
            conn = driver.connect(
                f"{self.path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None,
                timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False,
            )
            conn.row_factory = driver.Row
            configure(conn, cache_kib=self._cache_kib)
            if kind == "reader":
                conn.execute("PRAGMA query_only = ON")
        except driver.DatabaseError as error:
            raise failure_of(error, self.path) from error
        conn.set_progress_handler(lambda: 1 if time.monotonic() > held.until else 0, _PROGRESS_STEPS)
        setattr(held, kind, conn)
        if held not in self._opened:
            self._opened.append(held)
        return conn

    def _forget_the_dead(self) -> None:
        """Close what threads of this process left; another process's connections are kept and never touched."""
        for held in list(self._opened):
            if held.pid == os.getpid() and not held.thread.is_alive():
                try:
                    self._opened.remove(held)
                except ValueError:
                    continue  # another thread closes it; two at once would end the process (tests/dao/test_database.py)
                held.close()


def _begin_writing(conn: Connection) -> None:
    """Begin as soon as nobody else writes, as long as the busy timeout at most.

    SQLite's own waiting asks in steps of up to 100 ms and takes whoever has waited for long for the last: a write in a hundred
    then takes tens of times the usual one. Here the steps stay below four milliseconds.
    """
    until, pause = time.monotonic() + BUSY_TIMEOUT_MS / 1000, _FIRST_PAUSE_S
    conn.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                conn.execute("BEGIN IMMEDIATE")
                return
            except driver.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != _BUSY or time.monotonic() > until:
                    raise
            time.sleep(pause)
            pause = min(pause * 1.1, _LONGEST_PAUSE_S)
    finally:
        conn.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _end(conn: Connection) -> None:
    """Leave the transaction, if one is left; cursors that were not read to their end lose it too."""
    if conn.in_transaction:
        with suppress(driver.DatabaseError):  # a full disk or a damaged file has been told already
            conn.rollback()


class _Held:
    """What one thread of one process holds."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.thread = threading.current_thread()
        self.reader: Connection | None = None
        self.writer: Connection | None = None
        self.writing = False
        self.reads = False
        self.until = 0.0

    def close(self) -> None:
        for conn in (self.reader, self.writer):
            if conn is not None:
                conn.set_progress_handler(None, 0)
                conn.close()
        self.reader = self.writer = None
