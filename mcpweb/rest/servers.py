"""``servers`` and what can be asked of one"""
from __future__ import annotations

from dataclasses import asdict

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields, validate

from mcpweb.errors import InvalidInput
from mcpweb.rest.common import (
    Body,
    Query,
    answered,
    asked,
    body,
    expected_revision,
    idempotency,
    many,
    one,
    page,
    query,
)
from mcpweb.schemas.configurations import load_config_data
from mcpweb.schemas.objects import server_object, tool_object
from mcpweb.services import servers
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission

bp = Blueprint("api_servers", __name__, description="MCP servers")


class ServerQuery(Query):
    status = fields.String(validate=validate.OneOf(["running", "stopped", "error", "unknown"]))
    name = fields.String()
    image = fields.String()
    q = fields.String()


class NewServer(Body):
    name = fields.String(required=True)
    image = fields.String(required=True)
    description = fields.String(load_default="", validate=validate.Length(max=500))
    config_data = fields.Dict(load_default=None, allow_none=True)


class ServerChange(Body):
    description = fields.String(validate=validate.Length(max=500))
    image = fields.String()


class CallBody(Body):
    arguments = fields.Dict(load_default=dict)


class LogQuery(Query):
    offset = fields.Integer(validate=validate.Range(min=0))
    level = fields.String()
    stream = fields.String()
    q = fields.String()


@bp.get("/servers")
@permission("server.view")
def index() -> Response:
    """List servers, newest first."""
    given = query(ServerQuery)
    after = given.pop("cursor")
    return page(servers.listing(core(), actor(), after=after, **given), server_object)


@bp.post("/servers")
@permission("server.edit")
def create() -> Response:
    """Add a server with an active configuration."""
    given = body(NewServer)
    document = given.pop("config_data")
    config = load_config_data(document) if document is not None else None
    server = servers.add(core(), actor(), config=config, **given)
    return one(server_object(server), 201, location=f"/api/v1/servers/{server.id}", revision=server.revision)


@bp.get("/servers/<server_id>")
@permission("server.view")
def show(server_id: str) -> Response:
    """Return one server, by id or name."""
    server = servers.get(core(), actor(), server_id)
    return one(server_object(server), revision=server.revision)


@bp.patch("/servers/<server_id>")
@permission("server.edit")
def change(server_id: str) -> Response:
    """Change description or image; needs If-Match."""
    expect = expected_revision()
    server = servers.update(core(), actor(), server_id, expect=expect, **body(ServerChange))
    return one(server_object(server), revision=server.revision)


@bp.delete("/servers/<server_id>")
@permission("server.edit")
def remove(server_id: str) -> Response:
    """Stop and remove a server with its results."""
    return asked(lambda: servers.request(core(), actor(), server_id, "remove", idempotency=idempotency()))


def _request(kind: str, permission_name: str) -> None:
    @permission(permission_name)
    def ask(server_id: str) -> Response:
        body(Body)
        return asked(lambda: servers.request(core(), actor(), server_id, kind, idempotency=idempotency()))

    ask.__doc__ = f"{kind.capitalize()} a server; the answer is the job."
    ask.__name__ = kind
    bp.route(f"/servers/<server_id>/{kind}", methods=["POST"], endpoint=kind)(ask)


for _kind in ("start", "stop", "restart", "pull"):
    _request(_kind, "server.operate")


@bp.get("/servers/<server_id>/tools")
@permission("server.view")
def tools(server_id: str) -> Response:
    """List the tools last seen."""
    return many(tool_object(row) for row in servers.tools_of(core(), actor(), server_id))


@bp.post("/servers/<server_id>/tools/<tool>/call")
@permission("server.operate")
def call(server_id: str, tool: str) -> Response:
    """Call a tool; the job's result holds the raw MCP result."""
    given = body(CallBody)
    throttle_jobs()
    job = servers.call(core(), actor(), server_id, tool, given["arguments"], idempotency=idempotency())
    return answered(job, 0.0)


@bp.get("/servers/<server_id>/logs")
@permission("server.view")
def logs(server_id: str) -> Response:
    """Return log lines; go on with ?offset=<next>."""
    given = query(LogQuery)
    if given.pop("cursor") is not None:
        raise InvalidInput("Logs go on with offset, not with a cursor.")
    given.pop("limit")
    found = servers.logs(core(), actor(), server_id, **given)
    return one({
        "items": [asdict(line) for line in found.lines], "next": found.next_offset,
        "start_offset": found.start_offset, "end_offset": found.end_offset,
    })


@bp.get("/servers/<server_id>/stats")
@permission("server.view")
def stats(server_id: str) -> Response:
    """Return the newest samples of a running server."""
    return many(servers.stats(core(), actor(), server_id))
