"""Whatever somebody with the database in hand does to the audit log, verify names the row; an untouched log passes."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mcpweb import checkpoints, paths
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core, open_core
from mcpweb.dao import audit as rows
from mcpweb.db import Connection
from mcpweb.services import accounts, audit, backups, secrets
from mcpweb.services import servers as server_service
from mcpweb.testing.fixtures import MakeServer

ME = Actor.cli("tester")


@pytest.fixture
def log(core: Core) -> int:
    """Twenty rows, the last but two of them signed; returns how many were signed."""
    with core.db.writing() as conn:
        while rows.head(conn)[0] < 18:
            rows.append(conn, actor="cli:me", actor_kind="cli", action="x.y", target="t", detail={"n": 1}, ip="::1", request_id="r")
    assert core.sign_audit()
    with core.db.writing() as conn:
        for _ in range(2):
            rows.append(conn, actor="cli:me", actor_kind="cli", action="x.y", target="t")
    return 18


def tampered(core: Core, change: Callable[[Connection], object]) -> None:
    """Do what somebody does who can write SQL: take the triggers away, change, put them back."""
    with core.db.writing() as conn:
        kept = conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit%'").fetchall()
        for name, _ in kept:
            conn.execute(f"DROP TRIGGER {name}")
        change(conn)
        for _, sql in kept:
            conn.execute(sql)


def test_an_untouched_log_passes(core: Core, log: int) -> None:
    assert audit.verify(core, ME) == {"ok": True, "rows": log + 2, "first_bad": None, "reason": "", "checkpoints": 1}


@pytest.mark.parametrize("column", ["at", "actor", "actor_kind", "ip", "request_id", "action", "target", "detail", "prev_hash", "hash"])
def test_an_edit_of_any_column_is_found_at_its_row(core: Core, log: int, column: str) -> None:
    tampered(core, lambda conn: conn.execute(f"UPDATE audit_log SET {column} = '0' WHERE seq = 7"))
    found = audit.verify(core, ME)
    assert not found["ok"] and found["first_bad"] in (7, 8 if column == "hash" else 7)


def rehashed(conn: Connection) -> None:
    """Write the whole chain anew after an edit, as somebody would who knows how it is made."""
    conn.execute("UPDATE audit_log SET target = 'other' WHERE seq = 7")
    prev = conn.execute("SELECT hash FROM audit_log WHERE seq = 6").fetchone()[0]
    for row in conn.execute(f"SELECT {rows.FIELDS} FROM audit_log WHERE seq >= 7 ORDER BY seq").fetchall():
        fields = [*list(row)[:9], prev]
        prev_before, prev = prev, rows._hash([str(field).encode() for field in fields])
        conn.execute("UPDATE audit_log SET prev_hash = ?, hash = ? WHERE seq = ?", (prev_before, prev, row["seq"]))


CHANGES: dict[str, tuple[Callable[[Connection], object], int]] = {
    "a deleted row": (lambda conn: conn.execute("DELETE FROM audit_log WHERE seq = 5"), 5),
    "the first row deleted": (lambda conn: conn.execute("DELETE FROM audit_log WHERE seq = 1"), 1),
    "two rows swapped": (
        lambda conn: [
            conn.execute("UPDATE audit_log SET seq = :to WHERE seq = :from", {"from": a, "to": b})
            for a, b in ((5, 900), (6, 5), (900, 6))
        ], 5,
    ),
    "a row put in": (
        lambda conn: conn.execute(
            "INSERT INTO audit_log SELECT 21, at, actor, actor_kind, ip, request_id, action, target, detail, prev_hash, 'h' "
            "FROM audit_log WHERE seq = 20"
        ), 21,
    ),
    "the tail cut at the checkpoint": (lambda conn: conn.execute("DELETE FROM audit_log WHERE seq >= 18"), 18),
    "the tail cut before it": (lambda conn: conn.execute("DELETE FROM audit_log WHERE seq > 9"), 10),
    "everything deleted": (lambda conn: conn.execute("DELETE FROM audit_log"), 1),
    "a chain written anew": (rehashed, 18),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_deleted_put_in_moved_or_cut_is_found_at_its_row(core: Core, log: int, name: str) -> None:
    change, bad = CHANGES[name]
    tampered(core, change)
    found = audit.verify(core, ME)
    assert (found["ok"], found["first_bad"]) == (False, bad) and found["reason"]


def test_what_is_cut_after_the_last_checkpoint_cannot_be_seen(core: Core, log: int) -> None:
    """The stated limit: this is why checkpoints come often."""
    tampered(core, lambda conn: conn.execute("DELETE FROM audit_log WHERE seq > 18"))
    assert audit.verify(core, ME)["ok"]


@pytest.mark.parametrize("trigger", sorted(rows.TRIGGERS))
def test_a_dropped_trigger_is_named(core: Core, log: int, trigger: str) -> None:
    with core.db.writing() as conn:
        conn.execute(f"DROP TRIGGER {trigger}")
    found = audit.verify(core, ME)
    assert not found["ok"] and trigger in found["reason"]


def test_a_changed_cut_or_foreign_line_of_checkpoints_is_named(core: Core, log: int, tmp_path: Path) -> None:
    core.sign_audit()
    path = checkpoints.path_of(core.settings)
    lines = path.read_text().splitlines()
    assert len(lines) == 2 and audit.verify(core, ME)["ok"] and path.stat().st_mode & 0o777 == 0o600
    first = json.loads(lines[0])
    for spoiled in (
        [json.dumps(first | {"size": 3}), lines[1]], [lines[1]], [lines[0], "{}"], [lines[0], "x"],
        [json.dumps(first | {"signature": "AAAA"}), lines[1]],
    ):
        path.write_text("\n".join(spoiled) + "\n")
        assert not audit.verify(core, ME)["ok"], spoiled
    path.write_text("\n".join(lines) + "\n")
    assert audit.verify(core, ME)["ok"]


def test_keys_secrets_and_people_are_signed_at_once_and_the_rest_within_the_rule(core: Core, actor: Actor, make_server: MakeServer) -> None:
    def newest() -> int:
        kept = checkpoints.last(core.settings)
        return kept.size if kept else 0

    def head() -> int:
        with core.db.reading() as conn:
            return rows.head(conn)[0]

    secrets.add(core, actor, name="A", value=Sensitive("some value"))
    assert newest() == head()
    accounts.add_user(core, actor, name="someone", role="viewer", password="a long pass phrase")
    assert newest() == head()
    make_server("one")
    assert newest() < head() and not audit.due(core)
    with core.db.writing() as conn:
        for _ in range(audit.ROWS):
            rows.append(conn, actor="a", actor_kind="cli", action="x", target="y")
    assert audit.due(core) and core.sign_audit() and not audit.due(core) and not core.sign_audit()


def test_a_restored_backup_is_not_taken_for_a_cut_log(core: Core, actor: Actor, log: int, tmp_path: Path) -> None:
    backups.backup(core, actor, tmp_path / "kept.db")
    for number in range(3):
        secrets.add(core, actor, name=f"S{number}", value=Sensitive("some value"))
    settings = core.settings
    core.close()
    backups.restore(settings, [("core", paths.SQL)], tmp_path / "kept.db", actor=ME)
    again = open_core(settings)
    assert audit.verify(again, ME)["ok"]
    again.close()


def test_a_failed_audit_write_stops_the_action(core: Core, actor: Actor, make_server: MakeServer) -> None:
    make_server("one")
    with core.db.writing() as conn:
        conn.execute("CREATE TRIGGER audit_full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no room'); END")
    actions: list[Callable[[], object]] = [
        lambda: server_service.add(core, actor, name="two", image="tiny:1"),
        lambda: secrets.add(core, actor, name="A", value=Sensitive("some value")),
        lambda: accounts.add_user(core, actor, name="someone", role="viewer", password="a long pass phrase"),
        lambda: server_service.request(core, actor, "one", "start"),
    ]
    for action in actions:
        with pytest.raises(Exception, match="no room"):
            action()
    with core.db.reading() as conn:
        for table, count in (("servers", 1), ("secrets", 0), ("users", 0), ("jobs", 0)):
            assert conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == count, table
