"""Connections: what they allow, who holds them, and what their errors mean to people."""
from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpweb import paths
from mcpweb.db import Database, driver, failure_of
from mcpweb.errors import Failure, StorageFull, StorageUnusable, Unavailable
from tests.dao.rows import make_server
from tests.sizes import size

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize("way", ["reading", "writing"])
def test_every_connection_has_the_pragmas_of_the_product(db: Database, way: str) -> None:
    with getattr(db, way)() as conn:
        found = {
            name: conn.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("busy_timeout", "secure_delete", "trusted_schema", "cell_size_check", "query_only", "mmap_size")
        }
        limit = conn.execute("PRAGMA journal_size_limit").fetchone()[0]
    assert found == {
        "busy_timeout": 10000, "secure_delete": 1, "trusted_schema": 0, "cell_size_check": 1,
        "query_only": int(way == "reading"), "mmap_size": 0,
    }
    assert limit == 4 * 2**20


def test_a_reader_cannot_write(db: Database) -> None:
    with pytest.raises(Failure), db.reading() as conn:
        conn.execute("DELETE FROM servers")


def test_what_is_written_is_there_for_the_next_reader_of_any_thread(db: Database) -> None:
    with db.writing() as conn:
        make_server(conn)
    seen: list[int] = []

    def look() -> None:
        with db.reading() as conn:
            seen.append(conn.execute("SELECT count(*) FROM servers").fetchone()[0])
        db.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    look()
    assert seen == [1, 1]


def test_an_exception_takes_back_everything_of_its_transaction(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.writing() as conn:
        make_server(conn)
        _ = 1 / 0
    with db.reading() as conn:
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == 0


def test_a_broken_constraint_passes_through_and_takes_back_everything(db: Database) -> None:
    with pytest.raises(driver.IntegrityError), db.writing() as conn:
        make_server(conn, "same")
        make_server(conn, "same")
    with db.reading() as conn:
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == 0


def test_all_reads_of_one_block_see_one_state_while_others_write(db: Database) -> None:
    count = "SELECT count(*) FROM servers"

    def write() -> None:
        with db.writing() as conn:
            make_server(conn)
        db.close()

    with db.reading() as conn:
        before = conn.execute(count).fetchone()[0]
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert conn.execute(count).fetchone()[0] == before
    with db.reading() as conn:
        assert conn.execute(count).fetchone()[0] == before + 1


def test_a_write_inside_a_transaction_is_a_bug_and_says_so(db: Database) -> None:
    with db.writing(), pytest.raises(RuntimeError), db.writing():
        pass
    with db.reading(), pytest.raises(RuntimeError), db.writing():
        pass
    with db.writing() as conn:
        make_server(conn)


def test_a_read_inside_a_write_sees_what_is_not_committed_yet(db: Database) -> None:
    with db.writing() as conn:
        make_server(conn)
        with db.reading() as inner:
            assert inner.execute("SELECT count(*) FROM servers").fetchone()[0] == 1


def test_an_endless_statement_ends_at_its_deadline_and_the_connection_lives_on(path: Path) -> None:
    db = Database(path, statement_deadline_s=0.05)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="too long"), db.reading() as conn:
        conn.execute(ENDLESS).fetchone()
    assert time.monotonic() - began < 5
    with db.reading() as conn:
        assert conn.execute("SELECT 1").fetchone()[0] == 1
    db.close()


def test_a_reader_may_ask_for_a_longer_deadline(path: Path) -> None:
    counted = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n"
    db = Database(path, statement_deadline_s=0.01)
    with pytest.raises(Unavailable), db.reading() as conn:
        conn.execute(counted).fetchone()
    with db.reading(deadline_s=60) as conn:
        assert conn.execute(counted).fetchone()[0] == 1_000_000
    db.close()


def test_a_child_after_a_fork_opens_its_own_connection_and_leaves_ours_whole(db: Database) -> None:
    with db.writing() as conn:
        make_server(conn, "parent")
    with db.reading() as conn:
        ours = id(conn)
    child = os.fork()
    if child == 0:
        with db.reading() as conn:
            own = id(conn) != ours
        with db.writing() as conn:
            make_server(conn, "child")
        os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with db.reading() as conn:
        assert id(conn) == ours
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == 2
        assert conn.execute("PRAGMA quick_check").fetchone()[0] == "ok"


