"""The database as a file: status, check and upkeep. Backup and restore are in ``backups``."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mcpweb import clock
from mcpweb.core import lost
from mcpweb.dao import accounts
from mcpweb.db import Database, configure, driver, failure_of, migrate
from mcpweb.errors import Failure, StorageUnusable
from mcpweb.settings import Settings

WAL_LIMIT = 16 * 2**20
IDLE_S = 60.0
_PRAGMAS = ("page_size", "auto_vacuum", "journal_mode", "page_count", "freelist_count")
_CHECKPOINT_PATIENCE_MS = 250
_BUCKET_LIFE_S = 24 * 3600.0


def status(settings: Settings, series: migrate.Series) -> dict[str, Any]:
    """Return {path, applied, pending, sqlite}; changes nothing."""
    found = migrate.status(settings.db_path, series)
    return {
        "path": str(settings.db_path), "applied": list(found.applied), "pending": list(found.pending),
        "sqlite": driver.version_text,
    }


def check(settings: Settings) -> dict[str, Any]:
    """Return {ok, problems, …pragmas} after looking at every page, foreign key, table, trigger and file mode."""
    path = settings.db_path
    if (loss := lost(settings)) is not None:
        raise loss
    if migrate.looks_lost(path):
        raise StorageUnusable(f"There is no database at {path}.", next_step="Run `mcpweb db migrate`.")
    problems: list[str] = []
    facts: dict[str, Any] = {}
    try:
        if path.with_name(path.name + "-journal").exists():
            _roll_back(path)
        conn = driver.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            conn.execute("PRAGMA busy_timeout = 10000")
            problems += [row[0] for row in conn.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
            problems += [
                f"a row of {row[0]} names a missing row of {row[2]}" for row in conn.execute("PRAGMA foreign_key_check")
            ]
            facts = {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS}
        finally:
            conn.close()
        problems += migrate.drift(path)
    except driver.DatabaseError as error:
        problems.append(failure_of(error, path).sentence)
    except Failure as failure:
        problems.append(failure.sentence)
    if facts:
        problems += _misfits(settings, facts)
    problems += [
        f"{found.name} can be read by others (mode {found.stat().st_mode & 0o777:03o})"
        for found in (path.parent, path, _wal(path)) if found.exists() and found.stat().st_mode & 0o077
    ]
    return {"ok": not problems, "problems": problems, "sqlite": driver.version_text, **facts}


def _roll_back(path: Path) -> None:
    """Let SQLite undo what a crash left half written; who may only read cannot, and would call it a fault."""
    conn = migrate.connect(path)
    try:
        conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        conn.close()


def _misfits(settings: Settings, facts: dict[str, Any]) -> list[str]:
    """Say which settings of the file are not those it was made with."""
    found = []
    if facts["page_size"] != 4096 or facts["auto_vacuum"] != 2:
        found.append("page_size or auto_vacuum are not those of a database that mcpweb made")
    wal = facts["journal_mode"] == "wal"
    if not driver.WAL_IS_SAFE and wal and not settings.allow_old_sqlite:
        found.append(f"SQLite {driver.version_text} must not use a write-ahead log (WAL-reset bug)")
    if driver.WAL_IS_SAFE and not wal:
        found.append("the write-ahead log is off; the next start alone switches it on")
    return found


def maintain(db: Database) -> None:
    """Give free pages back, refresh statistics, keep the write-ahead log and the throttle table short."""
    long = _long_or_idle(_wal(db.path))
    with db.writing() as conn:
        accounts.forget_buckets(conn, clock.source() - _BUCKET_LIFE_S)
    conn = driver.connect(f"{db.path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        configure(conn, cache_kib=1024)
        conn.execute("PRAGMA incremental_vacuum(200)").fetchall()
        conn.execute("PRAGMA optimize = 0x10002").fetchall()  # all tables, not only those this connection read
        if long:
            # it keeps writers out while it waits for readers, so it does not wait long
            conn.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_PATIENCE_MS}")
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except driver.DatabaseError as error:
        raise failure_of(error, db.path) from error
    finally:
        conn.close()


def _long_or_idle(wal: Path) -> bool:
    """Tell whether the log is to be cut: it grew too long, or nobody has written to it for a while."""
    try:
        found = wal.stat()
    except FileNotFoundError:
        return False
    return found.st_size > WAL_LIMIT or (found.st_size > 0 and time.time() - found.st_mtime > IDLE_S)


def wal_size(path: Path) -> int:
    """Return how many bytes the write-ahead log has."""
    try:
        return _wal(path).stat().st_size
    except FileNotFoundError:
        return 0


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
