"""Backup and restore: one file with its manifest in it. The key ring is never part of it."""
from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mcpweb import __version__, checkpoints, clock, files
from mcpweb import instance as instances
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.db import Connection, Database, driver, failure_of, migrate
from mcpweb.errors import Conflict, Failure, InvalidInput, MigrationRefused, StorageFull, StorageUnusable
from mcpweb.services import access, backupfiles
from mcpweb.settings import Settings
from mcpweb.vault import Vault

_ENDS = ("", "-wal", "-shm", "-journal")
_CHECK_S = 24 * 3600.0
_COUNTED = (
    "servers", "configurations", "secrets", "configuration_secrets", "encryption_keys", "users", "test_runs", "test_results",
    "jobs", "audit_log",
)


def backup(core: Core, actor: Actor, target: Path, *, passphrase: Sensitive | None = None) -> dict[str, Any]:
    """Write one consistent file with its manifest in it, while others write; under a passphrase, when one is given.

    The file appears whole or not at all. Raises Conflict when it exists.
    """
    if os.path.lexists(target):
        raise _taken(target)
    with _disk_faults(target), _part(target.with_name(target.name + ".part")) as part:
        if passphrase is None:
            manifest = _written(core, part)
        else:
            # what is not encrypted yet stays beside the database, and never comes where the backup goes
            with _part(core.settings.data_dir / "backup.plain") as plain:
                manifest = _written(core, plain)
                with open(part, "r+b") as out:
                    backupfiles.seal(plain, out, passphrase)
                    out.flush()
                    os.fsync(out.fileno())
        _appear(part, target)
    with core.db.writing() as conn:
        needed = [[one["key"], one["version"]] for one in manifest["keys"]]
        access.note(conn, actor, "db.backup", target.name, {
            "file": str(target.absolute()), "sha256": manifest["sha256"], "keys": needed, "encrypted": passphrase is not None,
        })
    return {"file": str(target), "encrypted": passphrase is not None, **manifest}


def check(
    settings: Settings, series: migrate.Series, source: Path, *, vault: Vault | None = None, passphrase: Sensitive | None = None
) -> dict[str, Any]:
    """Say whether a backup could be restored here, and which keys it needs that are not here; restores nothing.

    Returns {ok, problems, file, encrypted, manifest, missing_keys}; raises InvalidInput for no file or a wrong passphrase.
    """
    _require_file(source)
    told: dict[str, Any] = {"ok": True, "problems": [], "file": str(source), "encrypted": backupfiles.is_sealed(source)}
    beside = settings.data_dir if settings.data_dir.is_dir() else None
    with tempfile.TemporaryDirectory(prefix=".check-", dir=beside) as folder, _disk_faults(Path(folder)):
        try:
            manifest = _staged(source, Path(folder) / "copy.db", series, passphrase, thorough=True)
        except (StorageUnusable, MigrationRefused) as failure:
            return told | {"ok": False, "problems": [failure.sentence], "manifest": None, "missing_keys": []}
    return told | {"manifest": manifest, "missing_keys": missing_keys(manifest, vault)}


def missing_keys(manifest: Mapping[str, Any], vault: Vault | None) -> list[dict[str, Any]]:
    """Return the key versions of a backup whose key-encryption key no key source here has."""
    held: set[str] = set()
    for source in vault.sources.values() if vault else ():
        with suppress(Failure):
            held |= set(source.kek_ids())
    return [{name: one[name] for name in ("key", "version", "kek_id")} for one in manifest["keys"] if one["kek_id"] not in held]


def restore(
    settings: Settings, series: migrate.Series, source: Path, *, actor: Actor | None = None, vault: Vault | None = None,
    passphrase: Sensitive | None = None,
) -> dict[str, Any]:
    """Put a backup in the database's place; the old one is kept aside. Nobody else may use the data folder.

    Raises Conflict naming who uses it, InvalidInput for a wrong passphrase, StorageUnusable for a damaged or newer backup.
    """
    _require_file(source)
    files.private_folder(settings.data_dir)
    files.private_folder(settings.run_dir)
    with instances.start_lock(settings), instances.alone(settings), _disk_faults(settings.data_dir):
        fresh = settings.db_path.with_name(settings.db_path.name + ".restoring")
        try:
            manifest = _staged(source, fresh, series, passphrase)
            aside = _put_aside(settings.db_path)
            fresh.replace(settings.db_path)  # a crash before this line leaves the old one, after it the new one
            _sync(settings.data_dir)
        finally:
            for end in _ENDS:
                fresh.with_name(fresh.name + end).unlink(missing_ok=True)
        migrate.migrate(settings.db_path, series, allow_old=settings.allow_old_sqlite)
        _note(settings, actor or Actor.system("restore"), source)
    return {
        "restored": str(source), "kept_aside": str(aside) if aside else None, "created_at": manifest.get("created_at"),
        "missing_keys": missing_keys(manifest, vault) if vault else [],
    }


def read_passphrase(path: Path) -> Sensitive:
    """Return the passphrase in a file, one line feed at its end aside. Raises InvalidInput, FileNotPrivate."""
    try:
        text = files.read_private(path, most=4096, shared=True).decode().removesuffix("\n")
    except FileNotFoundError:
        raise InvalidInput(f"{path} is not a file.") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not text.") from None
    if not text:
        raise InvalidInput(f"{path} is empty.")
    return Sensitive(text)


