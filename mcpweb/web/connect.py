"""``/servers/<id>/connect``: what to write into a client's file to reach a server."""
from __future__ import annotations

from flask import Blueprint, Response

from mcpweb.services import connect
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.servers import tab

bp = Blueprint("connect", __name__, url_prefix="/servers/<server_id>/connect")


@bp.get("")
@permission("server.view")
def show(server_id: str) -> Response:
    return tab(server_id, "connect", connection=connect.show(core(), actor(), server_id))
