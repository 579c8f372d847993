"""HTML under ``/``: every blueprint on one screen."""
from __future__ import annotations

from mcpweb.web import (
    account,
    api,
    audit,
    configurations,
    connect,
    health,
    install,
    jobs,
    keys,
    metrics,
    overview,
    palette,
    people,
    plugins,
    reports,
    secrets,
    security,
    server_activity,
    server_tests,
    servers,
    session,
    settings,
    test_cases,
    test_runs,
    tools,
    transfer,
    watching,
)

BLUEPRINTS = (
    health.bp,  # /healthz /readyz
    metrics.bp,  # /metrics
    session.bp,  # /setup/<token> /sign-in /sign-out /step-up /preferences
    overview.bp,  # / /demo
    palette.bp,  # /palette /keys-help
    servers.bp,  # /servers[/new|/bulk|/<id>] and start, stop, restart, pull, remove
    transfer.bp,  # /settings/transfer[/export]
    install.bp,  # /install[/<catalogue>[/<n>|/remove]], /install/done/<server>[/pull|/login|/pin]
    tools.bp,  # /servers/<id>/tools[/<tool>/call|/<tool>/result/<job>]
    connect.bp,  # /servers/<id>/connect
    configurations.bp,  # /servers/<id>/configurations[/new|/<id>[/edit|/activate|/restore|/remove]]
    watching.bp,  # /servers/<id>/logs[/stream|/download], /servers/<id>/stats
    reports.bp,  # /test-runs/<id>/report[.json|.sarif|.xml]
    server_activity.bp,  # /servers/<id>/secrets, /servers/<id>/activity
    server_tests.bp,  # /servers/<id>/tests
    security.bp,  # /servers/<id>/security[/approve|/policy|/findings/<id>[/accept|/withdraw]]
    test_cases.bp,  # /servers/<id>/tests/cases[/new|/record|/<id>[/remove]], …/tests/schedules[/new|/<id>[/remove]]
    test_runs.bp,  # /test-runs[/compare|/<id>[/again|/results/<id>]], /servers/<id>/test-runs
    secrets.bp,  # /secrets[/new|/<id>[/replace|/activate|/deactivate|/purge|/reveal|/bindings]], /bindings/<id>/remove
    keys.bp,  # /keys[/<name>/rotate|/<name>/destroy|/rotate-kek|/verify|/unlock]
    jobs.bp,  # /jobs[/news|/<id>[/cancel]]
    audit.bp,  # /audit[/verify|/export]
    settings.bp,  # /settings[/doctor|/retention[/run]]
    plugins.bp,  # /plugins
    api.bp,  # /api
    people.bp,  # /users[/new|/<id>[/role|/password|/disable|/enable|/sessions/…/end|/tokens/<id>/revoke]]
    account.bp,  # /account[/password|/sessions/…/end|/tokens[/new|/<id>/revoke]]
)
