"""``secrets`` and ``bindings``"""
from __future__ import annotations

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb.contracts import Sensitive
from mcpweb.errors import PreconditionFailed
from mcpweb.rest.common import Asked, Body, Empty, Query, body, checked, expected_revision, one, page, query, told
from mcpweb.schemas.answers import FLAG, TEXT, arrays, extended, listing, thing
from mcpweb.schemas.objects import binding_object, secret_object
from mcpweb.schemas.strict import AskedFlag, Flag, Moment
from mcpweb.services import bindings, secrets
from mcpweb.web.identity import actor, core

bp = Blueprint("api_secrets", __name__)
_NEEDS = validate.OneOf(["required", "optional", "conditional"])
_WAYS = validate.OneOf(["stdin", "file", "environment"])
_SCOPES = validate.OneOf(["global", "server", "configuration"])


class SecretQuery(Query):
    prefix = "sec"
    scope = fields.String(validate=_SCOPES)
    owner_id = fields.String()
    name = fields.String()
    is_active = AskedFlag()


class NewSecret(Body):
    name = fields.String(required=True)
    value = fields.String(required=True, validate=validate.Length(1, 65536))
    scope = fields.String(load_default="global", validate=_SCOPES)
    owner_id = fields.String(load_default="")
    description = fields.String(load_default="", validate=validate.Length(max=500))
    expires_at = Moment(load_default=None, allow_none=True)
    key = fields.String(load_default="main", data_key="key_name")


class SecretChange(Body):
    value = fields.String(validate=validate.Length(1, 65536))
    description = fields.String(validate=validate.Length(max=500))
    expires_at = Moment(allow_none=True)
    is_active = Flag()


class Removal(Asked):
    purge = AskedFlag(load_default=False, metadata={"description": "Delete the value for good."})


class BindingQuery(Query):
    prefix = "bnd"
    configuration_id = fields.String()
    secret_id = fields.String()
    variable = fields.String()
    scope = fields.String(validate=_NEEDS)
    delivery = fields.String(validate=_WAYS)


class NewBinding(Body):
    secret_id = fields.String(required=True)
    configuration_id = fields.String(required=True)
    variable = fields.String(required=True)
    scope = fields.String(required=True, validate=_NEEDS)
    delivery = fields.String(load_default="stdin", validate=_WAYS)
    condition = fields.Dict(keys=fields.String(), values=fields.String(), load_default=None, allow_none=True)
    usage_context = fields.String(load_default="", validate=validate.Length(max=500))


@bp.get("/secrets")
@told("secret.view", listing("Secret"), query=SecretQuery)
def index() -> Response:
    """List secrets, newest first; values are never part of it."""
    given = query()
    after = given.pop("cursor")
    return page(secrets.listing(core(), actor(), after=after, **given), secret_object)


@bp.post("/secrets")
@told("secret.edit", "Secret", status=201, body=NewSecret)
def create() -> Response:
    """Add a secret; its value is never returned."""
    given = body()
    row = secrets.add(
        core(), actor(), name=given["name"], value=Sensitive(given["value"]), scope=given["scope"],
        owner_id=given["owner_id"], description=given["description"], expires_at=given["expires_at"],
        key_name=given["key"],
    )
    return one(secret_object(row), 201, location=f"/api/v1/secrets/{row.id}", revision=row.value_version)


@bp.get("/secrets/<secret_id>")
@told("secret.view", extended("Secret", used_by=arrays(extended("Binding", server_id=TEXT, reads=FLAG, stale=FLAG))))
def show(secret_id: str) -> Response:
    """Return one secret without its value, and where it is used."""
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    uses = [
        {**binding_object(use.binding), "server_id": use.server.id, "reads": use.reads, "stale": use.stale}
        for use in secrets.where_used(core(), actor(), row.id)
    ]
    return one(secret_object(row) | {"used_by": uses}, revision=row.value_version)


@bp.patch("/secrets/<secret_id>")
@told("secret.edit", "Secret", body=SecretChange, if_match=True)
def change(secret_id: str) -> Response:
    """Replace the value, change what people read, activate or deactivate; needs If-Match with the value's version."""
    expect = expected_revision()
    given = body()
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    if row.value_version != expect:
        raise PreconditionFailed()
    if "description" in given or "expires_at" in given:
        expires = given.get("expires_at", row.expires_at)
        row = secrets.describe(
            core(), actor(), row.id, description=given.get("description", row.description), expires_at=expires
        )
    if "value" in given:
        row = secrets.replace(core(), actor(), row.id, Sensitive(given["value"]))
    if given.get("is_active", row.is_active) != row.is_active:
        row = secrets.set_active(core(), actor(), row.id, given["is_active"])
    return one(secret_object(row), revision=row.value_version)


@bp.delete("/secrets/<secret_id>")
@told("secret.edit", query=Removal)
def remove(secret_id: str) -> Response:
    """Deactivate a secret; with ?purge=true delete its value for good."""
    purge = checked()["purge"]
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    if purge:
        secrets.purge(core(), actor(), row.id)
    else:
        secrets.set_active(core(), actor(), row.id, False)
    return Response(status=204)


@bp.post("/secrets/<secret_id>/reveal")
@told("secret.reveal", thing(id=TEXT, value=TEXT), body=Empty)
def reveal(secret_id: str) -> Response:
    """Return the value to an admin who signed in within five minutes; audited before. Tokens are refused."""
    body()
    row = secrets.find(core(), actor(), secret_id, inactive_too=True)
    return one({"id": row.id, "value": secrets.reveal(core(), actor(), row.id).reveal()})


@bp.get("/bindings")
@told("secret.view", listing("Binding"), query=BindingQuery)
def binding_list() -> Response:
    """List which configurations use which secrets, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(bindings.listing(core(), actor(), after=after, **given), binding_object)


@bp.post("/bindings")
@told("secret.edit", "Binding", status=201, body=NewBinding)
def bind() -> Response:
    """Let a configuration use a secret; its container gets it at the next start."""
    given = body()
    row = bindings.bind(core(), actor(), given.pop("secret_id"), given.pop("configuration_id"), **given)
    return one(binding_object(row), 201, location=f"/api/v1/bindings/{row.id}")


@bp.delete("/bindings/<binding_id>")
@told("secret.edit")
def unbind(binding_id: str) -> Response:
    """End the use of a secret by a configuration."""
    bindings.unbind(core(), actor(), binding_id)
    return Response(status=204)
