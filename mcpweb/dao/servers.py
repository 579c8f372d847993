"""Table ``servers``."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb import clock
from mcpweb.dao import columns, contains, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound, PreconditionFailed

FIELDS = (
    "id, name, description, image, status, created_at, updated_at, last_health_check, metadata, wanted, "
    "status_detail, seen_at, container_id, image_id, image_digest, protocol, created_by, removed_at, revision, "
    "pin_policy, pinned"
)


@dataclass(frozen=True)
class Server:
    id: str
    name: str
    description: str
    image: str
    status: str
    created_at: str
    updated_at: str
    last_health_check: str | None
    metadata: dict[str, Any]
    wanted: str
    status_detail: str
    seen_at: str | None
    container_id: str | None
    image_id: str | None
    image_digest: str | None
    protocol: str | None
    created_by: str
    removed_at: str | None
    revision: int
    pin_policy: str = "block"
    pinned: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(
        cls, *, id: str, name: str, image: str, created_at: str, created_by: str, description: str = "",
        metadata: dict[str, Any] | None = None,
    ) -> Server:
        """Return a server nobody has seen or wanted running yet."""
        return cls(
            id=id, name=name, description=description, image=image, status="unknown", created_at=created_at,
            updated_at=created_at, last_health_check=None, metadata=metadata or {}, wanted="stopped",
            status_detail="", seen_at=None, container_id=None, image_id=None, image_digest=None, protocol=None,
            created_by=created_by, removed_at=None, revision=1,
        )


def _read(row: Mapping[str, Any]) -> Server:
    fields = dict(row)
    fields["metadata"] = loads(fields["metadata"]) or {}
    fields["pinned"] = loads(fields["pinned"]) or {}
    fields["description"] = fields["description"] or ""
    return Server(**fields)


def insert(conn: Connection, server: Server) -> None:
    fields = dict(vars(server)) | {"metadata": dumps(server.metadata), "pinned": dumps(server.pinned)}
    conn.execute(f"INSERT INTO servers ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def find(conn: Connection, id_or_name: str) -> Server | None:
    """Return a server that is not removed; an id wins over a name."""
    for column in ("id", "name"):
        sql = f"SELECT {FIELDS} FROM servers WHERE {column} = :wanted AND removed_at IS NULL"
        row = conn.execute(sql, {"wanted": id_or_name}).fetchone()
        if row is not None:
            return _read(row)
    return None


def get(conn: Connection, id_or_name: str) -> Server:
    server = find(conn, id_or_name)
    if server is None:
        raise NotFound(f"There is no server {id_or_name}.", next_step="`mcpweb servers list` shows all.")
    return server


def listing(
    conn: Connection,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    status: str | None = None,
    name: str | None = None,
    image: str | None = None,
    q: str | None = None,
) -> Listing[Server]:
    where = ["removed_at IS NULL"]
    values = {}
    if q:
        where.append("(name LIKE :q ESCAPE '!' OR image LIKE :q ESCAPE '!')")
        values["q"] = contains(q)
    return paging.select(
        conn, "servers", FIELDS, _read, after=after, limit=limit, where=where, values=values,
        equals={"status": status, "name": name, "image": image},
    )


@dataclass(frozen=True)
class Glance:
    """What a list shows of a server beside its row. ``latency`` is a JSON list of milliseconds, newest first.

    ``held`` and ``broken`` count today's results that said yes or no.
    """

    verdict: str | None
    tools: int
    latency: str
    held: int
    broken: int


def glance(conn: Connection, ids: Sequence[str], today: str, points: int = 30) -> dict[str, Glance]:
    """Return what a list shows of these servers, all in one statement: each part is a short walk in an index."""
    rows = conn.execute(
        "SELECT wanted.value, "
        "(SELECT verdict FROM test_runs WHERE server_id = wanted.value AND verdict IS NOT NULL "
        "ORDER BY created_at DESC, id DESC LIMIT 1), "
        "(SELECT count(*) FROM tools WHERE server_id = wanted.value), "
        "(SELECT json_group_array(round(value, 2)) FROM (SELECT value FROM test_metrics WHERE server_id = wanted.value "
        "AND name = 'P02.handshake_ms' AND tool_name = '*' ORDER BY created_at DESC LIMIT :points)), "
        "(SELECT sum(success) FROM test_results_daily WHERE server_id = wanted.value AND day = :today), "
        "(SELECT sum(failure + timeout) FROM test_results_daily WHERE server_id = wanted.value AND day = :today) "
        "FROM json_each(:ids) AS wanted",
        {"ids": dumps(list(ids)), "today": today, "points": points},
    )
    return {row[0]: Glance(row[1], row[2], row[3], row[4] or 0, row[5] or 0) for row in rows}


def names(conn: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return the names of these servers by id, removed ones too."""
    rows = conn.execute(
        "SELECT id, name FROM servers WHERE id IN (SELECT value FROM json_each(:ids))", {"ids": dumps(list(ids))}
    )
    return {row[0]: row[1] for row in rows}


def counts(conn: Connection) -> dict[str, int]:
    """Return how many servers have each status."""
    rows = conn.execute("SELECT status, count(*) FROM servers WHERE removed_at IS NULL GROUP BY status").fetchall()
    return {row[0]: row[1] for row in rows}


