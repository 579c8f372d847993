"""Signing in at a provider: who is believed gets the role that was mapped, and whatever does not fit gets nothing."""
from __future__ import annotations

import hashlib
import hmac as hmac_module
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from werkzeug.test import TestResponse

from mcpweb import clock, pluginhost
from mcpweb.app import create_app
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import accounts as rows
from mcpweb.dao import audit, plugin_events
from mcpweb.dao.accounts import User
from mcpweb.ids import new_id
from mcpweb.services import accounts, people
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import HOST, Visitor
from tests.web.oidc_provider import Json, StandIn, b64, serving

PREFIX = "PLUGIN_SIGNIN_OIDC_"


@pytest.fixture(scope="module")
def shared() -> Iterator[StandIn]:
    with serving() as stand_in:
        yield stand_in


@pytest.fixture
def provider(shared: StandIn) -> StandIn:
    """The stand-in, honest again."""
    shared.person = {"sub": "248289761001", "preferred_username": "ada", "groups": ["ops"]}
    shared.change, shared.sign, shared.describe = (lambda claims: claims), shared.signed, (lambda document: document)
    shared.published, shared.asked, shared.codes, shared.access_token = [shared.key, shared.curve], [], {}, "an access token"
    return shared


@pytest.fixture
def settle(core: Core, provider: StandIn, runtime: FakeRuntime) -> Callable[..., Callable[[], Visitor]]:
    """Set the plugin up; return a maker of browsers."""

    def make(**values: str) -> Callable[[], Visitor]:
        given = {
            "ISSUER": provider.issuer, "CLIENT_ID": "mcpweb", "CLIENT_SECRET": provider.client_secret, "NAME": "Example",
            "ADMINS": "admins", "OPERATORS": "ops, deployers", "VIEWERS": "staff", "TRUSTED_HOSTS": "127.0.0.1", **values,
        }
        core.settings = replace(core.settings, plugin_values={PREFIX + name: value for name, value in given.items()})
        app = create_app(core)
        return lambda: Visitor(app, core, runtime)

    with core.db.writing() as conn:
        rows.insert_user(conn, User(
            id=new_id("usr"), name="root", password_hash="", role="admin", created_at=clock.now(), updated_at=clock.now(),
            disabled_at=None, language="", theme="", created_by="system:test",
        ))
    return make


@pytest.fixture
def visitor(settle: Callable[..., Callable[[], Visitor]]) -> Visitor:
    return settle()()


def begin(visitor: Visitor, query: str = "?next=/servers") -> str:
    """Press the button; return where the visitor is sent."""
    answer = visitor.get(f"/p/signin_oidc/start{query}")
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def come_back(visitor: Visitor, provider: StandIn, query: str = "?next=/servers", extra: str = "") -> TestResponse:
    """Go all the way: to the provider and back."""
    return visitor.get(provider.authorize(begin(visitor, query)) + extra)


def whoami(visitor: Visitor) -> Actor | None:
    cookie = visitor.client.get_cookie("mcpweb", domain="127.0.0.1")
    return accounts.actor_for_session(visitor.core, cookie.value) if cookie else None


def why(core: Core) -> str:
    """Return the reason the newest refusal has in the audit log."""
    with core.db.reading() as conn:
        return str(audit.listing(conn, audit.Wanted(action="session.refused"), limit=1)[0].detail["why"])


def test_who_the_provider_vouches_for_is_let_in_with_the_mapped_role(visitor: Visitor, provider: StandIn, core: Core) -> None:
    assert "Sign in through Example" in visitor.get("/sign-in?next=/jobs").text
    answer = come_back(visitor, provider)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/servers"), answer.text
    who = whoami(visitor)
    assert who is not None and (who.label, who.role) == ("ada", "operator")
    assert visitor.get("/servers").status_code == 200 and visitor.get("/account").status_code == 200
    assert "/userinfo" not in provider.asked, "what is not signed is not even asked for"
    provider.person["groups"], provider.person["preferred_username"] = ["admins"], "ada.lovelace"
    come_back(visitor, provider)
    again = whoami(visitor)
    assert again is not None and (again.user_id, again.label, again.role) == (who.user_id, "ada", "admin")
    with core.db.reading() as conn:
        assert {"user.add", "user.role", "session.open"} <= {row.action for row in audit.listing(conn, limit=20)}


def test_an_elliptic_signature_and_an_absent_at_hash_are_fine(visitor: Visitor, provider: StandIn) -> None:
    provider.change = lambda claims: {name: value for name, value in claims.items() if name != "at_hash"}
    provider.sign = lambda claims: provider.signed(claims, key=provider.curve, header={"alg": "ES256"})
    assert come_back(visitor, provider).status_code == 303


