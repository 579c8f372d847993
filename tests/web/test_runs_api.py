"""Saved cases, schedules, history, comparison, trends and reports through the API and the report's page."""
from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mcpweb import clock
from mcpweb.contracts import Actor, Role
from mcpweb.core import Core
from mcpweb.dao import audit, configurations, jobs, test_metrics
from mcpweb.dao import servers as server_rows
from mcpweb.dao import test_results as results
from mcpweb.dao import test_runs as runs
from mcpweb.dao.jobs import Job
from mcpweb.dao.servers import Server
from mcpweb.dao.test_metrics import Metric
from mcpweb.dao.test_runs import TestRun
from mcpweb.ids import new_id
from mcpweb.services import accounts, test_cases, trends
from mcpweb.testing.fixtures import MakeServer, Visitor, check_markup
from tests.dao.rows import a_result, make_run

PROBLEM = {"type", "title", "status", "detail", "code", "errors"}
IS_ERROR = [{"kind": "is_error", "value": False}]
Ask = Callable[..., Any]


@pytest.fixture
def ask(app: Flask, core: Core, actor: Actor) -> Callable[[Role], Ask]:
    def of(role: Role) -> Ask:
        accounts.add_user(core, actor, name=role, role=role, password="a long pass phrase")
        token = accounts.create_token(core, actor, user=role, name="t", role=None, days=1)
        client: FlaskClient = app.test_client()

        def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
            return client.open(
                f"/api/v1/{path}", method=method, json=body,
                headers={"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}},
            )

        return call

    return of


@pytest.fixture
def api(ask: Callable[[Role], Ask]) -> Ask:
    return ask("operator")


@pytest.fixture
def demo(make_server: MakeServer) -> Server:
    return make_server("demo")


def pointers(answer: Any) -> list[str]:
    body = answer.get_json()
    assert answer.status_code == 422 and set(body) == PROBLEM, body
    return [error["pointer"] for error in body["errors"]]


# Saved cases


def test_a_case_is_saved_listed_changed_and_removed(api: Ask, core: Core, demo: Server) -> None:
    wanted = {"server_id": "demo", "name": "add", "tool_name": "add", "arguments": {"a": 1}, "assertions": [
        {"kind": "equals", "path": "$.structuredContent.result", "value": 3}, {"kind": "latency", "value": 500}, *IS_ERROR,
        {"kind": "jsonpath", "path": "$.content[?@.type == 'text'].text"}, {"kind": "regex", "value": "^3$"},
        {"kind": "schema", "value": {"type": "object", "required": ["result"]}},
    ]}
    made = api("POST", "test-cases", wanted)
    assert made.status_code == 201 and made.headers["Location"] == f"/api/v1/test-cases/{made.get_json()['id']}"
    case = made.get_json()
    assert case["assertions"][4] == {"kind": "regex", "path": "$.content[0].text", "value": "^3$"}
    assert case["assertions"][5]["path"] == "$.structuredContent"
    assert api("GET", "test-cases?server_id=demo&tool_name=add").get_json()["items"] == [case]
    assert api("GET", "test-cases?is_active=false").get_json()["items"] == []
    path = f"test-cases/{case['id']}"
    assert api("PATCH", path, {"is_active": False}).status_code == 428
    changed = api("PATCH", path, {"is_active": False, "assertions": IS_ERROR}, If_Match=made.headers["ETag"])
    assert changed.status_code == 200 and changed.get_json()["assertions"] == IS_ERROR and changed.get_json()["revision"] == 2
    assert api("PATCH", path, {"is_active": True}, If_Match=made.headers["ETag"]).status_code == 412
    assert api("POST", "test-cases", wanted).status_code == 409
    assert api("DELETE", path).status_code == 204 and api("GET", path).status_code == 404
    with core.db.reading() as conn:
        told = [row.action for row in audit.listing(conn, audit.Wanted(target=case["id"]))]
    assert told == ["test_case.remove", "test_case.update", "test_case.add"]


@pytest.mark.parametrize(
    ("assertion", "pointer"),
    [
        ("x", ""), ({}, "/kind"), ({"kind": "magic", "value": 1}, "/kind"), ({"kind": "equals", "path": "$"}, "/value"),
        ({"kind": "equals", "path": "content", "value": 1}, "/path"), ({"kind": "equals", "path": "$.content[", "value": 1}, "/path"),
        ({"kind": "equals", "path": "$..[?@.a == 1", "value": 1}, "/path"), ({"kind": "equals", "path": 7, "value": 1}, "/path"),
        ({"kind": "equals", "path": "$.a[?match(@.b, '(a+)+')]", "value": 1}, "/path"), ({"kind": "regex", "value": "(?=a)"}, "/value"),
        ({"kind": "jsonpath"}, "/path"), ({"kind": "regex", "value": "("}, "/value"), ({"kind": "regex", "value": ""}, "/value"),
        ({"kind": "regex", "value": "a" * 1001}, "/value"), ({"kind": "schema", "value": {"type": "wrong"}}, "/value"),
        ({"kind": "schema", "value": {"$ref": "http://127.0.0.1:1/x"}}, "/value"), ({"kind": "schema", "value": []}, "/value"),
        ({"kind": "latency", "value": 0}, "/value"), ({"kind": "latency", "value": True}, "/value"),
        ({"kind": "latency", "value": 5, "path": "$"}, "/path"), ({"kind": "is_error", "value": "no"}, "/value"),
        ({"kind": "is_error", "value": True, "a/b": 1}, "/a~1b"),
    ],
)
def test_a_wrong_assertion_is_refused_with_the_place(api: Ask, demo: Server, assertion: Any, pointer: str) -> None:
    body = {"server_id": "demo", "name": "x", "tool_name": "add", "assertions": [*IS_ERROR, assertion]}
    assert pointers(api("POST", "test-cases", body)) == [f"/assertions/1{pointer}"]


@pytest.mark.parametrize(
    "path",
    ["$", "$.a", "$.a.b[0]", "$['a b'][-1]", '$["a"]', "$..text", "$.content[*].text", "$.a[1:3]", "$.a[::2]", "$[0, 1]",
     "$.content[?@.type == 'text']", "$.日本", "$.*", "$..[0]", "$.a[?@['b'][0] > 1].c", "$.a[?count(@.*) == 2]"],
)
def test_a_usual_path_is_taken(api: Ask, demo: Server, path: str) -> None:
    body = {"server_id": "demo", "name": "x", "tool_name": "add", "assertions": [{"kind": "equals", "path": path, "value": None}]}
    assert api("POST", "test-cases", body).status_code == 201


@pytest.mark.parametrize(
    ("change", "pointer"),
    [({"name": "a b"}, "/name"), ({"tool_name": ""}, "/tool_name"), ({"arguments": [1]}, "/arguments"), ({"assertions": []}, "/assertions"),
     ({"assertions": {}}, "/assertions"), ({"assertions": IS_ERROR * 51}, "/assertions"), ({"arguments": {"a": "x" * 70_000}}, "/arguments"),
     ({"colour": "red"}, "/colour")],
)
def test_a_wrong_field_of_a_case_is_refused_with_the_place(api: Ask, demo: Server, change: dict[str, Any], pointer: str) -> None:
    body = {"server_id": "demo", "name": "x", "tool_name": "add", "assertions": IS_ERROR} | change
    assert pointers(api("POST", "test-cases", body)) == [pointer]


def a_call(core: Core, server: Server, result: dict[str, Any] | None, *, state: str = "succeeded") -> str:
    job = Job.new(id=new_id("job"), kind="call", payload={"server_id": server.id, "tool": "add", "arguments": {"a": 1}}, subject="",
                  created_at=clock.now(), created_by="user:x")
    with core.db.writing() as conn:
        jobs.insert(conn, job)
        jobs.finish(conn, job.id, None, state=state, result=None if result is None else {"result": result, "duration_ms": 3.0})
    return job.id


def test_a_manual_call_is_recorded_as_a_golden_case(api: Ask, core: Core, demo: Server) -> None:
    content = [{"type": "text", "text": "3"}]
    job_id = a_call(core, demo, {"content": content, "structuredContent": {"result": 3}})
    made = api("POST", "test-cases/record", {"job_id": job_id, "name": "golden"})
    assert made.status_code == 201
    case = made.get_json()
    assert (case["tool_name"], case["arguments"]) == ("add", {"a": 1})
    assert case["assertions"] == [*IS_ERROR, {"kind": "equals", "path": "$.structuredContent", "value": {"result": 3}}]
    plain = api("POST", "test-cases/record", {"job_id": a_call(core, demo, {"content": content}), "name": "plain"}).get_json()
    assert plain["assertions"][1] == {"kind": "equals", "path": "$.content", "value": content}
    assert test_cases.golden({"isError": True, "content": []})[0] == {"kind": "is_error", "value": True}


def test_an_answer_with_hidden_secrets_is_not_compared_with_what_hides_them(api: Ask, core: Core, demo: Server) -> None:
    job_id = a_call(core, demo, {"content": [{"type": "text", "text": "key [redacted]"}]})
    assert api("POST", "test-cases/record", {"job_id": job_id, "name": "x"}).get_json()["assertions"] == IS_ERROR


def test_only_an_answered_call_is_recorded(api: Ask, core: Core, demo: Server) -> None:
    for job_id in (a_call(core, demo, None, state="failed"), a_call(core, demo, None)):
        assert api("POST", "test-cases/record", {"job_id": job_id, "name": "x"}).status_code == 409
    assert api("POST", "test-cases/record", {"job_id": "job_none", "name": "x"}).status_code == 404


def test_a_viewer_reads_and_changes_nothing(ask: Callable[[Role], Ask], demo: Server) -> None:
    viewer = ask("viewer")
    for path in ("test-cases", "schedules", "settings", "servers/demo/trends", "servers/demo/flaky"):
        assert viewer("GET", path).status_code == 200, path
    for method, path in (("POST", "test-cases"), ("POST", "schedules"), ("PATCH", "settings"), ("POST", "test-cases/record"),
                         ("DELETE", "test-cases/x"), ("DELETE", "schedules/x")):
        body = {"server_id": "demo", "name": "x", "tool_name": "t", "assertions": IS_ERROR} if path == "test-cases" else None
        body = {"server_id": "demo", "name": "x", "every_minutes": 60} if path == "schedules" else body
        body = {"keep_results_days": 5} if path == "settings" else body
        body = {"job_id": "x", "name": "x"} if path == "test-cases/record" else body
        assert viewer(method, path, body).status_code == 403, path


# Schedules and what is kept


def test_a_schedule_is_added_listed_changed_and_removed(api: Ask, demo: Server) -> None:
    made = api("POST", "schedules", {"server_id": "demo", "name": "nightly", "every_minutes": 1440, "types": ["connection"]})
    assert made.status_code == 201 and made.headers["Location"].endswith(made.get_json()["id"])
    row = made.get_json()
    assert row["next_at"].endswith("Z") and row["on_new_image"] is False
    assert api("GET", "schedules?server_id=demo").get_json()["items"] == [row]
    changed = api("PATCH", f"schedules/{row['id']}", {"every_minutes": None, "on_new_image": True}, If_Match=made.headers["ETag"])
    assert changed.status_code == 200 and changed.get_json()["next_at"] is None and changed.get_json()["types"] == ["connection"]
    stale = api("PATCH", f"schedules/{row['id']}", {"is_active": False}, If_Match=made.headers["ETag"])
    assert stale.status_code == 412
    refused = api("PATCH", f"schedules/{row['id']}", {"on_new_image": False}, If_Match=changed.headers["ETag"])
    assert pointers(refused) == ["/every_minutes"]
    assert pointers(api("POST", "schedules", {"server_id": "demo", "name": "x", "every_minutes": 4})) == ["/every_minutes"]
    assert pointers(api("POST", "schedules", {"server_id": "demo", "name": "x", "every_minutes": "5"})) == ["/every_minutes"]
    assert api("POST", "schedules", {"server_id": "none", "name": "x", "every_minutes": 5}).status_code == 404
    assert api("DELETE", f"schedules/{row['id']}").status_code == 204 and api("GET", f"schedules/{row['id']}").status_code == 404


def _chosen(api: Ask) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in api("GET", "settings").get_json()["items"] if one["value"] is not None}


