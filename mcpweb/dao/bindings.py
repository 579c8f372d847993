"""Table ``configuration_secrets``: which configuration uses which secret, under which variable, delivered how."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mcpweb.contracts import Delivery
from mcpweb.dao import columns, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound

FIELDS = "id, configuration_id, secret_id, scope, usage_context, created_at, created_by, variable, delivery, condition"


@dataclass(frozen=True)
class Binding:
    """``scope`` is required, optional or conditional; ``condition`` is {variable: value} of the configuration's environment."""

    id: str
    configuration_id: str
    secret_id: str
    scope: Literal["required", "optional", "conditional"]
    usage_context: str
    created_at: str
    created_by: str | None
    variable: str
    delivery: Delivery
    condition: dict[str, str] | None


def _read(row: Mapping[str, Any]) -> Binding:
    return Binding(**(dict(row) | {"condition": loads(row["condition"]), "usage_context": row["usage_context"] or ""}))


def insert(conn: Connection, binding: Binding) -> None:
    """Add a binding. Raises IntegrityError when the configuration has the secret or the variable already."""
    fields = vars(binding) | {"condition": None if binding.condition is None else dumps(binding.condition)}
    conn.execute(f"INSERT INTO configuration_secrets ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def get(conn: Connection, binding_id: str) -> Binding:
    row = conn.execute(f"SELECT {FIELDS} FROM configuration_secrets WHERE id = :id", {"id": binding_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no binding {binding_id}.")
    return _read(row)


def listing(conn: Connection, *, after: Cursor | None = None, limit: int = 50, **equals: str | None) -> Listing[Binding]:
    """Return bindings, newest first; ``equals`` are filters by column."""
    return paging.select(conn, "configuration_secrets", FIELDS, _read, after=after, limit=limit, equals=equals)


def of_configuration(conn: Connection, configuration_id: str) -> list[Binding]:
    """Return the bindings of a configuration by variable."""
    sql = f"SELECT {FIELDS} FROM configuration_secrets WHERE configuration_id = :id ORDER BY variable"
    return [_read(row) for row in conn.execute(sql, {"id": configuration_id})]


def of_secret(conn: Connection, secret_id: str) -> list[Binding]:
    """Return the bindings of a secret, oldest first."""
    sql = f"SELECT {FIELDS} FROM configuration_secrets WHERE secret_id = :id ORDER BY created_at, id"
    return [_read(row) for row in conn.execute(sql, {"id": secret_id})]


def delete(conn: Connection, binding_id: str) -> None:
    conn.execute("DELETE FROM configuration_secrets WHERE id = :id", {"id": binding_id})


def counts(conn: Connection, secret_ids: Sequence[str]) -> dict[str, int]:
    """Return how many bindings each of these secrets has, without those that have none."""
    sql = (
        "SELECT secret_id, count(*) FROM configuration_secrets WHERE secret_id IN (SELECT value FROM json_each(:ids)) "
        "GROUP BY secret_id"
    )
    return {row[0]: row[1] for row in conn.execute(sql, {"ids": dumps(list(secret_ids))})}
