"""A call is stored by who asks for it, and done by the worker it was given to: once, or told as lost."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.dao import jobs as rows
from mcpweb.dao.jobs import LEASE_S, Job
from mcpweb.errors import NoWorker
from mcpweb.services import jobs, servers
from mcpweb.testing.fixtures import MakeServer
from mcpweb.worker import HANDLERS, Worker
from mcpweb.worker.work import Handler, Work


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that were made, by the ids of their jobs."""
    made: list[str] = []

    def call(work: Work) -> dict[str, Any]:
        made.append(work.job.id)
        return {"result": {}}

    monkeypatch.setitem(HANDLERS, "call", Handler(call, "fail"))
    return made


def _stored(core: Core, actor: Actor, worker: str | None) -> Job:
    job = jobs.draft(actor, "call", subject="server:x", payload={"tool": "echo"})
    if worker is not None:
        job = job.given_to(worker)
    with core.db.writing() as conn:
        rows.insert(conn, job)
    return job


def test_the_first_call_waits_to_be_claimed_and_the_next_is_stored_as_the_workers(
    core: Core, actor: Actor, make_server: MakeServer, worker: Worker, done: list[str]
) -> None:
    make_server("demo")
    assert core.line.worker is None
    first = servers.call(core, actor, "demo", "echo", {})
    assert core.line.worker == worker.id
    second = servers.call(core, actor, "demo", "echo", {})
    assert [job.id for job in (first, second)] == done
    for job in (first, second):
        stored = jobs.get(core, actor, job.id)
        assert (stored.state, stored.worker, stored.attempts) == ("succeeded", worker.id, 1) and stored.started_at


def test_a_call_given_to_the_worker_before_is_done_by_the_one_that_followed(
    core: Core, actor: Actor, worker: Worker, done: list[str]
) -> None:
    job = _stored(core, actor, "wrk_before")
    assert servers.run_now(core, job, 5).state == "succeeded"
    stored = jobs.get(core, actor, job.id)
    assert done == [job.id] and (stored.worker, stored.attempts) == (worker.id, 2)


def test_a_call_that_is_over_is_not_done_again_by_whoever_it_was_given_to(
    core: Core, actor: Actor, worker: Worker, done: list[str]
) -> None:
    job = _stored(core, actor, "wrk_before")
    with core.db.writing() as conn:
        rows.finish(conn, job.id, None, state="failed", error={"code": "interrupted", "detail": "It was lost."})
    assert servers.run_now(core, job, 5).state == "failed" and done == []


def test_calls_whose_request_went_away_are_told_as_lost_and_those_under_way_are_not(
    core: Core, actor: Actor, worker: Worker, done: list[str], clock_at: Callable[[float], None]
) -> None:
    lost = [_stored(core, actor, None), _stored(core, actor, worker.id), _stored(core, actor, "wrk_before")]
    under_way = _stored(core, actor, worker.id)
    worker._running[under_way.id] = Work(core, worker, under_way)
    try:
        clock_at(LEASE_S - 1)
        worker.end_lost_calls()
        assert {jobs.get(core, actor, job.id).state for job in lost} == {"queued", "running"}
        clock_at(LEASE_S + 1)
        worker.end_lost_calls()
    finally:
        worker._running.clear()
    assert {jobs.get(core, actor, job.id).state for job in lost} == {"failed"}
    assert jobs.get(core, actor, under_way.id).state == "running"
    assert [servers.run_now(core, job, 5).state for job in lost] == ["failed"] * 3 and done == []
    with core.db.reading() as conn:
        assert {row.detail["code"] for row in audit.listing(conn, audit.Wanted(action="job.failed"))} == {"interrupted"}


def test_a_call_without_a_worker_fails_at_once_even_if_one_was_known(
    core: Core, actor: Actor, make_server: MakeServer
) -> None:
    make_server("demo")
    core.line.worker = "wrk_before"
    with pytest.raises(NoWorker):
        servers.call(core, actor, "demo", "echo", {})
    (job,) = jobs.listing(core, actor, kind="call").rows
    assert job.state == "failed"
