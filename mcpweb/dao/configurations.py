"""Tables ``configurations`` and ``configuration_revisions``."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao import columns, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound, PreconditionFailed

FIELDS = "id, server_id, name, description, config_data, is_active, created_at, updated_at, created_by, revision"


@dataclass(frozen=True)
class Configuration:
    id: str
    server_id: str
    name: str
    description: str
    config_data: dict[str, Any]
    is_active: bool
    created_at: str
    updated_at: str
    created_by: str
    revision: int


@dataclass(frozen=True)
class Revision:
    configuration_id: str
    revision: int
    config_data: dict[str, Any]
    created_at: str
    created_by: str | None


def _read(row: Mapping[str, Any]) -> Configuration:
    fields = dict(row)
    fields["config_data"] = loads(fields["config_data"])
    fields["is_active"] = bool(fields["is_active"])
    fields["description"] = fields["description"] or ""
    return Configuration(**fields)


def insert(conn: Connection, configuration: Configuration) -> None:
    fields = dict(vars(configuration)) | {"config_data": dumps(configuration.config_data)}
    conn.execute(f"INSERT INTO configurations ({columns(fields)}) VALUES ({parameters(fields)})", fields)
    _keep_revision(conn, configuration.id, configuration.created_by)


def _keep_revision(conn: Connection, configuration_id: str, by: str) -> None:
    conn.execute(
        "INSERT INTO configuration_revisions (configuration_id, revision, config_data, created_at, created_by) "
        "SELECT id, revision, config_data, updated_at, :by FROM configurations WHERE id = :id",
        {"id": configuration_id, "by": by},
    )


def get(conn: Connection, configuration_id: str) -> Configuration:
    sql = f"SELECT {FIELDS} FROM configurations WHERE id = :id"
    row = conn.execute(sql, {"id": configuration_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no configuration {configuration_id}.")
    return _read(row)


def by_name(conn: Connection, server_id: str, name: str) -> Configuration:
    """Return a server's configuration by id or name; an id wins. Raises NotFound."""
    for column in ("id", "name"):
        sql = f"SELECT {FIELDS} FROM configurations WHERE server_id = :server_id AND {column} = :name"
        row = conn.execute(sql, {"server_id": server_id, "name": name}).fetchone()
        if row is not None:
            return _read(row)
    raise NotFound(f"The server has no configuration {name}.")


def active(conn: Connection, server_id: str) -> Configuration:
    """Return a server's active configuration. Raises NotFound."""
    sql = f"SELECT {FIELDS} FROM configurations WHERE server_id = :id AND is_active = TRUE"
    row = conn.execute(sql, {"id": server_id}).fetchone()
    if row is None:
        raise NotFound("The server has no active configuration.", next_step="Activate one.")
    return _read(row)


def listing(
    conn: Connection, *, after: Cursor | None = None, limit: int = 50, **equals: str | bool | None
) -> Listing[Configuration]:
    """Return configurations, newest first; ``equals`` are filters by column."""
    return paging.select(conn, "configurations", FIELDS, _read, after=after, limit=limit, equals=equals)


def activate(conn: Connection, configuration_id: str) -> Configuration:
    """Make it the active one of its server, in the caller's transaction."""
    configuration = get(conn, configuration_id)
    now = clock.now()
    conn.execute(
        "UPDATE configurations SET is_active = FALSE, updated_at = :now "
        "WHERE server_id = :server_id AND is_active = TRUE",
        {"server_id": configuration.server_id, "now": now},
    )
    conn.execute(
        "UPDATE configurations SET is_active = TRUE, updated_at = :now WHERE id = :id",
        {"id": configuration_id, "now": now},
    )
    return get(conn, configuration_id)


def update(
    conn: Connection,
    configuration_id: str,
    *,
    expect: int | None,
    updated_by: str,
    name: str | None = None,
    description: str | None = None,
    config_data: Mapping[str, Any] | None = None,
) -> Configuration:
    """Change a configuration and keep the new revision. Raises PreconditionFailed."""
    current = get(conn, configuration_id)
    if expect is not None and current.revision != expect:
        raise PreconditionFailed()
    conn.execute(
        "UPDATE configurations SET name = :name, description = :description, config_data = :config_data, "
        "revision = revision + 1, updated_at = :now WHERE id = :id",
        {
            "id": configuration_id, "now": clock.now(),
            "name": current.name if name is None else name,
            "description": current.description if description is None else description,
            "config_data": dumps(current.config_data if config_data is None else config_data),
        },
    )
    _keep_revision(conn, configuration_id, updated_by)
    return get(conn, configuration_id)


def delete(conn: Connection, configuration_id: str) -> None:
    conn.execute("DELETE FROM configurations WHERE id = :id", {"id": configuration_id})


def revisions(conn: Connection, configuration_id: str) -> list[Revision]:
    """Return all revisions, newest first."""
    rows = conn.execute(
        "SELECT configuration_id, revision, config_data, created_at, created_by FROM configuration_revisions "
        "WHERE configuration_id = :id ORDER BY revision DESC",
        {"id": configuration_id},
    )
    return [Revision(**(dict(row) | {"config_data": loads(row["config_data"])})) for row in rows]


def revision(conn: Connection, configuration_id: str, number: int) -> Revision:
    """Return one revision. Raises NotFound."""
    row = conn.execute(
        "SELECT configuration_id, revision, config_data, created_at, created_by FROM configuration_revisions "
        "WHERE configuration_id = :id AND revision = :number",
        {"id": configuration_id, "number": number},
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no revision {number}.")
    return Revision(**(dict(row) | {"config_data": loads(row["config_data"])}))
