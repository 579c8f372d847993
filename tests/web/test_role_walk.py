"""Every route × every role × session, token and nobody: each cell is what the route's permission says, and nothing else."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from mcpweb.contracts import ROLES, Actor, Role, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.services import accounts, people, secrets
from mcpweb.services import configurations as configuration_service
from mcpweb.services.access import PERMISSIONS
from mcpweb.testing.fixtures import HOST, MakeServer, NewVisitor, Visitor
from mcpweb.web.permissions import PUBLIC, permission_of

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
# what somebody who only looks may change: their own account, and how pages look to them
FOR_EVERYBODY = {
    "/sign-out", "/step-up", "/account/password", "/account/sessions/end", "/account/sessions/<session_id>/end",
    "/account/tokens", "/account/tokens/<token_id>/revoke", "/api/v1/sessions", "/api/v1/sessions/<session_id>",
    "/api/v1/tokens", "/api/v1/tokens/<token_id>",
}
FOR_NOBODY_YET = {"/setup/<token>", "/sign-in", "/preferences"}
# what a token has no business with: the browser's own forms, and what wants the password of a person
FOR_SESSIONS = dict.fromkeys((*FOR_NOBODY_YET, "/step-up", "/account/password"), "forbidden")
NOWHERE = {"at": "0",   # arguments that name nothing
    "kind": "tool", "tool": "nothing", "name": "nothing", "token": "x" * 43, "session_id": "0" * 16, "filename": "app.css",
}


@dataclass(frozen=True)
class Cell:
    rule: Rule
    method: str
    tag: str

    @property
    def is_api(self) -> bool:
        return self.rule.rule.startswith("/api/") or self.rule.rule == "/metrics"  # both for programs

    def path(self, given: dict[str, str]) -> str:
        found = self.rule.rule
        for name in self.rule.arguments:
            converter = next(part for part in found.split("<")[1:] if part.split(">")[0].split(":")[-1] == name).split(">")[0]
            found = found.replace(f"<{converter}>", given.get(name, "0" if converter.startswith("int:") else NOWHERE.get(name, "nothing")))
        return found


def cells(app: Flask) -> Iterator[Cell]:
    """Yield every route with each of its methods; a route without a tag ends the walk."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        tag = permission_of(app.view_functions[rule.endpoint])
        assert tag is not None, f"{rule.rule} names no permission"
        assert tag == PUBLIC or tag in PERMISSIONS, f"{rule.rule} names {tag}, which is no permission"
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Cell(rule, method, tag)


def expected(cell: Cell, role: Role | None) -> str:
    """Return what the permission says: open, forbidden, or sign in first."""
    if cell.tag == PUBLIC:
        return "open"
    if role is None:
        return "sign in"
    return "open" if ROLES.index(role) >= ROLES.index(PERMISSIONS[cell.tag]) else "forbidden"


def seen(cell: Cell, answer: TestResponse) -> str:
    """Return what an answer amounts to; one that fits nothing is returned as it is."""
    signing_in = answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in?next=")
    if cell.is_api and answer.status_code == 401:
        return "sign in" if answer.headers["WWW-Authenticate"] == "Bearer" and answer.json["code"] == "unauthenticated" else "a bare 401"
    if not cell.is_api and signing_in:
        return "sign in"
    if answer.status_code == 403:
        code = answer.json["code"] if cell.is_api else ""
        return "forbidden" if code in ("", "forbidden") else code
    if answer.status_code >= 500 and answer.status_code != 503:
        return str(answer.status_code)
    return "open" if answer.status_code != 401 and not signing_in else f"{answer.status_code} {answer.headers.get('Location')}"


def send(who: Visitor, cell: Cell, path: str, **headers: str) -> TestResponse:
    answer = who.client.open(path, method=cell.method, base_url=f"http://{HOST}", headers=headers)
    answer.close()
    return answer


@pytest.fixture
def things(core: Core, actor: Actor, make_server: MakeServer, new_visitor: NewVisitor) -> dict[str, str]:
    """Names of real things for the routes' arguments."""
    server = make_server("real", tools=[{"name": "echo", "inputSchema": {"type": "object"}}])
    somebody = new_visitor().sign_in("viewer")
    assert somebody.user is not None
    token = accounts.token_of(core, accounts.create_token(core, actor, user=somebody.user.id, name="t", role=None, days=1))
    (session,) = people.sessions(core, actor, somebody.user.id)
    secret = secrets.add(core, actor, name="REAL", value=Sensitive("a value of some length"))
    configuration = configuration_service.listing(core, actor, server_id=server.id).rows[0]
    return {
        "server_id": server.name, "user_id": somebody.user.id, "token_id": token.id, "session_id": session.id_hash[:16],
        "secret_id": secret.id, "configuration_id": configuration.id, "name": "main", "tool": "echo",
    }


def enter(core: Core, visitor: Visitor, role: Role, means: str) -> dict[str, str]:
    """Let a new user of this role in; return the headers that prove it."""
    visitor.sign_in(role)
    if means == "session":
        return {"X-CSRF-Token": visitor.token(), "Sec-Fetch-Site": "same-origin", "Origin": f"http://{HOST}"}
    assert visitor.user is not None
    text = accounts.create_token(core, Actor.cli("x"), user=visitor.user.id, name="walk", role=None, days=1)
    visitor.client.delete_cookie("mcpweb", domain="127.0.0.1")
    return {"Authorization": f"Bearer {text}"}


