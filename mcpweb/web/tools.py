"""The tools of a server: list, a form made from the schema, the call and its result."""
from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request

from mcpweb.errors import Failure, FieldError, InvalidInput, NotFound
from mcpweb.services import jobs, servers
from mcpweb.web import forms
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import check_depth, throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import respond
from mcpweb.web.servers import tab

bp = Blueprint("tools", __name__, url_prefix="/servers/<server_id>/tools")


@bp.get("")
@permission("server.view")
def index(server_id: str) -> Response:
    return _page(server_id, request.args.get("tool"))


@bp.post("")
@permission("server.operate")
def refresh(server_id: str) -> Response:
    throttle_jobs()
    jobs.wait(core(), servers.request(core(), actor(), server_id, "tools").id, 8.0)
    return _page(server_id, None)


@bp.post("/<tool>/call")
@permission("server.operate")
def call(server_id: str, tool: str) -> Response:
    chosen = next((t for t in servers.tools_of(core(), actor(), server_id) if t.name == tool), None)
    if chosen is None:
        raise NotFound(f"There is no tool {tool}.")
    throttle_jobs()
    arguments, failure, job = {}, None, None
    try:
        arguments = _arguments(chosen.definition)
        job = servers.call(core(), actor(), server_id, tool, arguments)
    except InvalidInput as error:
        failure = error
    return _page(server_id, tool, arguments=arguments, failure=failure, job=job, status=failure.status if failure else 200)


@bp.get("/<tool>/result/<job_id>")
@permission("server.view")
def result(server_id: str, tool: str, job_id: str) -> Response:
    job = jobs.get(core(), actor(), job_id)
    return respond("servers/result.html", server_id=server_id, tool=tool, job=job, failure=None)


def _arguments(definition: dict[str, Any]) -> dict[str, Any]:
    if request.form.get("mode") == "json":
        try:
            arguments = json.loads(request.form.get("json") or "{}")
            check_depth(arguments)
        except ValueError as error:
            raise InvalidInput(f"This is not JSON: {error}.", errors=[FieldError("", "not JSON")]) from None
        if not isinstance(arguments, dict):
            raise InvalidInput("The arguments are a JSON object.", errors=[FieldError("", "not an object")])
        return arguments
    return forms.read(definition.get("inputSchema"), request.form)


def _page(
    server_id: str,
    name: str | None,
    *,
    arguments: dict[str, Any] | None = None,
    failure: Failure | None = None,
    job: Any = None,
    status: int = 200,
) -> Response:
    tools = servers.tools_of(core(), actor(), server_id)
    chosen = next((tool for tool in tools if tool.name == name), tools[0] if tools else None)
    return tab(
        server_id, "tools", status=status, tools=tools, chosen=chosen, failure=failure, job=job,
        fields=forms.fields(chosen.definition.get("inputSchema")) if chosen else [], arguments=arguments or {},
        errors={error.pointer: error.detail for error in failure.errors} if failure else {},
    )
