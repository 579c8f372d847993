"""``findings`` and ``pins``"""
from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC

from flask import Response, jsonify
from flask_smorest import Blueprint
from marshmallow import fields, validate

from mcpweb.contracts import SEVERITIES
from mcpweb.dao.pins import Place
from mcpweb.errors import BadCursor
from mcpweb.rest.common import Body, Query, body, checked, many, one, page, query
from mcpweb.schemas.objects import field_diff_object, finding_object, pin_object, pin_overview_object
from mcpweb.services import findings, pins
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission

bp = Blueprint("api_findings", __name__, description="What test runs found, and what was approved of servers")
_LONGEST_CURSOR = 8000


class FindingQuery(Query):
    server_id = fields.String()
    state = fields.String(validate=validate.OneOf(findings.STATES))
    severity = fields.String(validate=validate.OneOf(SEVERITIES))
    check_id = fields.String()
    test_type = fields.String()
    tool_name = fields.String()


class Acceptance(Body):
    reason = fields.String(required=True)
    until = fields.AwareDateTime(load_default=None, allow_none=True)


class PinQuery(Body):
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    cursor = fields.String(load_default="")
    server_id = fields.String(load_default=None)
    kind = fields.String(load_default=None, validate=validate.OneOf(pins.KINDS))


class DiffQuery(Body):
    name = fields.String(load_default=None)


class Approval(Body):
    names = fields.List(fields.String(), load_default=None, allow_none=True)
    expect = fields.String(load_default=None, allow_none=True)


class PolicyChange(Body):
    policy = fields.String(required=True, validate=validate.OneOf(pins.POLICIES))


@bp.get("/findings")
@permission("test.view")
def index() -> Response:
    """List findings of all servers or of one, the newest first."""
    given = query(FindingQuery)
    after = given.pop("cursor")
    return page(findings.listing(core(), actor(), after=after, **given), finding_object)


@bp.get("/servers/<server_id>/findings")
@permission("test.view")
def of_server(server_id: str) -> Response:
    """List the findings of a server, the newest first."""
    given = query(FindingQuery) | {"server_id": server_id}
    after = given.pop("cursor")
    return page(findings.listing(core(), actor(), after=after, **given), finding_object)


@bp.get("/findings/<finding_id>")
@permission("test.view")
def show(finding_id: str) -> Response:
    """Return one finding."""
    return one(finding_object(findings.get(core(), actor(), finding_id)))


@bp.post("/findings/<finding_id>/accept")
@permission("finding.accept")
def accept(finding_id: str) -> Response:
    """Accept a finding with a reason, until a time (default: 90 days ahead); it no longer counts, and stays visible."""
    given = body(Acceptance)
    until = given["until"]
    text = until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.000") if until is not None else None
    return one(finding_object(findings.accept(core(), actor(), finding_id, reason=given["reason"], until=text)))


@bp.post("/findings/<finding_id>/withdraw")
@permission("finding.accept")
def withdraw(finding_id: str) -> Response:
    """End the acceptance of a finding: it counts again."""
    body(Body)
    return one(finding_object(findings.withdraw(core(), actor(), finding_id)))


@bp.get("/pins")
@permission("server.view")
def pin_list() -> Response:
    """List what was approved, each beside what the server says now, by server, kind and name."""
    given = checked(PinQuery)
    rows, after = pins.states(
        core(), actor(), after=_place(given["cursor"]), limit=given["limit"], server_id=given["server_id"], kind=given["kind"]
    )
    return many((pin_object(row) for row in rows), _cursor(after))


@bp.get("/servers/<server_id>/pins")
@permission("server.view")
def pins_of(server_id: str) -> Response:
    """List what was approved of a server, each beside what it says now; with the policy and the counts."""
    given = checked(PinQuery)
    rows, after = pins.states(
        core(), actor(), after=_place(given["cursor"]), limit=given["limit"], server_id=server_id, kind=given["kind"]
    )
    told = pin_overview_object(pins.overview(core(), actor(), server_id))
    return jsonify({"items": [pin_object(row) for row in rows], "next": _cursor(after), **told})


@bp.get("/servers/<server_id>/pins/diff")
@permission("server.view")
def diff(server_id: str) -> Response:
    """Show field by field how a server differs from what was approved; ``digest`` tells this set of differences from others."""
    name = checked(DiffQuery)["name"]
    found = pins.diff(core(), actor(), server_id, name)
    told = pins.overview(core(), actor(), server_id)
    return jsonify({
        "items": [field_diff_object(row) for row in found], "next": None, "digest": told.digest, "policy": told.policy,
    })


@bp.post("/servers/<server_id>/pins/approve")
@permission("pin.approve")
def approve(server_id: str) -> Response:
    """Approve what a server says now: everything, or what ``names`` holds; 412 when it is not what ``expect`` stands for."""
    given = body(Approval)
    count = pins.approve(core(), actor(), server_id, given["names"], expect=given["expect"])
    return one({"approved_now": count, **pin_overview_object(pins.overview(core(), actor(), server_id))})


@bp.put("/servers/<server_id>/pins/policy")
@permission("pin.approve")
def policy(server_id: str) -> Response:
    """Choose what happens to a call of a tool that is not what was approved: block or warn."""
    pins.set_policy(core(), actor(), server_id, body(PolicyChange)["policy"])
    return one(pin_overview_object(pins.overview(core(), actor(), server_id)))


def _cursor(after: Place | None) -> str | None:
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=") if after is not None else None


def _place(text: str) -> Place | None:
    """Return where a page begins. Raises BadCursor for anything that we did not encode."""
    if not text:
        return None
    try:
        if len(text) > _LONGEST_CURSOR:
            raise ValueError
        place = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        server_id, kind, name = place
    except (binascii.Error, ValueError, TypeError):
        raise BadCursor("The cursor is damaged.") from None
    if not all(isinstance(part, str) for part in (server_id, kind, name)) or kind not in pins.KINDS:
        raise BadCursor("The cursor is damaged.")
    return server_id, kind, name
