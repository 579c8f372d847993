"""Saved cases, schedules, series of numbers, and jobs that keep apart."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mcpweb import clock
from mcpweb.dao import choices, configurations, jobs, schedules, servers
from mcpweb.dao import test_cases as cases
from mcpweb.dao import test_metrics as metrics
from mcpweb.dao import test_results as results
from mcpweb.dao import test_runs as runs
from mcpweb.dao.test_metrics import Metric
from mcpweb.db import Connection, driver
from mcpweb.errors import NotFound, PreconditionFailed
from tests.dao.rows import make_case, make_job, make_results, make_run, make_schedule, make_server, make_types

pytestmark = pytest.mark.usefixtures("at")


# Cases and schedules


def test_a_case_comes_back_as_it_was_stored_and_changes_with_its_revision(conn: Connection) -> None:
    server = make_server(conn)
    case = make_case(conn, server, arguments={"a": [1, {"b": "日本"}]}, assertions=[{"kind": "equals", "path": "$", "value": None}])
    assert cases.get(conn, case.id) == case
    changed = cases.update(conn, case.id, expect=1, fields={"is_active": False, "name": "other"})
    assert (changed.name, changed.is_active, changed.revision, changed.arguments) == ("other", False, 2, case.arguments)
    with pytest.raises(PreconditionFailed):
        cases.update(conn, case.id, expect=1, fields={"name": "late"})
    assert cases.active(conn, server.id, 10) == [] and cases.count(conn, server.id) == 1
    cases.delete(conn, case.id)
    with pytest.raises(NotFound):
        cases.get(conn, case.id)


def test_two_cases_or_schedules_of_one_server_have_two_names(conn: Connection) -> None:
    one, other = make_server(conn, "one"), make_server(conn, "other")
    for make in (make_case, make_schedule):
        make(conn, one, "a")
        make(conn, other, "a")
        with pytest.raises(driver.IntegrityError):
            make(conn, one, "a")


def test_a_schedule_comes_back_as_it_was_stored(conn: Connection) -> None:
    server = make_server(conn)
    schedule = make_schedule(conn, server, types=["security"], parameters={"seed": 3}, configuration="strict", profile="full")
    assert schedules.get(conn, schedule.id) == schedule == schedules.by_name(conn, server.id, "nightly")
    changed = schedules.update(conn, schedule.id, expect=None, fields={"types": [], "is_active": False})
    assert changed == replace(schedule, types=[], is_active=False, revision=2, updated_at=changed.updated_at)
    with pytest.raises(PreconditionFailed):
        schedules.update(conn, schedule.id, expect=1, fields={})


def test_a_schedule_that_never_runs_or_runs_too_often_is_refused_by_the_database(conn: Connection) -> None:
    server = make_server(conn)
    schedule = make_schedule(conn, server, "a")
    for change in ("every_minutes = 4", "every_minutes = NULL", "profile = 'lazy'"):
        with pytest.raises(driver.IntegrityError):
            conn.execute(f"UPDATE schedules SET {change} WHERE id = ?", (schedule.id,))


def test_schedules_that_are_off_or_of_a_removed_server_are_never_due(conn: Connection, at: Callable[[float], None]) -> None:
    server, gone = make_server(conn, "here"), make_server(conn, "gone")
    wanted = make_schedule(conn, server, "due", next_at=clock.later(-1))
    make_schedule(conn, server, "later")
    make_schedule(conn, server, "off", next_at=clock.later(-1), is_active=False)
    make_schedule(conn, gone, "gone", next_at=clock.later(-1))
    images = make_schedule(conn, server, "image", every_minutes=None)
    make_schedule(conn, gone, "image", every_minutes=None)
    servers.hide(conn, gone.id)
    assert [row.id for row in schedules.due(conn, clock.now())] == [wanted.id]
    assert [row.id for row in schedules.on_new_image(conn)] == [images.id]


def test_a_removed_server_takes_its_cases_schedules_and_numbers_along_in_batches(conn: Connection) -> None:
    make_types(conn)
    server = make_server(conn)
    run = make_run(conn, server)
    make_results(conn, run, *["success"] * 5)
    metrics.insert_many(conn, [Metric(server.id, f"m{n}", "*", run.created_at, run.id, 1.0) for n in range(5)])
    make_case(conn, server)
    make_schedule(conn, server)
    servers.hide(conn, server.id)
    steps = []
    while found := servers.delete_hidden_batch(conn, 3):
        steps.append(found)
    assert steps == [3, 2, 3, 2, 1, 1]
    for table in ("servers", "test_results", "test_metrics", "test_runs", "test_cases", "schedules"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table


# Numbers


def test_a_series_is_the_newest_numbers_oldest_first_by_name_and_tool(conn: Connection, at: Callable[[float], None]) -> None:
    make_types(conn)
    server = make_server(conn)
    made = []
    for n in range(6):
        at(n * 60)
        run = _another_run(conn, server)
        made.append(run)
        metrics.insert_many(conn, [Metric(server.id, "P03.p50_ms", tool, run.created_at, run.id, n + len(tool)) for tool in ("*", "now")])
    assert [row.value for row in metrics.series(conn, server.id, "P03.p50_ms", "*", 4)] == [3.0, 4.0, 5.0, 6.0]
    assert metrics.names(conn, server.id) == [("P03.p50_ms", "*"), ("P03.p50_ms", "now")]
    assert metrics.first_tool(conn, server.id, "P03.p50_ms") == "*" and metrics.first_tool(conn, server.id, "x") is None
    last = made[-1]
    metrics.insert_many(conn, [Metric(server.id, "P03.p50_ms", "*", last.created_at, last.id, 99.0)])
    assert [(row.tool_name, row.value) for row in metrics.of_run(conn, last.id)] == [("*", 99.0), ("now", 8.0)]
    assert metrics.delete_of_run(conn, last.id) == 2


def _another_run(conn: Connection, server: servers.Server) -> runs.TestRun:
    known = configurations.listing(conn, server_id=server.id).rows
    return make_run(conn, server, known[0] if known else None)


def test_a_choice_is_what_was_chosen_last(conn: Connection) -> None:
    assert choices.find(conn, "x") is None
    choices.put(conn, "x", 3, "cli:a")
    choices.put(conn, "x", {"y": 4}, "cli:b")
    found = choices.find(conn, "x")
    assert found is not None and (found.value, found.updated_by) == ({"y": 4}, "cli:b")


# Filters of runs


def test_each_filter_of_runs_takes_what_fits_and_nothing_else(conn: Connection, at: Callable[[float], None]) -> None:
    make_types(conn)
    first = make_run(conn, make_server(conn, "one"))
    at(3600)
    second = make_run(conn, make_server(conn, "two"))
    runs.begin(conn, second.id, image_id="sha256:a", image_digest="sha256:b", at=clock.now())
    conn.execute("UPDATE test_runs SET types = '[\"security\",\"my_type\"]' WHERE id = ?", (second.id,))
    found = {
        "server_id": second.server_id, "state": "running", "image_digest": "sha256:b", "test_type": "my_type",
        "since": second.created_at,
    }
    for name, value in found.items():
        assert [run.id for run in runs.listing(conn, **{name: value}).rows] == [second.id], name
    assert [run.id for run in runs.listing(conn, until=second.created_at).rows] == [first.id]
    assert runs.listing(conn, test_type="my").rows == () and runs.listing(conn, test_type='x"').rows == ()


# Retention


def test_results_that_go_by_age_stay_counted_in_the_roll_up(conn: Connection) -> None:
    make_types(conn)
    run = make_run(conn, make_server(conn))
    make_results(conn, run, "success", "failure", "failure")
    before = results.daily(conn, [run.server_id], "2000-01-01")
    assert results.delete_some(conn, run.id, 2) == 2 and results.delete_some(conn, run.id, 2) == 1
    assert results.daily(conn, [run.server_id], "2000-01-01") == before


# Jobs that keep apart


def _claim(conn: Connection) -> str | None:
    job = jobs.claim(conn, worker="wrk_1", lease_s=30)
    return None if job is None else job.id


def _end(conn: Connection, job_id: str) -> None:
    assert jobs.finish(conn, job_id, "wrk_1", state="succeeded")


def test_an_exclusive_run_waits_for_what_runs_and_others_wait_for_it(conn: Connection, at: Callable[[float], None]) -> None:
    def make(seconds: float, kind: str, **fields: object) -> str:
        at(seconds)
        return make_job(conn, kind, **fields).id

    plain = make(1, "test_run")
    alone = make(2, "test_run", is_exclusive=True)
    later = make(3, "rotate")
    start = make(4, "start")
    assert _claim(conn) == plain
    assert _claim(conn) == start and _claim(conn) is None and not jobs.any_to_claim(conn)
    running, queued = jobs.kept_apart(conn)
    assert [job.id for job in running] == [plain] and [job.id for job in queued] == [alone, later]
    _end(conn, plain)
    assert jobs.any_to_claim(conn) and _claim(conn) == alone and _claim(conn) is None
    stop = make(5, "stop")
    assert _claim(conn) == stop and _claim(conn) is None
    _end(conn, alone)
    assert _claim(conn) == later
    assert jobs.kept_apart(conn) == ([], [])


@pytest.mark.parametrize("kind", ["test_run", "rotate", "retention", "prune_audit"])
def test_nothing_of_these_kinds_runs_beside_an_exclusive_run(conn: Connection, at: Callable[[float], None], kind: str) -> None:
    alone = make_job(conn, "test_run", is_exclusive=True)
    at(1)
    other = make_job(conn, kind)
    assert _claim(conn) == alone.id and _claim(conn) is None
    _end(conn, alone.id)
    assert _claim(conn) == other.id
    at(2)
    make_job(conn, "test_run", is_exclusive=True)
    assert _claim(conn) is None


def test_two_runs_that_are_not_exclusive_run_side_by_side(conn: Connection) -> None:
    made = {make_job(conn, "test_run").id for _ in range(3)}
    assert {_claim(conn) for _ in range(3)} == made
