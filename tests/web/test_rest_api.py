"""/api/v1 to the letter of its contract."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mcpweb.contracts import Actor, Role
from mcpweb.core import Core
from mcpweb.dao import tools as tool_rows
from mcpweb.services import accounts, servers
from mcpweb.testing.fixtures import MakeServer

JOB = {"id", "kind", "state", "progress", "message", "result", "error", "subject", "created_at", "finished_at"}
TOOL = {
    "name": "add", "description": "Add.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}


class Api:
    """A client with one token."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return self._client.open(
            f"/api/v1/{path}", method=method, json=body, headers={**self._headers, **(headers or {})}
        )


@pytest.fixture
def make_api(app: Flask, core: Core, actor: Actor) -> Callable[[Role], Api]:
    def make(role: Role) -> Api:
        accounts.add_user(core, actor, name=role, role=role, password="a long pass phrase")
        return Api(app.test_client(), accounts.create_token(core, actor, user=role, name="t", role=None, days=1))

    return make


@pytest.fixture
def api(make_api: Callable[[Role], Api]) -> Api:
    return make_api("admin")


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = answer.get_json()
    assert set(body) == {"type", "title", "status", "detail", "code", "errors"} and body["code"] == code
    return body


def test_a_server_is_created_shown_changed_and_listed(api: Api) -> None:
    made = api("POST", "servers", {"name": "one", "image": "tiny:1", "config_data": {"limits": {"memory_mb": 64}}})
    assert made.status_code == 201 and made.headers["Location"] == f"/api/v1/servers/{made.get_json()['id']}"
    shown = api("GET", "servers/one")
    assert shown.get_json()["name"] == "one" and shown.headers["ETag"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown.get_json()["created_at"])
    problem(api("PATCH", "servers/one", {"description": "x"}), 428, "precondition_required")
    problem(api("PATCH", "servers/one", {"description": "x"}, {"If-Match": '"99"'}), 412, "precondition_failed")
    changed = api("PATCH", "servers/one", {"description": "x"}, {"If-Match": shown.headers["ETag"]})
    assert changed.status_code == 200 and changed.get_json()["description"] == "x"
    assert changed.headers["ETag"] != shown.headers["ETag"]
    listed = api("GET", "servers?name=one").get_json()
    assert set(listed) == {"items", "next"} and len(listed["items"]) == 1 and listed["next"] is None
    (configuration,) = api("GET", "configurations?server_id=one").get_json()["items"]
    assert configuration["config_data"]["limits"]["memory_mb"] == 64 and configuration["is_active"]


def test_lists_go_on_with_their_cursor_and_miss_nothing(api: Api, make_server: MakeServer) -> None:
    made = [make_server(f"s{at}").name for at in range(7)]
    seen, cursor = [], ""
    while True:
        page = api("GET", f"servers?limit=3{cursor}").get_json()
        seen += [row["name"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("path", "code"),
    [("servers?limit=0", "invalid_input"), ("servers?limit=201", "invalid_input"), ("servers?cursor=damaged", "bad_cursor"),
     ("servers?colour=red", "invalid_input"), ("jobs?state=odd", "invalid_input"), ("test-results?status=great", "invalid_input"),
     ("servers?cursor=eyJhIjoxfQ", "bad_cursor"), ("audit?cursor=x", "bad_cursor")],
)
def test_a_bad_query_is_a_problem_with_its_place(api: Api, path: str, code: str) -> None:
    problem(api("GET", path), 422, code)


@pytest.mark.parametrize("limit", [1, 200])
def test_limits_are_taken_at_the_limit(api: Api, limit: int) -> None:
    assert api("GET", f"servers?limit={limit}").status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"name": "!", "image": "x"}, "/name"), ({"name": "x", "image": "NOT AN IMAGE"}, "/image"), ({"name": "x"}, "/image"),
     ({"name": "x", "image": "y", "role": "admin"}, "/role"), ({"name": "a" * 64, "image": "y"}, "/name"),
     ({"name": "x", "image": "y", "config_data": {"privileged": True}}, "/privileged"),
     ({"name": "x", "image": "y", "config_data": {"limits": {"memory_mb": 5}}}, "/limits/memory_mb"),
     ({"name": "x", "image": "y", "config_data": {"transport": "http"}}, "/port")],
)
def test_a_bad_body_names_each_fault_and_never_repeats_a_value(api: Api, body: dict[str, Any], pointer: str) -> None:
    found = problem(api("POST", "servers", body), 422, "invalid_input")
    assert pointer in [error["pointer"] for error in found["errors"]]
    assert "NOT AN IMAGE" not in str(found)


def test_a_taken_name_is_a_conflict(api: Api, make_server: MakeServer) -> None:
    make_server("one")
    problem(api("POST", "servers", {"name": "one", "image": "tiny:1"}), 409, "conflict")


def test_unknown_things_and_methods_are_problems_and_never_html(api: Api) -> None:
    problem(api("GET", "servers/nobody"), 404, "not_found")
    problem(api("GET", "no-such-thing"), 404, "not_found")
    problem(api("PUT", "servers"), 405, "method_not_allowed")
    problem(api("GET", "jobs/job_x"), 404, "not_found")


