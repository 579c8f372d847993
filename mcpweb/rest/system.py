"""``jobs``, ``plugins``, ``settings`` and ``doctor``"""
from __future__ import annotations

import zlib
from typing import Any

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb.errors import InvalidInput, PreconditionFailed
from mcpweb.rest.common import Body, Empty, Page, Query, body, expected_revision, few, one, page, query, told
from mcpweb.schemas.answers import JOB_STATES, WHOLE, arrays, listing, ref, thing
from mcpweb.schemas.objects import job_object, plugin_object
from mcpweb.services import health, jobs, keeping, periods, plugins, retention
from mcpweb.services.periods import Period
from mcpweb.settings import PREFIX, SETTINGS
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs

bp = Blueprint("api_system", __name__)


class JobQuery(Query):
    prefix = "job"
    state = fields.String(validate=validate.OneOf(JOB_STATES))
    kind = fields.String()
    subject = fields.String()


CHOSEN = {
    "type": "object", "properties": {period.name: WHOLE for period in periods.PERIODS}, "additionalProperties": False,
}


def _chosen(period: Period) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(0 if period.for_good else period.least, period.most))


class Choices(Body):
    keep_results_days = _chosen(periods.RESULTS)
    keep_jobs_days = _chosen(periods.JOBS)
    keep_logs_days = _chosen(periods.LOGS)
    keep_audit_days = _chosen(periods.AUDIT)
    backup_every_hours = _chosen(periods.BACKUP_HOURS)
    backup_keep = _chosen(periods.BACKUPS)


@bp.get("/jobs")
@told("job.view", listing("Job"), query=JobQuery)
def job_list() -> Response:
    """List jobs, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(jobs.listing(core(), actor(), after=after, **given), job_object)


@bp.get("/jobs/<job_id>")
@told("job.view", "Job")
def show_job(job_id: str) -> Response:
    """Return one job."""
    return one(job_object(jobs.get(core(), actor(), job_id)))


@bp.post("/jobs/<job_id>/cancel")
@told("job.cancel", "Job", body=Empty)
def cancel(job_id: str) -> Response:
    """Ask a job to stop."""
    body()
    return one(job_object(jobs.cancel(core(), actor(), job_id)))


@bp.get("/plugins")
@told("plugin.view", listing("Plugin"), query=Page)
def plugin_list() -> Response:
    """List plugins with their state."""
    return few((plugin_object(record) for record in core().plugins.records.values()), "name")


@bp.get("/plugins/<name>")
@told("plugin.view", "Plugin")
def plugin(name: str) -> Response:
    """Return one plugin."""
    return one(plugin_object(plugins.get(core(), actor(), name)))


@bp.post("/plugins/<name>/disable")
@told("plugin.manage", "Plugin", body=Empty)
def disable_plugin(name: str) -> Response:
    """Call a plugin no more, at once and in every process."""
    body()
    return one(plugin_object(plugins.disable(core(), actor(), name)))


@bp.post("/plugins/<name>/enable")
@told("plugin.manage", "Plugin", body=Empty)
def enable_plugin(name: str) -> Response:
    """Allow a plugin again, out of quarantine too; it is loaded at the next start."""
    body()
    return one(plugin_object(plugins.enable(core(), actor(), name)))


@bp.get("/settings")
@told("settings.view", listing("Setting"), query=Page)
def settings() -> Response:
    """List the settings there are, which come from outside, and what was chosen for the installation."""
    rows: list[dict[str, Any]] = [
        {"name": PREFIX + s.name, "default": s.default, "help": s.help, "value": None, "source": core().settings.source(s.name)}
        for s in SETTINGS
    ]
    values, chosen = periods.every(core(), actor()), periods.chosen(core())
    rows += [
        {"name": p.name, "default": str(p.default), "help": p.help, "value": values[p.name],
         "source": "database" if p.name in chosen else "default"}
        for p in periods.PERIODS
    ]
    response = few(rows, "name")
    response.set_etag(f"{_revision()}.{zlib.crc32(response.get_data()):08x}")
    return response


def _revision() -> int:
    """Return a number that stands for what is chosen now."""
    return zlib.crc32(repr(periods.every(core(), actor())).encode())


@bp.patch("/settings")
@told("settings.edit", CHOSEN, body=Choices, if_match=True)
def choose() -> Response:
    """Change what is chosen: how many days results, jobs, logs and audit rows are kept, how often a backup is made."""
    expect = expected_revision()
    given = body()
    if not given:
        raise InvalidInput("Nothing is chosen.", next_step=f"Give {' or '.join(period.name for period in periods.PERIODS)}.")
    if expect != _revision():
        raise PreconditionFailed()
    return one(periods.set_all(core(), actor(), given))


@bp.get("/doctor")
@told("settings.view", listing("DoctorFinding"), query=Page)
def doctor() -> Response:
    """Say what works and what does not."""
    return few((finding.as_object() for finding in health.findings(core())), "name")


@bp.post("/settings/retention/run")
@told("settings.edit", thing(jobs=arrays(ref("Job"))), body=Empty, also=(429,))
def run_retention() -> Response:
    """Delete and move now what the next run would; the jobs that do it, none where nothing is due."""
    body()
    throttle_jobs()
    made = [service.request(core(), actor()) for service in (keeping, retention)]
    return one({"jobs": [job_object(job) for job in made if job is not None]})
