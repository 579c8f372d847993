"""Who somebody is and what they may are hooks: a plugin's word counts, and its fault opens nothing. How guessing is held."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest
from cryptography.exceptions import InvalidKey
from flask import Flask

from mcpweb import clock, passwords
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import plugin_events
from mcpweb.errors import TooManyRequests, Unauthenticated
from mcpweb.plugin import hookimpl
from mcpweb.services import access, accounts
from mcpweb.testing.fixtures import HOST, MakeServer, NewVisitor, Visitor

PASSWORD = "seven tall lighthouses"
Install = Callable[..., None]


@pytest.fixture
def install(core: Core) -> Install:
    """Register a plugin made of these hooks."""

    def put(**hooks: Callable[..., Any]) -> None:
        module = ModuleType("team_access")
        module.__doc__, module.__file__ = "A team's own rules.", __file__
        module.mcpweb_api = 1  # type: ignore[attr-defined]
        for name, function in hooks.items():
            setattr(module, name, hookimpl(function))
        core.plugins.register(module, "team_access")

    return put


def by_header(request: Any, core: Core) -> Actor | None:
    """A proxy that says who it let through, as a team might trust it."""
    name = request.headers.get("X-Team-User")
    if name == "forged":
        raise Unauthenticated("This is not from our proxy.")
    return Actor(name=f"team:{name}", role="operator", label=name, via="token") if name else None


def test_a_plugin_says_who_asks_before_our_own_accounts_do(install: Install, new_visitor: NewVisitor, visitor: Visitor, make_server: MakeServer) -> None:
    make_server("one")
    stranger = new_visitor()
    assert stranger.get("/servers", **{"X-Team-User": "ada"}).status_code == 303, "not before it is installed"
    install(mcpweb_authenticate=by_header)
    page = stranger.get("/servers", **{"X-Team-User": "ada"})
    assert page.status_code == 200 and "ada" in page.text
    assert stranger.get("/api/v1/servers", **{"X-Team-User": "ada"}).status_code == 200
    assert stranger.get("/audit", **{"X-Team-User": "ada"}).status_code == 403, "with the role it gave and no more"
    assert stranger.get("/servers").status_code == 303 and visitor.get("/audit").status_code == 200, "not mine goes on to accounts"
    for who in (stranger, visitor):
        assert who.get("/api/v1/servers", **{"X-Team-User": "forged"}).status_code == 401, "mine and bad is the last word"


def test_a_sign_in_hook_that_fails_lets_nobody_in_and_locks_nobody_out(
    install: Install, core: Core, new_visitor: NewVisitor, visitor: Visitor
) -> None:
    def broken(request: Any) -> Actor | None:
        raise ZeroDivisionError

    install(mcpweb_authenticate=broken)
    assert new_visitor().get("/servers").status_code == 303 and visitor.get("/servers").status_code == 200
    with core.db.reading() as conn:
        assert any("ZeroDivisionError" in event.error for event in plugin_events.recent(conn))


def no_stopping(actor: Actor, action: str, resource: Mapping[str, Any]) -> bool | None:
    return False if action == "server.operate" else None


def test_a_denial_of_a_plugin_wins_over_every_role(install: Install, core: Core, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("one")
    assert access.may(core, Actor(name="user:x", role="admin", via="session"), "server.operate")
    offered = re.compile(r'action="/servers/[^"/]+/start"')
    assert offered.search(visitor.get("/servers/one").text)
    install(mcpweb_authorize=no_stopping)
    assert visitor.post(f"/servers/{server.id}/stop").status_code == 403 and visitor.get("/servers/one").status_code == 200
    assert not offered.search(visitor.get("/servers/one").text), "what one may not is not offered"


def test_a_plugin_may_allow_what_the_role_does_not(install: Install, new_visitor: NewVisitor) -> None:
    viewer = new_visitor().sign_in("viewer")
    assert viewer.get("/audit").status_code == 403
    install(mcpweb_authorize=lambda actor, action: True if action == "audit.view" and actor.role == "viewer" else None)
    assert viewer.get("/audit").status_code == 200 and viewer.get("/users").status_code == 403


@pytest.mark.parametrize("fault", [ValueError("x"), Unauthenticated("x"), KeyError("x")], ids=lambda fault: type(fault).__name__)
def test_an_authorising_hook_that_fails_denies_everything(install: Install, visitor: Visitor, core: Core, fault: Exception) -> None:
    def broken(actor: Actor, action: str) -> bool | None:
        raise fault

    install(mcpweb_authorize=broken)
    for path in ("/servers", "/account", "/users", "/api/v1/servers"):
        assert visitor.get(path).status_code == 403, path
    assert visitor.get("/sign-in").status_code == 303
    assert access.may(core, Actor.cli("root"), "user.manage"), "who holds the data folder is not locked out of it"


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password hash that is computed."""
    done: list[str] = []

    class Counted:
        @classmethod
        def verify_phc_encoded(cls, key_material: bytes, phc: str, *given: Any, **named: Any) -> None:
            done.append(phc)
            raise InvalidKey

    monkeypatch.setattr("cryptography.hazmat.primitives.kdf.argon2.Argon2id", Counted)
    return done


