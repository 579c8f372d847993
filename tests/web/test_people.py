"""Users, their sessions and tokens, as an admin and as everybody sees them; and what a cookie is worth after a change."""
from __future__ import annotations

import gzip
import re
from collections.abc import Callable

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import accounts as rows
from mcpweb.dao import audit
from mcpweb.errors import Conflict, Forbidden, NotFound, PreconditionFailed, StepUpNeeded, Unauthenticated
from mcpweb.services import accounts, people, stepup
from mcpweb.testing.fixtures import HOST, Htmx, NewVisitor, Visitor, check_markup
from mcpweb.web.devices import device, place

PASSWORD, OTHER = "seven tall lighthouses", "nine small harbours"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def user_id(visitor: Visitor) -> str:
    assert visitor.user is not None
    return visitor.user.id


def actions(core: Core) -> list[str]:
    with core.db.reading() as conn:
        return [row.action for row in audit.listing(conn, limit=20)]


def stale(core: Core, visitor: Visitor) -> None:
    """Let the five minutes since the password of a session be over."""
    with core.db.writing() as conn:
        conn.execute("UPDATE sessions SET stepped_up_at = '2020-01-01 00:00:00.000' WHERE user_id = ?", (user_id(visitor),))


def test_an_admin_adds_a_user_who_signs_in_and_is_seen(visitor: Visitor, new_visitor: NewVisitor, core: Core) -> None:
    assert visitor.get("/users/new").status_code == 200
    form = {"name": "grace", "role": "operator", "password": PASSWORD}
    answer = visitor.post("/users", form)
    assert answer.status_code == 303 and re.fullmatch("/users/usr_[0-9a-z]+", answer.headers["Location"])
    grace = new_visitor()
    signed = grace.post("/sign-in", {"username": "grace", "password": PASSWORD}, page="/sign-in", **{"User-Agent": FIREFOX})
    assert signed.status_code == 303
    page = visitor.get(answer.headers["Location"]).text
    assert "Firefox on Linux" in page and "this machine" in page and "grace" in visitor.get("/users").text
    again = visitor.post("/users", {**form, "name": "GRACE"})
    assert again.status_code == 409 and 'value="GRACE"' in again.text and PASSWORD not in again.text
    assert "user.add" in actions(core)


def test_everything_that_changes_a_user_asks_for_the_password_where_it_is_done(
    core: Core, visitor: Visitor, new_visitor: NewVisitor
) -> None:
    victim = new_visitor().sign_in("viewer")
    stale(core, visitor)
    assert visitor.get("/users/new").headers["Location"].startswith("/step-up")
    assert visitor.get("/account/tokens/new").headers["Location"].startswith("/step-up")
    base = f"/users/{user_id(victim)}"
    for path, form in (
        ("/users", {"name": "x", "role": "admin", "password": PASSWORD}), (f"{base}/role", {"role": "admin"}),
        (f"{base}/password", {"password": PASSWORD}), (f"{base}/disable", {}), (f"{base}/enable", {}),
        ("/account/tokens", {"name": "x", "days": "1"}),
    ):
        assert visitor.post(path, form).headers["Location"].startswith("/step-up"), path
    assert accounts.get_user(core, Actor.cli("x"), user_id(victim)).revision == 1
    assert visitor.post(f"{base}/sessions/end").headers["Location"] == base, "what only takes away is not held up"
    assert victim.get("/").status_code == 303


def test_who_may_not_manage_users_gets_nowhere_near(new_visitor: NewVisitor, core: Core) -> None:
    admin, operator = new_visitor().sign_in(), new_visitor().sign_in("operator")
    base = f"/users/{user_id(admin)}"
    for path in ("/users", "/users/new", base):
        assert operator.get(path).status_code == 403
    for path in (f"{base}/role", f"{base}/password", f"{base}/disable", f"{base}/sessions/end"):
        assert operator.post(path, {"role": "viewer", "password": PASSWORD}).status_code == 403
    for call in (people.holdings, people.sessions, people.end_sessions):
        with pytest.raises(Forbidden):
            call(core, Actor(name="user:usr_1", role="operator", via="session", user_id="usr_1"), user_id(admin))  # type: ignore[operator]
    assert "Users and tokens" not in operator.get("/settings").text and "Users and tokens" in admin.get("/settings").text


