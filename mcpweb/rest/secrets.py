"""``secrets`` and ``bindings``"""
from __future__ import annotations

from datetime import UTC
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import fields, validate

from mcpweb.contracts import Sensitive
from mcpweb.errors import InvalidInput, PreconditionFailed
from mcpweb.rest.common import Body, Query, body, expected_revision, many, one, page, query
from mcpweb.schemas.objects import binding_object, secret_object
from mcpweb.services import bindings, secrets
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission

bp = Blueprint("api_secrets", __name__, description="Encrypted values, and which configurations use them")
_NEEDS = validate.OneOf(["required", "optional", "conditional"])
_WAYS = validate.OneOf(["stdin", "file", "environment"])
_SCOPES = validate.OneOf(["global", "server", "configuration"])


class SecretQuery(Query):
    scope = fields.String(validate=_SCOPES)
    owner_id = fields.String()
    name = fields.String()
    is_active = fields.Boolean()


class NewSecret(Body):
    name = fields.String(required=True)
    value = fields.String(required=True, validate=validate.Length(1, 65536))
    scope = fields.String(load_default="global", validate=_SCOPES)
    owner_id = fields.String(load_default="")
    description = fields.String(load_default="", validate=validate.Length(max=500))
    expires_at = fields.AwareDateTime(load_default=None, allow_none=True)
    key = fields.String(load_default="main", data_key="key_name")


class SecretChange(Body):
    value = fields.String(validate=validate.Length(1, 65536))
    description = fields.String(validate=validate.Length(max=500))
    expires_at = fields.AwareDateTime(allow_none=True)
    is_active = fields.Boolean()


class BindingQuery(Query):
    configuration_id = fields.String()
    secret_id = fields.String()


class NewBinding(Body):
    secret_id = fields.String(required=True)
    configuration_id = fields.String(required=True)
    variable = fields.String(required=True)
    scope = fields.String(required=True, validate=_NEEDS)
    delivery = fields.String(load_default="stdin", validate=_WAYS)
    condition = fields.Dict(keys=fields.String(), values=fields.String(), load_default=None, allow_none=True)
    usage_context = fields.String(load_default="", validate=validate.Length(max=500))


@bp.get("/secrets")
@permission("secret.view")
def index() -> Response:
    """List secrets, newest first; values are never part of it."""
    given = query(SecretQuery)
    after = given.pop("cursor")
    return page(secrets.listing(core(), actor(), after=after, **given), secret_object)


@bp.post("/secrets")
@permission("secret.edit")
def create() -> Response:
    """Add a secret; its value is never returned."""
    given = body(NewSecret)
    row = secrets.add(
        core(), actor(), name=given["name"], value=Sensitive(given["value"]), scope=given["scope"],
        owner_id=given["owner_id"], description=given["description"], expires_at=_time(given["expires_at"]),
        key_name=given["key"],
    )
    return one(secret_object(row), 201, location=f"/api/v1/secrets/{row.id}", revision=row.value_version)


@bp.get("/secrets/<secret_id>")
@permission("secret.view")
def show(secret_id: str) -> Response:
    """Return one secret without its value, and where it is used."""
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    uses = [
        {**binding_object(use.binding), "server_id": use.server.id, "reads": use.reads, "stale": use.stale}
        for use in secrets.where_used(core(), actor(), row.id)
    ]
    return one(secret_object(row) | {"used_by": uses}, revision=row.value_version)


@bp.patch("/secrets/<secret_id>")
@permission("secret.edit")
def change(secret_id: str) -> Response:
    """Replace the value, change what people read, activate or deactivate; needs If-Match with the value's version."""
    expect = expected_revision()
    given = body(SecretChange)
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    if row.value_version != expect:
        raise PreconditionFailed()
    if "description" in given or "expires_at" in given:
        expires = _time(given["expires_at"]) if "expires_at" in given else row.expires_at
        row = secrets.describe(
            core(), actor(), row.id, description=given.get("description", row.description), expires_at=expires
        )
    if "value" in given:
        row = secrets.replace(core(), actor(), row.id, Sensitive(given["value"]))
    if given.get("is_active", row.is_active) != row.is_active:
        row = secrets.set_active(core(), actor(), row.id, given["is_active"])
    return one(secret_object(row), revision=row.value_version)


@bp.delete("/secrets/<secret_id>")
@permission("secret.edit")
def remove(secret_id: str) -> Response:
    """Deactivate a secret; with ?purge=true delete its value for good."""
    purge = request.args.get("purge", "false")
    if purge not in ("true", "false"):
        raise InvalidInput("purge is true or false.")
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    if purge == "true":
        secrets.purge(core(), actor(), row.id)
    else:
        secrets.set_active(core(), actor(), row.id, False)
    return Response(status=204)


@bp.post("/secrets/<secret_id>/reveal")
@permission("secret.reveal")
def reveal(secret_id: str) -> Response:
    """Return the value to an admin who signed in within five minutes; audited before. Tokens are refused."""
    body(Body)
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    return one({"id": row.id, "value": secrets.reveal(core(), actor(), row.id).reveal()})


@bp.get("/bindings")
@permission("secret.view")
def binding_list() -> Response:
    """List the bindings of a configuration or of a secret."""
    given = query(BindingQuery)
    if ("configuration_id" in given) == ("secret_id" in given):
        raise InvalidInput("Give configuration_id or secret_id.")
    rows: list[Any]
    if "configuration_id" in given:
        rows = [binding for binding, _ in bindings.of_configuration(core(), actor(), given["configuration_id"])]
    else:
        rows = [use.binding for use in secrets.where_used(core(), actor(), given["secret_id"])]
    return many(binding_object(row) for row in rows)


@bp.post("/bindings")
@permission("secret.edit")
def bind() -> Response:
    """Let a configuration use a secret; its container gets it at the next start."""
    given = body(NewBinding)
    row = bindings.bind(core(), actor(), given.pop("secret_id"), given.pop("configuration_id"), **given)
    return one(binding_object(row), 201, location=f"/api/v1/bindings/{row.id}")


@bp.delete("/bindings/<binding_id>")
@permission("secret.edit")
def unbind(binding_id: str) -> Response:
    """End the use of a secret by a configuration."""
    bindings.unbind(core(), actor(), binding_id)
    return Response(status=204)


def _time(at: Any) -> str | None:
    """Return a time as rows write it."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.000") if at is not None else None
