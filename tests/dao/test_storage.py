"""Check, upkeep, backup and restore on a whole data folder."""
from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcpweb import clock, instance, paths
from mcpweb import core as cores
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import accounts, audit, keys, servers
from mcpweb.db import driver, migrate
from mcpweb.errors import Conflict, Failure, InvalidInput, MigrationRefused, StorageUnusable
from mcpweb.services import backupfiles, backups, storage
from mcpweb.settings import Settings, load
from tests.dao.rows import make_server

ME = Actor.cli("me")
CORE = [("core", paths.SQL)]
RESTORER = """
import sys
from pathlib import Path
from mcpweb import paths
from mcpweb.services import backups
from mcpweb.settings import load
print("ready", flush=True)
sys.stdin.readline()
backups.restore(load(), [("core", paths.SQL)], Path(sys.argv[1]))
"""
BACKER = """
import sys
from pathlib import Path
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import open_core
from mcpweb.services import backups
core = open_core()
print("ready", flush=True)
sys.stdin.readline()
backups.backup(core, Actor.cli("me"), Path(sys.argv[1]))
sys.stdin.readline()
"""


def _manifest(file: Path) -> dict[str, Any]:
    """Read the manifest as its description says, not as the program does."""
    data = file.read_bytes()
    assert data.endswith(b"MCPWEBBK")
    size = int.from_bytes(data[-48:-40], "big")
    return dict(json.loads(data[-48 - size : -48]))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("MCPWEB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MCPWEB_DATA_DIR", str(tmp_path / "data"))
    return load()


@pytest.fixture
def core(settings: Settings) -> Iterator[Core]:
    opened = cores.open_core(settings)
    with opened.db.writing() as conn:
        make_server(conn, "before")
    yield opened
    opened.db.close_all()
    opened.close()


def _names(path: Path) -> list[str]:
    conn = driver.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return sorted(row[0] for row in conn.execute("SELECT name FROM servers"))
    finally:
        conn.close()


# Status and check


def test_status_names_what_is_applied(core: Core) -> None:
    said = storage.status(core.settings, CORE)
    assert (said["pending"], said["sqlite"]) == ([], driver.version_text)
    assert said["applied"][0] == "0001_initial_schema.sql"


def test_a_healthy_database_is_fine_while_it_is_used(core: Core) -> None:
    said = storage.check(core.settings)
    assert (said["ok"], said["problems"]) == (True, [])
    assert (said["page_size"], said["auto_vacuum"], said["journal_mode"]) == (4096, 2, "wal")


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("DROP TRIGGER audit_log_no_delete", "audit_log_no_delete"),
        ("DROP INDEX idx_servers_status", "idx_servers_status"),
        ("INSERT INTO configurations (id, server_id, name, config_data) VALUES ('c', 'gone', 'x', '{}')", "missing row"),
    ],
)
def test_check_finds_what_somebody_did_by_hand(core: Core, statement: str, word: str) -> None:
    conn = driver.connect(str(core.settings.db_path), isolation_level=None)
    conn.execute(statement)
    conn.close()
    said = storage.check(core.settings)
    assert not said["ok"] and word in " ".join(said["problems"])


def test_check_finds_a_database_others_can_read(core: Core) -> None:
    core.settings.db_path.chmod(0o644)
    assert "644" in " ".join(storage.check(core.settings)["problems"])


@pytest.mark.parametrize("keep", [50, 5000, 100_000])
def test_check_finds_a_cut_file_and_leaves_it(core: Core, keep: int) -> None:
    core.db.close_all()
    os.truncate(core.settings.db_path, keep)
    before = core.settings.db_path.read_bytes()
    said = storage.check(core.settings)
    assert not said["ok"] and said["problems"]
    assert core.settings.db_path.read_bytes() == before


def test_check_of_no_database_says_the_next_step(settings: Settings) -> None:
    with pytest.raises(StorageUnusable, match="no database"):
        storage.check(settings)
    assert not settings.db_path.exists()


# Upkeep


def test_upkeep_cuts_a_long_log_gives_pages_back_and_forgets_buckets(core: Core) -> None:
    db = core.db
    with db.writing() as conn:
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        accounts.take(conn, "old", per_minute=1, burst=1)
        conn.execute("UPDATE throttle SET at = 0")
        conn.execute("CREATE TABLE ballast (data BLOB)")
        for _ in range(18):
            conn.execute("INSERT INTO ballast VALUES (randomblob(1048576))")
    with db.writing() as conn:
        conn.execute("DELETE FROM ballast")
    wal = db.path.with_name(db.path.name + "-wal")
    assert wal.stat().st_size > storage.WAL_LIMIT
    with db.reading() as conn:
        free = conn.execute("PRAGMA freelist_count").fetchone()[0]
    storage.maintain(db)
    assert wal.stat().st_size == 0
    with db.reading() as conn:
        assert conn.execute("PRAGMA freelist_count").fetchone()[0] <= free - 200
        assert conn.execute("SELECT count(*) FROM throttle").fetchone()[0] == 0


