"""Table ``schedules``: test runs that are asked for by the clock or by a new image."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mcpweb import clock
from mcpweb.dao import columns, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound, PreconditionFailed

FIELDS = (
    "id, server_id, name, types, configuration, profile, parameters, every_minutes, on_new_image, next_at, image_id, "
    "last_run_id, last_detail, is_active, created_at, created_by, updated_at, revision"
)
_OURS = ", ".join(f"schedules.{name}" for name in FIELDS.split(", "))
_MOST = 100


@dataclass(frozen=True)
class Schedule:
    id: str
    server_id: str
    name: str
    types: list[str]
    configuration: str | None
    profile: str
    parameters: dict[str, Any]
    every_minutes: int | None
    on_new_image: bool
    next_at: str | None
    image_id: str | None
    last_run_id: str | None
    last_detail: str
    is_active: bool
    created_at: str
    created_by: str | None
    updated_at: str
    revision: int


def _read(row: Mapping[str, Any]) -> Schedule:
    fields = dict(row)
    fields |= {name: loads(fields[name]) for name in ("types", "parameters")}
    return Schedule(**(fields | {name: bool(fields[name]) for name in ("on_new_image", "is_active")}))


def _written(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {name: dumps(fields[name]) for name in ("types", "parameters")}


def insert(conn: Connection, schedule: Schedule) -> None:
    fields = _written(dict(vars(schedule)))
    conn.execute(f"INSERT INTO schedules ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def get(conn: Connection, schedule_id: str) -> Schedule:
    row = conn.execute(f"SELECT {FIELDS} FROM schedules WHERE id = :id", {"id": schedule_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no schedule {schedule_id}.", next_step="`mcpweb schedules list` shows all.")
    return _read(row)


def by_name(conn: Connection, server_id: str, name: str) -> Schedule:
    """Return a server's schedule. Raises NotFound."""
    sql = f"SELECT {FIELDS} FROM schedules WHERE server_id = :id AND name = :name"
    row = conn.execute(sql, {"id": server_id, "name": name}).fetchone()
    if row is None:
        raise NotFound(f"The server has no schedule {name}.", next_step="`mcpweb schedules list` shows all.")
    return _read(row)


def listing(
    conn: Connection,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    is_active: bool | None = None,
) -> Listing[Schedule]:
    equals = {"server_id": server_id, "is_active": is_active}
    return paging.select(conn, "schedules", FIELDS, _read, after=after, limit=limit, equals=equals)


def due(conn: Connection, now: str) -> list[Schedule]:
    """Return the schedules whose time has come, the longest overdue first; those of removed servers rest."""
    rows = conn.execute(
        f"SELECT {_OURS} FROM schedules JOIN servers ON servers.id = schedules.server_id AND servers.removed_at IS NULL "
        "WHERE schedules.is_active = TRUE AND schedules.next_at IS NOT NULL AND schedules.next_at <= :now "
        "ORDER BY schedules.next_at LIMIT :most",
        {"now": now, "most": _MOST},
    )
    return [_read(row) for row in rows]


def far_off(conn: Connection, now: str) -> list[Schedule]:
    """Return the schedules whose next time lies further off than their interval: the clock was put back."""
    rows = conn.execute(
        f"SELECT {FIELDS} FROM schedules WHERE is_active = TRUE AND next_at IS NOT NULL AND next_at > :now "
        "AND next_at > strftime('%Y-%m-%d %H:%M:%f', :now, '+' || (every_minutes + 1) || ' minutes') LIMIT :most",
        {"now": now, "most": _MOST},
    )
    return [_read(row) for row in rows]


def on_new_image(conn: Connection, server_id: str | None = None) -> list[Schedule]:
    """Return the active schedules that wait for a new image, of one server or of all."""
    mine = "AND schedules.server_id = :server_id" if server_id is not None else ""
    rows = conn.execute(
        f"SELECT {_OURS} FROM schedules INDEXED BY idx_schedules_on_new_image "
        "JOIN servers ON servers.id = schedules.server_id AND servers.removed_at IS NULL "
        f"WHERE schedules.is_active = TRUE AND schedules.on_new_image = TRUE {mine} LIMIT 1000",
        {"server_id": server_id},
    )
    return [_read(row) for row in rows]


def update(conn: Connection, schedule_id: str, *, expect: int | None, fields: Mapping[str, Any]) -> Schedule:
    """Change the named fields. Raises PreconditionFailed."""
    schedule = get(conn, schedule_id)
    if expect is not None and schedule.revision != expect:
        raise PreconditionFailed()
    wanted = _written(asdict(schedule) | dict(fields) | {"updated_at": clock.now(), "revision": schedule.revision + 1})
    assignments = ", ".join(f"{name} = :{name}" for name in FIELDS.split(", ") if name not in ("id", "server_id", "created_at"))
    conn.execute(f"UPDATE schedules SET {assignments} WHERE id = :id", wanted)
    return get(conn, schedule_id)


def move_on(conn: Connection, schedule_id: str, *, next_at: str | None, detail: str, run_id: str | None = None) -> None:
    """Write when a schedule is due again, and what came of this time."""
    conn.execute(
        "UPDATE schedules SET next_at = :next_at, last_detail = :detail, last_run_id = coalesce(:run_id, last_run_id) "
        "WHERE id = :id",
        {"id": schedule_id, "next_at": next_at, "detail": detail[:500], "run_id": run_id},
    )


def set_image(conn: Connection, schedule_id: str, image_id: str) -> None:
    """Remember the image that was looked at last."""
    conn.execute("UPDATE schedules SET image_id = :image_id WHERE id = :id", {"id": schedule_id, "image_id": image_id})


def delete(conn: Connection, schedule_id: str) -> None:
    conn.execute("DELETE FROM schedules WHERE id = :id", {"id": schedule_id})
