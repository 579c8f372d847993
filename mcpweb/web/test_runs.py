"""Test runs: the button, the history with its filters, one run live, one verdict, two runs compared."""
from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.dao import paging
from mcpweb.dao.paging import Listing
from mcpweb.errors import Failure, InvalidInput, NotFound
from mcpweb.services import comparison, findings, jobs, servers, test_runs
from mcpweb.web import matrix
from mcpweb.web.checks import checks, titles
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond

bp = Blueprint("test_runs", __name__)

VERDICTS = ("fail", "undecided", "pass")
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
FILTERS = ("server", "type", "verdict", "state", "since", "until", "image")
MOST_COMPARED = 200


@bp.get("/test-runs")
@permission("test.view")
def index() -> Response:
    cursor = request.args.get("cursor")
    given = {name: request.args.get(name, "").strip()[:100] for name in FILTERS}
    for name, words in (("verdict", VERDICTS), ("state", STATES)):
        if given[name] and given[name] not in words:
            raise InvalidInput(f"{name} is one of {', '.join(words)}.")
    used = {name: value for name, value in given.items() if value}
    failure: Failure | None = None
    try:
        listing = test_runs.listing(
            core(), actor(), after=paging.decode(cursor) if cursor else None, verdict=given["verdict"] or None,
            state=given["state"] or None, server_id=given["server"] or None, test_type=given["type"] or None,
            since=given["since"] or None, until=given["until"] or None, image_digest=given["image"] or None,
        )
    except NotFound as missing:  # a name that was typed into the filter
        listing, failure = Listing((), None), missing
    names = servers.names_of(core(), (row.server_id for row in listing.rows))
    return respond(
        "test_runs/index.html", listing=listing, names=names, cursor=cursor, filters=given, filtered=bool(used), failure=failure,
        url="/test-runs" + (f"?{urlencode(used)}" if used else ""), verdicts=VERDICTS, states=STATES,
        types=test_runs.type_listing(core(), actor()), next=paging.encode(listing.next) if listing.next else None,
        chips={word: "/test-runs?" + urlencode(used | {"verdict": word}) for word in VERDICTS},
        rest="/test-runs?" + urlencode({name: value for name, value in used.items() if name != "verdict"}),
        live=any(not row.finished for row in listing.rows),
    )


@bp.post("/servers/<server_id>/test-runs")
@permission("test.run")
def create(server_id: str) -> Response:
    throttle_jobs()
    image, configuration = (request.form.get(name, "").strip() for name in ("baseline_image", "baseline_configuration"))
    baseline = {"image": image} if image else {"configuration": configuration} if configuration else None
    run, _ = test_runs.request(
        core(), actor(), server_id, types=request.form.getlist("type") or None,
        profile=request.form.get("profile", "quick"), configuration=request.form.get("configuration") or None,
        parameters={"baseline": baseline} if baseline else None,
    )
    then = url_for("test_runs.show", run_id=run.id)
    return done(then, event="server-changed")


@bp.post("/test-runs/<run_id>/again")
@permission("test.run")
def again(run_id: str) -> Response:
    """Ask for the same run once more, with another seed."""
    throttle_jobs()
    run, _ = test_runs.repeat(core(), actor(), run_id)
    return done(url_for("test_runs.show", run_id=run.id), event="server-changed")


@bp.get("/test-runs/compare")
@permission("test.view")
def compare() -> Response:
    if len(chosen := sorted(set(request.args.getlist("run")))) == 2:  # ids are in the order of time
        return redirect(url_for("test_runs.compare", first=chosen[0], second=chosen[1]), 303)  # type: ignore[return-value]
    first, second = request.args.get("first", ""), request.args.get("second", "")
    if not first or not second:
        raise InvalidInput("Choose two runs to compare.", next_step="Mark two runs in the history, then press Compare.")
    both = comparison.compare(core(), actor(), first, second)
    runs = [both.first, both.second]
    alone = {name for names in both.only for name in names}
    rows = [row for row in both.checks if row.change != "same" and row.test_type not in alone]
    numbers = [one for one in both.metrics if not alone or (one.first is not None and one.second is not None)]
    return respond(
        "test_runs/compare.html", both=both, runs=runs, rows=rows[:MOST_COMPARED], numbers=numbers,
        same=sum(row.change == "same" for row in both.checks), titles=titles(),
        names=servers.names_of(core(), (run.server_id for run in runs)),
    )


@bp.get("/test-runs/<run_id>")
@permission("test.view")
def show(run_id: str) -> Response:
    run = test_runs.get(core(), actor(), run_id)
    results = test_runs.results(core(), actor(), run_id)
    job = jobs.get(core(), actor(), run.job_id) if run.job_id else None
    earlier = test_runs.before(core(), actor(), run)
    return respond("test_runs/show.html", run=run, groups=matrix.groups(results, core().test_types, run.types), job=job,
                   titles=titles(), name=servers.name_of(core(), run.server_id), earlier=earlier,
                   event="test-run-finished" if run.finished else "")


@bp.get("/test-runs/<run_id>/results/<result_id>")
@permission("test.view")
def result(run_id: str, result_id: str) -> Response:
    """One verdict in full, and what the same check said of the same tool before."""
    run = test_runs.get(core(), actor(), run_id)
    row = test_runs.result(core(), actor(), result_id)
    if row.run_id != run.id:
        raise NotFound(f"The run {run_id} has no result {result_id}.")
    return respond(
        "test_runs/result.html", run=run, result=row, verdict=matrix.verdict_of(row), check=checks().get(row.check_id or ""),
        name=servers.name_of(core(), run.server_id), history=test_runs.history_of(core(), actor(), row),
        finding=findings.of_results(core(), [row]).get(row.id),
    )
