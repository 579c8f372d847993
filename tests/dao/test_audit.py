"""The audit log: it only grows, and whoever goes round the triggers is named by the chain."""
from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.dao import audit
from mcpweb.db import Connection, Database, driver

APPENDER = """
import sys
from pathlib import Path
from mcpweb.dao import audit
from mcpweb.db import Database
db = Database(Path(sys.argv[1]))
for number in range(50):
    with db.writing() as conn:
        audit.append(conn, actor=sys.argv[2], actor_kind="cli", action="a", target=str(number))
"""
TRIGGERS = ("audit_log_no_update", "audit_log_no_delete", "audit_log_chain", "audit_floor_rises")


def _append(conn: Connection, number: int, **fields: Any) -> audit.AuditRow:
    values = {
        "actor": "cli:me", "actor_kind": "cli", "action": "server.add", "target": f"srv_{number}",
        "detail": {"n": number}, "ip": "127.0.0.1", "request_id": "req_1",
    } | fields
    return audit.append(conn, **values)


@pytest.fixture
def ten(conn: Connection) -> Connection:
    for number in range(1, 11):
        _append(conn, number)
    return conn


def _disarm(conn: Connection) -> None:
    for trigger in TRIGGERS:
        conn.execute(f"DROP TRIGGER {trigger}")


def test_rows_continue_each_other_and_come_back_as_written(ten: Connection) -> None:
    eleven = _append(ten, 11, detail={"z": 1, "a": "ö"})
    rows = audit.listing(ten, limit=2)
    assert rows[0] == eleven
    assert (rows[0].seq, rows[0].prev_hash, rows[0].detail) == (11, rows[1].hash, {"z": 1, "a": "ö"})
    assert audit.verify(ten) == audit.Verification(True, 11)


def test_an_empty_log_is_whole(conn: Connection) -> None:
    assert audit.verify(conn) == audit.Verification(True, 0)


INTO = "INSERT {} INTO audit_log SELECT {}, at, actor, actor_kind, ip, request_id, action, target, detail, {}, 'new' "


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'cli:other' WHERE seq = 5",
        "UPDATE audit_log SET seq = 99 WHERE seq = 10",
        "DELETE FROM audit_log WHERE seq = 5",
        "DELETE FROM audit_log WHERE seq = 10",
        "DELETE FROM audit_log",
        INTO.format("OR REPLACE", "seq", "prev_hash") + "FROM audit_log WHERE seq = 10",
        INTO.format("", "seq + 2", "hash") + "FROM audit_log WHERE seq = 10",
        INTO.format("", "seq + 1", "prev_hash") + "FROM audit_log WHERE seq = 10",
        INTO.format("", "0", "''") + "FROM audit_log WHERE seq = 1",
        INTO.format("", "NULL", "hash") + "FROM audit_log WHERE seq = 9",
        "UPDATE audit_floor SET seq = 10",
        "UPDATE audit_floor SET seq = 5, hash = (SELECT hash FROM audit_log WHERE seq = 5)",
        "DELETE FROM audit_floor",
        "INSERT INTO audit_floor VALUES (2, 10, 'x')",
        "INSERT OR REPLACE INTO audit_floor VALUES (1, 10, 'x')",
    ],
)
def test_the_database_refuses_to_change_remove_replace_skip_or_fork(ten: Connection, statement: str) -> None:
    before = audit.listing(ten, limit=50)
    with pytest.raises(driver.IntegrityError):
        ten.execute(statement)
    assert audit.listing(ten, limit=50) == before
    assert audit.verify(ten).ok
    _append(ten, 11)


@pytest.mark.parametrize(
    "column", ["at", "actor", "actor_kind", "ip", "request_id", "action", "target", "detail", "prev_hash", "hash"]
)
def test_an_edit_of_any_column_behind_the_triggers_is_named(ten: Connection, column: str) -> None:
    _disarm(ten)
    value = '{"n":50}' if column == "detail" else "x" * 64
    ten.execute(f"UPDATE audit_log SET {column} = ? WHERE seq = 5", (value,))
    found = audit.verify(ten)
    assert (found.ok, found.first_bad) == (False, 5)
    assert found.reason


def test_a_row_taken_out_behind_the_triggers_is_named(ten: Connection) -> None:
    _disarm(ten)
    ten.execute("DELETE FROM audit_log WHERE seq = 5")
    found = audit.verify(ten)
    assert (found.ok, found.first_bad) == (False, 5) and "missing" in found.reason


def test_two_rows_that_changed_places_are_named(ten: Connection) -> None:
    _disarm(ten)
    ten.execute("UPDATE audit_log SET seq = CASE seq WHEN 4 THEN -5 WHEN 5 THEN -4 END WHERE seq IN (4, 5)")
    ten.execute("UPDATE audit_log SET seq = -seq WHERE seq < 0")
    assert audit.verify(ten).first_bad == 4