def test_a_key_that_was_published_since_is_found(visitor: Visitor, provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert come_back(visitor, provider).status_code == 303
    provider.published = [provider.other]
    provider.sign = lambda claims: provider.signed(claims, key=provider.other)
    assert come_back(visitor, provider).status_code == 401, "looked for at most once a minute"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert come_back(visitor, provider).status_code == 303


def unsigned(claims: Json) -> str:
    return f"{b64(json.dumps({'alg': 'none', 'typ': 'JWT'}).encode())}.{b64(json.dumps(claims).encode())}."


def with_public_key_as_secret(provider: StandIn) -> Callable[[Json], str]:
    """The published RSA key taken for a shared secret."""

    def sign(claims: Json) -> str:
        body = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'one'}).encode())}.{b64(json.dumps(claims).encode())}"
        mac = hmac_module.new(provider.key.as_pem(private=False), body.encode(), hashlib.sha256).digest()
        return f"{body}.{b64(mac)}"

    return sign


def tampered(provider: StandIn) -> Callable[[Json], str]:
    """Signed for a viewer, sent as an admin."""

    def sign(claims: Json) -> str:
        head, _body, signature = provider.signed(claims).split(".")
        return f"{head}.{b64(json.dumps({**claims, 'groups': ['admins']}).encode())}.{signature}"

    return sign


FORGED: dict[str, Callable[[StandIn], Callable[[Json], str]]] = {
    "no signature": lambda p: unsigned,
    "alg None in capitals": lambda p: lambda claims: unsigned(claims).replace(b64(b'{"alg": "none", "typ": "JWT"}'), b64(b'{"alg":"NONE"}')),
    "the public key as a secret": with_public_key_as_secret,
    "a body that was changed": tampered,
    "a key of its own in the header": lambda p: lambda claims: p.signed(claims, key=p.other, header={"kid": "one", "jwk": p.other.as_dict(private=False)}),
    "a key of its own and no name for it": lambda p: lambda claims: p.signed(claims, key=p.other, header={"kid": None, "jwk": p.other.as_dict(private=False)}),
    "an address of keys in the header": lambda p: lambda claims: p.signed(claims, header={"jku": "http://evil.example/keys"}),
    "a certificate in the header": lambda p: lambda claims: p.signed(claims, header={"x5c": ["x"]}),
    "an extension nobody knows": lambda p: lambda claims: p.signed(claims, header={"crit": ["x"], "x": 1}),
    "another key under a known name": lambda p: lambda claims: p.signed(claims, key=p.other, header={"kid": "one"}),
    "an unknown key": lambda p: lambda claims: p.signed(claims, key=p.other),
    "an algorithm that is not allowed": lambda p: lambda claims: p.signed(claims, header={"alg": "RS512"}),
    "another kind of token": lambda p: lambda claims: p.signed(claims, header={"typ": "at+jwt"}),
    "no token at all": lambda p: lambda claims: "",
    "something else": lambda p: lambda claims: "a.b.c",
    "a token as long as a book": lambda p: lambda claims: p.signed({**claims, "x": "y" * 40000}),
}


@pytest.mark.parametrize("way", FORGED)
def test_a_forged_token_opens_nothing(visitor: Visitor, provider: StandIn, core: Core, way: str) -> None:
    provider.sign = FORGED[way](provider)
    answer = come_back(visitor, provider)
    assert answer.status_code == 401 and whoami(visitor) is None and why(core)
    with core.db.reading() as conn:
        assert rows.count_users(conn) == 1, "nobody was added"


def drop(name: str) -> Callable[[Json], Json]:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


def put(**fields: Any) -> Callable[[Json], Json]:
    return lambda claims: {**claims, **fields}


WRONG: dict[str, Callable[[Json], Json]] = {
    "another nonce": put(nonce="another"), "no nonce": drop("nonce"), "a list as nonce": put(nonce=["x"]),
    "another audience": put(aud="another"), "a list without us": put(aud=["a", "b"]), "no audience": drop("aud"),
    "us among others, without azp": put(aud=["mcpweb", "another"]), "azp of another": put(azp="another"),
    "an audience that contains our name": put(aud="mcpweb-two"), "an audience in a map": put(aud={"mcpweb": 1}),
    "another issuer": put(iss="http://evil.example"), "an issuer with a slash": lambda claims: {**claims, "iss": claims["iss"] + "/"},
    "no issuer": drop("iss"), "expired": lambda claims: {**claims, "exp": int(time.time()) - 120}, "no expiry": drop("exp"),
    "an expiry in words": put(exp="never"), "made tomorrow": lambda claims: {**claims, "iat": int(time.time()) + 86400, "exp": int(time.time()) + 90000},
    "made yesterday": lambda claims: {**claims, "iat": int(time.time()) - 86400}, "not yet good": lambda claims: {**claims, "nbf": int(time.time()) + 3600},
    "a hash of another access token": put(at_hash=b64(hashlib.sha256(b"another").digest()[:16])), "an empty hash": put(at_hash=""),
    "a hash that is a number": put(at_hash=7), "no subject": drop("sub"), "an empty subject": put(sub=""), "a number as subject": put(sub=7),
}


