"""How SQLite goes about every listing: a search in an index, already in order – no scan of a table that grows."""
from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb.dao import accounts, audit, choices, configurations, findings, jobs, pins, schedules, secrets, servers, tools
from mcpweb.dao import test_cases as cases
from mcpweb.dao import test_metrics as metrics
from mcpweb.dao import test_results as results
from mcpweb.dao import test_runs as runs
from mcpweb.dao.paging import Cursor
from mcpweb.dao.pins import PinChange, PinRow
from mcpweb.db import Connection, Database
from tests.dao.rows import (
    a_finding,
    a_result,
    make_case,
    make_configuration,
    make_job,
    make_run,
    make_schedule,
    make_server,
    make_types,
)

AFTER = Cursor("2026-01-01 00:00:00.000", "x_1")
RESULT_FILTERS = (
    "server_id", "configuration_id", "test_type", "status", "tool_name", "run_id", "check_id", "severity", "since", "until",
)
# people, plugins' faults and test types are few by nature, and lists of ids come as JSON
FINDING_FILTERS = ("server_id", "severity", "check_id", "test_type", "tool_name")
SMALL = re.compile(r"SCAN (users|test_types|plugin_events|audit_floor|json_each|wanted|CONSTANT ROW|\(subquery)")


class Recorder:
    """Passes statements on and remembers them with their values."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.seen: list[tuple[str, Any]] = []

    def execute(self, sql: str, values: Any = ()) -> Any:
        self.seen.append((sql, values))
        return self._conn.execute(sql, values)


@pytest.fixture(scope="module", params=["before ANALYZE", "after ANALYZE"])
def filled(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    db = Database(Path(shutil.copy(template, tmp_path_factory.mktemp("filled") / "mcpweb.db")))
    with db.writing() as conn:
        make_types(conn)
        for number in range(300):
            make_configuration(conn, make_server(conn, f"idle-{number}"))
        for number in range(4):
            server = make_server(conn, f"server-{number}")
            run = make_run(conn, server, make_configuration(conn, server))
            results.insert_many(
                conn, [a_result(run, "failure" if n % 9 == 0 else "success", check_id=f"C{n % 20}") for n in range(300)]
            )
            for n in range(200):
                findings.insert(conn, a_finding(run, check_id=f"C{n % 20}", key=f"/{n}", state="fixed" if n % 3 else "open"))
            pins.put(conn, [PinRow(server.id, "tool", f"t{n}", "h", "2026-01-01", "cli:me", {"name": f"t{n}"}) for n in range(50)])
            pins.set_changes(conn, server.id, ["tool"], [PinChange(server.id, "tool", "t1", "changed", "g", "2026-01-01", {})])
            for number in range(20):
                make_case(conn, server, f"case-{number}")
                make_schedule(conn, server, f"schedule-{number}", every_minutes=5 if number % 2 else None, on_new_image=number % 3 == 0)
            metrics.insert_many(conn, [
                metrics.Metric(server.id, f"P0{n % 5}.p50_ms", "*", run.created_at, run.id, float(n)) for n in range(40)
            ])
            for _ in range(60):
                make_job(conn, subject=f"server:{server.id}")
                audit.append(conn, actor="cli:me", actor_kind="cli", action="server.add", target=server.id)
        if request.param == "after ANALYZE":
            conn.execute("ANALYZE")
        yield conn
    db.close()


def _plans(conn: Connection, ask: Callable[[Any], object]) -> list[str]:
    recorder = Recorder(conn)
    ask(recorder)
    assert recorder.seen
    return [
        row[3] for sql, values in recorder.seen for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    ]


def _assert_searches(plans: list[str]) -> None:
    for step in plans:
        assert "TEMP B-TREE" not in step, plans
        assert "SCAN" not in step or SMALL.search(step), plans


def _filters(names: tuple[str, ...], most: int) -> list[tuple[str, ...]]:
    return [chosen for size in range(most + 1) for chosen in itertools.combinations(names, size)]


@pytest.mark.parametrize("after", [None, AFTER], ids=["first page", "next page"])
@pytest.mark.parametrize("chosen", _filters(RESULT_FILTERS, 2), ids=" ".join)
def test_result_listing(filled: Connection, chosen: tuple[str, ...], after: Cursor | None) -> None:
    values: dict[str, Any] = dict.fromkeys(chosen, "x")
    _assert_searches(_plans(filled, lambda c: results.listing(c, after=after, limit=50, **values)))


@pytest.mark.parametrize("after", [None, AFTER], ids=["first page", "next page"])
@pytest.mark.parametrize(
    ("listing", "names"),
    [
        (servers.listing, ("status", "name", "image", "q")),
        (configurations.listing, ("server_id",)),
        (runs.listing, ("server_id", "state", "verdict", "image_digest", "test_type", "since", "until")),
        (jobs.listing, ("state", "kind", "subject")),
        (cases.listing, ("server_id", "tool_name", "is_active")),
        (schedules.listing, ("server_id", "is_active")),
    ],
    ids=["servers", "configurations", "test_runs", "jobs", "test_cases", "schedules"],
)
def test_listings_of_pages(filled: Connection, listing: Any, names: tuple[str, ...], after: Cursor | None) -> None:
    for chosen in _filters(names, len(names)):
        _assert_searches(_plans(filled, lambda c, chosen=chosen: listing(c, after=after, limit=50, **dict.fromkeys(chosen, "x"))))


@pytest.mark.parametrize("after", [None, AFTER], ids=["first page", "next page"])
@pytest.mark.parametrize("state", [None, "open", "accepted", "fixed"])
@pytest.mark.parametrize("chosen", _filters(FINDING_FILTERS, 2), ids=" ".join)
def test_finding_listing(filled: Connection, chosen: tuple[str, ...], state: str | None, after: Cursor | None) -> None:
    values: dict[str, Any] = dict.fromkeys(chosen, "x")
    _assert_searches(_plans(filled, lambda c: findings.listing(c, after=after, limit=50, state=state, **values)))


@pytest.mark.parametrize("before", [None, 100])
def test_audit_listing(filled: Connection, before: int | None) -> None:
    for chosen in _filters(("actor", "action", "target", "since", "until"), 5):
        _assert_searches(
            _plans(filled, lambda c, chosen=chosen: audit.listing(c, audit.Wanted(**dict.fromkeys(chosen, "x")), before_seq=before))
        )


OTHERS: dict[str, Callable[[Any], object]] = {
    "secrets.find_blank": lambda c: secrets.find_blank(c, "API_KEY", "server", "srv_1"),
    "servers.find": lambda c: servers.find(c, "x"),
    "servers.glance": lambda c: servers.glance(c, ["x", "y"], "2026-01-01"),
    "tools.search": lambda c: tools.search(c, "x", 10),
    "jobs.calls": lambda c: jobs.calls(c, "server:x", "add"),
    "servers.with_status": lambda c: servers.with_status(c, "running"),
    "servers.wanted_running": servers.wanted_running,
    "servers.delete_hidden_batch": lambda c: servers.delete_hidden_batch(c, 10),
    "configurations.revisions": lambda c: configurations.revisions(c, "x"),
    "test_results.for_run": lambda c: results.for_run(c, "x"),
    "test_results.daily": lambda c: results.daily(c, ["x", "y"], "2026-01-01"),
    "test_results.statuses_of": lambda c: results.statuses_of(c, ["x", "y"]),
    "test_results.delete_some": lambda c: results.delete_some(c, "x", 10),
    "test_results.delete_some_without_run": lambda c: results.delete_some_without_run(c, "2026-01-01", 10),
    "test_results.any_without_run": lambda c: results.any_without_run(c, "2026-01-01"),
    "test_runs.newest": lambda c: runs.newest(c, "x", 50),
    "test_runs.last_of_each": lambda c: runs.last_of_each(c, ["x", "y"]),
    "test_runs.images": lambda c: runs.images(c, ["x", "y"]),
    "test_runs.old": lambda c: runs.old(c, "2026-01-01", after=None, limit=10),
    "test_runs.old, next page": lambda c: runs.old(c, "2026-01-01", after=AFTER, limit=10),
    "test_runs.delete": lambda c: runs.delete(c, "x"),
    "test_metrics.series": lambda c: metrics.series(c, "x", "P03.p50_ms", "*", 30),
    "test_metrics.names": lambda c: metrics.names(c, "x"),
    "test_metrics.first_tool": lambda c: metrics.first_tool(c, "x", "P03.p50_ms"),
    "test_metrics.of_run": lambda c: metrics.of_run(c, "x"),
    "test_metrics.delete_of_run": lambda c: metrics.delete_of_run(c, "x"),
    "test_cases.active": lambda c: cases.active(c, "x", 10),
    "test_cases.count": lambda c: cases.count(c, "x"),
    "schedules.due": lambda c: schedules.due(c, "2026-01-01"),
    "schedules.far_off": lambda c: schedules.far_off(c, "2026-01-01 00:00:00.000"),
    "schedules.on_new_image": schedules.on_new_image,
    "schedules.on_new_image of a server": lambda c: schedules.on_new_image(c, "x"),
    "choices.find": lambda c: choices.find(c, "x"),
    "jobs.kept_apart": jobs.kept_apart,
    "test_results.success_rate": lambda c: results.success_rate(c, "2026-01-01", "2026-01-02"),
    "test_runs.count_old": lambda c: runs.count_old(c, "2026-01-01", 100),
    "test_results.count_old": lambda c: results.count_old(c, "2026-01-01", 100, ["x"]),
    "jobs.newest_by": lambda c: jobs.newest_by(c, "cli:me", 20),
    "jobs.count_old": lambda c: jobs.count_old(c, "2026-01-01", 100),
    "jobs.delete_some_old": lambda c: jobs.delete_some_old(c, "2026-01-01", 100),
    "jobs.claim": lambda c: jobs.claim(c, worker="wrk_1", lease_s=1),
    "jobs.claim named": lambda c: jobs.claim(c, worker="wrk_1", lease_s=1, job_id="x"),
    "jobs.open_with": lambda c: jobs.open_with(c, "x"),
    "jobs.find_idempotent": lambda c: jobs.find_idempotent(c, "cli:me", "x", "2026-01-01"),
    "jobs.any_to_claim": jobs.any_to_claim,
    "jobs.lost_calls": jobs.lost_calls,
    "jobs.renew": lambda c: jobs.renew(c, ["x"], "wrk_1", 1),
    "jobs.asked_to_stop": lambda c: jobs.asked_to_stop(c, "wrk_1"),
    "jobs.counts": jobs.counts,
    "audit.from_seq": lambda c: audit.from_seq(c, 5, 10),
    "audit.delete_below_floor": lambda c: audit.delete_below_floor(c, 10),
    "findings.of_server": lambda c: findings.of_server(c, "x"),
    "findings.standing": lambda c: findings.standing(c, "x", 10),
    "findings.of_results": lambda c: findings.of_results(c, [("x", "C01", "*", "")]),
    "findings.open_counts": lambda c: findings.open_counts(c, ["x", "y"]),
    "findings.fix": lambda c: findings.fix(c, ["x"]),
    "pins.listing": lambda c: pins.listing(c, "x"),
    "pins.hashes": lambda c: pins.hashes(c, "x"),
    "pins.count": lambda c: pins.count(c, "x"),
    "pins.changes": lambda c: pins.changes(c, "x"),
    "pins.change_hashes": lambda c: pins.change_hashes(c, "x"),
    "pins.change_of": lambda c: pins.change_of(c, "x", "tool", "y"),
    "pins.change_counts": lambda c: pins.change_counts(c, "x"),
    "pins.states": lambda c: pins.states(c, after=("x", "tool", "y")),
    "pins.states of a kind": lambda c: pins.states(c, kind="tool"),
    "pins.states of a server": lambda c: pins.states(c, server_id="x"),
    "pins.states of a server and kind": lambda c: pins.states(c, server_id="x", kind="tool", after=("x", "tool", "y")),
    "pins.changed_servers": lambda c: pins.changed_servers(c, ["x", "y"]),
    "accounts.find_user_by_name": lambda c: accounts.find_user_by_name(c, "x"),
    "accounts.users": accounts.users,
    "accounts.page_of_users": accounts.page_of_users,
    "accounts.page_of_tokens": accounts.page_of_tokens,
    "accounts.page_of_tokens of a user": lambda c: accounts.page_of_tokens(c, "x"),
    "accounts.session_counts": lambda c: accounts.session_counts(c, ["x", "y"], "2026-01-01", "2026-01-01"),
    "accounts.token_counts": lambda c: accounts.token_counts(c, ["x", "y"], "2026-01-01"),
    "accounts.session_named": lambda c: accounts.session_named(c, "abc"),
    "accounts.names_of": lambda c: accounts.names_of(c, ["x", "y"]),
    "accounts.find_identity": lambda c: accounts.find_identity(c, "x", "y"),
    "accounts.identities_of": lambda c: accounts.identities_of(c, "x"),
    "accounts.sessions_of": lambda c: accounts.sessions_of(c, "x"),
    "accounts.find_session": lambda c: accounts.find_session(c, "x"),
    "accounts.tokens of a user": lambda c: accounts.tokens(c, "x"),
    "accounts.delete_old_sessions": lambda c: accounts.delete_old_sessions(c, "2026-01-01"),
    "accounts.delete_sessions_of": lambda c: accounts.delete_sessions_of(c, "x"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_ways_in(filled: Connection, name: str) -> None:
    _assert_searches(_plans(filled, OTHERS[name]))


def test_the_rate_of_a_span_and_the_rows_to_skip_are_read_from_the_index_alone(filled: Connection) -> None:
    (step,) = _plans(filled, lambda c: results.success_rate(c, "2026-01-01", "2026-01-02"))
    assert "COVERING INDEX idx_test_results_created_at" in step


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        ({"server_id": "x", "status": "failure"}, "server_id"), ({"server_id": "x", "check_id": "C1", "tool_name": "t"}, "server_id"),
        ({"test_type": "x", "tool_name": "t"}, "tool_name"), ({"test_type": "x", "tool_name": "*"}, "test_type"),
        ({"test_type": "x", "status": "timeout"}, "status"), ({"test_type": "x", "status": "success"}, "test_type"),
        ({"status": "failure", "severity": "info"}, "status"), ({"severity": "info", "test_type": "x"}, "severity"),
        ({"run_id": "x", "server_id": "y", "check_id": "z"}, "run_id"), ({"check_id": "C1", "status": "failure"}, "check_id"),
        ({"status": "success"}, "status"),
    ],
    ids=str,
)
def test_a_history_with_several_filters_walks_the_narrowest_index(filled: Connection, chosen: dict[str, str], index: str) -> None:
    (step,) = _plans(filled, lambda c: results.listing(c, **chosen))
    assert f"INDEX idx_test_results_{index} " in step


def _looks_into_the_table(conn: Connection, **chosen: str) -> bool:
    """Tell whether the first filter beside the index's own column is read from the table's row, by the program SQLite makes."""
    recorder = Recorder(conn)
    results.listing(recorder, **chosen)  # type: ignore[arg-type]
    sql, values = recorder.seen[0]
    program = [(row[1], row[2], row[3]) for row in conn.execute(f"EXPLAIN {sql}", values)]
    root = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'test_results'").fetchone()[0]
    table = next(cursor for name, cursor, page in program if name == "OpenRead" and page == root)
    first_test = next(at for at, (name, _, _) in enumerate(program) if name == "Ne")
    return any(name == "Column" and cursor == table for name, cursor, _ in program[:first_test])


def test_rows_of_another_kind_are_passed_over_in_the_index_without_being_read(filled: Connection) -> None:
    for name in ("status", "test_type", "check_id", "tool_name", "severity"):
        assert not _looks_into_the_table(filled, server_id="x", **{name: "failure"}), name
        assert not _looks_into_the_table(filled, configuration_id="x", **{name: "failure"}), name
    for driving, other in (
        ("check_id", "status"), ("check_id", "tool_name"), ("tool_name", "test_type"), ("tool_name", "severity"),
        ("status", "severity"), ("status", "test_type"), ("severity", "test_type"),
    ):
        assert not _looks_into_the_table(filled, **{driving: "x", other: "failure"}), (driving, other)
    assert _looks_into_the_table(filled, run_id="x", status="failure"), "the control: the fifty rows of a run are just read"


def test_this_test_sees_a_scan_and_a_sort(filled: Connection) -> None:
    """The control: without an index both faults are found."""
    for sql in ("SELECT * FROM test_results WHERE error_message = 'x'", "SELECT * FROM jobs ORDER BY message"):
        with pytest.raises(AssertionError):
            _assert_searches(_plans(filled, lambda c, sql=sql: c.execute(sql)))
