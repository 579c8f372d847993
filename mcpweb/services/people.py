"""Whom an admin lets in, with which role; sessions seen and ended; one's own password.

What changes a user wants the password once more. A new role, a new password and disabling end the user's sessions at once,
for whoever holds a cookie from before holds nothing. There is always an admin who can sign in.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcpweb import clock, passwords
from mcpweb.contracts import ROLES, Actor, Role
from mcpweb.core import Core
from mcpweb.dao import accounts
from mcpweb.dao.accounts import Session, Token, User
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import Conflict, FieldError, Forbidden, InvalidInput, NotFound, Unauthenticated
from mcpweb.events import UserChanged
from mcpweb.services import access, stepup, throttling
from mcpweb.services.accounts import IDLE_S, new_session

SHOWN = 16
"""How many characters of a session's hash name it; they open nothing."""


@dataclass(frozen=True)
class Person:
    """A user as the list shows it."""

    user: User
    sessions: int
    tokens: int


@dataclass(frozen=True)
class Holdings:
    """Where a user is signed in, which tokens there are, and at which providers the user is known."""

    user: User
    sessions: list[Session]
    tokens: tuple[Token, ...]
    issuers: list[str]


def listing(core: Core, actor: Actor, *, after: Cursor | None = None, limit: int = 50) -> Listing[Person]:
    """Return one page of users with what each holds, newest first."""
    access.require(core, actor, "user.manage")
    with core.db.reading() as conn:
        page = accounts.page_of_users(conn, after=after, limit=limit)
        ids, now = [user.id for user in page.rows], clock.now()
        sessions = accounts.session_counts(conn, ids, now, clock.later(-IDLE_S))
        tokens = accounts.token_counts(conn, ids, now)
    rows = tuple(Person(user, sessions.get(user.id, 0), tokens.get(user.id, 0)) for user in page.rows)
    return Listing(rows, page.next)


def names_of(core: Core, actor: Actor, user_ids: Sequence[str]) -> dict[str, str]:
    """Return the names of these users, by id."""
    access.require(core, actor, "user.manage")
    with core.db.reading() as conn:
        return accounts.names_of(conn, user_ids)


def holdings(core: Core, actor: Actor, user: str | None = None) -> Holdings:
    """Return what a user holds: oneself, or anybody for an admin. Raises Forbidden, NotFound."""
    whose = _whose(core, actor, user)
    with core.db.reading() as conn:
        found = accounts.get_user(conn, whose)
        return Holdings(
            found, _living(conn, found.id), accounts.page_of_tokens(conn, found.id, limit=200).rows,
            [identity.issuer for identity in accounts.identities_of(conn, found.id)],
        )


# Changing users


def change(
    core: Core, actor: Actor, name: str, *, expect: int | None = None, role: Role | None = None,
    disabled: bool | None = None, password: str | None = None,
) -> User:
    """Change a user, all of it or nothing. Raises Conflict for the last admin, PreconditionFailed, InvalidInput, StepUpNeeded."""
    access.require(core, actor, "user.manage")
    stepup.require(core, actor, tokens=True)
    if role is not None and role not in ROLES:
        raise InvalidInput("role is viewer, operator or admin.", errors=[FieldError("/role", "not a role")])
    if password is not None:
        passwords.check_strength(password)
    hashed = passwords.hashed(password) if password is not None else ""
    told = []
    with core.db.writing() as conn:
        user = accounts.get_user(conn, name)
        accounts.expect_revision(user, expect)
        _keep_an_admin(conn, user, leaves=disabled is True or role not in (None, "admin"))
        if role is not None and role != user.role:
            accounts.set_role(conn, user.id, role)
            access.note(conn, actor, "user.role", user.id, {"name": user.name, "from": user.role, "to": role})
            told.append("role")
        if disabled is not None and disabled != (user.disabled_at is not None):
            (accounts.disable_user if disabled else accounts.enable_user)(conn, user.id)
            told.append("disabled" if disabled else "enabled")
            access.note(conn, actor, "user.disable" if disabled else "user.enable", user.id, {"name": user.name})
        if hashed:
            accounts.set_password(conn, user.id, hashed)
            access.note(conn, actor, "user.password", user.id, {"name": user.name})
            told.append("password")
        if told and told != ["enabled"]:
            accounts.delete_sessions_of(conn, user.id, but="" if "disabled" in told else actor.session_id)
        user = accounts.get_user(conn, user.id)
    for what in told:
        core.announce(UserChanged(actor.name, user.id, what))
    return user


def disable(core: Core, actor: Actor, name: str) -> User:
    """Keep a user out; all sessions end at once and tokens open nothing. Raises Conflict for the last admin."""
    return change(core, actor, name, disabled=True)


