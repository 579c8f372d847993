"""``configurations``"""
from __future__ import annotations

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate

from mcpweb.rest.common import Body, Query, body, expected_revision, many, one, page, query
from mcpweb.schemas.objects import change_object, configuration_object, job_object, revision_object
from mcpweb.services import configurations
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission

bp = Blueprint("api_configurations", __name__, description="Settings documents of servers")


class ConfigurationQuery(Query):
    server_id = fields.String()


class NewConfiguration(Body):
    server_id = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(load_default="", validate=validate.Length(max=500))
    config_data = fields.Dict(required=True)


class ConfigurationChange(Body):
    name = fields.String()
    description = fields.String(validate=validate.Length(max=500))
    config_data = fields.Dict()


class DifferenceQuery(Schema):
    class Meta:
        unknown = RAISE

    first = fields.Integer(load_default=None, validate=validate.Range(1))
    second = fields.Integer(load_default=None, validate=validate.Range(1))


class Restoration(Body):
    revision = fields.Integer(required=True, strict=True, validate=validate.Range(1))


@bp.get("/configurations")
@permission("server.view")
def index() -> Response:
    """List configurations, newest first."""
    given = query(ConfigurationQuery)
    after = given.pop("cursor")
    return page(configurations.listing(core(), actor(), after=after, **given), configuration_object)


@bp.post("/configurations")
@permission("server.edit")
def create() -> Response:
    """Add a configuration that is not active yet."""
    given = body(NewConfiguration)
    row = configurations.add(core(), actor(), given.pop("server_id"), **given)
    return one(configuration_object(row), 201, location=f"/api/v1/configurations/{row.id}", revision=row.revision)


@bp.get("/configurations/<configuration_id>")
@permission("server.view")
def show(configuration_id: str) -> Response:
    """Return one configuration."""
    row = configurations.get(core(), actor(), configuration_id)
    return one(configuration_object(row), revision=row.revision)


@bp.patch("/configurations/<configuration_id>")
@permission("server.edit")
def change(configuration_id: str) -> Response:
    """Change a configuration; the earlier revision is kept; needs If-Match."""
    expect = expected_revision()
    row = configurations.update(core(), actor(), configuration_id, expect=expect, **body(ConfigurationChange))
    return one(configuration_object(row), revision=row.revision)


@bp.delete("/configurations/<configuration_id>")
@permission("server.edit")
def remove(configuration_id: str) -> Response:
    """Delete a configuration that is not active."""
    configurations.remove(core(), actor(), configuration_id)
    return Response(status=204)


@bp.post("/configurations/<configuration_id>/activate")
@permission("server.edit")
def activate(configuration_id: str) -> Response:
    """Make it the active one; a running server is restarted."""
    body(Body)
    row, job = configurations.activate(core(), actor(), configuration_id)
    return one(configuration_object(row) | {"job": job_object(job) if job else None}, revision=row.revision)


@bp.get("/configurations/<configuration_id>/revisions")
@permission("server.view")
def revisions(configuration_id: str) -> Response:
    """List all revisions, newest first."""
    return many(revision_object(row) for row in configurations.revisions(core(), actor(), configuration_id))


@bp.get("/configurations/<configuration_id>/revisions/diff")
@permission("server.view")
def differences(configuration_id: str) -> Response:
    """Compare two revisions; by default the last with the one before it."""
    given = query(DifferenceQuery)
    left, right, found = configurations.differences(core(), actor(), configuration_id, given["first"], given["second"])
    return one({"first": left.revision, "second": right.revision, "changes": [change_object(row) for row in found]})


@bp.post("/configurations/<configuration_id>/restore")
@permission("server.edit")
def restore(configuration_id: str) -> Response:
    """Make an earlier revision the newest one; a container gets it at its next start or activation."""
    row = configurations.restore(core(), actor(), configuration_id, body(Restoration)["revision"])
    return one(configuration_object(row), revision=row.revision)
