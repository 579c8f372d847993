"""Runs that the clock or a new image asks for, runs that want to be alone, and results that grow old."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit, jobs, test_metrics
from mcpweb.dao import servers as server_rows
from mcpweb.dao import test_results as results
from mcpweb.dao import test_runs as run_rows
from mcpweb.dao.jobs import Job
from mcpweb.dao.test_metrics import Metric
from mcpweb.errors import InvalidInput
from mcpweb.services import jobs as job_service
from mcpweb.services import keeping, schedules, servers, test_runs
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import MakeServer
from mcpweb.worker import Worker
from tests.dao.rows import make_results, make_run

MINUTE = 60.0


def _requested(core: Core, actor: Actor) -> int:
    return len(test_runs.listing(core, actor).rows)


def _finish(core: Core, run_id: str, state: str = "succeeded") -> None:
    with core.db.writing() as conn:
        run_rows.finish(
            conn, run_id, state=state, verdict="pass", counts=run_rows.NO_COUNTS, detail={}, protocol=None, error=None, at=clock.now()
        )


# The clock


def test_a_schedule_asks_once_each_interval_as_the_system(
    core: Core, actor: Actor, make_server: MakeServer, clock_at: Callable[[float], None]
) -> None:
    make_server("demo")
    made = schedules.add(core, actor, "demo", name="often", every_minutes=5, profile="full", types=["connection"])
    clock_at(4.9 * MINUTE)
    assert schedules.due(core) == []
    clock_at(5 * MINUTE)
    (run,) = schedules.due(core)
    assert (run.created_by, run.profile, run.types) == ("system:schedule", "full", ["connection"])
    assert schedules.due(core) == [] and schedules.get(core, actor, made.id).last_run_id == run.id
    _finish(core, run.id)
    clock_at(10 * MINUTE)
    assert len(schedules.due(core)) == 1
    with core.db.reading() as conn:
        told = audit.listing(conn, audit.Wanted(action="test_run.request"))
    assert {row.actor for row in told} == {"system:schedule"}


def test_times_that_were_missed_are_made_up_for_once_and_the_grid_stays(
    core: Core, actor: Actor, make_server: MakeServer, clock_at: Callable[[float], None]
) -> None:
    make_server("demo")
    made = schedules.add(core, actor, "demo", name="hourly", every_minutes=60)
    planned = clock.parse(str(made.next_at))
    clock_at(1000 * 60 * MINUTE + 7)
    assert len(schedules.due(core)) == 1 and schedules.due(core) == []
    after = clock.parse(str(schedules.get(core, actor, made.id).next_at))
    assert 0 < (after - clock.parse(clock.now())).total_seconds() <= 3600
    assert (after - planned).total_seconds() % 3600 == 0


@pytest.mark.parametrize("back", [-90, -86_400, -400 * 86_400])
def test_a_clock_put_back_asks_for_nothing_and_no_schedule_waits_longer_than_its_interval(
    core: Core, actor: Actor, make_server: MakeServer, clock_at: Callable[[float], None], back: float
) -> None:
    make_server("demo")
    made = schedules.add(core, actor, "demo", name="often", every_minutes=10)
    clock_at(back)
    assert schedules.due(core) == []
    due = clock.parse(str(schedules.get(core, actor, made.id).next_at))
    assert (due - clock.parse(clock.now())).total_seconds() <= 11 * MINUTE + 90
    clock_at(back + 12 * MINUTE + 90)
    assert len(schedules.due(core)) == 1


def test_a_run_that_is_not_over_is_not_doubled(
    core: Core, actor: Actor, make_server: MakeServer, clock_at: Callable[[float], None]
) -> None:
    make_server("demo")
    made = schedules.add(core, actor, "demo", name="often", every_minutes=5)
    clock_at(5 * MINUTE)
    (run,) = schedules.due(core)
    clock_at(10 * MINUTE)
    assert schedules.due(core) == []
    assert "not over yet" in schedules.get(core, actor, made.id).last_detail
    _finish(core, run.id, "failed")
    clock_at(15 * MINUTE)
    assert len(schedules.due(core)) == 1 and schedules.get(core, actor, made.id).last_detail == ""


def test_a_schedule_that_cannot_ask_says_why_and_tries_again(
    core: Core, actor: Actor, make_server: MakeServer, clock_at: Callable[[float], None]
) -> None:
    from mcpweb.services import configurations

    make_server("demo")
    configurations.add(core, actor, "demo", name="strict", config_data={})
    made = schedules.add(core, actor, "demo", name="often", every_minutes=5, configuration="strict")
    configurations.remove(core, actor, configurations.by_name(core, actor, "demo", "strict").id)
    clock_at(5 * MINUTE)
    assert schedules.due(core) == []
    row = schedules.get(core, actor, made.id)
    assert "no configuration strict" in row.last_detail and str(row.next_at) > clock.now()


def test_switching_on_begins_a_new_interval_and_off_ends_it(
    core: Core, actor: Actor, make_server: MakeServer, clock_at: Callable[[float], None]
) -> None:
    make_server("demo")
    made = schedules.add(core, actor, "demo", name="often", every_minutes=5, is_active=False)
    clock_at(60 * MINUTE)
    assert schedules.due(core) == []
    schedules.update(core, actor, made.id, expect=None, is_active=True)
    assert schedules.due(core) == []
    clock_at(65 * MINUTE)
    assert len(schedules.due(core)) == 1


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [({"every_minutes": 4}, "/every_minutes"), ({}, "/every_minutes"), ({"every_minutes": 10**9}, "/every_minutes"),
     ({"every_minutes": 5, "types": ["nonsense"]}, "/types"), ({"every_minutes": 5, "profile": "lazy"}, "/profile")],
)
def test_a_schedule_that_makes_no_sense_is_refused_with_the_place(
    core: Core, actor: Actor, make_server: MakeServer, fields: dict[str, object], pointer: str
) -> None:
    make_server("demo")
    with pytest.raises(InvalidInput) as refused:
        schedules.add(core, actor, "demo", name="x", **fields)  # type: ignore[arg-type]
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_two_workers_that_look_at_once_ask_once(
    core: Core, actor: Actor, make_server: MakeServer, clock_at: Callable[[float], None]
) -> None:
    make_server("demo")
    schedules.add(core, actor, "demo", name="often", every_minutes=5)
    clock_at(5 * MINUTE)
    found: list[int] = []

    def look() -> None:
        found.append(len(schedules.due(core)))
        core.db.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 1 and _requested(core, actor) == 1


def test_a_worker_that_starts_makes_up_for_what_was_missed_while_none_ran(
    core: Core, actor: Actor, runtime: FakeRuntime, make_server: MakeServer
) -> None:
    server = make_server("demo")
    schedules.add(core, actor, "demo", name="often", every_minutes=5, types=["connection"])
    with core.db.writing() as conn:
        conn.execute("UPDATE schedules SET next_at = ?", (clock.later(-3 * 86_400),))
    full = Worker(core)
    assert full.elect()
    full.start()
    try:
        _wait(lambda: len(test_runs.listing(core, actor, state="succeeded").rows) == 1)
    finally:
        full.stop()
    (run,) = test_runs.listing(core, actor).rows
    assert (run.server_id, run.created_by) == (server.id, "system:schedule") and run.verdict


# A new image


def test_a_pull_of_another_image_asks_for_a_run_and_of_the_same_image_does_not(
    core: Core, actor: Actor, worker: Worker, runtime: FakeRuntime, make_server: MakeServer
) -> None:
    server = make_server("demo")
    with core.db.writing() as conn:
        server_rows.record_image(conn, server.id, image_id=runtime.image("tiny:1").id, image_digest=None, protocol=None)
    made = schedules.add(core, actor, "demo", name="fresh", on_new_image=True, types=["connection"])

    def pull() -> list[str]:
        job = job_service.wait(core, servers.request(core, actor, "demo", "pull").id, 20)
        assert job.state == "succeeded", job.error
        return list(job.result["test_runs"])

    assert pull() == []
    runtime.add_image("tiny:1", pulled=False)
    (run_id,) = pull()
    run = job_service.wait(core, str(test_runs.get(core, actor, run_id).job_id), 60)
    assert run.state == "succeeded" and test_runs.get(core, actor, run_id).created_by == "system:schedule"
    assert test_runs.get(core, actor, run_id).image_id == runtime.image("tiny:1").id
    assert pull() == []
    assert schedules.get(core, actor, made.id).last_detail == "A new image."


def test_an_image_that_somebody_else_replaced_is_seen(
    core: Core, actor: Actor, runtime: FakeRuntime, make_server: MakeServer
) -> None:
    server = make_server("demo")
    with core.db.writing() as conn:
        server_rows.record_image(conn, server.id, image_id=runtime.image("tiny:1").id, image_digest=None, protocol=None)
    schedules.add(core, actor, "demo", name="fresh", on_new_image=True)
    schedules.look_at_images(core)
    assert _requested(core, actor) == 0
    runtime.add_image("tiny:1")
    schedules.look_at_images(core)
    schedules.look_at_images(core)
    assert _requested(core, actor) == 1
    runtime.away = True
    schedules.look_at_images(core)


# Alone


@pytest.fixture
def measuring(core: Core) -> Iterator[threading.Event]:
    """Make *connection* a type that measures alone; the run goes on until the event is set."""
    from dataclasses import replace

    core.test_types["connection"] = replace(core.test_types["connection"], exclusive=True)
    yield threading.Event()


def _named(core: Core, job: Job) -> Job:
    with core.db.reading() as conn:
        return jobs.get(conn, job.id)


def test_a_run_that_measures_alone_waits_says_on_what_and_keeps_others_waiting(
    core: Core, actor: Actor, worker: Worker, measuring: threading.Event, make_server: MakeServer
) -> None:
    make_server("first")
    make_server("second")
    with core.db.writing() as conn:  # something that runs already, and nobody ends but we
        jobs.insert(conn, Job.new(id="job_busy", kind="rotate", payload={}, subject="", created_at="2026-01-01", created_by="cli:me"))
        conn.execute("UPDATE jobs SET state = 'running', worker = 'wrk_other' WHERE id = 'job_busy'")
    _, alone = test_runs.request(core, actor, "first", types=["connection"])
    assert alone.is_exclusive
    _, behind = test_runs.request(core, actor, "second", types=["connection"])
    _wait(lambda: "rotation of a key" in _named(core, alone).message)
    assert "Measures alone" in _named(core, alone).message
    _wait(lambda: "first" in _named(core, behind).message)
    assert _named(core, alone).state == _named(core, behind).state == "queued"
    pulled = job_service.wait(core, servers.request(core, actor, "second", "pull").id, 20)
    assert pulled.state == "succeeded", "jobs of other kinds go on"
    with core.db.writing() as conn:
        jobs.finish(conn, "job_busy", "wrk_other", state="succeeded")
    worker.kick()
    first, second = (job_service.wait(core, job.id, 60) for job in (alone, behind))
    assert first.state == second.state == "succeeded" and first.message != alone.message
    assert str(second.started_at) >= str(first.finished_at), "one after the other"


def _wait(seen: Callable[[], bool]) -> None:
    until = time.monotonic() + 15
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.05)


# Growing old


def _aged(core: Core, server_id: str, days: float, count: int = 3) -> str:
    with core.db.writing() as conn:
        configuration = conn.execute("SELECT id FROM configurations WHERE server_id = ?", (server_id,)).fetchone()[0]
        from mcpweb.dao import configurations

        run = make_run(conn, server_rows.get(conn, server_id), configurations.get(conn, configuration))
        make_results(conn, run, *["success"] * count)
        test_metrics.insert_many(conn, [Metric(server_id, "m", "*", run.created_at, run.id, 1.0)])
        run_rows.finish(
            conn, run.id, state="succeeded", verdict="pass", counts=run_rows.NO_COUNTS, detail={}, protocol=None, error=None,
            at=clock.now(),
        )
        at = clock.later(-days * 86_400)
        conn.execute("UPDATE test_runs SET created_at = ? WHERE id = ?", (at, run.id))
        conn.execute("UPDATE test_results SET created_at = ? WHERE run_id = ?", (at, run.id))
        return run.id


def test_old_runs_go_with_what_they_found_and_the_newest_of_a_server_stays(
    core: Core, actor: Actor, worker: Worker, make_server: MakeServer
) -> None:
    server, quiet = make_server("busy"), make_server("quiet")
    old, fresh = _aged(core, server.id, 91, 7), _aged(core, server.id, 89)
    only = _aged(core, quiet.id, 400)
    with core.db.reading() as conn:
        before = results.daily(conn, [server.id, quiet.id], "2000-01-01")
    job = keeping.request(core, actor)
    assert job is not None and keeping.request(core, actor).id == job.id  # type: ignore[union-attr]
    done = job_service.wait(core, job.id, 20)
    assert (done.state, done.result["runs"], done.result["results"]) == ("succeeded", 1, 7)
    with core.db.reading() as conn:
        left = {row[0] for row in conn.execute("SELECT id FROM test_runs")}
        assert left == {fresh, only} and old not in left
        assert conn.execute("SELECT count(*) FROM test_results").fetchone()[0] == 6
        assert conn.execute("SELECT count(*) FROM test_metrics").fetchone()[0] == 2
        assert results.daily(conn, [server.id, quiet.id], "2000-01-01") == before, "the roll-up stays"
        (row,) = audit.listing(conn, audit.Wanted(action="retention.delete"))
    assert (row.detail["runs"], row.detail["results"]) == (1, 7)
    assert keeping.request(core, actor) is None


def test_how_long_is_chosen_audited_and_used(core: Core, actor: Actor, make_server: MakeServer) -> None:
    server = make_server("demo")
    run, newest = _aged(core, server.id, 20), _aged(core, server.id, 10)
    assert keeping.days(core, actor) == 90 and keeping.delete_old(core, actor).runs == 0
    keeping.set_days(core, actor, 15)
    assert keeping.delete_old(core, actor).runs == 1
    with core.db.reading() as conn:
        assert [row[0] for row in conn.execute("SELECT id FROM test_runs")] == [newest] != [run]
        (row,) = audit.listing(conn, audit.Wanted(action="choice.set"))
    assert row.detail == {"before": 90, "after": 15} and row.actor == actor.name
    for wrong in (0, -1, 10**6, True, "7"):
        with pytest.raises(InvalidInput):
            keeping.set_days(core, actor, wrong)  # type: ignore[arg-type]


def test_a_run_that_is_not_over_never_goes(core: Core, actor: Actor, make_server: MakeServer) -> None:
    server = make_server("demo")
    open_run = _aged(core, server.id, 300)
    _aged(core, server.id, 1)
    with core.db.writing() as conn:
        conn.execute("UPDATE test_runs SET state = 'running' WHERE id = ?", (open_run,))
    assert keeping.delete_old(core, actor).runs == 0


def test_deleting_leaves_the_lock_free_for_others(core: Core, actor: Actor, make_server: MakeServer) -> None:
    server = make_server("demo")
    for day in range(100, 130):
        _aged(core, server.id, day, 400)
    _aged(core, server.id, 1)
    waits: list[float] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            began = time.monotonic()
            with core.db.writing() as conn:
                conn.execute("UPDATE servers SET seen_at = seen_at WHERE id = ?", (server.id,))
            waits.append(time.monotonic() - began)
            time.sleep(0.002)
        core.db.close()

    writer = threading.Thread(target=write)
    writer.start()
    done = keeping.delete_old(core, actor)
    stop.set()
    writer.join()
    assert (done.runs, done.results) == (30, 12_000)
    waits.sort()
    assert len(waits) > 10 and waits[int(len(waits) * 0.98)] <= 0.25 and waits[-1] <= 2.0, f"{waits[-1]:.3f} s"
