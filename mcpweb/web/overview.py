"""``/`` and ``/settings``"""
from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from mcpweb.errors import InvalidInput
from mcpweb.services import health, keeping, keys, retention, secrets, servers, test_runs
from mcpweb.settings import PREFIX, SETTINGS
from mcpweb.web.identity import actor, core
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, may, respond

bp = Blueprint("overview", __name__)


@bp.get("/")
@permission("server.view")
def index() -> Response:
    runs = test_runs.listing(core(), actor(), limit=8).rows
    return respond(
        "overview/index.html", overview=servers.overview(core(), actor()), runs=runs,
        expiring=secrets.expiring(core(), actor()) if may("secret.view") else None,
        keys=keys.overview(core(), actor()) if may("key.view") else None,
        newest=servers.listing(core(), actor(), limit=8).rows, names=servers.names_of(core(), (r.server_id for r in runs)),
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
