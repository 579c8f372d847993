"""Fresh sign-ins: what opens values or touches keys wants the password again, five minutes at a time."""
from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

from mcpweb import clock, passwords
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import accounts
from mcpweb.errors import StepUpNeeded, Unauthenticated
from mcpweb.services import access, throttling

FRESH_S = 300.0


def is_fresh(core: Core, actor: Actor) -> bool:
    """Tell whether the actor gave the password within five minutes; the command line needs none, a token has none."""
    if actor.via in ("cli", "system"):
        return True
    if actor.via != "session":
        return False
    with core.db.reading() as conn:
        session = accounts.find_session(conn, actor.session_id)
    return session is not None and session.stepped_up_at is not None and 0 <= clock.age(session.stepped_up_at) <= FRESH_S


def has_password(core: Core, actor: Actor) -> bool:
    """Tell whether the actor's user has a password of ours; who signs in elsewhere has none."""
    with core.db.reading() as conn:
        user = accounts.find_user(conn, actor.user_id)
    return user is not None and bool(user.password_hash)


def require(core: Core, actor: Actor, *, tokens: bool = False) -> None:
    """Raise StepUpNeeded unless the actor gave the password within five minutes.

    With ``tokens`` a token passes, too: it has no password, and was made by somebody who gave theirs.
    """
    if not (tokens and actor.via == "token") and not is_fresh(core, actor):
        raise StepUpNeeded()


def confirm(core: Core, actor: Actor, password: str) -> tuple[str, Actor]:
    """Check the password of a session's user; return the secret of the session that takes its place, and its actor.

    Raises Unauthenticated (audited) for a wrong one, TooManyRequests, StepUpNeeded for who has no session. The throttle
    comes before the hashing and is shared with signing in.
    """
    if actor.via != "session":
        raise StepUpNeeded("Only somebody who signed in with a password can confirm it.")
    with core.db.reading() as conn:
        user = accounts.get_user(conn, actor.user_id)
        old = accounts.find_session(conn, actor.session_id)
    bucket = throttling.passwords_of(core, user.name)
    if old is None or not passwords.fits(password[: passwords.LONGEST + 1], user.password_hash):
        with core.db.writing() as conn:
            access.note(conn, actor, "session.refused", user.id, {"for": "step-up"})
        raise Unauthenticated("The password is not right.", next_step="Try again.")
    secret, now = secrets.token_urlsafe(32), clock.now()
    new = replace(old, id_hash=hashlib.sha256(secret.encode()).hexdigest(), stepped_up_at=now, seen_at=now)
    with core.db.writing() as conn:
        accounts.give_back(conn, bucket, throttling.BY_NAME[1])
        accounts.delete_session(conn, old.id_hash)
        accounts.insert_session(conn, new)
        access.note(conn, actor, "session.confirm", user.id)
    return secret, replace(actor, session_id=new.id_hash)
