"""People who prove who they are somewhere else: the way there and back, and the session that is opened for them.

A person is the pair of issuer and subject and nothing else: neither an address nor a name leads to an account that exists.
"""
from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Actor, Role
from mcpweb.core import Core
from mcpweb.dao import accounts
from mcpweb.dao.accounts import Identity, User
from mcpweb.db import Connection
from mcpweb.errors import Unauthenticated
from mcpweb.events import UserChanged
from mcpweb.ids import new_id
from mcpweb.services import access, throttling
from mcpweb.services.accounts import digest, new_session

FLOW_S = 600
SYSTEM = Actor.system("sign-in")


def begin(core: Core, provider: str, data: Mapping[str, Any], ip: str) -> tuple[str, str]:
    """Remember somebody who leaves for a provider; return the state for the address and the secret for the browser's cookie.

    Raises TooManyRequests.
    """
    throttling.throttle(core, f"sign-in:ip:{ip}", per_minute=throttling.BY_ADDRESS[0], burst=throttling.BY_ADDRESS[1])
    state, browser = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with core.db.writing() as conn:
        accounts.put_flow(
            conn, state_hash=digest(state), browser_hash=digest(browser), provider=provider, data=data,
            expires_at=clock.later(FLOW_S),
        )
    return state, browser


def claim(core: Core, provider: str, state: str, browser: str) -> Any:
    """Return what was remembered, once. Raises Unauthenticated for another browser, a second time, or too late."""
    with core.db.writing() as conn:
        found = accounts.claim_flow(
            conn, state_hash=digest(state), browser_hash=digest(browser), provider=provider, now=clock.now()
        )
    if found is None:
        raise Unauthenticated("This sign-in was not begun here, or is over.", next_step="Sign in again.")
    return found


def refused(core: Core, provider: str, reason: str, ip: str) -> None:
    """Audit an answer of a provider that was not believed."""
    with core.db.writing() as conn:
        access.note(conn, SYSTEM, "session.refused", "", {"for": provider, "why": reason[:200], "ip": ip})


def sign_in(
    core: Core, provider: str, *, issuer: str, subject: str, name: str, role: Role | None, ip: str, user_agent: str,
    fresh: bool, instead_of: str = "",
) -> str:
    """Open a session for whom a provider vouches, known by issuer and subject; return its secret.

    Somebody new becomes a user; the role is the provider's word at each sign-in, also that there is none any more: then the
    sessions end and nobody is let in. ``instead_of`` is the secret of a session of this browser, which ends.
    Raises Unauthenticated.
    """
    told = ""
    with core.db.writing() as conn:
        identity = accounts.find_identity(conn, issuer, subject)
        user = accounts.find_user(conn, identity.user_id) if identity else None
        fault = _fault(conn, user, role)
        if fault or role is None:
            if user is not None:
                accounts.delete_sessions_of(conn, user.id)
            access.note(conn, SYSTEM, "session.refused", user.id if user else "", {"for": provider, "why": fault, "ip": ip})
        else:
            if user is None:
                user, told = _new_user(conn, provider, issuer, subject, name, role), "added"
            elif user.role != role:
                accounts.set_role(conn, user.id, role)
                accounts.delete_sessions_of(conn, user.id)
                detail: dict[str, object] = {"name": user.name, "from": user.role, "to": role, "by": provider}
                access.note(conn, SYSTEM, "user.role", user.id, detail)
                user, told = accounts.get_user(conn, user.id), "role"
            if instead_of:
                accounts.delete_session(conn, digest(instead_of))
            secret, _actor = new_session(conn, user, ip=ip, user_agent=user_agent, fresh=fresh, detail={"by": provider})
    if fault or user is None:
        raise Unauthenticated("You are known there, but may not sign in here.", next_step="Ask an administrator.")
    if told:
        core.announce(UserChanged(SYSTEM.name, user.id, told))
    return secret


def _fault(conn: Connection, user: User | None, role: Role | None) -> str:
    """Return why this person is not let in."""
    if role is None:
        return "no role"
    if user is not None and user.disabled_at is not None:
        return "disabled"
    if role != "admin" and accounts.count_users(conn) == 0:
        return "nobody is admin yet"
    return ""


def _new_user(conn: Connection, provider: str, issuer: str, subject: str, name: str, role: Role) -> User:
    now = clock.now()
    user = User(
        id=new_id("usr"), name=_free_name(conn, name, issuer, subject), password_hash="", role=role, created_at=now,
        updated_at=now, disabled_at=None, language="", theme="", created_by=f"system:{provider}",
    )
    accounts.insert_user(conn, user)
    accounts.insert_identity(conn, Identity(issuer=issuer, subject=subject, user_id=user.id, created_at=now))
    accounts.clear_setup(conn)
    access.note(conn, SYSTEM, "user.add", user.id, {"name": user.name, "role": role, "by": provider})
    return user


def _free_name(conn: Connection, wanted: str, issuer: str, subject: str) -> str:
    """Return a name nobody has: the wanted one as far as names go, marked when somebody else has it already."""
    mark = hashlib.sha256(f"{issuer} {subject}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9._@-]+", "-", wanted).lstrip("._@-")[:54] or "user"
    return plain if accounts.find_user_by_name(conn, plain) is None else f"{plain}.{mark}"
