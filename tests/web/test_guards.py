"""What a request may be before anything else of it is looked at."""
from __future__ import annotations

import itertools
import re
import subprocess
import sys

import pytest
from flask import Flask

from mcpweb.dao import audit
from mcpweb.testing.fixtures import HOST, MakeServer, NewVisitor, Visitor


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "localhost:9999", "[::1]:8080", "LOCALHOST"])
def test_own_names_are_answered(app: Flask, host: str) -> None:
    assert app.test_client().get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "10.0.0.7", ""])
def test_other_names_are_not_answered(app: Flask, host: str) -> None:
    assert app.test_client().get("/healthz", headers={"Host": host}).status_code == 400


SITES = (None, "same-origin", "same-site", "cross-site", "none")
ORIGINS = (None, f"http://{HOST}", "http://evil.example", "null")
TOKENS = ("right", "wrong")


@pytest.mark.parametrize(("site", "origin", "token"), list(itertools.product(SITES, ORIGINS, TOKENS)))
def test_only_our_own_pages_may_change_anything(
    visitor: Visitor, make_server: MakeServer, site: str | None, origin: str | None, token: str
) -> None:
    server = make_server()
    headers = {name: value for name, value in (("Sec-Fetch-Site", site), ("Origin", origin)) if value is not None}
    given = visitor.token() if token == "right" else "0" * 128
    answer = visitor.post(f"/servers/{server.id}/start", {"csrf_token": given}, **headers)
    allowed = site in (None, "same-origin") and origin in (None, f"http://{HOST}") and token == "right"
    assert answer.status_code == (303 if allowed else 403)


def test_the_token_of_one_session_is_nothing_to_another(
    new_visitor: NewVisitor, make_server: MakeServer
) -> None:
    server, ada, eve = make_server(), new_visitor().sign_in(), new_visitor().sign_in()
    assert eve.post(f"/servers/{server.id}/start", {"csrf_token": ada.token()}).status_code == 403
    assert eve.post(f"/servers/{server.id}/start", {"csrf_token": ""}).status_code == 403


def test_the_token_looks_different_each_time_and_stays_good(visitor: Visitor, make_server: MakeServer) -> None:
    first, second = visitor.token(), visitor.token()
    assert first != second
    server = make_server()
    assert visitor.post(f"/servers/{server.id}/start", {"csrf_token": first}).status_code == 303


def test_nobody_can_be_signed_in_from_another_site(new_visitor: NewVisitor) -> None:
    fields = {"username": "eve", "password": "seven tall lighthouses"}
    assert new_visitor().client.post("/sign-in", data=fields, base_url=f"http://{HOST}").status_code == 403
    mine, theirs = new_visitor(), new_visitor()
    stolen = theirs.token("/sign-in")
    mine.get("/sign-in")
    assert mine.client.post("/sign-in", data={**fields, "csrf_token": stolen}, base_url=f"http://{HOST}").status_code == 403


def test_a_body_needs_a_length_and_a_bound(visitor: Visitor) -> None:
    post = visitor.client.post
    assert post("/servers", headers={"Transfer-Encoding": "chunked"}, base_url=f"http://{HOST}").status_code == 411
    big = "a" * (2 << 20)
    assert visitor.post("/servers", {"name": big}).status_code == 413
    assert visitor.post("/servers", {"name": "fits", "image": "tiny:1", "description": "a" * 100_000}).status_code == 303


def test_every_answer_carries_the_exact_policy(visitor: Visitor) -> None:
    for path in ("/", "/nowhere", "/healthz", "/static/app.css", "/api/v1/servers"):
        headers = visitor.get(path).headers
        policy = re.sub(r"'nonce-[^']+'", "'nonce-N'", headers["Content-Security-Policy"])
        assert sorted(policy.split("; ")) == sorted((
            "default-src 'none'; script-src 'nonce-N'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; "
            "trusted-types htmx"
        ).split("; "))
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin" and headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_scripts_and_elements_carry_the_nonce_of_their_own_answer(visitor: Visitor) -> None:
    first, second = visitor.get("/servers"), visitor.get("/servers")
    nonces = []
    for answer in (first, second):
        nonce = re.search(r"'nonce-([^']+)'", answer.headers["Content-Security-Policy"])
        assert nonce
        assert set(re.findall(r'nonce="([^"]+)"', answer.text)) == {nonce[1]}
        nonces.append(nonce[1])
    assert nonces[0] != nonces[1]


def test_the_web_process_never_loads_the_engine_or_the_protocol(tmp_path) -> None:  # type: ignore[no-untyped-def]
    program = (
        "import sys, mcpweb.app; app = mcpweb.app.create_app(); client = app.test_client();"
        "client.get('/sign-in', headers={'Host': 'localhost'});"
        "print([m for m in ('mcp', 'docker', 'requests', 'mcp_types') if m in sys.modules])"
    )
    import os

    environment = {**os.environ, "MCPWEB_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_audit_log_says_from_where(visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server()
    visitor.post(f"/servers/{server.id}/start")
    with visitor.core.db.reading() as conn:
        by_request = audit.listing(conn, audit.Wanted(action="server.start"), limit=1)[0]
        by_fixture = audit.listing(conn, audit.Wanted(action="server.add"), limit=1)[0]
    assert by_request.ip == "127.0.0.1" and by_request.request_id.startswith("req_")
    assert (by_fixture.ip, by_fixture.request_id) == ("", "")


def test_a_refusal_names_the_role_it_needs_and_ones_own(new_visitor: NewVisitor, make_server: MakeServer) -> None:
    server = make_server("demo")
    for role, path, needed in (("viewer", "/servers/new", "operator"), ("operator", "/audit", "admin")):
        answer = new_visitor().sign_in(role).get(path)
        assert answer.status_code == 403
        assert f'<span class="badge info">{needed}</span>' in answer.text and f'<span class="badge">{role}</span>' in answer.text
    missing = new_visitor().sign_in("viewer").get(f"/servers/{server.id}x")
    assert missing.status_code == 404 and "Role it needs" not in missing.text
