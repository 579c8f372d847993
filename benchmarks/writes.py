"""Results written while tests run: a test type that tells them as fast as it can, beside pages and another writer."""
from __future__ import annotations

import json
import statistics
import threading
import time
from pathlib import Path

from benchmarks.measure import Client, Row, percentiles
from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import open_core
from mcpweb.db import Database
from mcpweb.errors import Failure
from mcpweb.services import accounts, jobs, test_runs
from mcpweb.settings import load
from mcpweb.testing.served import Served

COUNT = 18_000  # a run tells twenty thousand at most
FLOOD = '''"""Tells thousands of results."""
from mcpweb.plugin import Check, CheckResult, TestType, hookimpl

mcpweb_api = 1


def run(context):
    for n in range(context.parameters["count"]):
        yield CheckResult(
            "X01", "pass" if n % 10 else "fail", f"Result {n} is as it is.", tool=f"tool_{n % 200}", key=f"/{n % 500}",
            evidence={"n": n, "text": "x" * 200}, input={"name": "x", "arguments": {"n": n}}, duration_ms=1.5,
        )


@hookimpl
def mcpweb_add_test_types():
    return [TestType("flood", "Flood", "", (Check("X01", "X", "low"),), run)]
'''


def run(folder: Path) -> list[Row]:
    """Return the rows about writing."""
    (folder / "plugins" / "flood").mkdir(parents=True)
    (folder / "plugins").chmod(0o700)
    (folder / "plugins" / "flood" / "__init__.py").write_text(FLOOD)
    served = Served(folder, MCPWEB_PLUGINS_DIR=str(folder / "plugins"))
    served.cli("demo")
    core = open_core(load(served.environment))
    actor = Actor.cli("bench")
    accounts.add_user(core, actor, name="bench", role="admin", password="a bench pass phrase")
    token = accounts.create_token(core, actor, user="bench", name="bench", role=None, days=1)
    served.start()
    try:
        client = Client(served.port, {"Authorization": f"Bearer {token}"})
        quiet = percentiles(lambda: client.get("/test-runs"), 60)
        writer = _Writer(core.db)
        writer.start()
        asked, job = test_runs.request(core, actor, "demo", types=["flood"], parameters={"count": COUNT})
        pages: list[float] = []
        while not (done := jobs.wait(core, job.id, 0.0)).finished:
            began = time.monotonic()
            client.get("/test-runs")
            pages.append((time.monotonic() - began) * 1000)
            time.sleep(0.02)
        writer.stop()
        assert done.state == "succeeded", json.dumps(done.error)
        with core.db.reading() as conn:
            count, first, last = conn.execute(
                "SELECT count(*), min(created_at), max(created_at) FROM test_results WHERE run_id = ?", (asked.id,)
            ).fetchone()
        assert count == COUNT
        rate = count / (clock.parse(last) - clock.parse(first)).total_seconds()
    finally:
        served.cli("servers", "remove", "demo", code=None)
        served.stop()
        core.close()
    busy = statistics.median(pages)
    longest = max(writer.waits) * 1000
    return [
        Row("results written while tests run, beside pages and another writer", f"{rate:,.0f}/s", "≥ 1,000/s", rate >= 1000),
        Row("longest wait of another writer meanwhile", f"{longest:.0f} ms of {len(writer.waits)}, {writer.refused} refused", "≤ 250 ms, none locked",
            longest <= 250 and not writer.refused),
        Row("a page meanwhile, p50 (ms) / the same page alone", f"{busy / quiet[0]:.2f}× ({busy:.1f} / {quiet[0]:.1f})", "–", True),
    ]


class _Writer(threading.Thread):
    """Somebody else who writes a row every few milliseconds and notes how long it had to wait."""

    def __init__(self, db: Database) -> None:
        super().__init__(daemon=True)
        self._db = db
        self._ending = threading.Event()
        self.waits: list[float] = []
        self.refused = 0

    def run(self) -> None:
        while not self._ending.wait(0.005):
            began = time.monotonic()
            try:
                with self._db.writing() as conn:
                    conn.execute("UPDATE servers SET seen_at = seen_at")
            except Failure:
                self.refused += 1
            self.waits.append(time.monotonic() - began)
        self._db.close()

    def stop(self) -> None:
        self._ending.set()
        self.join()
