"""HTML under ``/``: every blueprint on one screen."""
from __future__ import annotations

from mcpweb.web import (
    audit,
    configurations,
    health,
    jobs,
    keys,
    overview,
    plugins,
    reports,
    secrets,
    servers,
    session,
    test_runs,
    tools,
    watching,
)

BLUEPRINTS = (
    health.bp,  # /healthz /readyz
    session.bp,  # /setup/<token> /sign-in /sign-out /step-up /preferences
    overview.bp,  # / /settings
    servers.bp,  # /servers[/new|/<id>[/tests]] and start, stop, restart, pull, remove
    tools.bp,  # /servers/<id>/tools[/<tool>/call|/<tool>/result/<job>]
    configurations.bp,  # /servers/<id>/configurations[/new|/<id>[/edit|/activate|/restore|/remove]]
    watching.bp,  # /servers/<id>/logs[/download], /servers/<id>/stats
    test_runs.bp,  # /test-runs[/<id>], /servers/<id>/test-runs
    reports.bp,  # /test-runs/<id>/report[.json|.sarif|.xml]
    secrets.bp,  # /secrets[/new|/<id>[/replace|/activate|/deactivate|/purge|/reveal|/bindings]], /bindings/<id>/remove
    keys.bp,  # /keys[/<name>/rotate|/<name>/destroy|/rotate-kek|/verify|/unlock]
    jobs.bp,  # /jobs, /jobs/<id>/cancel
    audit.bp,  # /audit[/verify|/export]
    plugins.bp,  # /plugins
)