def test_connections_of_threads_that_ended_are_closed_when_the_next_one_opens(db: Database) -> None:
    def read() -> None:
        with db.reading() as conn:
            conn.execute("SELECT 1")

    for _ in range(20):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    read()
    open_files = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
    assert sum(name == str(db.path) for name in open_files) <= 2


CROWD = """
import sys, threading
from pathlib import Path
from mcpweb.db import Database

db = Database(Path(sys.argv[1]))
barrier = threading.Barrier(6)


def read(together):
    if together:
        barrier.wait()
    with db.reading() as conn:
        conn.execute("SELECT 1").fetchone()
    with db.writing() as conn:
        conn.execute("SELECT 1").fetchone()


for _ in range(60):
    for together in (False, True):
        threads = [threading.Thread(target=read, args=(together,)) for _ in range(6)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
assert len(db._opened) <= 12, db._opened
"""


def test_many_threads_that_come_at_once_close_what_the_dead_left_only_once(db: Database) -> None:
    done = subprocess.run([sys.executable, "-c", CROWD, str(db.path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_closing_gives_the_file_back_and_the_next_use_opens_it_again(db: Database) -> None:
    with db.writing() as conn:
        make_server(conn)
    db.close()
    assert not db.path.with_name("mcpweb.db-wal").exists()
    with db.reading() as conn:
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == 1


# Errors


def test_a_full_disk_is_said_changes_nothing_and_reads_go_on(db: Database) -> None:
    with pytest.raises(StorageFull), db.writing() as conn:
        conn.execute("PRAGMA max_page_count = 1")  # SQLite takes the current size, so the next page does not fit
        for number in range(2000):
            make_server(conn, f"server-{number}", description="x" * 1000)
    with db.reading() as conn:
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == 0
    with db.writing() as conn:
        conn.execute("PRAGMA max_page_count = 1000000")
        make_server(conn)


def test_a_database_that_is_gone_is_an_error_and_not_a_new_one(tmp_path: Path) -> None:
    missing = tmp_path / "mcpweb.db"
    with pytest.raises(StorageUnusable), Database(missing).reading():
        pass
    assert not missing.exists()


def _header(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"\0" * 100)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _page(path: Path) -> None:
    with open(path, "r+b") as file:
        for page in range(1, 40):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)


@pytest.mark.parametrize("damage", [_header, _half, _page])
def test_a_damaged_file_says_so_and_is_never_replaced(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    before = path.read_bytes()
    db = Database(path)
    with pytest.raises(StorageUnusable) as failed, db.reading() as conn:
        conn.execute("SELECT count(*) FROM servers").fetchone()
        conn.execute("SELECT * FROM test_results JOIN servers").fetchall()
    assert "restore" in failed.value.next_step
    db.close()
    assert path.read_bytes() == before


def test_a_busy_database_is_unavailable_and_not_an_internal_error(db: Database) -> None:
    with db.writing():
        other = driver.connect(str(db.path), isolation_level=None, timeout=0)
        with pytest.raises(driver.OperationalError) as busy:
            other.execute("BEGIN IMMEDIATE")
        other.close()
    assert isinstance(failure_of(busy.value, db.path), Unavailable)


def test_an_error_tells_people_neither_sql_nor_values(db: Database) -> None:
    with pytest.raises(Failure) as failed, db.reading() as conn:
        conn.execute("SELECT canary FROM servers WHERE name = 'canary'")
    assert "canary" not in failed.value.sentence


@pytest.mark.parametrize("name", ["with space", "percent%41", "query?mode=memory", "hash#tag", "ünï"])
def test_any_folder_name_will_do(template: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = Path(shutil.copy(template, tmp_path / name / "mcpweb.db"))
    db = Database(path)
    with db.writing() as conn:
        make_server(conn)
    db.close()
    with Database(path).reading() as conn:
        assert conn.execute("SELECT count(*) FROM servers").fetchone()[0] == 1


# Many processes


WRITER = """
import sys, time
from pathlib import Path
from mcpweb.db import Database, driver
db = Database(Path(sys.argv[1]))
until = time.monotonic() + float(sys.argv[2])
worst, wrote = 0.0, 0
while time.monotonic() < until:
    began = time.monotonic()
    with db.writing() as conn:                       # read, then write: what fails with a deferred BEGIN
        row = conn.execute("SELECT level FROM throttle WHERE bucket = 'shared'").fetchone()
        conn.execute("INSERT INTO throttle VALUES ('shared', ?, 0) ON CONFLICT (bucket) DO UPDATE SET level = excluded.level",
                     ((row[0] if row else 0) + 1,))
    wrote += 1
    worst = max(worst, time.monotonic() - began)
    with db.reading() as conn:
        conn.execute("SELECT count(*) FROM throttle").fetchone()
print(wrote, worst)
"""


def test_processes_that_read_then_write_at_once_are_never_locked_out_and_lose_no_update(db: Database) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(db.path), "1.0"], stdout=subprocess.PIPE, text=True,
            cwd=paths.PACKAGE.parent,
        )
        for _ in range(6)
    ]
    said = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 6
    assert all(int(wrote) > 0 for wrote, _ in said)
    with db.reading() as conn:
        level = conn.execute("SELECT level FROM throttle WHERE bucket = 'shared'").fetchone()[0]
    assert level == sum(int(wrote) for wrote, _ in said)


def test_a_deferred_begin_would_fail_where_ours_does_not(db: Database) -> None:
    """The control of the test above: without BEGIN IMMEDIATE, read-then-write loses at once."""
    one, two = (driver.connect(str(db.path), isolation_level=None, timeout=5) for _ in range(2))
    for conn in (one, two):
        conn.execute("BEGIN")
        conn.execute("SELECT count(*) FROM throttle").fetchone()
    one.execute("INSERT INTO throttle VALUES ('a', 1, 1)")
    one.execute("COMMIT")
    with pytest.raises(driver.OperationalError, match="locked"):
        two.execute("INSERT INTO throttle VALUES ('b', 1, 1)")
    one.close()
    two.close()


def test_what_was_acknowledged_survives_a_kill(db: Database) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom mcpweb.db import Database\ndb = Database(Path(sys.argv[1]))\n"
        "for n in range(10**9):\n"
        "    with db.writing() as conn:\n        conn.execute('INSERT INTO throttle VALUES (?, 1, 1)', (sys.argv[2] + str(n),))\n"
        "    print(n, flush=True)\n"
    )
    total = 0
    for kill in range(size(2, 40)):
        arguments = [sys.executable, "-c", script, str(db.path), f"{kill}-"]
        writer = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=paths.PACKAGE.parent)
        assert writer.stdout is not None
        last = 200 + random.randrange(400)
        for line in writer.stdout:
            if int(line) >= last:
                break
        writer.kill()
        said = writer.communicate()[0]  # the last line may be cut, and is no acknowledgement then
        acknowledged = max([int(line) for line in said[: said.rfind("\n") + 1].splitlines()] or [last]) + 1
        total += acknowledged
        with db.reading() as conn:
            stored = conn.execute("SELECT count(*) FROM throttle WHERE bucket LIKE ?", (f"{kill}-%",)).fetchone()[0]
            assert [row[0] for row in conn.execute("PRAGMA integrity_check")] == ["ok"]
        assert acknowledged <= stored <= acknowledged + 1
    print(f"{total} acknowledged writes, none lost")