def clear_up(settings: Settings, folder: Path) -> None:
    """Take away what a crash left in a folder and beside the database; what a running backup or check needs stays.

    Only for who uses the data folder: then no restore runs.
    """
    for end in _ENDS:
        settings.db_path.with_name(f"{settings.db_path.name}.restoring{end}").unlink(missing_ok=True)
    for copy in settings.data_dir.glob(".check-*"):
        if time.time() - copy.stat().st_mtime > _CHECK_S:
            shutil.rmtree(copy, ignore_errors=True)
    for path in (settings.data_dir / "backup.plain", *folder.glob("*.db.part")):
        if path.exists():
            with suppress(Failure), _part(path):
                pass


def _require_file(source: Path) -> None:
    if not source.is_file():
        raise InvalidInput(f"{source} is not a file.")


def _taken(target: Path) -> Conflict:
    return Conflict(f"{target} exists already.", next_step="Choose another name.")


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """Hold an empty private file to write to, and take it away at the end; one that a crash left is used again."""
    journal = path.with_name(path.name + "-journal")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(descriptor), os.lstat(path))
        except OSError:
            mine = False
        if not mine:
            raise Conflict(f"Another backup writes to {path}.", next_step="Wait for its end.")
        try:
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, 0)
            journal.unlink(missing_ok=True)
            yield path
        finally:
            path.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)  # of what SQLite could not end
    finally:
        os.close(descriptor)


def _appear(part: Path, target: Path) -> None:
    """Give a finished file its name at once, and never in the place of another."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError:  # a file system without second names
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise _taken(target) from None
        part.replace(target)
    _sync(target.parent)


def _written(core: Core, part: Path) -> dict[str, Any]:
    """Write database and manifest; return the manifest."""
    facts = _copy_consistently(core.settings.db_path, part)
    manifest = {
        "format": backupfiles.FORMAT, "sha256": backupfiles.sha256(part), "created_at": clock.rfc3339(clock.now()),
        "mcpweb": __version__, "instance": core.instance.id, **facts,
    }
    backupfiles.append(part, manifest)
    return manifest


def _staged(
    source: Path, fresh: Path, series: migrate.Series, passphrase: Sensitive | None, *, thorough: bool = False
) -> dict[str, Any]:
    """Make a checked, private copy of a backup's database; return its manifest, with what the database says of itself."""
    if backupfiles.is_sealed(source):
        with _fresh(fresh) as out:
            backupfiles.unseal(source, out, passphrase)
    else:
        _copy(source, fresh)
    manifest = backupfiles.take(fresh)
    if manifest is None:
        _check_manifest(source, fresh)
    _verify(fresh, series, thorough=thorough)
    copy = driver.connect(f"{fresh.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        facts = _facts(copy)
    finally:
        copy.close()
    return (manifest or {}) | facts


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
    """Return what a restore wants to know before it begins: schema, keys needed, rows, head of the audit log."""
    tables = {row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    schema = dict(conn.execute("SELECT series, max(number) FROM migrations GROUP BY series").fetchall())
    keys = [] if "encryption_key_versions" not in tables else conn.execute(
        "SELECT key_name, version, kek_id, kcv FROM encryption_key_versions JOIN encryption_keys ON id = key_id "
        "WHERE state <> 'destroyed' ORDER BY key_name, version"
    ).fetchall()
    head = None
    if "audit_log" in tables:
        head = conn.execute("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetchone()
    rows = {name: conn.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTED if name in tables}
    return {
        "schema": schema,
        "rows": rows,
        "keys": [dict(zip(("key", "version", "kek_id", "kcv"), row, strict=True)) for row in keys],
        "audit_head": None if head is None else {"seq": head[0], "hash": head[1]},
    }


def _check_manifest(source: Path, copied: Path) -> None:
    """Compare with the manifest that earlier versions wrote beside the file."""
    path = _manifest_path(source)
    if not path.is_file():
        return
    try:
        wanted = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        raise StorageUnusable(f"{path} cannot be read.", next_step="Take the manifest away to go without.") from None
    if wanted != backupfiles.sha256(copied):
        raise StorageUnusable(f"{source} does not match its manifest: it is damaged or not the same file.")


def _verify(path: Path, series: migrate.Series, *, thorough: bool) -> None:
    """Raise StorageUnusable or MigrationRefused for a backup that is damaged, not ours, or newer than this program."""
    if migrate.looks_lost(path):
        raise StorageUnusable("The backup is empty.")
    try:
        conn = driver.connect(str(path), isolation_level=None)
        try:
            looking = "PRAGMA integrity_check(5)" if thorough else "PRAGMA quick_check(5)"
            problems = [row[0] for row in conn.execute(looking) if row[0] != "ok"]
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
    for end in _ENDS[1:]:  # only a damaged one still has them, and they must not meet the new one
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
                detail={"sha256": backupfiles.sha256(source)},
            )
            size, head = audit.head(conn)
        known = instances.find(settings)
        checkpoints.write(settings, known.id if known else "", size, head, restored=True)
    finally:
        db.close()


def _copy(source: Path, target: Path) -> None:
    with _fresh(target) as out, open(source, "rb") as data:
        while chunk := data.read(1 << 20):
            out.write(chunk)


@contextmanager
def _fresh(target: Path) -> Iterator[IO[bytes]]:
    """Open a new private file, and have it on disk at the end."""
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        yield out
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
