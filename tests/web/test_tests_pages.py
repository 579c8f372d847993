"""Pages of tests: a run with its matrix, one verdict, two runs compared, the history, a server's tab, cases and schedules."""
from __future__ import annotations

import pytest

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs, pins, test_results, test_runs
from mcpweb.dao.pins import PinChange
from mcpweb.dao.servers import Server
from mcpweb.dao.test_runs import TestRun
from mcpweb.services import configurations, findings, schedules, test_cases
from mcpweb.services import test_runs as services
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor
from mcpweb.web import charts, matrix
from tests.dao.rows import a_result, make_job


@pytest.fixture
def demo(make_server: MakeServer) -> Server:
    return make_server("demo", status="running", tools=[{"name": "echo", "inputSchema": {"type": "object"}}])


def finished(
    core: Core, actor: Actor, server: Server, *told: tuple[str, str, str], severity: str = "high", types: tuple[str, ...] = ("connection",)
) -> TestRun:
    """Write down a run that came to its end: (check, tool, verdict) each."""
    run, _ = services.request(core, actor, server.id, types=list(types))
    words = {"pass": "success", "fail": "failure", "undecided": "error"}
    rows = [
        a_result(run, words[verdict], check_id=check, tool_name=tool, severity=severity, test_type=types[0],
                 output_data={"verdict": verdict, "summary": f"{check} of {tool}: {verdict}", "evidence": {"seen": "<b>x</b>"}})
        for check, tool, verdict in told
    ]
    counts = {name: sum(v == name for _, _, v in told) for name in ("pass", "fail", "undecided")} | {"not_applicable": 0}
    with core.db.writing() as conn:
        test_results.insert_many(conn, rows)
        test_runs.finish(
            conn, run.id, state="succeeded", verdict="fail" if counts["fail"] else "pass", counts=counts, detail={},
            protocol="2026-07-28", error=None, at=run.created_at,
        )
        return test_runs.get(conn, run.id)


