"""What many runs say together: series of numbers, days, checks that flicker, the fleet."""
from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import findings, pins, servers, test_metrics, test_results, test_runs
from mcpweb.dao.paging import Cursor
from mcpweb.dao.servers import Server
from mcpweb.dao.test_runs import TestRun
from mcpweb.services import access

_LOOK_BACK = 50  # runs that are looked at for such of the same configuration and image


@dataclass(frozen=True)
class Point:
    """One number of one run."""

    at: str
    value: float
    run_id: str
    image_id: str | None


@dataclass(frozen=True)
class Series:
    """Numbers of one name and tool, oldest first, with the band the newest ones lie in (None below five numbers).

    The band is median ± 3 scaled median deviations. It shows where a number usually lies; it is no verdict.
    """

    name: str
    tool_name: str
    points: list[Point]
    low: float | None
    high: float | None


def names(core: Core, actor: Actor, server_id: str) -> list[tuple[str, str]]:
    """Return the series there are of a server, as (name, tool)."""
    access.require(core, actor, "test.view", server_id=server_id)
    with core.db.reading() as conn:
        return test_metrics.names(conn, servers.get(conn, server_id).id)


def series(core: Core, actor: Actor, server_id: str, name: str, tool_name: str | None = None, limit: int = 30) -> Series:
    """Return the newest numbers of a name; without a tool those of the first tool that has any. Raises NotFound."""
    access.require(core, actor, "test.view", server_id=server_id)
    with core.db.reading() as conn:
        server = servers.get(conn, server_id)
        if tool_name is None:
            tool_name = test_metrics.first_tool(conn, server.id, name) or "*"
        rows = test_metrics.series(conn, server.id, name, tool_name, limit)
        images = test_runs.images(conn, [row.run_id for row in rows])
    points = [Point(row.created_at, row.value, row.run_id, images.get(row.run_id)) for row in rows]
    low, high = _band([point.value for point in points])
    return Series(name, tool_name, points, low, high)


def _band(values: list[float]) -> tuple[float | None, float | None]:
    if len(values) < 5:
        return None, None
    middle = statistics.median(values)
    spread = 3 * 1.4826 * statistics.median(abs(value - middle) for value in values)
    return middle - spread, middle + spread


