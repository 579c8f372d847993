"""Table ``test_types``: what plugins registered, also those that are gone."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.db import Connection

FIELDS = "name, title, description, plugin, installed, registered_at"


@dataclass(frozen=True)
class TestTypeRow:
    __test__ = False
    name: str
    title: str
    description: str
    plugin: str
    installed: bool
    registered_at: str = ""


def _read(row: Mapping[str, Any]) -> TestTypeRow:
    return TestTypeRow(**(dict(row) | {"installed": bool(row["installed"])}))


def listing(conn: Connection) -> list[TestTypeRow]:
    return [_read(row) for row in conn.execute(f"SELECT {FIELDS} FROM test_types ORDER BY name")]


def same(conn: Connection, rows: Sequence[TestTypeRow]) -> bool:
    """Tell whether the table says already what ``register`` would write."""
    now = {(r.name, r.title, r.description, r.plugin) for r in listing(conn) if r.installed}
    return now == {(r.name, r.title, r.description, r.plugin) for r in rows}


def register(conn: Connection, rows: Sequence[TestTypeRow]) -> None:
    """Write these as installed and all others as gone."""
    conn.execute("UPDATE test_types SET installed = FALSE")
    conn.executemany(
        "INSERT INTO test_types (name, title, description, plugin, installed) "
        "VALUES (:name, :title, :description, :plugin, TRUE) ON CONFLICT (name) DO UPDATE SET "
        "title = excluded.title, description = excluded.description, plugin = excluded.plugin, installed = TRUE",
        [{"name": r.name, "title": r.title, "description": r.description, "plugin": r.plugin} for r in rows],
    )
