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


def changed_servers(conn: Connection, server_ids: Sequence[str]) -> set[str]:
    """Return which of these servers are not what was approved."""
    rows = conn.execute(
        "SELECT value FROM json_each(:ids) AS wanted WHERE EXISTS "
        "(SELECT 1 FROM pin_changes WHERE server_id = wanted.value)",
        {"ids": dumps(list(server_ids))},
    )
    return {row[0] for row in rows}