def test_a_first_row_taken_away_is_named(ten: Connection) -> None:
    _disarm(ten)
    ten.execute("DELETE FROM audit_log WHERE seq = 1")
    assert audit.verify(ten).first_bad == 1


def test_text_that_moves_from_one_field_to_the_next_changes_the_hash(conn: Connection) -> None:
    one = _append(conn, 1, action="ab", target="c")
    conn.execute("DROP TRIGGER audit_log_no_update")
    conn.execute("UPDATE audit_log SET action = 'a', target = 'bc' WHERE seq = ?", (one.seq,))
    assert audit.verify(conn).first_bad == one.seq


def test_a_change_that_fails_leaves_no_audit_row_and_the_other_way_round(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.writing() as conn:
        _append(conn, 1)
        _ = 1 / 0
    with db.reading() as conn:
        assert audit.verify(conn).rows == 0


def test_processes_that_append_at_once_never_fork_the_chain(db: Database) -> None:
    appenders = [
        subprocess.Popen([sys.executable, "-c", APPENDER, str(db.path), f"cli:{n}"], cwd=paths.PACKAGE.parent)
        for n in range(4)
    ]
    assert [appender.wait(60) for appender in appenders] == [0] * 4
    with db.reading() as conn:
        assert audit.verify(conn) == audit.Verification(True, 200)


def test_listing_by_actor_action_and_target_and_from_where_the_last_page_ended(ten: Connection) -> None:
    _append(ten, 11, actor="user:usr_1", action="user.add", target="usr_2")
    assert [row.seq for row in audit.listing(ten, limit=3)] == [11, 10, 9]
    assert [row.seq for row in audit.listing(ten, limit=3, before_seq=9)] == [8, 7, 6]
    assert [row.seq for row in audit.listing(ten, audit.Wanted(actor="user:usr_1"))] == [11]
    assert [row.seq for row in audit.listing(ten, audit.Wanted(action="server.add", target="srv_4"))] == [4]
    assert [row.seq for row in audit.from_seq(ten, 4, 2)] == [4, 5]


# Retention


def test_old_rows_go_only_below_a_floor_that_the_log_itself_tells_of(ten: Connection) -> None:
    with pytest.raises(driver.IntegrityError):
        audit.raise_floor(ten, 4)
    _append(ten, 11, action="audit.prune", target="4", detail={"segment": "sha256"})
    audit.raise_floor(ten, 4)
    assert audit.delete_below_floor(ten, 3) == 3
    assert audit.verify(ten) == audit.Verification(True, 7)
    assert audit.delete_below_floor(ten, 3) == 1
    assert audit.delete_below_floor(ten, 3) == 0
    assert audit.verify(ten) == audit.Verification(True, 7)
    with pytest.raises(driver.IntegrityError):
        ten.execute("DELETE FROM audit_log WHERE seq = 5")
    assert _append(ten, 12).seq == 12


def test_the_floor_never_goes_down_or_to_a_row_that_is_not_there(ten: Connection) -> None:
    _append(ten, 11, action="audit.prune", target="4")
    audit.raise_floor(ten, 4)
    for seq in (3, 4, 11, 99):
        with pytest.raises(driver.IntegrityError):
            audit.raise_floor(ten, seq)


def test_an_edit_of_the_first_row_above_the_floor_is_named(ten: Connection) -> None:
    _append(ten, 11, action="audit.prune", target="4")
    audit.raise_floor(ten, 4)
    _disarm(ten)
    ten.execute("UPDATE audit_log SET target = 'x' WHERE seq = 5")
    assert audit.verify(ten).first_bad == 5


@pytest.mark.parametrize("text", ["", "ä", "日本語 \U0001f511", "a\0b", "x" * 300, "12", "1e3", "\\u0000"])
def test_whatever_a_field_holds_it_is_hashed_as_it_was_written(conn: Connection, text: str) -> None:
    for name in ("actor", "actor_kind", "ip", "request_id", "action", "target"):
        audit.append(conn, **{"actor": "a", "actor_kind": "cli", "action": "x.y", "target": "t", name: text})
    audit.append(conn, actor="a", actor_kind="cli", action="x.y", target="t", detail={text: [text, None, 1.5]})
    assert audit.verify(conn) == audit.Verification(True, 7)


def test_the_walk_tells_how_far_it_came(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 12):
        _append(conn, number)
    monkeypatch.setattr(audit, "_CHUNK", 4)
    told: list[int] = []
    assert audit.verify(conn, told.append).ok and told == [4, 8, 11]
