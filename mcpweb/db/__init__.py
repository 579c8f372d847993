"""Database: one connection per thread and process, the pragmas, and the only BEGIN in the code."""
from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcpweb.db import driver
from mcpweb.db.driver import Connection
from mcpweb.errors import Failure, StorageFull, StorageUnusable, Unavailable

BUSY_TIMEOUT_MS = 10_000
STATEMENT_DEADLINE_S = 10.0
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

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that cannot write; all reads inside see one state."""
        held = self._held()
        if held.writing or held.reads:
            yield held.writer if held.writing else held.reader  # type: ignore[misc]
            return
        conn = held.reader or self._open(held, "reader")
        held.reads = True
        held.until = time.monotonic() + self._deadline_s
        try:
            conn.execute("BEGIN")
            yield conn
        except driver.DatabaseError as error:
            raise self._mapped(error) from error
        finally:
            held.reads = False
            if conn.in_transaction:
                conn.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection inside BEGIN IMMEDIATE; commit at the end, roll back on any exception."""
        held = self._held()
        if held.writing or held.reads:
            raise RuntimeError("a transaction is open on this thread already")
        conn = held.writer or self._open(held, "writer")
        held.writing = True
        held.until = time.monotonic() + self._deadline_s + BUSY_TIMEOUT_MS / 1000
        try:
            conn.execute("BEGIN IMMEDIATE")
            yield conn
            conn.execute("COMMIT")
        except driver.IntegrityError:
            raise
        except driver.DatabaseError as error:
            raise self._mapped(error) from error
        finally:
            held.writing = False
            if conn.in_transaction:
                conn.execute("ROLLBACK")

    def close(self) -> None:
        """Close this thread's connections."""
        held = getattr(self._local, "held", None)
        if held is not None and held.pid == os.getpid():
            for conn in (held.reader, held.writer):
                if conn is not None:
                    conn.close()
        self._local.held = None

    def _held(self) -> _Held:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None or held.pid != os.getpid():
            held = _Held()
            self._local.held = held
        return held

    def _open(self, held: _Held, kind: str) -> Connection:
        if not self.path.exists():
            raise StorageUnusable(
                f"The database {self.path} is not there.", next_step="Run `mcpweb db migrate`, or restore a backup."
            )
        try:
            conn = driver.connect(str(self.path), isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
            conn.row_factory = driver.Row
            configure(conn, cache_kib=self._cache_kib)
            if kind == "reader":
                conn.execute("PRAGMA query_only = ON")
        except driver.DatabaseError as error:
            raise self._mapped(error) from error
        conn.set_progress_handler(lambda: 1 if time.monotonic() > held.until else 0, _PROGRESS_STEPS)
        setattr(held, kind, conn)
        return conn

    def _mapped(self, error: driver.DatabaseError) -> Failure:
        return failure_of(error, self.path)


class _Held:
    """What one thread of one process holds."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.reader: Connection | None = None
        self.writer: Connection | None = None
        self.writing = False
        self.reads = False
        self.until = 0.0


_FAILURES: tuple[tuple[str, type[Failure], str, str], ...] = (
    (r"disk is full|database or disk is full", StorageFull, "The disk is full; nothing was changed.", ""),
    (r"interrupted", Unavailable, "The database took too long.", "Try a narrower filter."),
    (r"readonly|read-only", StorageUnusable, "The database cannot be written.", "Check the folder's owner and mount."),
    (r"unable to open", StorageUnusable, "The database cannot be opened.", "Check the data folder's owner and mode."),
    (r"malformed|not a database|corrupt", StorageUnusable, "The database file is damaged.",
     "Stop mcpweb and run `mcpweb db check`, then `mcpweb db restore FILE --yes`."),
    (r"disk I/O", StorageUnusable, "The disk does not answer as it should.", "Look at the system's log."),
    (r"locked|busy", Unavailable, "The database is busy.", "Try again."),
)


def failure_of(error: driver.DatabaseError, path: Path) -> Failure:
    """Return the failure that tells people what a database error means; SQL and values stay out of it."""
    text = str(error)
    for pattern, kind, sentence, next_step in _FAILURES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"{sentence} ({path.name})", next_step=next_step)
    return Failure(f"The database refused a statement ({type(error).__name__}).", code="storage_error")
