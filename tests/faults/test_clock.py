"""A clock that jumps a day ahead and back: nobody is let in for longer, nothing waits for a day, nothing is done twice, and the log stays whole."""
from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from mcpweb import clock
from mcpweb.core import Core
from mcpweb.dao import accounts as account_rows
from mcpweb.dao import audit as rows
from mcpweb.dao import observations
from mcpweb.services import accounts, audit, health, jobs, servers, stepup
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import MakeServer, NewVisitor
from mcpweb.testing.tinyserver import tiny_server
from mcpweb.worker import Worker
from tests.faults.house import ME
from tests.waiting import eventually

DAY = 86_400.0
Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Set the clock so many seconds ahead of the real one."""
    return lambda seconds: monkeypatch.setattr(clock, "source", lambda: time.time() + seconds)


def test_a_session_neither_outlives_a_jump_nor_gains_by_one(core: Core, new_visitor: NewVisitor, jump: Jump) -> None:
    visitor = new_visitor().sign_in()
    assert visitor.get("/servers").status_code == 200
    jump(DAY)
    assert visitor.get("/servers").status_code == 303  # signed out, as after a day
    ahead = new_visitor().sign_in()
    assert ahead.get("/servers").status_code == 200
    jump(0)
    for one in (visitor, ahead):
        assert one.get("/servers").status_code == 200
    jump(accounts.IDLE_S + 60)
    assert ahead.get("/servers").status_code == 303  # not a day and half an hour
    with core.db.reading() as conn:
        assert all(row[0] <= clock.text(time.time() + accounts.ABSOLUTE_S) for row in conn.execute("SELECT expires_at FROM sessions"))


def test_a_password_given_in_the_future_is_not_fresh(core: Core, new_visitor: NewVisitor, jump: Jump) -> None:
    jump(DAY)
    visitor = new_visitor().sign_in()
    assert visitor.user is not None
    with core.db.reading() as conn:
        (session,) = account_rows.sessions_of(conn, visitor.user.id)
    actor = accounts.actor_of(visitor.user, session)
    assert stepup.is_fresh(core, actor)
    jump(0)
    assert not stepup.is_fresh(core, actor)


def test_a_worker_that_was_last_seen_tomorrow_is_not_alive(core: Core, jump: Jump) -> None:
    jump(DAY)
    with core.db.writing() as conn:
        observations.put(conn, "worker", {"state": "running", "worker": "wrk_x", "pid": 1, "beat": clock.now()})
    assert health.readiness(core)["ready"]
    jump(0)
    assert not health.readiness(core)["ready"]


def test_the_audit_log_goes_by_its_numbers_and_is_signed_in_time(core: Core, make_server: MakeServer, jump: Jump) -> None:
    for number, ahead in enumerate((0, DAY, -DAY, DAY, 0)):
        jump(ahead)
        make_server(f"server-{number}")
    with core.db.reading() as conn:
        assert rows.verify(conn).ok
        newest = rows.listing(conn, rows.Wanted(action="server.add"))
    assert [row.detail["name"] for row in newest] == [f"server-{number}" for number in (4, 3, 2, 1, 0)]
    jump(DAY)
    core.sign_audit()
    jump(0)
    make_server("after")
    assert audit.due(core)  # the last checkpoint is of tomorrow; nobody waits until then


def test_jobs_of_every_time_are_done_once_and_a_call_lives_through_a_jump(
    core: Core, runtime: FakeRuntime, make_server: MakeServer, worker: Worker, jump: Jump
) -> None:
    called = []

    def slow(line: bytes) -> list[bytes]:
        if b"tools/call" in line:
            called.append(line)
            time.sleep(0.5)
        return list(tiny_server()(line))

    runtime.add_image("slow:1", lambda intent: slow)
    server = make_server("slow", image="slow:1")
    call = servers.call(core, ME, server.id, "echo", {"text": "once"}, wait_s=0.0)
    eventually(lambda: called)
    jump(DAY)  # every lease is over now
    asked = [jobs.ask(core, ME, "retention", subject="results")]
    assert jobs.wait(core, call.id, 20).state == "succeeded" and len(called) == 1
    asked.append(jobs.wait(core, asked[0].id, 20))
    jump(-DAY)
    asked.append(jobs.wait(core, jobs.ask(core, ME, "retention", subject="results").id, 20))
    assert [job.state for job in asked[1:]] == ["succeeded", "succeeded"] and asked[1].id != asked[2].id
    with core.db.reading() as conn:
        assert {row[0] for row in conn.execute("SELECT attempts FROM jobs")} == {1}
