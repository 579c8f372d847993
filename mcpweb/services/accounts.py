"""People, their sessions and tokens; the one-time setup link. Secrets are kept as hashes only."""
from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Callable
from contextlib import suppress

from mcpweb import clock, passwords
from mcpweb.contracts import ROLES, Actor, Role
from mcpweb.core import Core
from mcpweb.dao import accounts
from mcpweb.dao.accounts import Session, Token, User
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection, driver
from mcpweb.errors import Conflict, FieldError, Forbidden, InvalidInput, NotFound, StorageFull, Unauthenticated, Unavailable
from mcpweb.events import UserChanged
from mcpweb.ids import new_id
from mcpweb.services import access, stepup, throttling
from mcpweb.services.throttling import throttle

SETUP_LIFE_S = 30 * 60
IDLE_S = 30 * 60
ABSOLUTE_S = 12 * 3600
MOST_SESSIONS = 50
_TOUCH_S = 60
TOKEN_PREFIX = "mcpweb_pat_"  # noqa: S105 - the public part
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
_TOKEN = re.compile(r"mcpweb_pat_([0-9a-z]{26})_([A-Za-z0-9_-]{43})_([0-9a-f]{8})")
SYSTEM = Actor.system("sign-in")


# First run


def setup_needed(core: Core) -> bool:
    """Tell whether no user exists yet."""
    with core.db.reading() as conn:
        return accounts.count_users(conn) == 0


def new_setup_token(core: Core) -> str:
    """Return the token of a fresh setup link; an earlier one is void."""
    text = secrets.token_urlsafe(32)
    with core.db.writing() as conn:
        accounts.put_setup(conn, digest(text), clock.later(SETUP_LIFE_S))
    return text


def check_setup(core: Core, token: str) -> None:
    """Raise NotFound unless the link is valid and no user exists."""
    with core.db.reading() as conn:
        if accounts.count_users(conn) or not accounts.find_setup(conn, digest(token), clock.now()):
            raise NotFound("This setup link is not valid any more.", next_step="Start mcpweb again for a new one.")


def create_first_admin(core: Core, token: str, name: str, password: str) -> User:
    """Make the first user through the setup link, which is void then. Raises NotFound, InvalidInput."""
    throttle(core, "setup", per_minute=10, burst=10)
    check_setup(core, token)
    user = _new_user(name, "admin", password, "system:setup")
    with core.db.writing() as conn:
        if accounts.count_users(conn) or not accounts.find_setup(conn, digest(token), clock.now()):
            raise NotFound("This setup link is not valid any more.")
        accounts.insert_user(conn, user)
        accounts.clear_setup(conn)
        access.note(conn, Actor.system("setup"), "user.add", user.id, {"name": name, "role": "admin"})
    core.announce(UserChanged("system:setup", user.id, "added"))
    return user


# Users


def _new_user(name: str, role: Role, password: str, by: str) -> User:
    if not _NAME.fullmatch(name):
        raise InvalidInput("This is not a valid user name.", errors=[FieldError("/name", "letters, digits and ._@-")])
    if role not in ROLES:
        raise InvalidInput("role is viewer, operator or admin.", errors=[FieldError("/role", "not a role")])
    passwords.check_strength(password)
    now = clock.now()
    return User(
        id=new_id("usr"), name=name, password_hash=passwords.hashed(password), role=role, created_at=now,
        updated_at=now, disabled_at=None, language="", theme="", created_by=by,
    )


def add_user(core: Core, actor: Actor, *, name: str, role: Role, password: str) -> User:
    """Add a user. Raises InvalidInput, Conflict for a taken name."""
    access.require(core, actor, "user.manage")
    stepup.require(core, actor, tokens=True)
    user = _new_user(name, role, password, actor.name)
    with core.db.writing() as conn:
        try:
            accounts.insert_user(conn, user)
        except driver.IntegrityError:
            raise Conflict(f"A user named {name} exists already.") from None
        accounts.clear_setup(conn)
        access.note(conn, actor, "user.add", user.id, {"name": name, "role": role})
    core.announce(UserChanged(actor.name, user.id, "added"))
    return user


def users(core: Core, actor: Actor) -> list[User]:
    access.require(core, actor, "user.manage")
    with core.db.reading() as conn:
        return accounts.users(conn)


def page_of_users(core: Core, actor: Actor, *, after: Cursor | None = None, limit: int = 50) -> Listing[User]:
    """Return one page of users, newest first."""
    access.require(core, actor, "user.manage")
    with core.db.reading() as conn:
        return accounts.page_of_users(conn, after=after, limit=limit)


def get_user(core: Core, actor: Actor, id_or_name: str) -> User:
    """Return a user. Raises NotFound."""
    access.require(core, actor, "user.manage")
    with core.db.reading() as conn:
        return accounts.get_user(conn, id_or_name)


def labels(core: Core) -> dict[str, str]:
    """Return what people call each actor that is a user or a token: ``user:usr_…`` to the name."""
    with core.db.reading() as conn:
        people = {f"user:{user.id}": user.name for user in accounts.users(conn)}
        return people | {f"token:{token.id}": token.name for token in accounts.tokens(conn)}


