"""Six processes of four threads that read, change and add rows of one database for half a minute, as the product does it and as it is done naively."""
from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Row
from mcpweb import paths
from mcpweb.contracts import Actor
from mcpweb.core import open_core
from mcpweb.dao import audit
from mcpweb.db import driver
from mcpweb.services import servers
from mcpweb.settings import load

PROCESSES = 6
THREADS = 4
SECONDS = 30.0
PAUSE_S = 0.0  # each begins the next one at once, so that there is always somebody who waits
SERVERS = 200
# seven of ten only read, two and a half read, change and note it in the audit log, the rest adds two hundred rows at once
STORM = '''
import json, random, sys, threading, time
from pathlib import Path
from mcpweb.contracts import Actor
from mcpweb.dao import servers
from mcpweb.db import Database, driver
from mcpweb.errors import Failure
from mcpweb.services import access

path, way, seconds, threads, seed, pause = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])
db, me, local, guard = Database(Path(path)), Actor.cli("storm"), threading.local(), threading.Lock()
told = {"reads": [], "writes": [], "locked": 0, "updates": 0, "added": 0, "words": []}
with db.reading() as conn:
    ids = servers.all_ids(conn)

def connection():
    """What one has without a second thought: the module's own transactions and waiting."""
    if not hasattr(local, "conn"):
        local.conn = driver.connect(path, check_same_thread=False)
        local.conn.row_factory = driver.Row
    return local.conn

def read(conn, chance):
    servers.listing(conn)

def change(conn, chance):
    row = servers.update(conn, chance.choice(ids), expect=None, description=str(chance.random()))
    access.note(conn, me, "storm.change", row.id, {"revision": row.revision})

def add(conn, chance):
    conn.executemany("INSERT INTO throttle VALUES (?, 1, 1)", [(f"row {chance.random()} {n}",) for n in range(200)])
    access.note(conn, me, "storm.add", "")

def product(work, chance):
    with (db.reading() if work is read else db.writing()) as conn:
        work(conn, chance)

def naive(work, chance):
    conn = connection()
    try:
        conn.execute("BEGIN")
        work(conn, chance)
        conn.commit()
    except driver.OperationalError:
        conn.rollback()
        raise

def storm(number):
    chance, act, mine = random.Random(seed * 100 + number), globals()[way], {"reads": [], "writes": []}
    counts, words = {"locked": 0, "updates": 0, "added": 0}, set()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        dice = chance.random()
        work = read if dice < 0.7 else change if dice < 0.95 else add
        began = time.perf_counter()
        try:
            act(work, chance)
            counts["updates"] += work is change
            counts["added"] += 200 * (work is add)
            mine["reads" if work is read else "writes"].append(time.perf_counter() - began)
        except (Failure, driver.OperationalError) as error:
            counts["locked"] += 1
            words.add(str(error))
        time.sleep(chance.random() * pause)
    db.close()
    with guard:
        for what in ("reads", "writes"):
            told[what] += mine[what]
        for name, count in counts.items():
            told[name] += count
        told["words"] = sorted({*told["words"], *words})[:3]

workers = [threading.Thread(target=storm, args=(number,)) for number in range(threads)]
for one in workers:
    one.start()
for one in workers:
    one.join()
print(json.dumps(told))
'''


@dataclass(frozen=True)
class Weather:
    """What came out: times in milliseconds, and what was acknowledged against what is there."""

    reads: list[float]
    writes: list[float]
    locked: int
    updates: int
    added: int
    stored_updates: int
    stored_added: int
    whole: bool
    words: tuple[str, ...]

    @property
    def tried(self) -> int:
        return len(self.writes) + self.locked

    @property
    def lost(self) -> int:
        """How many acknowledged updates and rows are not there."""
        return abs(self.stored_updates - self.updates) + abs(self.stored_added - self.added)

    def write_ms(self, part: float) -> float:
        return quantile(self.writes, part)


def quantile(times: list[float], part: float) -> float:
    found = sorted(times)
    return found[min(len(found) - 1, int(len(found) * part))] if found else 0.0


def brew(folder: Path, way: str, seconds: float = SECONDS, processes: int = PROCESSES, threads: int = THREADS, pause_s: float = PAUSE_S) -> Weather:
    """Storm on a new database, as the ``product`` does it or in the ``naive`` way: the module's transactions, its own waiting."""
    core = open_core(load({"MCPWEB_DATA_DIR": str(folder / way)}))
    path, me = core.settings.db_path, Actor.cli("storm")
    for number in range(SERVERS):
        servers.add(core, me, name=f"server-{number}", image="tiny:1")
    with core.db.reading() as conn:
        before = conn.execute("SELECT sum(revision) FROM servers").fetchone()[0]
    core.close()
    if way == "naive":  # and no log is chosen either
        conn = driver.connect(str(path), isolation_level=None)
        conn.execute("PRAGMA journal_mode = DELETE")
        conn.close()
    given = [str(path), way, str(seconds), str(threads)]
    running = [
        subprocess.Popen([sys.executable, "-c", STORM, *given, str(seed), str(pause_s)], stdout=subprocess.PIPE, text=True, cwd=paths.PACKAGE.parent)
        for seed in range(processes)
    ]
    told = []
    for one in running:
        out, _ = one.communicate(timeout=seconds * 3 + 120)
        assert one.returncode == 0
        told.append(json.loads(out))
    conn = driver.connect(str(path), isolation_level=None)
    conn.row_factory = driver.Row
    revisions, rows = conn.execute(
        "SELECT (SELECT sum(revision) FROM servers), (SELECT count(*) FROM throttle WHERE bucket LIKE 'row %')"
    ).fetchone()
    whole = conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok" and audit.verify(conn).ok
    conn.close()
    return Weather(
        reads=[1000 * t for one in told for t in one["reads"]], writes=[1000 * t for one in told for t in one["writes"]],
        locked=sum(one["locked"] for one in told), updates=sum(one["updates"] for one in told), added=sum(one["added"] for one in told),
        stored_updates=revisions - before, stored_added=rows, whole=whole, words=tuple(sorted({word for one in told for word in one["words"]})),
    )


def run(folder: Path) -> list[Row]:
    """Return the rows about the storm: ours, and the naive way in the same run."""
    rows = []
    for way in ("product", "naive"):
        began = time.monotonic()
        seen = brew(folder, way)
        spent = time.monotonic() - began
        p50, p99 = seen.write_ms(0.5), seen.write_ms(0.99)
        ours = way == "product"
        per_s = (len(seen.reads) + len(seen.writes)) / SECONDS
        name = f"{PROCESSES} processes × {THREADS} threads, {SECONDS:.0f} s of reads, changes and batches" + ("" if ours else ", naive control")
        rows += [
            Row(f"{name}: refused as locked", f"{seen.locked} of {seen.tried} writes; {seen.lost} acknowledged lost; {per_s:,.0f}/s",
                "0" if ours else "–", (not seen.locked and not seen.lost and seen.whole) or not ours),
            Row(f"{name}: write p99 / p50 (ms)", f"{p99 / max(p50, 0.001):.1f}× ({p99:.1f} / {p50:.1f}, longest {max(seen.writes):.0f})",
                "≤ 10×" if ours else "–", p99 <= 10 * p50 or not ours),
            Row(f"{name}: read p50, p99 (ms)", f"{statistics.median(seen.reads):.1f}, {quantile(seen.reads, 0.99):.1f}", "–", True),
        ]
        print(f"{way}: {spent:.0f} s, {seen.words}", file=sys.stderr)
    return rows
