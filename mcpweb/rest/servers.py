"""``servers`` and what can be asked of one"""
from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb import logstore
from mcpweb.rest.common import (
    Asked,
    Body,
    Empty,
    Page,
    Query,
    answered,
    asked,
    body,
    checked,
    expected_revision,
    few,
    idempotency,
    one,
    page,
    query,
    told,
)
from mcpweb.schemas.answers import WHOLE, arrays, listing, ref, thing
from mcpweb.schemas.configurations import load_config_data
from mcpweb.schemas.objects import server_object, tool_object
from mcpweb.schemas.strict import NAMED, AskedWhole
from mcpweb.services import connect, demo, servers
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs

bp = Blueprint("api_servers", __name__)


class ServerQuery(Query):
    prefix = "srv"
    status = fields.String(validate=validate.OneOf(["running", "stopped", "error", "unknown"]))
    name = fields.String()
    image = fields.String()
    q = fields.String()


class NewServer(Body):
    name = fields.String(required=True, validate=NAMED, metadata={"description": "Unique among servers."})
    image = fields.String(required=True, metadata={"description": "An image reference, such as `example/server:1.2`."})
    description = fields.String(load_default="", validate=validate.Length(max=500))
    config_data = fields.Dict(load_default=None, allow_none=True)


class ServerChange(Body):
    description = fields.String(validate=validate.Length(max=500))
    image = fields.String()


class CallBody(Body):
    arguments = fields.Dict(load_default=dict)


class LogQuery(Asked):
    offset = AskedWhole(validate=validate.Range(min=0), metadata={"description": "Where to go on: the `next` before."})
    level = fields.String(validate=validate.OneOf(logstore.LEVELS), metadata={"description": "This level and worse."})
    stream = fields.String(validate=validate.OneOf(logstore.STREAMS))
    q = fields.String(metadata={"description": "Only lines that hold this text."})
    since = fields.String(metadata={"description": "From this moment on (UTC), such as 2026-11-24 or 2026-11-24T08:30:00Z."})
    until = fields.String(metadata={"description": "Until this moment (UTC); a day is included."})


@bp.get("/servers")
@told("server.view", listing("Server"), query=ServerQuery)
def index() -> Response:
    """List servers, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(servers.listing(core(), actor(), after=after, **given), server_object)


@bp.post("/servers")
@told("server.edit", "Server", status=201, body=NewServer)
def create() -> Response:
    """Add a server with an active configuration."""
    given = body()
    document = given.pop("config_data")
    config = load_config_data(document) if document is not None else None
    server = servers.add(core(), actor(), config=config, **given)
    return one(server_object(server), 201, location=f"/api/v1/servers/{server.id}", revision=server.revision)


@bp.get("/servers/<server_id>")
@told("server.view", "Server")
def show(server_id: str) -> Response:
    """Return one server, by id or name."""
    server = servers.get(core(), actor(), server_id)
    return one(server_object(server), revision=server.revision)


@bp.patch("/servers/<server_id>")
@told("server.edit", "Server", body=ServerChange, if_match=True)
def change(server_id: str) -> Response:
    """Change description or image; needs If-Match."""
    expect = expected_revision()
    server = servers.update(core(), actor(), server_id, expect=expect, **body())
    return one(server_object(server), revision=server.revision)


@bp.delete("/servers/<server_id>")
@told("server.edit", job=True)
def remove(server_id: str) -> Response:
    """Stop and remove a server with its results."""
    return asked(lambda: servers.request(core(), actor(), server_id, "remove", idempotency=idempotency()))


def _request(kind: str, name: str, path: str, said: str) -> None:
    def ask(server_id: str) -> Response:
        body()
        return asked(lambda: servers.request(core(), actor(), server_id, kind, idempotency=idempotency()))

    ask.__doc__ = said
    ask.__name__ = name
    view = told(servers.REQUESTS[kind][0], job=True, body=Empty)(ask)
    bp.route(f"/servers/<server_id>/{path}", methods=["POST"], endpoint=name)(view)


for _kind, _said in {
    "start": "Start a server: its container, and a session that answers.", "stop": "Stop a server.",
    "restart": "Stop a server and start it again.", "pull": "Pull the image of a server.",
}.items():
    _request(_kind, _kind, _kind, _said)
_request("tools", "refresh_tools", "tools/refresh", "Ask a server for its tools; a stopped one in a throw-away container.")


@bp.get("/servers/<server_id>/tools")
@told("server.view", listing("Tool"), query=Page)
def tools(server_id: str) -> Response:
    """List the tools last seen."""
    return few((tool_object(row) for row in servers.tools_of(core(), actor(), server_id)), "name")


@bp.post("/servers/<server_id>/tools/<tool>/call")
@told("server.operate", job=True, body=CallBody)
def call(server_id: str, tool: str) -> Response:
    """Call a tool; the job's result holds the raw MCP result."""
    given = body()
    throttle_jobs()
    job = servers.call(core(), actor(), server_id, tool, given["arguments"], idempotency=idempotency())
    return answered(job, 0.0)


@bp.get("/servers/<server_id>/logs")
@told("server.view", thing(items=arrays(ref("LogLine")), next=WHOLE, start_offset=WHOLE, end_offset=WHOLE), query=LogQuery)
def logs(server_id: str) -> Response:
    """Return the newest log lines, or those from an offset on; to follow, ask again with the offset ``next``."""
    found = servers.logs(core(), actor(), server_id, **checked())
    return one({
        "items": [asdict(line) for line in found.lines], "next": found.next_offset,
        "start_offset": found.start_offset, "end_offset": found.end_offset,
    })


@bp.get("/servers/<server_id>/connect")
@told("server.view", "Connection")
def connection(server_id: str) -> Response:
    """Tell what to write into the files of clients to reach a server; values of secrets are not in it."""
    return one(asdict(connect.show(core(), actor(), server_id)))


@bp.get("/servers/<server_id>/stats")
@told("server.view", listing("Sample"), query=Page)
def stats(server_id: str) -> Response:
    """Return the newest samples of a running server."""
    return few(servers.stats(core(), actor(), server_id), "at")


@bp.post("/demo")
@told("server.edit", job=True, body=Empty)
def add_demo() -> Response:
    """Have the demo server built and registered; where it is there already, nothing changes."""
    body()
    return asked(lambda: demo.ask(core(), actor(), idempotency()))
