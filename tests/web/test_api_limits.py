"""What the API refuses, at the limit and beside it; and what it need not send again."""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import servers as server_rows
from mcpweb.services import accounts
from mcpweb.testing.fixtures import MakeServer
from mcpweb.web.limits import BODY_BYTES, JOBS_PER_MINUTE

Ask = Callable[..., Any]
TOOL = {"name": "take", "inputSchema": {"type": "object"}}


@pytest.fixture
def ask(app: Flask, core: Core, actor: Actor) -> Ask:
    accounts.add_user(core, actor, name="ada", role="admin", password="a long pass phrase")
    token = accounts.create_token(core, actor, user="ada", name="t", role=None, days=1)
    client = app.test_client()

    def request(method: str, path: str, body: Any = None, raw: bytes | None = None, **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        kind = {"content_type": "application/json"} if data is not None else {}
        return client.open(f"/api/v1/{path}", method=method, data=data, headers=sent, **kind)

    return request


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


def test_so_many_jobs_in_a_minute_and_not_one_more(ask: Ask, make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    make_server("one")
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now)
    asked = [ask("POST", "servers/one/test-runs", {}, Idempotency_Key="the same").status_code for _ in range(JOBS_PER_MINUTE)]
    assert set(asked) == {202} and JOBS_PER_MINUTE == 120
    late = ask("POST", "servers/one/test-runs", {}, Idempotency_Key="the same")
    assert code(late) == (429, "too_many_requests") and int(late.headers["Retry-After"]) >= 1
    assert ask("GET", "servers").status_code == 200, "reads are never throttled"
    monkeypatch.setattr(clock, "source", lambda: now + int(late.headers["Retry-After"]))
    assert ask("POST", "servers/one/test-runs", {}, Idempotency_Key="the same").status_code == 202


def nested(depth: int) -> bytes:
    """Return a body that is so many objects deep, itself counted."""
    return b'{"arguments": ' + b'{"a": ' * (depth - 2) + b"{}" + b"}" * (depth - 2) + b"}"


@pytest.mark.parametrize(("depth", "taken"), [(2, True), (32, True), (33, False), (5_000, False), (200_000, False)])
def test_json_is_so_deep_and_no_deeper(ask: Ask, make_server: MakeServer, depth: int, taken: bool) -> None:
    make_server("one", tools=[TOOL])
    answer = ask("POST", "servers/one/tools/take/call", raw=nested(depth))
    assert (answer.status_code == 503) if taken else (answer.status_code == 400), answer.text  # 503: no worker runs here


@pytest.mark.parametrize(("size", "status"), [(BODY_BYTES, 503), (BODY_BYTES + 1, 413)])
def test_a_body_is_so_long_and_no_longer(ask: Ask, make_server: MakeServer, size: int, status: int) -> None:
    make_server("one", tools=[TOOL])
    frame = b'{"arguments": {"text": "%b"}}'
    answer = ask("POST", "servers/one/tools/take/call", raw=frame % (b"x" * (size - len(frame) + 2)))
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [(rb'{"name": "a\u0000b", "image": "x"}', "/name"), (rb'{"name": "x", "image": "y", "description": "\ud800"}', "/description"),
     (rb'{"name": "x", "image": "y", "config_data": {"environment": {"A": "\udfff"}}}', "/config_data/environment/A"),
     (rb'{"name": "x", "image": "y", "config_data": {"limits": {"memory_mb": 99999999999999999999}}}', "/config_data/limits/memory_mb"),
     (rb'{"name": "x", "image": "y", "config_data": {"limits": {"cpus": 1e999}}}', "/config_data/limits/cpus"),
     (rb'{"name": "x", "image": "y", "config_data": {"read_only_root": "yes"}}', "/read_only_root"),
     (rb'{"name": "x", "image": "y", "config_data": {"limits": {"cpus": 257}}}', "/limits/cpus"),
     (rb'{"name": "x", "image": "y", "colour": 1}', "/colour")],
)
def test_what_cannot_be_kept_is_refused_with_its_place(ask: Ask, raw: bytes, pointer: str) -> None:
    answer = ask("POST", "servers", raw=raw)
    assert code(answer) == (422, "invalid_input") and pointer in [one["pointer"] for one in answer.get_json()["errors"]]


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b"{", b'{"name": NaN}', b'{"name": Infinity}', b"\xff\xfe", b'{"name": "\xed\xa0\x80"}', b'"x"']
)
def test_what_is_no_json_object_is_said_to_be_none(ask: Ask, raw: bytes) -> None:
    answer = ask("POST", "servers", raw=raw)
    assert code(answer) == (400, "not_json") if raw else answer.status_code == 422


def test_a_tool_gets_a_zero_and_a_secret_may_hold_one(ask: Ask, make_server: MakeServer) -> None:
    make_server("one", tools=[TOOL])
    assert code(ask("POST", "servers/one/tools/take/call", raw=rb'{"arguments": {"a": "\u0000"}}')) == (503, "no_worker")
    assert code(ask("POST", "servers/one/tools/take/call", raw=rb'{"arguments": {"a": "\udc00"}}')) == (422, "invalid_input")
    assert ask("POST", "secrets", raw=rb'{"name": "odd", "value": "a\u0000b"}').status_code == 201


