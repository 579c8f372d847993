"""The journey of a server in pages: add, start, call, test, configure, remove."""
from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs as rows
from mcpweb.dao import observations, test_results
from mcpweb.dao.test_results import TestResult
from mcpweb.services import configurations, jobs, servers
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import Htmx, MakeServer, Visitor, check_markup
from mcpweb.worker import Worker


def until(ask: Callable[[], TestResponse], wanted: str, *, seconds: float = 15) -> str:
    """Ask again until the answer holds the text."""
    end = time.monotonic() + seconds
    while wanted not in (text := ask().text):
        assert time.monotonic() < end, f"{wanted!r} never came: {text}"
        time.sleep(0.05)
    return text


def test_an_empty_list_says_what_to_do(visitor: Visitor) -> None:
    text = visitor.get("/servers").text
    assert "No server yet" in text and "Add the demo server" in text and 'href="/servers/new"' in text
    assert "First steps" in visitor.get("/").text


def test_a_server_is_added_from_an_image(core: Core, actor: Actor, visitor: Visitor) -> None:
    form = {"name": "notes", "image": "tiny:1", "env": "A=1\r\nB=x=y", "command": "serve --all 'the notes'", "memory": "128"}
    answer = visitor.post("/servers", form, page="/servers/new")
    assert answer.status_code == 303
    assert visitor.get(answer.headers["Location"]).status_code == 200
    config = configurations.listing(core, actor, server_id="notes").rows[0].config_data
    assert config["environment"] == {"A": "1", "B": "x=y"} and config["command"] == ["serve", "--all", "the notes"]
    assert config["limits"]["memory_mb"] == 128 and config["network"] == "none" and config["read_only_root"] is True


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "no spaces"), ("name", ""), ("image", "UPPER CASE"), ("memory", "much"), ("port", "٣"), ("env", "novalue"),
     ("command", "'open"), ("transport", "pigeon")],
)
def test_a_wrong_field_is_named_and_everything_typed_is_kept(visitor: Visitor, field: str, value: str) -> None:
    form = {"name": "notes", "image": "tiny:1", "description": "my notes", field: value}
    answer = visitor.post("/servers", form, page="/servers/new")
    assert answer.status_code == 422 and 'role="alert"' in answer.text and 'value="my notes"' in answer.text


def test_a_taken_name_is_a_conflict(visitor: Visitor, make_server: MakeServer) -> None:
    make_server("notes")
    answer = visitor.post("/servers", {"name": "notes", "image": "tiny:1"}, page="/servers/new")
    assert answer.status_code == 409 and "exists already" in answer.text


def test_a_row_acts_in_place_and_the_list_follows(
    visitor: Visitor, hx: Htmx, worker: Worker, make_server: MakeServer
) -> None:
    server = make_server("demo")
    answer = hx.post(f"/servers/{server.id}/start", page="/servers")
    assert answer.status_code == 204 and answer.headers["HX-Trigger"] == "server-changed"
    until(lambda: hx.get("/servers"), '/stop"')
    assert "running" in until(lambda: hx.get(f"/servers/{server.id}/head?tab=summary"), "/restart")
    hx.post(f"/servers/{server.id}/stop", page="/servers")
    until(lambda: hx.get("/servers"), '/start"')


def test_without_a_script_the_same_buttons_are_forms(
    visitor: Visitor, worker: Worker, make_server: MakeServer
) -> None:
    server = make_server("demo")
    answer = visitor.post(f"/servers/{server.id}/start", page="/servers")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/servers/{server.id}")
    until(lambda: visitor.get(f"/servers/{server.id}"), "Restart")


def test_a_start_that_fails_says_why_and_offers_the_next_step(
    visitor: Visitor, worker: Worker, make_server: MakeServer
) -> None:
    server = make_server("demo", image="not/here:1")
    visitor.post(f"/servers/{server.id}/start")
    text = until(lambda: visitor.get(f"/servers/{server.id}"), "Pull image")
    assert "not/here:1" in text and 'class="status error"' in text


def test_while_the_engine_is_away_pages_stay_and_say_since_when(core: Core, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("demo", status="running")
    with core.db.writing() as conn:
        observations.put(conn, "engine", {"state": "away", "detail": "connection refused"})
    for path in ("/", "/servers", f"/servers/{server.id}"):
        text = visitor.get(path).text
        assert "The container engine is away" in text and "last known" in text and "running" in text


def test_without_a_worker_pages_say_that_nothing_will_happen(visitor: Visitor, make_server: MakeServer) -> None:
    make_server("demo")
    assert "No worker is running" in visitor.get("/servers").text


CALC: dict[str, Any] = {
    "name": "calc", "description": "Adds.",
    "inputSchema": {
        "type": "object", "required": ["a", "how"],
        "properties": {
            "a": {"type": "integer", "minimum": 1, "maximum": 9, "description": "the first"},
            "how": {"enum": ["add", 7, None]},
            "loud": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}}, "more": {"type": "object"},
            "place": {"type": "object", "properties": {"city": {"type": "string"}, "zip/code": {"type": "string"}}},
        },
    },
}


