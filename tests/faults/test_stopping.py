"""What takes longer than a stop waits is done by the worker that follows. (A stop of everything under load: test_kills.py.)"""
from __future__ import annotations

import time

import pytest

from mcpweb.contracts import ImageFacts, Progress, Sensitive
from mcpweb.core import Core
from mcpweb.dao import jobs as job_rows
from mcpweb.services import jobs, servers
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import MakeServer
from mcpweb.worker import Worker
from tests.faults.house import ME
from tests.waiting import eventually


class FarRegistry(FakeRuntime):
    """Pulls slowly until it is told to be quick."""

    quick = False

    def pull(self, reference: str, progress: Progress, *, login: Sensitive | None = None) -> ImageFacts:
        while not self.quick:
            time.sleep(0.02)
            progress(0.1, "Pulling")
        return super().pull(reference, progress, login=login)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_job_that_takes_longer_than_a_stop_waits_is_done_by_the_next_worker_unless_somebody_cancelled_it(
    core: Core, make_server: MakeServer, cancelled: bool
) -> None:
    far = FarRegistry()
    core.use_runtime(far)
    server = make_server("far")
    first = Worker(core, brief=True)
    assert first.elect()
    first.start()
    pull = servers.request(core, ME, server.id, "pull")
    eventually(lambda: jobs.get(core, ME, pull.id).message == "Pulling")
    if cancelled:
        with core.db.writing() as conn:
            job_rows.request_cancel(conn, pull.id)
    first.stop(grace_s=1.0)
    assert jobs.get(core, ME, pull.id).state == ("cancelled" if cancelled else "queued")
    far.quick = True
    follower = Worker(core, brief=True)
    assert follower.elect()
    follower.start()
    try:
        assert jobs.wait(core, pull.id, 30).state == ("cancelled" if cancelled else "succeeded")
    finally:
        follower.stop()
        far.close()