def with_status(conn: Connection, status: str) -> list[Server]:
    sql = f"SELECT {FIELDS} FROM servers WHERE status = :status AND removed_at IS NULL ORDER BY created_at, id"
    return [_read(row) for row in conn.execute(sql, {"status": status})]


def wanted_running(conn: Connection) -> list[Server]:
    sql = f"SELECT {FIELDS} FROM servers WHERE wanted = 'running' AND removed_at IS NULL ORDER BY created_at, id"
    return [_read(row) for row in conn.execute(sql)]


def all_ids(conn: Connection) -> list[str]:
    """Return the ids of all servers, the removed ones too."""
    return [row[0] for row in conn.execute("SELECT id FROM servers ORDER BY id")]


def update(
    conn: Connection, server_id: str, *, expect: int | None, description: str | None = None, image: str | None = None
) -> Server:
    """Change what people write; a new image forgets the recorded one. Raises PreconditionFailed."""
    server = get(conn, server_id)
    if expect is not None and server.revision != expect:
        raise PreconditionFailed()
    changed = image is not None and image != server.image
    conn.execute(
        "UPDATE servers SET description = :description, image = :image, revision = revision + 1, updated_at = :now, "
        "image_id = iif(:changed, NULL, image_id), image_digest = iif(:changed, NULL, image_digest) WHERE id = :id",
        {
            "id": server.id, "now": clock.now(), "changed": changed,
            "description": server.description if description is None else description,
            "image": server.image if image is None else image,
        },
    )
    return get(conn, server.id)


def set_wanted(conn: Connection, server_id: str, wanted: str) -> None:
    conn.execute(
        "UPDATE servers SET wanted = :wanted, updated_at = :now WHERE id = :id AND wanted <> :wanted",
        {"id": server_id, "wanted": wanted, "now": clock.now()},
    )


def set_seen(
    conn: Connection, server_id: str, *, status: str, detail: str, container_id: str | None, at: str
) -> bool:
    """Write what was seen; True when it differs from what the row said."""
    changed = conn.execute(
        "UPDATE servers SET status = :status, status_detail = :detail, container_id = :container_id, seen_at = :at, "
        "updated_at = :at WHERE id = :id "
        "AND (status, status_detail, container_id) IS NOT (:status, :detail, :container_id)",
        {"id": server_id, "status": status, "detail": detail[:2000], "container_id": container_id, "at": at},
    ).rowcount
    return changed > 0


def set_health_check(conn: Connection, server_id: str, at: str) -> None:
    conn.execute(
        "UPDATE servers SET last_health_check = :at, seen_at = :at WHERE id = :id", {"id": server_id, "at": at}
    )


def record_image(
    conn: Connection, server_id: str, *, image_id: str, image_digest: str | None, protocol: str | None
) -> None:
    """Remember which image a server was first started with."""
    conn.execute(
        "UPDATE servers SET image_id = :image_id, image_digest = :image_digest, protocol = :protocol, "
        "updated_at = :now WHERE id = :id",
        {"id": server_id, "image_id": image_id, "image_digest": image_digest, "protocol": protocol, "now": clock.now()},
    )


def set_pin_policy(conn: Connection, server_id: str, policy: str) -> None:
    conn.execute(
        "UPDATE servers SET pin_policy = :policy, updated_at = :now WHERE id = :id",
        {"id": server_id, "policy": policy, "now": clock.now()},
    )


def set_pinned(conn: Connection, server_id: str, pinned: Mapping[str, str]) -> None:
    """Note which lists were pinned at first sight."""
    conn.execute("UPDATE servers SET pinned = :pinned WHERE id = :id", {"id": server_id, "pinned": dumps(dict(pinned))})


def hide(conn: Connection, server_id: str) -> None:
    """Take a server out of every list; its name is free again."""
    conn.execute(
        "UPDATE servers SET removed_at = :now, updated_at = :now, wanted = 'stopped', revision = revision + 1 "
        "WHERE id = :id AND removed_at IS NULL",
        {"id": server_id, "now": clock.now()},
    )


_EMPTY = (
    "DELETE FROM test_results WHERE rowid IN (SELECT rowid FROM test_results WHERE server_id = :id LIMIT :limit)",
    "DELETE FROM test_metrics WHERE server_id = :id AND (name, tool_name, created_at, run_id) IN "
    "(SELECT name, tool_name, created_at, run_id FROM test_metrics WHERE server_id = :id LIMIT :limit)",
    "DELETE FROM test_runs WHERE rowid IN (SELECT rowid FROM test_runs WHERE server_id = :id LIMIT :limit)",
)


def delete_hidden_batch(conn: Connection, limit: int) -> int:
    """Delete some rows of removed servers and return how many: results, then runs, then the server itself.

    In batches, because one cascade over all results would hold the write lock for seconds.
    """
    row = conn.execute("SELECT id FROM servers WHERE removed_at IS NOT NULL ORDER BY removed_at LIMIT 1").fetchone()
    if row is None:
        return 0
    bound = {"id": row[0], "limit": limit}
    for statement in _EMPTY:
        deleted = conn.execute(statement, bound).rowcount
        if deleted:
            return deleted
    return conn.execute("DELETE FROM servers WHERE id = :id", bound).rowcount
