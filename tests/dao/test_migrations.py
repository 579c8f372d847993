"""The runner: every file once, whole or not at all, and a clear refusal when files and database do not fit."""
from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpweb import paths
from mcpweb.db import Database, driver, migrate
from mcpweb.errors import Conflict, MigrationRefused, StorageUnusable
from tests.sizes import size

CORE_FILES = sorted(file.name for file in paths.SQL.glob("*.sql"))
LAST, NEXT, AFTER = (f"{len(CORE_FILES) + ahead:04d}" for ahead in range(3))
STARTER = """
import sys
from pathlib import Path
from mcpweb import paths
from mcpweb.db import migrate
print("ready", flush=True)
sys.stdin.readline()
print(" ".join(migrate.migrate(Path(sys.argv[1]), [("core", Path(sys.argv[2]))], init="init" in sys.argv)))
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of our own with the released files."""
    return Path(shutil.copytree(paths.SQL, tmp_path / "sql"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return tmp_path / "new" / "mcpweb.db"


def _tables(path: Path) -> set[str]:
    conn = driver.connect(str(path))
    try:
        return {row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    finally:
        conn.close()


def _starter(path: Path, files: Path, *, init: bool = False) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", STARTER, str(path), str(files), *(["init"] if init else [])]
    return subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=paths.PACKAGE.parent
    )


def _let_go(starters: list[subprocess.Popen[str]]) -> None:
    """Let all of them start at once."""
    for starter in starters:
        assert starter.stdout is not None and starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()


def _refusal(path: Path, files: Path) -> MigrationRefused:
    with pytest.raises(MigrationRefused) as refused:
        migrate.migrate(path, [("core", files)])
    assert refused.value.next_step
    return refused.value


def test_a_new_database_has_the_pragmas_that_only_work_before_the_first_table(fresh: Path) -> None:
    assert migrate.migrate(fresh, [("core", paths.SQL)]) == CORE_FILES
    conn = driver.connect(str(fresh))
    found = [conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "auto_vacuum", "journal_mode")]
    conn.close()
    assert found == [4096, 2, "wal"]


def test_a_new_database_and_its_folder_are_private_whatever_the_umask(fresh: Path) -> None:
    before = os.umask(0)
    try:
        migrate.migrate(fresh, [("core", paths.SQL)])
    finally:
        os.umask(before)
    assert stat.S_IMODE(fresh.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600


def test_a_second_start_applies_nothing_and_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    assert migrate.migrate(path, [("core", paths.SQL)]) == []
    assert path.read_bytes() == before


def test_eight_starters_at_once_apply_each_file_once(fresh: Path) -> None:
    fresh.parent.mkdir()
    starters = [_starter(fresh, paths.SQL) for _ in range(8)]
    _let_go(starters)
    applied = [name for starter in starters for name in starter.communicate(timeout=60)[0].split()]
    assert [starter.returncode for starter in starters] == [0] * 8
    assert sorted(applied) == CORE_FILES


def test_a_starter_killed_at_any_moment_leaves_a_database_the_next_one_finishes(fresh: Path) -> None:
    fresh.parent.mkdir()
    for delay in (0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05):
        for leftover in fresh.parent.iterdir():
            leftover.unlink()
        starter = _starter(fresh, paths.SQL)
        assert starter.stdin is not None and starter.stdout is not None
        starter.stdout.readline()
        starter.stdin.write("go\n")
        starter.stdin.flush()
        time.sleep(delay)
        starter.send_signal(signal.SIGKILL)
        starter.communicate()
        done = migrate.status(fresh, [("core", paths.SQL)]).applied
        assert list(done) == CORE_FILES[: len(done)]
        assert migrate.migrate(fresh, [("core", paths.SQL)], init=True) == CORE_FILES[len(done):]
        assert migrate.drift(fresh) == []


@pytest.mark.parametrize("old", [False, True], ids=["empty", "old"])
def test_of_many_starters_some_are_killed_and_each_file_is_applied_once(fresh: Path, files: Path, tmp_path: Path, old: bool) -> None:
    """``make soak`` does this twenty-five times on each, with seventy-five kills."""
    earlier = Path(shutil.copytree(files, tmp_path / "earlier"))
    for path in sorted(earlier.glob("*.sql"))[len(CORE_FILES) // 2:]:
        path.unlink()
    kills = 0
    for _ in range(size(1, 25)):
        shutil.rmtree(fresh.parent, ignore_errors=True)
        fresh.parent.mkdir()
        known = migrate.migrate(fresh, [("core", earlier)]) if old else []
        if old:
            conn = driver.connect(str(fresh), isolation_level=None)
            conn.execute("INSERT INTO servers (id, name, image, status) VALUES ('srv_kept', 'kept', 'tiny:1', 'stopped')")
            conn.close()
        starters = [_starter(fresh, files, init=True) for _ in range(8)]
        _let_go(starters)
        for starter in random.sample(starters, 3):
            time.sleep(random.random() * 0.03)
            starter.kill()
        said = [starter.communicate(timeout=60)[0].split() for starter in starters]
        killed = [starter.returncode == -signal.SIGKILL for starter in starters]
        kills += sum(killed)
        assert [starter.returncode for starter, was in zip(starters, killed, strict=True) if not was] == [0] * killed.count(False)
        told = [name for names in said for name in names]
        assert len(told) == len(set(told)) and set(told) <= set(CORE_FILES[len(known):])
        assert migrate.migrate(fresh, [("core", files)], init=True) == []
        assert list(migrate.status(fresh, [("core", files)]).applied) == CORE_FILES and migrate.drift(fresh) == []
        conn = driver.connect(str(fresh), isolation_level=None)
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == int(old)
        assert [row[0] for row in conn.execute("PRAGMA integrity_check")] == ["ok"]
        conn.close()
    print(f"{kills} of {size(1, 25) * 8} starters killed")


def test_a_file_that_fails_half_way_leaves_nothing_and_is_named(path: Path, files: Path) -> None:
    (files / f"{NEXT}_break.sql").write_text("CREATE TABLE half (id TEXT);\nINSERT INTO nowhere VALUES (1);\n")
    before = _tables(path)
    refused = _refusal(path, files)
    assert f"{NEXT}_break.sql" in refused.detail and "INSERT INTO nowhere" in refused.detail
    assert _tables(path) == before
    assert migrate.status(path, [("core", files)]).pending == (f"{NEXT}_break.sql",)


def test_files_before_a_broken_one_stay_applied(path: Path, files: Path) -> None:
    (files / f"{NEXT}_good.sql").write_text("CREATE TABLE good (id TEXT);")
    (files / f"{AFTER}_break.sql").write_text("CREATE TABLE;")
    _refusal(path, files)
    assert migrate.status(path, [("core", files)]).pending == (f"{AFTER}_break.sql",)
    assert "good" in _tables(path)


def test_an_edited_file_is_refused_by_name(path: Path, files: Path) -> None:
    edited = files / CORE_FILES[3]
    edited.write_text(edited.read_text() + "-- one more word\n")
    assert CORE_FILES[3] in _refusal(path, files).detail


def test_other_line_ends_are_not_an_edit(path: Path, files: Path) -> None:
    for file in files.glob("*.sql"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert migrate.migrate(path, [("core", files)]) == []


def test_a_renamed_file_is_refused(path: Path, files: Path) -> None:
    (files / CORE_FILES[3]).rename(files / "0004_other_name.sql")
    assert CORE_FILES[3] in _refusal(path, files).detail


def test_a_missing_file_is_refused_by_name(path: Path, files: Path) -> None:
    (files / CORE_FILES[3]).unlink()
    assert "0005" in _refusal(path, files).detail


def test_no_files_at_all_is_a_broken_installation_and_not_a_newer_database(path: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "missing" in _refusal(path, tmp_path / "empty").detail


def test_a_database_written_by_a_newer_version_is_refused_with_the_way_out(path: Path, files: Path) -> None:
    (files / CORE_FILES[-1]).unlink()
    refused = _refusal(path, files)
    assert CORE_FILES[-1] in refused.detail and "newer" in refused.detail and "Upgrade" in refused.next_step


@pytest.mark.parametrize("name", [f"{AFTER}_gap.sql", f"{LAST}_again.sql", "9_short.sql", f"{NEXT}-dash.sql", f"{NEXT}_Upper.sql"])
def test_a_gap_a_repeated_number_or_a_bad_name_is_refused(path: Path, files: Path, name: str) -> None:
    (files / name).write_text("CREATE TABLE extra (id TEXT);")
    assert name in _refusal(path, files).detail or LAST in _refusal(path, files).detail
    assert "extra" not in _tables(path)


@pytest.mark.parametrize(
    "statement", ["COMMIT;", "BEGIN;", "ROLLBACK;", "SAVEPOINT s;", "ATTACH 'other.db' AS other;", "DETACH main;"]
)
def test_a_file_cannot_leave_its_transaction_or_its_database(path: Path, files: Path, statement: str) -> None:
    (files / f"{NEXT}_escape.sql").write_text(f"CREATE TABLE escaped (id TEXT);\n{statement}\n")
    _refusal(path, files)
    assert "escaped" not in _tables(path)


def test_triggers_and_quoted_semicolons_stay_whole(path: Path, files: Path) -> None:
    (files / f"{NEXT}_split.sql").write_text(
        "-- a comment; with a semicolon and an apostrophe's end\n"
        "CREATE TABLE split (id TEXT DEFAULT 'a;b');\n"
        "CREATE TRIGGER split_made AFTER INSERT ON split BEGIN\n"
        "    UPDATE split SET id = 'x;y';\n    SELECT 1;\nEND;\n"
        "INSERT INTO split DEFAULT VALUES;\n"
    )
    migrate.migrate(path, [("core", files)])
    conn = driver.connect(str(path))
    assert conn.execute("SELECT id FROM split").fetchall() == [("x;y",)]
    conn.close()


def test_a_file_that_ends_in_the_middle_of_a_statement_is_refused(path: Path, files: Path) -> None:
    (files / f"{NEXT}_torn.sql").write_text("CREATE TABLE whole (id TEXT);\nCREATE TABLE torn (id TEXT")
    _refusal(path, files)
    assert "whole" not in _tables(path)


def test_a_file_that_leaves_an_orphan_is_refused_and_one_that_rebuilds_a_table_is_not(path: Path, files: Path) -> None:
    (files / f"{NEXT}_orphan.sql").write_text(
        "INSERT INTO configurations (id, server_id, name, config_data) VALUES ('cfg_1', 'srv_gone', 'x', '{}');"
    )
    assert "configurations" in _refusal(path, files).detail
    (files / f"{NEXT}_orphan.sql").unlink()
    (files / f"{NEXT}_rebuild.sql").write_text(
        "CREATE TABLE test_types_new (name TEXT PRIMARY KEY, title TEXT);\n"
        "INSERT INTO test_types_new SELECT name, title FROM test_types;\n"
        "DROP TABLE test_types;\nALTER TABLE test_types_new RENAME TO test_types;\n"
    )
    assert migrate.migrate(path, [("core", files)]) == [f"{NEXT}_rebuild.sql"]


def test_status_says_what_is_pending_and_writes_nothing(path: Path, files: Path) -> None:
    (files / f"{NEXT}_more.sql").write_text("CREATE TABLE more (id TEXT);")
    before = path.read_bytes()
    found = migrate.status(path, [("core", files)])
    assert (list(found.applied), found.pending) == (CORE_FILES, (f"{NEXT}_more.sql",))
    assert path.read_bytes() == before


def test_status_of_no_database_makes_none(fresh: Path) -> None:
    assert migrate.status(fresh, [("core", paths.SQL)]).pending == tuple(CORE_FILES)
    assert not fresh.exists()


# Backup before a change


def test_a_private_backup_is_kept_before_the_first_pending_file_of_a_used_database(path: Path, files: Path) -> None:
    (files / f"{NEXT}_more.sql").write_text("CREATE TABLE more (id TEXT);")
    migrate.migrate(path, [("core", files)])
    (backup,) = path.parent.glob("mcpweb.db.before-*")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert "more" not in _tables(backup) and "servers" in _tables(backup)


def test_no_backup_is_made_of_a_new_database_or_when_nothing_is_pending(fresh: Path) -> None:
    for _ in range(2):
        migrate.migrate(fresh, [("core", paths.SQL)])
    assert list(fresh.parent.glob("*.before-*")) == []


def test_only_the_newest_backups_stay(path: Path, files: Path, at: Callable[[float], None]) -> None:
    for number in range(5):
        at(number)
        (files / f"{int(NEXT) + number:04d}_more.sql").write_text(f"CREATE TABLE more_{number} (id TEXT);")
        migrate.migrate(path, [("core", files)])
    backups = sorted(path.parent.glob("*.before-*"))
    assert [("more_2" in _tables(b), "more_3" in _tables(b)) for b in backups] == [
        (False, False), (True, False), (True, True),
    ]


def test_a_used_database_changes_only_when_the_caller_is_alone(path: Path, files: Path) -> None:
    (files / f"{NEXT}_more.sql").write_text("CREATE TABLE more (id TEXT);")

    def refuse() -> None:
        raise Conflict("in use")

    with pytest.raises(Conflict):
        migrate.migrate(path, [("core", files)], alone=refuse)  # type: ignore[arg-type]
    assert "more" not in _tables(path)
    assert migrate.migrate(path, [("core", paths.SQL)], alone=refuse) == []  # type: ignore[arg-type]


# A database that was there and is gone


def test_an_empty_file_is_refused_until_somebody_says_init(path: Path) -> None:
    path.write_bytes(b"")
    with pytest.raises(StorageUnusable, match="gone or empty"):
        migrate.migrate(path, [("core", paths.SQL)])
    assert migrate.migrate(path, [("core", paths.SQL)], init=True) == CORE_FILES


def test_a_log_without_its_database_is_refused_and_kept_when_somebody_says_init(path: Path) -> None:
    path.unlink()
    path.with_name("mcpweb.db-wal").write_bytes(b"what was there")
    with pytest.raises(StorageUnusable):
        migrate.migrate(path, [("core", paths.SQL)])
    migrate.migrate(path, [("core", paths.SQL)], init=True)
    (kept,) = path.parent.glob("mcpweb.db-wal.before-*")
    assert kept.read_bytes() == b"what was there"


@pytest.mark.parametrize(("size", "lost"), [(0, True), (1, False), (None, True)])
def test_looks_lost_tells_a_missing_or_empty_file_from_any_other(tmp_path: Path, size: int | None, lost: bool) -> None:
    path = tmp_path / "mcpweb.db"
    if size is not None:
        path.write_bytes(b"x" * size)
    assert migrate.looks_lost(path) is lost


def test_garbage_and_a_stranger_s_database_are_refused_untouched(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StorageUnusable):
        migrate.migrate(path, [("core", paths.SQL)])
    path.unlink()
    stranger = sqlite3.connect(path)
    stranger.execute("CREATE TABLE servers (mine TEXT)")
    stranger.close()
    assert "not one of mcpweb" in _refusal(path, paths.SQL).detail
    assert _tables(path) == {"servers"}


def test_a_database_without_its_log_gets_it_back_at_the_next_start(path: Path) -> None:
    conn = driver.connect(str(path), isolation_level=None)
    conn.execute("PRAGMA journal_mode = DELETE")
    conn.close()
    migrate.migrate(path, [("core", paths.SQL)])
    with Database(path).reading() as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_each_applied_file_moves_the_number_that_tells_running_processes(path: Path, files: Path) -> None:
    (files / f"{NEXT}_more.sql").write_text("CREATE TABLE more (id TEXT);")
    db = Database(path)
    with db.reading() as conn:
        before = conn.execute("PRAGMA user_version").fetchone()[0]
    migrate.migrate(path, [("core", files)])
    with db.reading() as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == before + 1
    db.close()


def test_drift_names_a_dropped_trigger_and_a_changed_index(path: Path) -> None:
    assert migrate.drift(path) == []
    conn = driver.connect(str(path), isolation_level=None)
    conn.execute("DROP TRIGGER audit_log_no_update")
    conn.execute("DROP INDEX idx_jobs_kind")
    conn.execute("CREATE INDEX idx_jobs_kind ON jobs (kind)")
    conn.close()
    assert migrate.drift(path) == [
        "the index idx_jobs_kind is not as the migrations made it", "the trigger audit_log_no_update is missing",
    ]


# Plugins


@pytest.fixture
def plugin(tmp_path: Path, path: Path) -> Callable[[str], list[str]]:
    folder = tmp_path / "plugin_sql"
    folder.mkdir()

    def apply(sql: str) -> list[str]:
        (folder / "0001_first.sql").write_text(sql)
        return migrate.migrate(path, [("core", paths.SQL), ("plugin:perf", folder)])

    return apply


def test_a_plugin_has_tables_indexes_triggers_and_views_of_its_own_prefix(
    plugin: Callable[[str], list[str]], path: Path
) -> None:
    applied = plugin(
        "CREATE TABLE p_perf_baselines (id TEXT PRIMARY KEY, server_id TEXT REFERENCES servers (id) ON DELETE CASCADE);\n"
        "CREATE INDEX p_perf_by_server ON p_perf_baselines (server_id);\n"
        "ALTER TABLE p_perf_baselines ADD COLUMN value REAL;\n"
        "CREATE VIEW p_perf_named AS SELECT name, value FROM p_perf_baselines JOIN servers ON servers.id = server_id;\n"
        "CREATE TRIGGER p_perf_kept BEFORE DELETE ON p_perf_baselines BEGIN SELECT 1; END;\n"
        "INSERT INTO p_perf_baselines (id) SELECT id FROM servers;\n"
    )
    assert applied == ["0001_first.sql"]
    assert "p_perf_baselines" in _tables(path)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE baselines (id TEXT);",
        "CREATE TABLE p_perfect_baselines (id TEXT);",
        "CREATE TABLE p_other_baselines (id TEXT);",
        "CREATE INDEX p_perf_spy ON servers (name);",
        "CREATE TRIGGER p_perf_spy AFTER INSERT ON servers BEGIN SELECT 1; END;",
        "CREATE VIEW servers_too AS SELECT * FROM servers;",
        "CREATE TEMP TABLE p_perf_temp (id TEXT);",
        "CREATE VIRTUAL TABLE p_perf_search USING fts5(text);",
        "ALTER TABLE servers ADD COLUMN extra TEXT;",
        "DROP TABLE servers;",
        "DROP TRIGGER audit_log_no_update;",
        "DROP INDEX idx_servers_status;",
        "INSERT INTO servers (id, name, image, status) VALUES ('x', 'x', 'x', 'unknown');",
        "UPDATE servers SET name = 'x';",
        "DELETE FROM audit_log;",
        "PRAGMA writable_schema = ON;",
        "CREATE TABLE p_perf_stolen AS SELECT * FROM secrets;",
        "CREATE TABLE p_perf_stolen AS SELECT * FROM encryption_key_versions;",
        "CREATE TABLE p_perf_stolen AS SELECT password_hash FROM Users;",
        "CREATE TABLE p_perf_stolen AS SELECT id_hash FROM sessions;",
        "COMMIT;",
    ],
)
def test_a_plugin_cannot_touch_what_is_not_its_own(
    plugin: Callable[[str], list[str]], path: Path, sql: str
) -> None:
    before = _tables(path)
    with pytest.raises(MigrationRefused, match="0001_first"):
        plugin(sql)
    assert _tables(path) == before


def test_a_database_outlives_a_plugin_that_is_not_installed(plugin: Callable[[str], list[str]], path: Path) -> None:
    plugin("CREATE TABLE p_perf_baselines (id TEXT);")
    assert migrate.migrate(path, [("core", paths.SQL)]) == []
    assert "p_perf_baselines" in _tables(path)
