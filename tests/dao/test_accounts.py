"""People, sessions, tokens, the setup link and the buckets all processes share."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mcpweb import clock, paths
from mcpweb.dao import accounts, observations, plugin_events
from mcpweb.dao.accounts import Session, Token, User
from mcpweb.db import Connection, Database, driver
from mcpweb.errors import NotFound
from mcpweb.ids import new_id

TAKER = """
import sys
from pathlib import Path
from mcpweb import clock
from mcpweb.dao import accounts
from mcpweb.db import Database
clock.source = lambda: 1000.0
db = Database(Path(sys.argv[1]))
taken = 0
for _ in range(20):
    with db.writing() as conn:
        taken += accounts.take(conn, "sign-in:1.2.3.4", per_minute=5, burst=5) == 0
print(taken)
"""


def make_user(conn: Connection, name: str = "ada", **fields: Any) -> User:
    user = User(
        id=new_id("usr"), name=name, password_hash="$argon2id$…", role="operator", created_at=clock.now(),
        updated_at=clock.now(), disabled_at=None, language="", theme="", created_by="cli:me",
    )
    user = replace(user, **fields)
    accounts.insert_user(conn, user)
    return user


def make_session(conn: Connection, user: User, id_hash: str = "h1", *, expires_s: float = 3600) -> Session:
    session = Session(
        id_hash=id_hash, user_id=user.id, csrf_key=b"\0\xff", created_at=clock.now(), seen_at=clock.now(),
        expires_at=clock.later(expires_s), ip="127.0.0.1", user_agent="x", stepped_up_at=None,
    )
    accounts.insert_session(conn, session)
    return session


def make_token(conn: Connection, user: User) -> Token:
    token = Token(
        id=new_id("tok"), user_id=user.id, name="ci", role="viewer", hash="h", created_at=clock.now(),
        expires_at=clock.later(3600), last_used_at=None, revoked_at=None, created_by="cli:me",
    )
    accounts.insert_token(conn, token)
    return token


def test_a_user_comes_back_as_stored_by_id_and_by_name_in_any_case(conn: Connection) -> None:
    user = make_user(conn)
    assert accounts.get_user(conn, user.id) == accounts.get_user(conn, "Ada") == user
    assert accounts.find_user_by_name(conn, "grace") is None
    with pytest.raises(NotFound):
        accounts.get_user(conn, "grace")
    with pytest.raises(driver.IntegrityError):
        make_user(conn, "ADA")


def test_admins_are_counted_only_while_they_may_sign_in(conn: Connection) -> None:
    admin = make_user(conn, role="admin")
    make_user(conn, "grace")
    assert (accounts.count_users(conn), accounts.count_admins(conn)) == (2, 1)
    accounts.set_role(conn, admin.id, "viewer")
    assert accounts.count_admins(conn) == 0
    accounts.set_role(conn, admin.id, "admin")
    accounts.disable_user(conn, admin.id)
    assert accounts.count_admins(conn) == 0
    assert accounts.get_user(conn, admin.id).disabled_at is not None


def test_password_and_preferences_change_only_for_the_one(conn: Connection) -> None:
    ada, grace = make_user(conn), make_user(conn, "grace")
    accounts.set_password(conn, ada.id, "new")
    accounts.set_preferences(conn, ada.id, language="ja", theme="dark")
    changed = accounts.get_user(conn, ada.id)
    assert (changed.password_hash, changed.language, changed.theme) == ("new", "ja", "dark")
    assert accounts.get_user(conn, grace.id) == grace
    assert [user.name for user in accounts.users(conn)] == ["ada", "grace"]


def test_sessions_are_found_touched_ended_and_swept(conn: Connection, at: Callable[[float], None]) -> None:
    user = make_user(conn)
    session = make_session(conn, user)
    assert accounts.find_session(conn, "h1") == session
    at(60)
    accounts.touch_session(conn, "h1", clock.now(), latest=clock.later(3600))
    make_session(conn, user, "h2", expires_s=10)
    assert [s.id_hash for s in accounts.sessions_of(conn, user.id)] in (["h1", "h2"], ["h2", "h1"])
    at(120)
    accounts.delete_old_sessions(conn, clock.now())
    assert accounts.find_session(conn, "h2") is None
    make_session(conn, user, "h3")
    accounts.delete_sessions_of(conn, user.id, but="h3")
    assert [s.id_hash for s in accounts.sessions_of(conn, user.id)] == ["h3"]
    accounts.delete_session(conn, "h3")
    assert accounts.sessions_of(conn, user.id) == []


def test_tokens_are_found_touched_and_revoked_once(conn: Connection, at: Callable[[float], None]) -> None:
    user = make_user(conn)
    token = make_token(conn, user)
    assert accounts.get_token(conn, token.id) == token
    assert accounts.tokens(conn) == accounts.tokens(conn, user.id) == [token]
    assert accounts.tokens(conn, "usr_other") == []
    accounts.touch_token(conn, token.id, clock.now())
    accounts.revoke_token(conn, token.id)
    revoked = accounts.get_token(conn, token.id).revoked_at
    at(60)
    accounts.revoke_token(conn, token.id)
    assert accounts.get_token(conn, token.id).revoked_at == revoked is not None
    with pytest.raises(NotFound):
        accounts.get_token(conn, "tok_none")


def test_only_the_newest_setup_token_counts_and_only_until_it_expires(
    conn: Connection, at: Callable[[float], None]
) -> None:
    for name in ("first", "second"):
        accounts.put_setup(conn, name, clock.later(60))
    assert not accounts.find_setup(conn, "first", clock.now())
    assert accounts.find_setup(conn, "second", clock.now())
    at(61)
    assert not accounts.find_setup(conn, "second", clock.now())
    at(0)
    accounts.clear_setup(conn)
    assert not accounts.find_setup(conn, "second", clock.now())


# Buckets


def test_a_bucket_gives_its_burst_then_makes_wait_then_fills_again(conn: Connection, at: Callable[[float], None]) -> None:
    def take() -> float:
        return accounts.take(conn, "b", per_minute=60, burst=3)

    assert [take() for _ in range(3)] == [0, 0, 0]
    assert take() == pytest.approx(1.0)
    at(1.001)
    assert take() == 0 and take() > 0
    at(1000)
    assert [take() for _ in range(4)][:3] == [0, 0, 0] and take() > 0
    assert accounts.take(conn, "another", per_minute=60, burst=3) == 0


def test_a_clock_that_jumps_neither_opens_nor_locks_a_bucket(conn: Connection, at: Callable[[float], None]) -> None:
    for _ in range(3):
        accounts.take(conn, "b", per_minute=60, burst=3)
    at(-24 * 3600)
    assert accounts.take(conn, "b", per_minute=60, burst=3) <= 1.0
    at(-24 * 3600 + 2)
    assert accounts.take(conn, "b", per_minute=60, burst=3) == 0


def test_processes_share_a_bucket_exactly(db: Database) -> None:
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, str(db.path)], stdout=subprocess.PIPE, text=True, cwd=paths.PACKAGE.parent
        )
        for _ in range(4)
    ]
    assert sum(int(taker.communicate(timeout=60)[0]) for taker in takers) == 5


def test_buckets_nobody_used_are_forgotten(conn: Connection, at: Callable[[float], None]) -> None:
    accounts.take(conn, "old", per_minute=60, burst=3)
    at(100)
    accounts.take(conn, "new", per_minute=60, burst=3)
    assert accounts.forget_buckets(conn, clock.source() - 50) == 1
    assert [row[0] for row in conn.execute("SELECT bucket FROM throttle")] == ["new"]


# What was last seen, and faults of plugins


def test_an_observation_remembers_since_when_its_state_holds(conn: Connection, at: Callable[[float], None]) -> None:
    assert observations.get(conn, "engine") is None
    observations.put(conn, "engine", {"state": "up", "version": "1"})
    since = clock.now()
    at(10)
    observations.put(conn, "engine", {"state": "up", "version": "2"})
    seen = observations.get(conn, "engine")
    assert seen is not None and (seen.since, seen.at, seen.value["version"]) == (since, clock.now(), "2")
    at(20)
    observations.put(conn, "engine", {"state": "down"})
    seen = observations.get(conn, "engine")
    assert seen is not None and (seen.since, seen.state) == (clock.now(), "down")


def test_faults_of_plugins_are_kept_newest_first_and_not_without_end(
    conn: Connection, at: Callable[[float], None]
) -> None:
    for number in range(1005):
        at(number)
        plugin_events.insert(conn, "team" if number % 2 else "other", "mcpweb_track_event", f"error {number}")
    assert [event.error for event in plugin_events.recent(conn, limit=2)] == ["error 1004", "error 1003"]
    assert [event.error for event in plugin_events.recent(conn, "team", limit=1)] == ["error 1003"]
    assert conn.execute("SELECT count(*) FROM plugin_events").fetchone()[0] <= 1001
