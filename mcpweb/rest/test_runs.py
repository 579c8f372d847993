"""``test-types``, ``test-runs`` and ``test-results``"""
from __future__ import annotations

from dataclasses import asdict

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields, validate

from mcpweb.rest.common import Body, Query, answered, body, idempotency, many, one, page, query
from mcpweb.schemas.objects import (
    compared_check_object,
    compared_metric_object,
    result_object,
    series_object,
    test_run_object,
    test_type_object,
)
from mcpweb.services import comparison, findings, test_runs, trends
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission

bp = Blueprint("api_test_runs", __name__, description="Test runs and their verdicts")


class RunQuery(Query):
    server_id = fields.String()
    state = fields.String(validate=validate.OneOf(["queued", "running", "succeeded", "failed", "cancelled"]))
    verdict = fields.String(validate=validate.OneOf(["pass", "fail", "undecided"]))
    test_type = fields.String()
    image_digest = fields.String()
    since = fields.String()
    until = fields.String()


class ResultQuery(Query):
    server_id = fields.String()
    configuration_id = fields.String()
    run_id = fields.String()
    test_type = fields.String()
    tool_name = fields.String()
    check_id = fields.String()
    status = fields.String(validate=validate.OneOf(["success", "failure", "error", "timeout"]))
    severity = fields.String(validate=validate.OneOf(["info", "low", "medium", "high", "critical"]))
    since = fields.String()
    until = fields.String()


class NewRun(Body):
    types = fields.List(fields.String(), load_default=None, allow_none=True)
    configuration = fields.String(load_default=None, allow_none=True)
    profile = fields.String(load_default="quick")
    parameters = fields.Dict(load_default=dict)


class CompareQuery(Query):
    first = fields.String(required=True)
    second = fields.String(required=True)


@bp.get("/test-types")
@permission("test.view")
def types() -> Response:
    """List test types, also those whose plugin is gone."""
    return many(test_type_object(row) for row in test_runs.type_listing(core(), actor()))


@bp.post("/servers/<server_id>/test-runs")
@permission("test.run")
def create(server_id: str) -> Response:
    """Ask for a test run; the answer is the job, whose result names the run."""
    throttle_jobs()
    _, job = test_runs.request(core(), actor(), server_id, idempotency=idempotency(), **body(NewRun))
    return answered(job)


@bp.get("/servers/<server_id>/test-runs")
@permission("test.view")
def of_server(server_id: str) -> Response:
    """List the runs of a server, newest first."""
    given = query(Query)
    listing = test_runs.listing(core(), actor(), after=given["cursor"], limit=given["limit"], server_id=server_id)
    return page(listing, test_run_object)


@bp.get("/test-runs")
@permission("test.view")
def index() -> Response:
    """List runs, newest first."""
    given = query(RunQuery)
    after = given.pop("cursor")
    return page(test_runs.listing(core(), actor(), after=after, **given), test_run_object)


@bp.get("/test-runs/compare")
@permission("test.view")
def compare() -> Response:
    """Compare two runs check by check and number by number; what got worse comes first."""
    given = query(CompareQuery)
    found = comparison.compare(core(), actor(), given["first"], given["second"])
    return one({
        "first": test_run_object(found.first), "second": test_run_object(found.second), "same_subject": found.same_subject,
        "items": [compared_check_object(row) for row in found.checks],
        "metrics": [compared_metric_object(row) for row in found.metrics], "next": None,
    })


@bp.get("/test-runs/<run_id>")
@permission("test.view")
def show(run_id: str) -> Response:
    """Return one run with its results."""
    run = test_runs.get(core(), actor(), run_id)
    found = test_runs.results(core(), actor(), run_id)
    return one(test_run_object(run, found, findings.of_results(core(), found)))


@bp.get("/test-results")
@permission("test.view")
def results() -> Response:
    """List results, newest first."""
    given = query(ResultQuery)
    after = given.pop("cursor")
    listing = test_runs.result_listing(core(), actor(), after=after, **given)
    found = findings.of_results(core(), listing.rows)
    return page(listing, lambda row: result_object(row, found.get(row.id)))


class SeriesQuery(Query):
    name = fields.String()
    tool_name = fields.String(load_default=None)


@bp.get("/servers/<server_id>/trends")
@permission("test.view")
def series(server_id: str) -> Response:
    """List the series of numbers of a server; with ``name`` return the newest ``limit`` numbers of one."""
    given = query(SeriesQuery)
    if "name" not in given:
        return many({"name": name, "tool_name": tool} for name, tool in trends.names(core(), actor(), server_id))
    return one(series_object(trends.series(
        core(), actor(), server_id, given["name"], given["tool_name"], limit=given["limit"]
    )))


@bp.get("/servers/<server_id>/flaky")
@permission("test.view")
def flaky(server_id: str) -> Response:
    """List checks that both held and failed over the last ten runs of the same configuration and image."""
    return many(asdict(row) for row in trends.flaky(core(), actor(), server_id))
