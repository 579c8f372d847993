"""JSON under ``/api/v1``: the same services, OpenAPI 3.1 made from the schemas."""
from __future__ import annotations

from flask import Flask

PREFIX = "/api/v1"


def register_api(app: Flask) -> None:
    """Mount all resources and the document."""
    from mcpweb.rest import (
        audit,
        configurations,
        document,
        findings,
        keys,
        people,
        schedules,
        secrets,
        servers,
        system,
        test_cases,
        test_runs,
        transfer,
    )

    for module in (
        servers, configurations, secrets, keys, test_runs, findings, test_cases, schedules, people, audit, system, transfer,
    ):
        app.register_blueprint(module.bp, url_prefix=PREFIX)
    document.install(app)
