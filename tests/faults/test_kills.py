"""The whole product is killed at random moments, piece by piece and all at once, and stopped, under load: nothing acknowledged is lost.

``make soak`` kills a hundred times and more; what it counted is printed.
"""
from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.contracts import Sensitive
from mcpweb.core import migration_series
from mcpweb.dao import audit, secrets
from mcpweb.dao import jobs as job_rows
from mcpweb.services import backups, keycheck, rotation
from mcpweb.services import secrets as secret_service
from tests.faults.house import ME, Answer, House
from tests.sizes import size
from tests.waiting import eventually

HONEST = ("interrupted", "no_worker", "session_failed", "run_child_failed", "run_child_died")  # how a job may end that was killed
KILLS = size(8, 110)
SECRETS = size(10, 60)


class Load:
    """People and programs that go on working while processes die; what was answered with success is remembered."""

    def __init__(self, house: House, values: dict[str, list[str]]) -> None:
        self.house, self.values = house, values
        self.kept: set[str] = set()
        self.asked: dict[str, str] = {}  # jobs, with the state they were last told to be in
        self.imports: dict[str, set[str]] = {}  # imports that were asked for, with the names each makes
        self.answers: Counter[str] = Counter()
        self.stop = threading.Event()
        self._number = 0
        self._guard = threading.Lock()
        works = (self.add, self.add, self.seal, self.call, self.rotate, self.bring, self.test)
        self._threads = [threading.Thread(target=self._go_on, args=(work,), daemon=True) for work in works]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in self._threads)

    def _go_on(self, work: Callable[[], None]) -> None:
        while not self.stop.wait(random.random() * 0.05):
            work()

    def _next(self) -> int:
        with self._guard:
            self._number += 1
            return self._number

    def add(self) -> None:
        name = f"server-{self._next()}"
        answer = self.house.add(name)
        self.answers[f"add {answer.status}"] += 1
        if answer.status == 201:
            self.kept.add(name)

    def seal(self) -> None:
        """Replace a value; after an answer that did not come, either value may be there."""
        secret_id, value = random.choice(list(self.values)), f"value {self._next()} {os.urandom(8).hex()}"
        self.values[secret_id].append(value)
        try:
            with self.house.core() as core:
                secret_service.replace(core, ME, secret_id, Sensitive(value))
        except Exception as error:
            self.answers[f"seal {type(error).__name__}"] += 1
            return
        self.values[secret_id] = [value]
        self.answers["seal"] += 1

    def call(self) -> None:
        self._job(self.house.call("first", str(random.choice([0, 0.1]))))
        self.stop.wait(0.2)

    def rotate(self) -> None:
        self._job(self.house.ask("POST", "/api/v1/keys/main/rotate", {}))
        self.stop.wait(1.0)

    def bring(self) -> None:
        """Import five servers at once."""
        names = {f"brought-{self._next()}" for _ in range(5)}
        answer = self.house.ask("POST", "/api/v1/import", {"schemaVersion": 1, "servers": [{"name": n, "image": "tiny:1"} for n in names]})
        self._job(answer)
        if answer.status == 202:
            self.imports[answer.body["id"]] = names
        self.stop.wait(0.3)

    def test(self) -> None:
        self._job(self.house.ask("POST", "/api/v1/servers/first/test-runs", {"types": ["connection"]}))
        self.stop.wait(2.0)

    def _job(self, answer: Any) -> None:
        self.answers[f"job {answer.status}"] += 1
        if answer.status in (200, 202):
            self.asked[answer.body["id"]] = answer.body["state"]


def below(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, thread.read_text().split())
    return found


