"""The OpenAPI document: made of what the routes say of themselves, with the schemas that check, and an example for each body."""
from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, jsonify, request

from mcpweb import __version__
from mcpweb.rest.examples import EXAMPLES
from mcpweb.rest.told import PROBLEMS, RETRY, Told, described
from mcpweb.schemas.answers import COMPONENTS, ref
from mcpweb.schemas.configurations import ConfigDataSchema
from mcpweb.web.permissions import PUBLIC, permission

ABOUT = """Everything that the command line and the pages can do. Send a token as `Authorization: Bearer …`.

`{id}` takes the id or, where a thing has one, its name. Lists go on with `cursor`, the `next` of the page before. Slow work is
a job: 200 when it is over within 800 ms, else 202 with its Location. PATCH needs the ETag of what was read as `If-Match`.
Failures are problems (RFC 9457) with a stable `code`."""
AREAS = {
    "servers": "Servers", "configurations": "Configurations", "secrets": "Secrets and bindings", "keys": "Keys",
    "test_runs": "Test runs and results", "findings": "Findings and pins", "test_cases": "Test cases",
    "schedules": "Schedules", "transfer": "Install, export and import", "people": "Users, sessions and tokens",
    "audit": "Audit log", "system": "Jobs, plugins, settings and health",
}
METHODS = ("get", "post", "put", "patch", "delete")
_made: dict[tuple[Any, ...], dict[str, Any]] = {}
_IDS = {
    "server_id": "The server's id or name.", "configuration_id": "The configuration's id.",
    "secret_id": "The secret's id or name.", "run_id": "The run's id.", "name": "The name.", "tool": "The tool's name.",
}


def install(app: Flask) -> None:
    """Serve the document of what the application has mounted; it is made when somebody asks for it."""

    @permission(PUBLIC)
    def openapi_json() -> Response:
        response = jsonify(document(app))
        response.add_etag(weak=True)
        return response.make_conditional(request)  # type: ignore[return-value]

    app.add_url_rule("/api/v1/openapi.json", "openapi", openapi_json)


def document(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of this application."""
    routes = [
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower(), view, view.told)
        for rule in app.url_map.iter_rules() if hasattr(view := app.view_functions[rule.endpoint], "told")
        for method in sorted(rule.methods or ()) if method.lower() in METHODS
    ]
    cookie = "__Host-mcpweb" if app.extensions["mcpweb"].settings.secure_cookie else "mcpweb"
    key = (cookie, *sorted((path, method) for path, method, _, _ in routes))
    if key not in _made:
        _made[key] = _tidied(_make(routes, cookie))
    return _made[key]


def _make(routes: Sequence[tuple[str, str, Any, Told]], cookie: str) -> dict[str, Any]:
    spec = APISpec(
        title="Docker MCP Web Manager", version=__version__, openapi_version="3.1.0", plugins=[MarshmallowPlugin()],
        info={"description": ABOUT}, security=[{"bearer": []}, {"session": []}],
        components={"securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API token."},
            "session": {
                "type": "apiKey", "in": "cookie", "name": cookie,
                "description": "Somebody who is signed in; what changes something needs X-CSRF-Token, too.",
            },
        }},
    )
    spec.components.schema("ConfigData", schema=ConfigDataSchema)
    for name, shape in COMPONENTS.items():
        spec.components.schema(name, deepcopy(shape))
    for path, method, view, said in routes:
        names = re.findall(r"\{(\w+)\}", path)
        parameters = [
            {"in": "path", "name": name, "required": True, "description": _IDS.get(name, "The id."),
             "schema": {"type": "string", "minLength": 1}} for name in names
        ]
        spec.path(path, operations={method: deepcopy(described(view, said))}, parameters=parameters)
    found: dict[str, Any] = deepcopy(spec.to_dict())
    return found


def operations(app: Flask) -> list[tuple[str, str, dict[str, Any]]]:
    """Return all operations as (method, path, operation), in the order of the areas."""
    paths = document(app)["paths"]
    found = [(method, path, paths[path][method]) for path in paths for method in METHODS if method in paths[path]]
    order = list(AREAS.values())
    return sorted(found, key=lambda one: order.index(one[2]["tags"][0]) if one[2]["tags"][0] in order else len(order))


def _tidied(made: dict[str, Any]) -> dict[str, Any]:
    made["components"]["responses"] = {str(status): _problem(status) for status in PROBLEMS}
    for one in made["components"]["schemas"].values():
        if one.get("properties", {}).get("config_data", {}).get("type") in ("object", ["object", "null"]):
            one["properties"]["config_data"] = ref("ConfigData")
    used = []
    for path in made["paths"].values():
        for method in METHODS:
            if method in path:
                used.append(_tidy(path[method]))
    made["tags"] = [{"name": name} for name in AREAS.values() if name in used]
    return made


def _tidy(operation: dict[str, Any]) -> str:
    """Give an operation its area, name its problems by reference and add its example; return the area."""
    area = operation["operationId"].partition(".")[0]
    operation["tags"] = [AREAS.get(area, area)]
    for parameter in operation.get("parameters", ()):
        _never_null(parameter["schema"])
    for status in operation["responses"]:
        if int(status) in PROBLEMS:
            operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}
    if "requestBody" in operation and operation["operationId"] in EXAMPLES:
        operation["requestBody"]["content"]["application/json"]["example"] = EXAMPLES[operation["operationId"]]
    return str(operation["tags"][0])


def _never_null(schema: dict[str, Any]) -> None:
    """Take null out of a parameter: an address has no word for it."""
    if isinstance(schema.get("type"), list):
        (schema["type"],) = (kind for kind in schema["type"] if kind != "null")
    if None in schema.get("enum", ()):
        schema["enum"] = [word for word in schema["enum"] if word is not None]
    if schema.get("default", "") is None:
        del schema["default"]


def _problem(status: int) -> dict[str, Any]:
    headers = {"headers": RETRY} if status in (429, 503) else {}
    return {"description": PROBLEMS[status], "content": {"application/problem+json": {"schema": ref("Problem")}}, **headers}
