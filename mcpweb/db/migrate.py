"""Apply ``sql/migrations`` in order: one transaction per file, a ledger with SHA-256, many starters at once."""
from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mcpweb import clock
from mcpweb.db import configure, driver, failure_of
from mcpweb.db.driver import Connection
from mcpweb.db.guard import guard
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
_BACKUPS_KEPT = 3
# locks and shared memory of these do not hold between machines (sqlite.org/wal.html)
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"})
Series = Sequence[tuple[str, Path]]
Alone = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Migration:
    """One file of a series."""

    series: str
    number: int
    name: str
    sql: str
    sha256: str

    @property
    def key(self) -> tuple[str, int]:
        return self.series, self.number


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
                raise MigrationRefused(f"{path.name} of {label} is not named NNNN_what_it_adds.sql.",
                                       next_step="Rename the file.", series=label)
            if int(match[1]) != expected:
                raise MigrationRefused(f"{path.name} of {label}: expected number {expected:04d}.",
                                       next_step="Numbers go up by one, without gaps or repeats; reinstall, or rename.",
                                       series=label)
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


def migrate(
    path: Path,
    series: Series,
    *,
    init: bool = False,
    allow_old: bool = False,
    backup: bool = True,
    alone: Alone = nullcontext,
) -> list[str]:
    """Bring the database up to date and return the names of the files applied by this call.

    ``alone`` is entered around the change of a database that others may use. Raises MigrationRefused for an edited,
    missing or newer file, StorageUnusable, StorageFull, and what ``alone`` raises.
    """
    migrations = read(series)
    with _lock(path):
        if looks_lost(path):
            _create(path, init=init, allow_old=allow_old)
        conn = connect(path)
        try:
            applied = _ledger(conn)
            pending = _pending(applied, migrations)
            if pending:
                with alone() if applied else nullcontext():
                    if applied and backup:
                        _back_up(conn, path)
                    pending = [m for m in pending if _apply(conn, m)]
            _choose_journal(conn, path, allow_old=allow_old)
            return [m.name for m in pending]
        except driver.DatabaseError as error:
            raise failure_of(error, path) from error
        finally:
            conn.close()


def status(path: Path, series: Series) -> Status:
    """Say what is applied and what is pending; changes nothing. Raises as ``migrate``."""
    migrations = read(series)
    if looks_lost(path):
        return Status((), tuple(m.name for m in migrations))
    conn = connect(path)
    try:
        conn.execute("PRAGMA query_only = ON")
        pending = {m.key for m in _pending(_ledger(conn), migrations)}
    except driver.DatabaseError as error:
        raise failure_of(error, path) from error
    finally:
        conn.close()
    done = tuple(m.name for m in migrations if m.key not in pending)
    return Status(done, tuple(m.name for m in migrations if m.key in pending))


