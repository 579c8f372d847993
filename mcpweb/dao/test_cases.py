"""Table ``test_cases``: calls that people saved, with what must be true of their answers."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao import columns, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound, PreconditionFailed

FIELDS = "id, server_id, name, tool_name, arguments, assertions, is_active, created_at, created_by, updated_at, revision"


@dataclass(frozen=True)
class TestCase:
    __test__ = False
    id: str
    server_id: str
    name: str
    tool_name: str
    arguments: dict[str, Any]
    assertions: list[dict[str, Any]]
    is_active: bool
    created_at: str
    created_by: str | None
    updated_at: str
    revision: int


def _read(row: Mapping[str, Any]) -> TestCase:
    fields = dict(row)
    fields |= {name: loads(fields[name]) for name in ("arguments", "assertions")}
    return TestCase(**(fields | {"is_active": bool(fields["is_active"])}))


def _written(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {name: dumps(fields[name]) for name in ("arguments", "assertions")}


def insert(conn: Connection, case: TestCase) -> None:
    fields = _written(dict(vars(case)))
    conn.execute(f"INSERT INTO test_cases ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def get(conn: Connection, case_id: str) -> TestCase:
    row = conn.execute(f"SELECT {FIELDS} FROM test_cases WHERE id = :id", {"id": case_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no test case {case_id}.")
    return _read(row)


def listing(
    conn: Connection,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    tool_name: str | None = None,
    is_active: bool | None = None,
) -> Listing[TestCase]:
    equals = {"server_id": server_id, "tool_name": tool_name, "is_active": is_active}
    return paging.select(conn, "test_cases", FIELDS, _read, after=after, limit=limit, equals=equals)


def active(conn: Connection, server_id: str, limit: int) -> list[TestCase]:
    """Return the cases that a run of this server checks, oldest first."""
    sql = f"SELECT {FIELDS} FROM test_cases WHERE server_id = :id AND is_active = TRUE ORDER BY created_at, id LIMIT :limit"
    return [_read(row) for row in conn.execute(sql, {"id": server_id, "limit": limit})]


def count(conn: Connection, server_id: str) -> int:
    return int(conn.execute("SELECT count(*) FROM test_cases WHERE server_id = :id", {"id": server_id}).fetchone()[0])


def update(conn: Connection, case_id: str, *, expect: int | None, fields: Mapping[str, Any]) -> TestCase:
    """Change the named fields. Raises PreconditionFailed."""
    case = get(conn, case_id)
    if expect is not None and case.revision != expect:
        raise PreconditionFailed()
    changed = _written(asdict(case) | dict(fields) | {"updated_at": clock.now()})
    conn.execute(
        "UPDATE test_cases SET name = :name, tool_name = :tool_name, arguments = :arguments, assertions = :assertions, "
        "is_active = :is_active, revision = revision + 1, updated_at = :updated_at WHERE id = :id",
        {name: value for name, value in changed.items() if name not in ("server_id", "created_at", "created_by", "revision")},
    )
    return get(conn, case_id)


def delete(conn: Connection, case_id: str) -> None:
    conn.execute("DELETE FROM test_cases WHERE id = :id", {"id": case_id})
