"""The tabs of a server that gather from elsewhere: the secrets its containers get, and what was done with it."""
from __future__ import annotations

from flask import Blueprint, Response

from mcpweb.dao.audit import Wanted
from mcpweb.services import audit, bindings, jobs, servers
from mcpweb.web.configurations import bindable
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import may
from mcpweb.web.secrets import cautions
from mcpweb.web.servers import active_configuration, tab

bp = Blueprint("server_activity", __name__, url_prefix="/servers/<server_id>")
_MOST = 30


@bp.get("/secrets")
@permission("secret.view")
def secrets(server_id: str) -> Response:
    """Show what the active configuration binds, and bind more to it."""
    server = servers.get(core(), actor(), server_id)
    active = active_configuration(server.id)
    return tab(
        server_id, "secrets", configuration=active, form={}, cautions=cautions(), bindable=bindable(active) if active else [],
        bound=bindings.of_configuration(core(), actor(), active.id) if active else [],
    )


@bp.get("/activity")
@permission("job.view")
def activity(server_id: str) -> Response:
    """Show the newest jobs of the server, and to an admin the newest rows of the audit log about it."""
    server = servers.get(core(), actor(), server_id)
    rows = audit.listing(core(), actor(), wanted=Wanted(target=server.id), limit=_MOST).rows if may("audit.view") else None
    return tab(
        server_id, "activity", jobs=jobs.listing(core(), actor(), limit=_MOST, subject=f"server:{server.id}").rows, rows=rows,
    )
