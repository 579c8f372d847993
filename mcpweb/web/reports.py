"""A run as a document: to print, and as JSON, SARIF and JUnit XML to keep."""
from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, make_response, render_template

from mcpweb.dao.test_results import TestResult
from mcpweb.errors import NotFound
from mcpweb.reports import Report, is_fail
from mcpweb.reports.junit import junit
from mcpweb.reports.sarif import sarif
from mcpweb.schemas.objects import test_run_object
from mcpweb.services import reports
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission

bp = Blueprint("reports", __name__)

_SEVERITIES = ("critical", "high", "medium", "low", "info")


@bp.get("/test-runs/<run_id>/report")
@permission("test.view")
def page(run_id: str) -> Response:
    report = reports.report(core(), actor(), run_id)
    return make_response(render_template("test_runs/report.html", report=report, run=report.run, **_parts(report)))


def _parts(report: Report) -> dict[str, Any]:
    """Return the results as the page shows them: what counts by severity, what is accepted, what stayed open, what held."""
    ranked = sorted(report.results, key=lambda r: (_rank(r), r.check_id or "", r.tool_name))
    failed = [result for result in ranked if is_fail(result)]
    accepted = [(result, why) for result in failed if (why := report.accepted_as(result)) is not None]
    return {
        "failed": [result for result in failed if report.accepted_as(result) is None],
        "accepted": accepted,
        "undecided": [result for result in ranked if result.status != "success" and not is_fail(result)],
        "passed": [result for result in ranked if result.status == "success"],
    }


def _rank(result: TestResult) -> int:
    return _SEVERITIES.index(result.severity) if result.severity in _SEVERITIES else len(_SEVERITIES)


@bp.get("/test-runs/<run_id>/report.<kind>")
@permission("test.view")
def download(run_id: str, kind: str) -> Response:
    if kind not in ("json", "sarif", "xml"):
        raise NotFound(f"A report is json, sarif or xml, not {kind[:20]}.")
    report = reports.report(core(), actor(), run_id)
    if kind == "xml":
        text, media = junit(report), "application/xml"
    else:
        document = sarif(report) if kind == "sarif" else test_run_object(report.run, report.results, report.findings)
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        media = "application/sarif+json" if kind == "sarif" else "application/json"
    response = Response(text, mimetype=media)
    response.headers["Content-Disposition"] = f'attachment; filename="{report.run.id}.{kind}"'
    return response