def test_a_run_shows_tools_by_checks_and_what_failed_worst_first(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    run = finished(core, actor, demo, ("C01", "*", "pass"), ("C04", "echo", "fail"), ("C04", "add", "pass"), ("C05", "echo", "undecided"))
    text = visitor.get(f"/test-runs/{run.id}").text
    assert text.count('class="grid"') == 1 and 'aria-label="C04 echo: fail"' in text and 'aria-label="C04 add: pass"' in text
    assert text.index("C04 of echo: fail") < text.index("C05 of echo: undecided") < text.index("C01 of *: pass")
    assert "&lt;b&gt;x&lt;/b&gt;" in text and "<b>x</b>" not in text


def test_a_cell_leads_to_its_verdict_with_what_was_said_before(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    first = finished(core, actor, demo, ("C04", "echo", "pass"))
    run = finished(core, actor, demo, ("C04", "echo", "fail"))
    with core.db.reading() as conn:
        before, now = (test_results.for_run(conn, one.id)[0] for one in (first, run))
    text = visitor.get(f"/test-runs/{run.id}/results/{now.id}").text
    assert "C04 of echo: fail" in text and f'/test-runs/{first.id}/results/{before.id}"' in text
    assert visitor.get(f"/test-runs/{first.id}/results/{now.id}").status_code == 404


def test_a_matrix_of_many_tools_stays_small_and_names_what_it_hides(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    tools = [("C04", f"tool_{number}", "fail" if number == 300 else "pass") for number in range(353)]
    run = finished(core, actor, demo, *tools)
    answer = visitor.get(f"/test-runs/{run.id}")
    assert 'aria-label="C04 tool_300: fail"' in answer.text and "313 more tools are not shown" in answer.text
    assert answer.text.count("<") < 2 * 2500, "elements, opened and closed"


def test_a_servers_first_page_tells_how_it_was_tested(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    assert "Not tested yet" in visitor.get("/servers/demo").text
    finished(core, actor, demo, ("C01", "*", "pass"), ("C04", "echo", "fail"))
    text = visitor.get("/servers/demo").text
    assert f'<a class="mark fail" href="/servers/{demo.id}/tests">fail</a>' in text and "Not tested yet" not in text


def test_two_runs_are_compared_and_what_got_worse_stands_first(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    first = finished(core, actor, demo, ("C01", "*", "pass"), ("C04", "echo", "pass"), ("C05", "*", "fail"))
    second = finished(core, actor, demo, ("C01", "*", "pass"), ("C04", "echo", "fail"), ("C05", "*", "pass"))
    text = visitor.get(f"/test-runs/compare?first={first.id}&second={second.id}").text
    assert text.index("C04") < text.index("C05") and "1 check says the same" in text and "C01" not in text
    assert f"/test-runs/compare?first={first.id}&amp;second={second.id}" in visitor.get(f"/test-runs/{second.id}").text
    assert visitor.get("/test-runs/compare?first=a").status_code == 422
    chosen = visitor.get(f"/test-runs/compare?run={second.id}&run={first.id}")  # as the boxes of the history send it
    assert chosen.headers["Location"].endswith(f"first={first.id}&second={second.id}")
    assert visitor.get(f"/test-runs/compare?run={first.id}").status_code == 422
    assert visitor.get("/test-runs").text.count('name="run"') == 2


def test_a_test_type_that_only_one_of_two_runs_had_is_named_and_not_compared(
    core: Core, actor: Actor, visitor: Visitor, demo: Server
) -> None:
    first = finished(core, actor, demo, ("C04", "echo", "pass"))
    second = finished(core, actor, demo, ("F01", "*", "fail"), types=("functionality",))
    text = visitor.get(f"/test-runs/compare?first={first.id}&second={second.id}").text
    assert "Only in the first run: connection" in text and "Only in the second run: functionality" in text
    assert "C04" not in text and "F01" not in text


def test_the_history_filters_by_all_that_a_run_is(core: Core, actor: Actor, visitor: Visitor, demo: Server, make_server: MakeServer) -> None:
    one, other = finished(core, actor, demo, ("C01", "*", "fail")), finished(core, actor, make_server("other"), ("C01", "*", "pass"))
    for query, expected in {
        "": {one.id, other.id}, "server=demo": {one.id}, "verdict=pass": {other.id}, "type=connection": {one.id, other.id},
        "type=security": set(), "state=succeeded": {one.id, other.id}, "state=failed": set(), "since=2000-01-01": {one.id, other.id},
        "until=2000-01-01": set(), "server=nobody": set(),
    }.items():
        text = visitor.get(f"/test-runs?{query}").text
        assert {run.id for run in (one, other) if f'id="{run.id}"' in text} == expected, query
    assert "There is no server nobody" in visitor.get("/test-runs?server=nobody").text
    assert visitor.get("/test-runs?verdict=maybe").status_code == 422 and visitor.get("/test-runs?since=soon").status_code == 422


def test_a_run_is_asked_for_once_more_with_the_same_wishes(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    run, _ = services.request(core, actor, demo.id, types=["connection"], profile="full", parameters={"seed": 7, "calls": 3})
    place = visitor.post(f"/test-runs/{run.id}/again", {}).headers["Location"]
    again = services.get(core, actor, place.rsplit("/", 1)[1])
    assert (again.types, again.profile, again.parameters, again.configuration_id) == (
        run.types, "full", {"calls": 3}, run.configuration_id)
    assert again.id != run.id and again.seed != 7


def test_the_tab_shows_what_failed_in_the_last_runs_and_marks_what_flickers(
    core: Core, actor: Actor, visitor: Visitor, demo: Server
) -> None:
    for verdict in ("pass", "fail", "pass"):
        finished(core, actor, demo, ("C04", "echo", verdict), ("C01", "*", "pass"), ("C05", "*", "fail"))
    text = visitor.get("/servers/demo/tests").text
    grid = text[text.index('class="grid"'):text.index("</table>")]
    assert grid.count("flaky") == 1 and grid.index("C04") < grid.index("flaky") < grid.index("C05")
    assert "C01" not in grid and "1 check held in all of them" in text


def test_the_form_asks_for_types_configuration_and_baseline(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    configurations.add(core, actor, demo.id, name="slow", config_data={})
    form = {"type": "connection", "profile": "full", "configuration": "slow", "baseline_image": "tiny:0"}
    place = visitor.post(f"/servers/{demo.id}/test-runs", form).headers["Location"]
    run = services.get(core, actor, place.rsplit("/", 1)[1])
    assert run.types == ["connection"] and run.profile == "full" and run.parameters == {"baseline": {"image": "tiny:0"}}
    assert configurations.get(core, actor, str(run.configuration_id)).name == "slow"


def test_a_case_is_written_changed_and_removed_on_its_page(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    form = {"name": "greets", "tool_name": "echo", "arguments": '{"text": "hi"}', "is_active": "on",
            "assertions": '[{"kind": "regex", "path": "$.content[0].text", "value": "^hi$"}]'}
    assert visitor.post(f"/servers/{demo.id}/tests/cases", form).status_code == 303
    case = test_cases.listing(core, actor, server_id=demo.id).rows[0]
    assert case.arguments == {"text": "hi"} and "greets" in visitor.get(f"/servers/{demo.id}/tests/cases").text
    page = visitor.get(f"/servers/{demo.id}/tests/cases/{case.id}").text
    assert "^hi$" in page and 'name="revision" value="1"' in page
    visitor.post(f"/servers/{demo.id}/tests/cases/{case.id}", form | {"revision": "1", "name": "still-greets", "is_active": ""})
    changed = test_cases.get(core, actor, case.id)
    assert changed.name == "still-greets" and not changed.is_active
    assert visitor.post(f"/servers/{demo.id}/tests/cases/{case.id}", form | {"revision": "1"}).status_code == 412
    visitor.post(f"/servers/{demo.id}/tests/cases/{case.id}/remove", {})
    assert "No case yet" in visitor.get(f"/servers/{demo.id}/tests/cases").text


@pytest.mark.parametrize(("wrong", "told"), [
    ({"assertions": "[{"}, "not JSON"), ({"assertions": '[{"kind": "loud"}]'}, "/assertions/0/kind"), ({"name": "no good"}, "name"),
    ({"arguments": "[]"}, "/arguments"), ({"assertions": '[{"kind": "regex", "value": "("}]'}, "/assertions/0/value"),
])
def test_a_case_with_a_fault_is_refused_at_its_place_and_nothing_typed_is_lost(
    core: Core, actor: Actor, visitor: Visitor, demo: Server, wrong: dict[str, str], told: str
) -> None:
    form = {"name": "greets", "tool_name": "echo", "arguments": '{"text": "typed"}', "assertions": '[{"kind": "is_error", "value": false}]'}
    answer = visitor.post(f"/servers/{demo.id}/tests/cases", form | wrong)
    assert answer.status_code == 422 and told in answer.text and not test_cases.listing(core, actor).rows
    assert ("typed" in answer.text) is ("arguments" not in wrong)


def test_a_case_of_another_server_is_not_there(core: Core, actor: Actor, visitor: Visitor, demo: Server, make_server: MakeServer) -> None:
    other = make_server("other")
    case = test_cases.add(core, actor, other.id, name="a", tool_name="t", arguments={}, assertions=[{"kind": "is_error", "value": False}])
    plan = schedules.add(core, actor, other.id, name="nightly", every_minutes=1440)
    for path in (f"cases/{case.id}", f"schedules/{plan.id}"):
        assert visitor.get(f"/servers/{demo.id}/tests/{path}").status_code == 404
        assert visitor.post(f"/servers/{demo.id}/tests/{path}/remove", {}).status_code == 404


def test_a_call_is_kept_as_a_golden_case_from_its_result(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    result = {"result": {"content": [{"type": "text", "text": "hi"}]}, "duration_ms": 3, "protocol": "2026-07-28"}
    with core.db.writing() as conn:
        called = {"server_id": demo.id, "tool": "echo", "arguments": {"text": "hi"}}
        asked = make_job(conn, kind="call", subject=f"server:{demo.id}", payload=called)
        jobs.claim(conn, worker="wrk_x", lease_s=30, job_id=asked.id)
        jobs.finish(conn, asked.id, worker="wrk_x", state="succeeded", result=result)
    page = visitor.get(f"/servers/demo/tools?tool=echo&job={asked.id}").text
    assert "Save as test" in page
    place = visitor.post(f"/servers/{demo.id}/tests/cases/record", {"job": asked.id, "name": "golden"}).headers["Location"]
    assert "golden" in visitor.get(place).text and "&#34;hi&#34;" in visitor.get(place).text


def test_a_schedule_is_made_changed_and_removed_on_its_page(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    form = {"name": "nightly", "every": "2", "unit": "days", "profile": "full", "type": "connection", "on_new_image": "on", "is_active": "on"}
    assert visitor.post(f"/servers/{demo.id}/tests/schedules", form).status_code == 303
    plan = schedules.listing(core, actor, server_id=demo.id).rows[0]
    assert (plan.every_minutes, plan.on_new_image, plan.types) == (2880, True, ["connection"])
    page = visitor.get(f"/servers/{demo.id}/tests/schedules/{plan.id}").text
    assert 'value="2"' in page and '<option value="days" selected>' in page
    visitor.post(f"/servers/{demo.id}/tests/schedules/{plan.id}", {**form, "every": "90", "unit": "minutes", "revision": "1"})
    assert schedules.get(core, actor, plan.id).every_minutes == 90
    assert visitor.post(f"/servers/{demo.id}/tests/schedules", form | {"name": "b", "every": "4", "unit": "minutes"}).status_code == 422
    assert visitor.post(f"/servers/{demo.id}/tests/schedules", {"name": "c", "every": "", "unit": "days"}).status_code == 422
    visitor.post(f"/servers/{demo.id}/tests/schedules/{plan.id}/remove", {})
    assert "Nothing is scheduled" in visitor.get(f"/servers/{demo.id}/tests/schedules").text


def test_a_viewer_reads_all_of_it_and_changes_nothing(core: Core, actor: Actor, new_visitor: NewVisitor, demo: Server) -> None:
    run = finished(core, actor, demo, ("C01", "*", "pass"))
    case = test_cases.add(core, actor, demo.id, name="a", tool_name="t", arguments={}, assertions=[{"kind": "is_error", "value": False}])
    viewer = new_visitor().sign_in("viewer")
    for path in (f"/test-runs/{run.id}", "/servers/demo/tests", "/servers/demo/tests/cases", f"/servers/demo/tests/cases/{case.id}",
                 "/servers/demo/tests/schedules"):
        text = viewer.get(path).text
        assert "<button" not in text[text.index("<main"):text.index("</main>")].replace('<button class="button mini">Show', ""), path
    assert viewer.get("/servers/demo/tests/cases/new").status_code == 403
    assert viewer.post(f"/servers/demo/tests/cases/{case.id}/remove", {}).status_code == 403


def test_the_overview_shows_the_days_of_each_server(core: Core, actor: Actor, hx: Htmx, demo: Server) -> None:
    finished(core, actor, demo, ("C01", "*", "fail"))
    text = hx.get("/").text
    assert 'class="strip"' in text and "tested on 1 day, failures on 1" in text


def test_the_overview_names_open_findings_and_servers_that_turned_tested_or_not(
    core: Core, actor: Actor, visitor: Visitor, demo: Server, make_server: MakeServer
) -> None:
    fresh = make_server("fresh")
    run = finished(core, actor, demo, ("M02", "echo", "fail"), ("C01", "*", "fail"))
    assert "1 high" not in visitor.get("/").text and "changed since approval" not in visitor.get("/").text
    with core.db.writing() as conn:
        findings.record(conn, run, [findings.verdict_of(row) for row in test_results.for_run(conn, run.id)], finished=True)
        pins.set_changes(conn, fresh.id, ["tool"], [PinChange(fresh.id, "tool", "echo", "changed", "h", run.created_at, {})])
        pins.set_changes(conn, demo.id, ["tool"], [PinChange(demo.id, "tool", "echo", "changed", "h", run.created_at, {})])
    text = visitor.get("/").text
    assert "2 high" in text and text.count("changed since approval") == 2


def test_a_strip_tells_days_apart_by_shape() -> None:
    days = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]
    strip = charts.strip(days, {days[0]: {"success": 3}, days[1]: {"success": 3, "failure": 1}, days[2]: {"error": 1}})
    assert (strip.days, strip.bad) == (3, 1)
    assert len({strip.good, strip.bad_path, strip.unsure, strip.none}) == 4 and strip.bad_path.startswith("M10 0")


def test_groups_follow_the_order_of_the_run(core: Core, actor: Actor, demo: Server) -> None:
    run = finished(core, actor, demo, ("C01", "*", "pass"))
    with core.db.reading() as conn:
        results = test_results.for_run(conn, run.id)
    assert [group.name for group in matrix.groups(results, core.test_types, ["connection", "security"])] == ["connection"]
