"""``audit``"""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb import apart, clock
from mcpweb.dao.audit import Wanted
from mcpweb.errors import BadCursor, FieldError, InvalidInput
from mcpweb.rest.common import Asked, Body, Page, asked, body, checked, idempotency, many, one, told
from mcpweb.schemas.answers import TEXT, listing
from mcpweb.schemas.objects import audit_object
from mcpweb.schemas.strict import AskedWhole
from mcpweb.services import audit, retention
from mcpweb.web.identity import actor, core

_verifying = threading.Lock()  # one at a time in this process: who asks twice at once gains nothing
bp = Blueprint("api_audit", __name__)


class Filters(Asked):
    actor = fields.String(metadata={"description": "Who, as rows name it: user:…, token:…, cli:…"})
    action = fields.String(metadata={"description": "What, such as secret.replace."})
    target = fields.String(metadata={"description": "On what: an id."})
    since = fields.Date(metadata={"description": "From this day on (UTC)."})
    until = fields.Date(metadata={"description": "Until this day (UTC), which is included."})


class AuditQuery(Filters, Page):
    """Rows, a page at a time."""


class ExportQuery(Filters):
    first = AskedWhole(data_key="from", load_default=1, validate=validate.Range(1), metadata={"description": "First row."})


class Prune(Body):
    older_than_days = fields.Integer(strict=True, validate=validate.Range(1, retention.MOST_DAYS))
    before = fields.Date(metadata={"description": "Rows written before this day (UTC); instead of older_than_days."})


@bp.get("/audit")
@told("audit.view", listing("AuditRow"), query=AuditQuery)
def index() -> Response:
    """List audit rows, newest first."""
    given = checked()
    cursor, limit = given.pop("cursor"), given.pop("limit")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 18):
        raise BadCursor("The cursor is damaged.")
    before = int(cursor) if cursor is not None else None
    found = audit.listing(core(), actor(), before_seq=before, limit=limit, wanted=_wanted(given))
    return many((audit_object(row) for row in found.rows), str(found.next) if found.next else None)


@bp.get("/audit/verify")
@told("audit.view", "AuditVerification")
def verify() -> Response:
    """Check the whole chain and name the first bad row. A process of its own does it, so that nobody else waits."""
    with _verifying:
        return one(apart.run(core().settings, "verify_audit", actor().name))


@bp.get("/audit/export")
@told("audit.view", TEXT, query=ExportQuery, media="application/x-ndjson")
def export() -> Response:
    """Return rows as JSON lines, oldest first. With a filter they are no chain any more and prove less."""
    given = checked()
    first = given.pop("first")
    rows = audit.export(core(), actor(), first, wanted=_wanted(given))

    def lines() -> Iterator[str]:
        for row in rows:
            yield json.dumps(audit_object(row), ensure_ascii=False) + "\n"

    return Response(lines(), content_type="application/x-ndjson")


@bp.post("/audit/prune")
@told("audit.manage", job=True, body=Prune)
def prune() -> Response:
    """Move old rows out of the database into a signed file beside it; without a body, those older than a year."""
    given = body()
    if len(given) > 1:
        raise InvalidInput("Give older_than_days or before.", errors=[FieldError("/before", "not with older_than_days")])
    days = given.get("older_than_days", retention.DAYS)
    before = f"{given['before'].isoformat()} 00:00:00" if "before" in given else clock.later(-days * 86_400)
    return asked(lambda: retention.ask(core(), actor(), before, idempotency()))


def _wanted(given: dict[str, Any]) -> Wanted:
    """Return the filters as rows hold them: days in UTC, the last one included."""
    for name, hour in (("since", "00:00:00"), ("until", "24")):
        if name in given:
            given[name] = f"{given[name].isoformat()} {hour}"
    return Wanted(**given)
