"""``/`` and ``/settings``"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, request, url_for

from mcpweb.errors import InvalidInput
from mcpweb.services import health, keeping, keys, retention, secrets, servers, test_runs, trends
from mcpweb.settings import PREFIX, SETTINGS
from mcpweb.web import charts
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, may, respond

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


@bp.get("/settings")
@permission("settings.view")
def settings() -> Response:
    return _settings()


@bp.post("/settings")
@permission("settings.edit")
def choose() -> Response:
    """Choose how long results of tests and rows of the audit log are kept."""
    form = {service.CHOICE: request.form.get(service.CHOICE, "").strip() for service in (keeping, retention)}
    try:
        for service in (keeping, retention):
            given = form[service.CHOICE]
            wanted = int(given) if given.isascii() and given.isdigit() and len(given) < 7 else -1
            if wanted != service.days(core(), actor()):
                service.set_days(core(), actor(), wanted)
    except InvalidInput as failure:
        return _settings(failure=failure, form=form)
    return done(url_for("overview.settings"), event="settings-changed")


def _settings(*, failure: InvalidInput | None = None, form: dict[str, str] | None = None) -> Response:
    return respond(
        "overview/settings.html", http_status=failure.status if failure else 200, failure=failure,
        findings=health.findings(core()), settings=SETTINGS, prefix=PREFIX,
        data_dir=core().settings.data_dir, instance=core().instance,
        kept=form or {service.CHOICE: service.days(core(), actor()) for service in (keeping, retention)},
        least_days=retention.LEAST_DAYS, most_days=retention.MOST_DAYS, segments=retention.folder(core()),
    )


def _by_day(rows: Sequence[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return the counts of each day, all test types together."""
    days: dict[str, Counter[str]] = {}
    for row in rows:
        days.setdefault(str(row["day"]), Counter()).update({word: row[word] for word in _WORDS})
    return days
