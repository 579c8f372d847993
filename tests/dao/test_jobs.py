"""Jobs: claimed once, written only by who claimed them, cancelled, lost and begun again."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from mcpweb import clock, paths
from mcpweb.dao import jobs
from mcpweb.db import Connection, Database, driver
from mcpweb.errors import NotFound
from tests.dao.rows import make_job

CLAIMER = """
import sys
from pathlib import Path
from mcpweb.dao import jobs
from mcpweb.db import Database
db = Database(Path(sys.argv[1]))
sys.stdin.readline()
while True:
    with db.writing() as conn:
        job = jobs.claim(conn, worker=sys.argv[2], lease_s=30)
    if job is None:
        break
    print(job.id)
"""


def test_claimers_racing_for_the_same_jobs_get_each_job_once(db: Database) -> None:
    with db.writing() as conn:
        made = {make_job(conn).id for _ in range(120)}
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(db.path), f"wrk_{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=paths.PACKAGE.parent,
        )
        for number in range(4)
    ]
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    claimed = [claimer.communicate(timeout=60)[0].split() for claimer in claimers]
    everything = [job_id for one in claimed for job_id in one]
    assert sorted(everything) == sorted(made)


def test_the_oldest_job_is_claimed_first_and_knows_its_worker(conn: Connection, at: Callable[[float], None]) -> None:
    old = make_job(conn)
    at(1)
    make_job(conn)
    at(2)
    job = jobs.claim(conn, worker="wrk_1", lease_s=30)
    assert job is not None and job.id == old.id
    assert (job.state, job.worker, job.attempts, job.started_at) == ("running", "wrk_1", 1, clock.now())
    assert job.lease_until == clock.later(30)


def test_a_call_is_claimed_by_its_name_and_never_from_the_queue(conn: Connection) -> None:
    call = make_job(conn, "call")
    assert jobs.claim(conn, worker="wrk_1", lease_s=30) is None
    claimed = jobs.claim(conn, worker="wrk_1", lease_s=30, job_id=call.id)
    assert claimed is not None and claimed.id == call.id
    assert jobs.claim(conn, worker="wrk_2", lease_s=30, job_id=call.id) is None


def test_a_job_comes_back_as_it_was_stored(conn: Connection) -> None:
    job = make_job(conn, payload={"größe": [1, None, "\u2028"]}, subject="server:srv_1", dedupe_key="k")
    assert jobs.get(conn, job.id) == job
    assert jobs.Job.from_wire(job.to_wire()) == job
    with pytest.raises(NotFound):
        jobs.get(conn, "job_none")


def test_only_the_worker_that_holds_a_job_may_write_to_it(conn: Connection) -> None:
    job = make_job(conn)
    jobs.claim(conn, worker="wrk_1", lease_s=30)
    assert jobs.progress(conn, job.id, "wrk_2", 0.5, "mine?") is True
    assert jobs.finish(conn, job.id, "wrk_2", state="succeeded") is False
    assert jobs.get(conn, job.id).progress is None
    assert jobs.progress(conn, job.id, "wrk_1", 0.5, "half") is False
    assert jobs.finish(conn, job.id, "wrk_1", state="succeeded", result={"n": 1}) is True
    done = jobs.get(conn, job.id)
    assert (done.state, done.result, done.progress, done.finished) == ("succeeded", {"n": 1}, 1.0, True)


def test_a_job_ends_once(conn: Connection) -> None:
    job = make_job(conn)
    jobs.claim(conn, worker="wrk_1", lease_s=30)
    assert jobs.finish(conn, job.id, "wrk_1", state="failed", error={"code": "x", "detail": "y"})
    assert not jobs.finish(conn, job.id, None, state="succeeded")
    assert jobs.get(conn, job.id).error == {"code": "x", "detail": "y"}
    jobs.request_cancel(conn, job.id)
    assert jobs.get(conn, job.id).cancel_requested is False


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_told(conn: Connection) -> None:
    queued, running = make_job(conn), make_job(conn)
    jobs.claim(conn, worker="wrk_1", lease_s=30, job_id=running.id)
    for job in (queued, running):
        jobs.request_cancel(conn, job.id)
    stopped = jobs.get(conn, queued.id)
    assert (stopped.state, stopped.error and stopped.error["code"]) == ("cancelled", "cancelled")
    assert stopped.finished_at is not None
    assert jobs.get(conn, running.id).state == "running"
    assert jobs.asked_to_stop(conn, "wrk_1") == [running.id]
    assert jobs.progress(conn, running.id, "wrk_1", 0.1, "") is True
    assert jobs.claim(conn, worker="wrk_2", lease_s=30) is None


def test_an_open_job_keeps_its_key_and_a_finished_one_gives_it_free(conn: Connection) -> None:
    first = make_job(conn, dedupe_key="start:srv_1")
    open_job = jobs.open_with(conn, "start:srv_1")
    assert open_job is not None and open_job.id == first.id
    with pytest.raises(driver.IntegrityError):
        make_job(conn, dedupe_key="start:srv_1")
    jobs.finish(conn, first.id, None, state="succeeded")
    assert jobs.open_with(conn, "start:srv_1") is None
    make_job(conn, dedupe_key="start:srv_1")


def test_the_same_key_of_the_same_actor_finds_the_job_for_as_long_as_asked(
    conn: Connection, at: Callable[[float], None]
) -> None:
    job = make_job(conn, idempotency_key="once", idempotency_hash="h")
    made = clock.now()
    found = jobs.find_idempotent(conn, "cli:me", "once", made)
    assert found is not None and (found.id, found.idempotency_hash) == (job.id, "h")
    assert jobs.find_idempotent(conn, "cli:other", "once", made) is None
    assert jobs.find_idempotent(conn, "cli:me", "twice", made) is None
    at(1)
    assert jobs.find_idempotent(conn, "cli:me", "once", clock.now()) is None


def test_a_new_worker_finds_the_jobs_of_the_old_one_and_lets_them_begin_again(conn: Connection) -> None:
    left = make_job(conn)
    jobs.claim(conn, worker="wrk_old", lease_s=30)
    own = make_job(conn)
    jobs.claim(conn, worker="wrk_new", lease_s=30)
    assert [job.id for job in jobs.lost(conn, "wrk_new")] == [left.id]
    jobs.requeue(conn, left.id)
    again = jobs.claim(conn, worker="wrk_new", lease_s=30)
    assert again is not None and (again.id, again.attempts) == (left.id, 2)
    assert jobs.progress(conn, left.id, "wrk_old", 0.9, "still here") is True
    assert jobs.get(conn, own.id).state == "running"


def test_leases_are_pushed_on_only_for_jobs_the_worker_holds(conn: Connection, at: Callable[[float], None]) -> None:
    mine, other = make_job(conn), make_job(conn)
    jobs.claim(conn, worker="wrk_1", lease_s=30, job_id=mine.id)
    jobs.claim(conn, worker="wrk_2", lease_s=30, job_id=other.id)
    before = jobs.get(conn, other.id).lease_until
    at(10)
    jobs.renew(conn, [mine.id, other.id], "wrk_1", 30)
    assert jobs.get(conn, mine.id).lease_until == clock.later(30)
    assert jobs.get(conn, other.id).lease_until == before


def test_a_call_nobody_does_is_found_after_its_request_must_be_gone(
    conn: Connection, at: Callable[[float], None]
) -> None:
    waits, given, done = make_job(conn, "call"), make_job(conn, "call"), make_job(conn, "call")
    make_job(conn, "start")
    for job in (given, done):
        jobs.claim(conn, worker="wrk_1", lease_s=jobs.LEASE_S, job_id=job.id)
    assert jobs.lost_calls(conn) == []
    at(20)
    jobs.renew(conn, [done.id], "wrk_1", jobs.LEASE_S)
    at(31)
    assert {job.id for job in jobs.lost_calls(conn)} == {waits.id, given.id}


def test_a_job_given_to_a_worker_is_what_that_worker_would_have_claimed(conn: Connection, at: Callable[[float], None]) -> None:
    waiting = make_job(conn, "call")
    given = waiting.given_to("wrk_1")
    assert given == jobs.claim(conn, worker="wrk_1", lease_s=jobs.LEASE_S, job_id=waiting.id)
    assert jobs.claim(conn, worker="wrk_2", lease_s=30, job_id=waiting.id, instead_of="wrk_0") is None
    taken = jobs.claim(conn, worker="wrk_2", lease_s=30, job_id=waiting.id, instead_of="wrk_1")
    assert taken is not None and (taken.worker, taken.state) == ("wrk_2", "running")


def test_counts_and_listing_by_state_kind_and_subject(conn: Connection, at: Callable[[float], None]) -> None:
    assert jobs.counts(conn) == {"queued": 0, "running": 0}
    start = make_job(conn, "start", subject="server:srv_1")
    at(1)
    stop = make_job(conn, "stop", subject="server:srv_1")
    jobs.claim(conn, worker="wrk_1", lease_s=1, job_id=start.id)
    assert jobs.counts(conn) == {"queued": 1, "running": 1}
    assert [job.id for job in jobs.listing(conn, subject="server:srv_1").rows] == [stop.id, start.id]
    assert [job.id for job in jobs.listing(conn, state="running").rows] == [start.id]
    assert [job.id for job in jobs.listing(conn, kind="stop").rows] == [stop.id]
    assert jobs.listing(conn, kind="stop", state="running").rows == ()


def test_the_database_refuses_a_state_that_is_none(conn: Connection) -> None:
    with pytest.raises(driver.IntegrityError):
        conn.execute("UPDATE jobs SET state = 'paused' WHERE id = ?", (make_job(conn).id,))
