"""Timing, and the bare page that is the floor: Flask, one template, the same query, under the same server."""
from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcpweb.testing.served import free_port


@dataclass(frozen=True)
class Row:
    """One line of the table. ``holds`` tells whether the bound is kept."""

    what: str
    measured: str
    bound: str
    holds: bool


def percentiles(work: Callable[[], object], rounds: int, warm_up: int = 5) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return statistics.median(times), times[int(len(times) * 0.95) - 1]


class Client:
    """One kept connection."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = self._headers = headers or {}

    def get(self, path: str) -> bytes:
        try:
            self._connection.request("GET", path, headers=self._headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):  # an idle connection was closed meanwhile
            self._connection.close()
            self._connection.request("GET", path, headers=self._headers)
            answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, body[:300])
        return body

    def close(self) -> None:
        self._connection.close()


def throughput(make: Callable[[], Client], path: str, connections: int, seconds: float) -> float:
    """Return requests a second over some connections at once."""
    counts = [0] * connections
    until = time.monotonic() + seconds

    def pull(at: int) -> None:
        client = make()
        while time.monotonic() < until:
            client.get(path)
            counts[at] += 1

    threads = [threading.Thread(target=pull, args=(at,)) for at in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


BARE = '''
import sqlite3
from flask import Flask, render_template_string
try:
    from pysqlite3 import dbapi2 as sqlite3
except ImportError:
    pass
app = Flask(__name__)
import threading
local = threading.local()
PAGE = "<!doctype html><table>{% for r in rows %}<tr>{% for v in r %}<td>{{ v }}</td>{% endfor %}</tr>{% endfor %}</table>"
@app.get("/healthz")
def healthz():
    return "ok"
@app.get("/<table>")
def page(table):
    if not hasattr(local, "conn"):
        local.conn = sqlite3.connect(DATABASE)
    assert table in ("test_results", "servers")
    rows = local.conn.execute(f"SELECT * FROM {table} ORDER BY created_at DESC, id DESC LIMIT 50").fetchall()
    return render_template_string(PAGE, rows=rows)
'''


class Bare:
    """The floor, served by gunicorn with the same workers and threads."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.port = free_port()
        (folder / "bare.py").write_text(f"DATABASE = {str(database)!r}\n{BARE}")
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "2", "--threads", "64", "--preload", "--no-control-socket",
             "-b", f"127.0.0.1:{self.port}", "--log-level", "warning", "bare:app"],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        )
        self.cold_s = wait_answer(self.port, self.started)

    @property
    def pid(self) -> int:
        """The master of the floor's processes."""
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def processor_ms(pids: list[int], work: Callable[[], object], rounds: int) -> float:
    """Return the processor time these processes take for one round, in milliseconds; neighbours do not change it."""

    def spent() -> int:
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in pids]
        return sum(int(one[11]) + int(one[12]) for one in fields)

    work()
    before = spent()
    for _ in range(rounds):
        work()
    return (spent() - before) * 1000 / os.sysconf("SC_CLK_TCK") / rounds


def wait_answer(port: int, started: float) -> float:
    """Return seconds until /healthz answers 200."""
    while time.monotonic() - started < 60:
        try:
            client = Client(port)
            client.get("/healthz")
            took = time.monotonic() - started
            client.close()  # a server that is told to stop waits for connections that are kept
            return took
        except (OSError, AssertionError, http.client.HTTPException):
            time.sleep(0.01)
    raise AssertionError("no answer within 60 s")


def pss_mb(pids: list[int]) -> float:
    """Return the proportional set size of processes in MB."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    for child in listed:
        found += family(int(child))
    return found