# Sessions


def sign_in(core: Core, name: str, password: str, ip: str, user_agent: str) -> tuple[str, User]:
    """Return a new session's secret and its user. Raises Unauthenticated, TooManyRequests.

    The throttle comes before the hashing, by address and by account; an unknown user costs the same time.
    """
    by_address = f"sign-in:ip:{ip}"
    throttle(core, by_address, per_minute=throttling.BY_ADDRESS[0], burst=throttling.BY_ADDRESS[1])
    by_name = throttling.passwords_of(core, name)
    with core.db.reading() as conn:
        user = accounts.find_user_by_name(conn, name) if _NAME.fullmatch(name) else None
    usable = user is not None and user.disabled_at is None
    if not passwords.fits(password[: passwords.LONGEST + 1], user.password_hash if user and usable else None):
        with core.db.writing() as conn:
            access.note(conn, SYSTEM, "session.refused", user.id if user else "", {"ip": ip})
        raise Unauthenticated("Username or password is not right.", next_step="Try again.")
    assert user is not None
    with core.db.writing() as conn:
        accounts.give_back(conn, by_address, 1)
        accounts.give_back(conn, by_name, throttling.BY_NAME[1])
        secret, _actor_now = new_session(conn, user, ip=ip, user_agent=user_agent, fresh=True)
    return secret, user


def new_session(
    conn: Connection, user: User, *, ip: str, user_agent: str, fresh: bool, detail: dict[str, object] | None = None
) -> tuple[str, Actor]:
    """Open a session for somebody who proved who they are; ``fresh`` says that they did so just now.

    The oldest sessions of somebody who has very many end.
    """
    secret, now = secrets.token_urlsafe(32), clock.now()
    session = Session(
        id_hash=digest(secret), user_id=user.id, csrf_key=secrets.token_bytes(32), created_at=now, seen_at=now,
        expires_at=clock.later(ABSOLUTE_S), ip=ip, user_agent=user_agent[:200], stepped_up_at=now if fresh else None,
    )
    who = actor_of(user, session)
    accounts.delete_old_sessions(conn, now)
    accounts.delete_oldest_sessions_of(conn, user.id, MOST_SESSIONS - 1)
    accounts.insert_session(conn, session)
    accounts.mark_signed_in(conn, user.id, now)
    access.note(conn, who, "session.open", user.id, {"ip": ip, **(detail or {})})
    return secret, who


def actor_for_session(core: Core, secret: str) -> Actor | None:
    """Return who a session cookie stands for, None when it stands for nobody (any more)."""
    id_hash = digest(secret)
    with core.db.reading() as conn:
        session = accounts.find_session(conn, id_hash)
        user = accounts.find_user(conn, session.user_id) if session else None
    if session is None or user is None or user.disabled_at is not None or session.expires_at <= clock.now():
        return None
    idle = clock.age(session.seen_at)
    if idle > IDLE_S:
        return None
    if abs(idle) > _TOUCH_S:  # seen in the future: the clock was put back, and nothing may last longer for that
        _note_use(core, lambda conn: accounts.touch_session(conn, id_hash, clock.now(), latest=clock.later(ABSOLUTE_S)))
    return actor_of(user, session)


def _note_use(core: Core, write: Callable[[Connection], None]) -> None:
    """Write when something was used last; while the disk is full or cannot be written, whoever reads goes on reading."""
    with suppress(StorageFull, Unavailable), core.db.writing() as conn:
        write(conn)


def prefer(core: Core, actor: Actor, *, language: str | None, theme: str | None) -> None:
    """Remember which language and theme a user chose, for the next browser they sign in with."""
    with core.db.writing() as conn:
        user = accounts.find_user(conn, actor.user_id)
        if user is not None:
            accounts.set_preferences(conn, user.id, language=language or user.language, theme=theme or user.theme)


def sign_out(core: Core, actor: Actor) -> None:
    """End the actor's session."""
    with core.db.writing() as conn:
        accounts.delete_session(conn, actor.session_id)
        access.note(conn, actor, "session.close", actor.user_id)


def actor_of(user: User, session: Session) -> Actor:
    """Return who acts in a session."""
    return Actor(
        name=f"user:{user.id}", role=user.role, label=user.name, session_id=session.id_hash,
        csrf_key=session.csrf_key, via="session", user_id=user.id,
    )


# Tokens


