"""How often the comparison of two servers is right: the same image against itself, and against a twin that is a fifth slower.

Each comparison is the one of check P06 in the profile quick, with fresh containers on the real engine, on the machine as
noisy as it is. BENCH_COMPARISONS says how many of each kind (80); with BENCH_COMPARISONS_LOG every one is also a line of
JSON in that file, and what stands there already is counted.
"""
from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.measure import Row
from mcpweb import paths
from mcpweb.contracts import ConfigData
from mcpweb.mcp import calls
from mcpweb.mcp.session import open_stdio
from mcpweb.pluginhost import import_folder
from tests.docker.engine import ADDRESS, DockerRuntime, DockerSession, leftovers
from tests.docker.images import build_image

import_folder("testtype_performance", paths.PLUGINS / "testtype_performance")

from mcpweb_plugins.testtype_performance import compare, plan, target  # noqa: E402 - exists from here on
from mcpweb_plugins.testtype_performance import statistics as st  # noqa: E402
from mcpweb_plugins.testtype_performance.subject import Subject  # noqa: E402

MORE = 0.2
# mcp-server-time whose every call uses some more milliseconds of a processor
LATE = """
import sys, time
from mcp_server_time.server import TimeServer
import mcp_server_time
more, of = float(sys.argv.pop(1)) / 1000, TimeServer.get_current_time
def late(self, *given, **named):
    until = time.thread_time() + more
    while time.thread_time() < until:
        pass
    return of(self, *given, **named)
TimeServer.get_current_time = late
mcp_server_time.main()
"""


class Opened:
    """A fresh container and what a comparison asks of it."""

    def __init__(self, runtime: DockerRuntime, launched: Any) -> None:
        self._runtime, self._container = runtime, launched.container_id
        self._session = open_stdio(launched.socket, deadline_s=60)
        self.era = self._session.era

    def load(self, tool: str, arguments: Any, *, calls: int, concurrency: int = 1, deadline_s: float = 30.0) -> Any:
        return _load(self._session, tool, arguments, calls=calls, concurrency=concurrency, deadline_s=deadline_s, most_s=60.0)

    def close(self) -> None:
        self._session.close()
        self._runtime.remove(self._container)


_load = calls.load


class Sides(Subject):
    """Opens the one or the other."""

    def __init__(self, runtime: DockerRuntime, docker: DockerSession, sides: dict[str, tuple[str, ConfigData]], context: Any) -> None:
        super().__init__(context, plan.PROFILES["quick"])
        self._runtime, self._docker, self._sides = runtime, docker, sides

    def open(self, of: Any = "candidate") -> Any:
        image, config = self._sides[of]
        intent = self._docker.intent(image, config, name=f"mcpweb-compare-{time.monotonic_ns()}")
        return Opened(self._runtime, self._runtime.launch(intent))


def run(folder: Path) -> list[Row]:
    """Return how many of the same were called slower, how many of the slower were found, and what one costs."""
    wanted = int(os.environ.get("BENCH_COMPARISONS", "80"))
    log = Path(os.environ.get("BENCH_COMPARISONS_LOG") or folder / "comparisons.jsonl")
    runtime, docker = DockerRuntime(ADDRESS), DockerSession()
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    try:
        servers = _servers(runtime, docker)
        for at in range(len(done), 2 * wanted):
            kind, (same, slower, asked) = list(servers.items())[at // 2 % len(servers)]
            twin = at % 2 == 1
            done.append({"kind": kind, "twin": twin, **_compared(runtime, docker, same, slower if twin else same, asked, at)})
            with open(log, "a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(f"{at + 1}/{2 * wanted}: {done[-1]}", file=sys.stderr)
    finally:
        left = leftovers(docker)
    assert not left, left
    return rows(done)


def _servers(runtime: DockerRuntime, docker: DockerSession) -> dict[str, tuple[Any, Any, Any]]:
    """Return, by what a call does, a server, its slower twin, and what is asked of them."""
    corpus, timed = build_image("corpus"), build_image("time")
    work = target.Target("tools/call", "work", {})
    now = target.Target("tools/call", "get_current_time", {"timezone": "UTC"})

    def late(more_ms: float) -> tuple[str, ConfigData]:
        entrypoint = ("python3", "-c", LATE, f"{more_ms:.3f}")
        return timed, ConfigData(entrypoint=entrypoint, command=("--local-timezone", "UTC"))

    with_it = Opened(runtime, runtime.launch(docker.intent(*late(0))))
    try:
        took = [one.latency_ms for one in now.load(with_it, calls=200).calls]
    finally:
        with_it.close()
    usual = statistics.median(took[50:])

    def named(name: str) -> tuple[str, ConfigData]:
        return corpus, ConfigData(command=(name,))

    return {
        "2 ms of processor": (named("perf-busy-2"), named("perf-busy-2.4"), work),
        "5 ms of waiting": (named("perf-sleep-5"), named("perf-sleep-6"), work),
        "mcp-server-time": (late(0), late(MORE * usual), now),
    }


def _compared(runtime: DockerRuntime, docker: DockerSession, before: Any, now: Any, asked: Any, seed: int) -> dict[str, Any]:
    context = SimpleNamespace(
        seed=seed, baseline={}, progress=lambda fraction, message: None, remaining_s=lambda: 600.0, profile="quick"
    )
    subject = Sides(runtime, docker, {"baseline": before, "candidate": now}, context)
    started = time.monotonic()
    found = compare.regression(context, subject, asked, 300.0)
    return {
        "verdict": found.verdict, "ratio": found.evidence.get("ratio"), "quickest": found.evidence.get("ratio_of_quickest"), "pairs": found.evidence["pairs"],
        "seconds": round(time.monotonic() - started, 1), "load": round(os.getloadavg()[0], 1), "seed": seed,
        **({} if "ratio" in found.evidence else {"summary": found.summary}),
    }


def rows(done: list[dict[str, Any]]) -> list[Row]:
    """Return the table: all together, and by what a call does."""
    told = []
    for twin, what, bound in ((False, "the same image, called slower", 0.05), (True, "a twin a fifth slower, found", 0.95)):
        all_of = [one for one in done if one["twin"] == twin]
        for kind in (None, *dict.fromkeys(one["kind"] for one in all_of)):
            of = [one for one in all_of if kind in (None, one["kind"])]
            hits = sum(one["verdict"] == "fail" for one in of)
            undecided = sum(one["verdict"] == "undecided" for one in of)
            share = st.wilson(hits, len(of))
            text = f"{hits} of {len(of)} (95 %: {100 * share.low:.1f} to {100 * share.high:.1f} %)"
            text += f", {undecided} undecided" if undecided else ""
            holds = share.value <= bound if not twin else share.value >= bound
            told.append(Row(f"comparison, {what}: {kind or 'all'}", text, f"{'≥' if twin else '≤'} {bound:.0%}", holds))
    costs = sorted(one["seconds"] for one in done)
    loads = sorted(one["load"] for one in done)
    pairs = statistics.mean(one["pairs"] for one in done)
    told.append(Row(
        "comparison, seconds each (median, longest)", f"{statistics.median(costs):.0f}, {costs[-1]:.0f}; {pairs:.1f} pairs of containers; "
        f"load of the machine {loads[0]:.1f} to {loads[-1]:.1f} on {os.cpu_count()} cores", "–", True,
    ))
    return told
