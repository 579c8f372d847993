"""The database as a file: status, check, backup, restore and upkeep."""
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from mcpweb import __version__, clock
from mcpweb import instance as instances
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.db import Database, configure, driver, failure_of, migrate
from mcpweb.errors import Conflict, Failure, InvalidInput, StorageUnusable
from mcpweb.services import access
from mcpweb.settings import Settings

WAL_LIMIT = 16 * 2**20
_PRAGMAS = ("page_size", "auto_vacuum", "journal_mode", "page_count", "freelist_count")


def status(settings: Settings, series: migrate.Series) -> dict[str, Any]:
    """Return {path, applied, pending, sqlite}; changes nothing."""
    found = migrate.status(settings.db_path, series)
    return {
        "path": str(settings.db_path), "applied": list(found.applied), "pending": list(found.pending),
        "sqlite": driver.version_text,
    }


def check(settings: Settings) -> dict[str, Any]:
    """Return {ok, problems, …pragmas} after looking at every page and every foreign key."""
    if migrate.looks_lost(settings.db_path):
        raise StorageUnusable(f"There is no database at {settings.db_path}.", next_step="Run `mcpweb db migrate`.")
    problems: list[str] = []
    facts: dict[str, Any] = {}
    conn = driver.connect(f"file:{settings.db_path}?mode=ro", uri=True, isolation_level=None)
    try:
        conn.execute("PRAGMA busy_timeout = 10000")
        problems += [row[0] for row in conn.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
        problems += [
            f"a row of {row[0]} names a missing row of {row[2]}" for row in conn.execute("PRAGMA foreign_key_check")
        ]
        facts = {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS}
    except driver.DatabaseError as error:
        problems.append(failure_of(error, settings.db_path).sentence)
    finally:
        conn.close()
    if facts and facts["auto_vacuum"] != 2:
        problems.append("auto_vacuum is not incremental")
    return {"ok": not problems, "problems": problems, "sqlite": driver.version_text, **facts}


def backup(core: Core, actor: Actor, target: Path) -> dict[str, Any]:
    """Write one consistent file and its manifest, while others write. Raises Conflict when the file exists."""
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Conflict(f"{target} exists already.", next_step="Choose another name.") from None
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}.") from None
    try:
        conn = driver.connect(str(core.settings.db_path), isolation_level=None)
        try:
            configure(conn, cache_kib=16 * 1024)
            conn.execute("VACUUM INTO ?", (str(target),))
        finally:
            conn.close()
        manifest = {
            "format": 1, "sha256": _sha256(target), "created_at": clock.rfc3339(clock.now()),
            "mcpweb": __version__, "instance": core.instance.id,
        }
        instances.write_private(_manifest_path(target), json.dumps(manifest, indent=1) + "\n")
    except driver.DatabaseError as error:
        target.unlink(missing_ok=True)
        raise failure_of(error, target) from error
    with core.db.writing() as conn:
        access.note(conn, actor, "db.backup", target.name, {"sha256": manifest["sha256"]})
    return {"file": str(target), **manifest}


def restore(settings: Settings, series: migrate.Series, source: Path) -> dict[str, Any]:
    """Put a backup in the database's place; the old one is kept aside. Nobody else may use the data folder."""
    manifest_path = _manifest_path(source)
    if not source.is_file():
        raise InvalidInput(f"{source} is not a file.")
    if manifest_path.is_file():
        manifest = json.loads(manifest_path.read_text())
        if manifest.get("sha256") != _sha256(source):
            raise StorageUnusable(f"{source} does not match its manifest: it is damaged or not the same file.")
    instances.private_folder(settings.run_dir)
    lock = instances.refuse_while_worked(settings)
    try:
        fresh = settings.db_path.with_name("mcpweb.db.restoring")
        fresh.unlink(missing_ok=True)
        _copy(source, fresh)
        _verify(fresh, series)
        aside = None
        if settings.db_path.exists():
            aside = settings.db_path.with_name(f"mcpweb.db.replaced-{clock.now().replace(' ', 'T').replace(':', '')}")
            _copy_database(settings.db_path, aside)
        for leftover in ("-wal", "-shm"):
            settings.db_path.with_name(settings.db_path.name + leftover).unlink(missing_ok=True)
        fresh.replace(settings.db_path)
    finally:
        lock.release()
    return {"restored": str(source), "kept_aside": str(aside) if aside else None}


def maintain(db: Database) -> None:
    """Give free pages back, refresh statistics, keep the write-ahead log short."""
    wal = db.path.with_name(db.path.name + "-wal")
    conn = driver.connect(str(db.path), isolation_level=None)
    try:
        configure(conn, cache_kib=1024)
        conn.execute("PRAGMA incremental_vacuum(200)").fetchall()
        conn.execute("PRAGMA optimize").fetchall()
        if wal.exists() and wal.stat().st_size > WAL_LIMIT:
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        conn.close()


def _verify(path: Path, series: migrate.Series) -> None:
    try:
        conn = driver.connect(str(path), isolation_level=None)
        try:
            problems = [row[0] for row in conn.execute("PRAGMA quick_check(5)") if row[0] != "ok"]
        finally:
            conn.close()
        if problems:
            raise StorageUnusable(f"The backup is damaged: {problems[0]}.")
        migrate.status(path, series)
    except driver.DatabaseError as error:
        path.unlink(missing_ok=True)
        raise StorageUnusable(f"The backup is not a database: {error}.") from error
    except Failure:
        path.unlink(missing_ok=True)
        raise


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out, open(source, "rb") as data:
        while chunk := data.read(1 << 20):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


def _copy_database(path: Path, target: Path) -> None:
    """Keep the old database with what its log still holds; a damaged one is copied as it is."""
    try:
        conn = driver.connect(str(path), isolation_level=None)
        try:
            conn.execute("VACUUM INTO ?", (str(target),))
        finally:
            conn.close()
        target.chmod(0o600)
    except driver.DatabaseError:
        target.unlink(missing_ok=True)
        _copy(path, target)


def _manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".manifest.json")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
