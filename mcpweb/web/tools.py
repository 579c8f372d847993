"""The tools of a server: list, a form made from the schema, the call and its result."""
from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.dao.jobs import Job
from mcpweb.dao.tools import Tool
from mcpweb.errors import Failure, FieldError, InvalidInput, NotFound
from mcpweb.services import jobs, servers
from mcpweb.web import forms
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import check_depth, throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import go, is_partial, respond
from mcpweb.web.servers import tab

bp = Blueprint("tools", __name__, url_prefix="/servers/<server_id>/tools")
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_LARGEST_IMAGE = 2 << 20
_MOST_PIECES = 50


@dataclass(frozen=True)
class Piece:
    """One part of a result as it is shown: text, an image as a data address, or a document."""

    kind: str
    text: str = ""
    url: str = ""
    value: Any = None


@bp.get("")
@permission("server.view")
def index(server_id: str) -> Response:
    job_id = request.args.get("job")
    job = jobs.get(core(), actor(), job_id) if job_id else None
    arguments = job.payload.get("arguments", {}) if job else {}
    return _page(server_id, request.args.get("tool"), arguments=arguments, job=job)


@bp.post("")
@permission("server.operate")
def refresh(server_id: str) -> Response:
    throttle_jobs()
    jobs.wait(core(), servers.request(core(), actor(), server_id, "tools").id, 8.0)
    return go(url_for("tools.index", server_id=server_id))


@bp.post("/<path:tool>/call")
@permission("server.operate")
def call(server_id: str, tool: str) -> Response:
    chosen = next((t for t in servers.tools_of(core(), actor(), server_id) if t.name == tool), None)
    if chosen is None:
        raise NotFound(f"There is no tool {tool}.")
    arguments: dict[str, Any] = {}
    mode = request.form.get("mode", "form")
    try:
        arguments = _arguments(chosen, mode)
        if request.form.get("edit"):
            return _page(server_id, tool, arguments=arguments, mode=request.form["edit"])
        throttle_jobs()
        job = servers.call(core(), actor(), server_id, tool, arguments)
    except InvalidInput as failure:
        return _page(server_id, tool, arguments=arguments, failure=failure, given=request.form.to_dict(), mode=mode)
    if is_partial():
        return _page(server_id, tool, arguments=arguments, job=job, mode=mode)
    return redirect(url_for("tools.index", server_id=server_id, tool=tool, job=job.id), 303)  # type: ignore[return-value]


@bp.get("/<path:tool>/result/<job_id>")
@permission("server.view")
def result(server_id: str, tool: str, job_id: str) -> Response:
    job = jobs.get(core(), actor(), job_id)
    server = servers.get(core(), actor(), server_id)
    return respond("servers/result.html", server=server, tool_name=tool, job=job, pieces=pieces(job))


def _arguments(tool: Tool, mode: str) -> dict[str, Any]:
    if mode != "json":
        return forms.read(tool.definition.get("inputSchema"), request.form)
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
    arguments: dict[str, Any],
    failure: Failure | None = None,
    given: Mapping[str, str] | None = None,
    job: Job | None = None,
    mode: str = "form",
) -> Response:
    tools = servers.tools_of(core(), actor(), server_id)
    chosen = next((tool for tool in tools if tool.name == name), tools[0] if tools else None)
    schema = chosen.definition.get("inputSchema") if chosen else None
    return tab(
        server_id, "tools", http_status=failure.status if failure else 200, tools=tools, chosen=chosen, failure=failure,
        partial="servers/_tool.html" if chosen and request.method == "POST" else "",
        fields=forms.fields(schema), values=given or forms.texts(schema, arguments), mode=mode, job=job,
        json=(given or {}).get("json") or json.dumps(arguments, indent=2, ensure_ascii=False),
        errors={error.pointer: error.detail for error in failure.errors} if failure else {},
        tool_name=chosen.name if chosen else "", pieces=pieces(job) if job else [],
    )


def pieces(job: Job) -> list[Piece]:
    """Return the content of a finished call in parts that can be shown; what is unknown is shown as a document."""
    found = job.result.get("result") if isinstance(job.result, dict) else None
    content = found.get("content") if isinstance(found, dict) else None
    if not isinstance(content, list):
        return []
    return [_piece(part) for part in content[:_MOST_PIECES]]


def _piece(part: Any) -> Piece:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return Piece("text", text=part["text"][:200_000])
    if kind == "image" and part.get("mimeType") in _IMAGES and isinstance(part.get("data"), str):
        try:
            raw = base64.b64decode(part["data"][:_LARGEST_IMAGE], validate=True)
        except (binascii.Error, ValueError):
            return Piece("document", value=part)
        return Piece("image", url=f"data:{part['mimeType']};base64,{base64.b64encode(raw).decode()}")
    return Piece("document", value=part)
