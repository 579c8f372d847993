"""Pages over many rows, cold start, idle memory."""
from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from pathlib import Path

from benchmarks import history
from benchmarks.measure import Bare, Client, Row, family, percentiles, processor_ms, pss_mb, throughput, wait_answer
from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import open_core
from mcpweb.dao import test_results, test_runs
from mcpweb.dao.paging import Cursor, encode
from mcpweb.services import accounts, comparison, keeping, storage, trends
from mcpweb.settings import load
from mcpweb.testing.served import Served

RESULTS = int(os.environ.get("BENCH_RESULTS", "1000000"))


def run(folder: Path) -> list[Row]:
    """Return the rows about pages."""
    rows: list[Row] = []
    served = Served(folder)
    cold, ready, bare_cold = _cold_s(folder / "first")
    served.start()
    master = served._process.pid  # type: ignore[union-attr]
    time.sleep(3)
    memory = pss_mb(family(master))
    served.stop()
    core = open_core(load(served.environment))
    history.fill(core, 10_000, servers_count=50)
    token = accounts.create_token(core, Actor.cli("bench"), user=_user(core), name="bench", role=None, days=1)
    headers = {"Authorization": f"Bearer {token}"}
    bare = Bare(folder, core.settings.db_path)
    served.start()
    client, floor = Client(served.port, headers), Client(bare.port)
    fragment = Client(served.port, {**headers, "HX-Request": "true", "HX-Request-Type": "partial"})
    small = percentiles(lambda: client.get("/test-runs"), 50)
    small_results = percentiles(lambda: client.get("/api/v1/test-results?limit=50"), 80)
    ten = percentiles(lambda: client.get("/servers"), 60)
    ten_bytes = len(client.get("/servers"))
    history.fill(core, RESULTS - 10_000, servers_count=950)
    storage.maintain(core.db)
    partial = percentiles(lambda: client.get("/api/v1/test-results?limit=50"), 100)
    page = percentiles(lambda: fragment.get("/test-runs"), 100)
    bare_results = percentiles(lambda: floor.get("/test_results"), 100)
    bare_servers = percentiles(lambda: floor.get("/servers"), 100)
    thousand = percentiles(lambda: client.get("/servers"), 60)
    thousand_bytes = len(client.get("/servers"))
    web, below = family(served.children()["web server"]), family(bare.pid)
    spent = {path: processor_ms(web, lambda path=path: fragment.get(path), 150) for path in ("/test-runs", "/servers")}  # type: ignore[misc]
    spent["results"] = processor_ms(web, lambda: client.get("/api/v1/test-results?limit=50"), 150)
    floor_results = processor_ms(below, lambda: floor.get("/test_results"), 150)
    floor_servers = processor_ms(below, lambda: floor.get("/servers"), 150)
    deep = encode(_deep(core, 50 * 5000))
    page_5000 = percentiles(lambda: client.get(f"/api/v1/test-results?limit=50&cursor={deep}"), 80)
    ours = throughput(lambda: Client(served.port, headers), "/api/v1/test-results?limit=50", 8, 4.0)
    theirs = throughput(lambda: Client(bare.port), "/test_results", 8, 4.0)
    query, which = _query_ms(core)
    many, others = _others_ms(core)
    deleted = _retention(core)
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
    ratio(f"50 results as JSON, {count} rows, processor time (ms) / bare page", spent["results"], floor_results, 4)
    ratio(f"50 runs as a partial, {count} results, processor time (ms) / bare page", spent["/test-runs"], floor_results, 4)
    ratio("server list of 1,000 as a partial, processor time (ms) / bare page of servers", spent["/servers"], floor_servers, 3)
    ratio("throughput at 8 connections (requests/s) / bare page", ours, theirs, 0.33, at_least=True)
    ratio("server list of 1,000, p50 (ms) / bare page of servers", thousand[0], bare_servers[0], 3)
    ratio("server list, 1,000 against 50 servers (50 rows either way), p50 (ms)", thousand[0], ten[0], 1.3)
    ratio("server list, 1,000 against 50 servers, bytes", thousand_bytes, ten_bytes, 1.1)
    ratio(f"50 results, {count} against 10,000 rows, p50 (ms)", partial[0], small_results[0], 1.5)
    ratio("page 5,000 against page 1, p50 (ms)", page_5000[0], partial[0], 1.2)
    ratio(f"50 runs as a partial, {count} results, signed in, p50 (ms) / bare page", page[0], bare_results[0], 4)
    ratio(f"50 runs as a partial, {count} results, signed in, p95 (ms) / bare page", page[1], bare_results[1], 4)
    rows.append(Row(f"slowest of all histories with up to two filters (ms; {which})", f"{query:.1f}", "≤ 50", query <= 50))
    rows.append(Row(f"slowest of flaky, compare, series, fleet (ms; {others})", f"{many:.1f}", "≤ 50", many <= 50))
    rows.append(Row(
        f"write lock held by a batch of retention, {count} results", f"p99 {deleted[0]:.0f} ms, longest {deleted[1]:.0f} ms ({deleted[2]:,.0f} results/s)",
        "p99 ≤ 25 ms", deleted[0] <= 25,
    ))
    ratio("cold start to the first 200, new database (s) / bare, medians of three", cold, bare_cold, 5)
    ratio("cold start until the worker is ready as well (s) / bare", ready, bare_cold, 6)
    rows.append(Row("idle memory, all processes, no server wanted (PSS)", f"{memory:.0f} MB", "≤ 115 MB", memory <= 115))
    assert small
    return rows


