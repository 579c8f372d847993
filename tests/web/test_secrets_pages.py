"""Secrets in pages: values go in and stay in; who uses them; what is shown, to whom, for how long."""
from __future__ import annotations

import gzip
import re

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor, ConfigData, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit, observations
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.secrets import Secret
from mcpweb.dao.servers import Server
from mcpweb.services import accounts, bindings, configurations, secrets
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor, check_markup

CANARY = "canary-Zx81-value"
PASSWORD = "seven tall lighthouses"


@pytest.fixture
def demo(make_server: MakeServer) -> Server:
    return make_server("demo", status="running", config=ConfigData(environment={"MODE": "live"}))


@pytest.fixture
def default(core: Core, actor: Actor, demo: Server) -> Configuration:
    return configurations.by_name(core, actor, demo.id, "default")


@pytest.fixture
def secret(core: Core, actor: Actor) -> Secret:
    return secrets.add(core, actor, name="api-key", value=Sensitive(CANARY), description="of the weather people")


@pytest.fixture
def ada(core: Core, actor: Actor, new_visitor: NewVisitor) -> Visitor:
    """An admin who has a password."""
    accounts.add_user(core, actor, name="ada", role="admin", password=PASSWORD)
    visitor = new_visitor()
    visitor.post("/sign-in", {"username": "ada", "password": PASSWORD}, page="/sign-in")
    return visitor


def value_of(core: Core, actor: Actor, secret_id: str) -> str:
    return secrets.reveal(core, actor, secret_id).reveal()


def test_no_secret_is_a_page_that_says_what_to_do(visitor: Visitor) -> None:
    text = visitor.get("/secrets").text
    assert "No secret yet" in text and 'href="/secrets/new"' in text


def test_a_secret_goes_in_and_is_seen_nowhere(core: Core, actor: Actor, visitor: Visitor) -> None:
    fields = {"name": "tls-key", "value": f"{CANARY}\r\nline two", "description": "d", "owner": "global", "expires": "2030-01-31"}
    answer = visitor.post("/secrets", fields, page="/secrets/new")
    assert answer.status_code == 303
    place = answer.headers["Location"]
    assert value_of(core, actor, place.rpartition("/")[2]) == f"{CANARY}\nline two", "browsers send two characters a line end"
    for path in ("/secrets", place, "/audit", "/jobs", "/"):
        page = visitor.get(path)
        check_markup(visitor.app, page.text)
        assert CANARY not in page.text and "mcpweb1:" not in page.text
    assert "until 2030-01-31" in visitor.get("/secrets").text


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "no spaces"), ("name", ""), ("expires", "tomorrow"), ("owner", "server:srv_none"), ("owner", "planet:earth"),
     ("value", ""), ("key", "none")],
)
def test_a_refused_form_keeps_everything_but_the_value(visitor: Visitor, field: str, value: str) -> None:
    fields = {"name": "api", "value": CANARY, "description": "my words", "owner": "global", field: value}
    answer = visitor.post("/secrets", fields, page="/secrets/new")
    assert answer.status_code in (404, 422) and 'role="alert"' in answer.text
    assert 'value="my words"' in answer.text and CANARY not in answer.text


def test_a_taken_name_is_a_conflict_and_another_owner_may_have_it(visitor: Visitor, secret: Secret, demo: Server) -> None:
    fields = {"name": "api-key", "value": CANARY, "owner": "global"}
    assert visitor.post("/secrets", fields, page="/secrets/new").status_code == 409
    assert visitor.post("/secrets", {**fields, "owner": f"server:{demo.id}"}, page="/secrets/new").status_code == 303
    assert ">demo</a>" in visitor.get("/secrets?scope=server").text


