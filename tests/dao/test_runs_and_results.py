"""Test runs, their results, the roll-up of days, and the types the database knows."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from mcpweb import clock
from mcpweb.dao import servers
from mcpweb.dao import test_results as results
from mcpweb.dao import test_runs as runs
from mcpweb.dao import test_types as types
from mcpweb.dao.test_types import TestTypeRow
from mcpweb.db import Connection, driver
from mcpweb.errors import NotFound
from tests.dao.rows import a_result, make_results, make_run, make_server, make_types


@pytest.fixture
def run(conn: Connection, at: Callable[[float], None]) -> runs.TestRun:
    make_types(conn)
    return make_run(conn, make_server(conn))


def _days(conn: Connection, server_id: str) -> list[tuple[object, ...]]:
    rows = results.daily(conn, [server_id], "2000-01-01")
    return [(r["day"], r["test_type"], r["success"], r["failure"], r["error"], r["timeout"]) for r in rows]


def test_a_run_comes_back_as_it_was_stored(conn: Connection, run: runs.TestRun) -> None:
    assert runs.get(conn, run.id) == run and not run.finished
    with pytest.raises(NotFound):
        runs.get(conn, "run_none")


def test_a_run_goes_its_way(conn: Connection, run: runs.TestRun, at: Callable[[float], None]) -> None:
    runs.begin(conn, run.id, image_id="sha256:1", image_digest="sha256:2", at=clock.now())
    runs.set_progress(conn, run.id, counts=runs.NO_COUNTS | {"pass": 1}, detail={"not_applicable": ["C02"]})
    assert runs.get(conn, run.id).state == "running"
    at(5)
    counts = {"pass": 2, "fail": 1, "not_applicable": 1, "undecided": 0}
    runs.finish(
        conn, run.id, state="succeeded", verdict="fail", counts=counts, detail={"x": 1}, protocol="2025-11-25",
        error=None, at=clock.now(),
    )
    done = runs.get(conn, run.id)
    assert done.finished and (done.verdict, done.counts, done.finished_at) == ("fail", counts, clock.now())
    assert (done.image_digest, done.protocol) == ("sha256:2", "2025-11-25")
    assert runs.listing(conn, verdict="fail", state="succeeded", server_id=run.server_id).rows == (done,)
    assert runs.listing(conn, verdict="pass").rows == ()
    assert {one: seen.verdict for one, seen in servers.glance(conn, [run.server_id, "srv_other"], "2026-01-01").items()} == {
        run.server_id: "fail", "srv_other": None,
    }
    assert servers.glance(conn, [], "2026-01-01") == {}


def test_a_result_comes_back_as_it_was_stored(conn: Connection, run: runs.TestRun) -> None:
    result = a_result(run, "failure", input_data={"tz": "日本"}, output_data=[1, None], error_message="no", severity="high")
    results.insert_many(conn, [result])
    assert results.get(conn, result.id) == result
    results.insert_many(conn, [])
    with pytest.raises(NotFound):
        results.get(conn, "res_none")


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "pass"), ("test_type", "unheard_of"), ("severity", "awful"), ("server_id", "srv_none"), ("run_id", "run_none")],
)
def test_the_database_refuses_words_and_rows_it_does_not_know(
    conn: Connection, run: runs.TestRun, field: str, value: str
) -> None:
    with pytest.raises((driver.IntegrityError, driver.OperationalError)):
        results.insert_many(conn, [a_result(run, **{field: value})])


@pytest.mark.parametrize(
    "field", ["server_id", "configuration_id", "test_type", "status", "tool_name", "run_id", "check_id", "severity"]
)
def test_each_filter_takes_what_fits_and_nothing_else(conn: Connection, run: runs.TestRun, field: str) -> None:
    other = make_run(conn, make_server(conn, "other"))
    one = a_result(run)
    two = a_result(other, "failure", test_type="security", tool_name="later", check_id="S01", severity="high")
    results.insert_many(conn, [one, two])
    assert results.listing(conn, **{field: getattr(two, field)}).rows == (two,)


def test_pages_of_rows_with_one_and_the_same_time_lose_and_repeat_nothing(conn: Connection, run: runs.TestRun) -> None:
    made = make_results(conn, run, *["success"] * 23)
    seen, after = [], None
    while True:
        page = results.listing(conn, after=after, limit=5, server_id=run.server_id)
        seen += [row.id for row in page.rows]
        make_results(conn, make_run(conn, make_server(conn, f"other-{len(seen)}")), "success")
        after = page.next
        if after is None:
            break
    assert seen == sorted((row.id for row in made), reverse=True)
    assert [row.id for row in results.for_run(conn, run.id)] == seen[::-1]


# The roll-up


def test_the_roll_up_counts_each_result_on_its_day(conn: Connection, run: runs.TestRun, at: Callable[[float], None]) -> None:
    make_results(conn, run, "success", "success", "failure")
    today = clock.now()[:10]
    at(24 * 3600)
    make_results(conn, run, "timeout", "error", "success")
    assert _days(conn, run.server_id) == [
        (today, "connection", 2, 1, 0, 0), (clock.now()[:10], "connection", 1, 0, 1, 1),
    ]
    assert results.daily(conn, [run.server_id], clock.now()[:10])[0]["timeout"] == 1


def test_a_run_that_begins_again_leaves_no_result_and_no_count(conn: Connection, run: runs.TestRun) -> None:
    other = make_run(conn, make_server(conn, "other"))
    make_results(conn, other, "success")
    make_results(conn, run, "success", "failure", "failure")
    runs.delete_partial(conn, run.id)
    assert results.for_run(conn, run.id) == []
    assert [day[2:] for day in _days(conn, run.server_id)] == [(0, 0, 0, 0)]
    assert [day[2:] for day in _days(conn, other.server_id)] == [(1, 0, 0, 0)]
    make_results(conn, run, "success")
    assert [day[2:] for day in _days(conn, run.server_id)] == [(1, 0, 0, 0)]


def test_the_roll_up_equals_a_count_of_the_results(conn: Connection, run: runs.TestRun, at: Callable[[float], None]) -> None:
    for hour in range(0, 72, 7):
        at(hour * 3600)
        make_results(conn, run, *["success", "failure", "error", "timeout"][: hour % 5])
    counted = conn.execute(
        "SELECT substr(created_at, 1, 10), test_type, sum(status = 'success'), sum(status = 'failure'), "
        "sum(status = 'error'), sum(status = 'timeout') FROM test_results GROUP BY 1, 2 ORDER BY 1"
    ).fetchall()
    assert _days(conn, run.server_id) == [tuple(row) for row in counted]


def test_the_success_rate_of_a_span(conn: Connection, run: runs.TestRun, at: Callable[[float], None]) -> None:
    make_results(conn, run, "success", "success", "failure", "timeout")
    began = clock.now()
    at(60)
    make_results(conn, run, "failure")
    assert results.success_rate(conn, began, clock.now()) == 0.5
    assert results.success_rate(conn, began, clock.later(1)) == 0.4
    assert results.success_rate(conn, clock.later(1), clock.later(2)) is None


# Types


def test_results_outlive_an_uninstalled_type_and_an_unknown_one_is_still_refused(
    conn: Connection, run: runs.TestRun
) -> None:
    (result,) = make_results(conn, run, "success")
    types.register(conn, [TestTypeRow("licence", "Licence", "Reads the licence", "team", True)])
    assert {t.name: t.installed for t in types.listing(conn)} == {
        "connection": False, "functionality": False, "performance": False, "security": False, "licence": True,
    }
    assert results.get(conn, result.id).test_type == "connection"
    with pytest.raises(driver.IntegrityError):
        results.insert_many(conn, [a_result(run, test_type="style")])


def test_registering_the_same_again_is_seen_as_the_same(conn: Connection) -> None:
    rows = [TestTypeRow("connection", "Connection", "", "testtype_connection", True)]
    assert not types.same(conn, rows)
    types.register(conn, rows)
    assert types.same(conn, rows)
    types.register(conn, [])
    assert not types.same(conn, rows) and not types.listing(conn)[0].installed
