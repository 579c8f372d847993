"""The password once more: for five minutes, for sessions only, with a new session id."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask

from mcpweb import clock
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.errors import StepUpNeeded
from mcpweb.services import accounts, keydestroy, keys, secrets, stepup
from mcpweb.testing.fixtures import NewVisitor, Visitor
from mcpweb.web.identity import actor as who_asks
from mcpweb.web.identity import core as the_core
from mcpweb.web.permissions import permission

PASSWORD = "seven tall lighthouses"


@pytest.fixture
def ada(app: Flask, core: Core, actor: Actor, new_visitor: NewVisitor) -> Visitor:
    """A person who signed in with a password, on an installation with one guarded page."""

    @app.route("/guarded", methods=["GET", "POST"])
    @permission("server.view")
    def guarded() -> str:
        stepup.require(the_core(), who_asks())
        return "opened"

    @app.get("/api/v1/guarded")
    @permission("server.view")
    def guarded_api() -> str:
        stepup.require(the_core(), who_asks())
        return "opened"

    accounts.add_user(core, actor, name="ada", role="viewer", password=PASSWORD)
    visitor = new_visitor()
    visitor.post("/sign-in", {"username": "ada", "password": PASSWORD}, page="/sign-in")
    return visitor


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now + stepup.FRESH_S + 2)
    yield


def cookie(visitor: Visitor) -> str:
    found = visitor.client.get_cookie("mcpweb", domain="127.0.0.1")
    assert found is not None
    return found.value


def test_who_just_signed_in_is_not_asked(ada: Visitor) -> None:
    assert ada.get("/guarded").text == "opened"


def test_after_five_minutes_the_password_opens_the_page_one_came_from(ada: Visitor, core: Core, later: None) -> None:
    answer = ada.get("/guarded")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/step-up?next=%2Fguarded")
    posted = ada.post("/guarded", Referer="http://127.0.0.1:8080/servers?q=a")
    assert posted.headers["Location"] == "/step-up?next=%2Fservers%3Fq%3Da"
    assert ada.post("/guarded", Referer="http://evil.example/x").headers["Location"] == "/step-up?next=%2F"
    before = cookie(ada)
    answer = ada.post("/step-up?next=/guarded", {"password": PASSWORD}, page="/step-up")
    assert answer.headers["Location"] == "/guarded" and cookie(ada) != before
    assert ada.get("/guarded").text == "opened"
    ada.client.set_cookie("mcpweb", before, domain="127.0.0.1")
    assert ada.get("/servers").headers["Location"].startswith("/sign-in"), "the earlier session is over"
    with core.db.reading() as conn:
        assert [row.action for row in audit.listing(conn, limit=1)] == ["session.confirm"]


def test_a_wrong_password_opens_nothing_is_audited_and_throttled(ada: Visitor, core: Core, later: None) -> None:
    answer = ada.post("/step-up?next=/guarded", {"password": "wrong"}, page="/step-up")
    assert answer.status_code == 422 and "The password is not right" in answer.text
    assert ada.get("/guarded").status_code == 303
    with core.db.reading() as conn:
        assert audit.listing(conn, audit.Wanted(action="session.refused"))[0].detail == {"for": "step-up"}
    codes = [ada.post("/step-up", {"password": "wrong"}, page="/step-up").status_code for _ in range(12)]
    assert codes[-1] == 429 and ada.post("/step-up", {"password": PASSWORD}, page="/step-up").status_code == 429


def test_a_fragment_is_sent_to_the_confirmation_and_the_api_hears_why(ada: Visitor, later: None) -> None:
    answer = ada.get("/guarded", **{"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8080/secrets/x"})
    assert answer.headers["HX-Redirect"] == "/step-up?next=%2Fsecrets%2Fx"
    problem = ada.get("/api/v1/guarded")
    assert problem.status_code == 403 and problem.json["code"] == "step_up"


def test_a_token_has_no_password_and_the_command_line_needs_none(core: Core, actor: Actor) -> None:
    token = Actor(name="token:tok_1", role="admin", via="token", user_id="usr_1")
    with pytest.raises(StepUpNeeded):
        stepup.require(core, token)
    with pytest.raises(StepUpNeeded):
        stepup.confirm(core, token, PASSWORD)
    stepup.require(core, actor)


def test_another_persons_password_confirms_nothing(ada: Visitor, core: Core, actor: Actor, later: None) -> None:
    accounts.add_user(core, actor, name="eve", role="admin", password="nine small harbours")
    assert ada.post("/step-up", {"password": "nine small harbours"}, page="/step-up").status_code == 422


def test_each_service_that_opens_a_value_or_touches_a_key_asks_by_itself(ada: Visitor, core: Core, later: None) -> None:
    """Whatever route or plugin calls it: the password is asked for where the work is done."""
    with core.db.reading() as conn:
        user_id = conn.execute("SELECT id FROM users WHERE name = 'ada'").fetchone()[0]
    session_id = hashlib.sha256(cookie(ada).encode()).hexdigest()
    person = replace(Actor.cli("x"), name=f"user:{user_id}", via="session", user_id=user_id, session_id=session_id)
    secret = secrets.add(core, Actor.cli("x"), name="ASKED", value=Sensitive("some value"))
    work: dict[str, Callable[[Actor], object]] = {
        "reveal": lambda actor: secrets.reveal(core, actor, secret.id),
        "add a key": lambda actor: keys.add(core, actor, "second"),
        "rotate": lambda actor: keys.rotate(core, actor, "main"),
        "rotate the KEK": lambda actor: keys.rotate_kek(core, actor),
        "destroy": lambda actor: keydestroy.destroy(core, actor, "main", 99),
    }
    for name, do in work.items():
        with pytest.raises(StepUpNeeded):
            do(person)
            pytest.fail(f"{name} was done without a password")
    token = replace(person, via="token")
    with pytest.raises(StepUpNeeded):
        work["reveal"](token)
    work["add a key"](token)
    _, fresh = stepup.confirm(core, person, PASSWORD)
    assert work["reveal"](fresh) and work["rotate"](fresh)
