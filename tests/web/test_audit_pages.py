"""The audit log in pages: a timeline with filters, verified and exported."""
from __future__ import annotations

import gzip
import json
import re

import pytest

from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.services import access, configurations, jobs, secrets, servers
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor, check_markup
from mcpweb.vault import token_digest
from mcpweb.web import audit as audit_page
from mcpweb.worker import Worker


def rows(text: str) -> list[str]:
    return re.findall(r'<tr id="row-(\d+)">', text)


def write(core: Core, actor: Actor, count: int, action: str = "server.start", target: str = "srv_1") -> None:
    with core.db.writing() as conn:
        for number in range(count):
            access.note(conn, actor, action, target, {"number": number})


def test_a_row_says_who_what_on_what_from_where_and_the_detail(visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("notes")
    visitor.post(f"/servers/{server.id}/start")
    text = visitor.get("/audit").text
    check_markup(visitor.app, text)
    row = re.search(r'<tr id="row-\d+">(?:(?!</tr>).)*server\.start(?:(?!</tr>).)*</tr>', text, re.S)
    assert row and visitor.user
    assert f">{visitor.user.name}</span>" in row[0] and "127.0.0.1" in row[0]
    assert f'href="/servers/{server.id}"' in row[0] and ">notes</a>" in row[0]
    assert re.search(r'job <b title="(job_\w{20}(\w{6}))">job_…\2</b>', row[0]) and "name <b>" not in row[0]


def test_long_ids_and_hashes_are_cut_to_what_tells_them_apart_and_secrets_go_by_their_names(
    core: Core, actor: Actor, visitor: Visitor
) -> None:
    made = secrets.add(core, actor, name="api-key", value=Sensitive("canary of a page"))
    digest = token_digest(made.encrypted_value)
    text = visitor.get("/audit").text
    assert f'<a href="/secrets/{made.id}" title="{made.id}">api-key</a>' in text
    assert f'digest <b title="{digest}">{digest[:12]}…</b>' in text and "name <b>api-key" not in text
    assert audit_page.shorter("job_short and abc") == "job_short and abc"


def test_filters_join_and_people_and_servers_go_by_their_names(
    core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer
) -> None:
    server = make_server("notes")
    make_server("other")
    visitor.post(f"/servers/{server.id}/start")
    assert visitor.user
    assert len(rows(visitor.get(f"/audit?who={visitor.user.name}").text)) == 1
    assert len(rows(visitor.get("/audit?who=cli:tester&target=notes").text)) == 1
    assert len(rows(visitor.get(f"/audit?target={server.id}").text)) == 2
    assert len(rows(visitor.get("/audit?action=server.add").text)) == 2
    none = visitor.get("/audit?action=server.add&who=nobody").text
    assert "No row fits this filter" in none and 'value="nobody"' in none


def test_days_bound_the_timeline_and_both_ends_are_in_it(core: Core, visitor: Visitor, actor: Actor) -> None:
    write(core, actor, 2)
    with core.db.reading() as conn:
        today = audit.listing(conn, limit=1)[0].at[:10]
    assert len(rows(visitor.get(f"/audit?since={today}&until={today}&action=server.start").text)) == 2
    assert not rows(visitor.get("/audit?until=2020-01-01").text)
    assert not rows(visitor.get("/audit?since=2099-01-01").text)


@pytest.mark.parametrize("query", ["since=yesterday", "until=2026-1-1", "cursor=x", "cursor=٣", "cursor=-1"])
def test_what_is_no_day_and_no_cursor_is_named(visitor: Visitor, query: str) -> None:
    assert visitor.get(f"/audit?{query}").status_code == 422


def test_pages_hold_every_row_once_and_keep_the_filter(core: Core, actor: Actor, visitor: Visitor) -> None:
    write(core, actor, 120)
    write(core, actor, 5, action="server.stop")
    seen: list[str] = []
    path = "/audit?action=server.start"
    while path:
        answer = visitor.get(path)
        seen += rows(answer.text)
        assert len(gzip.compress(answer.data, 6)) <= 12_000
        assert len(check_markup(visitor.app, answer.text).elements) <= 1500
        following = re.search(r'rel="next" href="([^"]+)"', answer.text)
        path = following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == 120 == len(set(seen))


def checked(visitor: Visitor) -> str:
    """Press the button and wait for the end of this check."""
    before = jobs.newest(visitor.core, "verify_audit", "audit")
    assert visitor.post("/audit/verify").headers["Location"] == "/audit"
    asked = jobs.newest(visitor.core, "verify_audit", "audit")
    assert asked is not None and (before is None or asked.id != before.id)
    assert jobs.wait(visitor.core, asked.id, 30).finished
    return visitor.get("/audit").text


def test_a_check_that_waits_is_shown_in_place(visitor: Visitor, hx: Htmx) -> None:
    assert 'hx-trigger="job-changed' in hx.get("/audit").text
    assert hx.post("/audit/verify", page="/audit").headers["HX-Trigger"] == "job-changed"
    text = hx.get("/audit").text
    assert 'hx-trigger="every 1s' in text and "<progress" in text


def test_the_verify_button_answers_with_the_first_bad_row(core: Core, actor: Actor, visitor: Visitor, worker: Worker) -> None:
    write(core, actor, 9)
    assert "The chain is whole" in checked(visitor)
    with core.db.writing() as conn:
        conn.execute("DROP TRIGGER audit_log_no_update")
        seq = conn.execute("SELECT max(seq) - 3 FROM audit_log").fetchone()[0]
        conn.execute("UPDATE audit_log SET detail = '{}' WHERE seq = ?", (seq,))
    text = checked(visitor)
    assert "broken at row" in text and str(seq) in text and 'class="banner bad"' in text


def test_the_export_holds_every_row_as_a_line(core: Core, actor: Actor, visitor: Visitor) -> None:
    write(core, actor, 30)
    answer = visitor.get("/audit/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    with core.db.reading() as conn:
        assert [line["seq"] for line in lines][:30] == [row.seq for row in audit.from_seq(conn, 1, 30)]
    assert "attachment" in answer.headers["Content-Disposition"] and answer.headers["Cache-Control"] == "no-store"


def test_the_export_of_a_filtered_page_holds_what_the_page_shows(core: Core, actor: Actor, visitor: Visitor) -> None:
    write(core, actor, 3, action="x.here")
    write(core, actor, 3, action="x.elsewhere")
    assert "/audit/export?action=x.here" in visitor.get("/audit?action=x.here").text
    response = visitor.get("/audit/export?action=x.here")
    data = gzip.decompress(response.data) if response.headers.get("Content-Encoding") == "gzip" else response.data
    assert [json.loads(line)["action"] for line in data.decode().splitlines()] == ["x.here"] * 3


def test_nobody_but_admins_reads_it(new_visitor: NewVisitor) -> None:
    for role in ("viewer", "operator"):
        visitor = new_visitor().sign_in(role)  # type: ignore[arg-type]
        assert visitor.get("/audit").status_code == visitor.get("/audit/export").status_code == 403
        assert visitor.post("/audit/verify").status_code == 403


def test_a_detail_of_strangers_is_text(core: Core, actor: Actor, visitor: Visitor) -> None:
    with core.db.writing() as conn:
        access.note(conn, actor, "server.add", "<b>x</b>", {"image": "<script>1</script>", "types": ["a", "b"], "ip": ""})
    text = visitor.get("/audit").text
    assert "<script>1" not in text and "&lt;script&gt;1" in text and "types <b>a, b</b>" in text


def test_a_change_is_shown_as_before_and_after_and_what_may_be_secret_only_as_changed(
    core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer
) -> None:
    server = make_server("notes")
    servers.update(core, actor, server.id, expect=None, image="tiny:2", description="<b>")
    (made,) = configurations.listing(core, actor, server_id=server.id).rows
    data = {**made.config_data, "environment": {"TOKEN_LIKE": "canary-51"}, "limits": {**made.config_data["limits"], "memory_mb": 99}}
    configurations.update(core, actor, made.id, expect=None, config_data=data)
    text = visitor.get("/audit").text
    check_markup(visitor.app, text)
    assert "<code>image</code> <del>tiny:1</del> <ins>tiny:2</ins>" in text and "<ins>&lt;b&gt;</ins>" in text
    assert "<code>limits/memory_mb</code> <del>512</del> <ins>99</ins>" in text
    assert "<code>environment/TOKEN_LIKE</code>" in text and "<ins>…</ins>" in text
    with core.db.reading() as conn:
        assert not any("canary-51" in str(row.detail) for row in audit.listing(conn))


def test_pages_of_things_lead_to_their_own_timeline(visitor: Visitor, new_visitor: NewVisitor, make_server: MakeServer) -> None:
    server = make_server("notes")
    assert f'href="/audit?target={server.id}"' in visitor.get("/servers/notes").text
    assert "/audit?target=" not in new_visitor().sign_in("operator").get("/servers/notes").text
