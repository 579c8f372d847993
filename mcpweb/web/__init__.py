"""HTML under ``/``: every blueprint on one screen."""
from __future__ import annotations

from mcpweb.web import audit, health, jobs, overview, plugins, servers, session, test_runs, tools

BLUEPRINTS = (
    health.bp,  # /healthz /readyz
    session.bp,  # /setup/<token> /sign-in /sign-out /preferences
    overview.bp,  # / /settings
    servers.bp,  # /servers[/new|/<id>[/configurations|tests|logs|stats]] and what can be asked of one
    tools.bp,  # /servers/<id>/tools, /servers/<id>/tools/<tool>/call
    test_runs.bp,  # /test-runs[/<id>], /servers/<id>/test-runs
    jobs.bp,  # /jobs, /jobs/<id>/cancel
    audit.bp,  # /audit
    plugins.bp,  # /plugins
)
