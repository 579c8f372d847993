"""Tables ``encryption_keys`` and ``encryption_key_versions``: named keys, and the wrapped material of their versions."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mcpweb import clock
from mcpweb.dao import columns, parameters
from mcpweb.db import Connection
from mcpweb.errors import NotFound

KeyState = Literal["active", "retiring", "retired", "destroyed"]
FIELDS = "id, key_name, key_version, is_active, created_at, rotated_at, created_by"
VERSION_FIELDS = (
    "key_id, version, state, alg, wrapped_key, kek_id, kek_source, kcv, uses, created_at, compromised_at, retired_at, "
    "destroyed_at"
)


@dataclass(frozen=True)
class Key:
    """A named key; ``key_version`` is its newest version."""

    id: str
    key_name: str
    key_version: int
    is_active: bool
    created_at: str
    rotated_at: str | None
    created_by: str | None


@dataclass(frozen=True)
class KeyVersion:
    """One version: its state, its material under a KEK, and the public check value of the material."""

    key_id: str
    version: int
    state: KeyState
    alg: str
    wrapped_key: bytes | None
    kek_id: str
    kek_source: str
    kcv: str
    uses: int
    created_at: str
    compromised_at: str | None = None
    retired_at: str | None = None
    destroyed_at: str | None = None

    def __repr__(self) -> str:
        return f"KeyVersion({self.key_id!r}, {self.version}, {self.state!r})"


def _read(row: Mapping[str, Any]) -> Key:
    return Key(**(dict(row) | {"is_active": bool(row["is_active"])}))


def _read_version(row: Mapping[str, Any]) -> KeyVersion:
    return KeyVersion(**dict(row))


def any_exists(conn: Connection) -> bool:
    """Tell whether there is a key at all."""
    return conn.execute("SELECT 1 FROM encryption_keys LIMIT 1").fetchone() is not None


def any_retiring(conn: Connection) -> bool:
    """Tell whether a version is being left by its secrets."""
    return conn.execute("SELECT 1 FROM encryption_key_versions WHERE state = 'retiring' LIMIT 1").fetchone() is not None


def listing(conn: Connection) -> list[Key]:
    """Return all keys by name; there are few."""
    return [_read(row) for row in conn.execute(f"SELECT {FIELDS} FROM encryption_keys ORDER BY key_name")]


def get(conn: Connection, key_id: str) -> Key:
    row = conn.execute(f"SELECT {FIELDS} FROM encryption_keys WHERE id = :id", {"id": key_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no key {key_id}.")
    return _read(row)


def by_name(conn: Connection, name: str) -> Key:
    """Return a key by its name. Raises NotFound."""
    row = conn.execute(f"SELECT {FIELDS} FROM encryption_keys WHERE key_name = :name", {"name": name}).fetchone()
    if row is None:
        raise NotFound(f"There is no key {name}.", next_step="See `mcpweb keys list`.")
    return _read(row)


def insert(conn: Connection, key: Key) -> None:
    fields = asdict(key)
    conn.execute(f"INSERT INTO encryption_keys ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def versions(conn: Connection, key_id: str) -> list[KeyVersion]:
    """Return all versions of a key, newest first."""
    sql = f"SELECT {VERSION_FIELDS} FROM encryption_key_versions WHERE key_id = :id ORDER BY version DESC"
    return [_read_version(row) for row in conn.execute(sql, {"id": key_id})]


def version(conn: Connection, key_id: str, number: int) -> KeyVersion:
    """Return one version. Raises NotFound."""
    sql = f"SELECT {VERSION_FIELDS} FROM encryption_key_versions WHERE key_id = :id AND version = :version"
    row = conn.execute(sql, {"id": key_id, "version": number}).fetchone()
    if row is None:
        raise NotFound(f"The key {key_id} has no version {number}.")
    return _read_version(row)


def active_version(conn: Connection, key_id: str) -> KeyVersion:
    """Return the version that encrypts. Raises NotFound."""
    sql = f"SELECT {VERSION_FIELDS} FROM encryption_key_versions WHERE key_id = :id AND state = 'active'"
    row = conn.execute(sql, {"id": key_id}).fetchone()
    if row is None:
        raise NotFound(f"The key {key_id} has no active version.")
    return _read_version(row)


def insert_version(conn: Connection, new: KeyVersion) -> None:
    """Add a version, which begins as active; the earlier active one must be retiring already."""
    fields = asdict(new)
    conn.execute(f"INSERT INTO encryption_key_versions ({columns(fields)}) VALUES ({parameters(fields)})", fields)
    conn.execute(
        "UPDATE encryption_keys SET key_version = :version, rotated_at = CASE WHEN :version > 1 THEN :now END WHERE id = :id",
        {"id": new.key_id, "version": new.version, "now": new.created_at},
    )


def set_state(conn: Connection, key_id: str, number: int, state: KeyState) -> None:
    """Move a version on; the database allows active, retiring, retired, destroyed in this order only.

    A destroyed version loses its material in the same statement.
    """
    conn.execute(
        "UPDATE encryption_key_versions SET state = :state, "
        "retired_at = CASE WHEN :state = 'retired' THEN :now ELSE retired_at END, "
        "destroyed_at = CASE WHEN :state = 'destroyed' THEN :now ELSE destroyed_at END, "
        "wrapped_key = CASE WHEN :state = 'destroyed' THEN NULL ELSE wrapped_key END "
        "WHERE key_id = :id AND version = :version",
        {"id": key_id, "version": number, "state": state, "now": clock.now()},
    )


def rewrap(conn: Connection, key_id: str, number: int, *, wrapped_key: bytes, kek_id: str, kek_source: str) -> None:
    """Keep the same material under another KEK."""
    conn.execute(
        "UPDATE encryption_key_versions SET wrapped_key = :blob, kek_id = :kek_id, kek_source = :source "
        "WHERE key_id = :id AND version = :version",
        {"id": key_id, "version": number, "blob": wrapped_key, "kek_id": kek_id, "source": kek_source},
    )


def reserve_uses(conn: Connection, key_id: str, number: int, count: int) -> None:
    """Count encryptions before they happen."""
    conn.execute(
        "UPDATE encryption_key_versions SET uses = uses + :count WHERE key_id = :id AND version = :version",
        {"id": key_id, "version": number, "count": count},
    )


def mark_compromised(conn: Connection, key_id: str, number: int) -> None:
    """Note that the material of a version may be known to others; the first time counts."""
    conn.execute(
        "UPDATE encryption_key_versions SET compromised_at = coalesce(compromised_at, :now) "
        "WHERE key_id = :id AND version = :version",
        {"id": key_id, "version": number, "now": clock.now()},
    )


@dataclass(frozen=True)
class Quarantined:
    """A secret that a rotation could not open, and why."""

    secret_id: str
    key_id: str
    key_version: int
    reason: str
    found_at: str


def quarantine(conn: Connection, secret_id: str, key_id: str, key_version: int, reason: str) -> None:
    """Note a secret that does not open; the newest reason counts."""
    conn.execute(
        "INSERT INTO quarantine (secret_id, key_id, key_version, reason, found_at) "
        "VALUES (:secret, :key, :version, :reason, :now) "
        "ON CONFLICT (secret_id) DO UPDATE SET key_version = excluded.key_version, reason = excluded.reason",
        {"secret": secret_id, "key": key_id, "version": key_version, "reason": reason, "now": clock.now()},
    )


def quarantined(conn: Connection, key_id: str) -> list[Quarantined]:
    """Return the secrets of a key that did not open, oldest first."""
    sql = (
        "SELECT secret_id, key_id, key_version, reason, found_at FROM quarantine WHERE key_id = :id "
        "ORDER BY found_at, secret_id"
    )
    return [Quarantined(**dict(row)) for row in conn.execute(sql, {"id": key_id})]