@pytest.mark.parametrize("way", WRONG)
def test_a_token_that_says_something_else_opens_nothing(visitor: Visitor, provider: StandIn, core: Core, way: str) -> None:
    provider.change = WRONG[way]
    assert come_back(visitor, provider).status_code == 401 and whoami(visitor) is None
    assert why(core)


@pytest.mark.parametrize("right", [put(aud=["mcpweb"]), put(aud=["mcpweb", "another"], azp="mcpweb"), put(azp="mcpweb"), put(extra={"a": [1]}), drop("auth_time")])
def test_a_token_that_says_it_in_another_way_is_fine(visitor: Visitor, provider: StandIn, right: Callable[[Json], Json]) -> None:
    provider.change = right
    assert come_back(visitor, provider).status_code == 303 and whoami(visitor) is not None


def test_a_hash_for_an_access_token_that_did_not_come_is_no_proof(visitor: Visitor, provider: StandIn, core: Core) -> None:
    provider.access_token = ""
    assert come_back(visitor, provider).status_code == 401 and why(core) == "at_hash"


def test_the_answer_belongs_to_one_question_of_one_browser(
    settle: Callable[..., Callable[[], Visitor]], provider: StandIn
) -> None:
    new = settle()
    victim, thief = new(), new()
    back = provider.authorize(begin(victim))
    assert thief.get(back).status_code == 401, "another visitor"
    assert victim.get(back).status_code == 401, "the question is used up"
    back = provider.authorize(begin(victim))
    assert victim.get(re.sub("state=[^&]+", "state=made-up", back)).status_code == 401
    assert victim.get(re.sub("state=[^&]+", "", back)).status_code == 401
    mine, theirs = provider.authorize(begin(victim)), provider.authorize(begin(thief))
    swapped = mine.split("code=")[0] + "code=" + theirs.split("code=")[1].split("&")[0] + "&" + mine.split("&")[1]
    assert victim.get(swapped).status_code == 401, "another's code fits neither verifier nor nonce"
    assert whoami(victim) is None and whoami(thief) is None


def test_a_code_is_good_once(visitor: Visitor, provider: StandIn, core: Core) -> None:
    back = provider.authorize(begin(visitor))
    code = back.split("code=")[1].split("&")[0]
    assert visitor.get(back).status_code == 303
    assert visitor.get(back).status_code == 401, "the same answer again"
    later = re.sub("code=[^&]+", f"code={code}", provider.authorize(begin(visitor)))
    assert visitor.get(later).status_code == 401 and why(core) == "token endpoint answered 400", "the same code in a new answer"


