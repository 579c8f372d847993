"""``/settings``: what is set and where that comes from, how long things are kept, and whether all of it works."""
from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for

from mcpweb.contracts import Setting
from mcpweb.errors import InvalidInput
from mcpweb.services import health, jobs, keeping, periods, retention, rounds
from mcpweb.settings import PREFIX, SETTINGS
from mcpweb.web.identity import actor, core
from mcpweb.web.limits import throttle_jobs
from mcpweb.web.permissions import permission
from mcpweb.web.rendering import done, respond
from mcpweb.web.words import N_

bp = Blueprint("settings", __name__, url_prefix="/settings")
_GROUPS = (
    (N_("General"), ("DATA_DIR", "CONFIG", "LOG_FORMAT", "LOG_LEVEL")),
    (N_("Web server"), ("BIND", "PUBLIC_URL", "TRUSTED_HOSTS", "TRUSTED_PROXIES", "WEB_WORKERS")),
    (N_("Security"), ("KEY_FILE", "KEY_SOURCE", "KEY_ENV", "PASSPHRASE_FILE", "BIND_ROOTS")),
    (N_("Plugins"), ("PLUGINS_DIR", "PLUGINS_OFF", "PLUGINS_ALLOW")),
)
_JOBS = (("retention", "results"), ("prune_audit", "audit"), (rounds.KIND, rounds.SUBJECT))
_OTHERS = N_("For experts and tests")


@dataclass(frozen=True)
class Shown:
    """One setting as a row: its value in force, ``None`` for what is never shown, and its source."""

    name: str
    help: str
    value: str | None
    source: str
    default: str


@bp.get("")
@permission("settings.view")
def index() -> Response:
    by_name = {setting.name: setting for setting in SETTINGS}
    rest = [name for name in by_name if not any(name in names for _, names in _GROUPS)]
    groups = [(title, [_shown(by_name[name]) for name in names]) for title, names in (*_GROUPS, (_OTHERS, rest))]
    for plugin, settings in core().plugins.collect("mcpweb_add_settings"):
        own = [_shown(setting, f"PLUGIN_{plugin.upper()}_{setting.name}") for setting in settings]
        if own:
            groups.append((plugin, own))
    return respond(
        "settings/index.html", groups=groups, prefix=PREFIX, data_dir=core().settings.data_dir, instance=core().instance,
        kept=periods.every(core(), actor()), chosen=periods.chosen(core()), warnings=core().settings.warnings,
    )


def _shown(setting: Setting, name: str = "") -> Shown:
    name, settings = name or setting.name, core().settings
    if setting.secret:
        return Shown(name, setting.help, None, settings.source(name), "")
    found = {"DATA_DIR": settings.data_dir, "KEY_FILE": settings.key_file, "PUBLIC_URL": settings.public_url}
    value = str(found.get(name) or settings.plugin_values.get(name) or settings.given.get(name, setting.default))
    return Shown(name, setting.help, value, settings.source(name), setting.default)


@bp.get("/retention")
@permission("settings.view")
def kept() -> Response:
    return _kept()


@bp.post("/retention")
@permission("settings.edit")
def keep() -> Response:
    """Choose how long things are kept and how often a backup is made; all that is sent or none of it."""
    form = {period.name: request.form[period.name].strip() for period in periods.PERIODS if period.name in request.form}
    try:
        periods.set_all(core(), actor(), {name: _number(text) for name, text in form.items()})
    except InvalidInput as failure:
        return _kept(failure=failure, form=form)
    return done(url_for("settings.kept"), event="settings-changed")


@bp.post("/retention/run")
@permission("settings.edit")
def run() -> Response:
    """Delete and move now what the next run would."""
    throttle_jobs()
    for service in (keeping, retention):
        service.request(core(), actor())
    return done(url_for("settings.kept"), event="job-changed")


@bp.get("/doctor")
@permission("settings.view")
def doctor() -> Response:
    return respond("settings/doctor.html", findings=health.findings(core()))


def _kept(*, failure: InvalidInput | None = None, form: dict[str, str] | None = None) -> Response:
    latest = [jobs.newest(core(), kind, subject) for kind, subject in _JOBS]
    return respond(
        "settings/retention.html", http_status=failure.status if failure else 200, failure=failure,
        kept={**periods.every(core(), actor()), **(form or {})}, most_days=periods.MOST_DAYS, least_days=periods.AUDIT.least,
        segments=retention.folder(core()),
        backups=rounds.folder(core()), backup_count=len(rounds.written(core())),
        due=keeping.due(core(), actor()), counted=keeping.COUNTED,
        running=[job for job in latest if job and not job.finished], last=[job for job in latest if job and job.finished],
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else -1
