"""The whole product is killed at random moments, piece by piece and all at once, under load: nothing that was acknowledged is lost.

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.contracts import Sensitive
from mcpweb.core import migration_series
from mcpweb.dao import audit, secrets
from mcpweb.services import backups, keycheck, rotation
from mcpweb.services import secrets as secret_service
from tests.faults.house import ME, House, wait_for
from tests.sizes import size

KILLS = size(8, 110)
SECRETS = size(10, 60)


class Load:
    """People and programs that go on working while processes die; what was answered with success is remembered."""

    def __init__(self, house: House, values: dict[str, list[str]]) -> None:
        self.house, self.values = house, values
        self.kept: set[str] = set()
        self.asked: dict[str, str] = {}  # jobs, with the state they were last told to be in
        self.answers: Counter[str] = Counter()
        self.stop = threading.Event()
        self._number = 0
        self._guard = threading.Lock()
        works = (self.add, self.add, self.seal, self.call, self.rotate)
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


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_whatever_is_killed_nothing_acknowledged_is_lost_and_every_job_ends(house: House, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with house.core() as core:
        values = {
            secret_service.add(core, ME, name=f"S{n}", value=Sensitive(f"first value {n}")).id: [f"first value {n}"] for n in range(SECRETS)
        }
    house.served.start()
    try:
        assert house.add("first").status == 201
        killer = Killer(house, chance, tmp_path)
        # the supervisor waits longer each time the same child dies soon, so a worker is killed before everything is
        round_ = ["web", "backup", "web", "apart", "web", "backup", "worker", "all_at_once"]
        with Load(house, values) as load:
            for number in range(KILLS):
                killer.go(round_[number % len(round_)])
            time.sleep(0.5)
        house.served.wait_ready()
        wait_for(lambda: not [1 for state in ("running", "queued") if house.ask("GET", f"/api/v1/jobs?state={state}").body["items"]], 60)
        ended = Counter()
        for job_id, told in load.asked.items():
            job = house.ask("GET", f"/api/v1/jobs/{job_id}").body
            ended[f"{job['kind']} {job['state']} {(job['error'] or {}).get('code', '')}".strip()] += 1
            assert job["state"] == told or told in ("running", "queued"), (job, told)
            assert job["state"] == "succeeded" or job["error"]["code"] in ("interrupted", "no_worker", "session_failed"), job
    finally:
        house.served.stop()
    print(f"seed {seed}: kills {dict(killer.count)}; answers {dict(load.answers)}; jobs {dict(ended)}")
    names = house.names()
    assert load.kept <= names and len(load.kept) > 10, (seed, load.kept - names)
    with house.core() as core:
        with core.db.reading() as conn:
            assert audit.verify(conn).ok and conn.execute("PRAGMA foreign_key_check").fetchone() is None
            for secret_id, allowed in values.items():
                secret = secrets.get(conn, secret_id)
                assert core.vault.open(conn, rotation.place_of(secret), secret.encrypted_value).reveal() in allowed, seed
        assert keycheck.verify(core, ME).ok
        for made in tmp_path.glob("*.db"):
            assert backups.check(core.settings, migration_series(core.plugins), made)["ok"], (seed, made)
