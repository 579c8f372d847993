"""Background work in pages: filtered, looked at one by one, cancelled with a second look, and told of at its end."""
from __future__ import annotations

import re

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs as rows
from mcpweb.dao.jobs import Job
from mcpweb.services import jobs
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor, check_markup
from mcpweb.web.jobs import COOKIE
from mcpweb.worker import Worker


def make(core: Core, kind: str, subject: str, by: str = "cli:tester", state: str = "queued", **payload: str) -> Job:
    """Store a job; a worker of nobody runs it or ended it."""
    job = jobs.draft(Actor(name=by, role="admin", via="cli"), kind, subject=subject, payload=payload)
    with core.db.writing() as conn:
        rows.insert(conn, job)
        if state != "queued":
            assert rows.claim(conn, worker="wrk_x", lease_s=60, job_id=job.id)
            rows.progress(conn, job.id, "wrk_x", 0.25, "Reading 25 of 100", is_step=True)
        if state in ("succeeded", "failed"):
            error = {"code": "image_missing", "detail": "The image is <b>missing</b>. Run `mcpweb servers pull notes`."}
            rows.finish(conn, job.id, "wrk_x", state=state, result={"count": 3}, error=error if state == "failed" else None)
        return rows.get(conn, job.id)


def listed(text: str) -> set[str]:
    return set(re.findall(r'<tr id="(job_\w+)">', text))


def test_jobs_are_filtered_by_state_kind_and_the_name_of_a_server(core: Core, visitor: Visitor, make_server: MakeServer) -> None:
    notes, other = make_server("notes"), make_server("other")
    running = make(core, "pull", f"server:{notes.id}", state="running")
    failed = make(core, "start", f"server:{notes.id}", state="failed")
    elsewhere = make(core, "start", f"server:{other.id}", state="succeeded")
    assert listed(visitor.get("/jobs").text) == {running.id, failed.id, elsewhere.id}
    assert listed(visitor.get("/jobs?state=failed").text) == {failed.id}
    assert listed(visitor.get("/jobs?kind=start&subject=notes").text) == {failed.id}
    assert listed(visitor.get("/jobs?kind=start&state=succeeded").text) == {elsewhere.id}
    assert "No job fits this filter" in visitor.get("/jobs?subject=none").text
    assert visitor.get("/jobs?state=odd").status_code == 422


def test_a_running_job_shows_how_far_it_is_and_one_that_ended_why(core: Core, visitor: Visitor, make_server: MakeServer) -> None:
    notes = make_server("notes")
    running = make(core, "pull", f"server:{notes.id}", state="running")
    text = visitor.get(f"/jobs/{running.id}").text
    check_markup(visitor.app, text)
    assert "Reading 25 of 100" in text and "25 %" in text and 'value="0.25"' in text and f'hx-get="/jobs/{running.id}"' in text
    failed = make(core, "start", f"server:{notes.id}", state="failed")
    text = visitor.get(f"/jobs/{failed.id}").text
    assert "image_missing" in text and "The image is &lt;b&gt;missing" in text and "<code>mcpweb servers pull notes</code>" in text
    assert f'hx-get="/jobs/{failed.id}"' not in text and f"/servers/{notes.id}/logs" in text
    assert visitor.get("/jobs/job_none").status_code == 404


def test_a_job_keeps_its_steps_and_who_only_counts_on_does_no_other(core: Core, worker: Worker, make_server: MakeServer) -> None:
    job = make(core, "retention", "results")
    with core.db.writing() as conn:
        claimed = rows.claim(conn, worker=worker.id, lease_s=60, job_id=job.id)
    if claimed is not None:  # the worker may have been quicker
        from mcpweb.worker.work import Work

        work = Work(core, worker, claimed)
        for number in range(30):
            work.progress(None, f"{number} of 1,000 rows")
        work.progress(None, "Tidying up")
        with core.db.reading() as conn:
            assert [text for _, text in rows.get(conn, job.id).log] == ["0 of 1,000 rows", "Tidying up"]


def test_a_rotation_is_cancelled_after_a_second_look_only(core: Core, visitor: Visitor) -> None:
    job = make(core, "rotate", "key:key_1")
    asked = visitor.post(f"/jobs/{job.id}/cancel")
    assert "Cancel the rotation?" in asked.text and jobs.get(core, Actor.cli("x"), job.id).state == "queued"
    assert visitor.post(f"/jobs/{job.id}/cancel", {"sure": "yes"}).status_code == 303
    assert jobs.get(core, Actor.cli("x"), job.id).state == "cancelled"


def test_the_end_of_ones_own_job_is_told_once_with_a_link(core: Core, hx: Htmx, visitor: Visitor, make_server: MakeServer) -> None:
    assert visitor.user
    me, notes = f"user:{visitor.user.id}", make_server("notes")
    before = clock.now()
    make(core, "start", f"server:{notes.id}", by="user:usr_other", state="succeeded")
    open_job = make(core, "pull", f"server:{notes.id}", by=me, state="running")
    ended = make(core, "start", f"server:{notes.id}", by=me, state="succeeded")
    text = hx.get(f"/jobs/news?since={before}").text
    assert text.count("<hx-partial") == 1 and f'href="/jobs/{ended.id}"' in text and "Start: notes" in text
    assert "every 2s" in text, "one of them is open still"
    since = re.search(r"since=([^\"]+)\"", text)
    assert since
    again = hx.get(f"/jobs/news?since={since[1].replace('%20', ' ')}").text
    assert "<hx-partial" not in again
    with core.db.writing() as conn:
        rows.finish(conn, open_job.id, "wrk_x", state="failed", error={"code": "x", "detail": "y"})
    last = hx.get(f"/jobs/news?since={before}")
    assert 'class="notice error" role="alert"' in last.text and "every 2s" not in last.text
    assert hx.get("/jobs/news?since=now").status_code == 422


def test_a_browser_watches_only_after_it_asked_for_something(visitor: Visitor, make_server: MakeServer) -> None:
    watching = '<div id="job-news"[^>]*hx-trigger="every 2s"'
    notes = make_server("notes")
    assert not re.search(watching, re.sub(r'hx-nonce="[^"]*" ', "", visitor.get("/servers").text))
    answer = visitor.post(f"/servers/{notes.id}/start")
    (cookie,) = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith(f"{COOKIE}=")]
    assert "HttpOnly" in cookie
    assert re.search(watching, re.sub(r'hx-nonce="[^"]*" ', "", visitor.get("/servers").text)), "a reload goes on watching"
    since = re.search(r"/jobs/news\?since=([^\"]+)\"", visitor.get("/settings").text)
    assert since and cookie.startswith(f"{COOKIE}={since[1].replace('%20', 'T').replace('%3A', ':')};"), "from the question on, not from this page on"


@pytest.mark.parametrize("path", ["/jobs/news?since=2026-01-01%2000:00:00.000", "/jobs/job_1"])
def test_strangers_see_no_job(new_visitor: NewVisitor, path: str) -> None:
    assert new_visitor().get(path).status_code == 303