def test_upkeep_cuts_the_log_when_nobody_writes_and_leaves_it_while_somebody_does(core: Core) -> None:
    wal = core.db.path.with_name(core.db.path.name + "-wal")
    storage.maintain(core.db)
    assert wal.stat().st_size > 0
    os.utime(wal, (time.time() - storage.IDLE_S - 1,) * 2)
    storage.maintain(core.db)
    assert wal.stat().st_size == 0


def test_upkeep_does_not_keep_writers_waiting_for_a_reader(core: Core) -> None:
    db = core.db
    with db.writing() as conn:
        conn.execute("PRAGMA wal_autocheckpoint = 0")
        conn.execute("CREATE TABLE ballast (data BLOB)")
        for _ in range(18):
            conn.execute("INSERT INTO ballast VALUES (randomblob(1048576))")
    with db.reading() as conn:
        conn.execute("SELECT count(*) FROM servers").fetchone()
        upkeep = threading.Thread(target=storage.maintain, args=(db,))
        upkeep.start()
        upkeep.join(timeout=5)
        assert not upkeep.is_alive()


# Backup


def test_a_backup_is_one_private_file_with_a_manifest(core: Core, tmp_path: Path) -> None:
    with core.db.writing() as conn:
        head = audit.append(conn, actor="cli:me", actor_kind="cli", action="x", target="y")
    target = tmp_path / "kept.db"
    said = backups.backup(core, ME, target)
    manifest = _manifest(target)
    assert manifest == {key: said[key] for key in manifest}
    database = shutil.copy(target, tmp_path / "copy")
    assert backupfiles.take(Path(database)) == manifest and manifest["sha256"] == backupfiles.sha256(Path(database))
    Path(database).unlink()
    assert manifest["instance"] == core.instance.id and manifest["rows"]["servers"] == 1 and manifest["rows"]["audit_log"] >= 1
    assert (manifest["schema"], manifest["audit_head"]["seq"]) == ({"core": len(list(paths.SQL.glob("*.sql")))}, head.seq)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["kept.db"]
    assert _names(target) == ["before"]
    with core.db.reading() as conn:
        assert audit.listing(conn, limit=1)[0].action == "db.backup"


def test_a_backup_names_the_keys_a_restore_will_need_and_holds_none_that_are_destroyed(core: Core, tmp_path: Path) -> None:
    with core.db.writing() as conn:
        key = keys.by_name(conn, "main")
        core.vault.add_version(conn, key)
        core.vault.add_version(conn, key)
        for state in ("retired", "destroyed"):
            keys.set_state(conn, key.id, 1, state)
        kept = [keys.version(conn, key.id, number) for number in (2, 3)]
    said = backups.backup(core, ME, tmp_path / "kept.db")
    assert said["keys"] == [{"key": "main", "version": v.version, "kek_id": v.kek_id, "kcv": v.kcv} for v in kept]


