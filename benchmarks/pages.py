"""Pages over many rows, cold start, idle memory."""
from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from benchmarks.measure import Bare, Client, Row, family, percentiles, pss_mb, throughput, wait_answer
from mcpweb import clock
from mcpweb.contracts import Actor, ConfigData
from mcpweb.core import open_core
from mcpweb.dao import configurations, servers, test_results
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.paging import Cursor, encode
from mcpweb.dao.servers import Server
from mcpweb.dao.test_results import TestResult
from mcpweb.ids import new_id
from mcpweb.services import accounts
from mcpweb.settings import load
from mcpweb.testing.served import Served

RESULTS = int(os.environ.get("BENCH_RESULTS", "1000000"))


def run(folder: Path) -> list[Row]:
    """Return the rows about pages."""
    rows: list[Row] = []
    served = Served(folder)
    started = time.monotonic()
    served.start()
    cold = wait_answer(served.port, started)
    master = served._process.pid  # type: ignore[union-attr]
    time.sleep(3)
    memory = pss_mb(family(master))
    served.stop()
    core = open_core(load(served.environment))
    made = _fill(core, 10_000, servers_count=50)
    token = accounts.create_token(core, Actor.cli("bench"), user=_user(core), name="bench", role=None, days=1)
    headers = {"Authorization": f"Bearer {token}"}
    bare = Bare(folder, core.settings.db_path)
    served.start()
    client, floor = Client(served.port, headers), Client(bare.port)
    small = percentiles(lambda: client.get("/test-runs"), 50)
    small_results = percentiles(lambda: client.get("/api/v1/test-results?limit=50"), 80)
    ten = percentiles(lambda: client.get("/servers"), 60)
    ten_bytes = len(client.get("/servers"))
    _fill(core, RESULTS - made, servers_count=950)
    partial = percentiles(lambda: client.get("/api/v1/test-results?limit=50"), 100)
    bare_results = percentiles(lambda: floor.get("/test_results"), 100)
    bare_servers = percentiles(lambda: floor.get("/servers"), 100)
    thousand = percentiles(lambda: client.get("/servers"), 60)
    thousand_bytes = len(client.get("/servers"))
    deep = encode(_deep(core, 50 * 5000))
    page_5000 = percentiles(lambda: client.get(f"/api/v1/test-results?limit=50&cursor={deep}"), 80)
    ours = throughput(lambda: Client(served.port, headers), "/api/v1/test-results?limit=50", 8, 4.0)
    theirs = throughput(lambda: Client(bare.port), "/test_results", 8, 4.0)
    query = _query_ms(core)
    bare.stop()
    served.stop()
    core.close()

    def ratio(what: str, mine: float, base: float, bound: float, *, at_least: bool = False) -> None:
        value = mine / base
        sign = "≥" if at_least else "≤"
        rows.append(Row(what, f"{value:.2f}× ({mine:.1f} / {base:.1f})", f"{sign} {bound}×", value >= bound if at_least else value <= bound))

    count = f"{RESULTS:,}"
    ratio(f"50 results as JSON, {count} rows, p50 (ms) / bare page", partial[0], bare_results[0], 4)
    ratio(f"50 results as JSON, {count} rows, p95 (ms) / bare page", partial[1], bare_results[1], 4)
    ratio("throughput at 8 connections (requests/s) / bare page", ours, theirs, 0.33, at_least=True)
    ratio("server list of 1,000, p50 (ms) / bare page of servers", thousand[0], bare_servers[0], 3)
    ratio("server list, 1,000 against 50 servers (50 rows either way), p50 (ms)", thousand[0], ten[0], 1.3)
    ratio("server list, 1,000 against 50 servers, bytes", thousand_bytes, ten_bytes, 1.1)
    ratio(f"50 results, {count} against 10,000 rows, p50 (ms)", partial[0], small_results[0], 1.5)
    ratio("page 5,000 against page 1, p50 (ms)", page_5000[0], partial[0], 1.2)
    rows.append(Row("slowest listing query (ms)", f"{query:.2f}", "≤ 50", query <= 50))
    ratio("cold start to the first 200, new database (s) / bare", cold, bare.cold_s, 5)
    rows.append(Row("idle memory, all processes, no server wanted (PSS)", f"{memory:.0f} MB", "≤ 115 MB", memory <= 115))
    assert small
    return rows


def _user(core) -> str:  # type: ignore[no-untyped-def]
    return accounts.add_user(core, Actor.cli("bench"), name="bench", role="admin", password="a bench pass phrase").id


def _fill(core, count: int, *, servers_count: int) -> int:  # type: ignore[no-untyped-def]
    now = clock.source()
    made = []
    with core.db.writing() as conn:
        for at in range(servers_count):
            server = Server.new(id=new_id("srv"), name=new_id("s"), image="bench/image:1", created_at=clock.text(now - at), created_by="cli:bench")
            servers.insert(conn, server)
            configuration = Configuration(
                id=new_id("cfg"), server_id=server.id, name="default", description="", config_data=ConfigData().to_json(),
                is_active=True, created_at=server.created_at, updated_at=server.created_at, created_by="cli:bench", revision=1,
            )
            configurations.insert(conn, configuration)
            made.append((server.id, configuration.id))
    done = 0
    while done < count:
        size = min(20_000, count - done)
        batch = []
        for at in range(size):
            server_id, configuration_id = made[at % len(made)]
            status = ("success", "success", "failure", "error")[at % 4]
            batch.append(TestResult(
                id=new_id("res"), server_id=server_id, configuration_id=configuration_id, tool_name=f"tool_{at % 20}",
                test_type="connection", status=status, input_data=None, output_data={"check_id": "C01", "summary": "measured"},
                error_message=None, execution_time_ms=at % 300, created_at=clock.text(now - (done + at) * 0.7),
                created_by="cli:bench", run_id=None, check_id="C01", severity="medium",
            ))
        with core.db.writing() as conn:
            test_results.insert_many(conn, batch)
        done += size
    return count


def _deep(core, offset: int) -> Cursor:  # type: ignore[no-untyped-def]
    with core.db.reading() as conn:
        row = conn.execute(
            "SELECT created_at, id FROM test_results ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?", (min(offset, RESULTS // 2),)
        ).fetchone()
    return Cursor(row[0], row[1])


def _query_ms(core) -> float:  # type: ignore[no-untyped-def]
    with core.db.reading() as conn:
        server = servers.listing(conn, limit=1).rows[0].id
    worst = 0.0
    for filters in ({}, {"server_id": server}, {"status": "failure"}, {"tool_name": "tool_3"}, {"test_type": "connection"}):
        times = []
        for _ in range(20):
            started = time.perf_counter()
            with core.db.reading() as conn:
                test_results.listing(conn, limit=50, **filters)
            times.append((time.perf_counter() - started) * 1000)
        worst = max(worst, statistics.median(times))
    return worst
