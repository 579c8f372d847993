"""Tables ``pins`` and ``pin_changes``: what was approved of a server, and what it says now that differs."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mcpweb.dao import columns, dumps, loads, parameters
from mcpweb.db import Connection

FIELDS = "server_id, kind, name, hash, approved_at, approved_by, definition"
CHANGE_FIELDS = "server_id, kind, name, change, hash, seen_at, definition"


@dataclass(frozen=True)
class PinRow:
    """One approved definition; the hash is of what was received, the definition is stored without secrets."""

    server_id: str
    kind: str
    name: str
    hash: str
    approved_at: str
    approved_by: str
    definition: Any


@dataclass(frozen=True)
class PinChange:
    """One difference from what was approved; without a definition for what is gone."""

    server_id: str
    kind: str
    name: str
    change: str
    hash: str
    seen_at: str
    definition: Any


@dataclass(frozen=True)
class PinState:
    """A pin beside what is served now: approved, changed or removed since, or added without approval."""

    server_id: str
    kind: str
    name: str
    state: str
    hash: str | None
    approved_at: str | None
    approved_by: str | None
    definition: Any
    current_hash: str | None
    seen_at: str | None
    current_definition: Any


def _read(row: Mapping[str, Any]) -> PinRow:
    return PinRow(**(dict(row) | {"definition": loads(row["definition"])}))


def _read_change(row: Mapping[str, Any]) -> PinChange:
    return PinChange(**(dict(row) | {"definition": loads(row["definition"])}))


def put(conn: Connection, rows: Iterable[PinRow]) -> None:
    """Approve these definitions; what was approved of the same kind and name before is replaced."""
    fields = [asdict(row) | {"definition": dumps(row.definition)} for row in rows]
    if fields:
        conn.executemany(f"INSERT OR REPLACE INTO pins ({columns(fields[0])}) VALUES ({parameters(fields[0])})", fields)


def delete(conn: Connection, server_id: str, kind: str, name: str) -> None:
    conn.execute(
        "DELETE FROM pins WHERE server_id = :id AND kind = :kind AND name = :name", {"id": server_id, "kind": kind, "name": name}
    )


def listing(conn: Connection, server_id: str) -> list[PinRow]:
    sql = f"SELECT {FIELDS} FROM pins WHERE server_id = :id ORDER BY kind, name"
    return [_read(row) for row in conn.execute(sql, {"id": server_id})]


def hashes(conn: Connection, server_id: str) -> dict[tuple[str, str], str]:
    """Return the approved hashes by kind and name."""
    rows = conn.execute("SELECT kind, name, hash FROM pins WHERE server_id = :id", {"id": server_id})
    return {(row[0], row[1]): row[2] for row in rows}


def count(conn: Connection, server_id: str) -> int:
    """Return how many things of a server were approved."""
    return int(conn.execute("SELECT count(*) FROM pins WHERE server_id = :id", {"id": server_id}).fetchone()[0])


def set_changes(conn: Connection, server_id: str, kinds: Sequence[str], rows: Iterable[PinChange]) -> None:
    """Store what differs of these kinds; what differed before does not any more."""
    conn.execute(
        "DELETE FROM pin_changes WHERE server_id = :id AND kind IN (SELECT value FROM json_each(:kinds))",
        {"id": server_id, "kinds": dumps(list(kinds))},
    )
    fields = [asdict(row) | {"definition": None if row.change == "removed" else dumps(row.definition)} for row in rows]
    if fields:
        conn.executemany(f"INSERT INTO pin_changes ({columns(fields[0])}) VALUES ({parameters(fields[0])})", fields)


def delete_change(conn: Connection, server_id: str, kind: str, name: str) -> None:
    conn.execute(
        "DELETE FROM pin_changes WHERE server_id = :id AND kind = :kind AND name = :name",
        {"id": server_id, "kind": kind, "name": name},
    )


def changes(conn: Connection, server_id: str) -> list[PinChange]:
    sql = f"SELECT {CHANGE_FIELDS} FROM pin_changes WHERE server_id = :id ORDER BY kind, name"
    return [_read_change(row) for row in conn.execute(sql, {"id": server_id})]


def change_hashes(conn: Connection, server_id: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return which way each thing differs, and the hash it has now, by kind and name."""
    rows = conn.execute("SELECT kind, name, change, hash FROM pin_changes WHERE server_id = :id", {"id": server_id})
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def change_of(conn: Connection, server_id: str, kind: str, name: str) -> str | None:
    """Return how one thing differs from what was approved, None when it does not."""
    row = conn.execute(
        "SELECT change FROM pin_changes WHERE server_id = :id AND kind = :kind AND name = :name",
        {"id": server_id, "kind": kind, "name": name},
    ).fetchone()
    return None if row is None else row[0]


