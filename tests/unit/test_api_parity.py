"""Everything that the command line and the pages can do, the API can, too: a table, and a test that fails when it does not."""
from __future__ import annotations

import re

import click
import pytest

from mcpweb.app import create_app
from mcpweb.cli import cli
from mcpweb.core import open_core
from mcpweb.rest.document import operations
from mcpweb.testing.fixtures import settings_for

# command of the line: the operation of the API that does the same
COMMANDS = {
    "doctor": "GET doctor", "demo": "POST demo", "settings list": "GET settings", "settings set": "PATCH settings",
    "servers add": "POST servers", "servers list": "GET servers", "servers show": "GET servers/{}", "servers pull": "POST servers/{}/pull",
    "servers start": "POST servers/{}/start", "servers stop": "POST servers/{}/stop", "servers restart": "POST servers/{}/restart",
    "servers remove": "DELETE servers/{}", "servers logs": "GET servers/{}/logs", "servers tools": "POST servers/{}/tools/refresh",
    "servers call": "POST servers/{}/tools/{}/call", "servers connect": "GET servers/{}/connect",
    "configurations add": "POST configurations", "configurations list": "GET configurations",
    "configurations show": "GET configurations/{}", "configurations activate": "POST configurations/{}/activate",
    "configurations diff": "GET configurations/{}/revisions/diff", "configurations remove": "DELETE configurations/{}",
    "configurations restore": "POST configurations/{}/restore", "configurations revisions": "GET configurations/{}/revisions",
    "configurations edit": "PATCH configurations/{}", "configurations update": "PATCH configurations/{}",
    "secrets set": "POST secrets", "secrets list": "GET secrets", "secrets show": "GET secrets/{}", "secrets bind": "POST bindings",
    "secrets unbind": "DELETE bindings/{}", "secrets remove": "DELETE secrets/{}", "secrets bindings": "GET bindings",
    "secrets activate": "PATCH secrets/{}", "secrets reveal": "POST secrets/{}/reveal",
    "keys list": "GET keys", "keys add": "POST keys", "keys rotate": "POST keys/{}/rotate", "keys rotate-kek": "POST keys/rotate-kek",
    "keys verify": "POST keys/verify", "keys unlock": "POST keys/unlock", "keys destroy": "POST keys/{}/destroy",
    "test": "POST servers/{}/test-runs",
    "findings list": "GET findings", "findings show": "GET findings/{}", "findings accept": "POST findings/{}/accept",
    "findings withdraw": "POST findings/{}/withdraw",
    "pins list": "GET servers/{}/pins", "pins diff": "GET servers/{}/pins/diff", "pins approve": "POST servers/{}/pins/approve",
    "pins policy": "PUT servers/{}/pins/policy",
    "schedules add": "POST schedules", "schedules list": "GET schedules", "schedules show": "GET schedules/{}",
    "schedules enable": "PATCH schedules/{}", "schedules disable": "PATCH schedules/{}",
    "schedules remove": "DELETE schedules/{}",
    "jobs list": "GET jobs", "jobs show": "GET jobs/{}", "jobs cancel": "POST jobs/{}/cancel",
    "users add": "POST users", "users list": "GET users", "users show": "GET users/{}", "users disable": "DELETE users/{}",
    "users enable": "PATCH users/{}", "users passwd": "PATCH users/{}", "users role": "PATCH users/{}",
    "users sessions": "GET sessions",
    "sessions list": "GET sessions", "sessions end": "DELETE sessions/{}",
    "tokens create": "POST tokens", "tokens list": "GET tokens", "tokens revoke": "DELETE tokens/{}",
    "audit list": "GET audit", "audit verify": "GET audit/verify", "audit export": "GET audit/export", "audit prune": "POST audit/prune",
    "plugins list": "GET plugins", "plugins info": "GET plugins/{}", "plugins enable": "POST plugins/{}/enable",
    "plugins disable": "POST plugins/{}/disable",
    "import": "POST import", "export": "GET export",
    "catalog parse": "POST catalog/import", "catalog import": "POST catalog/import",
}
# what has no twin, and why
LOCAL = {
    "serve": "starts what would answer", "worker": "starts what would do it", "dev": "starts what would answer",
    "db": "for a database that no application may have open; a backup holds keys that no answer may carry",
    "docs": "prints a reference that is the same everywhere",
    "plugins check": "runs code of this machine", "plugins new": "writes files of this machine",
    "plugins install": "code comes onto this machine by hand only", "plugins uninstall": "code leaves this machine by hand only",
}
# form of a page: the operation of the API that does the same
FORMS = {
    "/demo": "POST demo", "/servers": "POST servers", "/servers/<>/start": "POST servers/{}/start", "/servers/<>/stop": "POST servers/{}/stop",
    "/servers/<>/restart": "POST servers/{}/restart", "/servers/<>/pull": "POST servers/{}/pull", "/servers/<>/remove": "DELETE servers/{}",
    "/servers/<>": "PATCH servers/{}", "/servers/<>/edit": "PATCH servers/{}", "/servers/bulk": "POST servers/{}/start",
    "/servers/<>/tools": "POST servers/{}/tools/refresh", "/servers/<>/tools/<>/call": "POST servers/{}/tools/{}/call",
    "/servers/<>/tools/<>/save": "POST test-cases",
    "/servers/<>/configurations": "POST configurations", "/servers/<>/configurations/<>": "PATCH configurations/{}",
    "/servers/<>/configurations/<>/activate": "POST configurations/{}/activate",
    "/servers/<>/configurations/<>/restore": "POST configurations/{}/restore",
    "/servers/<>/configurations/<>/remove": "DELETE configurations/{}", "/servers/<>/configurations/<>/bindings": "POST bindings",
    "/bindings/<>/remove": "DELETE bindings/{}",
    "/servers/<>/security/approve": "POST servers/{}/pins/approve", "/servers/<>/security/policy": "PUT servers/{}/pins/policy",
    "/servers/<>/security/findings/<>/accept": "POST findings/{}/accept",
    "/servers/<>/security/findings/<>/withdraw": "POST findings/{}/withdraw",
    "/servers/<>/tests/cases": "POST test-cases", "/servers/<>/tests/cases/record": "POST test-cases/record",
    "/servers/<>/tests/cases/<>": "PATCH test-cases/{}", "/servers/<>/tests/cases/<>/remove": "DELETE test-cases/{}",
    "/servers/<>/tests/schedules": "POST schedules", "/servers/<>/tests/schedules/<>": "PATCH schedules/{}",
    "/servers/<>/tests/schedules/<>/remove": "DELETE schedules/{}",
    "/servers/<>/test-runs": "POST servers/{}/test-runs", "/test-runs/<>/again": "POST servers/{}/test-runs",
    "/secrets": "POST secrets", "/secrets/<>": "PATCH secrets/{}", "/secrets/<>/replace": "PATCH secrets/{}",
    "/secrets/<>/activate": "PATCH secrets/{}", "/secrets/<>/deactivate": "DELETE secrets/{}", "/secrets/<>/purge": "DELETE secrets/{}",
    "/secrets/<>/reveal": "POST secrets/{}/reveal", "/secrets/<>/bindings": "POST bindings",
    "/keys": "POST keys", "/keys/<>/rotate": "POST keys/{}/rotate", "/keys/<>/destroy": "POST keys/{}/destroy",
    "/keys/rotate-kek": "POST keys/rotate-kek", "/keys/verify": "POST keys/verify", "/keys/unlock": "POST keys/unlock",
    "/jobs/<>/cancel": "POST jobs/{}/cancel", "/audit/verify": "GET audit/verify",
    "/settings": "PATCH settings", "/settings/retention": "PATCH settings", "/settings/retention/run": "POST settings/retention/run",
    "/users": "POST users", "/users/<>/role": "PATCH users/{}", "/users/<>/password": "PATCH users/{}",
    "/users/<>/disable": "DELETE users/{}", "/users/<>/enable": "PATCH users/{}", "/users/<>/sessions/<>/end": "DELETE sessions/{}",
    "/users/<>/tokens": "POST tokens", "/users/<>/tokens/<>/revoke": "DELETE tokens/{}",
    "/users/<>/sessions/end": "DELETE sessions", "/account/sessions/end": "DELETE sessions",
    "/account/password": "PATCH users/{}", "/account/sessions/<>/end": "DELETE sessions/{}", "/account/tokens": "POST tokens",
    "/account/tokens/<>/revoke": "DELETE tokens/{}",
    "/install": "POST catalog/import", "/install/<>/<>": "POST catalog/import", "/install/done/<>/pull": "POST servers/{}/pull",
    "/install/done/<>/login": "POST secrets", "/install/done/<>/pin": "PATCH servers/{}", "/settings/transfer": "POST import",
    "/settings/transfer/import": "POST import", "/settings/transfer/preview": "POST import",
    "/plugins/<>/disable": "POST plugins/{}/disable", "/plugins/<>/enable": "POST plugins/{}/enable",
}
# forms of the browser alone
BROWSER = {
    "/sign-in": "opens the session of a browser; a program has a token", "/sign-out": "ends the session of a browser",
    "/setup/<>": "makes the first user; nobody can have a token before", "/step-up": "a token has no password to confirm",
    "/install/<>/remove": "drops what was read for the pages after it; a program keeps its own text",
    "/preferences": "language and colours of a browser",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    core = open_core(settings_for(tmp_path_factory.mktemp("parity")), role="web", init=True)
    yield create_app(core)
    core.close()


@pytest.fixture(scope="module")
def there(app) -> set[str]:  # type: ignore[no-untyped-def]
    return {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path.removeprefix('/api/v1/'))}" for method, path, _ in operations(app)
    }


