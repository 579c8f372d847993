"""First run, signing in and out, and who may come in at all."""
from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from flask import Flask

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.services import accounts, people
from mcpweb.testing.fixtures import NewVisitor, Visitor, settings_for
from mcpweb.web.session import own_path

PASSWORD = "seven tall lighthouses"


def test_the_setup_link_makes_the_first_admin_once(core: Core, new_visitor: NewVisitor) -> None:
    link = f"/setup/{accounts.new_setup_token(core)}"
    ada = new_visitor()
    assert ada.get(link).status_code == 200
    answer = ada.post(link, {"username": "ada", "password": PASSWORD}, page=link)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert ada.get("/").status_code == 200
    assert new_visitor().get(link).status_code == 404
    assert core.db is not None and not accounts.setup_needed(core)


def test_a_made_up_setup_link_is_not_found(core: Core, new_visitor: NewVisitor) -> None:
    accounts.new_setup_token(core)
    assert new_visitor().get("/setup/" + "x" * 43).status_code == 404


def test_a_setup_link_ends_by_itself(core: Core, new_visitor: NewVisitor, monkeypatch: pytest.MonkeyPatch) -> None:
    link = f"/setup/{accounts.new_setup_token(core)}"
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now + accounts.SETUP_LIFE_S + 1)
    assert new_visitor().get(link).status_code == 404


@pytest.mark.parametrize("password", ["short", "x" * 257, "aaaaaaaaaaaaaa", "password1234"])
def test_a_weak_password_is_refused_and_the_name_is_kept(core: Core, new_visitor: NewVisitor, password: str) -> None:
    link = f"/setup/{accounts.new_setup_token(core)}"
    answer = new_visitor().post(link, {"username": "ada", "password": password}, page=link)
    assert answer.status_code == 422
    assert 'value="ada"' in answer.text and 'role="alert"' in answer.text
    assert password not in answer.text
    assert accounts.setup_needed(core)


@pytest.fixture
def ada(core: Core, actor: Actor) -> str:
    accounts.add_user(core, actor, name="ada", role="admin", password=PASSWORD)
    return "ada"


def _sign_in(visitor: Visitor, name: str, password: str, then: str = "") -> object:
    path = f"/sign-in?next={then}" if then else "/sign-in"
    return visitor.post(path, {"username": name, "password": password}, page=path)


def test_signing_in_leads_to_where_one_wanted_to_go(new_visitor: NewVisitor, ada: str) -> None:
    visitor = new_visitor()
    answer = _sign_in(visitor, "ada", PASSWORD, "%2Fservers%3Fq%3Dx")
    assert answer.headers["Location"] == "/servers?q=x"  # type: ignore[attr-defined]
    assert visitor.get("/servers").status_code == 200
    assert visitor.get("/sign-in?next=/jobs").headers["Location"] == "/jobs"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("/servers?q=1", "/servers?q=1"), ("https://evil.example/", "/"), ("//evil.example", "/"), ("/\\evil.example", "/"),
     ("javascript:alert(1)", "/"), ("/a\nb", "/"), ("", "/"), (None, "/"), ("servers", "/"), ("/%5cevil", "/%5cevil")],
)
def test_only_own_paths_are_followed_after_signing_in(given: str | None, kept: str) -> None:
    assert own_path(given) == kept


def test_the_cookie_is_for_us_alone(new_visitor: NewVisitor, ada: str) -> None:
    answer = _sign_in(new_visitor(), "ada", PASSWORD)
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("mcpweb="))  # type: ignore[attr-defined]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and "Domain" not in cookie


def test_behind_tls_the_cookie_is_bound_to_the_host(tmp_path, core: Core) -> None:  # type: ignore[no-untyped-def]
    assert settings_for(tmp_path, public_url="https://mcp.example").secure_cookie
    with pytest.raises(Exception, match="in the clear"):
        settings_for(tmp_path, public_url="http://mcp.example")


def test_a_wrong_password_and_an_unknown_name_look_the_same(new_visitor: NewVisitor, ada: str) -> None:
    texts = []
    for name, password in (("ada", "not the password"), ("eve", PASSWORD)):
        answer = _sign_in(new_visitor(), name, password)
        assert answer.status_code == 401  # type: ignore[attr-defined]
        texts.append(re.search(r'role="alert">.*?</div>', answer.text, re.S)[0])  # type: ignore[attr-defined, index]
    assert texts[0] == texts[1]


def test_whatever_a_refused_sign_in_lacks_it_costs_one_hash_of_the_same_size_and_one_row(
    core: Core, actor: Actor, new_visitor: NewVisitor, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Counted:
        def __new__(cls, **given: Any) -> Any:
            return Argon2id(**given)

        @staticmethod
        def verify_phc_encoded(key: bytes, phc: str, *rest: object) -> None:
            asked.append(re.fullmatch(r"(\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+)\$[^$]{22}\$[^$]{43}", phc)[1])  # type: ignore[index]
            raise InvalidKey

    monkeypatch.setattr("cryptography.hazmat.primitives.kdf.argon2.Argon2id", Counted)

    def costs(name: str) -> tuple[list[str], int]:
        asked.clear()
        before = len(refusals(core))
        assert _sign_in(new_visitor(), name, "not the password").status_code == 401  # type: ignore[attr-defined]
        return asked.copy(), len(refusals(core)) - before

    wrong = costs("ada")
    assert len(wrong[0]) == wrong[1] == 1
    accounts.add_user(core, actor, name="bob", role="viewer", password=PASSWORD)
    people.disable(core, actor, "bob")
    for name in ("eve", "no name at all", "x" * 300, "", "bob"):
        assert costs(name) == wrong, name


def refusals(core: Core) -> list[object]:
    with core.db.reading() as conn:
        return conn.execute("SELECT seq FROM audit_log WHERE action = 'session.refused'").fetchall()


def test_guessing_is_slowed_down_before_anything_is_hashed(
    core: Core, new_visitor: NewVisitor, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now)  # a busy machine takes so long that the bucket fills again
    visitor = new_visitor()
    answers = [_sign_in(visitor, "ada", f"guess number {n}") for n in range(9)]
    assert answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) > 0  # type: ignore[attr-defined]
    assert {a.status_code for a in answers[:5]} == {401}  # type: ignore[attr-defined]
    assert _sign_in(new_visitor(), "ada", PASSWORD).status_code == 429  # type: ignore[attr-defined]