def connect(path: Path) -> Connection:
    """Open an existing database for work on the whole file: no deadline, a patient busy timeout."""
    try:
        conn = driver.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=60)
    except driver.DatabaseError as error:
        raise failure_of(error, path) from error
    try:
        configure(conn, cache_kib=16 * 1024)
        conn.execute("PRAGMA busy_timeout = 60000")
    except driver.DatabaseError as error:
        conn.close()
        raise failure_of(error, path) from error
    return conn


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageUnusable(f"The folder {path.parent} cannot be written: {error.strerror}.",
                              next_step="Check its owner and mount, or set MCPWEB_DATA_DIR.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create(path: Path, *, init: bool, allow_old: bool) -> None:
    """Make the file: page size, then auto-vacuum, then WAL – in another order SQLite ignores the first two."""
    leftovers = [p for p in (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")) if p.exists()]
    if not init and (path.exists() or leftovers):
        raise StorageUnusable(f"{path} is gone or empty.", next_step="Restore a backup, or `mcpweb db migrate --init`.")
    if kind := _network_file_system(path.parent):
        raise StorageUnusable(f"{path.parent} is on a network file system ({kind}), where SQLite's locks do not hold.",
                              next_step="Set MCPWEB_DATA_DIR to a local disk.")
    for leftover in leftovers:  # SQLite would play an old log into the new file
        leftover.replace(leftover.with_name(f"{leftover.name}.before-{_stamp()}"))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    conn = driver.connect(str(path), isolation_level=None)
    try:
        conn.execute("PRAGMA page_size = 4096")
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        conn.execute(f"PRAGMA journal_mode = {_journal(allow_old)}")
        conn.execute(_LEDGER)
    except driver.DatabaseError as error:
        raise failure_of(error, path) from error
    finally:
        conn.close()


def _journal(allow_old: bool) -> str:
    return "wal" if driver.WAL_IS_SAFE or allow_old else "delete"


def _choose_journal(conn: Connection, path: Path, *, allow_old: bool) -> None:
    """Change the journal of an existing file when the SQLite at hand asks for another (a backup comes without WAL)."""
    wanted = _journal(allow_old)
    if conn.execute("PRAGMA journal_mode").fetchone()[0] == wanted:
        return
    conn.execute("PRAGMA busy_timeout = 2000")
    try:
        conn.execute(f"PRAGMA journal_mode = {wanted}")
    except driver.OperationalError:
        if wanted == "delete":
            raise StorageUnusable(
                f"{path} is in use by others, and SQLite {driver.version_text} must not write its log (WAL-reset bug).",
                next_step="Stop the other processes first, or install a newer SQLite.",
            ) from None


def _network_file_system(folder: Path) -> str:
    """Return the kind of the network file system a folder lies on, or nothing."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    where = str(folder.resolve())
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        if len(point) >= len(best) and (where + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, after.split()[0]
    return kind if kind in _NETWORK else ""


def _ledger(conn: Connection) -> dict[tuple[str, int], tuple[str, str]]:
    """Return name and SHA-256 of each applied file by series and number."""
    if conn.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone() is None:
        if conn.execute("SELECT 1 FROM sqlite_schema").fetchone() is not None:
            raise MigrationRefused("The database is not one of mcpweb: it has tables, but no ledger.",
                                   next_step="Set MCPWEB_DATA_DIR to another folder.")
        return {}
    rows = conn.execute("SELECT series, number, name, sha256 FROM migrations ORDER BY series, number").fetchall()
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def _pending(applied: dict[tuple[str, int], tuple[str, str]], migrations: list[Migration]) -> list[Migration]:
    """Compare files and ledger. Raises MigrationRefused when they do not fit."""
    files = {m.key: m for m in migrations}
    known = {m.series for m in migrations}
    for (label, number), (name, sha256) in applied.items():
        if label not in known and label != "core":
            continue  # a plugin that is not installed now; its tables and history stay
        file = files.get((label, number))
        if file is None:
            newest = max((m.number for m in migrations if m.series == label), default=0)
            if number > newest > 0:
                raise MigrationRefused(
                    f"The database has {name}, which this program does not know: it was written by a newer version.",
                    next_step="Upgrade mcpweb, or restore a backup made before the upgrade.", series=label,
                )
            raise MigrationRefused(f"The file {name} is missing.", next_step="Reinstall mcpweb.", series=label)
        if file.sha256 != sha256 or file.name != name:
            raise MigrationRefused(
                f"The file {file.name} was edited after it was applied as {name}.",
                next_step="Put the released file back; changes go into a new file with the next number.", series=label,
            )
    pending = [m for m in migrations if m.key not in applied]
    for m in pending:
        if any(label == m.series and number > m.number for label, number in applied):
            raise MigrationRefused(f"{m.name} comes before files that are applied already.",
                                   next_step="Give it the next free number.", series=m.series)
    return pending


def _apply(conn: Connection, migration: Migration) -> bool:
    """Apply one file in one transaction; False when another starter did meanwhile."""
    conn.execute("PRAGMA foreign_keys = OFF")  # table rebuilds need it off; checked below
    conn.execute("BEGIN IMMEDIATE")
    statement = ""
    try:
        conn.execute(_LEDGER)
        if conn.execute("SELECT 1 FROM migrations WHERE series = ? AND number = ?", migration.key).fetchone():
            return False
        conn.set_authorizer(guard(migration.series.removeprefix("plugin:") if migration.series != "core" else ""))
        try:
            for statement in statements(migration):
                conn.execute(statement).fetchall()
        finally:
            conn.set_authorizer(None)
        broken = conn.execute("PRAGMA foreign_key_check").fetchone()
        if broken:
            raise MigrationRefused(f"{migration.name} leaves a row of {broken[0]} without its parent {broken[2]}.",
                                   next_step="Nothing of this file was applied; run `mcpweb db check`.", series=migration.series)
        conn.execute(
            "INSERT INTO migrations (series, number, name, sha256, applied_at) VALUES (?, ?, ?, ?, ?)",
            (*migration.key, migration.name, migration.sha256, clock.now()),
        )
        # grows with every applied file: one cheap look tells a running process that the schema changed
        count = conn.execute("SELECT count(*) FROM migrations").fetchone()[0]
        conn.execute(f"PRAGMA user_version = {count:d}")
        conn.execute("COMMIT")
        return True
    except driver.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 1) & 0xFF == 13:
            raise  # a full disk is not the file's fault
        first = " ".join(re.sub(r"--[^\n]*", "", statement).split())[:80]
        raise MigrationRefused(
            f"{migration.name} failed at «{first}»: {error}.",
            next_step="Nothing of this file was applied. Put the released file back, or ask its author.", series=migration.series,
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
        raise MigrationRefused(f"{migration.name} ends in the middle of a statement.",
                               next_step="Nothing of this file was applied. Put the released file back.", series=migration.series)


def drift(path: Path) -> list[str]:
    """Name what is not in the database as the applied files of the ledger made it: tables, indexes, triggers."""
    from mcpweb import paths

    conn = connect(path)
    try:
        done = {number for label, number in _ledger(conn) if label == "core"}
        found = _shape(conn)
    finally:
        conn.close()
    fresh = driver.connect(":memory:", isolation_level=None)
    try:
        for migration in read([("core", paths.SQL)]):
            if migration.number in done:
                for statement in statements(migration):
                    fresh.execute(statement)
        wanted = _shape(fresh)
    finally:
        fresh.close()
    return [
        f"the {kind} {name} is {'missing' if (kind, name) not in found else 'not as the migrations made it'}"
        for (kind, name), sql in sorted(wanted.items()) if found.get((kind, name)) != sql
    ]


def _shape(conn: Connection) -> dict[tuple[str, str], str]:
    rows = conn.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


def _stamp() -> str:
    return clock.now().replace(" ", "T").replace(":", "").replace(".", "")


def _back_up(conn: Connection, path: Path) -> None:
    """Keep a copy before the first pending migration of a database that has tables; the newest few stay."""
    target = path.with_name(f"{path.name}.before-{_stamp()}")
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        conn.execute("VACUUM INTO ?", (str(target),))
    except driver.DatabaseError:
        target.unlink(missing_ok=True)
        raise
    for old in sorted(path.parent.glob(f"{path.name}.before-*"))[:-_BACKUPS_KEPT]:
        old.unlink()
