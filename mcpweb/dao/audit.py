"""Table ``audit_log``: append-only, each row hashed with the one before it.

hash = SHA-256 over a domain tag, the byte lengths of all fields (4 bytes each) and the fields, so that no two rows
come down to the same bytes.
"""
from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from mcpweb import clock
from mcpweb.db import Connection, driver

FIELDS = "seq, at, actor, actor_kind, ip, request_id, action, target, detail, prev_hash, hash"
_TAG = b"mcpweb audit 1"
_HASHED = FIELDS.split(", ")[:10]
_BYTES = "octet_length({})" if driver.version >= (3, 43) else "length(CAST({} AS BLOB))"
_VERIFIED = (
    f"SELECT seq, prev_hash, hash, CAST({' || '.join(_HASHED)} AS BLOB), {', '.join(map(_BYTES.format, _HASHED))} "
    "FROM audit_log WHERE seq > :floor ORDER BY seq"
)
_CHUNK = 2000
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
class Wanted:
    """Which rows are asked for; ``since`` and ``until`` are times, the first included, the last not."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: str | None = None
    until: str | None = None


EVERY = Wanted()


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


def canonical(detail: Mapping[str, Any]) -> str:
    """Return a detail as rows hold it and as it is hashed."""
    return json.dumps(detail, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def row_hash(row: Mapping[str, Any]) -> str:
    """Return the hash of a row given as a mapping of its fields. Raises KeyError, TypeError."""
    fields = {**row, "detail": canonical(row["detail"])}
    return _hash([str(fields[name]).encode() for name in _HASHED])


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
    text = canonical(detail or {})
    fields = (head[0] + 1, clock.now(), actor, actor_kind, ip, request_id, action, target, text, head[1])
    row = (*fields, _hash([str(field).encode() for field in fields]))
    conn.execute(f"INSERT INTO audit_log ({FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    return _read(dict(zip(FIELDS.split(", "), row, strict=True)))


def listing(conn: Connection, wanted: Wanted = EVERY, *, before_seq: int | None = None, limit: int = 50) -> list[AuditRow]:
    """Return rows, newest first."""
    clauses, bound = _filters(conn, wanted)
    clauses.append("seq < :before_seq")
    bound |= {"limit": limit, "before_seq": _END if before_seq is None else before_seq}
    sql = f"SELECT {FIELDS} FROM audit_log WHERE {' AND '.join(clauses)} ORDER BY seq DESC LIMIT :limit"
    return [_read(row) for row in conn.execute(sql, bound)]


def _filters(conn: Connection, wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    clauses: list[str] = []
    bound: dict[str, Any] = {}
    for column, value in (("actor", wanted.actor), ("action", wanted.action), ("target", wanted.target)):
        if value is not None:
            clauses.append(f"{column} = :{column}")
            bound[column] = value
    for name, clause, time in (("since", "seq >= :since", wanted.since), ("until", "seq < :until", wanted.until)):
        if time is not None:
            clauses.append(clause)
            bound[name] = first_at(conn, time)
    return clauses, bound


def from_seq(conn: Connection, first: int, limit: int, wanted: Wanted = EVERY) -> list[AuditRow]:
    """Return rows from a number on, oldest first."""
    clauses, bound = _filters(conn, wanted)
    sql = f"SELECT {FIELDS} FROM audit_log WHERE {' AND '.join([*clauses, 'seq >= :first'])} ORDER BY seq LIMIT :limit"
    return [_read(row) for row in conn.execute(sql, {**bound, "first": first, "limit": limit})]


def newest(conn: Connection, action: str, target: str | None = None) -> AuditRow | None:
    """Return the newest row of an action, None when there is none."""
    found = listing(conn, Wanted(action=action, target=target), limit=1)
    return found[0] if found else None


def verify(conn: Connection, tell: Callable[[int], object] = lambda rows: None) -> Verification:
    """Walk the whole chain and name the first row that does not fit; ``tell`` hears now and then how many rows did.

    SQLite joins the fields of a row and counts their bytes, so that one object a row is hashed and not ten.
    """
    floor, prev = conn.execute("SELECT seq, hash FROM audit_floor").fetchone()
    seq = floor
    cursor = conn.cursor()
    cursor.row_factory = None
    cursor.execute(_VERIFIED, {"floor": floor})
    pack, tag = _LENGTHS.pack, _TAG
    while rows := cursor.fetchmany(_CHUNK):
        # ten sizes by their names: a slice of the row would cost as much as a third of its hash
        for number, before, hash_, fields, a, b, c, d, e, f, g, h, i, j in rows:
            fits = number == seq + 1 and before == prev and fields is not None  # there are none where one of them is null
            if fits and sha256(tag + pack(a, b, c, d, e, f, g, h, i, j) + fields).hexdigest() == hash_:
                seq, prev = number, hash_
                continue
            bad, reason = number, "its content does not match its hash"
            if number != seq + 1:
                bad, reason = seq + 1, f"row {seq + 1} is missing; the next one is {number}"
            elif before != prev:
                reason = "it does not continue the row before it"
            return Verification(False, seq - floor, bad, reason)
        tell(seq - floor)
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
    row = conn.execute("SELECT seq, hash FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)").fetchone()
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


def first_at(conn: Connection, at: str) -> int:
    """Return the number of the first row written at or after a time; one more than the newest when there is none.

    Rows are numbered as they were written, so halving the range finds it in some twenty looks, however long the log. Where
    the clock was set back, rows of those hours count to one side or the other.
    """
    low, high = floor(conn)[0] + 1, head(conn)[0] + 1
    while low < high:
        middle = (low + high) // 2
        row = conn.execute("SELECT at FROM audit_log WHERE seq = :seq", {"seq": middle}).fetchone()
        if row is None or row[0] < at:
            low = middle + 1
        else:
            high = middle
    return low
