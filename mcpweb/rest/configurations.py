"""``configurations``"""
from __future__ import annotations

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb.rest.common import Asked, Body, Empty, Page, Query, body, expected_revision, few, one, page, query, told
from mcpweb.schemas.answers import WHOLE, arrays, extended, listing, maybe, ref, thing
from mcpweb.schemas.objects import change_object, configuration_object, job_object, revision_object
from mcpweb.schemas.strict import NAMED, AskedFlag, AskedWhole
from mcpweb.services import configurations
from mcpweb.web.identity import actor, core

bp = Blueprint("api_configurations", __name__)


class ConfigurationQuery(Query):
    prefix = "cfg"
    server_id = fields.String()
    name = fields.String()
    is_active = AskedFlag()


class NewConfiguration(Body):
    server_id = fields.String(required=True)
    name = fields.String(required=True, validate=NAMED)
    description = fields.String(load_default="", validate=validate.Length(max=500))
    config_data = fields.Dict(required=True)


class ConfigurationChange(Body):
    name = fields.String(validate=NAMED)
    description = fields.String(validate=validate.Length(max=500))
    config_data = fields.Dict()


class DifferenceQuery(Asked):
    first = AskedWhole(load_default=None, validate=validate.Range(1))
    second = AskedWhole(load_default=None, validate=validate.Range(1))


class Restoration(Body):
    revision = fields.Integer(required=True, strict=True, validate=validate.Range(1))


@bp.get("/configurations")
@told("server.view", listing("Configuration"), query=ConfigurationQuery)
def index() -> Response:
    """List configurations, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(configurations.listing(core(), actor(), after=after, **given), configuration_object)


@bp.post("/configurations")
@told("server.edit", "Configuration", status=201, body=NewConfiguration)
def create() -> Response:
    """Add a configuration that is not active yet."""
    given = body()
    row = configurations.add(core(), actor(), given.pop("server_id"), **given)
    return one(configuration_object(row), 201, location=f"/api/v1/configurations/{row.id}", revision=row.revision)


@bp.get("/configurations/<configuration_id>")
@told("server.view", "Configuration")
def show(configuration_id: str) -> Response:
    """Return one configuration."""
    row = configurations.get(core(), actor(), configuration_id)
    return one(configuration_object(row), revision=row.revision)


@bp.patch("/configurations/<configuration_id>")
@told("server.edit", "Configuration", body=ConfigurationChange, if_match=True)
def change(configuration_id: str) -> Response:
    """Change a configuration; the earlier revision is kept; needs If-Match."""
    expect = expected_revision()
    row = configurations.update(core(), actor(), configuration_id, expect=expect, **body())
    return one(configuration_object(row), revision=row.revision)


@bp.delete("/configurations/<configuration_id>")
@told("server.edit")
def remove(configuration_id: str) -> Response:
    """Delete a configuration that is not active."""
    configurations.remove(core(), actor(), configuration_id)
    return Response(status=204)


@bp.post("/configurations/<configuration_id>/activate")
@told("server.edit", extended("Configuration", job=maybe(ref("Job"))), body=Empty)
def activate(configuration_id: str) -> Response:
    """Make it the active one; a running server is restarted."""
    body()
    row, job = configurations.activate(core(), actor(), configuration_id)
    return one(configuration_object(row) | {"job": job_object(job) if job else None}, revision=row.revision)


@bp.get("/configurations/<configuration_id>/revisions")
@told("server.view", listing("Revision"), query=Page)
def revisions(configuration_id: str) -> Response:
    """List all revisions, newest first."""
    return few((revision_object(row) for row in configurations.revisions(core(), actor(), configuration_id)), "revision")


@bp.get("/configurations/<configuration_id>/revisions/diff")
@told("server.view", thing(first=WHOLE, second=WHOLE, changes=arrays(ref("Change"))), query=DifferenceQuery)
def differences(configuration_id: str) -> Response:
    """Compare two revisions; by default the last with the one before it."""
    given = query()
    left, right, found = configurations.differences(core(), actor(), configuration_id, given["first"], given["second"])
    return one({"first": left.revision, "second": right.revision, "changes": [change_object(row) for row in found]})


@bp.post("/configurations/<configuration_id>/restore")
@told("server.edit", "Configuration", body=Restoration)
def restore(configuration_id: str) -> Response:
    """Make an earlier revision the newest one; a container gets it at its next start or activation."""
    row = configurations.restore(core(), actor(), configuration_id, body()["revision"])
    return one(configuration_object(row), revision=row.revision)
