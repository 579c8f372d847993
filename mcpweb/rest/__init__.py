"""JSON under ``/api/v1``: the same services, OpenAPI 3.1 made from the schemas."""
from __future__ import annotations

from typing import Any

from flask import Flask
from flask_smorest import Api

from mcpweb import __version__
from mcpweb.web.permissions import PUBLIC

PREFIX = "/api/v1"


def register_api(app: Flask) -> None:
    """Mount all resources and the document."""
    from mcpweb.rest import configurations, findings, keys, people, schedules, secrets, servers, system, test_cases, test_runs

    app.config.update(
        API_TITLE="Docker MCP Web Manager",
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX=PREFIX,
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
            "security": [{"bearer": []}],
        },
    )
    api = Api(app)
    for module in (servers, configurations, secrets, keys, test_runs, findings, test_cases, schedules, people, system):
        api.register_blueprint(module.bp, url_prefix=PREFIX)
    for endpoint in ("api-docs.openapi_json",):
        app.view_functions[endpoint] = _public(app.view_functions[endpoint])


def _public(view: Any) -> Any:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    wrapped.permission = PUBLIC  # type: ignore[attr-defined]
    return wrapped