def test_who_knows_the_password_is_never_slowed_down(new_visitor: NewVisitor, ada: str) -> None:
    assert {_sign_in(new_visitor(), "ada", PASSWORD).status_code for _ in range(12)} == {303}  # type: ignore[attr-defined]


def test_signing_out_ends_the_session_for_good(visitor: Visitor) -> None:
    kept = visitor.client.get_cookie("mcpweb", domain="127.0.0.1")
    answer = visitor.post("/sign-out")
    assert answer.headers["Location"] == "/sign-in" and "Clear-Site-Data" in answer.headers
    assert kept is not None
    visitor.client.set_cookie("mcpweb", kept.value, domain="127.0.0.1")
    assert visitor.get("/").status_code == 303


def test_a_session_ends_when_idle_and_at_its_latest_hour(
    core: Core, new_visitor: NewVisitor, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = new_visitor()
    _sign_in(visitor, "ada", PASSWORD)
    start = clock.source()
    for minutes in range(20, 12 * 60, 20):
        monkeypatch.setattr(clock, "source", lambda at=start + minutes * 60: at)
        assert visitor.get("/plugins").status_code == 200, minutes
    monkeypatch.setattr(clock, "source", lambda: start + accounts.ABSOLUTE_S + 1)
    assert visitor.get("/plugins").status_code == 303
    monkeypatch.setattr(clock, "source", lambda: start)
    other = new_visitor()
    _sign_in(other, "ada", PASSWORD)
    monkeypatch.setattr(clock, "source", lambda: start + accounts.IDLE_S + 5)
    assert other.get("/plugins").status_code == 303


def test_a_disabled_user_is_out_at_the_next_request(
    core: Core, actor: Actor, new_visitor: NewVisitor, ada: str
) -> None:
    accounts.add_user(core, actor, name="bob", role="admin", password=PASSWORD)
    visitor = new_visitor()
    _sign_in(visitor, "ada", PASSWORD)
    people.disable(core, actor, "ada")
    assert visitor.get("/").status_code == 303
    assert _sign_in(new_visitor(), "ada", PASSWORD).status_code == 401  # type: ignore[attr-defined]


def test_a_new_password_ends_the_other_sessions(core: Core, actor: Actor, new_visitor: NewVisitor, ada: str) -> None:
    visitor = new_visitor()
    _sign_in(visitor, "ada", PASSWORD)
    people.set_password(core, actor, "ada", "eight tall lighthouses")
    assert visitor.get("/").status_code == 303
    assert _sign_in(new_visitor(), "ada", PASSWORD).status_code == 401  # type: ignore[attr-defined]
    assert _sign_in(new_visitor(), "ada", "eight tall lighthouses").status_code == 303  # type: ignore[attr-defined]


def test_nothing_that_opens_anything_is_stored(core: Core, actor: Actor, new_visitor: NewVisitor, ada: str) -> None:
    visitor = new_visitor()
    _sign_in(visitor, "ada", PASSWORD)
    cookie = visitor.client.get_cookie("mcpweb", domain="127.0.0.1")
    token = accounts.create_token(core, actor, user="ada", name="ci", role="viewer", days=1)
    link = accounts.new_setup_token(core)
    assert cookie is not None
    stored = b"".join(path.read_bytes() for path in core.settings.data_dir.glob("mcpweb.db*"))
    for secret in (PASSWORD, cookie.value, token, token[38:81], link):
        assert secret.encode() not in stored


def test_a_browser_keeps_its_theme_and_language(visitor: Visitor) -> None:
    answer = visitor.post("/preferences", {"theme": "dark", "language": "ja", "next": "/servers"})
    assert answer.headers["Location"] == "/servers"
    page = visitor.get("/servers").text
    assert '<html lang="ja" data-theme="dark">' in page


def test_what_somebody_chose_comes_along_to_the_next_browser(core: Core, new_visitor: NewVisitor, ada: str) -> None:
    first, second, stranger = new_visitor(), new_visitor(), new_visitor()
    _sign_in(first, "ada", PASSWORD)
    first.post("/preferences", {"theme": "dark"})
    first.post("/preferences", {"language": "ja"})
    stranger.post("/preferences", {"theme": "light", "language": "en"}, page="/sign-in")
    _sign_in(second, "ada", PASSWORD)
    assert '<html lang="ja" data-theme="dark"' in second.get("/servers").text
    assert accounts.get_user(core, Actor.cli("x"), "ada").revision == 1, "which is no change of the account"


def test_a_browser_that_prefers_japanese_gets_it_unasked(app: Flask, new_visitor: NewVisitor) -> None:
    assert 'lang="ja"' in new_visitor().get("/sign-in", **{"Accept-Language": "ja,en;q=0.5"}).text
    assert 'lang="en"' in new_visitor().get("/sign-in", **{"Accept-Language": "de"}).text
