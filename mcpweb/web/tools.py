"""The tools of a server: list, a form made from the schema, the call and its result."""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.dao.jobs import Job
from mcpweb.dao.tools import Tool
from mcpweb.errors import Failure, FieldError, InvalidInput, NotFound
from mcpweb.services import calls, jobs, servers
from mcpweb.web import forms, results
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import check_depth, throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import go, is_partial, respond
from mcpweb.web.servers import tab

bp = Blueprint("tools", __name__, url_prefix="/servers/<server_id>/tools")


@bp.get("")
@permission("server.view")
def index(server_id: str) -> Response:
    """List the tools with one of them open; ``job`` shows a call again, ``from`` only fills the form with its arguments."""
    shown, source = (request.args.get(name) for name in ("job", "from"))
    job = jobs.get(core(), actor(), shown or source or "") if shown or source else None
    arguments = job.payload.get("arguments", {}) if job else None
    return _page(server_id, request.args.get("tool"), arguments=arguments, job=job if shown else None)


@bp.post("")
@permission("server.operate")
def refresh(server_id: str) -> Response:
    throttle_jobs()
    jobs.wait(core(), servers.request(core(), actor(), server_id, "tools").id, 8.0)
    return go(url_for("tools.index", server_id=server_id))


@bp.post("/<path:tool>/call")
@permission("server.operate")
def call(server_id: str, tool: str) -> Response:
    """Call the tool, or only change the form: other rows, another shape, the form as JSON and back."""
    chosen = next((t for t in servers.tools_of(core(), actor(), server_id) if t.name == tool), None)
    if chosen is None:
        raise NotFound(f"There is no tool {tool}.")
    form = request.form.to_dict()
    mode = form.get("mode", "form")
    if form.get("row"):
        return _page(server_id, tool, given=forms.changed(form, form["row"]))
    arguments: dict[str, Any] = {}
    try:
        arguments = _arguments(chosen, mode)
        if form.get("edit"):
            return _page(server_id, tool, arguments=arguments, mode=form["edit"])
        if destructive(chosen) and form.get("confirm") != "yes":
            return _page(server_id, tool, given=form, arguments=arguments, mode=mode, ask=True)
        throttle_jobs()
        job = servers.call(core(), actor(), server_id, tool, arguments)
    except InvalidInput as failure:
        return _page(server_id, tool, arguments=arguments, failure=failure, given=form, mode=mode)
    if is_partial():
        return _page(server_id, tool, arguments=arguments, job=job, mode=mode)
    return redirect(url_for("tools.index", server_id=server_id, tool=tool, job=job.id), 303)  # type: ignore[return-value]


@bp.get("/<path:tool>/result/<job_id>")
@permission("server.view")
def result(server_id: str, tool: str, job_id: str) -> Response:
    job = jobs.get(core(), actor(), job_id)
    server = servers.get(core(), actor(), server_id)
    return respond("servers/result.html", server=server, tool_name=tool, job=job, **_shown(server.name, tool, job))


def destructive(tool: Tool) -> bool:
    """Tell whether a tool says of itself that it destroys; who calls it is asked first."""
    notes = tool.definition.get("annotations")
    return isinstance(notes, Mapping) and notes.get("destructiveHint") is True and notes.get("readOnlyHint") is not True


def _arguments(tool: Tool, mode: str) -> dict[str, Any]:
    if mode != "json":
        arguments = forms.read(tool.definition.get("inputSchema"), request.form)
        check_depth(arguments)
        return arguments
    try:
        arguments = json.loads(request.form.get("json") or "{}")
        check_depth(arguments)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is not JSON: {error}.", errors=[FieldError("", "not JSON")]) from None
    if not isinstance(arguments, dict):
        raise InvalidInput("The arguments are a JSON object.", errors=[FieldError("", "not an object")])
    return arguments


def _page(
    server_id: str,
    name: str | None,
    *,
    arguments: dict[str, Any] | None = None,
    failure: Failure | None = None,
    given: dict[str, str] | None = None,
    job: Job | None = None,
    mode: str = "form",
    ask: bool = False,
) -> Response:
    tools = servers.tools_of(core(), actor(), server_id)
    chosen = next((tool for tool in tools if tool.name == name), tools[0] if tools else None)
    schema = chosen.definition.get("inputSchema") if chosen else None
    if arguments and given is None and mode == "form" and not forms.holds(schema, arguments):
        mode = "json"  # the form would lose something of it
    texts = given if given is not None else None if arguments is None else forms.texts(schema, arguments)
    tool_name = chosen.name if chosen else ""
    return tab(
        server_id, "tools", http_status=422 if ask else failure.status if failure else 200, tools=tools, chosen=chosen,
        failure=failure, partial="servers/_tool.html" if chosen and request.method == "POST" else "", tool_name=tool_name,
        fields=forms.fields(schema, texts), mode=mode, job=job, ask=ask, danger=bool(chosen and destructive(chosen)),
        json=(given or {}).get("json") or json.dumps(arguments or forms.defaults(schema), indent=2, ensure_ascii=False),
        errors={error.pointer: error.detail for error in failure.errors} if failure else {},
        earlier=calls.earlier(core(), actor(), server_id, tool_name) if chosen else [],
        **(_shown(servers.name_of(core(), server_id), tool_name, job) if job else {}),
    )


def _shown(server: str, tool: str, job: Job) -> dict[str, Any]:
    """Return what the result of a call is shown with; nothing of a call that still runs."""
    if job.state != "succeeded":
        return {}
    arguments = job.payload.get("arguments", {})
    path = f"/api/v1/servers/{quote(server, safe='')}/tools/{quote(tool, safe='')}/call"
    then = calls.before(core(), actor(), job)
    return {
        "pieces": results.pieces(job), "structured": results.structured(job), "spans": results.spans(job), "previous": then,
        "differences": results.differences(job, then) if then else [],
        "commands": results.commands(server, tool, arguments, url=request.host_url.rstrip("/") + path),
    }
