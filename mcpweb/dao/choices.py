"""Table ``choices``: what people chose for the whole installation, as opposed to settings, which come from outside."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao import dumps, loads
from mcpweb.db import Connection

FIELDS = "name, value, updated_at, updated_by"


@dataclass(frozen=True)
class Choice:
    name: str
    value: Any
    updated_at: str
    updated_by: str | None


def find(conn: Connection, name: str) -> Choice | None:
    """Return what was chosen, None when nothing was."""
    row = conn.execute(f"SELECT {FIELDS} FROM choices WHERE name = :name", {"name": name}).fetchone()
    return None if row is None else Choice(**(dict(row) | {"value": loads(str(row["value"]))}))  # SQLite gives a number as one


def some(conn: Connection, names: list[str]) -> dict[str, Any]:
    """Return the values of those that were chosen among these."""
    sql = "SELECT name, value FROM choices WHERE name IN (SELECT value FROM json_each(:names))"
    rows = conn.execute(sql, {"names": dumps(names)})
    return {str(row["name"]): loads(str(row["value"])) for row in rows}


def put(conn: Connection, name: str, value: Any, updated_by: str) -> None:
    conn.execute(
        "INSERT INTO choices (name, value, updated_at, updated_by) VALUES (:name, :value, :now, :by) ON CONFLICT (name) "
        "DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        {"name": name, "value": dumps(value), "now": clock.now(), "by": updated_by},
    )
