"""Table ``secrets``: named values, encrypted. Nothing here opens one."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mcpweb import clock
from mcpweb.dao import columns, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound

if TYPE_CHECKING:
    from mcpweb.vault import Sealed

Scope = Literal["global", "server", "configuration"]
FIELDS = (
    "id, name, description, encrypted_value, encryption_key_id, scope, created_at, updated_at, created_by, expires_at, "
    "is_active, owner_id, key_version, value_version"
)


@dataclass(frozen=True)
class Secret:
    """One secret; ``owner_id`` is the server or configuration it belongs to, empty for a global one."""

    id: str
    name: str
    description: str
    encrypted_value: str
    encryption_key_id: str
    scope: Scope
    created_at: str
    updated_at: str
    created_by: str | None
    expires_at: str | None
    is_active: bool
    owner_id: str
    key_version: int
    value_version: int

    @property
    def blank(self) -> bool:
        """Whether nobody gave it a value yet: it came with a set-up or a catalogue, and is filled in later."""
        return self.value_version == 0

    @property
    def expired(self) -> bool:
        """Whether its time is over now."""
        return self.expires_at is not None and self.expires_at <= clock.now()


class SealedRow(NamedTuple):
    """What resealing needs of a secret: where its value belongs, and the token."""

    rowid: int
    id: str
    name: str
    scope: Scope
    owner_id: str
    value_version: int
    encrypted_value: str


def _read(row: Mapping[str, Any]) -> Secret:
    return Secret(**(dict(row) | {"is_active": bool(row["is_active"]), "description": row["description"] or ""}))


def insert(conn: Connection, secret: Secret) -> None:
    fields = dict(vars(secret))
    conn.execute(f"INSERT INTO secrets ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def get(conn: Connection, secret_id: str) -> Secret:
    row = conn.execute(f"SELECT {FIELDS} FROM secrets WHERE id = :id", {"id": secret_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no secret {secret_id}.")
    return _read(row)


def find_active(conn: Connection, name: str, scope: str, owner_id: str = "") -> Secret | None:
    """Return the active secret of this name, scope and owner."""
    sql = f"SELECT {FIELDS} FROM secrets WHERE name = :name AND scope = :scope AND owner_id = :owner_id AND is_active = TRUE"
    row = conn.execute(sql, {"name": name, "scope": scope, "owner_id": owner_id}).fetchone()
    return _read(row) if row is not None else None


def find_blank(conn: Connection, name: str, scope: str, owner_id: str = "") -> Secret | None:
    """Return the secret of this name, scope and owner that waits for its first value."""
    sql = (
        f"SELECT {FIELDS} FROM secrets WHERE name = :name AND scope = :scope AND owner_id = :owner_id AND is_active = FALSE "
        "AND value_version = 0 LIMIT 1"
    )
    row = conn.execute(sql, {"name": name, "scope": scope, "owner_id": owner_id}).fetchone()
    return _read(row) if row is not None else None


def listing(
    conn: Connection,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    scope: str | None = None,
    owner_id: str | None = None,
    name: str | None = None,
    is_active: bool | None = None,
    expires_until: str | None = None,
    unused: bool = False,
) -> Listing[Secret]:
    """Return secrets, newest first; ``unused`` ones have no binding."""
    equals = {"scope": scope, "owner_id": owner_id, "name": name, "is_active": is_active}
    where = ["expires_at <= :expires_until"] if expires_until is not None else []
    if unused:
        where.append("NOT EXISTS (SELECT 1 FROM configuration_secrets b WHERE b.secret_id = secrets.id)")
    return paging.select(
        conn, "secrets", FIELDS, _read, after=after, limit=limit, equals=equals, where=where,
        values={"expires_until": expires_until} if expires_until is not None else None,
    )


def count(conn: Connection) -> int:
    """Count all secrets, active or not."""
    return int(conn.execute("SELECT count(*) FROM secrets").fetchone()[0])


def count_expiring(conn: Connection, until: str) -> int:
    """Count active secrets whose time is over until then."""
    sql = "SELECT count(*) FROM secrets WHERE expires_at <= :until AND is_active = TRUE"
    return int(conn.execute(sql, {"until": until}).fetchone()[0])


def replace_value(
    conn: Connection, secret_id: str, *, encrypted_value: str, encryption_key_id: str, key_version: int, value_version: int
) -> None:
    """Store a new value."""
    conn.execute(
        "UPDATE secrets SET encrypted_value = :encrypted_value, encryption_key_id = :encryption_key_id, "
        "key_version = :key_version, value_version = :value_version, updated_at = :now WHERE id = :id",
        {
            "id": secret_id, "encrypted_value": encrypted_value, "encryption_key_id": encryption_key_id,
            "key_version": key_version, "value_version": value_version, "now": clock.now(),
        },
    )


def reseal_many(conn: Connection, resealed: Sequence[tuple[SealedRow, Sealed]]) -> int:
    """Keep the same values under another key version, and return how many were still what they had been."""
    return conn.executemany(
        "UPDATE secrets SET encrypted_value = ?, key_version = ? WHERE rowid = ? AND id = ? AND encrypted_value = ?",
        [(new.token, new.key_version, row.rowid, row.id, row.encrypted_value) for row, new in resealed],
    ).rowcount


def under_version(conn: Connection, key_id: str, version: int, *, after: int = 0, limit: int = 1000) -> list[SealedRow]:
    """Return what stands under a key version, in the order of the rows."""
    sql = (
        f"SELECT {', '.join(SealedRow._fields)} FROM secrets INDEXED BY idx_secrets_key "
        "WHERE encryption_key_id = :key_id AND key_version = :version AND rowid > :after ORDER BY rowid LIMIT :limit"
    )
    rows = conn.execute(sql, {"key_id": key_id, "version": version, "after": after, "limit": limit})
    return [SealedRow(*row) for row in rows]


def count_under(conn: Connection, key_id: str, version: int) -> int:
    """Count the secrets under a key version."""
    sql = "SELECT count(*) FROM secrets WHERE encryption_key_id = :key_id AND key_version = :version"
    return int(conn.execute(sql, {"key_id": key_id, "version": version}).fetchone()[0])


def set_active(conn: Connection, secret_id: str, active: bool) -> None:
    """Activate or deactivate a secret."""
    conn.execute(
        "UPDATE secrets SET is_active = :active, updated_at = :now WHERE id = :id",
        {"id": secret_id, "active": active, "now": clock.now()},
    )


def set_facts(conn: Connection, secret_id: str, *, description: str, expires_at: str | None) -> None:
    """Change what people read about a secret."""
    conn.execute(
        "UPDATE secrets SET description = :description, expires_at = :expires_at, updated_at = :now WHERE id = :id",
        {"id": secret_id, "description": description, "expires_at": expires_at, "now": clock.now()},
    )


def delete(conn: Connection, secret_id: str) -> None:
    """Delete a secret and, by cascade, its bindings."""
    conn.execute("DELETE FROM secrets WHERE id = :id", {"id": secret_id})
