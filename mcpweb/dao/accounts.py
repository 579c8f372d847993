"""Tables ``users``, ``identities``, ``sessions``, ``tokens``, ``setup_tokens``, ``sign_in_flows`` and ``throttle``."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Role
from mcpweb.dao import columns, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound, PreconditionFailed

USER_FIELDS = (
    "id, name, password_hash, role, created_at, updated_at, disabled_at, language, theme, created_by, signed_in_at, revision"
)
SESSION_FIELDS = "id_hash, user_id, csrf_key, created_at, seen_at, expires_at, ip, user_agent, stepped_up_at"
TOKEN_FIELDS = "id, user_id, name, role, hash, created_at, expires_at, last_used_at, revoked_at, created_by"  # noqa: S105 - names of columns


@dataclass(frozen=True)
class User:
    id: str
    name: str
    password_hash: str
    role: Role
    created_at: str
    updated_at: str
    disabled_at: str | None
    language: str
    theme: str
    created_by: str | None
    signed_in_at: str | None = None
    revision: int = 1


@dataclass(frozen=True)
class Identity:
    """Whom a provider's subject stands for."""

    issuer: str
    subject: str
    user_id: str
    created_at: str


@dataclass(frozen=True)
class Session:
    id_hash: str
    user_id: str
    csrf_key: bytes
    created_at: str
    seen_at: str
    expires_at: str
    ip: str
    user_agent: str
    stepped_up_at: str | None


@dataclass(frozen=True)
class Token:
    id: str
    user_id: str
    name: str
    role: Role
    hash: str
    created_at: str
    expires_at: str
    last_used_at: str | None
    revoked_at: str | None
    created_by: str | None


