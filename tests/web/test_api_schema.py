"""The API held against its own document by schemathesis, in this process, over a real database.

What is asked: the examples of the document, and each boundary of each parameter and member, kept and overstepped.
``SCHEMATHESIS_EXAMPLES`` adds so many random requests for each operation.
"""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.transport.wsgi import WSGITransport

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.rest.document import document, operations
from mcpweb.rest.examples import EXAMPLES
from mcpweb.services import accounts, findings, pins, schedules, secrets, test_cases
from mcpweb.testing.fixtures import MakeServer
from mcpweb.web import limits

pytestmark = pytest.mark.timeout(600)
TOOL = {"name": "add", "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
MORE = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
NETWORK_ONLY = ("max_redirects", "max_stream_events", "verify", "cert", "proxies", "allow_redirects", "stream")
# what a well-formed request may be told: the world does not fit, or a rule says more than a schema can
REFUSALS = ["2xx", "304", "403", "404", "409", "412", "422", "503"]


@pytest.fixture
def calls(app: Flask, furnished: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let schemathesis call an application: the version at hand passes words of the network that WSGI has no use for.

    Where it has made up an If-Match, it gets the one of now.
    """
    send, client, headers = WSGITransport.send, app.test_client(), {"Authorization": f"Bearer {furnished[0]}"}

    def without(self: Any, case: Any, *, session: Any = None, **given: Any) -> Any:
        if case.method == "PATCH" and case.headers.get("If-Match"):
            read = client.get(case.formatted_path, headers=headers)
            case.headers["If-Match"] = read.headers.get("ETag", "none")
        return send(self, case, session=session, **{name: value for name, value in given.items() if name not in NETWORK_ONLY})

    monkeypatch.setattr(WSGITransport, "send", without)
    monkeypatch.setattr(limits, "JOBS_PER_MINUTE", 1_000_000)


@pytest.fixture
def furnished(app: Flask, core: Core, actor: Actor, make_server: MakeServer) -> tuple[str, dict[str, str]]:
    """A token of an admin, and things for the paths to be about."""
    server = make_server("demo", tools=[TOOL])
    for name, role in (("ada", "admin"), ("bob", "viewer")):
        accounts.add_user(core, actor, name=name, role=role, password="a long pass phrase")  # type: ignore[arg-type]
    case = test_cases.add(
        core, actor, "demo", name="one", tool_name="add", arguments={"a": 1}, assertions=[{"kind": "is_error", "value": False}]
    )
    schedule = schedules.add(core, actor, "demo", name="nightly", every_minutes=1440)
    token = accounts.create_token(core, actor, user="ada", name="t", role=None, days=1)
    paths = {"server_id": server.id, "user_id": "bob", "tool": "add", "case_id": case.id, "schedule_id": schedule.id}
    assert findings.STATES and pins.KINDS and secrets  # what the other paths are about is made by the examples
    return token, {f"path.{name}": value for name, value in paths.items()}


def heard(app: Flask, token: str, paths: dict[str, str], only: str = "") -> tuple[Counter[str], Counter[int], list[str]]:
    """Ask everything; return the checks made, the statuses heard and the faults found."""
    config = SchemathesisConfig.from_dict({
        "seed": 1,
        "headers": {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
        "generation": {"max-examples": max(1, MORE), "no-shrink": True, "deterministic": True, "database": "none"},
        "phases": {"stateful": {"enabled": False}, "fuzzing": {"enabled": MORE > 0},
                   "coverage": {"unexpected-methods": ["DELETE", "PUT", "PATCH", "POST"]}},
        "parameters": paths,
        "checks": {
            "positive_data_acceptance": {"enabled": True, "expected-statuses": REFUSALS},
            "missing_required_header": {"expected-statuses": ["401", "403", "422", "428"]},
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
        },
    })
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app, config=config)
    if only:
        schema = schema.include(path_regex=only)
    checks: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    faults: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            faults.append(str(getattr(event, "value", None) or getattr(event, "exception", event))[:500])
        if isinstance(event, events.ScenarioFinished):
            statuses.update(one.response.status_code for one in event.recorder.interactions.values() if one.response is not None)
            for found in event.recorder.checks.values():
                checks.update(one.name for one in found)
                faults += [
                    f"{event.recorder.label} {one.name}: {one.failure_info.failure}\n{one.failure_info.code_sample}"[:900]
                    for one in found if one.failure_info is not None
                ]
    return checks, statuses, faults


def test_no_answer_is_an_error_or_undocumented_and_nothing_wrong_is_taken(
    app: Flask, furnished: tuple[str, dict[str, str]], calls: None
) -> None:
    checks, statuses, faults = heard(app, *furnished)
    print(f"{checks['not_a_server_error']} requests, {checks.total()} checks, {dict(sorted(statuses.items()))}")
    assert not faults, f"{len(faults)} faults:\n" + "\n\n".join(list(dict.fromkeys(faults))[:12])
    assert checks["not_a_server_error"] > 2000 and checks["ignored_auth"] > 20 and checks["negative_data_rejection"] > 1000
    assert {200, 201, 202, 204, 401, 404, 405, 422, 428} <= set(statuses), "the requests reach what they are about"


def test_with_a_worker_jobs_answer_as_documented(
    app: Flask, furnished: tuple[str, dict[str, str]], calls: None, worker: Any
) -> None:
    checks, _, faults = heard(app, *furnished, only="/(start|stop|restart|call|refresh|verify|cancel)$")
    assert not faults, "\n\n".join(list(dict.fromkeys(faults))[:12])
    assert checks["not_a_server_error"] > 50


def test_each_example_fits_the_schema_beside_it(app: Flask) -> None:
    import jsonschema_rs

    bodies = {
        operation["operationId"]: operation["requestBody"]["content"]["application/json"]["schema"]
        for _, _, operation in operations(app) if "requestBody" in operation
    }
    assert set(EXAMPLES) <= set(bodies), "an example of an operation there is none of"
    for name, schema in bodies.items():
        whole = {**schema, "components": document(app)["components"]}
        jsonschema_rs.validator_for(whole).validate(EXAMPLES.get(name, {}))


def test_each_operation_says_what_it_is(app: Flask) -> None:
    found = operations(app)
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    for method, path, operation in found:
        assert operation["summary"].endswith("."), (method, path)
        assert {"400", "401", "403", "422", "503"} <= set(operation["responses"]), (method, path)
        assert ("404" in operation["responses"]) or "{" not in path, (method, path)
        assert operation["x-least-role"] in ("viewer", "operator", "admin")
        if method == "patch":
            assert {"412", "428"} <= set(operation["responses"]), path
        for parameter in operation["parameters"]:
            assert parameter["in"] != "query" or parameter["schema"].get("type"), (path, parameter)


@pytest.fixture
def tokens(app: Flask, core: Core, actor: Actor) -> Iterator[dict[str, str]]:
    accounts.add_user(core, actor, name="root", role="admin", password="a long pass phrase")
    yield {
        role: accounts.create_token(core, actor, user="root", name=role, role=role, days=1)  # type: ignore[arg-type]
        for role in ("viewer", "operator")
    }


def test_nobody_gets_in_without_a_credential_and_nobody_further_than_the_document_says(app: Flask, tokens: dict[str, str]) -> None:
    client = app.test_client()
    ranks = ("viewer", "operator", "admin")
    for method, path, operation in operations(app):
        url = path.replace("{", "").replace("}", "")
        assert client.open(url, method=method.upper(), json={}).status_code == 401, (method, path)
        for role, token in tokens.items():
            status = client.open(url, method=method.upper(), json={}, headers={"Authorization": f"Bearer {token}"}).status_code
            enough = ranks.index(role) >= ranks.index(operation["x-least-role"])
            assert (status != 403) == enough, (method, path, role, status)