def test_no_route_lets_anybody_change_more_than_their_own_account(app: Flask) -> None:
    everybody = {c.rule.rule for c in cells(app) if c.method in UNSAFE and PERMISSIONS.get(c.tag) == "viewer"}
    nobody = {c.rule.rule for c in cells(app) if c.method in UNSAFE and c.tag == PUBLIC and not c.rule.rule.startswith("/p/")}
    assert (everybody, nobody) == (FOR_EVERYBODY, FOR_NOBODY_YET)


def test_nobody_gets_past_the_door(app: Flask, new_visitor: NewVisitor, things: dict[str, str]) -> None:
    wrong, stranger = {}, new_visitor()
    for cell in cells(app):
        found = seen(cell, send(stranger, cell, cell.path(things)))
        if cell.tag == PUBLIC and cell.method in UNSAFE:
            found = {"forbidden": "open"}.get(found, found)  # the form's own token is missing here; the next tests bring it
        if found != expected(cell, None):
            wrong[f"{cell.method} {cell.rule.rule}"] = found
    assert wrong == {}


@pytest.mark.parametrize("means", ["session", "token"])
@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_the_table_says(
    app: Flask, core: Core, new_visitor: NewVisitor, things: dict[str, str], role: Role, means: str
) -> None:
    wrong, who = {}, new_visitor()
    proof = enter(core, who, role, means)
    for cell in cells(app):
        # what is refused is tried on real things; what is allowed only reads those, and changes what is not there
        real = expected(cell, role) == "forbidden" or cell.method == "GET"
        found = seen(cell, send(who, cell, cell.path(things if real else {}), **proof))
        wanted = expected(cell, role)
        if means == "token" and wanted == "open" and cell.method in UNSAFE:
            wanted = FOR_SESSIONS.get(cell.rule.rule, wanted)
        if (cell.rule.rule, cell.method) == ("/sign-in", "POST") and means == "session":
            found = {"401 None": "open"}.get(found, found)  # no name and no password were sent
        if found != wanted:
            wrong[f"{cell.method} {cell.rule.rule}"] = (cell.tag, found, wanted)
        if cell.rule.rule in ("/sign-out", "/sign-in") and cell.method == "POST":
            who = new_visitor()
            proof = enter(core, who, role, means)
    assert wrong == {}


def test_what_a_role_may_not_is_in_the_audit_log_and_not_done(core: Core, new_visitor: NewVisitor, things: dict[str, str]) -> None:
    who = new_visitor().sign_in("viewer")
    for path in ("/servers/real/remove", f"/secrets/{things['secret_id']}/purge", "/keys/main/rotate"):
        assert who.post(path, {"confirm": "REAL"}).status_code == 403
    with core.db.reading() as conn:
        denied = audit.listing(conn, audit.Wanted(action="access.denied"))
        assert len(denied) == 3 and {row.actor for row in denied} == {f"user:{who.user.id}"}  # type: ignore[union-attr]
        assert conn.execute("SELECT count(*) FROM servers WHERE removed_at IS NULL").fetchone()[0] == 1
        assert conn.execute("SELECT count(*) FROM secrets").fetchone()[0] == 1


def test_no_route_changes_anything_for_a_page_of_another_site(app: Flask, visitor: Visitor, things: dict[str, str]) -> None:
    """The whole map once with each of the ways to be wrong; the table of all forty ways stands in test_guards."""
    good = {"X-CSRF-Token": visitor.token(), "Sec-Fetch-Site": "same-origin", "Origin": f"http://{HOST}"}
    ways = ({"X-CSRF-Token": ""}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"},
            {"Origin": "http://localhost.evil.example"})
    passed = [
        f"{cell.method} {cell.rule.rule} {way}"
        for cell in cells(app) if cell.method in UNSAFE
        for way in ways
        if send(visitor, cell, cell.path(things), **{**good, **way}).status_code != 403
    ]
    assert not passed


def test_a_page_of_another_site_cannot_use_the_browsers_cookie_beside_a_token(core: Core, visitor: Visitor, things: dict[str, str]) -> None:
    """A request with a bearer token is the token's alone: the cookie beside it adds nothing."""
    weak = accounts.create_token(core, Actor.cli("x"), user=visitor.user.id, name="weak", role="viewer", days=1)  # type: ignore[union-attr]
    answer = visitor.client.post(
        "/api/v1/servers/real/stop", base_url=f"http://{HOST}", headers={"Authorization": f"Bearer {weak}"}
    )
    assert answer.status_code == 403
    answer = visitor.client.post(
        "/api/v1/servers/real/stop", base_url=f"http://{HOST}", headers={"Authorization": "Bearer nothing"}
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "[::1].evil.example", "8080"])
def test_under_another_name_no_route_answers_even_who_is_signed_in(app: Flask, visitor: Visitor, host: str) -> None:
    """A name that was made to point here (DNS rebinding) gets nothing, whatever it asks for."""
    answers = {
        cell.rule.rule: visitor.client.open(cell.path({}), method=cell.method, headers={"Host": host}).status_code
        for cell in cells(app)
    }
    answers["static"] = visitor.client.get("/static/app.css", headers={"Host": host}).status_code
    assert set(answers.values()) == {400}, {rule: status for rule, status in answers.items() if status != 400}
