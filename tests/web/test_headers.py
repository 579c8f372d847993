"""The headers of an answer, exactly, whatever its status and whoever made it; and the cookies."""
from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from mcpweb import clock
from mcpweb.app import create_app
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.services import accounts, people
from mcpweb.testing.fixtures import HOST, MakeServer, NewVisitor, Visitor
from mcpweb.web.permissions import PUBLIC, permission

POLICY = {
    "default-src 'none'", "script-src 'nonce-N'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
    "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'",
    "trusted-types htmx",
}
ALWAYS = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
# what an answer may carry beside those, and nothing more
MAY = {
    "Content-Security-Policy", "Content-Type", "Content-Length", "Content-Encoding", "Content-Disposition", "Vary", "Location",
    "Set-Cookie", "Retry-After", "WWW-Authenticate", "Allow", "ETag", "HX-Trigger", "HX-Retarget", "HX-Reswap", "HX-Redirect",
    "Clear-Site-Data", "Last-Modified", "Date", "Accept-Ranges", "X-Accel-Buffering",
}


def held(answer: TestResponse, *, cache: str = "no-store", tls: bool = False) -> None:
    """Hold the headers of an answer to the list."""
    policy = re.sub(r"'nonce-[A-Za-z0-9_-]{22}'", "'nonce-N'", answer.headers["Content-Security-Policy"])
    assert sorted(policy.split("; ")) == sorted(POLICY)
    wanted = {**ALWAYS, "Cache-Control": cache} | ({"Strict-Transport-Security": "max-age=31536000"} if tls else {})
    assert {name: answer.headers.get_all(name) for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert set(answer.headers.keys()) <= MAY | set(wanted)
    if cache == "no-store":
        assert {"HX-Request", "Cookie"} <= set(answer.vary)
        assert "ETag" not in answer.headers or answer.mimetype == "application/json"


@pytest.fixture
def faulty(app: Flask) -> Flask:
    """The application with one page that breaks."""

    @app.get("/breaks")
    @permission(PUBLIC)
    def breaks() -> Response:
        raise RuntimeError("with a secret in it")

    @app.get("/api/v1/breaks")
    @permission(PUBLIC)
    def breaks_too() -> Response:
        raise RuntimeError("with a secret in it")

    return app


def bearer(core: Core, visitor: Visitor) -> dict[str, str]:
    text = accounts.create_token(core, Actor.cli("x"), user=visitor.user.id, name="t", role=None, days=1)  # type: ignore[union-attr]
    return {"Authorization": f"Bearer {text}"}


def test_every_status_carries_the_same_headers(faulty: Flask, core: Core, new_visitor: NewVisitor, make_server: MakeServer) -> None:
    server, admin, viewer, stranger = make_server(), new_visitor().sign_in(), new_visitor().sign_in("viewer"), new_visitor()
    token = bearer(core, admin)
    client = faulty.test_client()

    def api(method: str, path: str, **kw: object) -> TestResponse:
        headers = {**token, **kw.pop("headers", {})}  # type: ignore[dict-item]
        return client.open(f"/api/v1{path}", method=method, base_url=f"http://{HOST}", headers=headers, **kw)  # type: ignore[arg-type]

    partial = {"HX-Request": "true", "HX-Request-Type": "partial"}
    answers: dict[int, list[Callable[[], TestResponse]]] = {
        200: [
            lambda: admin.get("/"), lambda: admin.get("/servers", **partial), lambda: stranger.get("/sign-in"),
            lambda: stranger.get("/healthz"), lambda: api("GET", "/servers"), lambda: stranger.get("/api/v1/openapi.json"),
            lambda: admin.get(f"/servers/{server.id}/logs"), lambda: admin.get("/audit/export"), lambda: admin.get("/account"),
        ],
        201: [lambda: api("POST", "/servers", json={"name": "two", "image": "tiny:1"})],
        204: [lambda: api("DELETE", f"/sessions/{_session(core, new_visitor().sign_in('viewer'))}")],
        303: [
            lambda: stranger.get("/servers"), lambda: admin.post("/preferences", {"theme": "dark"}),
            lambda: new_visitor().sign_in().post("/sign-out"),
        ],
        400: [lambda: client.get("/", headers={"Host": "evil.example"}), lambda: api("POST", "/servers", data=b"{", content_type="text/plain")],
        401: [lambda: stranger.get("/api/v1/servers"), lambda: stranger.get("/servers", Authorization="Basic eA==")],
        403: [
            lambda: viewer.get("/audit"), lambda: viewer.get("/audit", **partial), lambda: admin.post("/servers", {"csrf_token": "x"}),
            lambda: viewer.get("/api/v1/users"),
        ],
        404: [lambda: admin.get("/nowhere"), lambda: stranger.get("/nowhere"), lambda: admin.get("/servers/nothing"), lambda: api("GET", "/servers/nothing"), lambda: stranger.get("/static/nothing.css")],
        405: [lambda: admin.client.delete("/servers", base_url=f"http://{HOST}"), lambda: api("DELETE", "/servers")],
        409: [lambda: api("POST", "/servers", json={"name": server.name, "image": "tiny:1"})],
        411: [lambda: admin.client.post("/servers", headers={"Transfer-Encoding": "chunked"}, base_url=f"http://{HOST}")],
        412: [lambda: api("PATCH", f"/servers/{server.id}", json={"description": "x"}, headers={"If-Match": '"99"'})],
        413: [lambda: admin.post("/servers", {"name": "x" * (2 << 20)})],
        422: [lambda: admin.get("/users?cursor=bad"), lambda: api("GET", "/servers?limit=0"), lambda: admin.post("/servers", {"name": "", "image": ""})],
        428: [lambda: api("PATCH", f"/servers/{server.id}", json={"description": "x"})],
        429: [lambda: _too_often(core, new_visitor())],
        500: [lambda: stranger.get("/breaks"), lambda: stranger.get("/api/v1/breaks")],
    }
    for status, ways in answers.items():
        for number, way in enumerate(ways):
            answer = way()
            assert answer.status_code == status, (status, number, answer.text[:300])
            assert "with a secret in it" not in answer.text
            if answer.headers.get("Cache-Control", "").startswith("public"):
                raise AssertionError(f"{status} {number} may be stored")
            held(answer)


def _session(core: Core, visitor: Visitor) -> str:
    (session,) = people.sessions(core, Actor.cli("x"), visitor.user.id)  # type: ignore[union-attr]
    return session.id_hash[:16]


def _too_often(core: Core, visitor: Visitor) -> TestResponse:
    for _ in range(20):
        with core.db.writing() as conn:
            conn.execute("INSERT INTO throttle VALUES ('sign-in:user:eve', 0, ?) ON CONFLICT DO NOTHING", (clock.source(),))
        answer = visitor.post("/sign-in", {"username": "eve", "password": "x"}, page="/sign-in")
    return answer


def test_a_stream_carries_them_from_its_first_byte(new_visitor: NewVisitor, make_server: MakeServer) -> None:
    server, visitor = make_server(status="running"), new_visitor().sign_in("viewer")
    answer = visitor.client.get(f"/servers/{server.id}/logs/stream", base_url=f"http://{HOST}")
    try:
        assert answer.status_code == 200 and answer.mimetype == "text/event-stream" and answer.is_streamed
        held(answer)
    finally:
        answer.close()
    assert new_visitor().get(f"/servers/{server.id}/logs/stream").status_code == 303


def test_static_files_are_kept_and_carry_the_rest(new_visitor: NewVisitor) -> None:
    stranger = new_visitor()
    page = stranger.get("/sign-in").text
    for path in re.findall(r'(?:src|href)="(/static/[^"#]+)', page):
        answer = stranger.get(path)
        assert answer.status_code == 200
        held(answer, cache="public, max-age=31536000, immutable")


def test_behind_tls_every_answer_insists_on_it_and_the_cookies_are_bound(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    core.settings = replace(core.settings, public_url="https://mcp.example")
    client = create_app(core).test_client()
    user = accounts.add_user(core, Actor.cli("x"), name="ada", role="viewer", password="seven tall lighthouses")
    page = client.get("/sign-in", base_url="https://mcp.example")
    held(page, tls=True)
    token = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page.text)
    answer = client.post(
        "/sign-in", data={"username": user.name, "password": "seven tall lighthouses", "csrf_token": token[1]},  # type: ignore[index]
        base_url="https://mcp.example", headers={"Origin": "https://mcp.example", "Sec-Fetch-Site": "same-origin"},
    )
    held(answer, tls=True)
    (cookie,) = (c for c in answer.headers.get_all("Set-Cookie") if "mcpweb-csrf" not in c)
    assert cookie.startswith("__Host-mcpweb=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; ")) and "Domain" not in cookie


