"""Test runs: the button, the list, one run live."""
from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from mcpweb.dao import paging
from mcpweb.dao.test_results import TestResult
from mcpweb.services import jobs, servers, test_runs
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("test_runs", __name__)


@bp.get("/test-runs")
@permission("test.view")
def index() -> Response:
    cursor = request.args.get("cursor")
    listing = test_runs.listing(
        core(), actor(), after=paging.decode(cursor) if cursor else None, verdict=request.args.get("verdict") or None
    )
    names = servers.names_of(core(), (row.server_id for row in listing.rows))
    return respond("test_runs/index.html", listing=listing, names=names, cursor=cursor,
                   next=paging.encode(listing.next) if listing.next else None, verdict=request.args.get("verdict"))


@bp.post("/servers/<server_id>/test-runs")
@permission("test.run")
def create(server_id: str) -> Response:
    throttle_jobs()
    run, _ = test_runs.request(
        core(), actor(), server_id, types=request.form.getlist("type") or None,
        profile=request.form.get("profile", "quick"), configuration=request.form.get("configuration") or None,
    )
    then = url_for("test_runs.show", run_id=run.id)
    return done(then, event="server-changed")


@bp.get("/test-runs/<run_id>")
@permission("test.view")
def show(run_id: str) -> Response:
    run = test_runs.get(core(), actor(), run_id)
    results = test_runs.results(core(), actor(), run_id)
    job = jobs.get(core(), actor(), run.job_id) if run.job_id else None
    titles = {check.id: check.title for kind in core().test_types.values() for check in kind.checks}
    return respond("test_runs/show.html", run=run, groups=_groups(results), job=job, titles=titles,
                   name=servers.name_of(core(), run.server_id), event="test-run-finished" if run.finished else "")


def _groups(results: list[TestResult]) -> list[dict[str, Any]]:
    """Return the results by test type, each type with its title, its checks in order."""
    by_type: dict[str, list[TestResult]] = {}
    for result in sorted(results, key=lambda r: (r.check_id or "", r.tool_name)):
        by_type.setdefault(result.test_type, []).append(result)
    known = core().test_types
    return [
        {"title": known[name].title if name in known else name, "results": rows} for name, rows in sorted(by_type.items())
    ]