def test_a_replaced_value_is_a_new_version(core: Core, actor: Actor, visitor: Visitor, secret: Secret) -> None:
    assert visitor.post(f"/secrets/{secret.id}/replace", {"value": "another canary"}).status_code == 303
    assert value_of(core, actor, secret.id) == "another canary"
    assert secrets.get(core, actor, secret.id).value_version == 2
    refused = visitor.post(f"/secrets/{secret.id}/replace", {"value": "x" * 70_000})
    assert refused.status_code == 422 and "xxxx" not in refused.text
    assert visitor.post(f"/secrets/{secret.id}/replace", {"value": ""}).status_code == 422


def test_filters_and_pages_hold_every_secret_once(core: Core, actor: Actor, visitor: Visitor) -> None:
    for number in range(110):
        made = secrets.add(core, actor, name=f"s{number:03}", value=Sensitive("canary"))
        if number % 2:
            secrets.set_active(core, actor, made.id, False)
    for query, count in (("", 110), ("?state=inactive", 55), ("?state=active&scope=global", 55), ("?name=s007", 1)):
        seen: list[str] = []
        path = f"/secrets{query}"
        while path:
            answer = visitor.get(path)
            seen += re.findall(r'<tr id="(sec_\w+)">', answer.text)
            assert len(gzip.compress(answer.data, 6)) <= 12_000
            assert len(check_markup(visitor.app, answer.text).elements) <= 1500
            following = re.search(r'rel="next" href="([^"]+)"', answer.text)
            path = following[1].replace("&amp;", "&") if following else ""
        assert len(seen) == len(set(seen)) == count, query
    assert "No secret fits this filter" in visitor.get("/secrets?name=none").text
    assert visitor.get("/secrets?scope=planet").status_code == 422


def test_a_binding_says_who_can_read_it_now_and_what_a_change_touches(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, secret: Secret, demo: Server, default: Configuration
) -> None:
    form = {"configuration": default.id, "variable": "API_KEY", "need": "required", "delivery": "environment"}
    assert visitor.post(f"/secrets/{secret.id}/bindings", form).status_code == 303
    text = visitor.get(f"/secrets/{secret.id}").text
    check_markup(visitor.app, text)
    assert "demo / default" in text and "API_KEY" in text and "can read it" in text and "exposed" in text
    page = visitor.get(f"/servers/{demo.id}/configurations/{default.id}").text
    assert "API_KEY" in page and f"/secrets/{secret.id}" in page
    with core.db.writing() as conn:
        conn.execute("UPDATE servers SET status_detail = 'Its secrets changed since it was started; restart it.'")
    assert "changed since its start" in visitor.get(f"/secrets/{secret.id}").text
    binding = bindings.of_configuration(core, actor, default.id)[0][0]
    answer = hx.post(f"/bindings/{binding.id}/remove")
    assert answer.status_code == 204 and answer.headers["HX-Trigger"] == "secret-changed"
    assert "No configuration uses it yet" in visitor.get(f"/secrets/{secret.id}").text


def test_a_condition_counts_by_the_environment(
    core: Core, actor: Actor, visitor: Visitor, secret: Secret, default: Configuration
) -> None:
    form = {"configuration": default.id, "variable": "K", "need": "conditional", "delivery": "stdin", "when": "MODE=test"}
    assert visitor.post(f"/secrets/{secret.id}/bindings", form).status_code == 303
    assert "no container has it" in visitor.get(f"/secrets/{secret.id}").text
    binding = bindings.of_configuration(core, actor, default.id)[0][0]
    assert binding.condition == {"MODE": "test"}
    bindings.unbind(core, actor, binding.id)
    assert visitor.post(f"/secrets/{secret.id}/bindings", {**form, "when": "MODE=live=er"}).status_code == 303


