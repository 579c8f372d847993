"""``findings`` and ``pins``"""
from __future__ import annotations

from flask import Blueprint, Response, jsonify
from marshmallow import fields, validate

from mcpweb.contracts import SEVERITIES
from mcpweb.dao.pins import Place
from mcpweb.errors import BadCursor
from mcpweb.rest.common import Asked, Body, Empty, Page, Query, body, checked, cursor_of, many, one, page, place_of, query, told
from mcpweb.schemas.answers import COMPONENTS, CONFIDENCES, TEXT, WHOLE, choice, extended, listing
from mcpweb.schemas.objects import field_diff_object, finding_object, pin_object, pin_overview_object
from mcpweb.schemas.strict import Moment
from mcpweb.services import findings, pins
from mcpweb.web.identity import actor, core

bp = Blueprint("api_findings", __name__)


class OneServersFindings(Query):
    prefix = "fnd"
    state = fields.String(validate=validate.OneOf(findings.STATES))
    severity = fields.String(validate=validate.OneOf(SEVERITIES))
    check_id = fields.String()
    test_type = fields.String()
    tool_name = fields.String()
    confidence = fields.String(validate=validate.OneOf(CONFIDENCES))


class FindingQuery(OneServersFindings):
    server_id = fields.String()


class Acceptance(Body):
    reason = fields.String(required=True)
    until = Moment(load_default=None, allow_none=True)


class OneServersPins(Page):
    kind = fields.String(load_default=None, validate=validate.OneOf(pins.KINDS))


class PinQuery(OneServersPins):
    server_id = fields.String(load_default=None)


class DiffQuery(Asked):
    name = fields.String(load_default=None)


class Approval(Body):
    names = fields.List(fields.String(), load_default=None, allow_none=True)
    expect = fields.String(load_default=None, allow_none=True)


class PolicyChange(Body):
    policy = fields.String(required=True, validate=validate.OneOf(pins.POLICIES))


@bp.get("/findings")
@told("test.view", listing("Finding"), query=FindingQuery)
def index() -> Response:
    """List findings of all servers or of one, the newest first."""
    given = query()
    after = given.pop("cursor")
    return page(findings.listing(core(), actor(), after=after, **given), finding_object)


@bp.get("/servers/<server_id>/findings")
@told("test.view", listing("Finding"), query=OneServersFindings)
def of_server(server_id: str) -> Response:
    """List the findings of a server, the newest first."""
    given = query() | {"server_id": server_id}
    after = given.pop("cursor")
    return page(findings.listing(core(), actor(), after=after, **given), finding_object)


@bp.get("/findings/<finding_id>")
@told("test.view", "Finding")
def show(finding_id: str) -> Response:
    """Return one finding."""
    return one(finding_object(findings.get(core(), actor(), finding_id)))


@bp.post("/findings/<finding_id>/accept")
@told("finding.accept", "Finding", body=Acceptance)
def accept(finding_id: str) -> Response:
    """Accept a finding with a reason, until a time (default: 90 days ahead); it no longer counts, and stays visible."""
    given = body()
    return one(finding_object(findings.accept(core(), actor(), finding_id, **given)))


@bp.post("/findings/<finding_id>/withdraw")
@told("finding.accept", "Finding", body=Empty)
def withdraw(finding_id: str) -> Response:
    """End the acceptance of a finding: it counts again."""
    body()
    return one(finding_object(findings.withdraw(core(), actor(), finding_id)))


@bp.get("/pins")
@told("server.view", listing("Pin"), query=PinQuery)
def pin_list() -> Response:
    """List what was approved, each beside what the server says now, by server, kind and name."""
    given = checked()
    rows, after = pins.states(
        core(), actor(), after=_place(given["cursor"]), limit=given["limit"], server_id=given["server_id"], kind=given["kind"]
    )
    return many((pin_object(row) for row in rows), _cursor(after))


@bp.get("/servers/<server_id>/pins")
@told("server.view", listing("Pin", **COMPONENTS["PinCounts"]["properties"]), query=OneServersPins)
def pins_of(server_id: str) -> Response:
    """List what was approved of a server, each beside what it says now; with the policy and the counts."""
    given = checked()
    rows, after = pins.states(
        core(), actor(), after=_place(given["cursor"]), limit=given["limit"], server_id=server_id, kind=given["kind"]
    )
    told = pin_overview_object(pins.overview(core(), actor(), server_id))
    return jsonify({"items": [pin_object(row) for row in rows], "next": _cursor(after), **told})


@bp.get("/servers/<server_id>/pins/diff")
@told("server.view", listing("PinDifference", digest=TEXT, policy=choice(*pins.POLICIES)), query=DiffQuery)
def diff(server_id: str) -> Response:
    """Show field by field how a server differs from what was approved; ``digest`` tells this set of differences from others."""
    name = checked()["name"]
    found = pins.diff(core(), actor(), server_id, name)
    told = pins.overview(core(), actor(), server_id)
    return jsonify({
        "items": [field_diff_object(row) for row in found], "next": None, "digest": told.digest, "policy": told.policy,
    })


@bp.post("/servers/<server_id>/pins/approve")
@told("pin.approve", extended("PinCounts", approved_now=WHOLE), body=Approval, also=(412,))
def approve(server_id: str) -> Response:
    """Approve what a server says now: everything, or what ``names`` holds; 412 when it is not what ``expect`` stands for."""
    given = body()
    count = pins.approve(core(), actor(), server_id, given["names"], expect=given["expect"])
    return one({"approved_now": count, **pin_overview_object(pins.overview(core(), actor(), server_id))})


@bp.put("/servers/<server_id>/pins/policy")
@told("pin.approve", "PinCounts", body=PolicyChange)
def policy(server_id: str) -> Response:
    """Choose what happens to a call of a tool that is not what was approved: block or warn."""
    pins.set_policy(core(), actor(), server_id, body()["policy"])
    return one(pin_overview_object(pins.overview(core(), actor(), server_id)))


def _cursor(after: Place | None) -> str | None:
    return cursor_of(after) if after is not None else None


def _place(text: str | None) -> Place | None:
    """Return where a page begins. Raises BadCursor for anything that we did not encode."""
    if text is None:
        return None
    server_id, kind, name = (str(part) for part in place_of(text, 3))
    if kind not in pins.KINDS:
        raise BadCursor("The cursor is damaged.")
    return server_id, kind, name
