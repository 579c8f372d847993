"""Table ``tools``: the tool definitions of a server as last received."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao import contains, dumps, loads
from mcpweb.db import Connection
from mcpweb.errors import NotFound

FIELDS = "server_id, name, position, definition, seen_at"


@dataclass(frozen=True)
class Tool:
    server_id: str
    name: str
    position: int
    definition: dict[str, Any]
    seen_at: str


def _read(row: Mapping[str, Any]) -> Tool:
    return Tool(**(dict(row) | {"definition": loads(row["definition"])}))


def replace(conn: Connection, server_id: str, definitions: Sequence[Mapping[str, Any]]) -> None:
    """Store the list as received, in its order."""
    conn.execute("DELETE FROM tools WHERE server_id = :id", {"id": server_id})
    now = clock.now()
    conn.executemany(
        "INSERT INTO tools (server_id, name, position, definition, seen_at) "
        "VALUES (:server_id, :name, :position, :definition, :seen_at)",
        [
            {
                "server_id": server_id, "name": str(d.get("name", "")), "position": at, "definition": dumps(d),
                "seen_at": now,
            }
            for at, d in enumerate(definitions)
        ],
    )


def listing(conn: Connection, server_id: str) -> list[Tool]:
    sql = f"SELECT {FIELDS} FROM tools WHERE server_id = :id ORDER BY position"
    return [_read(row) for row in conn.execute(sql, {"id": server_id})]


def search(conn: Connection, part: str, limit: int) -> list[tuple[str, str, str]]:
    """Return tools whose name holds the text as (tool, server id, server name), those of the newest servers first."""
    rows = conn.execute(
        "SELECT tools.name, servers.id, servers.name FROM servers CROSS JOIN tools ON tools.server_id = servers.id "
        "WHERE servers.removed_at IS NULL AND (servers.created_at, servers.id) < ('9999-12-31', '') "
        "AND tools.name LIKE :part ESCAPE '!' "
        "ORDER BY servers.created_at DESC, servers.id DESC LIMIT :limit",
        {"part": contains(part), "limit": limit},
    )
    return [(row[0], row[1], row[2]) for row in rows]


def of_others(conn: Connection, server_id: str, *, most_bytes: int) -> dict[str, list[dict[str, Any]]]:
    """Return the definitions of every other server by its name, until they are ``most_bytes`` long."""
    rows = conn.execute(
        "SELECT servers.name, tools.definition FROM tools JOIN servers ON servers.id = tools.server_id "
        "WHERE servers.id <> :id AND servers.removed_at IS NULL ORDER BY servers.name, tools.position",
        {"id": server_id},
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for name, definition in rows:
        most_bytes -= len(definition)
        if most_bytes < 0:
            break
        found.setdefault(name, []).append(loads(definition))
    return found


def names(conn: Connection, server_id: str) -> list[str]:
    return [row[0] for row in conn.execute("SELECT name FROM tools WHERE server_id = :id", {"id": server_id})]


def find(conn: Connection, server_id: str, name: str) -> Tool | None:
    sql = f"SELECT {FIELDS} FROM tools WHERE server_id = :id AND name = :name LIMIT 1"
    row = conn.execute(sql, {"id": server_id, "name": name}).fetchone()
    return None if row is None else _read(row)


def get(conn: Connection, server_id: str, name: str) -> Tool:
    tool = find(conn, server_id, name)
    if tool is None:
        raise NotFound(f"The server has no tool {name}.")
    return tool


def any_of(conn: Connection, server_id: str) -> bool:
    """Tell whether a list of this server is stored."""
    return conn.execute("SELECT 1 FROM tools WHERE server_id = :id LIMIT 1", {"id": server_id}).fetchone() is not None
