"""How long results of tests are kept. Old runs go with their results and numbers; the roll-up of days stays."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit, test_metrics, test_results, test_runs
from mcpweb.dao import jobs as job_rows
from mcpweb.dao import servers as server_rows
from mcpweb.dao.jobs import Job
from mcpweb.dao.paging import Cursor
from mcpweb.dao.test_runs import TestRun
from mcpweb.db import Connection
from mcpweb.services import access, jobs, periods, tidying

CHOICE = periods.RESULTS.name
DAYS = periods.RESULTS.default
MOST_DAYS = periods.MOST_DAYS
HOLD_S = 0.008
"""How long a batch may hold the write lock, measured inside; a commit comes on top."""
_SMALLEST, _FIRST, _LARGEST = 10, 50, 1000
_PAGE = 200
EVERY_S = 6 * 3600.0

Tell = Callable[[float | None, str], None]


def days(core: Core, actor: Actor) -> int:
    """Return how many days results are kept."""
    return periods.days(core, actor, periods.RESULTS)


def set_days(core: Core, actor: Actor, wanted: int) -> int:
    """Choose how many days results are kept. Raises InvalidInput."""
    return periods.set_days(core, actor, periods.RESULTS, wanted)


def request(core: Core, actor: Actor) -> Job | None:
    """Ask for the deletion of what is older, None when nothing is; an open job is returned again."""
    with core.db.reading() as conn:
        if not _anything_old(conn) and not tidying.anything_old(core, conn):
            return None
        known = job_rows.open_with(conn, "retention")
    if known is not None:
        return known
    job = jobs.draft(actor, "retention", subject="results", payload={}, dedupe_key="retention")
    with core.db.writing() as conn:
        known = job_rows.open_with(conn, "retention")
        if known is not None:
            return known
        job_rows.insert(conn, job)
    core.line.kick()
    return job


def _anything_old(conn: Connection) -> bool:
    before = clock.later(-periods.in_force(conn, periods.RESULTS) * 86_400)
    kept = _newest_of_each(conn)
    after: Cursor | None = None
    while page := test_runs.old(conn, before, after=after, limit=_PAGE):
        if any(run_id not in kept for run_id, _, _ in page):
            return True
        after = Cursor(page[-1][2], page[-1][0])
    return test_results.any_without_run(conn, before)


@dataclass(frozen=True)
class Deleted:
    """What retention came to; ``longest_ms`` is the longest that one batch held the write lock."""

    before: str
    runs: int
    results: int
    longest_ms: float
    jobs: int = 0
    log_bytes: int = 0


def delete_old(
    core: Core,
    actor: Actor,
    tell: Tell = lambda fraction, message: None,
    *,
    on_hold: Callable[[float], object] = lambda seconds: None,
) -> Deleted:
    """Delete runs that are over and older than is kept, with their results and numbers, in short transactions.

    The newest run of each server that came to a verdict stays, so that no server loses its last word; the days that the roll-up
    counted stay too. Safe to run twice, and to stop between two batches (``tell`` may raise). ``on_hold`` hears how many
    seconds each batch held the write lock.
    """
    with core.db.reading() as conn:
        before = clock.later(-periods.in_force(conn, periods.RESULTS) * 86_400)
        kept = _newest_of_each(conn)
    sweep = _Sweep(core, before, tell, on_hold)
    after: Cursor | None = None
    while True:
        with core.db.reading() as conn:
            page = test_runs.old(conn, before, after=after, limit=_PAGE)
        if not page:
            break
        sweep.runs([run_id for run_id, _, _ in page if run_id not in kept])
        after = Cursor(page[-1][2], page[-1][0])
    sweep.loose()
    gone_jobs, gone_bytes = tidying.delete_jobs(core, tell), tidying.delete_logs(core)
    done = Deleted(before, sweep.deleted_runs, sweep.deleted_results, round(sweep.longest * 1000, 1), gone_jobs, gone_bytes)
    if done.runs or done.results or done.jobs or done.log_bytes:
        told: dict[str, object] = {"before": before, "runs": done.runs, "results": done.results}
        told |= {name: count for name, count in (("jobs", done.jobs), ("log_bytes", done.log_bytes)) if count}
        with core.db.writing() as conn:
            access.note(conn, actor, "retention.delete", "results", told)
    return done


@dataclass(frozen=True)
class Due:
    """What the next run would delete or move; counts end at ``COUNTED``."""

    runs: int
    results: int
    jobs: int
    log_bytes: int
    audit_rows: int


COUNTED = 20_000


def due(core: Core, actor: Actor) -> Due:
    """Return what is older than is kept, and delete nothing."""
    access.require(core, actor, "settings.view")
    with core.db.reading() as conn:
        before = clock.later(-periods.in_force(conn, periods.RESULTS) * 86_400)
        kept = _newest_of_each(conn)
        runs = test_runs.count_old(conn, before, COUNTED) - sum(run.created_at < before for run in kept.values())
        results = test_results.count_old(conn, before, COUNTED, list(kept)) if runs > 0 else 0
        old_jobs = tidying.count_jobs(conn, COUNTED)
        log_bytes = sum(path.stat().st_size for path in tidying.old_segments(core, conn))
        audit_days = periods.in_force(conn, periods.AUDIT)
        rows = 0
        if audit_days:
            rows = max(0, audit.first_at(conn, clock.later(-audit_days * 86_400)[:10] + " 00:00:00") - 1 - audit.floor(conn)[0])
    return Due(max(0, runs), results, old_jobs, log_bytes, rows)


def _newest_of_each(conn: Connection) -> dict[str, TestRun]:
    return {run.id: run for run in test_runs.last_of_each(conn, server_rows.all_ids(conn)).values()}


class _Sweep:
    """Batches that follow the machine: each holds the lock for a moment, and leaves it free at least as long."""

    def __init__(self, core: Core, before: str, tell: Tell, on_hold: Callable[[float], object]) -> None:
        self._core, self._before, self._tell, self._on_hold = core, before, tell, on_hold
        self._size = _FIRST
        self._free_until = 0.0
        self.longest = 0.0
        self.deleted_runs = self.deleted_results = 0

    def runs(self, run_ids: list[str]) -> None:
        """Delete runs in their order, several small ones in one batch."""
        left = list(run_ids)

        def some(conn: Connection, size: int) -> bool:
            gone = 0
            while left and gone < size:
                found = test_results.delete_some(conn, left[0], size - gone)
                self.deleted_results += found
                gone += found
                if gone < size:
                    gone += 1 + test_metrics.delete_of_run(conn, left[0])
                    test_runs.delete(conn, left.pop(0))
                    self.deleted_runs += 1
            return bool(left)

        self._until_done(some)

    def loose(self) -> None:
        """Delete old results that belong to no run."""

        def some(conn: Connection, size: int) -> bool:
            gone = test_results.delete_some_without_run(conn, self._before, size)
            self.deleted_results += gone
            return gone == size

        self._until_done(some)

    def _until_done(self, some: Callable[[Connection, int], bool]) -> None:
        more = True
        while more:
            time.sleep(max(0.0, self._free_until - time.monotonic()))
            self._tell(None, f"{self.deleted_runs} runs and {self.deleted_results} results deleted")
            with self._core.db.writing() as conn:
                began = time.monotonic()
                more = some(conn, self._size)
            released = time.monotonic()
            held = released - began
            self.longest = max(self.longest, held)
            self._on_hold(held)
            self._free_until = released + held
            if held > HOLD_S:
                self._size = max(_SMALLEST, self._size // 2)
            elif held < HOLD_S / 2:
                self._size = min(_LARGEST, self._size + self._size // 4)
