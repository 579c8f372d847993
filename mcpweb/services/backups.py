"""Backup and restore: one file with a manifest beside it. The key ring is never part of it."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mcpweb import __version__, checkpoints, clock, files
from mcpweb import instance as instances
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.db import Connection, Database, driver, failure_of, migrate
from mcpweb.errors import Conflict, Failure, InvalidInput, StorageFull, StorageUnusable
from mcpweb.services import access
from mcpweb.settings import Settings

_ENDS = ("", "-wal", "-shm")


def backup(core: Core, actor: Actor, target: Path) -> dict[str, Any]:
    """Write one consistent file and its manifest, while others write. Raises Conflict when the file exists."""
    with _reserved(target), _disk_faults(target):
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)
        try:
            facts = _copy_consistently(core.settings.db_path, part)
            manifest = {
                "format": 1, "sha256": _sha256(part), "created_at": clock.rfc3339(clock.now()),
                "mcpweb": __version__, "instance": core.instance.id, **facts,
            }
            _sync(part)
            files.write_private(_manifest_path(target), json.dumps(manifest, indent=1) + "\n")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    with core.db.writing() as conn:
        needed = [[one["key"], one["version"]] for one in manifest["keys"]]
        access.note(
            conn, actor, "db.backup", target.name,
            {"file": str(target.absolute()), "sha256": manifest["sha256"], "keys": needed},
        )
    return {"file": str(target), **manifest}


def restore(settings: Settings, series: migrate.Series, source: Path, *, actor: Actor | None = None) -> dict[str, Any]:
    """Put a backup in the database's place; the old one is kept aside. Nobody else may use the data folder.

    Raises Conflict naming who uses it, InvalidInput, StorageUnusable for a damaged or newer backup.
    """
    if not source.is_file():
        raise InvalidInput(f"{source} is not a file.")
    files.private_folder(settings.data_dir)
    files.private_folder(settings.run_dir)
    with instances.start_lock(settings), instances.alone(settings), _disk_faults(settings.data_dir):
        fresh = settings.db_path.with_name(settings.db_path.name + ".restoring")
        try:
            _copy(source, fresh)
            _check_manifest(source, fresh)
            _verify(fresh, series)
            aside = _put_aside(settings.db_path)
            fresh.replace(settings.db_path)  # a crash before this line leaves the old one, after it the new one
            _sync(settings.data_dir)
        finally:
            for end in _ENDS:
                fresh.with_name(fresh.name + end).unlink(missing_ok=True)
        migrate.migrate(settings.db_path, series, allow_old=settings.allow_old_sqlite)
        _note(settings, actor or Actor.system("restore"), source)
    return {"restored": str(source), "kept_aside": str(aside) if aside else None}


@contextmanager
def _reserved(target: Path) -> Iterator[None]:
    """Make the target as an empty private file that nobody else made; take it away when the block fails."""
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise Conflict(f"{target} exists already.", next_step="Choose another name.") from None
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}.") from None
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@contextmanager
def _disk_faults(path: Path) -> Iterator[None]:
    """Turn what the disk and SQLite say into failures with a sentence."""
    try:
        yield
    except driver.DatabaseError as error:
        raise failure_of(error, path) from error
    except OSError as error:
        if error.errno == 28:
            raise StorageFull(f"The disk of {path} is full.") from error
        raise StorageUnusable(f"{path}: {error.strerror}.") from error


def _copy_consistently(path: Path, target: Path) -> dict[str, Any]:
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    conn = migrate.connect(path)
    try:
        conn.execute("VACUUM INTO ?", (str(target),))
    finally:
        conn.close()
    copy = driver.connect(f"{target.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        return _facts(copy)
    finally:
        copy.close()


def _facts(conn: Connection) -> dict[str, Any]:
    """Return what a restore wants to know before it begins: schema, keys needed, head of the audit log."""
    schema = dict(conn.execute("SELECT series, max(number) FROM migrations GROUP BY series").fetchall())
    keys = conn.execute(
        "SELECT key_name, version, kek_id, kcv FROM encryption_key_versions JOIN encryption_keys ON id = key_id "
        "WHERE state <> 'destroyed' ORDER BY key_name, version"
    ).fetchall()
    head = conn.execute("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetchone()
    return {
        "schema": schema,
        "keys": [dict(zip(("key", "version", "kek_id", "kcv"), row, strict=True)) for row in keys],
        "audit_head": None if head is None else {"seq": head[0], "hash": head[1]},
    }


def _check_manifest(source: Path, copied: Path) -> None:
    path = _manifest_path(source)
    if not path.is_file():
        return
    try:
        wanted = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        raise StorageUnusable(f"{path} cannot be read.", next_step="Take the manifest away to go without.") from None
    if wanted != _sha256(copied):
        raise StorageUnusable(f"{source} does not match its manifest: it is damaged or not the same file.")


def _verify(path: Path, series: migrate.Series) -> None:
    """Raise StorageUnusable or MigrationRefused for a backup that is damaged, not ours, or newer than this program."""
    if migrate.looks_lost(path):
        raise StorageUnusable("The backup is empty.")
    try:
        conn = driver.connect(str(path), isolation_level=None)
        try:
            problems = [row[0] for row in conn.execute("PRAGMA quick_check(5)") if row[0] != "ok"]
        finally:
            conn.close()
    except driver.DatabaseError as error:
        raise StorageUnusable("The backup is not a database, or damaged.") from error
    if problems:
        raise StorageUnusable(f"The backup is damaged: {problems[0]}.")
    if not migrate.status(path, series).applied:
        raise StorageUnusable("The backup is not a database of mcpweb.")


def _put_aside(path: Path) -> Path | None:
    """Give the old database a second name, complete with what its log still holds; the first one stays for now."""
    if migrate.looks_lost(path):
        return None
    aside = path.with_name(f"{path.name}.replaced-{clock.now().replace(' ', 'T').replace(':', '')}")
    with suppress(driver.DatabaseError, Failure):
        conn = migrate.connect(path)
        try:
            # out of WAL mode the log is in the file and gone as a file
            conn.execute("PRAGMA busy_timeout = 2000")
            conn.execute("PRAGMA journal_mode = DELETE")
        finally:
            conn.close()
    for end in ("-wal", "-shm"):  # only a damaged one still has them
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(aside.with_name(aside.name + end))
    try:
        aside.hardlink_to(path)
    except OSError:  # a file system without second names
        _copy(path, aside)
    return aside


def _note(settings: Settings, actor: Actor, source: Path) -> None:
    db = Database(settings.db_path)
    try:
        with db.writing() as conn:
            audit.append(
                conn, actor=actor.name, actor_kind=actor.via, action="db.restore", target=source.name,
                detail={"sha256": _sha256(source)},
            )
            size, head = audit.head(conn)
        known = instances.find(settings)
        checkpoints.write(settings, known.id if known else "", size, head, restored=True)
    finally:
        db.close()


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out, open(source, "rb") as data:
        while chunk := data.read(1 << 20):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest_path(path: Path) -> Path:
    return path.with_name(path.name + ".manifest.json")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
