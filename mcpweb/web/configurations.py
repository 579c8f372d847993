"""The configurations of a server: list, add, activate."""
from __future__ import annotations

import json

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.contracts import ConfigData
from mcpweb.errors import Failure, InvalidInput
from mcpweb.services import configurations
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import check_depth
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done
from mcpweb.web.servers import tab

bp = Blueprint("configurations", __name__, url_prefix="/servers/<server_id>/configurations")
_BLANK = json.dumps(ConfigData().to_json(), indent=2)


@bp.get("")
@permission("server.view")
def index(server_id: str) -> Response:
    return _page(server_id, {}, None)


@bp.post("")
@permission("server.edit")
def create(server_id: str) -> Response:
    form = request.form.to_dict()
    try:
        document = _document(form.get("config_data", ""))
        configurations.add(core(), actor(), server_id, name=form.get("name", ""), config_data=document)
    except Failure as failure:
        return _page(server_id, form, failure)
    return redirect(url_for("configurations.index", server_id=server_id), 303)  # type: ignore[return-value]


@bp.post("/<configuration_id>/activate")
@permission("server.edit")
def activate(server_id: str, configuration_id: str) -> Response:
    configurations.activate(core(), actor(), configuration_id)
    then = url_for("configurations.index", server_id=server_id)
    return done(then, event="configuration-activated, server-changed")


def _document(text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
        check_depth(document)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise InvalidInput("A configuration is a JSON object.")
    return document


def _page(server_id: str, form: dict[str, str], failure: Failure | None) -> Response:
    rows = configurations.listing(core(), actor(), server_id=server_id, limit=200).rows
    return tab(
        server_id, "configurations", http_status=failure.status if failure else 200, form=form, failure=failure,
        configurations=sorted(rows, key=lambda row: not row.is_active), blank=_BLANK,
    )