@pytest.mark.parametrize("change", ["demote", "disable"])
def test_the_last_admin_stays(core: Core, visitor: Visitor, new_visitor: NewVisitor, change: str) -> None:
    path, form = {"demote": ("role", {"role": "operator"}), "disable": ("disable", {})}[change]
    answer = visitor.post(f"/users/{user_id(visitor)}/{path}", form)
    assert answer.status_code == 409 and "last admin" in answer.text
    disabled = new_visitor().sign_in()
    people.disable(core, Actor.cli("x"), user_id(disabled))
    assert visitor.post(f"/users/{user_id(visitor)}/{path}", form).status_code == 409, "a disabled admin does not count"
    new_visitor().sign_in()
    assert visitor.post(f"/users/{user_id(visitor)}/{path}", form).status_code == 303


def cookie(visitor: Visitor) -> str:
    found = visitor.client.get_cookie("mcpweb", domain="127.0.0.1")
    assert found is not None
    return found.value


ENDINGS: dict[str, Callable[[Core, Visitor], object]] = {
    "signing out": lambda core, who: who.post("/sign-out"),
    "a new role": lambda core, who: people.set_role(core, Actor.cli("x"), user_id(who), "viewer"),
    "a higher role": lambda core, who: people.set_role(core, Actor.cli("x"), user_id(who), "admin"),
    "disabling": lambda core, who: people.disable(core, Actor.cli("x"), user_id(who)),
    "disabling and enabling": lambda core, who: (
        people.disable(core, Actor.cli("x"), user_id(who)), people.enable(core, Actor.cli("x"), user_id(who))
    ),
    "a new password": lambda core, who: people.set_password(core, Actor.cli("x"), user_id(who), OTHER),
    "an admin who ends it": lambda core, who: people.end_sessions(core, Actor.cli("x"), user_id(who)),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cookie_kept_from_before_opens_nothing(core: Core, new_visitor: NewVisitor, ending: str) -> None:
    who, neighbour = new_visitor().sign_in("operator"), new_visitor().sign_in("operator")
    kept, token = cookie(who), who.token()
    assert who.get("/servers").status_code == 200
    ENDINGS[ending](core, who)
    thief = new_visitor()
    thief.client.set_cookie("mcpweb", kept, domain="127.0.0.1")
    assert thief.get("/servers").headers["Location"].startswith("/sign-in")
    assert thief.get("/api/v1/servers").status_code == 401
    # the form's token is refused as well: without the session it proves nothing
    assert thief.client.post("/servers", data={"csrf_token": token, "name": "x", "image": "i"}, base_url=f"http://{HOST}").status_code != 200
    assert neighbour.get("/servers").status_code == 200, "nobody else is thrown out"


def test_tokens_do_at_most_what_their_user_may_now(core: Core, new_visitor: NewVisitor) -> None:
    who = new_visitor().sign_in("admin")
    new_visitor().sign_in("admin")
    text = accounts.create_token(core, Actor.cli("x"), user=user_id(who), name="t", role="admin", days=1)
    assert accounts.actor_for_token(core, text).role == "admin"
    people.set_role(core, Actor.cli("x"), user_id(who), "viewer")
    assert accounts.actor_for_token(core, text).role == "viewer"
    people.disable(core, Actor.cli("x"), user_id(who))
    with pytest.raises(Unauthenticated):
        accounts.actor_for_token(core, text)
    people.enable(core, Actor.cli("x"), user_id(who))
    assert accounts.actor_for_token(core, text).role == "viewer"


def test_a_token_makes_none_that_can_more_or_lives_longer(core: Core, new_visitor: NewVisitor) -> None:
    who = new_visitor().sign_in("admin")
    weak = accounts.actor_for_token(core, accounts.create_token(
        core, Actor.cli("x"), user=user_id(who), name="weak", role="viewer", days=1
    ))
    with pytest.raises(Forbidden):
        accounts.create_token(core, weak, user=user_id(who), name="strong", role="admin", days=1)
    child = accounts.create_token(core, weak, user=user_id(who), name="child", role=None, days=3650)
    assert accounts.actor_for_token(core, child).role == "viewer"
    assert accounts.token_of(core, child).expires_at <= clock.later(86400)
    strong = accounts.actor_for_token(core, accounts.create_token(
        core, Actor.cli("x"), user=user_id(who), name="strong", role="admin", days=1
    ))
    assert accounts.actor_for_token(core, accounts.create_token(
        core, strong, user=user_id(who), name="twin", role=None, days=1
    )).role == "admin"


def test_a_change_is_all_or_nothing_and_says_what_it_expects(core: Core, new_visitor: NewVisitor) -> None:
    who, cli = new_visitor().sign_in("viewer"), Actor.cli("x")
    user = people.change(core, cli, user_id(who), expect=1, role="operator")
    assert (user.revision, user.role) == (2, "operator")
    with pytest.raises(PreconditionFailed):
        people.change(core, cli, user_id(who), expect=1, role="admin")
    with pytest.raises(NotFound):
        people.change(core, cli, "nobody", role="admin")
    token = Actor(name="token:tok_1", role="admin", via="token", user_id="usr_9")
    assert people.change(core, token, user_id(who), disabled=True).disabled_at
    last = new_visitor().sign_in("admin")
    with pytest.raises(Conflict):
        people.change(core, cli, user_id(last), password=OTHER, role="viewer")
    assert accounts.get_user(core, cli, user_id(last)).revision == 1, "the password stayed, too"


def test_everybody_sees_their_own_sessions_and_ends_the_others(new_visitor: NewVisitor, core: Core) -> None:
    ada, eve = new_visitor().sign_in("viewer"), new_visitor().sign_in("viewer")
    with core.db.writing() as conn:
        secret, _ = accounts.new_session(conn, ada.user, ip="192.0.2.7", user_agent=FIREFOX, fresh=True)  # type: ignore[arg-type]
    page = ada.get("/account")
    check_markup(ada.app, page.text)
    assert "Firefox on Linux" in page.text and "192.0.2.7" in page.text and page.text.count("this one") == 1
    (foreign,) = people.sessions(core, Actor.cli("x"), user_id(eve))
    assert ada.post(f"/account/sessions/{foreign.id_hash[:16]}/end").status_code == 404
    assert ada.post("/account/sessions/0000000000000000/end").status_code == 404
    (other,) = (s for s in people.sessions(core, Actor.cli("x"), user_id(ada)) if s.ip == "192.0.2.7")
    assert ada.post(f"/account/sessions/{other.id_hash[:16]}/end").headers["Location"] == "/account"
    assert accounts.actor_for_session(core, secret) is None
    with core.db.writing() as conn:
        secret, _ = accounts.new_session(conn, ada.user, ip="192.0.2.7", user_agent=FIREFOX, fresh=True)  # type: ignore[arg-type]
    ada.post("/account/sessions/end")
    assert accounts.actor_for_session(core, secret) is None and ada.get("/account").status_code == 200
    assert eve.get("/account").status_code == 200


def test_very_many_sessions_of_one_user_leave_the_newest(new_visitor: NewVisitor, core: Core) -> None:
    ada = new_visitor().sign_in("viewer")
    with core.db.writing() as conn:
        for _ in range(accounts.MOST_SESSIONS + 5):
            accounts.new_session(conn, ada.user, ip="", user_agent="", fresh=False)  # type: ignore[arg-type]
        assert len(rows.sessions_of(conn, user_id(ada))) == accounts.MOST_SESSIONS


def test_ones_own_password_wants_the_current_one_and_ends_the_other_sessions(
    core: Core, new_visitor: NewVisitor
) -> None:
    accounts.add_user(core, Actor.cli("x"), name="ada", role="viewer", password=PASSWORD)
    here, there = new_visitor(), new_visitor()
    for visitor in (here, there):
        visitor.post("/sign-in", {"username": "ada", "password": PASSWORD}, page="/sign-in")
    form = {"current": "wrong", "password": OTHER, "again": OTHER}
    wrong = here.post("/account/password", form, page="/account")
    assert wrong.status_code == 422 and "current password is not right" in wrong.text and OTHER not in wrong.text
    assert here.post("/account/password", {**form, "current": PASSWORD, "again": "x"}, page="/account").status_code == 422
    assert here.post("/account/password", {"current": PASSWORD, "password": "short", "again": "short"}, page="/account").status_code == 422
    before = cookie(here)
    answer = here.post("/account/password", {**form, "current": PASSWORD}, page="/account")
    assert answer.headers["Location"] == "/account?changed=password" and cookie(here) != before
    assert here.get("/account?changed=password").status_code == 200 and there.get("/account").status_code == 303
    with pytest.raises(Unauthenticated):
        accounts.sign_in(core, "ada", PASSWORD, "", "")
    assert accounts.sign_in(core, "ada", OTHER, "", "")
    assert "session.refused" in actions(core) and "user.password" in actions(core)


def test_a_token_cannot_change_the_password(core: Core, new_visitor: NewVisitor) -> None:
    token = Actor(name="token:tok_1", role="admin", via="token", user_id=user_id(new_visitor().sign_in()))
    with pytest.raises(Forbidden):
        people.change_own_password(core, token, PASSWORD, OTHER)
    with pytest.raises(StepUpNeeded):
        stepup.confirm(core, token, PASSWORD)


def test_a_token_is_made_up_to_ones_role_shown_once_and_revoked(core: Core, new_visitor: NewVisitor) -> None:
    ada = new_visitor().sign_in("operator")
    page = ada.get("/account/tokens/new")
    check_markup(ada.app, page.text)
    assert 'value="operator"' in page.text and 'value="admin"' not in page.text
    assert ada.post("/account/tokens", {"name": "ci", "role": "admin", "days": "30"}).status_code == 422
    assert ada.post("/account/tokens", {"name": "ci", "role": "viewer", "days": "0"}).status_code == 422
    made = ada.post("/account/tokens", {"name": "<b>ci</b>", "role": "viewer", "days": "30"})
    check_markup(ada.app, made.text)
    text = re.search(r'value="(mcpweb_pat_[^"]+)"', made.text)
    assert made.status_code == 200 and text and made.headers["Cache-Control"] == "no-store" and "<b>ci" not in made.text
    assert accounts.actor_for_token(core, text[1]).role == "viewer"
    assert text[1] not in ada.get("/account").text
    token = accounts.token_of(core, text[1])
    eve = new_visitor().sign_in("operator")
    assert eve.post(f"/account/tokens/{token.id}/revoke").status_code == 404
    assert "twice" in ada.get("/account").text  # cannot be taken back
    assert ada.post(f"/account/tokens/{token.id}/revoke").headers["Location"] == "/account"
    with pytest.raises(Unauthenticated):
        accounts.actor_for_token(core, text[1])


def test_an_admin_sees_every_token_and_revokes_any(visitor: Visitor, new_visitor: NewVisitor, core: Core) -> None:
    ada = new_visitor().sign_in("viewer")
    text = accounts.create_token(core, Actor.cli("x"), user=user_id(ada), name="nightly", role=None, days=1)
    token = accounts.token_of(core, text)
    page = visitor.get("/users")
    check_markup(visitor.app, page.text)
    assert "nightly" in page.text and "nightly" in visitor.get(f"/users/{user_id(ada)}").text
    answer = visitor.post(f"/users/{user_id(ada)}/tokens/{token.id}/revoke", {"from": "list"})
    assert answer.headers["Location"] == "/users" and "revoked" in visitor.get("/users").text


def test_long_lists_of_users_and_tokens_come_in_pages(visitor: Visitor, hx: Htmx, new_visitor: NewVisitor, core: Core) -> None:
    ada = new_visitor().sign_in("viewer", name="ada")
    for number in range(55):
        accounts.create_token(core, Actor.cli("x"), user="ada", name=f"token-{number:03}", role=None, days=1)
    first = visitor.get("/users").text
    link = re.search(r'href="(/users\?tokens=[^"]+)"', first)
    assert link and "token-054" in first and "token-000" not in first
    assert "token-000" in visitor.get(link[1]).text
    assert visitor.get("/users?cursor=damaged").status_code == 422 and hx.get("/users").status_code == 200
    assert len(visitor.get(f"/users/{user_id(ada)}").text) > 1000


def test_the_pages_keep_to_their_budget(core: Core, visitor: Visitor, new_visitor: NewVisitor) -> None:
    for number in range(60):
        who = new_visitor().sign_in("viewer", name=f"a-person-with-a-long-name-{number}@example.org")
        accounts.create_token(core, Actor.cli("x"), user=user_id(who), name=f"nightly backup of everything {number}", role=None, days=1)
    for path in ("/users", f"/users/{user_id(visitor)}", "/account"):
        visitor.get(path)
        asked: list[str] = []
        with core.db.reading() as conn:
            conn.set_trace_callback(asked.append)
        page = visitor.get(path)
        with core.db.reading() as conn:
            conn.set_trace_callback(None)
        told = [one for one in asked if not one.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA"))]
        assert len(told) <= 8, (path, told)
        assert len(gzip.compress(page.data, 3)) <= 12 * 1024 and len(check_markup(visitor.app, page.text).elements) <= 1500, path


@pytest.mark.parametrize(("text", "words"), [
    (FIREFOX, "Firefox on Linux"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0", "Edge on Windows"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
    ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Mobile Safari/537.36", "Chrome on Android"),
    ("curl/8.5.0", "curl"), ("<script>alert(1)</script>", "an unknown device"), ("", "an unknown device"),
])
def test_a_browser_is_named_in_words(text: str, words: str) -> None:
    assert device(text) == words


def test_a_place_is_this_machine_or_an_address() -> None:
    assert [place(ip) for ip in ("127.0.0.1", "::1", "192.0.2.7", "", "<b>")] == ["this machine", "this machine", "192.0.2.7", "–", "–"]
