"""``test-types``, ``test-runs`` and ``test-results``"""
from __future__ import annotations

import json
from dataclasses import asdict

from flask import Blueprint, Response
from marshmallow import fields, validate

from mcpweb.contracts import SEVERITIES
from mcpweb.reports.junit import junit
from mcpweb.reports.sarif import sarif
from mcpweb.rest.common import Asked, Body, Page, Query, answered, body, checked, few, idempotency, one, page, query, told
from mcpweb.schemas.answers import (
    FLAG,
    JOB_STATES,
    OBJECT,
    RESULT_STATUSES,
    TEXT,
    VERDICTS,
    arrays,
    listing,
    ref,
    thing,
)
from mcpweb.schemas.objects import (
    compared_check_object,
    compared_metric_object,
    result_object,
    series_object,
    test_run_object,
    test_type_object,
)
from mcpweb.services import comparison, findings, reports, test_runs, trends
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs

bp = Blueprint("api_test_runs", __name__)


class OneServersRuns(Query):
    prefix = "run"
    state = fields.String(validate=validate.OneOf(JOB_STATES))
    verdict = fields.String(validate=validate.OneOf(VERDICTS))
    test_type = fields.String()
    image_digest = fields.String()
    since = fields.String(metadata={"description": "From this day or time on (UTC, or with its zone)."})
    until = fields.String(metadata={"description": "Until this day, which is included, or before this time."})


class RunQuery(OneServersRuns):
    server_id = fields.String()


class ResultQuery(Query):
    prefix = "res"
    server_id = fields.String()
    configuration_id = fields.String()
    run_id = fields.String()
    test_type = fields.String()
    tool_name = fields.String()
    check_id = fields.String()
    status = fields.String(validate=validate.OneOf(RESULT_STATUSES))
    severity = fields.String(validate=validate.OneOf(SEVERITIES))
    since = fields.String(metadata={"description": "From this day or time on (UTC, or with its zone)."})
    until = fields.String(metadata={"description": "Until this day, which is included, or before this time."})


class NewRun(Body):
    types = fields.List(fields.String(), load_default=None, allow_none=True)
    configuration = fields.String(load_default=None, allow_none=True)
    profile = fields.String(load_default="quick")
    parameters = fields.Dict(load_default=dict)


class CompareQuery(Asked):
    first = fields.String(required=True)
    second = fields.String(required=True)


COMPARED = listing(
    "ComparedCheck", first=ref("TestRun"), second=ref("TestRun"), same_subject=FLAG, metrics=arrays(ref("ComparedMetric")),
)
SERIES = {"anyOf": [ref("Series"), listing(thing(name=TEXT, tool_name=TEXT))]}


@bp.get("/test-types")
@told("test.view", listing("TestType"), query=Page)
def types() -> Response:
    """List test types, also those whose plugin is gone."""
    return few((test_type_object(row) for row in test_runs.type_listing(core(), actor())), "name")


@bp.post("/servers/<server_id>/test-runs")
@told("test.run", job=True, body=NewRun)
def create(server_id: str) -> Response:
    """Ask for a test run; the answer is the job, whose result names the run."""
    throttle_jobs()
    _, job = test_runs.request(core(), actor(), server_id, idempotency=idempotency(), **body())
    return answered(job)


@bp.get("/servers/<server_id>/test-runs")
@told("test.view", listing("TestRun"), query=OneServersRuns)
def of_server(server_id: str) -> Response:
    """List the runs of a server, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(test_runs.listing(core(), actor(), after=after, server_id=server_id, **given), test_run_object)


@bp.get("/test-runs")
@told("test.view", listing("TestRun"), query=RunQuery)
def index() -> Response:
    """List runs, newest first."""
    given = query()
    after = given.pop("cursor")
    return page(test_runs.listing(core(), actor(), after=after, **given), test_run_object)


@bp.get("/test-runs/compare")
@told("test.view", COMPARED, query=CompareQuery)
def compare() -> Response:
    """Compare two runs check by check and number by number; what got worse comes first."""
    given = checked()
    found = comparison.compare(core(), actor(), given["first"], given["second"])
    return one({
        "first": test_run_object(found.first), "second": test_run_object(found.second), "same_subject": found.same_subject,
        "items": [compared_check_object(row) for row in found.checks],
        "metrics": [compared_metric_object(row) for row in found.metrics], "next": None,
    })


@bp.get("/test-runs/<run_id>")
@told("test.view", "TestRun")
def show(run_id: str) -> Response:
    """Return one run with its results."""
    run = test_runs.get(core(), actor(), run_id)
    found = test_runs.results(core(), actor(), run_id)
    return one(test_run_object(run, found, findings.of_results(core(), found)))


class ReportQuery(Asked):
    format = fields.String(load_default="json", validate=validate.OneOf(["json", "sarif", "junit"]))


@bp.get("/test-runs/<run_id>/report")
@told("test.view", OBJECT, query=ReportQuery, other={"application/sarif+json": OBJECT, "application/xml": TEXT})
def report(run_id: str) -> Response:
    """Return a run as a document to keep: JSON, SARIF 2.1.0 or JUnit XML."""
    wanted = checked()["format"]
    found = reports.report(core(), actor(), run_id)
    if wanted == "junit":
        return Response(junit(found), mimetype="application/xml")
    if wanted == "sarif":
        return Response(json.dumps(sarif(found), ensure_ascii=False), mimetype="application/sarif+json")
    return one(test_run_object(found.run, found.results, found.findings))


@bp.get("/test-results")
@told("test.view", listing("TestResult"), query=ResultQuery)
def results() -> Response:
    """List results, newest first."""
    given = query()
    after = given.pop("cursor")
    rows = test_runs.result_listing(core(), actor(), after=after, **given)
    found = findings.of_results(core(), rows.rows)
    return page(rows, lambda row: result_object(row, found.get(row.id)))


class SeriesQuery(Page):
    name = fields.String()
    tool_name = fields.String(load_default=None)


@bp.get("/servers/<server_id>/trends")
@told("test.view", SERIES, query=SeriesQuery)
def series(server_id: str) -> Response:
    """List the series of numbers of a server; with ``name`` return the newest ``limit`` numbers of one."""
    given = checked()
    if "name" not in given:
        names = trends.names(core(), actor(), server_id)
        return few(({"name": name, "tool_name": tool} for name, tool in names), "name", "tool_name")
    return one(series_object(trends.series(
        core(), actor(), server_id, given["name"], given["tool_name"], limit=given["limit"]
    )))


@bp.get("/servers/<server_id>/flaky")
@told("test.view", listing(thing(check_id=TEXT, tool_name=TEXT, statuses=arrays(TEXT))), query=Page)
def flaky(server_id: str) -> Response:
    """List checks that both held and failed over the last ten runs of the same configuration and image."""
    return few((asdict(row) for row in trends.flaky(core(), actor(), server_id)), "check_id", "tool_name")
