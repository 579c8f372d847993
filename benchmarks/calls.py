"""Tool calls on a warm session, and the start of a container, against the SDK on ``docker run -i``."""
from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import threading
import time
from pathlib import Path

from benchmarks.measure import Client, Row, family, pss_mb
from mcpweb.contracts import Actor
from mcpweb.core import open_core
from mcpweb.services import accounts, pins, servers
from mcpweb.settings import load
from mcpweb.testing.served import Served
from tests.docker.images import build_image

ROUNDS = 5
CALLS = 300
TOOL, ARGUMENTS = "get_current_time", {"timezone": "UTC"}  # of mcp-server-time, which SPEC §12 names


def run(folder: Path) -> list[Row]:
    """Return the rows about calls and starts of mcp-server-time."""
    served = Served(folder)
    image = build_image("time")
    served.cli("servers", "add", "timed", "--image", image)
    served.start()
    core = open_core(load(served.environment))
    actor = Actor.cli("bench")
    served.json("servers", "start", "timed")
    memory = pss_mb(family(served._process.pid))  # type: ignore[union-attr]
    accounts.add_user(core, actor, name="bench", role="admin", password="a bench pass phrase")
    token = accounts.create_token(core, actor, user="bench", name="bench", role=None, days=1)
    direct, service, parallel_direct, parallel_service, unwatched = [], [], [], [], []
    for _ in range(ROUNDS):
        one, many = asyncio.run(_sdk(image))
        direct.append(one)
        parallel_direct.append(many)
        service.append(_service(core, actor, 1)[0])
        parallel_service.append(_service(core, actor, 16)[1])
        pins.set_policy(core, actor, "timed", "warn")
        unwatched.append(_service(core, actor, 1)[0])
        pins.set_policy(core, actor, "timed", "block")
    client = Client(served.port, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    http_times = []
    for _ in range(100):
        started = time.perf_counter()
        client._connection.request("POST", f"/api/v1/servers/timed/tools/{TOOL}/call", json.dumps({"arguments": ARGUMENTS}), client._headers)
        answer = client._connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        http_times.append((time.perf_counter() - started) * 1000)
    starts, floors = [], []
    served.json("servers", "stop", "timed")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        served_start(core, actor)
        starts.append((time.perf_counter() - started) * 1000)
        floors.append(asyncio.run(_sdk_start(image)))
    served.json("servers", "stop", "timed")
    served.cli("servers", "remove", "timed")
    served.stop()
    core.close()
    median = statistics.median

    def row(what: str, mine: float, base: float, bound: float, *, at_least: bool = False) -> Row:
        value = mine / base
        return Row(what, f"{value:.2f}× ({mine:.2f} / {base:.2f})", f"{'≥' if at_least else '≤'} {bound}×",
                   value >= bound if at_least else value <= bound)

    return [
        row("tool call from the service call, stored and audited (ms) / SDK directly", median(service), median(direct), 1.5),
        row("tool calls/s at 16 at once / SDK directly", median(parallel_service), median(parallel_direct), 0.7, at_least=True),
        Row("the same with its tools looked at before each call (policy block) / looked at after it (warn)",
            f"{median(service) / median(unwatched):.2f}× ({median(service):.2f} / {median(unwatched):.2f})", "stated", True),
        row("tool call through HTTP (ms) / SDK directly", median(http_times), median(direct), 3),
        row("start of a container to the first result (ms) / docker run -i + SDK", median(starts), median(floors), 1.3),
        Row("memory, all processes, one session (PSS)", f"{memory:.0f} MB", "≤ 165 MB", memory <= 165),
    ]


def _service(core, actor, threads: int) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    times: list[float] = []

    def call() -> None:
        for _ in range(CALLS // threads):
            started = time.perf_counter()
            job = servers.call(core, actor, "timed", TOOL, ARGUMENTS, wait_s=20)
            assert job.state == "succeeded", job
            times.append((time.perf_counter() - started) * 1000)
        core.db.close()

    call_threads = [threading.Thread(target=call) for _ in range(threads)]
    started = time.perf_counter()
    for thread in call_threads:
        thread.start()
    for thread in call_threads:
        thread.join()
    return statistics.median(times), len(times) / (time.perf_counter() - started)


def served_start(core, actor) -> None:  # type: ignore[no-untyped-def]
    """Call a tool of a stopped server: a throw-away container from nothing to the first result."""
    job = servers.call(core, actor, "timed", TOOL, ARGUMENTS, wait_s=30)
    assert job.state == "succeeded", job


def _command(image: str):  # type: ignore[no-untyped-def]
    from mcp import StdioServerParameters

    return StdioServerParameters(command="docker", args=["run", "-i", "--rm", "--network", "none", "--init", "--label", "mcpweb.test=bench", image])


async def _sdk(image: str) -> tuple[float, float]:
    from mcp import Client
    from mcp.client.stdio import stdio_client

    async with Client(stdio_client(_command(image))) as session:
        times = []
        for _ in range(CALLS):
            started = time.perf_counter()
            await session.call_tool(TOOL, ARGUMENTS)
            times.append((time.perf_counter() - started) * 1000)
        gate = asyncio.Semaphore(16)

        async def one() -> None:
            async with gate:
                await session.call_tool(TOOL, ARGUMENTS)

        started = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(CALLS)))
        return statistics.median(times), CALLS / (time.perf_counter() - started)


async def _sdk_start(image: str) -> float:
    from mcp import Client
    from mcp.client.stdio import stdio_client

    started = time.perf_counter()
    async with Client(stdio_client(_command(image))) as session:
        await session.call_tool(TOOL, ARGUMENTS)
        elapsed = (time.perf_counter() - started) * 1000
    assert subprocess.run(["docker", "ps", "-q", "--filter", "label=mcpweb.test=bench"], capture_output=True).returncode == 0
    return elapsed