def test_without_a_credential_everything_is_401_before_the_body_is_read(app: Flask) -> None:
    client = app.test_client()
    for method, path, body in (("GET", "servers", None), ("POST", "servers", {"bad": 1}), ("PATCH", "servers/x", {})):
        answer = client.open(f"/api/v1/{path}", method=method, json=body)
        problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_that_was_altered_revoked_or_expired_is_refused(app: Flask, core: Core, actor: Actor) -> None:
    accounts.add_user(core, actor, name="ada", role="viewer", password="a long pass phrase")
    text = accounts.create_token(core, actor, user="ada", name="t", role=None, days=1)
    assert Api(app.test_client(), text)("GET", "servers").status_code == 200
    problem(Api(app.test_client(), text[:-1] + ("0" if text[-1] != "0" else "1"))("GET", "servers"), 401, "unauthenticated")
    (token,) = accounts.tokens(core, actor)
    accounts.revoke(core, actor, token.id)
    problem(Api(app.test_client(), text)("GET", "servers"), 401, "unauthenticated")


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("operator", True), ("admin", True)])
def test_a_role_decides_who_may_change_servers(make_api: Callable[[Role], Api], role: Role, may: bool) -> None:
    answer = make_api(role)("POST", "servers", {"name": "one", "image": "tiny:1"})
    assert answer.status_code == (201 if may else 403)


def test_slow_work_is_a_job_with_its_place(api: Api, worker: Any, make_server: MakeServer) -> None:
    make_server("one")
    answer = api("POST", "servers/one/start")
    assert answer.status_code in (200, 202) and set(answer.get_json()) == JOB
    assert answer.headers["Location"] == f"/api/v1/jobs/{answer.get_json()['id']}"
    assert api("GET", f"jobs/{answer.get_json()['id']}").status_code == 200


def test_the_same_idempotency_key_gives_the_same_job_and_another_body_a_conflict(
    api: Api, core: Core, worker: Any, make_server: MakeServer
) -> None:
    server = make_server("one", tools=[TOOL])
    key = {"Idempotency-Key": "k1"}
    first = api("POST", "servers/one/tools/add/call", {"arguments": {"a": 1}}, key).get_json()
    tools = [TOOL | {"inputSchema": {"type": "object", "required": ["a", "b"]}}]  # as the server says by now
    with core.db.writing() as conn:
        tool_rows.replace(conn, server.id, tools)
    again = api("POST", "servers/one/tools/add/call", {"arguments": {"a": 1}}, key).get_json()
    assert first["id"] == again["id"]
    problem(api("POST", "servers/one/tools/add/call", {"arguments": {"a": 2}}, key), 409, "conflict")


def test_wrong_arguments_are_refused_with_the_pointer_of_the_schema(api: Api, make_server: MakeServer) -> None:
    make_server("one", tools=[TOOL])
    found = problem(api("POST", "servers/one/tools/add/call", {"arguments": {"a": "x"}}), 422, "invalid_input")
    assert found["errors"][0]["pointer"] == "/a"
    problem(api("POST", "servers/one/tools/nope/call", {"arguments": {}}), 404, "not_found")


def test_a_call_without_a_worker_says_so_and_its_job_is_failed(api: Api, make_server: MakeServer) -> None:
    make_server("one", tools=[TOOL])
    problem(api("POST", "servers/one/tools/add/call", {"arguments": {"a": 1}}), 503, "no_worker")
    (job,) = api("GET", "jobs?kind=call").get_json()["items"]
    assert job["state"] == "failed" and job["error"]["code"] == "no_worker"


def test_jobs_are_throttled_with_the_time_to_wait(api: Api, make_server: MakeServer) -> None:
    make_server("one")
    answers = [api("POST", "servers/one/stop").status_code for _ in range(3)]
    assert set(answers) <= {200, 202}
    core = api._client.application.extensions["mcpweb"]
    with core.db.writing() as conn:
        conn.execute("UPDATE throttle SET level = -50 WHERE bucket LIKE 'jobs:%'")
    answer = api("POST", "servers/one/stop")
    problem(answer, 429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) >= 1
    assert api("GET", "servers").status_code == 200


def test_chunked_and_oversized_bodies_are_refused(api: Api) -> None:
    chunked = api._client.open(
        "/api/v1/servers", method="POST", headers={**api._headers, "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    problem(chunked, 411, "length_required")
    big = api._client.open(
        "/api/v1/servers", method="POST", headers={**api._headers, "Content-Type": "application/json"}, data=b'"' + b"x" * (3 << 20) + b'"'
    )
    problem(big, 413, "body_too_large")


def test_the_document_is_open_and_names_every_route(app: Flask) -> None:
    document = app.test_client().get("/api/v1/openapi.json").get_json()
    assert document["openapi"] == "3.1.0"
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower()) for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1/") and not rule.rule.endswith("openapi.json")
    }
    assert routes == {(path, method) for path, there in document["paths"].items() for method in there if method != "parameters"}


def test_audit_is_for_admins_and_verifies(api: Api, make_api: Callable[[Role], Api], make_server: MakeServer) -> None:
    make_server("one")
    actions = [row["action"] for row in api("GET", "audit").get_json()["items"]]
    assert "server.add" in actions
    assert api("GET", "audit/verify").get_json()["ok"] is True
    problem(make_api("operator")("GET", "audit"), 403, "forbidden")
    assert any(row["action"] == "access.denied" for row in api("GET", "audit").get_json()["items"])


def test_a_test_run_is_asked_for_and_shown(api: Api, core: Core, actor: Actor, make_server: MakeServer) -> None:
    make_server("one")
    asked = api("POST", "servers/one/test-runs", {"types": ["connection"]})
    assert asked.status_code == 202
    (run,) = api("GET", "test-runs?server_id=one").get_json()["items"]
    shown = api("GET", f"test-runs/{run['id']}").get_json()
    assert shown["types"] == ["connection"] and shown["state"] == "queued" and shown["results"] == []
    assert set(shown["counts"]) == {"pass", "fail", "not_applicable", "undecided"}
    problem(api("POST", "servers/one/test-runs", {"types": ["sorcery"]}), 422, "invalid_input")
    assert servers.get(core, actor, "one").name == "one"
