"""The API as a page: all operations by area, and each with what it takes, what it answers and how to ask."""
from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from flask import Blueprint, Response, current_app, request

from mcpweb.errors import NotFound
from mcpweb.rest.document import document, operations
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import respond
from mcpweb.web.words import N_

bp = Blueprint("api", __name__, url_prefix="/api")
_DEEPEST = 2
# the areas of the document in the reader's language; a test holds them to be all
AREAS = (
    N_("Servers"), N_("Configurations"), N_("Secrets and bindings"), N_("Keys"), N_("Test runs and results"),
    N_("Findings and pins"),
    N_("Test cases"), N_("Schedules"), N_("Install, export and import"), N_("Users, sessions and tokens"), N_("Audit log"),
    N_("Jobs, plugins, settings and health"),
)


@bp.get("")
@permission("settings.view")
def index() -> Response:
    """Show all operations, or the one that is asked for."""
    if wanted := request.args.get("operation"):
        return _one(wanted)
    found = operations(current_app._get_current_object())  # type: ignore[attr-defined]
    areas = [(area, list(rows)) for area, rows in groupby(found, key=lambda one: one[2]["tags"][0])]
    return respond("api/index.html", areas=areas, count=len(found), base=request.host_url.rstrip("/"))


def _one(operation_id: str) -> Response:
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    found = next((one for one in operations(app) if one[2]["operationId"] == operation_id), None)
    if found is None:
        raise NotFound(f"There is no operation {operation_id[:100]}.")
    method, path, operation = found
    whole = document(app)
    parameters = [
        {"name": one["name"], "where": one["in"], "needed": one.get("required", False), "about": one.get("description", ""),
         "type": kind(one["schema"])}
        for one in (*whole["paths"][path].get("parameters", ()), *operation["parameters"])
    ]
    return respond(
        "api/show.html", method=method, path=path, operation=operation, parameters=parameters, members=_members(whole, operation),
        answers=[_answer(whole, status, answer) for status, answer in operation["responses"].items()],
        command=_command(method, path, operation),
    )


def kind(schema: dict[str, Any]) -> str:
    """Return what a schema takes, in a few words of JSON Schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " | ".join(kind(one) for one in schema[several])
    if "enum" in schema:
        return " | ".join(json.dumps(word) for word in schema["enum"])
    types = schema.get("type", "any")
    words = " | ".join(types) if isinstance(types, list) else str(types)
    if "items" in schema:
        words = words.replace("array", f"array of {kind(schema['items'])}")
    bounds = [
        f"{sign} {schema[name]}" for name, sign in (("minimum", "≥"), ("maximum", "≤"), ("minLength", "≥"), ("maxLength", "≤"))
        if name in schema
    ]
    return f"{words} ({', '.join(bounds)})" if bounds else words


def _members(whole: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the members of the body, in the order of the schema."""
    if "requestBody" not in operation:
        return []
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = _resolved(whole, schema)
    return list(_rows(whole, schema, ""))


def _rows(whole: dict[str, Any], schema: dict[str, Any], prefix: str) -> Iterator[dict[str, Any]]:
    """Yield the members of an object, and below each the members of what it refers to."""
    for name, one in schema.get("properties", {}).items():
        default = json.dumps(one["default"]) if one.get("default") is not None else ""
        yield {"name": prefix + name, "needed": name in schema.get("required", ()), "type": kind(one), "default": default,
               "about": one.get("description", "")}
        if "$ref" in one and prefix.count(".") < _DEEPEST:
            yield from _rows(whole, _resolved(whole, one), f"{prefix}{name}.")


def _answer(whole: dict[str, Any], status: str, answer: dict[str, Any]) -> dict[str, Any]:
    answer = _resolved(whole, answer)
    content = [(media, kind(one["schema"]), _shape(whole, one["schema"])) for media, one in answer.get("content", {}).items()]
    return {"status": status, "about": answer["description"], "content": content}


def _shape(whole: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return the members of an answer as names and types; empty for a problem, which the guide shows."""
    if schema.get("$ref", "").endswith("/Problem"):
        return ""
    found = _resolved(whole, schema)
    if "properties" not in found:
        return ""
    return "\n".join(f"{name}: {kind(one)}" for name, one in found["properties"].items())


def _resolved(whole: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Any = whole
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _command(method: str, path: str, operation: dict[str, Any]) -> str:
    """Return the command that asks this installation, as the reader reaches it."""
    words = ["curl", "-sS"]
    if method != "get":
        words += ["-X", method.upper()]
    headers = ['-H "Authorization: Bearer $TOKEN"']
    if any(one["name"] == "If-Match" for one in operation["parameters"]):
        headers.append("-H 'If-Match: \"1\"'")
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"].get("example", {})
        headers += ["-H 'Content-Type: application/json'", "-d " + shlex.quote(json.dumps(example, ensure_ascii=False))]
    url = shlex.quote(request.host_url.rstrip("/") + path)
    return " \\\n  ".join([" ".join(words), *headers, url])