def _commands(group: click.Group, path: str = "") -> list[str]:
    context, found = click.Context(group), []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found += _commands(command, f"{path}{name} ") if isinstance(command, click.Group) else [path + name]
    return found


def test_each_command_has_its_twin_in_the_api_or_a_reason_to_have_none(there: set[str]) -> None:
    for command in _commands(cli):
        if command in LOCAL or command.partition(" ")[0] in LOCAL:
            continue
        assert command in COMMANDS, f"`mcpweb {command}` has no twin in the API: add the route, and the pair here"
        assert COMMANDS[command] in there, f"`mcpweb {command}`: there is no {COMMANDS[command]}"


def test_each_form_of_a_page_has_its_twin_in_the_api_or_a_reason_to_have_none(app, there: set[str]) -> None:  # type: ignore[no-untyped-def]
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]*>", "<>", rule.rule)
        if "POST" not in (rule.methods or ()) or path.startswith("/api/v1/") or path in BROWSER:
            continue
        assert path in FORMS, f"the form {path} has no twin in the API: add the route, and the pair here"
        assert FORMS[path] in there, f"{path}: there is no {FORMS[path]}"


def test_reasons_are_given_for_what_is_there_only() -> None:
    names = _commands(cli)
    planned = {"plugins check", "plugins new", "plugins install", "plugins uninstall"}
    assert {one for one in LOCAL if not any(name == one or name.startswith(one + " ") for name in names)} <= planned