def _insert(conn: Connection, table: str, row: User | Identity | Session | Token) -> None:
    fields = asdict(row)
    conn.execute(f"INSERT INTO {table} ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def _user(row: Mapping[str, Any] | None) -> User | None:
    return None if row is None else User(**dict(row))


def insert_user(conn: Connection, user: User) -> None:
    _insert(conn, "users", user)


def find_user(conn: Connection, user_id: str) -> User | None:
    return _user(conn.execute(f"SELECT {USER_FIELDS} FROM users WHERE id = ?", (user_id,)).fetchone())


def find_user_by_name(conn: Connection, name: str) -> User | None:
    return _user(conn.execute(f"SELECT {USER_FIELDS} FROM users WHERE name = ?", (name,)).fetchone())


def get_user(conn: Connection, id_or_name: str) -> User:
    user = find_user(conn, id_or_name) or find_user_by_name(conn, id_or_name)
    if user is None:
        raise NotFound(f"There is no user {id_or_name}.")
    return user


def users(conn: Connection) -> list[User]:
    return [User(**dict(row)) for row in conn.execute(f"SELECT {USER_FIELDS} FROM users ORDER BY name")]


def count_users(conn: Connection) -> int:
    return int(conn.execute("SELECT count(*) FROM users").fetchone()[0])


def count_admins(conn: Connection) -> int:
    sql = "SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL"
    return int(conn.execute(sql).fetchone()[0])


def names_of(conn: Connection, user_ids: Sequence[str]) -> dict[str, str]:
    """Return the names of these users, by id."""
    sql = "SELECT id, name FROM users WHERE id IN (SELECT value FROM json_each(?))"
    return {row[0]: row[1] for row in conn.execute(sql, (dumps(list(user_ids)),))}


def page_of_users(conn: Connection, *, after: Cursor | None = None, limit: int = 50) -> Listing[User]:
    """Return one page of users, newest first."""
    return paging.select(conn, "users", USER_FIELDS, lambda row: User(**dict(row)), after=after, limit=limit)


def expect_revision(user: User, expect: int | None) -> None:
    """Raise PreconditionFailed when the user is not what the caller saw."""
    if expect is not None and user.revision != expect:
        raise PreconditionFailed(f"{user.name} was changed meanwhile.")


def _change(conn: Connection, user_id: str, assignment: str, value: str | None) -> None:
    conn.execute(
        f"UPDATE users SET {assignment}, revision = revision + 1, updated_at = :now WHERE id = :id",
        {"id": user_id, "value": value, "now": clock.now()},
    )


def set_password(conn: Connection, user_id: str, password_hash: str) -> None:
    _change(conn, user_id, "password_hash = :value", password_hash)


def set_role(conn: Connection, user_id: str, role: Role) -> None:
    _change(conn, user_id, "role = :value", role)


def disable_user(conn: Connection, user_id: str) -> None:
    """Keep a user out; one who is out already keeps the earlier moment."""
    _change(conn, user_id, "disabled_at = coalesce(disabled_at, :value)", clock.now())


def enable_user(conn: Connection, user_id: str) -> None:
    _change(conn, user_id, "disabled_at = :value", None)


def mark_signed_in(conn: Connection, user_id: str, at: str) -> None:
    conn.execute("UPDATE users SET signed_in_at = ? WHERE id = ?", (at, user_id))


def set_preferences(conn: Connection, user_id: str, *, language: str, theme: str) -> None:
    conn.execute(
        "UPDATE users SET language = :language, theme = :theme, updated_at = :now WHERE id = :id",
        {"id": user_id, "language": language, "theme": theme, "now": clock.now()},
    )


def insert_identity(conn: Connection, identity: Identity) -> None:
    _insert(conn, "identities", identity)


def find_identity(conn: Connection, issuer: str, subject: str) -> Identity | None:
    sql = "SELECT issuer, subject, user_id, created_at FROM identities WHERE issuer = ? AND subject = ?"
    row = conn.execute(sql, (issuer, subject)).fetchone()
    return None if row is None else Identity(**dict(row))


def identities_of(conn: Connection, user_id: str) -> list[Identity]:
    sql = "SELECT issuer, subject, user_id, created_at FROM identities WHERE user_id = ? ORDER BY issuer, subject"
    return [Identity(**dict(row)) for row in conn.execute(sql, (user_id,))]


def insert_session(conn: Connection, session: Session) -> None:
    _insert(conn, "sessions", session)


def find_session(conn: Connection, id_hash: str) -> Session | None:
    row = conn.execute(f"SELECT {SESSION_FIELDS} FROM sessions WHERE id_hash = ?", (id_hash,)).fetchone()
    return None if row is None else Session(**dict(row))


def touch_session(conn: Connection, id_hash: str, at: str, *, latest: str) -> None:
    """Note that a session was used; it ends at ``latest`` at the latest."""
    conn.execute("UPDATE sessions SET seen_at = ?, expires_at = min(expires_at, ?) WHERE id_hash = ?", (at, latest, id_hash))


def sessions_of(conn: Connection, user_id: str) -> list[Session]:
    sql = f"SELECT {SESSION_FIELDS} FROM sessions WHERE user_id = ? ORDER BY seen_at DESC"
    return [Session(**dict(row)) for row in conn.execute(sql, (user_id,))]


def session_counts(conn: Connection, user_ids: Sequence[str], now: str, seen_since: str) -> dict[str, int]:
    """Return how many sessions that still hold each of these users has."""
    sql = (
        "SELECT user_id, count(*) FROM sessions WHERE user_id IN (SELECT value FROM json_each(?)) AND seen_at > ? "
        "AND expires_at > ? GROUP BY user_id"
    )
    return {row[0]: row[1] for row in conn.execute(sql, (dumps(list(user_ids)), seen_since, now))}


def session_named(conn: Connection, start: str) -> Session | None:
    """Return the session whose hash begins with these characters."""
    sql = f"SELECT {SESSION_FIELDS} FROM sessions WHERE id_hash >= ? AND id_hash < ? LIMIT 1"
    row = conn.execute(sql, (start, start + "g")).fetchone()
    return None if row is None else Session(**dict(row))


def delete_session(conn: Connection, id_hash: str) -> None:
    conn.execute("DELETE FROM sessions WHERE id_hash = ?", (id_hash,))


def delete_sessions_of(conn: Connection, user_id: str, *, but: str = "") -> int:
    """End the sessions of a user but one; return how many there were."""
    return conn.execute("DELETE FROM sessions WHERE user_id = ? AND id_hash <> ?", (user_id, but)).rowcount


def delete_oldest_sessions_of(conn: Connection, user_id: str, keep: int) -> None:
    """Leave a user the sessions seen last."""
    conn.execute(
        "DELETE FROM sessions WHERE id_hash IN "
        "(SELECT id_hash FROM sessions WHERE user_id = ? ORDER BY seen_at DESC LIMIT -1 OFFSET ?)", (user_id, keep)
    )


def delete_old_sessions(conn: Connection, now: str) -> None:
    conn.execute("DELETE FROM sessions WHERE expires_at < ?", (now,))


def insert_token(conn: Connection, token: Token) -> None:
    _insert(conn, "tokens", token)


def find_token(conn: Connection, token_id: str) -> Token | None:
    row = conn.execute(f"SELECT {TOKEN_FIELDS} FROM tokens WHERE id = ?", (token_id,)).fetchone()
    return None if row is None else Token(**dict(row))


def get_token(conn: Connection, token_id: str) -> Token:
    token = find_token(conn, token_id)
    if token is None:
        raise NotFound(f"There is no token {token_id}.")
    return token


def tokens(conn: Connection, user_id: str | None = None) -> list[Token]:
    """Return tokens, newest first."""
    condition = "WHERE user_id = :user " if user_id else ""
    sql = f"SELECT {TOKEN_FIELDS} FROM tokens {condition}ORDER BY created_at DESC, id DESC"
    return [Token(**dict(row)) for row in conn.execute(sql, {"user": user_id})]


def page_of_tokens(
    conn: Connection, user_id: str | None = None, *, after: Cursor | None = None, limit: int = 50
) -> Listing[Token]:
    """Return one page of tokens, newest first."""
    read = lambda row: Token(**dict(row))  # noqa: E731
    return paging.select(conn, "tokens", TOKEN_FIELDS, read, after=after, limit=limit, equals={"user_id": user_id})


def token_counts(conn: Connection, user_ids: Sequence[str], now: str) -> dict[str, int]:
    """Return how many tokens that still open something each of these users has."""
    sql = (
        "SELECT user_id, count(*) FROM tokens WHERE user_id IN (SELECT value FROM json_each(?)) AND revoked_at IS NULL "
        "AND expires_at > ? GROUP BY user_id"
    )
    return {row[0]: row[1] for row in conn.execute(sql, (dumps(list(user_ids)), now))}


def touch_token(conn: Connection, token_id: str, at: str) -> None:
    conn.execute("UPDATE tokens SET last_used_at = ? WHERE id = ?", (at, token_id))


def revoke_token(conn: Connection, token_id: str) -> None:
    conn.execute("UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (clock.now(), token_id))


def put_setup(conn: Connection, token_hash: str, expires_at: str) -> None:
    """Make this the only setup token."""
    conn.execute("DELETE FROM setup_tokens")
    conn.execute("INSERT INTO setup_tokens (hash, expires_at) VALUES (?, ?)", (token_hash, expires_at))


def find_setup(conn: Connection, token_hash: str, now: str) -> bool:
    sql = "SELECT 1 FROM setup_tokens WHERE hash = ? AND expires_at > ?"
    return conn.execute(sql, (token_hash, now)).fetchone() is not None


def clear_setup(conn: Connection) -> None:
    conn.execute("DELETE FROM setup_tokens")


def put_flow(
    conn: Connection, *, state_hash: str, browser_hash: str, provider: str, data: Mapping[str, Any], expires_at: str
) -> None:
    """Remember somebody who goes to a provider; who did not come back in time is forgotten."""
    conn.execute("DELETE FROM sign_in_flows WHERE expires_at <= ?", (clock.now(),))
    conn.execute(
        "INSERT INTO sign_in_flows (state_hash, browser_hash, provider, data, expires_at) VALUES (?, ?, ?, ?, ?)",
        (state_hash, browser_hash, provider, dumps(dict(data)), expires_at),
    )


def claim_flow(conn: Connection, *, state_hash: str, browser_hash: str, provider: str, now: str) -> Any | None:
    """Return what was remembered and forget it, whoever asks; None unless it was this browser, in time."""
    row = conn.execute(
        "DELETE FROM sign_in_flows WHERE state_hash = ? RETURNING browser_hash, provider, data, expires_at", (state_hash,)
    ).fetchone()
    if row is None or row["browser_hash"] != browser_hash or row["provider"] != provider or row["expires_at"] <= now:
        return None
    return loads(row["data"])


def take(conn: Connection, bucket: str, *, per_minute: float, burst: float) -> float:
    """Take one token from a bucket; 0 when allowed, else the seconds to wait. Time never runs backwards in a bucket."""
    now = clock.source()
    rate = per_minute / 60
    row = conn.execute("SELECT level, at FROM throttle WHERE bucket = ?", (bucket,)).fetchone()
    level = burst if row is None else min(burst, row[0] + max(0.0, now - row[1]) * rate)
    wait = 0.0 if level >= 1 else (1 - level) / rate
    conn.execute(
        "INSERT INTO throttle (bucket, level, at) VALUES (?, ?, ?) "
        "ON CONFLICT (bucket) DO UPDATE SET level = excluded.level, at = excluded.at",
        (bucket, level - 1 if wait == 0 else level, now),
    )
    return wait


def forget_buckets(conn: Connection, before: float) -> int:
    """Delete buckets nobody used since then; they are full again anyway."""
    return conn.execute("DELETE FROM throttle WHERE at < ?", (before,)).rowcount


def give_back(conn: Connection, bucket: str, count: float) -> None:
    """Put tokens back into a bucket; more than it holds are lost at the next look."""
    conn.execute("UPDATE throttle SET level = level + :count WHERE bucket = :bucket", {"bucket": bucket, "count": count})