def create_token(core: Core, actor: Actor, *, user: str, name: str, role: Role | None, days: int) -> str:
    """Return the text of a new token, this once.

    Its role is at most its user's; one made by a token can neither do more than that one nor outlive it.
    Raises InvalidInput, Forbidden, Conflict, StepUpNeeded.
    """
    access.require(core, actor, "token.own")
    stepup.require(core, actor, tokens=True)
    if not name.strip() or len(name) > 100:
        raise InvalidInput("A token has a name of 1 to 100 characters.", errors=[FieldError("/name", "1 to 100")])
    if not 1 <= days <= 3650:
        raise InvalidInput("A token lives 1 to 3650 days.", errors=[FieldError("/expires", "1 to 3650")])
    everyones = access.may(core, actor, "user.manage")
    with core.db.writing() as conn:
        owner = accounts.get_user(conn, user)
        if owner.id != actor.user_id and not everyones:
            raise Forbidden("You may create tokens for yourself only.")
        if owner.disabled_at is not None:
            raise Conflict(f"{owner.name} is disabled.")
        ceiling, expires_at = owner.role, clock.later(days * 86400)
        if actor.via == "token":
            ceiling = min(ceiling, actor.role, key=ROLES.index)
            maker = accounts.find_token(conn, actor.name.partition(":")[2])
            expires_at = min(expires_at, maker.expires_at) if maker else expires_at
        wanted = role or ceiling
        if ROLES.index(wanted) > ROLES.index(owner.role):
            raise InvalidInput(
                f"{owner.name} is {owner.role}; a token cannot be more.", errors=[FieldError("/role", "too high")]
            )
        if ROLES.index(wanted) > ROLES.index(ceiling):
            raise Forbidden(f"This token is {actor.role}; it cannot make one that is {wanted}.")
        identity = new_id("tok")
        body = f"{TOKEN_PREFIX}{identity.removeprefix('tok_')}_{secrets.token_urlsafe(32)}"
        text = f"{body}_{zlib.crc32(body.encode()):08x}"
        accounts.insert_token(conn, Token(
            id=identity, user_id=owner.id, name=name.strip(), role=wanted, hash=digest(text), created_at=clock.now(),
            expires_at=expires_at, last_used_at=None, revoked_at=None, created_by=actor.name,
        ))
        access.note(conn, actor, "token.create", identity, {"user": owner.name, "name": name.strip(), "role": wanted})
    return text


def token_of(core: Core, text: str) -> Token:
    """Return the row of a token's text, which was just made."""
    with core.db.reading() as conn:
        return accounts.get_token(conn, f"tok_{text.removeprefix(TOKEN_PREFIX)[:26]}")


def tokens(core: Core, actor: Actor) -> list[Token]:
    """Return the actor's tokens; an admin and the command line see all."""
    with core.db.reading() as conn:
        return accounts.tokens(conn, _whose(core, actor, None))


def page_of_tokens(
    core: Core, actor: Actor, *, user: str | None = None, after: Cursor | None = None, limit: int = 50
) -> Listing[Token]:
    """Return one page of tokens, newest first: the actor's own, or anybody's for an admin and the command line."""
    whose = _whose(core, actor, user)
    with core.db.reading() as conn:
        return accounts.page_of_tokens(conn, whose, after=after, limit=limit)


def _whose(core: Core, actor: Actor, user: str | None) -> str | None:
    """Return the id of the user whose tokens the actor may see, None for everybody's. Raises Forbidden, NotFound."""
    access.require(core, actor, "token.own")
    everyone = access.may(core, actor, "user.manage")
    if user is None or (not everyone and user == actor.user_id):
        return None if everyone else actor.user_id
    if not everyone:
        raise Forbidden("You may see your own tokens only.")
    with core.db.reading() as conn:
        return accounts.get_user(conn, user).id


def revoke(core: Core, actor: Actor, token_id: str) -> Token:
    """Make a token useless. Raises NotFound for one that is not the actor's to revoke."""
    access.require(core, actor, "token.own")
    everyones = access.may(core, actor, "user.manage")
    with core.db.writing() as conn:
        token = accounts.get_token(conn, token_id)
        if token.user_id != actor.user_id and not everyones:
            raise NotFound(f"There is no token {token_id}.")
        accounts.revoke_token(conn, token_id)
        access.note(conn, actor, "token.revoke", token_id)
        return accounts.get_token(conn, token_id)


def actor_for_token(core: Core, text: str) -> Actor:
    """Return who a bearer token stands for. Raises Unauthenticated."""
    refused = Unauthenticated("This token is not valid.", next_step="Create one with `mcpweb tokens create`.")
    match = _TOKEN.fullmatch(text)
    if match is None or f"{zlib.crc32(text.rpartition('_')[0].encode()):08x}" != match[3]:
        raise refused
    with core.db.reading() as conn:
        token = accounts.find_token(conn, f"tok_{match[1]}")
        user = accounts.find_user(conn, token.user_id) if token else None
    if token is None or user is None or not hmac.compare_digest(token.hash, digest(text)):
        raise refused
    if token.revoked_at or token.expires_at <= clock.now() or user.disabled_at:
        raise refused
    if token.last_used_at is None or abs(clock.age(token.last_used_at)) > _TOUCH_S:
        _note_use(core, lambda conn: accounts.touch_token(conn, token.id, clock.now()))
    role = min(token.role, user.role, key=ROLES.index)
    return Actor(name=f"token:{token.id}", role=role, label=token.name, via="token", user_id=user.id)


def digest(text: str) -> str:
    """Return what is kept of a text that opens something."""
    return hashlib.sha256(text.encode()).hexdigest()
