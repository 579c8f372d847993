"""Somebody who reads and does not end: the log grows no further than they keep it, is told of, and is cut once they are gone."""
from __future__ import annotations

from mcpweb.core import Core
from mcpweb.db import driver
from mcpweb.services import health, storage

MIB = 2**20


def fill(core: Core, mebibytes: int) -> None:
    for _ in range(mebibytes):
        with core.db.writing() as conn:
            conn.execute("DELETE FROM throttle")
            conn.executemany("INSERT INTO throttle VALUES (?, 1, 1)", [(f"{n}{'x' * 4000}",) for n in range(256)])


def level(core: Core) -> str:
    return next(one.level for one in health.findings(core) if one.name == "log")


def test_without_a_reader_the_log_stays_short_whatever_is_written(core: Core) -> None:
    fill(core, 40)
    assert storage.wal_size(core.settings.db_path) < storage.WAL_LIMIT and level(core) == "ok"


def test_a_reader_that_stays_is_told_of_and_the_log_is_cut_when_it_is_gone(core: Core) -> None:
    reader = driver.connect(str(core.settings.db_path), isolation_level=None)
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM throttle").fetchone()[0]
    fill(core, 34)
    storage.maintain(core.db)  # nobody waits for the reader
    assert storage.wal_size(core.settings.db_path) > 2 * storage.WAL_LIMIT and level(core) == "warning"
    told = next(one for one in health.findings(core) if one.name == "log")
    assert str(core.settings.db_path) in told.next_step and "MiB" in told.sentence
    assert reader.execute("SELECT count(*) FROM throttle").fetchone()[0] == before  # it sees what it saw
    reader.close()
    storage.maintain(core.db)
    assert storage.wal_size(core.settings.db_path) <= 4 * MIB and level(core) == "ok"