def test_how_long_results_are_kept_is_read_and_chosen(ask: Callable[[Role], Ask]) -> None:
    admin = ask("admin")
    (row,) = [one for one in admin("GET", "settings").get_json()["items"] if one["name"] == "keep_results_days"]
    assert (row["default"], row["value"]) == ("90", 90)
    read, before = admin("GET", "settings").headers["ETag"], _chosen(admin)
    assert admin("PATCH", "settings", {"keep_results_days": 30}).status_code == 428
    assert admin("PATCH", "settings", {"keep_results_days": 30}, If_Match=read).get_json() == {"keep_results_days": 30}
    assert _chosen(admin) == before | {"keep_results_days": 30}
    assert admin("PATCH", "settings", {"keep_results_days": 40}, If_Match=read).status_code == 412
    read = admin("GET", "settings").headers["ETag"]
    assert pointers(admin("PATCH", "settings", {"keep_results_days": 0}, If_Match=read)) == ["/keep_results_days"]


# History


def make_history(core: Core, server: Server, *statuses: str, image: str = "sha256:a", **fields: Any) -> TestRun:
    """Store a finished run with one result of check C01 for each status."""
    with core.db.writing() as conn:
        run = make_run(conn, server_rows.get(conn, server.id), configurations.active(conn, server.id))
        runs.begin(conn, run.id, image_id=image, image_digest=image, at=clock.now())
        rows = [
            a_result(run, status, output_data={"verdict": "pass" if status == "success" else "fail", "summary": f"It is {status}."} | fields)
            for status in statuses
        ]
        results.insert_many(conn, rows)
        runs.finish(conn, run.id, state="succeeded", verdict="pass", counts=runs.NO_COUNTS, detail={}, protocol=None, error=None,
                    at=clock.now())
        return runs.get(conn, run.id)