def test_an_unknown_name_a_disabled_user_and_a_wrong_password_cost_the_same_one_hash(
    core: Core, actor: Actor, new_visitor: NewVisitor, hashes: list[str], dear_passwords: None
) -> None:
    known, gone = new_visitor().sign_in(name="ada"), new_visitor().sign_in(name="gone")
    with core.db.writing() as conn:
        conn.execute("UPDATE users SET disabled_at = '2026-01-01 00:00:00.000' WHERE name = 'gone'")
        conn.execute("UPDATE users SET password_hash = '' WHERE name = 'ada'")
    costs = []
    for name in ("ada", "gone", "nobody", "no name\n", "x" * 500):
        with pytest.raises(Unauthenticated):
            accounts.sign_in(core, name, PASSWORD, "192.0.2.1", "")
        costs.append([phc.split("$")[3] for phc in hashes])
        hashes.clear()
    assert costs == [["m=65536,t=3,p=4"]] * 5 and known.user != gone.user


def test_a_password_is_kept_as_dearly_as_nobodys(dear_passwords: None) -> None:
    assert passwords.hashed(PASSWORD).split("$")[:4] == passwords.NOBODYS.split("$")[:4] == ["", "argon2id", "v=19", "m=65536,t=3,p=4"]


def test_who_guesses_too_often_costs_no_hash_any_more_by_name_and_by_address(
    core: Core, new_visitor: NewVisitor, hashes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new_visitor().sign_in(name="ada")
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now)

    def guess(name: str, ip: str) -> bool:
        try:
            accounts.sign_in(core, name, PASSWORD, ip, "")
        except TooManyRequests:
            return False
        except Unauthenticated:
            pass
        return True

    by_name = [guess("ada" if number % 2 else "ADA", f"192.0.2.{number}") for number in range(12)]
    assert by_name == [True] * 8 + [False] * 4 and len(hashes) == 8, "one name from everywhere, however it is written"
    hashes.clear()
    by_address = [guess(f"somebody-{number}", "198.51.100.7") for number in range(25)]
    assert by_address == [True] * 20 + [False] * 5 and len(hashes) == 20, "every name from one place"
    monkeypatch.setattr(clock, "source", lambda: now + 10)
    assert guess("ada", "192.0.2.99"), "nobody is locked out for good"


def test_no_address_a_client_makes_up_is_counted_as_another(app: Flask, core: Core, hashes: list[str], new_visitor: NewVisitor, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now)
    visitor = new_visitor()
    token = visitor.token("/sign-in")
    statuses = [
        visitor.client.post(
            "/sign-in", data={"username": f"n{number}", "password": "x", "csrf_token": token}, base_url=f"http://{HOST}",
            headers={"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"},
        ).status_code
        for number in range(22)
    ]
    assert statuses == [401] * 20 + [429] * 2
