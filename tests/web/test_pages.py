"""Every page, for everybody, in both ways of asking."""
from __future__ import annotations

import gzip
import re

import pytest
from flask import Flask

from mcpweb.core import Core
from mcpweb.dao.servers import Server
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor, check_markup
from mcpweb.web.permissions import PUBLIC, permission_of

PAGES = (
    "/", "/servers", "/servers?status=running", "/servers?q=de", "/servers/new", "/servers/demo", "/servers/demo/tools",
    "/servers/demo/configurations", "/servers/demo/tests", "/servers/demo/logs", "/servers/demo/stats", "/test-runs",
    "/test-runs?verdict=fail", "/jobs", "/jobs?state=failed&kind=start", "/servers/demo/logs?q=x&level=error&only=1", "/audit", "/audit?action=server.add", "/plugins", "/settings", "/settings/retention", "/settings/doctor", "/secrets", "/secrets/new", "/keys",
    "/secrets?name=none", "/servers/demo/configurations/new", "/servers/demo/configurations/default",
    "/servers/demo/tests/cases", "/servers/demo/tests/cases/new", "/servers/demo/tests/schedules", "/servers/demo/tests/schedules/new",
    "/test-runs?server=demo&type=connection&since=2026-01-01", "/servers/demo/configurations/default/edit", "/servers/demo/configurations/default/edit?mode=json",
)
TOOL = {
    "name": "echo", "description": "Say it again.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 9}}, "required": ["text"]},
}


@pytest.fixture
def demo(make_server: MakeServer) -> Server:
    return make_server("demo", status="running", tools=[TOOL])


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_well_formed_and_its_addresses_exist(visitor: Visitor, demo: Server, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 200
    markup = check_markup(visitor.app, answer.text)
    headings = [tag for tag, _ in markup.elements if tag in ("h1", "h2", "h3")]
    assert headings.count("h1") == 1 and headings[0] == "h1"
    labelled = {attributes.get("for") for tag, attributes in markup.elements if tag == "label"}
    for tag, attributes in markup.elements:
        if tag in ("input", "select", "textarea") and attributes.get("type") not in ("hidden", "checkbox", "radio"):
            assert attributes.get("id") in labelled or attributes.get("aria-label"), f"{attributes} has no label"


@pytest.mark.parametrize("path", PAGES)
def test_a_fragment_is_not_a_page_and_says_that_it_varies(hx: Htmx, demo: Server, path: str) -> None:
    answer = hx.get(path)
    assert answer.status_code == 200
    assert "HX-Request" in answer.headers["Vary"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_boosted_links_and_a_restored_history_get_whole_pages(visitor: Visitor) -> None:
    for header in ("HX-Boosted", "HX-History-Restore-Request"):
        assert "<html" in visitor.get("/servers", **{"HX-Request": "true", header: "true"}).text


def test_every_route_names_its_permission(app: Flask) -> None:
    untagged = [rule.rule for rule in app.url_map.iter_rules() if permission_of(app.view_functions[rule.endpoint]) is None]
    assert not untagged


def test_only_these_pages_are_for_everybody(app: Flask) -> None:
    public = {r.rule for r in app.url_map.iter_rules() if permission_of(app.view_functions[r.endpoint]) == PUBLIC}
    html = {rule for rule in public if not rule.startswith("/api/")}
    assert html == {"/healthz", "/readyz", "/setup/<token>", "/sign-in", "/preferences", "/static/<path:filename>"}


def test_signed_out_each_page_leads_to_the_sign_in_and_back(new_visitor: NewVisitor, demo: Server) -> None:
    stranger = new_visitor()
    for path in PAGES:
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/sign-in?next=%2F")


def test_a_fragment_that_finds_its_session_over_sends_the_browser_to_the_sign_in(new_visitor: NewVisitor) -> None:
    answer = new_visitor().get(
        "/servers", **{"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8080/servers?q=a"}
    )
    assert answer.headers["HX-Redirect"] == "/sign-in?next=%2Fservers%3Fq%3Da"
    assert "<" not in answer.text


def test_a_viewer_sees_no_button_that_would_be_refused(new_visitor: NewVisitor, demo: Server) -> None:
    viewer, operator = new_visitor().sign_in("viewer"), new_visitor().sign_in("operator")
    for path in ("/servers", "/servers/demo", "/servers/demo/tools", "/servers/demo/tests"):
        assert "Start" not in viewer.get(path).text and ">Test<" not in viewer.get(path).text
        assert "Test" in operator.get(path).text
    assert viewer.get("/servers/new").status_code == 403
    assert viewer.get("/audit").status_code == 403 and operator.get("/audit").status_code == 403


def test_what_a_viewer_may_not_do_is_refused_and_audited(new_visitor: NewVisitor, demo: Server) -> None:
    viewer = new_visitor().sign_in("viewer")
    for path in ("/servers/demo/start", "/servers/demo/test-runs", "/servers/demo/remove", "/servers"):
        assert viewer.post(path).status_code == 403
    audit = new_visitor().sign_in("admin").get("/audit").text
    assert audit.count("access.denied") == 4


def test_an_unknown_address_is_a_page_with_a_way_on(visitor: Visitor) -> None:
    answer = visitor.get("/nowhere")
    assert answer.status_code == 404 and "There is no such page" in answer.text and 'href="/servers"' in answer.text
    assert visitor.get("/servers/none").status_code == 404


def test_a_database_that_is_gone_is_said_on_a_page(core: Core, visitor: Visitor) -> None:
    visitor.get("/servers")
    core.close()
    core.settings.db_path.rename(core.settings.data_dir / "elsewhere.db")
    answer = visitor.get("/servers")
    assert answer.status_code == 503 and "restore a backup" in answer.text
    assert visitor.get("/nowhere").status_code == 404
    assert visitor.get("/healthz").status_code == 200 and visitor.get("/readyz").status_code == 503


def test_fragments_report_errors_as_a_notice_and_leave_the_page_alone(hx: Htmx) -> None:
    answer = hx.get("/servers/none")
    assert answer.status_code == 404
    assert answer.headers["HX-Retarget"] == "#notices" and answer.headers["HX-Reswap"] == "beforeend"


def test_a_list_of_fifty_keeps_its_budgets(core: Core, visitor: Visitor, make_server: MakeServer) -> None:
    for number in range(51):
        make_server(f"server-{number:03}", status=("running", "stopped", "error")[number % 3])
    statements: list[str] = []
    with core.db.reading() as conn:
        conn.set_trace_callback(statements.append)
    answer = visitor.get("/servers")
    with core.db.reading() as conn:
        conn.set_trace_callback(None)
    asked = [s for s in statements if s.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "WITH"))]
    assert len(asked) <= 8, "\n".join(asked)
    assert len(gzip.compress(answer.data, 6)) <= 12_000
    assert len(check_markup(visitor.app, answer.text).elements) <= 1500
    assert answer.text.count("<tr id=") == 50 and 'rel="next"' in answer.text