def _cold_s(folder: Path) -> tuple[float, float, float]:
    """Return seconds from the command to the first 200, until the worker is ready too, and to the floor's first 200: medians of three."""
    times: list[tuple[float, float, float]] = []
    for number in range(4):
        place = folder / str(number)
        place.mkdir(parents=True)
        served = Served(place)
        first: list[float] = []
        started = time.monotonic()
        asking = threading.Thread(target=lambda served=served, started=started, first=first: first.append(wait_answer(served.port, started)))  # type: ignore[misc]
        asking.start()
        served.start()
        ready = time.monotonic() - started
        asking.join()
        served.stop()
        bare = Bare(place, place / "none.db")
        bare.stop()
        times.append((first[0], ready, bare.cold_s))
    first_s, ready_s, bare_s = (statistics.median(one[at] for one in times[1:]) for at in range(3))  # the first one fills caches
    return first_s, ready_s, bare_s


def _user(core) -> str:  # type: ignore[no-untyped-def]
    return accounts.add_user(core, Actor.cli("bench"), name="bench", role="admin", password="a bench pass phrase").id


def _deep(core, offset: int) -> Cursor:  # type: ignore[no-untyped-def]
    with core.db.reading() as conn:
        row = conn.execute(
            "SELECT created_at, id FROM test_results ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?", (min(offset, RESULTS // 2),)
        ).fetchone()
    return Cursor(row[0], row[1])


def _worst(work: dict[str, object], rounds: int = 5) -> tuple[float, str]:
    """Return the slowest by the median of some rounds, in milliseconds, with its name."""
    worst, name = 0.0, ""
    for what, ask in work.items():
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            ask()  # type: ignore[operator]
            times.append((time.perf_counter() - started) * 1000)
        if statistics.median(times) > worst:
            worst, name = statistics.median(times), what
    return worst, name


def _query_ms(core) -> tuple[float, str]:  # type: ignore[no-untyped-def]
    """Return the slowest listing over all pairs of filters, with values that fit often, seldom and never."""
    with core.db.reading() as conn:
        server, configuration, run, image = conn.execute(
            "SELECT server_id, configuration_id, id, image_digest FROM test_runs ORDER BY created_at LIMIT 1 OFFSET 150"
        ).fetchone()
    of_results = {
        "server_id": (server,), "configuration_id": (configuration,), "run_id": (run,), "test_type": ("performance", "gone"),
        "status": ("failure", "timeout", "success"), "tool_name": ("tool_3", "*", "none"), "check_id": ("S44", "none"),
        "severity": ("critical", "info"), "since": (clock.later(-6 * 86_400),), "until": (clock.later(-70 * 86_400),),
    }
    of_runs = {
        "server_id": (server,), "state": ("succeeded", "failed"), "verdict": ("fail", "undecided"), "image_digest": (image, "none"),
        "test_type": ("performance", "gone"), "since": of_results["since"], "until": of_results["until"],
    }
    work = {}
    for table, listing, filters in (("results", test_results.listing, of_results), ("runs", test_runs.listing, of_runs)):
        for size in range(3):
            for names in itertools.combinations(filters, size):
                for values in itertools.product(*(filters[name] for name in names)):
                    chosen = dict(zip(names, values, strict=True))

                    def ask(listing=listing, chosen=chosen):  # type: ignore[no-untyped-def]
                        with core.db.reading() as conn:
                            listing(conn, limit=50, **chosen)

                    work[" ".join([table, *names])] = ask
    return _worst(work, 3)


def _others_ms(core) -> tuple[float, str]:  # type: ignore[no-untyped-def]
    actor = Actor.cli("bench")
    with core.db.reading() as conn:
        server = conn.execute("SELECT server_id FROM test_runs ORDER BY created_at DESC LIMIT 1").fetchone()[0]
        first, second = [row[0] for row in conn.execute(
            "SELECT id FROM test_runs WHERE server_id = ? ORDER BY created_at DESC LIMIT 2", (server,)
        )]
    return _worst({
        "flaky": lambda: trends.flaky(core, actor, server), "compare": lambda: comparison.compare(core, actor, first, second),
        "series": lambda: trends.series(core, actor, server, "P03.p50_ms"), "names": lambda: trends.names(core, actor, server),
        "fleet": lambda: trends.fleet(core, actor), "days": lambda: trends.daily(core, actor, [server]),
    })


def _retention(core) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
    """Delete the oldest days and return p99 and longest of what batches held the lock (ms), and results deleted a second."""
    actor = Actor.cli("bench")
    keeping.set_days(core, actor, 76)
    held: list[float] = []
    started = time.monotonic()
    done = keeping.delete_old(core, actor, on_hold=held.append)
    held.sort()
    return held[int(len(held) * 0.99)] * 1000, held[-1] * 1000, done.results / (time.monotonic() - started)