def everything(pid: int) -> list[int]:
    return [pid, *(one for child in below(pid) for one in everything(child))]


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Killer:
    """Each method kills something at a random moment and returns when the product can be asked again."""

    def __init__(self, house: House, chance: random.Random, folder: Path) -> None:
        self.house, self.chance, self.folder = house, chance, folder
        self.count: Counter[str] = Counter()

    def web(self) -> None:
        pids = below(self.house.served.children()["web server"])
        kill(self.chance.choice(pids))

    def worker(self) -> None:
        kill(self.house.served.children()["worker"])

    def apart(self) -> None:
        """Kill what does a rotation, if one is under way just now; else the worker."""
        pids = below(self.house.served.children()["worker"])
        kill(*(pids[-1:] or [self.house.served.children()["worker"]]))

    def backup(self) -> None:
        """Kill a backup in the middle."""
        made = subprocess.Popen(
            [sys.executable, "-m", "mcpweb", "db", "backup", str(self.folder / f"{sum(self.count.values())}.db")],
            env=self.house.served.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=paths.PACKAGE.parent,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            made.wait(0.3 + self.chance.random() * 1.2)
        made.kill()
        made.wait()

    def all_at_once(self) -> None:
        kill(*everything(self.house.served.pid))
        self.house.served.stop()
        self.house.served.start()

    def go(self, what: str) -> None:
        time.sleep(self.chance.random() * 0.4)
        getattr(self, what)()
        self.count[what] += 1


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    made.served.start()
    assert made.add("first").status == 201
    yield made
    made.served.stop()


def test_whatever_is_killed_nothing_acknowledged_is_lost_and_every_job_ends(house: House, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with house.core() as core:
        values = {
            secret_service.add(core, ME, name=f"S{n}", value=Sensitive(f"first value {n}")).id: [f"first value {n}"] for n in range(SECRETS)
        }
    killer = Killer(house, chance, tmp_path)
    # the supervisor waits longer each time the same child dies soon, so a worker is killed before everything is
    round_ = ["web", "backup", "web", "apart", "web", "backup", "worker", "all_at_once"]
    with Load(house, values) as load:
        for number in range(KILLS):
            killer.go(round_[number % len(round_)])
        time.sleep(0.5)
    house.served.wait_ready()
    eventually(lambda: not [1 for state in ("running", "queued") if house.ask("GET", f"/api/v1/jobs?state={state}").body["items"]], 60)
    ended = Counter()
    for job_id, told in load.asked.items():
        job = house.ask("GET", f"/api/v1/jobs/{job_id}").body
        ended[f"{job['kind']} {job['state']} {(job['error'] or {}).get('code', '')}".strip()] += 1
        assert job["state"] == told or told in ("running", "queued"), (job, told)
        assert job["state"] == "succeeded" or job["error"]["code"] in HONEST, job
    print(f"seed {seed}: kills {dict(killer.count)}; answers {dict(load.answers)}; jobs {dict(ended)}")
    names = house.names()
    assert load.kept <= names and len(load.kept) > 10, (seed, load.kept - names)
    for job_id, brought in load.imports.items():
        done = house.ask("GET", f"/api/v1/jobs/{job_id}").body["state"] == "succeeded"
        assert brought & names == (brought if done else set()), (seed, job_id, done, brought & names)
    with house.core() as core:
        with core.db.reading() as conn:
            assert audit.verify(conn).ok and conn.execute("PRAGMA foreign_key_check").fetchone() is None
            for secret_id, allowed in values.items():
                secret = secrets.get(conn, secret_id)
                assert core.vault.open(conn, rotation.place_of(secret), secret.encrypted_value).reveal() in allowed, seed
        assert keycheck.verify(core, ME).ok
        for made in tmp_path.glob("*.db"):
            assert backups.check(core.settings, migration_series(core.plugins), made)["ok"], (seed, made)


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


def test_what_is_under_way_at_a_sigterm_is_answered_kept_and_over_or_queued(house: House) -> None:
    people = [People(house, number) for number in range(6)]
    try:
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
    assert under_way and all(answer.status in (200, 201, 202, 429) for _, answer in under_way), under_way
    kept = {name for one in people for _, name, answer in one.heard if answer.status == 201}
    assert kept and kept <= house.names()
    called = [answer.body["id"] for one in people for _, _, answer in one.heard if answer.status in (200, 202)]
    with house.core() as core, core.db.reading() as conn:
        left = {one: job_rows.get(conn, one) for one in called}
        assert called and all(job.state == "succeeded" for job in left.values()), [job for job in left.values() if job.state != "succeeded"]
        assert all(job_rows.get(conn, answer.body["id"]).state in ("succeeded", "queued") for answer in asked if answer.status in (200, 202))
