"""Table ``plugin_events``: faults of plugins, as the Plugins page shows them."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.db import Connection
from mcpweb.ids import new_id

FIELDS = "id, plugin, hook, error, created_at"
_KEPT = 1000


@dataclass(frozen=True)
class PluginEvent:
    id: str
    plugin: str
    hook: str
    error: str
    created_at: str


def _read(row: Mapping[str, Any]) -> PluginEvent:
    return PluginEvent(**dict(row))


def insert(conn: Connection, plugin: str, hook: str, error: str) -> None:
    """Record a fault; only the newest 1,000 are kept."""
    conn.execute(
        f"INSERT INTO plugin_events ({FIELDS}) VALUES (?, ?, ?, ?, ?)",
        (new_id("evt"), plugin, hook, error, clock.now()),
    )
    conn.execute(
        "DELETE FROM plugin_events WHERE created_at < (SELECT created_at FROM plugin_events "
        "ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?)",
        (_KEPT,),
    )


def recent(conn: Connection, plugin: str | None = None, limit: int = 50) -> list[PluginEvent]:
    """Return faults, newest first."""
    condition = "WHERE plugin = :plugin " if plugin else ""
    sql = f"SELECT {FIELDS} FROM plugin_events {condition}ORDER BY created_at DESC, id DESC LIMIT :limit"
    return [_read(row) for row in conn.execute(sql, {"plugin": plugin, "limit": limit})]