def daily(core: Core, actor: Actor, server_ids: list[str], days: int = 28) -> list[dict[str, Any]]:
    """Return the roll-up of the last days: server_id, day, test_type, success, failure, error, timeout."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        return test_results.daily(conn, server_ids, clock.later(-(days - 1) * 86_400)[:10])


@dataclass(frozen=True)
class Flaky:
    """A check that says yes and no of one and the same thing; ``statuses`` are its answers, oldest first."""

    check_id: str
    tool_name: str
    statuses: list[str]


def flaky(core: Core, actor: Actor, server_id: str, last: int = 10) -> list[Flaky]:
    """Return checks that both held and failed over the last runs of the newest run's configuration and image.

    Where nothing but the time changed, another answer is chance: of the check, of the server, or of the machine.
    What could not be decided says nothing for or against it.
    """
    access.require(core, actor, "test.view", server_id=server_id)
    with core.db.reading() as conn:
        runs = _alike(test_runs.newest(conn, servers.get(conn, server_id).id, _LOOK_BACK), last)
        told = test_results.statuses_of(conn, [run.id for run in runs])
    return _flickering(runs, told)


def _flickering(runs: Sequence[TestRun], told: Sequence[tuple[str, str, str, str, str]]) -> list[Flaky]:
    """Return what says yes and no in runs of one subject, given newest first."""
    by_run: dict[str, list[tuple[str, str, str]]] = {run.id: [] for run in runs}
    for run_id, _, check_id, tool_name, status in told:
        if run_id in by_run:
            by_run[run_id].append((check_id, tool_name, status))
    answers: dict[tuple[str, str], list[str]] = {}
    for run in reversed(runs):
        for place, status in _answers(by_run[run.id]).items():
            answers.setdefault(place, []).append(status)
    return [
        Flaky(check_id, tool_name, statuses) for (check_id, tool_name), statuses in sorted(answers.items())
        if "success" in statuses and ("failure" in statuses or "timeout" in statuses)
    ]


def _alike(runs: list[TestRun], last: int) -> list[TestRun]:
    """Return the newest runs that tested the same thing as the newest one, among them only such that came to their end."""
    ended = [run for run in runs if run.state == "succeeded"]
    same = [
        run for run in ended
        if (run.configuration_id, run.configuration_revision, run.image_id)
        == (ended[0].configuration_id, ended[0].configuration_revision, ended[0].image_id)
    ]
    return same[:last]


_WORST = ("failure", "timeout", "error", "success")


def _answers(rows: list[tuple[str, str, str]]) -> dict[tuple[str, str], str]:
    """Return one status for each check and tool of a run: of several findings the worst."""
    found: dict[tuple[str, str], str] = {}
    for check_id, tool_name, status in rows:
        known = found.get((check_id, tool_name), "success")
        found[check_id, tool_name] = min(known, status, key=_WORST.index)
    return found


@dataclass(frozen=True)
class CheckRow:
    """A check over the last runs, newest last: the worst status in each, None where it was not run."""

    test_type: str
    check_id: str
    statuses: tuple[str | None, ...]
    flaky: bool


@dataclass(frozen=True)
class Recent:
    """The last runs with a verdict, newest last; the checks that did not hold in all of them; how many did."""

    runs: tuple[TestRun, ...]
    rows: tuple[CheckRow, ...]
    held: int


def recent(core: Core, actor: Actor, server_id: str, last: int = 12, most: int = 40) -> Recent:
    """Return what the last runs of a server said, check by check, at most ``most`` checks. Raises NotFound."""
    access.require(core, actor, "test.view", server_id=server_id)
    with core.db.reading() as conn:
        runs = test_runs.newest(conn, servers.get(conn, server_id).id, last)
        told = test_results.statuses_of(conn, [run.id for run in runs])
    flickering = {one.check_id for one in _flickering(_alike(runs, last), told)}
    at = {run.id: len(runs) - 1 - place for place, run in enumerate(runs)}
    found: dict[tuple[str, str], list[str | None]] = {}
    for run_id, test_type, check_id, _, status in told:
        row = found.setdefault((test_type, check_id), [None] * len(runs))
        row[at[run_id]] = min(row[at[run_id]] or "success", status, key=_WORST.index)
    rows = [
        CheckRow(test_type, check_id, tuple(row), check_id in flickering) for (test_type, check_id), row in sorted(found.items())
        if any(status not in (None, "success") for status in row)
    ]
    return Recent(tuple(reversed(runs)), tuple(rows[:most]), len(found) - len(rows))


def failing(core: Core, actor: Actor, limit: int = 6) -> list[TestRun]:
    """Return the newest runs that failed and that no later run of the same server has overtaken."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        failed = test_runs.listing(conn, verdict="fail", limit=50).rows
        latest = test_runs.last_of_each(conn, list({run.server_id for run in failed}))
    return [run for run in failed if run.server_id in latest and latest[run.server_id].id == run.id][:limit]


@dataclass(frozen=True)
class FleetRow:
    """A server with its newest run that came to a verdict, and its roll-up of days."""

    server: Server
    last_run: TestRun | None
    days: list[dict[str, Any]]
    open: dict[str, int]  # open findings by severity
    changed: bool  # something it serves is not what was approved


@dataclass(frozen=True)
class Fleet:
    rows: list[FleetRow]
    next: Cursor | None
    verdicts: dict[str, int]  # of the shown servers: pass, fail, undecided, none


def fleet(core: Core, actor: Actor, *, after: Cursor | None = None, limit: int = 50, days: int = 28) -> Fleet:
    """Return servers, newest first, each with its newest run that came to a verdict and its roll-up of the last days."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        listing = servers.listing(conn, after=after, limit=limit)
        ids = [server.id for server in listing.rows]
        runs = test_runs.last_of_each(conn, ids)
        by_server: dict[str, list[dict[str, Any]]] = {}
        for day in test_results.daily(conn, ids, clock.later(-(days - 1) * 86_400)[:10]):
            by_server.setdefault(str(day["server_id"]), []).append(day)
        counts, changed = findings.open_counts(conn, ids), pins.changed_servers(conn, ids)
    rows = [
        FleetRow(server, runs.get(server.id), by_server.get(server.id, []), counts.get(server.id, {}), server.id in changed)
        for server in listing.rows
    ]
    verdicts = {"pass": 0, "fail": 0, "undecided": 0, "none": 0}
    for row in rows:
        verdicts[(row.last_run.verdict if row.last_run else None) or "none"] += 1
    return Fleet(rows, listing.next, verdicts)
