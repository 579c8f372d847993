"""Tables ``test_results`` and its daily roll-up."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.dao import columns, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound

FIELDS = (
    "id, server_id, configuration_id, tool_name, test_type, status, input_data, output_data, error_message, "
    "execution_time_ms, created_at, created_by, run_id, check_id, severity"
)


@dataclass(frozen=True)
class TestResult:
    __test__ = False
    id: str
    server_id: str
    configuration_id: str | None
    tool_name: str
    test_type: str
    status: str
    input_data: Any
    output_data: Any
    error_message: str | None
    execution_time_ms: int | None
    created_at: str
    created_by: str | None
    run_id: str | None
    check_id: str | None
    severity: str | None


def _read(row: Mapping[str, Any]) -> TestResult:
    fields = dict(row)
    fields["input_data"] = loads(fields["input_data"])
    fields["output_data"] = loads(fields["output_data"])
    return TestResult(**fields)


def insert_many(conn: Connection, results: Sequence[TestResult]) -> None:
    """Store results and count them in the roll-up of their day."""
    if not results:
        return
    rows = []
    days: Counter[tuple[str, str, str, str]] = Counter()
    for result in results:
        fields = dict(vars(result))  # not asdict: copying deep what is about to become text took a third of the time
        for name in ("input_data", "output_data"):
            fields[name] = None if fields[name] is None else dumps(fields[name])
        rows.append(fields)
        days[result.server_id, result.test_type, result.created_at[:10], result.status] += 1
    conn.executemany(
        f"INSERT INTO test_results ({columns(rows[0])}) VALUES ({parameters(rows[0])})", rows
    )
    for (server_id, test_type, day, status), count in days.items():
        conn.execute(
            f"INSERT INTO test_results_daily (server_id, test_type, day, {status}) VALUES (:server, :type, :day, :n) "
            f"ON CONFLICT DO UPDATE SET {status} = {status} + excluded.{status}",
            {"server": server_id, "type": test_type, "day": day, "n": count},
        )


def delete_of_run(conn: Connection, run_id: str) -> None:
    """Delete the results of a run that begins again, and take them out of the roll-up."""
    counted = conn.execute(
        "SELECT server_id, test_type, substr(created_at, 1, 10) AS day, status, count(*) AS n FROM test_results "
        "WHERE run_id = :id GROUP BY 1, 2, 3, 4",
        {"id": run_id},
    ).fetchall()
    for server_id, test_type, day, status, n in counted:
        conn.execute(
            f"UPDATE test_results_daily SET {status} = max(0, {status} - :n) "
            "WHERE server_id = :server AND day = :day AND test_type = :type",
            {"server": server_id, "day": day, "type": test_type, "n": n},
        )
    conn.execute("DELETE FROM test_results WHERE run_id = :id", {"id": run_id})


def delete_some(conn: Connection, run_id: str, limit: int) -> int:
    """Delete some results of a run and return how many; the roll-up keeps what they counted for."""
    return conn.execute(
        "DELETE FROM test_results WHERE rowid IN (SELECT rowid FROM test_results WHERE run_id = :id LIMIT :limit)",
        {"id": run_id, "limit": limit},
    ).rowcount


def delete_some_without_run(conn: Connection, before: str, limit: int) -> int:
    """Delete some results that belong to no run and are older, and return how many."""
    return conn.execute(
        "DELETE FROM test_results WHERE rowid IN "
        "(SELECT rowid FROM test_results WHERE run_id IS NULL AND created_at < :before LIMIT :limit)",
        {"before": before, "limit": limit},
    ).rowcount


def count_old(conn: Connection, before: str, most: int, kept_runs: list[str]) -> int:
    """Return how many results are older, no further than ``most``; those of some runs do not count."""
    sql = (
        "SELECT count(*) FROM (SELECT 1 FROM test_results WHERE created_at < :before "
        "AND ifnull(run_id, '') NOT IN (SELECT value FROM json_each(:kept)) LIMIT :most)"
    )
    return int(conn.execute(sql, {"before": before, "most": most, "kept": dumps(kept_runs)}).fetchone()[0])


def any_without_run(conn: Connection, before: str) -> bool:
    """Tell whether a result that belongs to no run is older."""
    sql = "SELECT 1 FROM test_results WHERE run_id IS NULL AND created_at < :before LIMIT 1"
    return conn.execute(sql, {"before": before}).fetchone() is not None


def get(conn: Connection, result_id: str) -> TestResult:
    row = conn.execute(f"SELECT {FIELDS} FROM test_results WHERE id = :id", {"id": result_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no test result {result_id}.")
    return _read(row)


def listing(
    conn: Connection,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    configuration_id: str | None = None,
    test_type: str | None = None,
    status: str | None = None,
    tool_name: str | None = None,
    run_id: str | None = None,
    check_id: str | None = None,
    severity: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Listing[TestResult]:
    """Return results, newest first, from ``since`` on and before ``until``."""
    where, values = paging.span(since, until)
    equals = {
        "run_id": run_id, "server_id": server_id, "configuration_id": configuration_id, "tool_name": tool_name,
        "test_type": test_type, "status": status, "check_id": check_id, "severity": severity,
    }
    return paging.select(
        conn, "test_results", FIELDS, _read, after=after, limit=limit, equals=equals, where=where, values=values,
        drive=_narrowest(equals),
    )


_NARROW = ("run_id", "server_id", "configuration_id", "check_id", "tool_name", "status", "severity", "test_type")
_WIDE = {("status", "success"), ("tool_name", "*")}


def _narrowest(equals: Mapping[str, Any]) -> str | None:
    """Return the filter that leaves the fewest rows in any history; the indexes of the others are left alone.

    Statistics would have the planner guess by column, not by value: most results are successes, and few are anything else.
    """
    given = [name for name in _NARROW if equals[name] is not None]
    narrow = [name for name in given if (name, equals[name]) not in _WIDE]
    return next(iter(narrow or given), None)


def for_run(conn: Connection, run_id: str) -> list[TestResult]:
    """Return all results of a run, oldest first."""
    sql = f"SELECT {FIELDS} FROM test_results WHERE run_id = :id ORDER BY created_at, id"
    return [_read(row) for row in conn.execute(sql, {"id": run_id})]


def statuses_of(conn: Connection, run_ids: Sequence[str]) -> list[tuple[str, str, str, str, str]]:
    """Return (run id, test type, check id, tool, status) of all results of these runs."""
    rows = conn.execute(
        "SELECT run_id, test_type, check_id, tool_name, status FROM json_each(:ids) AS wanted "
        "CROSS JOIN test_results ON test_results.run_id = wanted.value",  # in this order whatever ANALYZE counted
        {"ids": dumps(list(run_ids))},
    )
    return [(row[0], row[1], row[2] or "", row[3], row[4]) for row in rows]


def success_rate(conn: Connection, since: str, until: str) -> float | None:
    """Return the share of successes among all results of a span of time, None when there are none."""
    row = conn.execute(
        "SELECT sum(status = 'success'), count(*) FROM test_results WHERE created_at >= :since AND created_at < :until",
        {"since": since, "until": until},
    ).fetchone()
    return row[0] / row[1] if row[1] else None


def daily(conn: Connection, server_ids: Sequence[str], since_day: str) -> list[dict[str, Any]]:
    """Return the roll-up rows of these servers from a day on."""
    rows = conn.execute(
        "SELECT server_id, day, test_type, success, failure, error, timeout FROM test_results_daily "
        "WHERE server_id IN (SELECT value FROM json_each(:ids)) AND day >= :since ORDER BY server_id, day",
        {"ids": dumps(list(server_ids)), "since": since_day},
    )
    return [dict(row) for row in rows]
