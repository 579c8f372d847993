"""``/`` and ``/settings``"""
from __future__ import annotations

from flask import Blueprint, Response

from mcpweb.services import health, keys, secrets, servers, test_runs
from mcpweb.settings import PREFIX, SETTINGS
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import may, respond

bp = Blueprint("overview", __name__)


@bp.get("/")
@permission("server.view")
def index() -> Response:
    runs = test_runs.listing(core(), actor(), limit=8).rows
    return respond(
        "overview/index.html", overview=servers.overview(core(), actor()), runs=runs,
        expiring=secrets.expiring(core(), actor()) if may("secret.view") else None,
        keys=keys.overview(core(), actor()) if may("key.view") else None,
        newest=servers.listing(core(), actor(), limit=8).rows, names=servers.names_of(core(), (r.server_id for r in runs)),
    )


@bp.get("/settings")
@permission("settings.view")
def settings() -> Response:
    return respond("overview/settings.html", findings=health.findings(core()), settings=SETTINGS, prefix=PREFIX,
                   data_dir=core().settings.data_dir, instance=core().instance)
