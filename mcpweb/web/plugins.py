"""Plugins: what is loaded, what is broken and why."""
from __future__ import annotations

from flask import Blueprint, Response

from mcpweb.dao import plugin_events
from mcpweb.web.identity import core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import respond

bp = Blueprint("plugins", __name__, url_prefix="/plugins")


@bp.get("")
@permission("plugin.view")
def index() -> Response:
    with core().db.reading() as conn:
        events = plugin_events.recent(conn, limit=20)
    return respond("plugins/index.html", records=list(core().plugins.records.values()), events=events)