def change_counts(conn: Connection, server_id: str) -> dict[str, int]:
    """Return how many things were added, changed and removed since they were approved."""
    counts: dict[str, int] = {}
    for row in conn.execute("SELECT change FROM pin_changes WHERE server_id = :id", {"id": server_id}):
        counts[row[0]] = counts.get(row[0], 0) + 1
    return counts


Place = tuple[str, str, str]
"""Server, kind and name: where the next page of states begins."""


def states(
    conn: Connection, *, after: Place | None = None, limit: int = 50, server_id: str | None = None, kind: str | None = None
) -> tuple[list[PinState], Place | None]:
    """Return pins and what differs from them, of one server or of all that are not removed, by server, kind and name."""
    where = ["({0}.server_id, {0}.kind, {0}.name) > (:after_server, :after_kind, :after_name)"]
    start = after or ("", "", "")
    bound: dict[str, Any] = {"after_server": start[0], "after_kind": start[1], "after_name": start[2], "limit": limit + 1}
    if server_id is not None:
        where.append("{0}.server_id = :server_id")
        bound["server_id"] = server_id
    else:
        where.append("EXISTS (SELECT 1 FROM servers WHERE servers.id = {0}.server_id AND servers.removed_at IS NULL)")
    if kind is not None:
        where.append("+{0}.kind = :kind")  # the plus: a kind that is known breaks the order the key gives
        bound["kind"] = kind
    clauses = " AND ".join(where)
    sql = (
        "SELECT pins.server_id AS server_id, pins.kind AS kind, pins.name AS name, coalesce(now.change, 'approved') AS state, "
        "pins.hash AS hash, pins.approved_at AS approved_at, pins.approved_by AS approved_by, pins.definition AS definition, "
        "iif(now.change = 'changed', now.hash, NULL) AS current_hash, now.seen_at AS seen_at, "
        "now.definition AS current_definition FROM pins LEFT JOIN pin_changes AS now "
        "ON now.server_id = pins.server_id AND now.kind = pins.kind AND now.name = pins.name "
        f"WHERE {clauses.format('pins')} UNION ALL "
        "SELECT server_id, kind, name, change, NULL, NULL, NULL, NULL, hash, seen_at, definition FROM pin_changes "
        f"WHERE change = 'added' AND {clauses.format('pin_changes')} ORDER BY server_id, kind, name LIMIT :limit"
    )
    rows = [
        PinState(**(dict(row) | {name: loads(row[name]) for name in ("definition", "current_definition")}))
        for row in conn.execute(sql, bound)
    ]
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], (last.server_id, last.kind, last.name) if last is not None else None


def changed_servers(conn: Connection, server_ids: Sequence[str]) -> set[str]:
    """Return which of these servers are not what was approved."""
    rows = conn.execute(
        "SELECT value FROM json_each(:ids) AS wanted WHERE EXISTS "
        "(SELECT 1 FROM pin_changes WHERE server_id = wanted.value)",
        {"ids": dumps(list(server_ids))},
    )
    return {row[0] for row in rows}
