"""Findings: one for each thing that is wrong, however often it is seen; accepted for a time, fixed when it is gone."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit, configurations, test_results, test_runs, tools
from mcpweb.dao.findings import Finding
from mcpweb.dao.servers import Server
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.errors import Conflict, Forbidden, InvalidInput, NotFound
from mcpweb.ids import new_id
from mcpweb.services import findings, jobs
from mcpweb.services import test_runs as runs
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import MakeServer
from mcpweb.testing.tinyserver import tiny_server
from mcpweb.worker import Worker
from mcpweb.worker.testing import settle_run

VIEWER = Actor(name="user:view", role="viewer", label="view", via="session")
Run = Callable[..., dict[str, Finding]]


def row(verdict: str = "fail", check_id: str = "M02", tool: str = "echo", key: str = "/description", **fields: str) -> findings.Verdict:
    values = {"severity": "high", "confidence": "firm", "summary": "Hidden text.", "result_id": new_id("res")} | fields
    return findings.Verdict(test_type="security", check_id=check_id, tool_name=tool, key=key, verdict=verdict, **values)


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server("shop", tools=[{"name": "echo"}, {"name": "add"}])


@pytest.fixture
def run(core: Core, server: Server) -> Run:
    """Record a run with these verdicts."""

    def record(*rows: findings.Verdict, finished: bool = True, profile: str = "quick", configuration: str = "default") -> dict[str, Finding]:
        with core.db.writing() as conn:
            chosen = configurations.by_name(conn, server.id, configuration)
            made = TestRun.new(
                id=new_id("run"), server_id=server.id, configuration_id=chosen.id, configuration_revision=1, types=["security"],
                profile=profile, parameters={}, seed=1, job_id=None, created_at=clock.now(), created_by="cli:me",  # type: ignore[arg-type]
            )
            test_runs.insert(conn, made)
            return findings.record(conn, made, rows, finished=finished)

    return record


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def set_clock(days: float) -> None:
        monkeypatch.setattr(clock, "source", lambda: 1_790_000_000.0 + days * 86400)

    set_clock(0)
    return set_clock


def all_of(core: Core, actor: Actor, **filters: Any) -> list[tuple[str, str, str]]:
    return [(one.check_id, one.tool_name, one.state) for one in findings.listing(core, actor, **filters).rows]


def actions(core: Core, action: str) -> list[dict[str, Any]]:
    with core.db.reading() as conn:
        return [found.detail for found in audit.listing(conn, audit.Wanted(action=action))]


def test_a_run_records_what_it_found_and_what_is_accepted_does_not_count(
    core: Core, actor: Actor, worker: Worker, make_server: MakeServer, runtime: FakeRuntime
) -> None:
    tiny = tiny_server()
    runtime.add_image("noisy:1", lambda intent: lambda line: [b"Starting up...\n", *tiny(line)])
    noisy = make_server("noisy", image="noisy:1")

    def tested() -> tuple[TestRun, dict[str, Finding]]:
        made, job = runs.request(core, actor, noisy.id, types=["connection"])
        assert jobs.wait(core, job.id, 60).state == "succeeded"
        return runs.get(core, actor, made.id), findings.of_results(core, runs.results(core, actor, made.id))

    made, found = tested()
    assert made.verdict == "fail" and "C04" in {one.check_id for one in found.values()}
    assert {one.state for one in found.values()} == {"open"} and made.counts["fail"] == len(found)
    for one in found.values():
        findings.accept(core, actor, one.id, reason="It greets.")
    made, found = tested()
    assert {one.state for one in found.values()} == {"accepted"}
    assert made.verdict in ("pass", "undecided") and made.counts["fail"] == len(found) == made.detail["accepted"]
    runtime.add_image("noisy:1", lambda intent: tiny)
    made, found = tested()
    assert "C04" not in {one.check_id for one in found.values()}
    assert [one.state for one in findings.listing(core, actor, server_id="noisy", check_id="C04").rows] == ["fixed"]


def test_what_a_run_had_found_when_its_worker_died_is_not_lost(core: Core, actor: Actor, server: Server) -> None:
    made, job = runs.request(core, actor, server.id, types=["connection"])
    output = {"verdict": "fail", "summary": "Hidden.", "confidence": "firm", "key": ""}
    with core.db.writing() as conn:
        result = TestResult(
            new_id("res"), server.id, made.configuration_id, "*", "connection", "failure", None, output, "Hidden.", 3,
            clock.now(), "cli:me", made.id, "C04", "medium",
        )
        test_results.insert_many(conn, [result])
    settle_run(core, job)
    assert all_of(core, actor) == [("C04", "*", "open")]
    assert runs.get(core, actor, made.id).state == "failed"


def test_what_is_seen_twice_is_one_finding_with_its_newest_result(core: Core, actor: Actor, run: Run) -> None:
    run(row())
    (found,) = run(row(result_id="res_new", summary="More hidden text.")).values()
    (kept,) = findings.listing(core, actor).rows
    assert kept == found and (kept.result_id, kept.summary) == ("res_new", "More hidden text.")
    assert kept.first_run_id != kept.last_run_id


def test_what_differs_in_its_key_is_another_finding(core: Core, actor: Actor, run: Run) -> None:
    run(row(), row(key="/inputSchema"), row(tool="add"))
    assert len(all_of(core, actor)) == 3


def test_of_two_results_with_one_key_the_worst_counts(core: Core, actor: Actor, run: Run) -> None:
    found = run(row(severity="low", result_id="res_a"), row(severity="critical", result_id="res_b"), row(result_id="res_c"))
    assert {one.severity for one in found.values()} == {"critical"} and len(found) == 3
    assert len(all_of(core, actor)) == 1


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        ((row("pass"),), "fixed"),
        ((row("fail", key="/other"),), "fixed"),
        ((row("pass", tool="*"),), "fixed"),
        ((row("undecided"),), "open"),
        ((row("pass", tool="*"), row("undecided")), "open"),
        ((row("pass"), row("undecided", tool="*")), "open"),
        ((row("pass", tool="add"),), "open"),
        ((row("fail", tool="*", key=""),), "open"),
        ((row("pass", check_id="M03"),), "open"),
        ((), "open"),
    ],
    ids=["passed", "fails elsewhere", "passed for all tools", "undecided", "undecided for this tool", "undecided for all",
         "passed for another tool", "fails for the server", "another check passed", "not run"],
)
def test_it_is_fixed_when_its_check_decided_about_its_tool_and_it_was_not_there(
    core: Core, actor: Actor, run: Run, seen: tuple[findings.Verdict, ...], state: str
) -> None:
    run(row())
    run(*seen)
    assert ("M02", "echo", state) in all_of(core, actor)


def test_a_run_that_did_not_end_fixes_nothing_and_keeps_what_it_saw(core: Core, actor: Actor, run: Run) -> None:
    run(row())
    run(row("pass"), row(check_id="K01"), finished=False)
    assert all_of(core, actor, state="open") == [("K01", "echo", "open"), ("M02", "echo", "open")]


def test_a_quick_run_does_not_take_back_what_a_full_one_found(core: Core, actor: Actor, run: Run) -> None:
    run(row(), profile="full")
    run(row("pass"))
    assert all_of(core, actor) == [("M02", "echo", "open")]
    run(row("pass"), profile="full")
    assert all_of(core, actor) == [("M02", "echo", "fixed")]


def test_an_idle_configuration_does_not_take_back_what_the_active_one_shows(
    core: Core, actor: Actor, server: Server, run: Run
) -> None:
    from mcpweb.services import configurations as service

    service.add(core, actor, server.id, name="tight", config_data={}, description="")
    run(row())
    run(row("pass"), configuration="tight")
    assert all_of(core, actor) == [("M02", "echo", "open")]


def test_a_finding_of_a_tool_that_is_gone_is_fixed_when_its_check_ran(
    core: Core, actor: Actor, server: Server, run: Run
) -> None:
    run(row())
    with core.db.writing() as conn:
        tools.replace(conn, server.id, [{"name": "add"}])
    run(row("pass", check_id="M03", tool="add"))
    assert all_of(core, actor) == [("M02", "echo", "open")]
    run(row("pass", tool="add"))
    assert all_of(core, actor) == [("M02", "echo", "fixed")]


def test_a_fixed_finding_that_is_seen_again_is_open_again(core: Core, actor: Actor, run: Run) -> None:
    (first,) = run(row()).values()
    run(row("pass"))
    (again,) = run(row()).values()
    assert (again.id, again.state, again.first_seen_at) == (first.id, "open", first.first_seen_at)


def test_an_accepted_finding_stays_accepted_until_its_time_is_over(
    core: Core, actor: Actor, run: Run, at: Callable[[float], None]
) -> None:
    (found,) = run(row()).values()
    accepted = findings.accept(core, actor, found.id, reason="The host is isolated.", until=clock.later(10 * 86400))
    assert (accepted.state, accepted.accepted_by, accepted.reason) == ("accepted", actor.name, "The host is isolated.")
    at(9)
    assert run(row()).popitem()[1].state == "accepted"
    assert all_of(core, actor, state="accepted") and not all_of(core, actor, state="open")
    at(11)
    assert all_of(core, actor, state="open") and not all_of(core, actor, state="accepted")
    late = findings.get(core, actor, found.id)
    assert late.state == "open" and late.lapsed and late.reason == "The host is isolated."
    assert findings.open_counts(core, actor, [found.server_id]) == {found.server_id: {"high": 1}}
    again = run(row()).popitem()[1]
    assert again.state == "open" and again.lapsed


def test_an_accepted_finding_that_comes_back_worse_is_open(core: Core, actor: Actor, run: Run) -> None:
    (found,) = run(row(severity="medium")).values()
    findings.accept(core, actor, found.id, reason="It is what it is.")
    assert run(row(severity="low")).popitem()[1].state == "accepted"
    assert run(row(severity="medium")).popitem()[1].state == "accepted"  # not worse than what was accepted
    worse = run(row(severity="high")).popitem()[1]
    assert (worse.state, worse.reason, worse.accepted_until) == ("open", None, None)


def test_accepting_wants_a_reason_and_an_end_and_is_audited(core: Core, actor: Actor, run: Run, at: Callable[[float], None]) -> None:
    (found,) = run(row()).values()
    bad = ({"reason": "  "}, {"reason": "x" * 2000}, {"reason": "fine", "until": clock.later(-1)},
           {"reason": "fine", "until": clock.later(400 * 86400)}, {"reason": "fine", "until": "soon"})
    for fields in bad:
        with pytest.raises(InvalidInput):
            findings.accept(core, actor, found.id, **fields)
    with pytest.raises(Forbidden):
        findings.accept(core, VIEWER, found.id, reason="I like it.")
    accepted = findings.accept(core, actor, found.id, reason="Known,\n and harmless.")
    assert accepted.accepted_until == clock.later(90 * 86400)
    (detail,) = actions(core, "finding.accept")
    assert (detail["reason"], detail["check_id"], detail["severity"]) == ("Known, and harmless.", "M02", "high")
    assert findings.withdraw(core, actor, found.id).state == "open"
    assert actions(core, "finding.withdraw")[0]["accepted_by"] == actor.name
    with pytest.raises(Conflict):
        findings.withdraw(core, actor, found.id)
    run(row("pass"))
    with pytest.raises(Conflict):
        findings.accept(core, actor, found.id, reason="Too late.")
    with pytest.raises(NotFound):
        findings.accept(core, actor, "fnd_nothing", reason="What?")


def test_what_stands_comes_open_and_worst_first(core: Core, actor: Actor, server: Server, run: Run) -> None:
    found = run(row(check_id="L", severity="low"), row(check_id="C", severity="critical"), row(check_id="A", severity="critical"))
    accepted = next(one for one in found.values() if one.check_id == "A")
    findings.accept(core, actor, accepted.id, reason="Known.")
    assert [one.check_id for one in findings.standing(core, actor, "shop")] == ["C", "L", "A"]


def test_pages_of_findings_follow_each_other(core: Core, actor: Actor, run: Run) -> None:
    run(*(row(key=f"/{n}") for n in range(7)))
    seen, after = [], None
    while True:
        page = findings.listing(core, actor, after=after, limit=3, state="open", server_id="shop")
        seen += [one.key for one in page.rows]
        after = page.next
        if after is None:
            break
    assert sorted(seen) == [f"/{n}" for n in range(7)]


@pytest.mark.parametrize(("rows", "ended", "verdict"), [
    ([row("pass")], True, "pass"), ([row("pass"), row("fail", severity="low")], True, "fail"), ([row("pass")], False, "undecided"),
    ([row("pass"), row("fail", severity="info")], True, "pass"), ([row("fail", severity="info")], True, "pass"),
    ([row("pass"), row("undecided")], True, "undecided"), ([row("pass"), row("undecided", severity="info")], True, "pass"),
    ([row("undecided"), row("fail")], False, "fail"), ([], True, "undecided"), ([row("undecided", severity="info")], True, "undecided"),
])
def test_the_verdict_of_a_run_follows_what_weighs_in_it(run: Run, rows: list[findings.Verdict], ended: bool, verdict: str) -> None:
    assert findings.verdict_of_run(rows, run(*rows), ended=ended) == verdict


def test_a_failure_that_is_accepted_does_not_count_for_the_verdict(core: Core, actor: Actor, run: Run) -> None:
    (found,) = run(row()).values()
    findings.accept(core, actor, found.id, reason="It is ours and it is known.")
    for rows, verdict in (([row()], "pass"), ([row(), row(key="/other")], "fail"), ([row(severity="critical")], "fail")):
        assert findings.verdict_of_run(rows, run(*rows), ended=True) == verdict
        findings.accept(core, actor, found.id, reason="It is ours and it is known.")