@pytest.mark.parametrize(
    "wrong",
    [{"variable": "1A"}, {"variable": "LD_PRELOAD"}, {"need": "often"}, {"delivery": "pigeon"}, {"need": "conditional", "when": "x"},
     {"configuration": "cfg_none"}, {"variable": "MODE"}],
)
def test_a_wrong_binding_is_refused_and_keeps_what_was_typed(
    visitor: Visitor, secret: Secret, default: Configuration, wrong: dict[str, str]
) -> None:
    form = {"configuration": default.id, "variable": "API_KEY", "need": "required", "delivery": "stdin", **wrong}
    answer = visitor.post(f"/secrets/{secret.id}/bindings", form)
    assert answer.status_code in (404, 409, 422) and 'role="alert"' in answer.text
    assert f'value="{form["variable"]}"' in answer.text


def test_another_servers_secret_cannot_be_bound(
    core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer, default: Configuration
) -> None:
    other = make_server("other")
    theirs = secrets.add(core, actor, name="theirs", value=Sensitive(CANARY), scope="server", owner_id=other.id)
    form = {"secret": theirs.id, "variable": "API_KEY", "need": "required", "delivery": "stdin"}
    place = f"/servers/{default.server_id}/configurations/{default.id}"
    assert "theirs" not in visitor.get(place).text
    assert visitor.post(f"{place}/bindings", form).status_code == 422
    assert visitor.post(f"{place}/bindings", {**form, "secret": "sec_none"}).status_code == 404


def test_a_value_is_shown_once_with_the_password_after_its_audit_row(core: Core, ada: Visitor, secret: Secret) -> None:
    answer = ada.post(f"/secrets/{secret.id}/reveal", {"password": PASSWORD})
    assert answer.status_code == 200 and CANARY in answer.text
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Refresh"].endswith(f"url=/secrets/{secret.id}")
    assert 'data-hide-after="30"' in answer.text
    assert CANARY not in ada.get(f"/secrets/{secret.id}").text
    assert ada.get("/servers").status_code == 200, "the new session is kept"
    with core.db.reading() as conn:
        row = audit.listing(conn, audit.Wanted(action="secret.reveal"))[0]
    assert row.target == secret.id and row.detail["name"] == "api-key"


def test_no_password_no_value(core: Core, ada: Visitor, secret: Secret) -> None:
    for password in ("", "wrong", CANARY):
        answer = ada.post(f"/secrets/{secret.id}/reveal", {"password": password})
        assert answer.status_code == 422 and CANARY not in answer.text and "The password is not right" in answer.text
    with core.db.reading() as conn:
        assert not audit.listing(conn, audit.Wanted(action="secret.reveal"))


