"""``/metrics``: right with several web processes, no word from outside but names of servers, and nothing of it is paid by pages."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import gauges, observations
from mcpweb.services import accounts
from mcpweb.testing.fixtures import HOST, MakeServer, NewVisitor, Visitor
from mcpweb.web.traffic import SLOTS, Traffic
from tests.dao.rows import make_configuration, make_run

Sample = dict[tuple[str, str], float]


def scraped(visitor: Visitor) -> Sample:
    """Return {(name, value of the label): number} as Prometheus' own parser reads it."""
    from prometheus_client.parser import text_string_to_metric_families

    answer = visitor.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.content_type.startswith("text/plain; version=")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text) for sample in family.samples
    }


def test_the_state_of_the_installation_is_counted(core: Core, visitor: Visitor, make_server: MakeServer) -> None:
    for name, status in (("up", "running"), ("down", "stopped"), ("off", "stopped")):
        server = make_server(name)
        with core.db.writing() as conn:
            conn.execute("UPDATE servers SET status = ?, wanted = ? WHERE name = ?", (status, "stopped" if name == "off" else "running", name))
    with core.db.writing() as conn:
        configuration = make_configuration(conn, server, "second", active=False)
        for verdict in ("pass", "fail", "fail", None):
            run = make_run(conn, server, configuration)
            conn.execute("UPDATE test_runs SET verdict = ? WHERE id = ?", (verdict, run.id))
        observations.put(conn, "vault", {"state": "locked", "code": "KEY_MISSING", "detail": "", "next_step": ""})
        observations.put(conn, "worker", {"state": "running"})
        conn.execute("UPDATE observations SET at = ? WHERE name = 'worker'", (clock.later(-42),))
    found = scraped(visitor.sign_in("viewer"))
    assert [found["mcpweb_servers", status] for status in ("running", "stopped", "error", "unknown")] == [1, 2, 0, 0]
    assert {name: value for (metric, name), value in found.items() if metric == "mcpweb_server_up"} == {"up": 1, "down": 0}
    assert [found["mcpweb_runs", verdict] for verdict in ("pass", "fail", "undecided", "none")] == [1, 2, 0, 1]
    assert found["mcpweb_vault_locked", ""] == 1 and ("mcpweb_engine_reachable", "") not in found
    assert 42 <= found["mcpweb_worker_heartbeat_age_seconds", ""] < 60
    assert found["mcpweb_database_bytes", ""] > 100_000 and found["mcpweb_disk_free_bytes", ""] > 0


def test_logs_of_servers_are_weighed(core: Core, visitor: Visitor) -> None:
    before = scraped(visitor)["mcpweb_logs_bytes", ""]
    folder = core.settings.data_dir / "logs" / "srv_x"
    folder.mkdir(parents=True)
    (folder / "0").write_bytes(b"x" * 12_345)
    assert scraped(visitor)["mcpweb_logs_bytes", ""] == before + 12_345


def test_words_of_a_table_that_are_not_ours_are_no_label(core: Core) -> None:
    with core.db.writing() as conn:
        conn.execute("PRAGMA ignore_check_constraints = ON")
        conn.execute("INSERT INTO servers (id, name, image, status) VALUES ('srv_1', 'odd', 'x', 'evil\"} 1')")
        conn.execute("PRAGMA ignore_check_constraints = OFF")
        assert gauges.counts(conn, "servers") == dict.fromkeys(("running", "stopped", "error", "unknown"), 0)


@pytest.mark.parametrize("what", gauges.COUNTS)
def test_every_word_that_the_schema_allows_is_counted(core: Core, what: str) -> None:
    words, sql = gauges.COUNTS[what]
    table = sql.partition(" FROM ")[2].split()[0]
    column = sql.rpartition("GROUP BY ")[2]
    with core.db.reading() as conn:
        (schema,) = conn.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    (listed,) = (line.partition(f"{column} IN (")[2].partition(")")[0] for line in schema.splitlines() if f"({column} IN (" in line)
    assert {word.strip(" '") for word in listed.split(",")} == set(words) - {"none"}


def test_it_takes_a_token_or_a_session_and_a_stranger_is_told_in_the_way_of_programs(app: Flask, core: Core, new_visitor: NewVisitor) -> None:
    stranger = app.test_client().get("/metrics", base_url=f"http://{HOST}")
    assert (stranger.status_code, stranger.headers["WWW-Authenticate"], stranger.json["code"]) == (401, "Bearer", "unauthenticated")
    somebody = new_visitor().sign_in("viewer")
    assert somebody.user is not None
    token = accounts.create_token(core, Actor.cli("x"), user=somebody.user.id, name="prometheus", role="viewer", days=1)
    by_token = app.test_client().get("/metrics", base_url=f"http://{HOST}", headers={"Authorization": f"Bearer {token}"})
    assert by_token.status_code == 200 and "mcpweb_servers" in by_token.text
    assert app.test_client().get("/metrics", base_url=f"http://{HOST}", headers={"Authorization": "Bearer x"}).status_code == 401


def test_requests_are_counted_by_class_and_time(visitor: Visitor) -> None:
    visitor.sign_in("viewer")
    before = scraped(visitor)
    visitor.get("/healthz")
    visitor.get("/servers/nothing")
    visitor.get("/nowhere/at/all")
    after = scraped(visitor)
    grown = {key: after[key] - before[key] for key in after if key[0].startswith("mcpweb_http")}
    assert grown["mcpweb_http_requests_total", "2xx"] == 2 and grown["mcpweb_http_requests_total", "4xx"] == 2  # the first scrape is one
    assert grown["mcpweb_http_request_seconds_count", ""] == 4 == grown["mcpweb_http_request_seconds_bucket", "+Inf"]
    assert 0 < grown["mcpweb_http_request_seconds_sum", ""] < 20
    buckets = [value for key, value in after.items() if key[0] == "mcpweb_http_request_seconds_bucket"]
    assert buckets == sorted(buckets)


def _in_child(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_processes_are_summed_and_what_an_ended_one_counted_stays() -> None:
    traffic = Traffic()
    for age in (1, 2, SLOTS + 1):

        def work(age: int = age) -> None:
            traffic.slot = age
            for _ in range(100):
                traffic.note("200 OK", 0.02)
            traffic.note("503 Away", 99.0)

        _in_child(work)
    seen = traffic.seen()
    assert seen.by_class == {"1xx": 0, "2xx": 300, "3xx": 0, "4xx": 0, "5xx": 3}
    assert (seen.buckets[2], seen.buckets[-1], sum(seen.buckets)) == (300, 3, 303)
    assert abs(seen.seconds - (300 * 0.02 + 3 * 99)) < 0.01


def test_an_answer_that_fails_is_counted_as_one(app: Flask) -> None:
    traffic = Traffic()

    def broken(environ: object, start_response: object) -> list[bytes]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        traffic.around(broken)({}, lambda *_: None)
    assert traffic.seen().by_class["5xx"] == 1


def test_nobody_pays_for_the_library_but_who_asks(tmp_path: Path) -> None:
    program = (
        "import sys, mcpweb.app; app = mcpweb.app.create_app(); app.test_client().get('/sign-in', headers={'Host': 'localhost'});"
        "print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "MCPWEB_DATA_DIR": str(tmp_path / "data")}, capture_output=True, text=True, timeout=60,
    )
    assert done.stdout.strip() == "False", done.stdout + done.stderr
