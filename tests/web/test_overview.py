"""The overview: what needs attention, what happened lately, and the first steps until they are done or sent away."""
from __future__ import annotations

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import observations
from mcpweb.services import jobs, test_runs
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor


def ended(core: Core, actor: Actor, server_id: str, verdict: str, at: str) -> str:
    run, _ = test_runs.request(core, actor, server_id, types=["connection"])
    with core.db.writing() as conn:
        conn.execute(
            "UPDATE test_runs SET state = 'succeeded', verdict = ?, created_at = ?, finished_at = ?, counts = '{\"fail\":3}' WHERE id = ?",
            (verdict, at, at, run.id),
        )
        conn.execute("UPDATE jobs SET state = 'succeeded' WHERE id = ?", (run.job_id,))
    return run.id


def test_the_first_steps_lead_from_nothing_to_a_test(
    core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer
) -> None:
    with core.db.writing() as conn:
        observations.put(conn, "worker", {"state": "running"})
        observations.put(conn, "engine", {"state": "reachable", "version": "20.10"})
    text = visitor.get("/").text
    assert 'action="/demo"' in text and "What is missing?" not in text and "/start" not in text
    server = make_server("first")
    text = visitor.get("/").text
    assert 'action="/demo"' not in text and f'action="/servers/{server.id}/start"' in text and "/test-runs" in text
    with core.db.writing() as conn:
        conn.execute("UPDATE servers SET status = 'running'")
    text = visitor.get("/").text
    assert f'action="/servers/{server.id}/start"' not in text and f'action="/servers/{server.id}/test-runs"' in text
    ended(core, actor, server.id, "pass", clock.now())
    assert "First steps" not in visitor.get("/").text


def test_a_step_that_is_missing_links_to_the_doctor(core: Core, visitor: Visitor) -> None:
    with core.db.writing() as conn:
        observations.put(conn, "engine", {"state": "away", "detail": "refused"})
    assert 'href="/settings/doctor"' in visitor.get("/").text


def test_the_first_steps_can_be_sent_away_and_are_not_for_viewers(visitor: Visitor, new_visitor: NewVisitor) -> None:
    assert "First steps" in visitor.get("/").text
    visitor.post("/preferences", {"first_steps": "off"})
    assert "First steps" not in visitor.get("/").text
    viewer = new_visitor().sign_in("viewer")
    assert "First steps" not in viewer.get("/").text and viewer.post("/demo").status_code == 403


def test_the_demo_server_is_asked_for_once(core: Core, actor: Actor, visitor: Visitor, hx: Htmx) -> None:
    for _ in range(2):
        assert visitor.post("/demo").status_code == 303
    assert len(jobs.listing(core, actor, kind="demo").rows) == 1
    text = hx.get("/").text
    assert 'hx-trigger="every 1s' in text and 'action="/demo"' not in text


def test_what_needs_attention_is_what_fails_now(core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer) -> None:
    mended, failing, broken = make_server("mended"), make_server("failing"), make_server("broken", status="error", detail="It ended.")
    ended(core, actor, mended.id, "fail", "2026-01-01 00:00:00.000")
    ended(core, actor, mended.id, "pass", "2026-01-02 00:00:00.000")
    ended(core, actor, failing.id, "fail", "2026-01-02 00:00:00.000")
    text = visitor.get("/").text
    attention = text[text.index("Needs attention"):text.index("All servers")]
    assert f'/servers/{failing.id}"' in attention and "3 checks failed" in attention
    assert f'/servers/{broken.id}"' in attention and "It ended." in attention and mended.id not in attention
    assert "Recent activity" in text


def test_where_nothing_fails_nothing_asks_for_attention(visitor: Visitor, make_server: MakeServer) -> None:
    make_server("calm")
    assert "Needs attention" not in visitor.get("/").text
