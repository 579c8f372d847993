"""``/``: the fleet on one page."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response

from mcpweb.services import keys, secrets, servers, test_runs, trends
from mcpweb.web import charts
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import may, respond

bp = Blueprint("overview", __name__)
_WORDS = ("success", "failure", "error", "timeout")


@bp.get("/")
@permission("server.view")
def index() -> Response:
    runs = test_runs.listing(core(), actor(), limit=8).rows
    fleet = trends.fleet(core(), actor(), limit=12)
    days = charts.last_days()
    return respond(
        "overview/index.html", overview=servers.overview(core(), actor()), runs=runs,
        expiring=secrets.expiring(core(), actor()) if may("secret.view") else None,
        keys=keys.overview(core(), actor()) if may("key.view") else None,
        fleet=fleet, strips={row.server.id: charts.strip(days, _by_day(row.days)) for row in fleet.rows},
        names=servers.names_of(core(), (r.server_id for r in runs)),
    )


def _by_day(rows: Sequence[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return the counts of each day, all test types together."""
    days: dict[str, Counter[str]] = {}
    for row in rows:
        days.setdefault(str(row["day"]), Counter()).update({word: row[word] for word in _WORDS})
    return days