def test_an_id_of_another_kind_is_nobody(ask: Ask, make_server: MakeServer, core: Core) -> None:
    server = make_server("one")
    (configuration,) = ask("GET", "configurations").get_json()["items"]
    for path in (f"configurations/{server.id}", f"servers/{configuration['id']}", f"jobs/{server.id}", f"test-runs/{server.id}",
                 f"secrets/{server.id}", f"users/{server.id}", f"findings/{server.id}", f"schedules/{server.id}",
                 f"test-cases/{server.id}", f"keys/{server.id}", f"plugins/{server.id}", "servers/%00", "servers/%ED%A0%80",
                 "servers/" + "x" * 5000):
        assert code(ask("GET", path)) == (404, "not_found"), path
    for path in (f"bindings/{server.id}", f"tokens/{server.id}", f"sessions/{server.id}"):
        assert code(ask("DELETE", path)) == (404, "not_found"), path


def test_a_cursor_of_another_list_is_refused(ask: Ask, make_server: MakeServer) -> None:
    for name in ("one", "two"):
        make_server(name, tools=[TOOL, TOOL | {"name": "give"}])
    cursors = {path: ask("GET", f"{path}?limit=1").get_json()["next"] for path in
               ("servers", "configurations", "audit", "settings", "plugins", "servers/one/tools")}
    assert all(cursors.values()), cursors
    for origin, cursor in cursors.items():
        for path in [*cursors, "test-runs", "jobs", "findings", "pins", "bindings", "users", "sessions", "tokens", "keys"]:
            answer = ask("GET", f"{path}?cursor={cursor}")
            assert (answer.status_code == 200) == (path == origin), (origin, path)
            assert path == origin or code(answer) == (422, "bad_cursor")


def test_a_short_list_goes_on_with_its_cursor_and_misses_nothing(ask: Ask) -> None:
    whole = [row["name"] for row in ask("GET", "settings?limit=200").get_json()["items"]]
    seen, cursor = [], ""
    while cursor is not None:
        page = ask("GET", f"settings?limit=7&cursor={cursor}").get_json()
        seen += [row["name"] for row in page["items"]]
        cursor = page["next"]
    assert seen == whole and len(whole) > 14


@pytest.mark.parametrize("query", ["limit=1&limit=2", "limit=%EF%BC%95", "limit=1e1", "limit=99999999999999999999", "limit=true", "q=%00",
                                   "status=", "cursor=%F0%9F%98%80", "cursor=" + "A" * 9000])
def test_a_parameter_is_given_once_and_as_it_is_meant(ask: Ask, query: str) -> None:
    assert ask("GET", f"servers?{query}").status_code == 422


def test_what_takes_no_query_says_so(ask: Ask, make_server: MakeServer) -> None:
    make_server("one")
    assert code(ask("GET", "servers/one?verbose=1")) == (422, "invalid_input")
    assert code(ask("DELETE", "servers/one?force=true")) == (422, "invalid_input")
    assert code(ask("GET", "audit?cursor=%C2%B2")) == (422, "bad_cursor")


@pytest.mark.parametrize("tag", ["²", '"²"', "x", '"' + "9" * 400 + '"', '"-1"', "*"])
def test_an_etag_we_never_gave_is_an_earlier_revision(ask: Ask, make_server: MakeServer, tag: str) -> None:
    make_server("one")
    assert code(ask("PATCH", "servers/one", {"description": "x"}, If_Match=tag)) == (412, "precondition_failed")


def test_nothing_is_sent_again_until_something_changed(ask: Ask, core: Core, make_server: MakeServer) -> None:
    server = make_server("one")
    for path in ("servers/one", "servers", "jobs", "keys", "settings", "openapi.json"):
        tag = ask("GET", path).headers["ETag"]
        again = ask("GET", path, If_None_Match=tag)
        assert (again.status_code, again.data) == (304, b"") and again.headers["ETag"] == tag, path
        assert ask("GET", path, If_None_Match='"other"').status_code == 200
    read = ask("GET", "servers/one")
    with core.db.writing() as conn:  # what the worker sees changes the object and not its revision
        server_rows.set_seen(conn, server.id, status="error", detail="", container_id=None, at=clock.now())
    assert ask("GET", "servers/one", If_None_Match=read.headers["ETag"]).get_json()["status"] == "error"
    assert ask("PATCH", "servers/one", {"description": "x"}, If_Match=read.headers["ETag"]).status_code == 200


def test_a_key_of_one_request_is_refused_for_another_and_when_it_is_none(ask: Ask, make_server: MakeServer) -> None:
    make_server("one")
    first = ask("POST", "keys/verify", {}, Idempotency_Key="k").get_json()
    assert ask("POST", "keys/verify", {}, Idempotency_Key="k").get_json()["id"] == first["id"]
    assert code(ask("POST", "audit/prune", {}, Idempotency_Key="k")) == (409, "conflict")
    for wrong in ("", "k" * 201):
        assert code(ask("POST", "servers/one/stop", {}, Idempotency_Key=wrong)) == (422, "invalid_input")
    assert ask("POST", "servers/one/stop", {}, Idempotency_Key="k" * 200).status_code == 202


def test_a_request_without_a_body_needs_no_length(app: Flask, ask: Ask, make_server: MakeServer) -> None:
    make_server("one")
    app.wsgi_app = without_length(app.wsgi_app)  # type: ignore[method-assign]
    assert ask("POST", "servers/one/stop").status_code == 202, "what `curl -X POST` sends"


def without_length(inner: Any) -> Any:
    """Hand a request on as gunicorn does that has no length and is not chunked."""

    def application(environ: dict[str, Any], start: Any) -> Any:
        environ.pop("CONTENT_LENGTH", None)
        return inner(environ | {"wsgi.input_terminated": True}, start)

    return application
