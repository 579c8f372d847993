"""``keys``"""
from __future__ import annotations

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields

from mcpweb.rest.common import Body, asked, body, idempotency, many, one
from mcpweb.schemas.objects import key_object
from mcpweb.services import keys
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission

bp = Blueprint("api_keys", __name__, description="What encrypts the secrets")


class NewKey(Body):
    name = fields.String(required=True)
    cipher = fields.String(load_default="A256GCM")
    source = fields.String(load_default=None, allow_none=True)


class Rotate(Body):
    compromised = fields.Boolean(load_default=False)


@bp.get("/keys")
@permission("key.view")
def index() -> Response:
    """List the keys with their versions; no material."""
    return many(key_object(facts) for facts in keys.listing(core(), actor()))


@bp.post("/keys")
@permission("key.manage")
def create() -> Response:
    """Add a named key."""
    facts = keys.add(core(), actor(), **body(NewKey))
    return one(key_object(facts), 201, location=f"/api/v1/keys/{facts.key.key_name}")


@bp.get("/keys/<name>")
@permission("key.view")
def show(name: str) -> Response:
    """Return one key."""
    return one(key_object(keys.get(core(), actor(), name)))


@bp.post("/keys/<name>/rotate")
@permission("key.manage")
def rotate(name: str) -> Response:
    """Make a new version active; the job brings every secret to it."""
    given = body(Rotate)
    return asked(lambda: keys.rotate(core(), actor(), name, compromised=given["compromised"], idempotency=idempotency()))
