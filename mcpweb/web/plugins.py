"""Plugins: what is loaded, what is broken and why; switched off and allowed again, never installed."""
from __future__ import annotations

from flask import Blueprint, Response, url_for

from mcpweb.dao import plugin_events
from mcpweb.services import plugins
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("plugins", __name__, url_prefix="/plugins")


@bp.get("")
@permission("plugin.view")
def index() -> Response:
    with core().db.reading() as conn:
        events = plugin_events.recent(conn, limit=20)
    return respond("plugins/index.html", records=list(core().plugins.records.values()), events=events, needed=plugins.NEEDED)


@bp.post("/<name>/disable")
@permission("plugin.manage")
def disable(name: str) -> Response:
    plugins.disable(core(), actor(), name)
    return done(url_for("plugins.index"), event="plugin-changed")


@bp.post("/<name>/enable")
@permission("plugin.manage")
def enable(name: str) -> Response:
    plugins.enable(core(), actor(), name)
    return done(url_for("plugins.index"), event="plugin-changed")
