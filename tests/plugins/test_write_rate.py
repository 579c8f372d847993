"""A test type that tells results as fast as it can: they are kept, and everybody else goes on."""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpweb import clock
from mcpweb.app import create_app
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.services import jobs, servers, test_runs
from mcpweb.settings import load
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import Visitor
from mcpweb.worker import Worker

FLOOD = '''"""Tells thousands of results."""
from mcpweb.plugin import Check, CheckResult, TestType, hookimpl

mcpweb_api = 1


def run(context):
    for n in range(context.parameters["count"]):
        yield CheckResult(
            "X01", "pass" if n % 10 else "fail", f"Result {n} is as it is.", tool=f"tool_{n % 200}", key=f"/{n}",
            evidence={"n": n, "text": "x" * 200}, input={"name": "x", "arguments": {"n": n}}, duration_ms=1.5,
        )


@hookimpl
def mcpweb_add_test_types():
    return [TestType("flood", "Flood", "", (Check("X01", "X", "low"),), run)]
'''
ADMIN = Actor.cli("tester")
COUNT = 6000


@pytest.fixture
def core(tmp_path: Path, runtime: FakeRuntime) -> Iterator[Core]:
    (tmp_path / "plugins" / "flood").mkdir(parents=True)
    (tmp_path / "plugins").chmod(0o700)
    (tmp_path / "plugins" / "flood" / "__init__.py").write_text(FLOOD)
    core = open_core(load({"MCPWEB_DATA_DIR": str(tmp_path / "data"), "MCPWEB_PLUGINS_DIR": str(tmp_path / "plugins")}), role="web")
    core.use_runtime(runtime)
    worker = Worker(core, brief=True)
    assert worker.elect()
    worker.start()
    yield core
    worker.stop()
    core.close()


def test_thousands_of_results_are_kept_while_pages_and_writers_go_on(core: Core, runtime: FakeRuntime) -> None:
    server = servers.add(core, ADMIN, name="demo", image="tiny:1")
    visitor = Visitor(create_app(core), core, runtime).sign_in()
    visitor.get("/test-runs")
    stop, waits, faults = threading.Event(), [], []

    def write() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                with core.db.writing() as conn:
                    conn.execute("UPDATE servers SET seen_at = seen_at WHERE id = ?", (server.id,))
            except Exception as fault:
                faults.append(fault)
            waits.append(time.monotonic() - began)
            time.sleep(0.005)
        core.db.close()

    writer = threading.Thread(target=write)
    writer.start()
    run, job = test_runs.request(core, ADMIN, "demo", types=["flood"], parameters={"count": COUNT})
    pages = 0
    while not (done := jobs.wait(core, job.id, 0.05)).finished:
        assert visitor.get("/test-runs").status_code == 200
        pages += 1
    stop.set()
    writer.join()
    assert done.state == "succeeded", done.error
    run = test_runs.get(core, ADMIN, run.id)
    assert run.counts == {"pass": COUNT * 9 // 10, "fail": COUNT // 10, "not_applicable": 0, "undecided": 0}
    with core.db.reading() as conn:
        kept = conn.execute("SELECT count(*), min(created_at), max(created_at) FROM test_results WHERE run_id = ?", (run.id,)).fetchone()
    assert kept[0] == COUNT and not faults and pages > 1
    took = (clock.parse(kept[2]) - clock.parse(kept[1])).total_seconds()
    assert COUNT / took >= 250, f"{COUNT / took:.0f} results/s, all in one process; benchmarks/ measure the product"
    waits.sort()
    assert waits[int(len(waits) * 0.98)] <= 0.25 and waits[-1] <= 2.0, f"another writer waited {waits[-1]:.3f} s"
