"""``users``, ``sessions`` and ``tokens``"""
from __future__ import annotations

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb.contracts import ROLES
from mcpweb.dao.paging import Cursor
from mcpweb.rest.common import Asked, Body, Query, body, checked, expected_revision, many, one, page, query, told
from mcpweb.schemas.answers import TEXT, WHOLE, extended, listing, thing
from mcpweb.schemas.objects import session_object, token_object, user_object
from mcpweb.schemas.strict import Flag
from mcpweb.services import accounts, people
from mcpweb.web.identity import actor, core

bp = Blueprint("api_people", __name__)


class NewUser(Body):
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    password = fields.String(required=True)


class UserChange(Body):
    role = fields.String(validate=validate.OneOf(ROLES))
    disabled = Flag()
    password = fields.String()


class Users(Query):
    prefix = "usr"


class Whose(Asked):
    user = fields.String(load_default=None, metadata={"description": "Whose; for admins."})


class Sessions(Query):
    prefix = "ses"
    user = fields.String(load_default=None, metadata={"description": "Whose; for admins."})


class Tokens(Query):
    prefix = "tok"
    user = fields.String(load_default=None, metadata={"description": "Whose; for admins."})


class NewToken(Body):
    name = fields.String(required=True)
    user = fields.String(load_default=None, allow_none=True)
    role = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(ROLES))
    expires = fields.Integer(strict=True, load_default=90, validate=validate.Range(1, 3650))


@bp.get("/users")
@told("user.manage", listing("User"), query=Users)
def users() -> Response:
    """List users, newest first."""
    given = query()
    return page(accounts.page_of_users(core(), actor(), after=given["cursor"], limit=given["limit"]), user_object)


@bp.post("/users")
@told("user.manage", "User", status=201, body=NewUser)
def add_user() -> Response:
    """Add a user."""
    user = accounts.add_user(core(), actor(), **body())
    return one(user_object(user), 201, location=f"/api/v1/users/{user.id}", revision=user.revision)


@bp.get("/users/<user_id>")
@told("user.manage", "User")
def show_user(user_id: str) -> Response:
    """Return one user, by id or name."""
    user = accounts.get_user(core(), actor(), user_id)
    return one(user_object(user), revision=user.revision)


@bp.patch("/users/<user_id>")
@told("user.manage", "User", body=UserChange, if_match=True)
def change_user(user_id: str) -> Response:
    """Change role, password, or whether a user is disabled; needs If-Match. The user's sessions end."""
    expect = expected_revision()
    user = people.change(core(), actor(), user_id, expect=expect, **body())
    return one(user_object(user), revision=user.revision)


@bp.delete("/users/<user_id>")
@told("user.manage", "User", changes=True)
def disable_user(user_id: str) -> Response:
    """Disable a user; sessions end at once, the record stays."""
    user = people.disable(core(), actor(), user_id)
    return one(user_object(user), revision=user.revision)


@bp.get("/sessions")
@told("session.own", listing("Session"), query=Sessions)
def sessions() -> Response:
    """List one's own sessions, opened last first; an admin names anybody with ``user``."""
    given = query()
    rows = sorted(people.sessions(core(), actor(), given["user"]), key=lambda row: (row.created_at, row.id_hash), reverse=True)
    after: Cursor | None = given["cursor"]
    if after is not None:
        rows = [row for row in rows if (row.created_at, f"ses_{row.id_hash[:people.SHOWN]}") < (after.created_at, after.id)]
    shown, limit = rows[: given["limit"]], given["limit"]
    last = Cursor(shown[-1].created_at, f"ses_{shown[-1].id_hash[:people.SHOWN]}") if len(rows) > limit else None
    return many((session_object(row, current=row.id_hash == actor().session_id) for row in shown), last)


@bp.delete("/sessions")
@told("session.own", thing(ended=WHOLE), query=Whose, changes=True)
def end_sessions() -> Response:
    """End all of one's own sessions but the one that asks; an admin ends anybody's."""
    return one({"ended": people.end_sessions(core(), actor(), checked()["user"])})


@bp.delete("/sessions/<session_id>")
@told("session.own")
def end_session(session_id: str) -> Response:
    """End one of one's own sessions; an admin ends anybody's."""
    people.end_session(core(), actor(), session_id)
    return Response(status=204)


@bp.get("/tokens")
@told("token.own", listing("Token"), query=Tokens)
def tokens() -> Response:
    """List tokens without their text, newest first: one's own; for an admin everybody's, or those of ``user``."""
    given = query()
    found = accounts.page_of_tokens(core(), actor(), user=given["user"], after=given["cursor"], limit=given["limit"])
    return page(found, token_object)


@bp.post("/tokens")
@told("token.own", extended("Token", token=TEXT), status=201, body=NewToken)
def create_token() -> Response:
    """Create a token; its text is in this answer only."""
    given = body()
    text = accounts.create_token(
        core(), actor(), user=given["user"] or actor().user_id, name=given["name"], role=given["role"],
        days=given["expires"],
    )
    row = accounts.token_of(core(), text)
    return one(token_object(row) | {"token": text}, 201, location=f"/api/v1/tokens/{row.id}")


@bp.delete("/tokens/<token_id>")
@told("token.own", "Token", changes=True)
def revoke_token(token_id: str) -> Response:
    """Make a token useless, at once."""
    return one(token_object(accounts.revoke(core(), actor(), token_id)))