def test_a_session_planted_before_signing_in_is_not_the_one_that_is_opened(core: Core, new_visitor: NewVisitor) -> None:
    """Fixation: whatever cookie a browser had been given, signing in and confirming bring new ones, and the old are nobody's."""
    accounts.add_user(core, Actor.cli("x"), name="ada", role="viewer", password="seven tall lighthouses")
    for planted in ("planted-by-somebody-else", "x" * 43):
        visitor = new_visitor()
        visitor.client.set_cookie("mcpweb", planted, domain="127.0.0.1")
        answer = visitor.post("/sign-in", {"username": "ada", "password": "seven tall lighthouses"}, page="/sign-in")
        now = visitor.client.get_cookie("mcpweb", domain="127.0.0.1")
        assert answer.status_code == 303 and now is not None and now.value != planted and len(now.value) == 43
        thief = new_visitor()
        thief.client.set_cookie("mcpweb", planted, domain="127.0.0.1")
        assert thief.get("/servers").status_code == 303


def test_whoever_is_signed_in_is_not_signed_in_as_somebody_else_from_outside(new_visitor: NewVisitor, core: Core) -> None:
    """Login CSRF: the form's token belongs to the browser, and the request must come from our own page."""
    accounts.add_user(core, Actor.cli("x"), name="eve", role="viewer", password="seven tall lighthouses")
    form = {"username": "eve", "password": "seven tall lighthouses"}
    victim, eve = new_visitor().sign_in(), new_visitor()
    before = victim.client.get_cookie("mcpweb", domain="127.0.0.1")
    stolen = eve.token("/sign-in")
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        answer = victim.client.post("/sign-in", data={**form, "csrf_token": stolen}, base_url=f"http://{HOST}", headers=headers)
        assert answer.status_code == 403
    assert victim.client.get_cookie("mcpweb", domain="127.0.0.1") == before


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "javascript:alert(1)", "https:evil.example", "/%0d%0aLocation:%20//evil.example"])
def test_no_form_that_takes_a_next_page_leads_anywhere_else(visitor: Visitor, next_page: str) -> None:
    for answer in (
        visitor.client.get("/sign-in", query_string={"next": next_page}, base_url=f"http://{HOST}"),
        visitor.post("/preferences", {"theme": "dark", "next": next_page}),
    ):
        target = answer.headers["Location"]
        assert target.startswith("/") and not target.startswith(("//", "/\\")) and "\n" not in target and "\t" not in target