def test_a_cursor_nobody_read_to_its_end_does_not_hold_the_log(db: Database) -> None:
    with db.writing() as conn:
        for number in range(50):
            make_server(conn, f"server-{number}")
    with db.reading() as conn:
        kept = conn.execute("SELECT name FROM servers ORDER BY created_at")
        kept.fetchone()
    with db.writing() as conn:
        make_server(conn, "one-more")
    checker = driver.connect(str(db.path), isolation_level=None, timeout=0)
    assert checker.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    checker.close()


def test_threads_of_a_process_write_one_after_the_other_and_who_waits_too_long_is_told(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def write() -> None:
        try:
            with db.writing() as conn:
                said.append(str(conn.execute("PRAGMA busy_timeout").fetchone()[0]))
        except Unavailable as failure:
            said.append(failure.detail)
        finally:
            db.close()

    def meanwhile() -> None:
        other = threading.Thread(target=write)
        other.start()
        other.join(5)

    monkeypatch.setattr("mcpweb.db.BUSY_TIMEOUT_MS", 200)
    with db.writing():
        meanwhile()
    meanwhile()
    assert said[0].startswith("The database is busy.") and said[1] == "200"


def test_another_process_that_writes_is_waited_for_and_told_of_in_time(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcpweb.db.BUSY_TIMEOUT_MS", 300)
    other = Database(db.path)  # as another process: it stands in no line with us
    began = time.monotonic()
    with other.writing(), pytest.raises(Unavailable, match="busy"), db.writing():
        pass
    assert 0.3 <= time.monotonic() - began < 5
    with db.writing() as conn:
        assert conn.in_transaction
    other.close()
