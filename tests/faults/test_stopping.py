"""SIGTERM under load: what is under way finishes, within a bound; what waits or takes longer is done by the worker that follows."""
from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from mcpweb.contracts import ImageFacts, Progress, Sensitive
from mcpweb.core import Core
from mcpweb.dao import jobs as job_rows
from mcpweb.services import jobs, servers
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import MakeServer
from mcpweb.worker import Worker
from tests.faults.house import ME, Answer, House, wait_for

LONGEST_S = 31.0  # what the supervisor waits for its children


class People(threading.Thread):
    """Somebody who asks again and again; each answer with the time its question was sent."""

    def __init__(self, house: House, number: int) -> None:
        super().__init__(daemon=True)
        self.house, self.number = house, number
        self.heard: list[tuple[float, str, Answer]] = []
        self.ending = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.ending.wait(0.01):
            count += 1
            sent, name = time.monotonic(), f"server-{self.number}-{count}"
            self.heard.append((sent, name, self.house.call("first", "0.6") if self.number % 2 else self.house.add(name)))


def test_what_is_under_way_at_a_sigterm_is_answered_kept_and_over_or_queued(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.served.start()
    people = [People(house, number) for number in range(6)]
    try:
        assert house.add("first").status == 201
        house.ended(house.call("first", "0"))
        for one in people:
            one.start()
        time.sleep(1.5)
        asked = [house.ask("POST", "/api/v1/keys/main/rotate", {}) for _ in range(2)]
        began = time.monotonic()
        os.kill(house.served.pid, signal.SIGTERM)
        assert house.served.stop() == 0
        took = time.monotonic() - began
    finally:
        for one in people:
            one.ending.set()
        for one in people:
            one.join(90)
        house.served.stop()
    assert took < LONGEST_S
    under_way = [(sent, answer) for one in people for sent, _, answer in one.heard if sent < began - 0.05 < sent + answer.took_s]
    assert under_way and all(answer.status in (200, 201, 202) for _, answer in under_way), under_way
    kept = {name for one in people for _, name, answer in one.heard if answer.status == 201}
    assert kept and kept <= house.names()
    called = [answer.body["id"] for one in people for _, _, answer in one.heard if answer.status in (200, 202)]
    with house.core() as core, core.db.reading() as conn:
        left = {one: job_rows.get(conn, one) for one in called}
        assert called and all(job.state == "succeeded" for job in left.values()), [job for job in left.values() if job.state != "succeeded"]
        assert all(job_rows.get(conn, answer.body["id"]).state in ("succeeded", "queued") for answer in asked if answer.status in (200, 202))


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
    wait_for(lambda: jobs.get(core, ME, pull.id).message == "Pulling")
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
