"""Table ``observations``: what was last seen of the world around us (the engine, the worker)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao import dumps, loads
from mcpweb.db import Connection


@dataclass(frozen=True)
class Observation:
    """``since`` is when ``value["state"]`` last changed, ``at`` when it was last looked at."""

    name: str
    value: dict[str, Any]
    since: str
    at: str

    @property
    def state(self) -> str:
        return str(self.value.get("state", ""))


def put(conn: Connection, name: str, value: dict[str, Any]) -> None:
    conn.execute(
        "INSERT INTO observations (name, value, since, at) VALUES (:name, :value, :now, :now) "
        "ON CONFLICT (name) DO UPDATE SET at = :now, value = excluded.value, "
        "since = iif(value ->> 'state' IS excluded.value ->> 'state', since, :now)",
        {"name": name, "value": dumps(value), "now": clock.now()},
    )


def get(conn: Connection, name: str) -> Observation | None:
    row = conn.execute("SELECT name, value, since, at FROM observations WHERE name = :name", {"name": name}).fetchone()
    return None if row is None else Observation(**(dict(row) | {"value": loads(row["value"])}))


def several(conn: Connection, *names: str) -> list[Observation | None]:
    """Return observations in the order of their names, None for what was not looked at yet."""
    sql = "SELECT name, value, since, at FROM observations WHERE name IN (SELECT value FROM json_each(:names))"
    found = {
        row["name"]: Observation(**(dict(row) | {"value": loads(row["value"])}))
        for row in conn.execute(sql, {"names": dumps(names)})
    }
    return [found.get(name) for name in names]
