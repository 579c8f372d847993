"""``jobs``, ``audit``, ``plugins``, ``settings`` and ``doctor``"""
from __future__ import annotations

import threading
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import ValidationError, fields, validate

from mcpweb import apart
from mcpweb.dao.audit import Wanted
from mcpweb.errors import BadCursor, InvalidInput, NotFound
from mcpweb.rest.common import Body, Query, body, many, one, page, query
from mcpweb.schemas.configurations import flatten
from mcpweb.schemas.objects import audit_object, job_object, plugin_object
from mcpweb.services import audit, health, jobs, keeping, retention
from mcpweb.settings import PREFIX, SETTINGS
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission

_verifying = threading.Lock()  # one at a time in this process: who asks twice at once gains nothing
bp = Blueprint("api_system", __name__, description="Background work, audit and health")


class JobQuery(Query):
    state = fields.String(validate=validate.OneOf(["queued", "running", "succeeded", "failed", "cancelled"]))
    kind = fields.String()
    subject = fields.String()


class AuditQuery(Body):
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    cursor = fields.String(load_default=None)
    actor = fields.String()
    action = fields.String()
    target = fields.String()
    since = fields.Date()
    until = fields.Date()


KEEP_HELP = "Test runs older than so many days are deleted with their results; the daily roll-up stays."

KEEP_AUDIT_HELP = "Audit rows older than so many days are moved into signed files, once a day; 0 keeps all in the database."


class Choices(Body):
    keep_results_days = fields.Integer(strict=True, validate=validate.Range(1, keeping.MOST_DAYS))
    keep_audit_days = fields.Integer(strict=True, validate=validate.Range(0, retention.MOST_DAYS))


@bp.get("/jobs")
@permission("job.view")
def job_list() -> Response:
    """List jobs, newest first."""
    given = query(JobQuery)
    after = given.pop("cursor")
    return page(jobs.listing(core(), actor(), after=after, **given), job_object)


@bp.get("/jobs/<job_id>")
@permission("job.view")
def show_job(job_id: str) -> Response:
    """Return one job."""
    return one(job_object(jobs.get(core(), actor(), job_id)))


@bp.post("/jobs/<job_id>/cancel")
@permission("job.cancel")
def cancel(job_id: str) -> Response:
    """Ask a job to stop."""
    body(Body)
    return one(job_object(jobs.cancel(core(), actor(), job_id)))


@bp.get("/audit")
@permission("audit.view")
def audit_list() -> Response:
    """List audit rows, newest first."""
    given = _audit_query()
    listing = audit.listing(core(), actor(), **given)
    return many((audit_object(row) for row in listing.rows), str(listing.next) if listing.next else None)


def _audit_query() -> dict[str, Any]:
    try:
        given = AuditQuery().load(request.args.to_dict())
    except ValidationError as error:
        raise InvalidInput("The query is not valid.", errors=flatten(error.messages)) from None
    cursor = given.pop("cursor")
    if cursor is not None and not (cursor.isdigit() and len(cursor) < 18):
        raise BadCursor("The cursor is damaged.")
    limit = given.pop("limit")
    for name, hour in (("since", "00:00:00"), ("until", "24")):  # days (UTC), the last one included
        if name in given:
            given[name] = f"{given[name].isoformat()} {hour}"
    return {"before_seq": int(cursor) if cursor else None, "limit": limit, "wanted": Wanted(**given)}


@bp.get("/audit/verify")
@permission("audit.view")
def verify() -> Response:
    """Check the whole chain and name the first bad row. A process of its own does it, so that nobody else waits."""
    with _verifying:
        return one(apart.run(core().settings, "verify_audit", actor().name))


@bp.get("/plugins")
@permission("plugin.view")
def plugin_list() -> Response:
    """List plugins with their state."""
    return many(plugin_object(record) for record in core().plugins.records.values())


@bp.get("/plugins/<name>")
@permission("plugin.view")
def plugin(name: str) -> Response:
    """Return one plugin."""
    record = core().plugins.records.get(name)
    if record is None:
        raise NotFound(f"There is no plugin {name}.")
    return one(plugin_object(record))


@bp.get("/settings")
@permission("settings.view")
def settings() -> Response:
    """List the settings there are, which come from outside, and what was chosen for the installation."""
    rows: list[dict[str, Any]] = [{"name": PREFIX + s.name, "default": s.default, "help": s.help} for s in SETTINGS]
    for service, default, text in ((keeping, keeping.DAYS, KEEP_HELP), (retention, 0, KEEP_AUDIT_HELP)):
        rows.append({"name": service.CHOICE, "default": str(default), "value": service.days(core(), actor()), "help": text})
    return many(rows)


@bp.patch("/settings")
@permission("settings.edit")
def choose() -> Response:
    """Change what is chosen for the installation: how many days results of tests and rows of the audit log are kept."""
    given = body(Choices)
    if not given:
        raise InvalidInput("Nothing is chosen.", next_step=f"Give {keeping.CHOICE} or {retention.CHOICE}.")
    for service in (keeping, retention):
        if service.CHOICE in given:
            given[service.CHOICE] = service.set_days(core(), actor(), given[service.CHOICE])
    return one(given)


@bp.get("/doctor")
@permission("settings.view")
def doctor() -> Response:
    """Say what works and what does not."""
    return many(finding.as_object() for finding in health.findings(core()))
