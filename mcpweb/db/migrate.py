"""Apply ``sql/migrations`` in order: one transaction per file, a ledger with SHA-256, safe with many starters at once."""
from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mcpweb import clock
from mcpweb.db import configure, driver, failure_of
from mcpweb.db.driver import Connection
from mcpweb.errors import MigrationRefused, StorageUnusable

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    series TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at DATETIME NOT NULL,
    PRIMARY KEY (series, number)
)
"""
Series = Sequence[tuple[str, Path]]


@dataclass(frozen=True)
class Migration:
    """One file of a series."""

    series: str
    number: int
    name: str
    sql: str
    sha256: str


@dataclass(frozen=True)
class Status:
    """What the ledger and the files say together."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]


def read(series: Series) -> list[Migration]:
    """Read all files. Raises MigrationRefused for a bad name, a gap or a number twice."""
    found = []
    for label, folder in series:
        expected = 1
        for path in sorted(folder.glob("*.sql")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise MigrationRefused(f"{path} is not named NNNN_what_it_adds.sql.")
            if int(match[1]) != expected:
                raise MigrationRefused(f"{path.name} of {label}: expected number {expected:04d}.",
                                       next_step="Numbers go up by one, without gaps or repeats.")
            text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
            found.append(Migration(label, expected, path.name, text, hashlib.sha256(text.encode()).hexdigest()))
            expected += 1
    return found


def looks_lost(path: Path) -> bool:
    """Tell whether a database that was there is gone or empty."""
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


def migrate(path: Path, series: Series, *, init: bool = False, allow_old: bool = False) -> list[str]:
    """Bring the database up to date and return the names of the files applied by this call.

    Raises MigrationRefused for an edited, missing or newer file, and StorageUnusable.
    """
    migrations = read(series)
    with _lock(path):
        if looks_lost(path):
            if not init and path.exists():
                raise StorageUnusable(f"{path} is empty.", next_step="Restore a backup, or `mcpweb db migrate --init`.")
            _create(path, allow_old=allow_old)
        conn = _connect(path)
        try:
            pending = _pending(conn, migrations)
            if pending and len(pending) < len(migrations):
                _back_up(conn, path)
            return [m.name for m in pending if _apply(conn, m)]
        except driver.DatabaseError as error:
            raise failure_of(error, path) from error
        finally:
            conn.close()


def status(path: Path, series: Series) -> Status:
    """Say what is applied and what is pending; changes nothing. Raises as ``migrate``."""
    migrations = read(series)
    if looks_lost(path):
        return Status((), tuple(m.name for m in migrations))
    conn = _connect(path)
    try:
        pending = {(m.series, m.number) for m in _pending(conn, migrations)}
    except driver.DatabaseError as error:
        raise failure_of(error, path) from error
    finally:
        conn.close()
    done = tuple(m.name for m in migrations if (m.series, m.number) not in pending)
    return Status(done, tuple(m.name for m in migrations if (m.series, m.number) in pending))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _connect(path: Path) -> Connection:
    conn = driver.connect(str(path), isolation_level=None, timeout=60)
    try:
        configure(conn, cache_kib=16 * 1024)
    except driver.DatabaseError as error:
        conn.close()
        raise failure_of(error, path) from error
    return conn


def _create(path: Path, *, allow_old: bool) -> None:
    """Make the file: page size, then auto-vacuum, then WAL – in another order SQLite ignores the first two."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    conn = driver.connect(str(path), isolation_level=None)
    try:
        conn.execute("PRAGMA page_size = 4096")
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        wal = driver.WAL_IS_SAFE or allow_old
        conn.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
        conn.execute(_LEDGER)
    finally:
        conn.close()


def _pending(conn: Connection, migrations: list[Migration]) -> list[Migration]:
    """Compare files and ledger. Raises MigrationRefused when they do not fit."""
    conn.execute(_LEDGER)
    rows = conn.execute("SELECT series, number, name, sha256 FROM migrations ORDER BY series, number").fetchall()
    applied = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    files = {(m.series, m.number): m for m in migrations}
    known = {m.series for m in migrations}
    for (label, number), (name, sha256) in applied.items():
        if label not in known and label != "core":
            continue  # a plugin that is not installed now; its tables and history stay
        file = files.get((label, number))
        if file is None:
            newest = max((m.number for m in migrations if m.series == label), default=0)
            if number > newest:
                raise MigrationRefused(
                    f"The database has {name}, which this program does not know: it was written by a newer version.",
                    next_step="Upgrade mcpweb, or restore a backup made before the upgrade.",
                )
            raise MigrationRefused(f"The file {name} is missing.", next_step="Reinstall mcpweb.")
        if file.sha256 != sha256 or file.name != name:
            raise MigrationRefused(
                f"The file {file.name} was edited after it was applied as {name}.",
                next_step="Put the released file back; changes go into a new file with the next number.",
            )
    pending = [m for m in migrations if (m.series, m.number) not in applied]
    for m in pending:
        if any(label == m.series and number > m.number for label, number in applied):
            raise MigrationRefused(f"{m.name} comes before files that are applied already.")
    return pending


def _apply(conn: Connection, migration: Migration) -> bool:
    """Apply one file in one transaction; False when another starter did meanwhile."""
    conn.execute("PRAGMA foreign_keys = OFF")  # table rebuilds need it off; checked below
    conn.execute("BEGIN IMMEDIATE")
    statement = ""
    try:
        key = (migration.series, migration.number)
        if conn.execute("SELECT 1 FROM migrations WHERE series = ? AND number = ?", key).fetchone():
            conn.execute("ROLLBACK")
            return False
        conn.set_authorizer(_guard(migration.series))
        try:
            for statement in statements(migration):
                conn.execute(statement)
        finally:
            conn.set_authorizer(None)
        broken = conn.execute("PRAGMA foreign_key_check").fetchone()
        if broken:
            raise MigrationRefused(f"{migration.name} leaves a row of {broken[0]} without its parent {broken[2]}.")
        conn.execute(
            "INSERT INTO migrations (series, number, name, sha256, applied_at) VALUES (?, ?, ?, ?, ?)",
            (*key, migration.name, migration.sha256, clock.now()),
        )
        conn.execute("COMMIT")
        return True
    except driver.DatabaseError as error:
        first = " ".join(statement.split())[:80]
        raise MigrationRefused(
            f"{migration.name} failed at «{first}»: {error}.", next_step="Nothing of this file was applied."
        ) from error
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        conn.execute("PRAGMA foreign_keys = ON")


def statements(migration: Migration) -> Iterator[str]:
    """Split a file at its semicolons; triggers and quoted semicolons stay whole. Raises MigrationRefused."""
    buffer = ""
    for piece in re.split(r"(?<=;)", migration.sql):
        buffer += piece
        if driver.complete_statement(buffer):
            if re.sub(r"--[^\n]*|\s|;", "", buffer):
                yield buffer
            buffer = ""
    if re.sub(r"--[^\n]*|\s", "", buffer):
        raise MigrationRefused(f"{migration.name} ends in the middle of a statement.")


def _guard(series: str):  # type: ignore[no-untyped-def]
    """Deny transactions and attached files; a plugin may only make tables of its own prefix."""
    prefix = f"p_{series.removeprefix('plugin:')}_" if series.startswith("plugin:") else ""
    making = {1, 2, 3, 5, 7, 8, 10, 11, 16, 26}  # CREATE/DROP INDEX, TABLE, TRIGGER, VIEW…; ALTER TABLE

    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in (driver.SQLITE_TRANSACTION, driver.SQLITE_ATTACH, driver.SQLITE_DETACH):
            return driver.SQLITE_DENY
        if prefix and action in making:
            name = (second if action == 26 else first) or ""
            if not name.startswith((prefix, "sqlite_autoindex_")):
                return driver.SQLITE_DENY
        if prefix and action in (9, 18, 23) and not (first or "").startswith((prefix, "sqlite_")):
            return driver.SQLITE_DENY  # DELETE, INSERT, UPDATE of somebody else's table
        return driver.SQLITE_OK

    return authorize


def _back_up(conn: Connection, path: Path) -> None:
    """Keep a copy before the first pending migration of a database that has rows."""
    stamp = clock.now().replace(" ", "T").replace(":", "").replace(".", "")
    target = path.with_name(f"{path.name}.before-{stamp}")
    with suppress(FileNotFoundError):
        target.unlink()
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    conn.execute("VACUUM INTO ?", (str(target),))
