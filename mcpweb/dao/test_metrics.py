"""Table ``test_metrics``: numbers that runs measured, as series per server, name and tool."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcpweb.db import Connection

FIELDS = "server_id, name, tool_name, created_at, run_id, value"


@dataclass(frozen=True)
class Metric:
    """One number of one run; ``created_at`` is that of the run."""

    server_id: str
    name: str
    tool_name: str
    created_at: str
    run_id: str
    value: float


def insert_many(conn: Connection, rows: Sequence[Metric]) -> None:
    """Store numbers; one that a run tells twice is the later one."""
    if not rows:
        return
    conn.executemany(
        f"INSERT OR REPLACE INTO test_metrics ({FIELDS}) VALUES (:server_id, :name, :tool_name, :created_at, :run_id, :value)",
        [vars(row) for row in rows],
    )


def series(conn: Connection, server_id: str, name: str, tool_name: str, limit: int) -> list[Metric]:
    """Return the newest numbers of a series, oldest first."""
    rows = conn.execute(
        f"SELECT {FIELDS} FROM test_metrics WHERE server_id = :server AND name = :name AND tool_name = :tool "
        "ORDER BY created_at DESC, run_id DESC LIMIT :limit",
        {"server": server_id, "name": name, "tool": tool_name, "limit": limit},
    ).fetchall()
    return [Metric(**dict(row)) for row in reversed(rows)]


def first_tool(conn: Connection, server_id: str, name: str) -> str | None:
    """Return the first tool that has numbers of this name, None without any."""
    row = conn.execute(
        "SELECT tool_name FROM test_metrics WHERE server_id = :server AND name = :name ORDER BY tool_name LIMIT 1",
        {"server": server_id, "name": name},
    ).fetchone()
    return None if row is None else str(row[0])


def names(conn: Connection, server_id: str, most: int = 200) -> list[tuple[str, str]]:
    """Return the series of a server as (name, tool), stepping over the numbers in between."""
    found: list[tuple[str, str]] = []
    last = ("", "")
    while len(found) < most:
        row = conn.execute(
            "SELECT name, tool_name FROM test_metrics WHERE server_id = :server AND (name, tool_name) > (:name, :tool) "
            "ORDER BY name, tool_name LIMIT 1",
            {"server": server_id, "name": last[0], "tool": last[1]},
        ).fetchone()
        if row is None:
            break
        last = (row[0], row[1])
        found.append(last)
    return found


def of_run(conn: Connection, run_id: str) -> list[Metric]:
    """Return the numbers of one run, by name and tool."""
    sql = f"SELECT {FIELDS} FROM test_metrics WHERE run_id = :id"
    return sorted((Metric(**dict(row)) for row in conn.execute(sql, {"id": run_id})), key=lambda m: (m.name, m.tool_name))


def delete_of_run(conn: Connection, run_id: str) -> int:
    return conn.execute("DELETE FROM test_metrics WHERE run_id = :id", {"id": run_id}).rowcount