def test_a_form_shows_type_range_and_choices_beside_each_field(visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server(tools=[CALC])
    text = visitor.get(f"/servers/{server.id}/tools?tool=calc").text
    for piece in ("integer, 1 to 9", "the first", '<option value="&#34;add&#34;"', 'name="/place/zip~1code"', 'name="n:/tags" value="0"'):
        assert piece in text, piece


@pytest.mark.parametrize(
    ("fields", "fault"),
    [({"/a": "x"}, "must be a whole number"), ({"/a": "10"}, "10 is greater than"), ({"/a": ""}, "required"),
     ({"/a": "2", "/more": "[1"}, "must be JSON"), ({"/a": "2", "/more": "[1]"}, "is not of type")],
)
def test_wrong_arguments_are_named_at_their_field_and_kept(
    hx: Htmx, visitor: Visitor, make_server: MakeServer, fields: dict[str, str], fault: str
) -> None:
    server = make_server(tools=[CALC])
    given = {"/how": '"add"', "/place/city": "Łódź", **fields}
    for asking in (hx, visitor):
        answer = asking.post(f"/servers/{server.id}/tools/calc/call", given)
        assert answer.status_code == 422 and fault in answer.text and "Łódź" in answer.text


def test_a_call_answers_in_place(hx: Htmx, worker: Worker, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("demo")
    hx.post(f"/servers/{server.id}/start")
    until(lambda: hx.get("/servers"), '/stop"')
    text = hx.get(f"/servers/{server.id}/tools").text
    name = re.search(r"tool=([\w-]+)", text)
    assert name, text
    fields = dict.fromkeys(re.findall(r'name="(/[^"]+)"', text), "hello")
    answer = hx.post(f"/servers/{server.id}/tools/{name[1]}/call", fields)
    assert answer.status_code == 200 and 'id="tool"' in answer.text
    job = jobs.listing(visitor.core, Actor.cli("t"), kind="call").rows[0]
    shown = until(lambda: hx.get(f"/servers/{server.id}/tools/{name[1]}/result/{job.id}"), "answered")
    assert "hello" in shown
    plain = visitor.post(f"/servers/{server.id}/tools/{name[1]}/call", fields)
    assert plain.status_code == 303 and "job=" in plain.headers["Location"]
    assert "answered" in until(lambda: visitor.get(plain.headers["Location"]), "answered")


def test_fields_and_json_turn_into_each_other(hx: Htmx, make_server: MakeServer) -> None:
    server = make_server(tools=[CALC])
    url = f"/servers/{server.id}/tools/calc/call"
    as_json = hx.post(url, {"/a": "3", "/how": '"add"', "/place/city": "Kyōto", "edit": "json"}).text
    assert 'name="json"' in as_json and "Kyōto" in as_json and "&#34;a&#34;: 3" in as_json
    back = hx.post(url, {"mode": "json", "json": '{"a": 4, "how": 7, "loud": true}', "edit": "form"}).text
    assert 'value="4"' in back and '<option value="7" selected>' in back and '<option value="true" selected>' in back
    assert hx.post(url, {"mode": "json", "json": "[1]"}).status_code == 422
    assert hx.post(url, {"mode": "json", "json": "[" * 5000}).status_code in (400, 422)


HOSTILE = '"><script>alert(1)</script><button hx-get="/sign-out" hx-trigger="load" onclick="x()">x</button>{{ 7919*7907 }}'


def test_what_a_stranger_wrote_stays_text_on_every_page(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, runtime: FakeRuntime, make_server: MakeServer
) -> None:
    tool = {
        "name": HOSTILE[:60], "description": HOSTILE, "title": HOSTILE, "annotations": HOSTILE,
        "inputSchema": {"type": "object", "properties": {
            HOSTILE: {"type": "string", "description": HOSTILE, "default": HOSTILE, "enum": [HOSTILE]},
            "x": {"type": "integer", "pattern": HOSTILE},
        }},
    }
    server = make_server("demo", status="error", detail=HOSTILE, tools=[tool], description=HOSTILE)
    with core.db.writing() as conn:
        observations.put(conn, "engine", {"state": "away", "detail": HOSTILE})
        job = jobs.draft(actor, "call", subject=f"server:{server.id}", payload={"server_id": server.id})
        rows.insert(conn, job)
        rows.finish(conn, job.id, None, state="succeeded", result={
            "result": {
                "content": [
                    {"type": "text", "text": HOSTILE}, {"type": "image", "mimeType": "image/svg+xml", "data": HOSTILE},
                    {"type": HOSTILE}, HOSTILE, None,
                ],
                "structuredContent": {HOSTILE: HOSTILE}, "isError": False,
            },
            "duration_ms": 1, "protocol": HOSTILE,
        })
        failed = jobs.draft(actor, "start", subject=f"server:{server.id}", payload={"server_id": server.id})
        rows.insert(conn, failed)
        rows.finish(conn, failed.id, None, state="failed", error={"code": HOSTILE, "detail": HOSTILE})
    folder = servers.log_folder(core, server.id)
    folder.mkdir(parents=True)
    (folder / f"{0:020d}.log").write_text(f"2026-01-01 00:00:00.000\tstderr\t{HOSTILE}\n")
    for path in ("", "/tools", "/logs", "/configurations", "/head?tab=summary", f"/tools/{'x'}/result/{job.id}"):
        for answer in (visitor.get(f"/servers/{server.id}{path}"), hx.get(f"/servers/{server.id}{path}")):
            assert answer.status_code == 200, path
            _inert(visitor, answer.text)
    for path in ("/", "/servers?q=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/jobs", "/audit"):
        _inert(visitor, visitor.get(path).text)


def _inert(visitor: Visitor, text: str) -> None:
    """Hold a page to contain the stranger's markup as text only: no element, attribute or expression of it."""
    for tag, attributes in check_markup(visitor.app, text).elements:
        assert tag != "script" or attributes.get("src", "").startswith("/static/")
        assert "onclick" not in attributes and attributes.get("hx-get") != "/sign-out"
        assert not attributes.get("src", "").startswith("data:image/svg")
    assert "62615533" not in text


def test_a_configuration_is_added_and_activated(core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("demo")
    page = f"/servers/{server.id}/configurations"
    assert visitor.post(page, {"name": "wide", "config_data": "{"}, page=page).status_code == 422
    refused = visitor.post(page, {"name": "wide", "config_data": '{"privileged": true}'}, page=page)
    assert refused.status_code == 422 and "/privileged" in refused.text and "privileged&#34;: true" in refused.text
    assert visitor.post(page, {"name": "wide", "config_data": '{"limits": {"memory_mb": 64}}'}, page=page).status_code == 303
    wide = configurations.by_name(core, actor, server.id, "wide")
    assert visitor.post(f"{page}/{wide.id}/activate", page=page).status_code == 303
    assert configurations.by_name(core, actor, server.id, "wide").is_active


def test_removing_asks_for_the_name(visitor: Visitor, worker: Worker, make_server: MakeServer) -> None:
    server = make_server("demo")
    assert visitor.post(f"/servers/{server.id}/remove", {"confirm": "other"}).status_code == 422
    assert visitor.post(f"/servers/{server.id}/remove", {"confirm": "demo"}).status_code == 303
    until(lambda: visitor.get("/servers"), "No server yet")


@pytest.mark.parametrize(
    ("verdict", "confidence", "shown"),
    [("fail", "tentative", True), ("fail", "firm", True), ("fail", "certain", False), ("pass", "firm", False)],
)
def test_a_finding_that_is_not_certain_says_so(
    visitor: Visitor, make_server: MakeServer, verdict: str, confidence: str, shown: bool
) -> None:
    server = make_server("demo")
    run = visitor.post(f"/servers/{server.id}/test-runs", {"type": "connection"}).headers["Location"]
    result = TestResult(
        id="res_1", server_id=server.id, configuration_id=None, tool_name="*", test_type="connection",
        status="success" if verdict == "pass" else "failure", input_data=None,
        output_data={"verdict": verdict, "confidence": confidence, "summary": "Seen."}, error_message=None,
        execution_time_ms=None, created_at=clock.now(), created_by="cli:t", run_id=run.rsplit("/", 1)[1],
        check_id="C05", severity="low",
    )
    with visitor.core.db.writing() as conn:
        test_results.insert_many(conn, [result])
    assert (f'<small class="nowrap">{confidence}</small>' in visitor.get(run).text) is shown


def test_a_test_run_is_asked_for_and_shown(visitor: Visitor, hx: Htmx, make_server: MakeServer) -> None:
    server = make_server("demo")
    answer = visitor.post(f"/servers/{server.id}/test-runs", {"type": "connection", "profile": "quick"})
    assert answer.status_code == 303
    run = answer.headers["Location"]
    waiting = visitor.get(run).text
    assert f'hx-get="{run}"' in waiting and 'hx-trigger="every 1s"' in waiting
    assert "demo" in visitor.get("/test-runs").text and "Testing" in visitor.get("/servers").text
    job = jobs.listing(visitor.core, Actor.cli("t"), kind="test_run").rows[0]
    assert visitor.post(f"/jobs/{job.id}/cancel").status_code == 303
    assert visitor.post(f"/jobs/{job.id}/cancel").status_code == 409
    assert visitor.post(f"/servers/{server.id}/test-runs", {"type": "astrology"}).status_code == 422
