"""Table ``audit_log``: append-only, each row hashed with the one before it.

hash = SHA-256 over a domain tag and all fields, each with a 4-byte length in front, so that no two rows can be
written two ways.
"""
from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.db import Connection

FIELDS = "seq, at, actor, actor_kind, ip, request_id, action, target, detail, prev_hash, hash"
_TAG = b"mcpweb audit 1"
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class AuditRow:
    seq: int
    at: str
    actor: str
    actor_kind: str
    ip: str
    request_id: str
    action: str
    target: str
    detail: dict[str, Any]
    prev_hash: str
    hash: str


@dataclass(frozen=True)
class Verification:
    """``first_bad`` is the first row that does not fit, with the reason."""

    ok: bool
    rows: int
    first_bad: int | None = None
    reason: str = ""


def _read(row: Mapping[str, Any]) -> AuditRow:
    return AuditRow(**(dict(row) | {"detail": json.loads(row["detail"])}))


def _hash(fields: tuple[Any, ...]) -> str:
    total = hashlib.sha256(_TAG)
    for field in fields:
        data = str(field).encode()
        total.update(_LENGTH.pack(len(data)) + data)
    return total.hexdigest()


def append(
    conn: Connection,
    *,
    actor: str,
    actor_kind: str,
    action: str,
    target: str,
    detail: Mapping[str, Any] | None = None,
    ip: str = "",
    request_id: str = "",
) -> None:
    """Append a row in the caller's transaction; when this fails the change must fail with it."""
    head = conn.execute("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetchone()
    if head is None:
        head = conn.execute("SELECT seq, hash FROM audit_floor").fetchone()
    text = json.dumps(detail or {}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    fields = (head[0] + 1, clock.now(), actor, actor_kind, ip, request_id, action, target, text, head[1])
    conn.execute(
        f"INSERT INTO audit_log ({FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (*fields, _hash(fields)),
    )


def listing(
    conn: Connection,
    *,
    before_seq: int | None = None,
    limit: int = 50,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
) -> list[AuditRow]:
    """Return rows, newest first."""
    clauses, bound = [], {"limit": limit}  # type: ignore[var-annotated]
    for column, value in (("actor", actor), ("action", action), ("target", target)):
        if value is not None:
            clauses.append(f"{column} = :{column}")
            bound[column] = value
    if before_seq is not None:
        clauses.append("seq < :before_seq")
        bound["before_seq"] = before_seq
    condition = f"WHERE {' AND '.join(clauses)} " if clauses else ""
    sql = f"SELECT {FIELDS} FROM audit_log {condition}ORDER BY seq DESC LIMIT :limit"  # noqa: S608
    return [_read(row) for row in conn.execute(sql, bound)]


def from_seq(conn: Connection, first: int, limit: int) -> list[AuditRow]:
    """Return rows from a number on, oldest first."""
    sql = f"SELECT {FIELDS} FROM audit_log WHERE seq >= :first ORDER BY seq LIMIT :limit"  # noqa: S608
    return [_read(row) for row in conn.execute(sql, {"first": first, "limit": limit})]


def verify(conn: Connection) -> Verification:
    """Walk the whole chain and name the first row that does not fit."""
    seq, prev = conn.execute("SELECT seq, hash FROM audit_floor").fetchone()
    rows = 0
    for row in conn.execute(f"SELECT {FIELDS} FROM audit_log WHERE seq > ? ORDER BY seq", (seq,)):  # noqa: S608
        if row[0] != seq + 1:
            return Verification(False, rows, seq + 1, f"row {seq + 1} is missing; the next one is {row[0]}")
        if row[9] != prev:
            return Verification(False, rows, row[0], "it does not continue the row before it")
        if _hash(tuple(row)[:10]) != row[10]:
            return Verification(False, rows, row[0], "its content does not match its hash")
        seq, prev = row[0], row[10]
        rows += 1
    return Verification(True, rows)
