"""Table ``audit_log``: append-only, each row hashed with the one before it.

hash = SHA-256 over a domain tag, the byte lengths of all fields (4 bytes each) and the fields, so that no two rows
come down to the same bytes.
"""
from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from mcpweb import clock
from mcpweb.db import Connection

FIELDS = "seq, at, actor, actor_kind, ip, request_id, action, target, detail, prev_hash, hash"
_TAG = b"mcpweb audit 1"
_VERIFIED = (
    "SELECT " + ", ".join(f"CAST({name} AS BLOB)" for name in FIELDS.split(", ")[:10])
    + ", seq, prev_hash, hash FROM audit_log WHERE seq > :floor ORDER BY seq"
)
_END = 2**62
_LENGTHS = struct.Struct(">10I")


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


def _hash(parts: Sequence[bytes]) -> str:
    return sha256(_TAG + _LENGTHS.pack(*map(len, parts)) + b"".join(parts)).hexdigest()


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
) -> AuditRow:
    """Append a row in the caller's transaction and return it; when this fails the change must fail with it."""
    head = conn.execute("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetchone()
    if head is None:
        head = conn.execute("SELECT seq, hash FROM audit_floor").fetchone()
    text = json.dumps(detail or {}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    fields = (head[0] + 1, clock.now(), actor, actor_kind, ip, request_id, action, target, text, head[1])
    row = (*fields, _hash([str(field).encode() for field in fields]))
    conn.execute(f"INSERT INTO audit_log ({FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    return _read(dict(zip(FIELDS.split(", "), row, strict=True)))


def listing(
    conn: Connection,
    *,
    before_seq: int | None = None,
    limit: int = 50,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> list[AuditRow]:
    """Return rows, newest first; ``since`` and ``until`` are times, the first included, the last not."""
    clauses = ["seq < :before_seq"]
    bound: dict[str, Any] = {"limit": limit, "before_seq": _END if before_seq is None else before_seq}
    for column, value in (("actor", actor), ("action", action), ("target", target)):
        if value is not None:
            clauses.append(f"{column} = :{column}")
            bound[column] = value
    for name, clause, time in (("since", "at >= :since", since), ("until", "at < :until", until)):
        if time is not None:
            clauses.append(clause)
            bound[name] = time
    sql = f"SELECT {FIELDS} FROM audit_log WHERE {' AND '.join(clauses)} ORDER BY seq DESC LIMIT :limit"
    return [_read(row) for row in conn.execute(sql, bound)]


def from_seq(conn: Connection, first: int, limit: int) -> list[AuditRow]:
    """Return rows from a number on, oldest first."""
    sql = f"SELECT {FIELDS} FROM audit_log WHERE seq >= :first ORDER BY seq LIMIT :limit"
    return [_read(row) for row in conn.execute(sql, {"first": first, "limit": limit})]


def verify(conn: Connection) -> Verification:
    """Walk the whole chain and name the first row that does not fit.

    The fields come as bytes, ready to be hashed: decoding and encoding each would cost as much as the hashes.
    """
    floor, prev = conn.execute("SELECT seq, hash FROM audit_floor").fetchone()
    seq = floor
    cursor = conn.cursor()
    cursor.row_factory = None
    for row in cursor.execute(_VERIFIED, {"floor": floor}):
        if row[10] == seq + 1 and row[11] == prev and _hash(row[:10]) == row[12]:
            seq, prev = row[10], row[12]
            continue
        number, reason = row[10], "its content does not match its hash"
        if number != seq + 1:
            number, reason = seq + 1, f"row {seq + 1} is missing; the next one is {number}"
        elif row[11] != prev:
            reason = "it does not continue the row before it"
        return Verification(False, seq - floor, number, reason)
    return Verification(True, seq - floor)


def raise_floor(conn: Connection, seq: int) -> None:
    """Let rows up to ``seq`` be deleted; an ``audit.prune`` row above it must say so first."""
    conn.execute(
        "UPDATE audit_floor SET seq = :seq, hash = (SELECT hash FROM audit_log WHERE seq = :seq) WHERE id = 1",
        {"seq": seq},
    )


def delete_below_floor(conn: Connection, limit: int) -> int:
    """Delete some rows at or below the floor, oldest first, and return how many."""
    return conn.execute(
        "DELETE FROM audit_log WHERE seq IN (SELECT seq FROM audit_log WHERE seq <= (SELECT seq FROM audit_floor) "
        "ORDER BY seq LIMIT :limit)",
        {"limit": limit},
    ).rowcount


TRIGGERS = frozenset({
    "audit_floor_one_row", "audit_floor_stays", "audit_floor_rises", "audit_log_no_update", "audit_log_no_delete",
    "audit_log_chain",
})
"""What keeps the log append-only; a missing one means that somebody could have changed rows by SQL."""


def missing_triggers(conn: Connection) -> list[str]:
    """Return the names of triggers that are gone or do something else now."""
    sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit%'"
    there = {row[0] for row in conn.execute(sql) if "RAISE(ABORT" in row[1]}
    return sorted(TRIGGERS - there)


def head(conn: Connection) -> tuple[int, str]:
    """Return the number and the hash of the newest row; those of the floor when there is none above it."""
    row = conn.execute("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetchone()
    if row is None:
        row = conn.execute("SELECT seq, hash FROM audit_floor").fetchone()
    return row[0], row[1]


def hash_at(conn: Connection, seq: int) -> str | None:
    """Return the hash of a row, None when it is not there."""
    row = conn.execute("SELECT hash FROM audit_log WHERE seq = :seq", {"seq": seq}).fetchone()
    return None if row is None else str(row[0])


def floor(conn: Connection) -> tuple[int, str]:
    """Return the number and the hash of the last row that may have been deleted."""
    row = conn.execute("SELECT seq, hash FROM audit_floor").fetchone()
    return row[0], row[1]


def last_before(conn: Connection, at: str) -> int:
    """Return the number of the last row written before a time, 0 when there is none."""
    sql = "SELECT seq FROM audit_log WHERE at < :at ORDER BY seq DESC LIMIT 1"
    row = conn.execute(sql, {"at": at}).fetchone()
    return 0 if row is None else int(row[0])
