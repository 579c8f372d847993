"""A long history made fast: servers, runs of fifty results each, numbers, and the roll-up of days, all with plain SQL."""
from __future__ import annotations

from mcpweb import clock
from mcpweb.contracts import ConfigData
from mcpweb.core import Core
from mcpweb.dao import configurations, servers
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.servers import Server
from mcpweb.ids import new_id

PER_RUN = 50
SPAN_S = 80 * 86_400.0  # the newest row is of now, the oldest of eighty days ago
_BATCH_RUNS = 200

# Shares as they come in a fleet: most checks hold, few time out, one of a hundred is critical.
_RESULTS = """
INSERT INTO test_results (id, server_id, configuration_id, tool_name, test_type, status, input_data, output_data, error_message,
    execution_time_ms, created_at, created_by, run_id, check_id, severity)
WITH RECURSIVE k(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM k WHERE k < :per - 1),
made AS (
    SELECT runs.id AS run_id, runs.server_id, runs.configuration_id, runs.created_at, runs.n * :per + k AS i, k,
        (runs.n * 7919 + k * 104729) % 1000 AS r FROM fresh_runs AS runs, k
)
SELECT printf('res_%026d', i), server_id, configuration_id, iif(k % 3 = 0, '*', 'tool_' || (i % 40)),
    CASE WHEN k < 10 THEN 'connection' WHEN k < 30 THEN 'functionality' WHEN k < 37 THEN 'performance' ELSE 'security' END,
    CASE WHEN r < 900 THEN 'success' WHEN r < 960 THEN 'failure' WHEN r < 998 THEN 'error' ELSE 'timeout' END,
    iif(k % 4 = 0, '{"name":"tool","arguments":{"text":"' || i || '"}}', NULL),
    '{"check_id":"X","verdict":"pass","confidence":"certain","summary":"What was seen of row ' || i || ' fits.","evidence":{"n":' || i || '},"next_step":"","seed":7}',
    iif(r < 900, NULL, 'It does not fit.'), r % 300, created_at, 'cli:bench', run_id,
    CASE WHEN k < 10 THEN 'C' WHEN k < 30 THEN 'F' WHEN k < 37 THEN 'P' ELSE 'S' END || printf('%02d', k),
    CASE WHEN r % 100 = 0 THEN 'critical' WHEN k % 5 = 0 THEN 'high' WHEN k % 5 < 3 THEN 'medium' ELSE 'low' END
FROM made
"""
_DAYS = """
INSERT INTO test_results_daily (server_id, test_type, day, success, failure, error, timeout)
SELECT server_id, test_type, substr(created_at, 1, 10), sum(status = 'success'), sum(status = 'failure'), sum(status = 'error'),
    sum(status = 'timeout') FROM test_results WHERE run_id IN (SELECT id FROM fresh_runs) GROUP BY 1, 2, 3
ON CONFLICT DO UPDATE SET success = success + excluded.success, failure = failure + excluded.failure,
    error = error + excluded.error, timeout = timeout + excluded.timeout
"""
_METRICS = """
INSERT INTO test_metrics (server_id, name, tool_name, created_at, run_id, value)
SELECT server_id, names.value, '*', created_at, fresh_runs.id, 10 + (n * 7919 % 100) / 50.0
FROM fresh_runs, json_each('["P01.start_ms","P02.handshake_ms","P03.p50_ms","P03.p95_ms","P04.calls_s","P05.memory_mb"]') AS names
"""


def fill(core: Core, results: int, *, servers_count: int) -> list[str]:
    """Store this many results in runs of fifty over new servers and return the ids of those."""
    made = _servers(core, servers_count)
    with core.db.writing() as conn:
        for name in ("connection", "functionality", "performance", "security"):
            conn.execute("INSERT OR IGNORE INTO test_types (name, title) VALUES (?, ?)", (name, name))
    with core.db.reading() as conn:
        first = conn.execute("SELECT count(*) FROM test_runs").fetchone()[0]
    total = results // PER_RUN
    now = clock.source()
    for start in range(0, total, _BATCH_RUNS):
        rows = []
        for n in range(start, min(start + _BATCH_RUNS, total)):
            server_id, configuration_id = made[n % len(made)]
            at = clock.text(now - SPAN_S * (1 - (n + 1) / total))
            verdict = ("pass", "pass", "pass", "fail", "undecided")[n % 5]
            types = '["connection"]' if n % 10 == 0 else '["connection","functionality","performance","security"]'
            image = f"sha256:{n // max(1, total // 4):064d}"
            rows.append((f"run_{first + n:026d}", server_id, configuration_id, types, verdict, image, at, first + n))
        with core.db.writing() as conn:
            conn.execute("CREATE TEMP TABLE IF NOT EXISTS fresh_runs (id TEXT, server_id TEXT, configuration_id TEXT, created_at TEXT, n INTEGER)")
            conn.execute("DELETE FROM fresh_runs")
            conn.executemany(
                "INSERT INTO test_runs (id, server_id, configuration_id, configuration_revision, types, profile, parameters, seed, state, "
                "verdict, counts, detail, image_id, image_digest, protocol, created_at, started_at, finished_at, created_by) "
                "VALUES (?1, ?2, ?3, 1, ?4, 'quick', '{}', 7, 'succeeded', ?5, "
                """'{"pass":45,"fail":3,"not_applicable":4,"undecided":2}', '{"not_applicable":[]}', ?6, ?6, '2026-07-28', ?7, ?7, ?7, 'cli:bench')""",
                [row[:7] for row in rows],
            )
            conn.executemany("INSERT INTO fresh_runs VALUES (?, ?, ?, ?, ?)", [(row[0], row[1], row[2], row[6], row[7]) for row in rows])
            conn.execute(_RESULTS, {"per": PER_RUN})
            conn.execute(_DAYS)
            conn.execute(_METRICS)
    return [server_id for server_id, _ in made]


def _servers(core: Core, count: int) -> list[tuple[str, str]]:
    made = []
    with core.db.writing() as conn:
        for at in range(count):
            server = Server.new(
                id=new_id("srv"), name=new_id("s"), image="bench/image:1", created_at=clock.text(clock.source() - at), created_by="cli:bench"
            )
            servers.insert(conn, server)
            configuration = Configuration(
                id=new_id("cfg"), server_id=server.id, name="default", description="", config_data=ConfigData().to_json(),
                is_active=True, created_at=server.created_at, updated_at=server.created_at, created_by="cli:bench", revision=1,
            )
            configurations.insert(conn, configuration)
            made.append((server.id, configuration.id))
    return made