def test_a_question_is_forgotten_after_ten_minutes(visitor: Visitor, provider: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    back, now = provider.authorize(begin(visitor)), clock.source()
    monkeypatch.setattr(clock, "source", lambda: now + 601)
    assert visitor.get(back).status_code == 401


def test_who_has_no_role_there_is_not_let_in_and_loses_what_was_open(visitor: Visitor, provider: StandIn, core: Core) -> None:
    come_back(visitor, provider)
    kept = whoami(visitor)
    assert kept is not None
    provider.person["groups"] = ["visitors"]
    answer = come_back(visitor, provider)
    assert answer.status_code == 401 and "may not sign in here" in answer.text and whoami(visitor) is None
    assert why(core) == "no role"


def test_a_disabled_user_stays_out(visitor: Visitor, provider: StandIn, core: Core) -> None:
    come_back(visitor, provider)
    who = whoami(visitor)
    assert who is not None
    people.disable(core, Actor.cli("x"), who.user_id)
    assert come_back(visitor, provider).status_code == 401 and whoami(visitor) is None and why(core) == "disabled"


def test_a_name_or_an_address_never_leads_to_an_account_that_is_there(visitor: Visitor, provider: StandIn, core: Core) -> None:
    accounts.add_user(core, Actor.cli("x"), name="ada@example.org", role="admin", password="nine small harbours")
    provider.person.update(preferred_username="root", email="ada@example.org", email_verified=True)
    come_back(visitor, provider)
    first = whoami(visitor)
    assert first is not None and first.label.startswith("root.") and first.role == "operator"
    provider.person.update(sub="another", preferred_username="<script>ада</script>")
    come_back(visitor, provider)
    second = whoami(visitor)
    assert second is not None and second.user_id != first.user_id and re.fullmatch(r"[A-Za-z0-9._@-]+", second.label)


@pytest.mark.parametrize(("groups", "role"), [(["staff", "ops"], "operator"), ("admins", "admin"), (["Admins"], None), ({"admins": 1}, None), ([["admins"]], None), (None, None)])
def test_the_highest_role_that_fits_is_given_and_nothing_is_guessed(
    visitor: Visitor, provider: StandIn, groups: Any, role: str | None
) -> None:
    provider.person["groups"] = groups
    come_back(visitor, provider)
    who = whoami(visitor)
    assert (who.role if who else None) == role


def test_a_claim_may_lie_deep_and_a_default_role_may_be_set(settle: Callable[..., Callable[[], Visitor]], provider: StandIn) -> None:
    visitor = settle(ROLE_CLAIM="realm_access.roles", DEFAULT_ROLE="viewer")()
    provider.person["realm_access"] = {"roles": ["admins"]}
    come_back(visitor, provider)
    assert whoami(visitor).role == "admin"  # type: ignore[union-attr]
    provider.person["realm_access"] = "admins"
    come_back(visitor, provider)
    assert whoami(visitor).role == "viewer"  # type: ignore[union-attr]


def test_whoever_is_first_must_be_an_admin(visitor: Visitor, provider: StandIn, core: Core) -> None:
    with core.db.writing() as conn:
        conn.execute("DELETE FROM users")
    assert come_back(visitor, provider).status_code == 401 and accounts.setup_needed(core)
    provider.person["groups"] = ["admins"]
    assert come_back(visitor, provider).status_code == 303 and not accounts.setup_needed(core)


def test_confirming_means_signing_in_there_again(visitor: Visitor, provider: StandIn, core: Core) -> None:
    provider.person["groups"] = ["admins"]
    provider.change = put(auth_time=int(time.time()) - 3000)
    come_back(visitor, provider)
    assert visitor.get("/users/new").headers["Location"].startswith("/step-up"), "signed in there long ago"
    page = visitor.get("/step-up?next=/users/new").text
    link = re.search(r'href="(/p/signin_oidc/start\?[^"]+)"', page)
    assert link and 'type="password"' not in page
    query = link[1].replace("&amp;", "&").removeprefix("/p/signin_oidc/start")
    asked = begin(visitor, query)
    assert "prompt=login" in asked and "max_age=0" in asked
    assert visitor.get(provider.authorize(asked)).status_code == 401, "the provider did not ask again"
    provider.change = lambda claims: claims
    before = visitor.client.get_cookie("mcpweb", domain="127.0.0.1")
    answer = visitor.get(provider.authorize(begin(visitor, query)))
    assert answer.headers["Location"] == "/users/new" and visitor.get("/users/new").status_code == 200
    assert before is not None and accounts.actor_for_session(core, before.value) is None


@pytest.mark.parametrize("extra", ["&iss=http%3A%2F%2Fevil.example", "&error=access_denied"])
def test_an_answer_of_somebody_else_or_a_no_is_refused(visitor: Visitor, provider: StandIn, extra: str) -> None:
    assert come_back(visitor, provider, extra=extra).status_code == 401 and whoami(visitor) is None


def test_a_provider_that_promises_to_name_itself_must(settle: Callable[..., Callable[[], Visitor]], provider: StandIn) -> None:
    provider.describe = lambda document: {**document, "authorization_response_iss_parameter_supported": True}
    visitor = settle()()
    assert come_back(visitor, provider).status_code == 401
    assert come_back(visitor, provider, extra=f"&iss={provider.issuer}").status_code == 303


@pytest.mark.parametrize("describe", [put(issuer="http://evil.example"), drop("token_endpoint"), put(jwks_uri=7), put(authorization_endpoint="http://evil.example/authorize")])
def test_a_description_that_does_not_fit_is_not_followed(
    settle: Callable[..., Callable[[], Visitor]], provider: StandIn, describe: Callable[[Json], Json]
) -> None:
    provider.describe = describe
    assert settle()().get("/p/signin_oidc/start").status_code == 503


def test_keys_and_tokens_are_fetched_from_nowhere_on_our_networks(settle: Callable[..., Callable[[], Visitor]], provider: StandIn) -> None:
    provider.describe = put(jwks_uri="http://169.254.169.254/keys")
    assert come_back(settle()(), provider).status_code == 503
    assert settle(TRUSTED_HOSTS="")().get("/p/signin_oidc/start").status_code == 503
    assert "/token" in provider.asked and "/keys" not in provider.asked


def test_another_site_cannot_begin_it_and_the_way_back_is_ours(visitor: Visitor, provider: StandIn) -> None:
    assert visitor.get("/p/signin_oidc/start", **{"Sec-Fetch-Site": "cross-site"}).status_code == 401
    assert come_back(visitor, provider, "?next=https://evil.example/").headers["Location"] == "/"
    assert come_back(visitor, provider, "?next=//evil.example").headers["Location"] == "/"


def test_who_begins_very_often_waits(visitor: Visitor) -> None:
    statuses = [visitor.get("/p/signin_oidc/start").status_code for _ in range(25)]
    assert statuses[0] == 303 and statuses[-1] == 429


@pytest.mark.parametrize("values", [{"CLIENT_ID": ""}, {"ALGORITHMS": "RS256 none"}, {"ALGORITHMS": "HS256"}, {"DEFAULT_ROLE": "admin"}, {"SCOPES": "profile"}])
def test_a_setting_that_would_open_a_door_keeps_it_shut_and_is_told_once(
    settle: Callable[..., Callable[[], Visitor]], core: Core, values: dict[str, str]
) -> None:
    visitor = settle(**values)()
    assert visitor.get("/p/signin_oidc/start").status_code == 404 and "Example" not in visitor.get("/sign-in").text
    with core.db.reading() as conn:
        (told,) = plugin_events.recent(conn, "signin_oidc")
    assert f"MCPWEB_{PREFIX}{next(iter(values))}" in told.error


def test_without_an_issuer_there_is_nothing(settle: Callable[..., Callable[[], Visitor]], core: Core) -> None:
    visitor = settle(ISSUER="")()
    assert visitor.get("/p/signin_oidc/start").status_code == 404 and "/p/" not in visitor.get("/sign-in").text
    assert core.plugins.records["signin_oidc"].state == "loaded"


def test_a_plugins_pages_are_mounted_guarded_and_gone_with_it(core: Core, runtime: FakeRuntime, tmp_path: Any) -> None:
    folder = tmp_path / "team_pages"
    (folder / "templates").mkdir(parents=True)
    (folder / "templates" / "hello.html").write_text("<p>{{ name }}</p>")
    (folder / "__init__.py").write_text('''"""Pages of a team."""
from flask import Blueprint, render_template

from mcpweb.plugin import PUBLIC, Link, hookimpl, permission

mcpweb_api = 1


@hookimpl
def mcpweb_add_blueprints():
    bp = Blueprint("hello", __name__)

    @bp.get("/hello/<name>")
    @permission("server.view")
    def hello(name):
        return render_template("team_pages/hello.html", name=name)

    @bp.post("/change")
    @permission("server.edit")
    def change():
        return "changed"

    @bp.get("/untagged")
    def untagged():
        return "never"

    return [bp]


@hookimpl
def mcpweb_add_sign_in_links():
    return [Link("Team", "/p/team_pages/in"), Link("Elsewhere", "https://evil.example/"), Link("Others", "/p/signin_oidc/start")]
''')
    module: ModuleType = pluginhost.import_folder("team_pages", folder)
    core.plugins.register(module, "team_pages")
    app = create_app(core)
    stranger, viewer = Visitor(app, core, runtime), Visitor(app, core, runtime).sign_in("viewer")
    assert stranger.get("/p/team_pages/hello/x").headers["Location"].startswith("/sign-in?next=%2Fp%2Fteam_pages")
    page = viewer.get("/p/team_pages/hello/<b>ada")
    assert page.status_code == 200 and "&lt;b&gt;ada" in page.text and "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert viewer.post("/p/team_pages/change").status_code == 403
    assert viewer.get("/p/team_pages/untagged").status_code == 404
    operator = Visitor(app, core, runtime).sign_in("operator")
    assert operator.post("/p/team_pages/change").text == "changed"
    assert operator.client.post("/p/team_pages/change", base_url=f"http://{HOST}").status_code == 403, "our guard, their form"
    sign_in = stranger.get("/sign-in").text
    assert "Sign in through Team" in sign_in and "Elsewhere" not in sign_in and "Others" not in sign_in
    core.plugins.unregister("team_pages")
    assert viewer.get("/p/team_pages/hello/x").status_code == 404