def test_a_backup_while_others_write_is_whole(core: Core, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            with core.db.writing() as conn:  # always two at once
                make_server(conn, f"a{number}")
                make_server(conn, f"b{number}")
            number += 1
        core.db.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backups.backup(core, ME, tmp_path / f"{number}.db")
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        conn = driver.connect(str(tmp_path / f"{number}.db"))
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert conn.execute("SELECT count(*) % 2 FROM servers").fetchone()[0] == 1
        conn.close()


def test_a_backup_never_overwrites_and_leaves_nothing_when_it_fails(core: Core, tmp_path: Path) -> None:
    target = tmp_path / "mine.txt"
    target.write_text("mine")
    with pytest.raises(Conflict):
        backups.backup(core, ME, target)
    assert target.read_text() == "mine"
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(Conflict):
        backups.backup(core, ME, tmp_path / "link.db")
    with pytest.raises(InvalidInput):
        backups.backup(core, ME, tmp_path / "no" / "folder" / "x.db")
    core.db.close_all()
    core.settings.db_path.write_bytes(b"damaged" * 1000)
    with pytest.raises(StorageUnusable):
        backups.backup(core, ME, tmp_path / "new.db")
    assert not list(tmp_path.glob("new.db*"))


def test_a_disk_that_is_full_is_told_and_nothing_of_the_backup_stays(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> None:
        target.with_name(target.name + "-journal").write_text("SQLite leaves it")
        raise driver.OperationalError("database or disk is full")

    monkeypatch.setattr(backups, "_copy_consistently", full)
    for passphrase in (None, Sensitive("twelve or more")):
        with pytest.raises(Failure):
            backups.backup(core, ME, tmp_path / "kept.db", passphrase=passphrase)
        assert not list(tmp_path.glob("kept*")) and not list(core.settings.data_dir.glob("backup*"))
    with core.db.reading() as conn:
        assert audit.newest(conn, "db.backup") is None


# Restore


@pytest.fixture
def kept(core: Core, tmp_path: Path) -> Path:
    """A backup; the database has moved on since, and nobody uses it now."""
    backups.backup(core, ME, tmp_path / "kept.db")
    with core.db.writing() as conn:
        make_server(conn, "after")
    core.db.close_all()
    core.close()
    return tmp_path / "kept.db"


def test_a_restore_brings_back_what_was_and_keeps_what_is_aside(settings: Settings, kept: Path) -> None:
    said = backups.restore(settings, CORE, kept, actor=ME)
    aside = Path(str(said["kept_aside"]))
    assert (_names(settings.db_path), _names(aside)) == (["before"], ["after", "before"])
    assert {stat.S_IMODE(p.stat().st_mode) for p in (aside, settings.db_path)} == {0o600}
    assert storage.check(settings)["ok"]
    again = cores.open_core(settings)
    with again.db.reading() as conn:
        last = audit.listing(conn, limit=1)[0]
        assert (last.action, last.actor, last.target) == ("db.restore", "cli:me", "kept.db")
        assert audit.verify(conn).ok
    again.close()


def test_what_the_old_log_still_held_is_in_the_copy_kept_aside(settings: Settings, kept: Path) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom mcpweb.db import Database\ndb = Database(Path(sys.argv[1]))\n"
        "with db.writing() as conn:\n    conn.execute(\"INSERT INTO servers (id, name, image, status) "
        "VALUES ('srv_x', 'in-the-log', 'i', 'unknown')\")\nos._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(settings.db_path)], check=True, cwd=paths.PACKAGE.parent)
    assert settings.db_path.with_name("mcpweb.db-wal").stat().st_size > 0
    said = backups.restore(settings, CORE, kept)
    assert "in-the-log" in _names(Path(str(said["kept_aside"])))
    assert _names(settings.db_path) == ["before"]


def test_a_restore_is_refused_while_others_use_the_data_folder_and_names_them(settings: Settings, kept: Path) -> None:
    user = subprocess.Popen(
        [sys.executable, "-c", "from mcpweb.core import open_core\ncore = open_core()\nprint('up', flush=True)\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=paths.PACKAGE.parent,
    )
    try:
        assert user.stdout is not None and user.stdout.readline() == "up\n"
        with pytest.raises(Conflict, match=str(user.pid)):
            backups.restore(settings, CORE, kept)
    finally:
        user.communicate("\n", timeout=30)
    assert _names(settings.db_path) == ["after", "before"]
    backups.restore(settings, CORE, kept)


def test_a_command_that_begins_waits_for_nobody_when_another_only_uses_the_folder(core: Core) -> None:
    second = cores.open_core(core.settings)
    with second.db.reading() as conn:
        assert servers.get(conn, "before")
    second.close()


def test_an_upgrade_is_refused_while_the_old_program_runs(core: Core, tmp_path: Path) -> None:
    newer = Path(shutil.copytree(paths.SQL, tmp_path / "sql"))
    (newer / f"{len(list(newer.glob('*.sql'))) + 1:04d}_more.sql").write_text("CREATE TABLE more (id TEXT);")

    def upgrade() -> list[str]:
        return migrate.migrate(core.settings.db_path, [("core", newer)], alone=lambda: instance.alone(core.settings))

    with pytest.raises(Conflict, match=str(os.getpid())):
        upgrade()
    core.close()
    assert len(upgrade()) == 1


def test_a_damaged_backup_is_refused_and_the_database_stays(settings: Settings, kept: Path) -> None:
    whole = kept.read_bytes()
    size = len(whole) - 48 - int.from_bytes(whole[-48:-40], "big")  # of the database
    manifest = whole[size:]
    damaged = {
        "last byte edited": whole[:-1] + b"x",
        "database edited": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        "manifest edited": whole.replace(b'"format": 2', b'"format": 3'),
        "cut": whole[: len(whole) // 2],
        "end cut": whole[:-1],
        "manifest cut": whole[: size + 4],
        "a page less": whole[4096:],
        "longer": whole + b"x",
        "manifest of another": whole[: len(whole) // 2] + whole[len(whole) // 2 + 4096 :],
        "garbage": b"no database " * 1000,
        "only a manifest": manifest,
        "empty": b"",
    }
    before = settings.db_path.read_bytes()
    for what, data in damaged.items():
        assert data != whole, what
        kept.write_bytes(data)
        with pytest.raises(StorageUnusable):
            backups.restore(settings, CORE, kept)
        assert not backups.check(settings, CORE, kept)["ok"], what
    assert settings.db_path.read_bytes() == before
    assert not list(settings.data_dir.glob("*restoring*")) and not list(settings.data_dir.glob("*replaced*"))


def test_a_backup_of_an_earlier_version_with_its_manifest_beside_it_is_restored_and_checked_against_it(
    settings: Settings, kept: Path
) -> None:
    manifest = backupfiles.take(kept)
    assert manifest is not None
    beside = kept.with_name("kept.db.manifest.json")
    beside.write_text(json.dumps(manifest | {"format": 1, "sha256": "0" * 64}))
    with pytest.raises(StorageUnusable, match="does not match"):
        backups.restore(settings, CORE, kept)
    beside.write_text(json.dumps(manifest | {"format": 1}))
    assert backups.check(settings, CORE, kept)["ok"]
    backups.restore(settings, CORE, kept)
    assert _names(settings.db_path) == ["before"]


def test_a_check_of_a_backup_says_what_is_in_it_and_changes_nothing(settings: Settings, kept: Path) -> None:
    before = {path: path.read_bytes() for path in (kept, settings.db_path)}
    said = backups.check(settings, CORE, kept)
    assert (said["ok"], said["problems"], said["encrypted"]) == (True, [], False)
    assert said["manifest"] == _manifest(kept)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(settings.data_dir.glob(".check*"))


def test_a_backup_killed_at_any_moment_is_whole_or_not_there_and_the_next_one_clears_up(core: Core, tmp_path: Path) -> None:
    with core.db.writing() as conn:
        for number in range(300):
            make_server(conn, f"more{number}")
    seen = set()
    target = tmp_path / "made.db"
    for delay in (0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12):
        target.unlink(missing_ok=True)
        writer = subprocess.Popen(
            [sys.executable, "-c", BACKER, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=paths.PACKAGE.parent,
        )
        assert writer.stdout is not None and writer.stdin is not None
        writer.stdout.readline()
        writer.stdin.write("go\n")
        writer.stdin.flush()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        if target.exists():
            assert backups.check(core.settings, CORE, target)["ok"]
        seen.add(target.exists())
    target.unlink(missing_ok=True)
    backups.backup(core, ME, target)
    assert backups.check(core.settings, CORE, target)["manifest"]["rows"]["servers"] == 301
    assert [path.name for path in tmp_path.glob("made*")] == ["made.db"] and storage.check(core.settings)["ok"]
    assert seen == {True, False}


def test_another_kind_of_database_is_refused(settings: Settings, kept: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.db"
    conn = driver.connect(str(stranger), isolation_level=None)
    conn.execute("CREATE TABLE songs (id TEXT)")
    conn.close()
    for source in (stranger, tmp_path / "missing.db", tmp_path):
        with pytest.raises((InvalidInput, MigrationRefused)):
            backups.restore(settings, CORE, source)
    assert _names(settings.db_path) == ["after", "before"]


def test_a_backup_of_a_newer_version_is_refused(settings: Settings, kept: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(paths.SQL, tmp_path / "older"))
    sorted(older.glob("*.sql"))[-1].unlink()
    with pytest.raises(MigrationRefused, match="newer"):
        backups.restore(settings, [("core", older)], kept)
    assert _names(settings.db_path) == ["after", "before"]


def test_a_backup_of_an_older_version_is_brought_up_to_date(settings: Settings, kept: Path, tmp_path: Path) -> None:
    newer = Path(shutil.copytree(paths.SQL, tmp_path / "newer"))
    (newer / f"{len(list(newer.glob('*.sql'))) + 1:04d}_more.sql").write_text("CREATE TABLE more (id TEXT);")
    backups.restore(settings, [("core", newer)], kept)
    assert migrate.status(settings.db_path, [("core", newer)]).pending == ()


@pytest.mark.parametrize("loss", ["missing", "empty", "damaged"])
def test_a_restore_works_when_the_database_is_what_was_lost(settings: Settings, kept: Path, loss: str) -> None:
    if loss == "missing":
        settings.db_path.unlink()
    else:
        settings.db_path.write_bytes(b"" if loss == "empty" else b"damaged" * 5000)
    if loss != "damaged":
        with pytest.raises(StorageUnusable, match="gone or empty"):
            cores.open_core(settings)
    backups.restore(settings, CORE, kept)
    assert _names(settings.db_path) == ["before"]


def test_a_restore_killed_at_any_moment_leaves_the_old_database_or_the_new_one(settings: Settings, kept: Path) -> None:
    original = settings.db_path.read_bytes()
    seen = set()
    for delay in (0, 0.004, 0.008, 0.012, 0.016, 0.02, 0.025, 0.03, 0.04, 0.06):
        for leftover in settings.data_dir.glob("mcpweb.db*"):
            leftover.unlink()
        settings.db_path.write_bytes(original)
        restorer = subprocess.Popen(
            [sys.executable, "-c", RESTORER, str(kept)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=paths.PACKAGE.parent,
        )
        assert restorer.stdout is not None and restorer.stdin is not None
        restorer.stdout.readline()
        restorer.stdin.write("go\n")
        restorer.stdin.flush()
        time.sleep(delay)
        restorer.send_signal(signal.SIGKILL)
        restorer.communicate()
        opened = cores.open_core(settings)
        with opened.db.reading() as conn:
            names = sorted(row.name for row in servers.listing(conn).rows)
            assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        opened.db.close_all()
        opened.close()
        assert names in (["before"], ["after", "before"])
        seen.add(len(names))
    assert 2 in seen


def test_a_check_undoes_what_a_crash_left_half_written(settings: Settings, kept: Path) -> None:
    script = (
        "import os, sqlite3, sys\nconn = sqlite3.connect(sys.argv[1], isolation_level=None)\nconn.execute('PRAGMA cache_spill = 1')\n"
        "conn.execute('PRAGMA cache_size = 1')\nconn.execute('PRAGMA journal_mode = DELETE')\nconn.execute('BEGIN IMMEDIATE')\n"
        "conn.execute('CREATE TABLE half AS SELECT randomblob(4000) AS a FROM (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9))')\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(settings.db_path)], check=True)
    journal = settings.db_path.with_name("mcpweb.db-journal")
    assert journal.stat().st_size > 0
    told = storage.check(settings)
    assert [one for one in told["problems"] if "write-ahead" not in one] == [] and not journal.exists()


def test_a_journal_of_a_damaged_database_never_meets_the_new_one(
    settings: Settings, kept: Path
) -> None:
    settings.db_path.write_bytes(b"damaged" * 5000)
    settings.db_path.with_name("mcpweb.db-journal").write_bytes(b"of the old one" * 100)
    backups.restore(settings, CORE, kept)
    assert not settings.db_path.with_name("mcpweb.db-journal").exists()
    assert storage.check(settings)["ok"] and _names(settings.db_path) == ["before"]


# A first start and a lost database


def test_a_database_that_was_there_is_not_taken_for_a_first_start(settings: Settings, kept: Path) -> None:
    settings.db_path.unlink()
    with pytest.raises(StorageUnusable) as refused:
        cores.open_core(settings)
    assert "--init" in refused.value.next_step and "restore" in refused.value.next_step
    assert not settings.db_path.exists()
    fresh = cores.open_core(settings, init=True)
    with fresh.db.reading() as conn:
        assert servers.listing(conn).rows == ()
    fresh.close()


def test_the_clock_of_the_copy_kept_aside_sorts(settings: Settings, kept: Path) -> None:
    one = backups.restore(settings, CORE, kept)["kept_aside"]
    two = backups.restore(settings, CORE, kept)["kept_aside"]
    assert str(one) < str(two) and clock.now()[:10] in str(two)
    assert replace(settings).db_path == settings.db_path


def test_upkeep_gathers_statistics_of_tables_it_did_not_read(core: Core) -> None:
    with core.db.writing() as conn:
        for number in range(500):
            make_server(conn, f"s{number}")
    storage.maintain(core.db)
    with core.db.reading() as conn:
        assert "servers" in {row[0] for row in conn.execute("SELECT tbl FROM sqlite_stat1")}
