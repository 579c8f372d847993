"""``mcpweb doctor``"""
from __future__ import annotations

import sys

import click

from mcpweb import core as cores
from mcpweb import settings as settings_module
from mcpweb.cli.common import json_option, print_json
from mcpweb.core import open_core
from mcpweb.db import migrate
from mcpweb.errors import Failure, of_system
from mcpweb.services import health
from mcpweb.services.health import Finding


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say in sentences what is missing; exit 1 when something is."""
    found = _look()
    if as_json:
        print_json({"items": [finding.as_object() for finding in found], "next": None})
    else:
        for finding in found:
            mark = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}[finding.level]
            click.echo(f"{mark}  {finding.name}: {finding.sentence} {finding.next_step}".rstrip())
    sys.exit(1 if any(finding.level == "problem" for finding in found) else 0)


def _look() -> list[Finding]:
    try:
        settings = settings_module.load()
    except Failure as failure:
        return [Finding("settings", "problem", failure.detail, failure.next_step)]
    found = [Finding("settings", "ok", f"Data lies in {settings.data_dir}.")]
    try:
        if (loss := cores.lost(settings)) is not None:
            raise loss
        status = migrate.status(settings.db_path, cores.migration_series(cores.load_plugins(settings)))
        if not status.applied:
            return [*found, Finding("database", "warning", "There is no database yet.", "Run `mcpweb serve`."),
                    health.sqlite_finding(), _engine(settings)]
        if status.pending:
            return [*found, Finding("database", "problem", f"{len(status.pending)} migrations are pending.",
                                    "Run `mcpweb db migrate`."), _engine(settings)]
        core = open_core(settings, role="cli")
    except (Failure, OSError) as error:
        known = error if isinstance(error, Failure) else of_system(error)
        if known is None:
            raise
        return [*found, Finding("database", "problem", known.detail, known.next_step)]
    found.append(Finding("database", "ok", "The database is up to date."))
    rest = [finding for finding in health.findings(core) if finding.name != "engine"]
    return [*found, *rest, _engine(settings, core)]


def _engine(settings: settings_module.Settings, core: cores.Core | None = None) -> Finding:
    try:
        host = core.plugins if core else cores.load_plugins(settings)
        runtimes = [runtime for _, found in host.collect("mcpweb_add_runtimes", settings=settings) for runtime in found]
        seen = runtimes[0].health()
    except (Failure, IndexError) as error:
        return Finding("engine", "problem", f"No runtime: {error}")
    if seen.reachable:
        return Finding("engine", "ok", f"Docker Engine {seen.version} answers at {seen.address}.")
    return Finding("engine", "problem", seen.detail, "Start the engine, or set DOCKER_HOST.")
