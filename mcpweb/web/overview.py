"""``/``: the fleet on one page, what needs attention, and the first steps of a new installation."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from mcpweb.services import demo, jobs, keys, secrets, servers, test_runs, trends
from mcpweb.web import charts
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import STEPS_COOKIE, may, respond

bp = Blueprint("overview", __name__)
_WORDS = ("success", "failure", "error", "timeout")
_DEMO_WAIT_S = 0.8


@bp.get("/")
@permission("server.view")
def index() -> Response:
    runs = test_runs.listing(core(), actor(), limit=6).rows
    fleet = trends.fleet(core(), actor(), limit=12)
    days = charts.last_days()
    seen = servers.overview(core(), actor())
    failing = trends.failing(core(), actor(), limit=4)
    lately = jobs.listing(core(), actor(), limit=6).rows
    broken = servers.listing(core(), actor(), status="error", limit=4).rows if seen.counts.get("error") else ()
    return respond(
        "overview/index.html", overview=seen, runs=runs, failing=failing, broken=broken, jobs=lately,
        expiring=secrets.expiring(core(), actor()) if may("secret.view") else None,
        keys=keys.overview(core(), actor()) if may("key.view") else None,
        fleet=fleet, strips={row.server.id: charts.strip(days, _by_day(row.days)) for row in fleet.rows},
        names=servers.names_of(core(), [
            *(run.server_id for run in (*runs, *failing)), *(job.subject.partition(":")[2] for job in lately),
        ]),
        steps=_steps(seen, fleet, any(run.finished for run in runs)),
    )


@bp.post("/demo")
@permission("server.edit")
def add_demo() -> Response:
    """Have the demo server built and registered."""
    throttle_jobs()
    jobs.wait(core(), demo.ask(core(), actor()).id, _DEMO_WAIT_S)
    return redirect(url_for("overview.index"), 303)  # type: ignore[return-value]


def _steps(seen: servers.Overview, fleet: trends.Fleet, tested: bool) -> dict[str, Any] | None:
    """Return the first steps with what is done of them; None when all are, they were sent away, or are not for this person."""
    if request.cookies.get(STEPS_COOKIE) == "off" or not may("server.edit"):
        return None
    rows = [row.server for row in fleet.rows]
    running = next((row for row in rows if row.status == "running"), None)
    done = {
        "engine": bool(seen.engine and seen.engine.value.get("state", "") == "reachable") and seen.working,
        "server": bool(rows), "start": bool(running) or tested, "test": tested,
    }
    if all(done.values()) or (rows and tested):  # an engine that went away later is told of above
        return None
    return {
        "done": done, "running": running, "first": rows[0] if rows else None,
        "adding": next(iter(jobs.open_for(core(), actor(), ["demo"]).values()), None),
        "failed": None if rows else _failed_demo(),
    }


def _failed_demo() -> Any:
    last = jobs.newest(core(), "demo", "demo")
    return last.error if last is not None and last.state == "failed" else None


def _by_day(rows: Sequence[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return the counts of each day, all test types together."""
    days: dict[str, Counter[str]] = {}
    for row in rows:
        days.setdefault(str(row["day"]), Counter()).update({word: row[word] for word in _WORDS})
    return days