def test_a_value_whose_audit_row_cannot_be_written_is_not_shown(core: Core, ada: Visitor, secret: Secret) -> None:
    with core.db.writing() as conn:
        conn.execute(
            "CREATE TRIGGER full BEFORE INSERT ON audit_log WHEN NEW.action = 'secret.reveal' BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    answer = ada.post(f"/secrets/{secret.id}/reveal", {"password": PASSWORD})
    assert answer.status_code >= 500 and CANARY not in answer.text


def test_operators_write_and_never_read(core: Core, actor: Actor, new_visitor: NewVisitor, secret: Secret, default: Configuration) -> None:
    operator, viewer = new_visitor().sign_in("operator"), new_visitor().sign_in("viewer")
    assert "Show the value" not in operator.get(f"/secrets/{secret.id}").text
    assert operator.post(f"/secrets/{secret.id}/reveal", {"password": "x"}).status_code == 403
    assert operator.post(f"/secrets/{secret.id}/replace", {"value": "another"}).status_code == 303
    text = viewer.get(f"/secrets/{secret.id}").text
    assert "Replace" not in text and "Purge" not in text and "Bind to" not in text and viewer.get("/secrets/new").status_code == 403
    for path in ("", f"/{secret.id}", f"/{secret.id}/replace", f"/{secret.id}/purge", f"/{secret.id}/deactivate",
                 f"/{secret.id}/activate", f"/{secret.id}/bindings", f"/{secret.id}/reveal"):
        assert viewer.post(f"/secrets{path}", {"value": "x"}).status_code == 403, path
    assert value_of(core, actor, secret.id) == "another"


def test_a_secret_is_deactivated_activated_and_described(core: Core, actor: Actor, visitor: Visitor, hx: Htmx, secret: Secret) -> None:
    assert hx.post(f"/secrets/{secret.id}/deactivate").headers["HX-Trigger"] == "secret-changed"
    assert "inactive" in visitor.get(f"/secrets/{secret.id}").text
    visitor.post(f"/secrets/{secret.id}/activate")
    assert secrets.get(core, actor, secret.id).is_active
    visitor.post(f"/secrets/{secret.id}", {"description": "new words", "expires": clock.later(-86400)[:10]})
    text = visitor.get(f"/secrets/{secret.id}").text
    assert "new words" in text and "expired" in text


def test_purging_needs_the_name_and_that_nothing_requires_it(
    core: Core, actor: Actor, visitor: Visitor, secret: Secret, default: Configuration
) -> None:
    binding = bindings.bind(core, actor, secret.id, default.id, variable="API_KEY", scope="required")
    assert visitor.post(f"/secrets/{secret.id}/purge", {"confirm": "api"}).status_code == 422
    refused = visitor.post(f"/secrets/{secret.id}/purge", {"confirm": "api-key"})
    assert refused.status_code == 409 and "default requires api-key" in refused.text
    bindings.unbind(core, actor, binding.id)
    assert visitor.post(f"/secrets/{secret.id}/purge", {"confirm": "api-key"}).status_code == 303
    assert visitor.get(f"/secrets/{secret.id}").status_code == 404


def test_a_locked_vault_refuses_secrets_and_nothing_else(core: Core, actor: Actor, visitor: Visitor, secret: Secret) -> None:
    with core.db.writing() as conn:
        observations.put(conn, "vault", {"state": "locked", "code": "KEY_MISSING", "detail": "It is gone.", "next_step": "Put it back."})
    core.settings.key_file.rename(core.settings.key_file.with_name("elsewhere"))
    core.vault.forget()
    for path in ("/secrets", "/secrets/new", f"/secrets/{secret.id}"):
        answer = visitor.get(path)
        assert answer.status_code == 503 and "KEY_MISSING" in answer.text and 'id="vault-lock"' in answer.text
    answer = visitor.post("/secrets", {"name": "n", "value": CANARY, "owner": "global"}, page="/")
    assert answer.status_code == 503 and CANARY not in answer.text
    assert visitor.post(f"/secrets/{secret.id}/replace", {"value": CANARY}).status_code == 503
    for path in ("/", "/servers", "/keys", "/audit"):
        assert visitor.get(path).status_code == 200


def test_removing_a_server_says_and_does_what_becomes_of_its_secrets(
    core: Core, actor: Actor, visitor: Visitor, secret: Secret, demo: Server, default: Configuration
) -> None:
    theirs = secrets.add(core, actor, name="theirs", value=Sensitive(CANARY), scope="server", owner_id=demo.id)
    deep = secrets.add(core, actor, name="deep", value=Sensitive(CANARY), scope="configuration", owner_id=default.id)
    text = visitor.get(f"/servers/{demo.id}").text
    assert "2 secrets belong to it alone" in text and f'href="/secrets/{theirs.id}"' in text and secret.id not in text
    assert visitor.post(f"/servers/{demo.id}/remove", {"confirm": "demo"}).status_code == 303
    assert [secrets.get(core, actor, row.id).is_active for row in (theirs, deep, secret)] == [False, False, True]
    with core.db.reading() as conn:
        assert audit.listing(conn, audit.Wanted(action="server.remove"))[0].detail["secrets_deactivated"] == ["deep", "theirs"]


def test_the_list_tells_expiring_expired_unused_and_inactive_ones_apart(
    core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer
) -> None:
    server = make_server("one")
    days = {"today": 0.0, "soon": 13 * 86400.0, "late": 15 * 86400.0}
    made = {
        name: secrets.add(core, actor, name=name, value=Sensitive("some value"), expires_at=clock.later(after - 1))
        for name, after in days.items()
    }
    for name in ("never", "bound", "off"):
        made[name] = secrets.add(core, actor, name=name, value=Sensitive("some value"))
    secrets.set_active(core, actor, made["off"].id, False)
    configuration = configurations.by_name(core, actor, server.id, "default")
    bindings.bind(core, actor, made["bound"].id, configuration.id, variable="TOKEN", scope="required")
    for state, expected in {
        "expired": {"today"}, "expiring": {"today", "soon"}, "inactive": {"off"}, "active": {*made} - {"off"}, "unused": {*made} - {"bound"},
    }.items():
        text = visitor.get(f"/secrets?state={state}").text
        assert {name for name, secret in made.items() if f'id="{secret.id}"' in text} == expected, state
        assert f'value="{state}" selected' in text
    tile = visitor.get("/").text
    assert 'href="/secrets?state=expired"><strong>1</strong>' in tile and 'href="/keys"' in tile
    assert visitor.get("/secrets?state=lost").status_code == 422


def test_the_fingerprint_changes_with_the_stored_value_and_tells_nothing_of_it(core: Core, actor: Actor, visitor: Visitor) -> None:
    one, other = (secrets.add(core, actor, name=name, value=Sensitive("the same value")) for name in ("ONE", "OTHER"))
    before = secrets.fingerprint(one)
    assert before != secrets.fingerprint(other), "equal values cannot be told from it"
    assert before in visitor.get("/secrets").text and before in visitor.get(f"/secrets/{one.id}").text
    secrets.replace(core, actor, one.id, Sensitive("another value"))
    assert before not in visitor.get(f"/secrets/{one.id}").text


def test_binding_on_a_page_says_what_cannot_be_kept_out_of_sight(core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("one")
    configuration = configurations.by_name(core, actor, server.id, "default")
    short = secrets.add(core, actor, name="SHORT", value=Sensitive("12345"))
    form = {"configuration": configuration.id, "variable": "SHORT", "need": "required", "delivery": "environment"}
    answer = visitor.post(f"/secrets/{short.id}/bindings", form)
    text = visitor.get(answer.headers["Location"]).text
    assert "too short to be kept out" in text and "may inspect containers can read it; prefer" in text
    sound = secrets.add(core, actor, name="SOUND", value=Sensitive("long enough"))
    form = {"secret": sound.id, "variable": "SOUND", "need": "required", "delivery": "stdin"}
    place = visitor.post(f"/servers/{server.id}/configurations/{configuration.id}/bindings", form).headers["Location"]
    assert "bound=" in place and "It is bound" not in visitor.get(place).text
    assert "It is bound" not in visitor.get(f"/secrets/{sound.id}?bound=bnd_none").text


LIMIT = 64 * 1024


@pytest.mark.parametrize(("value", "kept"), [
    ("x" * LIMIT, True), ("x" * (LIMIT + 1), False), ("é" * (LIMIT // 2), True), ("é" * (LIMIT // 2) + "x", False), ("", False),
    ("a\0b and more", True), ("-----BEGIN KEY-----\nabc\n-----END KEY-----\n", True), ("  spaces stay  ", True),
], ids=["at the limit", "over it", "bytes at the limit", "bytes over it", "empty", "a zero byte", "PEM", "spaces"])
def test_a_value_is_kept_as_it_is_up_to_its_limit_or_refused_with_nothing_lost(
    core: Core, actor: Actor, visitor: Visitor, value: str, kept: bool
) -> None:
    before = secrets.add(core, actor, name="TOKEN", value=Sensitive("the earlier value"))
    answer = visitor.post(f"/secrets/{before.id}/replace", {"value": value})
    now = secrets.reveal(core, actor, before.id).reveal()
    if kept:
        assert answer.status_code == 303 and now == value
    else:
        assert answer.status_code == 422 and now == "the earlier value"
        assert "value" in answer.text and (not value or value[:200] not in answer.text)