def test_the_first_load_keeps_its_budgets(visitor: Visitor) -> None:
    page = visitor.get("/servers")
    total = len(gzip.compress(page.data, 6))
    sizes: dict[str, int] = {}
    for address in set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text)):
        answer = visitor.get(address, **{"Accept-Encoding": "gzip"})
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        kind = address.partition("?")[0].rpartition(".")[2]
        sizes[kind] = sizes.get(kind, 0) + len(answer.data)
        total += len(answer.data)
    assert sizes["js"] <= 25_000 and sizes["css"] <= 10_000 and sizes["svg"] <= 5_000
    assert total <= 60_000 and len(set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text))) + 1 <= 8


def test_pages_are_compressed_for_those_who_take_it(visitor: Visitor) -> None:
    answer = visitor.get("/settings", **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"<h1>Settings</h1>" in gzip.decompress(answer.data)


def test_keyset_pages_hold_every_server_once(visitor: Visitor, make_server: MakeServer) -> None:
    made = {make_server(f"s{number:03}").name for number in range(120)}
    seen: list[str] = []
    path = "/servers"
    while path:
        text = visitor.get(path).text
        seen += re.findall(r'<a href="[^"]+" id="n-srv_\w+">([^<]+)</a>', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == 120 and set(seen) == made


def test_a_damaged_cursor_is_named(visitor: Visitor) -> None:
    assert visitor.get("/servers?cursor=x").status_code == 422
    assert visitor.get("/jobs?cursor=%00").status_code == 422
    assert visitor.get("/audit?cursor=abc").status_code == 422


def test_templates_stay_short() -> None:
    from mcpweb import paths

    for path in paths.TEMPLATES.rglob("*.html"):
        text = path.read_text()
        assert len(text.splitlines()) <= 200, path
        for banned in ("|safe", "Markup(", " style=", " onclick", "hx-on", "js:", "javascript:", "<script>"):
            assert banned not in text, f"{path}: {banned}"