def enable(core: Core, actor: Actor, name: str) -> User:
    """Let a user in again; tokens that were not revoked open again what they did."""
    return change(core, actor, name, disabled=False)


def set_role(core: Core, actor: Actor, name: str, role: Role) -> User:
    """Give a user another role; all sessions of that user but the actor's own end. Raises Conflict for the last admin."""
    return change(core, actor, name, role=role)


def set_password(core: Core, actor: Actor, name: str, password: str) -> User:
    """Set a user's password; all sessions of that user but the actor's own end."""
    return change(core, actor, name, password=password)


def _keep_an_admin(conn: Connection, user: User, *, leaves: bool) -> None:
    if leaves and user.role == "admin" and user.disabled_at is None and accounts.count_admins(conn) == 1:
        raise Conflict(f"{user.name} is the last admin.", next_step="Make another admin first.")


def change_own_password(core: Core, actor: Actor, current: str, new: str) -> tuple[str, Actor]:
    """Change the password of who is signed in; every session ends, and the secret of a new one is returned.

    Raises Unauthenticated (audited) for a wrong current one, TooManyRequests, InvalidInput, Forbidden for who has no session.
    """
    access.require(core, actor, "session.own")
    if actor.via != "session":
        raise Forbidden("Only somebody who signed in can change their own password.")
    passwords.check_strength(new)
    with core.db.reading() as conn:
        user = accounts.get_user(conn, actor.user_id)
        session = accounts.find_session(conn, actor.session_id)
    bucket = throttling.passwords_of(core, user.name)
    if session is None or not passwords.fits(current[: passwords.LONGEST + 1], user.password_hash):
        with core.db.writing() as conn:
            access.note(conn, actor, "session.refused", user.id, {"for": "password"})
        raise Unauthenticated("The current password is not right.", next_step="Try again.")
    hashed = passwords.hashed(new)
    with core.db.writing() as conn:
        accounts.give_back(conn, bucket, throttling.BY_NAME[1])
        accounts.set_password(conn, user.id, hashed)
        accounts.delete_sessions_of(conn, user.id)
        access.note(conn, actor, "user.password", user.id, {"name": user.name, "own": True})
        opened = new_session(conn, user, ip=session.ip, user_agent=session.user_agent, fresh=True)
    core.announce(UserChanged(actor.name, user.id, "password"))
    return opened


# Sessions


def sessions(core: Core, actor: Actor, user: str | None = None) -> list[Session]:
    """Return the sessions that still hold, seen last first: one's own, or anybody's for an admin. Raises Forbidden."""
    whose = _whose(core, actor, user)
    with core.db.reading() as conn:
        return _living(conn, accounts.get_user(conn, whose).id)


def end_session(core: Core, actor: Actor, short_id: str) -> Session:
    """End a session, named by the id that lists show: one's own, or anybody's for an admin. Raises NotFound."""
    access.require(core, actor, "session.own")
    anybodys = access.may(core, actor, "user.manage")
    with core.db.writing() as conn:
        session = accounts.session_named(conn, short_id) if len(short_id) == SHOWN else None
        if session is None or not (session.user_id == actor.user_id or anybodys):
            raise NotFound("There is no such session.")
        accounts.delete_session(conn, session.id_hash)
        detail: dict[str, object] = {} if session.user_id == actor.user_id else {"by": "admin"}
        access.note(conn, actor, "session.close", session.user_id, detail)
    return session


def end_sessions(core: Core, actor: Actor, user: str | None = None) -> int:
    """End all sessions of a user but the one that asks; return how many. Raises Forbidden, NotFound."""
    whose = _whose(core, actor, user)
    with core.db.writing() as conn:
        found = accounts.get_user(conn, whose)
        count = accounts.delete_sessions_of(conn, found.id, but=actor.session_id)
        access.note(conn, actor, "session.close", found.id, {"sessions": count})
    return count


def _living(conn: Connection, user_id: str) -> list[Session]:
    now, seen_since = clock.now(), clock.later(-IDLE_S)
    return [one for one in accounts.sessions_of(conn, user_id) if one.expires_at > now and one.seen_at > seen_since]


def _whose(core: Core, actor: Actor, user: str | None) -> str:
    """Return whom it is about: oneself, or another by id or name. Raises Forbidden unless the actor may, NotFound."""
    own = user is None or user == actor.user_id
    access.require(core, actor, "session.own" if own else "user.manage")
    if own and not actor.user_id:
        raise NotFound("Only a user has sessions.", next_step="Name a user.")
    return user or actor.user_id
