"""``users``, ``sessions`` and ``tokens``"""
from __future__ import annotations

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields, validate

from mcpweb.contracts import ROLES
from mcpweb.rest.common import Body, body, many, one
from mcpweb.schemas.objects import session_object, token_object, user_object
from mcpweb.services import accounts
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission

bp = Blueprint("api_people", __name__, description="People, their sessions and tokens")


class NewUser(Body):
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    password = fields.String(required=True)


class NewToken(Body):
    name = fields.String(required=True)
    user = fields.String(load_default=None, allow_none=True)
    role = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(ROLES))
    expires = fields.Integer(load_default=90, validate=validate.Range(1, 3650))


@bp.get("/users")
@permission("user.manage")
def users() -> Response:
    """List users."""
    return many(user_object(row) for row in accounts.users(core(), actor()))


@bp.post("/users")
@permission("user.manage")
def add_user() -> Response:
    """Add a user."""
    user = accounts.add_user(core(), actor(), **body(NewUser))
    return one(user_object(user), 201, location=f"/api/v1/users/{user.id}")


@bp.get("/users/<user_id>")
@permission("user.manage")
def show_user(user_id: str) -> Response:
    """Return one user, by id or name."""
    return one(user_object(accounts.get_user(core(), actor(), user_id)))


@bp.delete("/users/<user_id>")
@permission("user.manage")
def disable_user(user_id: str) -> Response:
    """Disable a user; sessions end at once, the record stays."""
    return one(user_object(accounts.disable(core(), actor(), user_id)))


@bp.get("/sessions")
@permission("session.own")
def sessions() -> Response:
    """List the caller's own sessions."""
    return many(session_object(row) for row in accounts.sessions_of(core(), actor()))


@bp.delete("/sessions/<session_id>")
@permission("session.own")
def end_session(session_id: str) -> Response:
    """End one of the caller's own sessions."""
    accounts.end_session(core(), actor(), session_id)
    return Response(status=204)


@bp.get("/tokens")
@permission("token.own")
def tokens() -> Response:
    """List tokens, without their text."""
    return many(token_object(row) for row in accounts.tokens(core(), actor()))


@bp.post("/tokens")
@permission("token.own")
def create_token() -> Response:
    """Create a token; its text is in this answer only."""
    given = body(NewToken)
    text = accounts.create_token(
        core(), actor(), user=given["user"] or actor().user_id, name=given["name"], role=given["role"],
        days=given["expires"],
    )
    row = next(row for row in accounts.tokens(core(), actor()) if f"_{row.id.removeprefix('tok_')}_" in text)
    return one(token_object(row) | {"token": text}, 201, location=f"/api/v1/tokens/{row.id}")


@bp.delete("/tokens/<token_id>")
@permission("token.own")
def revoke_token(token_id: str) -> Response:
    """Make a token useless, at once."""
    return one(token_object(accounts.revoke(core(), actor(), token_id)))
