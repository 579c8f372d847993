"""``/users``, ``/sessions`` and ``/tokens`` to the letter, and the same from the command line."""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from werkzeug.test import TestResponse

from mcpweb.cli import cli
from mcpweb.contracts import Actor, Role
from mcpweb.core import Core
from mcpweb.errors import Conflict, Failure, InvalidInput, NotFound
from mcpweb.services import accounts, people
from mcpweb.testing.fixtures import HOST, NewVisitor, Visitor

PASSWORD = "seven tall lighthouses"
Call = Callable[..., TestResponse]


def call_as(visitor: Visitor, role: Role) -> Call:
    """Return a caller of the API with a token of a new user of this role."""
    visitor.sign_in(role)
    assert visitor.user is not None
    text = accounts.create_token(visitor.core, Actor.cli("x"), user=visitor.user.id, name=f"{role}'s", role=None, days=1)
    client = visitor.app.test_client()

    def call(method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        return client.open(
            f"/api/v1/{path}", method=method, json=body, base_url=f"http://{HOST}",
            headers={"Authorization": f"Bearer {text}", **{name.replace("_", "-"): value for name, value in headers.items()}},
        )

    return call


@pytest.fixture
def api(new_visitor: NewVisitor) -> Call:
    return call_as(new_visitor(), "admin")


def test_a_user_is_made_read_changed_and_disabled(api: Call, core: Core) -> None:
    made = api("POST", "users", {"name": "grace", "role": "viewer", "password": PASSWORD})
    assert made.status_code == 201 and made.headers["Location"] == f"/api/v1/users/{made.json['id']}"
    assert set(made.json) == {"id", "name", "role", "created_at", "updated_at", "disabled_at", "created_by", "signed_in_at"}
    shown = api("GET", "users/grace")
    assert shown.json == made.json and shown.headers["ETag"] == made.headers["ETag"]
    assert api("PATCH", "users/grace", {"role": "operator"}).status_code == 428
    assert api("PATCH", "users/grace", {"role": "operator"}, If_Match='"77"').status_code == 412
    changed = api("PATCH", "users/grace", {"role": "operator", "password": "nine small harbours"}, If_Match=shown.headers["ETag"])
    assert changed.status_code == 200 and changed.json["role"] == "operator" and changed.headers["ETag"] != shown.headers["ETag"]
    assert accounts.sign_in(core, "grace", "nine small harbours", "", "")[1].role == "operator"
    disabled = api("PATCH", "users/grace", {"disabled": True}, If_Match=changed.headers["ETag"])
    assert disabled.json["disabled_at"] and people.sessions(core, Actor.cli("x"), "grace") == []
    enabled = api("PATCH", "users/grace", {"disabled": False}, If_Match=disabled.headers["ETag"])
    assert enabled.json["disabled_at"] is None
    assert api("DELETE", "users/grace").json["disabled_at"]


@pytest.mark.parametrize(("body", "status"), [
    ({"role": "king"}, 422), ({"password": "short"}, 422), ({"name": "other"}, 422), ({"disabled": "perhaps"}, 422), ({"id": "usr_1"}, 422),
])
def test_a_change_that_is_none_is_refused_and_nothing_given_is_repeated(api: Call, body: dict[str, Any], status: int) -> None:
    made = api("POST", "users", {"name": "grace", "role": "viewer", "password": PASSWORD})
    answer = api("PATCH", "users/grace", body, If_Match=made.headers["ETag"])
    assert answer.status_code == status and answer.mimetype == "application/problem+json"
    assert not any(str(value) in answer.text for name, value in body.items() if name == "password")
    assert api("GET", "users/grace").headers["ETag"] == made.headers["ETag"]


def test_the_last_admin_and_a_taken_name_are_conflicts(api: Call) -> None:
    (me,) = (user for user in api("GET", "users").json["items"] if user["role"] == "admin")
    etag = api("GET", f"users/{me['id']}").headers["ETag"]
    assert api("DELETE", f"users/{me['id']}").status_code == 409
    assert api("PATCH", f"users/{me['id']}", {"role": "viewer"}, If_Match=etag).status_code == 409
    assert api("POST", "users", {"name": me["name"], "role": "viewer", "password": PASSWORD}).status_code == 409
    assert api("GET", "users/nobody").status_code == 404


def walk(api: Call, path: str, limit: int) -> list[str]:
    """Return the ids of a list, page by page."""
    found, cursor = [], ""
    while True:
        page = api("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}{f'&cursor={cursor}' if cursor else ''}").json
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return found
        cursor = page["next"]


def test_lists_come_in_pages_that_hold_everything_once(api: Call, core: Core, new_visitor: NewVisitor) -> None:
    ada = new_visitor().sign_in("viewer", name="ada")
    for _ in range(6):
        accounts.create_token(core, Actor.cli("x"), user="ada", name="t", role=None, days=1)
        new_visitor().sign_in("viewer")
        with core.db.writing() as conn:
            accounts.new_session(conn, ada.user, ip="", user_agent="", fresh=True)  # type: ignore[arg-type]
    for path, count in (("users", 8), ("tokens", 7), ("tokens?user=ada", 6), ("sessions?user=ada", 7)):
        found = walk(api, path, 3)
        assert len(found) == len(set(found)) == count, path
    for bad in ("users?limit=0", "users?name=x", "tokens?cursor=x", "sessions?limit=201"):
        assert api("GET", bad).status_code == 422, bad


def test_everybody_has_their_own_sessions_and_tokens_and_an_admin_all(api: Call, core: Core, new_visitor: NewVisitor) -> None:
    browser, other = new_visitor(), new_visitor().sign_in("viewer")
    viewer = call_as(browser, "viewer")
    assert browser.user is not None and other.user is not None
    (session,) = viewer("GET", "sessions").json["items"]
    assert set(session) == {"id", "user_id", "created_at", "seen_at", "expires_at", "ip", "user_agent", "current"}
    assert session["current"] is False and browser.get("/api/v1/sessions").json["items"][0]["current"] is True
    (foreign,) = api("GET", f"sessions?user={other.user.id}").json["items"]
    assert viewer("GET", f"sessions?user={other.user.id}").status_code == 403
    assert viewer("DELETE", f"sessions/{foreign['id']}").status_code == 404
    assert api("DELETE", f"sessions/{foreign['id']}").status_code == 204 and other.get("/").status_code == 303
    assert viewer("DELETE", f"sessions/{session['id']}").status_code == 204 and browser.get("/").status_code == 303
    made = viewer("POST", "tokens", {"name": "ci"})
    assert made.status_code == 201 and made.json["token"].startswith("mcpweb_pat_") and made.json["role"] == "viewer"
    assert made.headers["Location"] == f"/api/v1/tokens/{made.json['id']}"
    listed = viewer("GET", "tokens").json["items"]
    assert {one["user_id"] for one in listed} == {browser.user.id} and "token" not in listed[0]
    assert viewer("GET", f"tokens?user={other.user.id}").status_code == 403
    assert viewer("POST", "tokens", {"name": "x", "user": other.user.id}).status_code == 403
    assert viewer("POST", "tokens", {"name": "x", "role": "admin"}).status_code == 422
    assert viewer("POST", "tokens", {"name": "", "expires": 1}).status_code == 422
    assert len(api("GET", "tokens").json["items"]) == 3
    mine = next(one for one in api("GET", "tokens").json["items"] if one["name"] == "admin's")
    assert viewer("DELETE", f"tokens/{mine['id']}").status_code == 404
    assert viewer("DELETE", f"tokens/{made.json['id']}").json["revoked_at"]


def test_over_the_api_a_session_must_be_fresh_and_a_token_need_not(api: Call, new_visitor: NewVisitor, core: Core) -> None:
    browser = new_visitor().sign_in()
    with core.db.writing() as conn:
        conn.execute("UPDATE sessions SET stepped_up_at = NULL")
    headers = {"X-CSRF-Token": browser.token(), "Origin": f"http://{HOST}"}
    for path, body in (("users", {"name": "x", "role": "admin", "password": PASSWORD}), ("tokens", {"name": "x"})):
        answer = browser.client.post(f"/api/v1/{path}", json=body, base_url=f"http://{HOST}", headers=headers)
        assert answer.status_code == 403 and answer.json["code"] == "step_up", path
    assert api("POST", "users", {"name": "x", "role": "viewer", "password": PASSWORD}).status_code == 201


def test_the_command_line_does_the_same(core: Core, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCPWEB_DATA_DIR", str(core.settings.data_dir))

    def run(*words: str, fails: type[Failure] | None = None, given: str = "") -> Any:
        done = CliRunner().invoke(cli, list(words), input=given)
        assert (type(done.exception) if done.exit_code else None) == fails, (words, done.output, done.exception)
        return json.loads(done.stdout) if "--json" in words else done.output

    assert run("users", "add", "ada", "--role", "admin", "--password-stdin", "--json", given=PASSWORD + "\n")["role"] == "admin"
    run("users", "disable", "ada", fails=Conflict)
    run("users", "role", "ada", "viewer", fails=Conflict)
    run("users", "add", "grace", "--role", "viewer", "--password-stdin", given=PASSWORD)
    assert run("users", "role", "grace", "operator", "--json")["role"] == "operator"
    secret, _ = accounts.sign_in(core, "grace", PASSWORD, "192.0.2.1", "curl/8")
    (session,) = run("users", "sessions", "grace", "--json")["items"]
    assert session["ip"] == "192.0.2.1"
    run("users", "sessions", "grace", "--end")
    assert accounts.actor_for_session(core, secret) is None
    assert run("users", "disable", "grace", "--json")["disabled_at"] and run("users", "enable", "grace", "--json")["disabled_at"] is None
    text = run("tokens", "create", "--user", "grace", "--name", "ci", "--role", "viewer", "--expires", "7").strip()
    assert accounts.actor_for_token(core, text).role == "viewer"
    run("tokens", "create", "--user", "grace", "--name", "ci", "--role", "admin", fails=InvalidInput)
    made = run("tokens", "create", "--user", "grace", "--name", "second", "--json")
    assert made["token"].startswith("mcpweb_pat_") and {one["name"] for one in run("tokens", "list", "--json")["items"]} == {"ci", "second"}
    assert run("tokens", "revoke", made["id"], "--json")["revoked_at"]
    run("users", "enable", "nobody", fails=NotFound)
