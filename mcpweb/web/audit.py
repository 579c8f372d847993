"""The audit log, for admins."""
from __future__ import annotations

from flask import Blueprint, Response, request

from mcpweb.errors import BadCursor
from mcpweb.services import audit
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import respond

bp = Blueprint("audit", __name__, url_prefix="/audit")


@bp.get("")
@permission("audit.view")
def index() -> Response:
    cursor = request.args.get("cursor", "")
    if cursor and not cursor.isdigit():
        raise BadCursor("The cursor is damaged.")
    listing = audit.listing(core(), actor(), before_seq=int(cursor) if cursor else None)
    return respond("audit/index.html", listing=listing, next=listing.next, cursor=cursor, verified=None)


@bp.post("/verify")
@permission("audit.view")
def verify() -> Response:
    listing = audit.listing(core(), actor())
    return respond("audit/index.html", listing=listing, next=listing.next, cursor="", verified=audit.verify(core(), actor()))