def test_runs_are_found_by_type_image_and_time(
    api: Ask, core: Core, demo: Server, monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = make_history(core, demo, "success")
    monkeypatch.setattr(clock, "source", lambda: time.time() + 0.1)
    other = make_history(core, demo, "success", image="sha256:b")
    today = clock.now()[:10]

    def found(query: str) -> list[str]:
        return [row["id"] for row in api("GET", f"test-runs?{query}").get_json()["items"]]

    assert found("image_digest=sha256:b") == [other.id] and found("image_digest=sha256:c") == []
    assert found("test_type=connection") == [other.id, one.id] and found("test_type=security") == []
    assert found(f"since={today}&until={today}&server_id=demo") == [other.id, one.id]
    assert found(f"since={clock.rfc3339(other.created_at)}") == [other.id] and found("until=2000-01-01") == []
    assert [r["run_id"] for r in api("GET", f"test-results?until={clock.rfc3339(other.created_at)}").get_json()["items"]] == [one.id]
    for query in ("since=yesterday", "until=2026-13-01", "since=2026-01-01T99:00:00Z"):
        assert pointers(api("GET", f"test-runs?{query}")) == [f"/{query.partition('=')[0]}"]


def test_two_runs_are_compared_with_what_both_say_and_the_worse_first(api: Ask, core: Core, demo: Server) -> None:
    first, second = make_history(core, demo, "success"), make_history(core, demo, "failure", metrics={"C01.ms": 7.0}, image="sha256:b")
    with core.db.writing() as conn:
        results.insert_many(conn, [a_result(first, check_id="C02"), a_result(second, check_id="C02"), a_result(second, check_id="C03")])
        for run, value in ((first, 10.0), (second, 12.0)):
            test_metrics.insert_many(conn, [Metric(demo.id, "P03.p50_ms", "*", run.created_at, run.id, value)])
        test_metrics.insert_many(conn, [Metric(demo.id, "P09.mb", "*", second.created_at, second.id, 5.0)])
    told = api("GET", f"test-runs/compare?first={first.id}&second={second.id}").get_json()
    assert [(row["check_id"], row["change"]) for row in told["items"]] == [("C01", "worse"), ("C03", "new"), ("C02", "same")]
    worse = told["items"][0]
    assert (worse["first"], worse["second"]) == ("success", "failure")
    assert (worse["first_summary"], worse["second_summary"]) == ("It is success.", "It is failure.")
    assert worse["second_metrics"] == {"C01.ms": 7.0} and told["same_subject"] is False
    assert [(m["name"], m["first"], m["second"], m["ratio"]) for m in told["metrics"]] == [
        ("P03.p50_ms", 10.0, 12.0, 1.2), ("P09.mb", None, 5.0, None),
    ]
    assert (told["first"]["id"], told["second"]["id"]) == (first.id, second.id)
    assert api("GET", f"test-runs/compare?first={first.id}&second=run_none").status_code == 404


def test_findings_of_one_check_and_tool_are_compared_by_their_key(api: Ask, core: Core, demo: Server) -> None:
    first, second = make_history(core, demo, "failure", key="/a"), make_history(core, demo, "failure", key="/b")
    told = api("GET", f"test-runs/compare?first={first.id}&second={second.id}").get_json()
    assert [(row["key"], row["change"]) for row in told["items"]] == [("/b", "new"), ("/a", "gone")]


def test_a_check_that_says_yes_and_no_of_the_same_thing_is_flaky(api: Ask, core: Core, demo: Server) -> None:
    make_history(core, demo, "failure", image="sha256:old")
    for status in ("success", "failure", "success", "error"):
        make_history(core, demo, status)
    assert api("GET", "servers/demo/flaky").get_json()["items"] == [
        {"check_id": "C01", "tool_name": "now", "statuses": ["success", "failure", "success", "error"]}
    ]
    make_history(core, demo, "success", image="sha256:new")
    assert api("GET", "servers/demo/flaky").get_json()["items"] == [], "another image is another thing"


def test_a_check_that_was_only_undecided_or_changed_with_the_configuration_is_not_flaky(
    api: Ask, core: Core, demo: Server
) -> None:
    for status in ("success", "error", "success"):
        make_history(core, demo, status)
    assert api("GET", "servers/demo/flaky").get_json()["items"] == []
    with core.db.writing() as conn:
        conn.execute("UPDATE test_runs SET configuration_revision = 2")
    make_history(core, demo, "failure")
    assert api("GET", "servers/demo/flaky").get_json()["items"] == []


def test_only_the_last_ten_alike_runs_count(core: Core, actor: Actor, demo: Server) -> None:
    make_history(core, demo, "failure")
    for _ in range(10):
        make_history(core, demo, "success")
    assert trends.flaky(core, actor, "demo") == [] and len(trends.flaky(core, actor, "demo", last=11)) == 1


def test_numbers_come_as_series_with_their_band(api: Ask, core: Core, demo: Server) -> None:
    for value in (10.0, 11.0, 10.0, 9.0, 10.5):
        run = make_history(core, demo, "success")
        with core.db.writing() as conn:
            test_metrics.insert_many(conn, [Metric(demo.id, "P03.p50_ms", "*", run.created_at, run.id, value)])
    assert api("GET", "servers/demo/trends").get_json()["items"] == [{"name": "P03.p50_ms", "tool_name": "*"}]
    told = api("GET", "servers/demo/trends?name=P03.p50_ms").get_json()
    assert [point["value"] for point in told["points"]] == [10.0, 11.0, 10.0, 9.0, 10.5] and told["points"][0]["image_id"] == "sha256:a"
    assert told["low"] == pytest.approx(10 - 3 * 1.4826 * 0.5) and told["high"] == pytest.approx(10 + 3 * 1.4826 * 0.5)
    short = api("GET", "servers/demo/trends?name=P03.p50_ms&limit=2").get_json()
    assert [point["value"] for point in short["points"]] == [9.0, 10.5] and short["low"] is None
    assert api("GET", "servers/demo/trends?name=none").get_json()["points"] == []


def test_the_fleet_shows_each_server_with_its_newest_verdict(core: Core, actor: Actor, demo: Server, make_server: MakeServer) -> None:
    make_server("untested")
    make_history(core, demo, "success")
    newest = make_history(core, demo, "failure")
    shown = trends.fleet(core, actor)
    rows = {row.server.name: row for row in shown.rows}
    assert rows["demo"].last_run == newest and rows["untested"].last_run is None
    assert shown.verdicts == {"pass": 1, "fail": 0, "undecided": 0, "none": 1}
    assert rows["demo"].days == trends.daily(core, actor, [demo.id]) and rows["demo"].days[0]["failure"] == 1


# The report


def test_the_report_is_one_page_without_script_and_three_files(visitor: Visitor, core: Core, demo: Server) -> None:
    run = make_history(core, demo, "failure", "success", summary="<b>bold</b>", reproduce="Do this.", next_step="Mend that.")
    answer = visitor.get(f"/test-runs/{run.id}/report")
    assert answer.status_code == 200
    markup = check_markup(visitor.app, answer.text)
    tags = [tag for tag, _ in markup.elements]
    assert "script" not in tags and "b>bold" not in answer.text.replace("&lt;b&gt;bold", "") and tags.count("h1") == 1
    for said in ("Do this.", "Mend that.", "&lt;b&gt;bold&lt;/b&gt;", run.id):
        assert said in answer.text
    assert "@media print" in visitor.get("/static/report.css").text
    files = {kind: visitor.get(f"/test-runs/{run.id}/report.{kind}") for kind in ("json", "sarif", "xml")}
    for kind, file in files.items():
        assert file.status_code == 200 and f'filename="{run.id}.{kind}"' in file.headers["Content-Disposition"]
    assert len(json.loads(files["json"].text)["results"]) == 2
    assert len(json.loads(files["sarif"].text)["runs"][0]["results"]) == 1
    assert ET.fromstring(files["xml"].text).find("testsuite") is not None
    assert visitor.get(f"/test-runs/{run.id}/report.pdf").status_code == 404
    assert visitor.get("/test-runs/run_none/report").status_code == 404


def test_the_report_speaks_japanese(visitor: Visitor, core: Core, demo: Server) -> None:
    run = make_history(core, demo, "failure")
    visitor.post("/preferences", {"language": "ja"})
    text = visitor.get(f"/test-runs/{run.id}/report").text
    assert "テストレポート" in text and "Test report" not in text
