"""Secrets over the API and the command line: values go in, and come out for nobody who may not have them."""
from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.test import TestResponse

from mcpweb import clock
from mcpweb.cli import cli
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.errors import Failure, InvalidInput
from mcpweb.services import accounts, bindings, configurations, secrets, stepup
from mcpweb.testing.fixtures import HOST, MakeServer, Visitor

CANARY = "canary-api-Qm17"


def ask(visitor: Visitor, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
    return visitor.client.open(
        f"/api/v1{path}", method=method, json=body, base_url=f"http://{HOST}", headers={"X-CSRF-Token": visitor.token(), **headers}
    )


def test_a_secret_lives_over_the_api_and_its_value_never_comes_back(core: Core, actor: Actor, visitor: Visitor) -> None:
    body = {"name": "api-key", "value": CANARY, "expires_at": "2030-01-31T00:00:00Z"}
    made = ask(visitor, "POST", "/secrets", body)
    assert made.status_code == 201 and made.headers["Location"] == f"/api/v1/secrets/{made.json['id']}"
    assert made.json["expires_at"].startswith("2030-01-31T00:00:00") and made.headers["ETag"].startswith('"1.')
    shown = ask(visitor, "GET", "/secrets/api-key")
    listed = ask(visitor, "GET", "/secrets?name=api-key&is_active=true")
    assert shown.json["used_by"] == [] and len(listed.json["items"]) == 1
    for answer in (made, shown, listed):
        assert CANARY not in answer.text and "mcpweb1:" not in answer.text and "encrypted_value" not in answer.text
    assert ask(visitor, "PATCH", "/secrets/api-key", {"value": "x"}).status_code == 428
    assert ask(visitor, "PATCH", "/secrets/api-key", {"value": "x"}, **{"If-Match": '"7"'}).status_code == 412
    changed = ask(visitor, "PATCH", "/secrets/api-key", {"value": "another", "description": "d"}, **{"If-Match": '"1"'})
    assert changed.json["value_version"] == 2 and changed.json["description"] == "d"
    assert secrets.reveal(core, actor, made.json["id"]).reveal() == "another"
    assert ask(visitor, "DELETE", "/secrets/api-key").status_code == 204
    assert ask(visitor, "GET", "/secrets/api-key").json["is_active"] is False
    assert ask(visitor, "DELETE", "/secrets/api-key?purge=true").status_code == 204
    assert ask(visitor, "GET", "/secrets/api-key").status_code == 404


def test_a_refused_body_does_not_repeat_the_value(visitor: Visitor) -> None:
    for body in ({"name": "no spaces", "value": CANARY}, {"name": "a", "value": CANARY, "wrong": CANARY}, {"name": "a", "value": [CANARY]}):
        answer = ask(visitor, "POST", "/secrets", body)
        assert answer.status_code == 422 and CANARY not in answer.text


def test_bindings_live_over_the_api(core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("demo", status="running")
    secret = secrets.add(core, actor, name="api-key", value=Sensitive(CANARY))
    configuration = configurations.active(core, actor, server.id)
    body = {"secret_id": secret.id, "configuration_id": configuration.id, "variable": "API_KEY", "scope": "required"}
    made = ask(visitor, "POST", "/bindings", body)
    assert made.status_code == 201 and made.json["delivery"] == "stdin"
    assert ask(visitor, "POST", "/bindings", body).status_code == 409
    assert ask(visitor, "POST", "/bindings", {**body, "variable": "LD_PRELOAD"}).status_code == 422
    assert ask(visitor, "GET", f"/bindings?secret_id={secret.id}").json["items"] == [made.json]
    assert ask(visitor, "GET", f"/bindings?configuration_id={configuration.id}").json["items"] == [made.json]
    assert ask(visitor, "GET", "/bindings").json["items"] == [made.json]
    assert ask(visitor, "GET", "/bindings?variable=OTHER").json["items"] == []
    used = ask(visitor, "GET", f"/secrets/{secret.id}").json["used_by"][0]
    assert used["server_id"] == server.id and used["reads"] is True
    assert ask(visitor, "DELETE", f"/secrets/{secret.id}?purge=true").status_code == 409
    assert ask(visitor, "DELETE", f"/bindings/{made.json['id']}").status_code == 204
    assert ask(visitor, "DELETE", f"/bindings/{made.json['id']}").status_code == 404


def test_a_value_comes_out_for_a_fresh_admin_only(
    core: Core, actor: Actor, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = secrets.add(core, actor, name="api-key", value=Sensitive(CANARY))
    answer = ask(visitor, "POST", f"/secrets/{secret.id}/reveal", {})
    assert answer.json == {"id": secret.id, "value": CANARY} and answer.headers["Cache-Control"] == "no-store"
    accounts.add_user(core, actor, name="bot", role="admin", password="seven tall lighthouses")
    token = accounts.create_token(core, actor, user="bot", name="ci", role=None, days=1)
    refused = visitor.app.test_client().post(
        f"/api/v1/secrets/{secret.id}/reveal", json={}, base_url=f"http://{HOST}", headers={"Authorization": f"Bearer {token}"}
    )
    assert refused.status_code == 403 and refused.json["code"] == "step_up"
    now = clock.source()
    monkeypatch.setattr(clock, "source", lambda: now + stepup.FRESH_S + 2)
    stale = ask(visitor, "POST", f"/secrets/{secret.id}/reveal", {})
    assert stale.status_code == 403 and stale.json["code"] == "step_up" and CANARY not in stale.text
    with core.db.reading() as conn:
        assert len(audit.listing(conn, audit.Wanted(action="secret.reveal"))) == 1


def run(core: Core, *arguments: str, given: str = "", code: int = 0) -> str:
    """Run a command on the installation of ``core`` and return what it printed. Raises what the command raised."""
    environment = {"MCPWEB_DATA_DIR": str(core.settings.data_dir)}
    done = CliRunner().invoke(cli, list(arguments), input=given, env=environment, standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_line_stores_binds_and_removes(core: Core, actor: Actor, make_server: MakeServer) -> None:
    make_server("demo")
    assert "Added api-key" in run(core, "secrets", "set", "api-key", given=f"{CANARY}\n")
    found = secrets.find(core, actor, "api-key")
    assert secrets.reveal(core, actor, found.id).reveal() == CANARY, "one newline is dropped"
    assert "Replaced" in run(core, "secrets", "set", "api-key", "--expires", "30", given="second canary")
    replaced = secrets.find(core, actor, "api-key")
    assert replaced.id == found.id and replaced.value_version == 2 and replaced.expires_at is not None
    listed = json.loads(run(core, "secrets", "list", "--json"))
    assert listed["items"][0]["name"] == "api-key" and "canary" not in json.dumps(listed)
    run(core, "secrets", "bind", "api-key", "demo", "--variable", "API_KEY", "--as", "conditional", "--when", "A=b=c")
    configuration = configurations.active(core, actor, "demo")
    assert bindings.of_configuration(core, actor, configuration.id)[0][0].condition == {"A": "b=c"}
    assert "no longer" in run(core, "secrets", "unbind", "api-key", "demo/default")
    assert "Deactivated" in run(core, "secrets", "remove", "api-key")
    assert "No secret" in run(core, "secrets", "list")
    assert "Purged" in run(core, "secrets", "remove", "api-key", "--purge")
    assert not secrets.listing(core, actor).rows


def test_the_nearest_secret_of_a_name_is_bound(core: Core, actor: Actor, make_server: MakeServer) -> None:
    server = make_server("demo")
    make_server("other")
    run(core, "secrets", "set", "api-key", given="global canary")
    run(core, "secrets", "set", "api-key", "--scope", "server", "--owner", "demo", given="canary of demo")
    run(core, "secrets", "set", "api-key", "--scope", "server", "--owner", "other", given="canary of other")
    run(core, "secrets", "bind", "api-key", "demo", "--variable", "API_KEY", "--as", "required")
    bound = bindings.of_configuration(core, actor, configurations.active(core, actor, "demo").id)
    assert [row.owner_id for _, row in bound] == [server.id]
    with pytest.raises(Failure, match="3 secrets named api-key"):
        run(core, "secrets", "remove", "api-key")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [(("set", "a b"), "x"), (("set", "a"), ""), (("set", "a", "--expires", "soon"), "x"),
     (("set", "a", "--scope", "server"), "x"), (("bind", "none", "demo", "--variable", "V", "--as", "required"), ""),
     (("bind", "a", "demo", "--variable", "V", "--as", "conditional", "--when", "x"), ""), (("remove", "none"), "")],
)
def test_what_cannot_be_done_is_said(core: Core, make_server: MakeServer, arguments: tuple[str, ...], given: str) -> None:
    make_server("demo")
    with pytest.raises(Failure):
        run(core, "secrets", *arguments, given=given)


LIMIT = 64 * 1024


@pytest.mark.parametrize(("given", "kept"), [
    (b"x" * LIMIT, b"x" * LIMIT), (b"x" * LIMIT + b"\n", b"x" * LIMIT), (b"x" * (LIMIT + 1), None), (b"x" * (1 << 21), None),
    ("é".encode() * (1 << 20), None), (b"a\0b and more", b"a\0b and more"), (b"two lines\n\n", b"two lines\n"), (b"\xff\xfe", None),
    (b"", None), (b"\n", None),
], ids=["at the limit", "at the limit and a newline", "over it", "far over it", "far over it, in letters of two bytes", "a zero byte",
        "one newline is dropped", "no UTF-8", "nothing", "a newline"])
def test_the_command_line_keeps_a_value_as_it_is_up_to_its_limit(core: Core, actor: Actor, given: bytes, kept: bytes | None) -> None:
    secret = secrets.add(core, actor, name="TOKEN", value=Sensitive("the earlier value"))
    environment = {"MCPWEB_DATA_DIR": str(core.settings.data_dir)}
    done = CliRunner().invoke(cli, ["secrets", "set", "TOKEN"], input=given, env=environment, standalone_mode=False)
    assert (done.exception is None) is (kept is not None), done.output
    if kept is None:
        assert isinstance(done.exception, InvalidInput)
        assert ("at most" in done.exception.detail) is (len(given) > LIMIT)
    assert secrets.reveal(core, actor, secret.id).reveal() == (kept.decode() if kept is not None else "the earlier value")


@pytest.mark.parametrize(("value", "status"), [("x" * LIMIT, 201), ("x" * (LIMIT + 1), 422), ("é" * (LIMIT // 2 + 1), 422), ("a\0b and more", 201), ("", 422)])
def test_the_api_keeps_a_value_as_it_is_up_to_its_limit(core: Core, actor: Actor, visitor: Visitor, value: str, status: int) -> None:
    answer = ask(visitor, "POST", "/secrets", {"name": "TOKEN", "value": value})
    assert answer.status_code == status, answer.json
    if status == 201:
        assert secrets.reveal(core, actor, answer.json["id"]).reveal() == value
    else:
        assert answer.json["errors"][0]["pointer"] == "/value" and not secrets.listing(core, actor).rows


def test_the_command_line_lists_expiring_and_unused_ones(core: Core, actor: Actor) -> None:
    secrets.add(core, actor, name="SOON", value=Sensitive("some value"), expires_at=clock.later(86400 * 3))
    secrets.add(core, actor, name="LATE", value=Sensitive("some value"), expires_at=clock.later(86400 * 30))
    assert "SOON" in run(core, "secrets", "list", "--expiring", "7") and "LATE" not in run(core, "secrets", "list", "--expiring", "7")
    assert "LATE" in run(core, "secrets", "list", "--unused")


@pytest.mark.parametrize(("value", "delivery", "words"), [
    ("12345", "stdin", ["too short"]), ("123456", "stdin", []), ("123456", "environment", ["inspect"]),
    ("12345", "environment", ["inspect", "too short"]),
])
def test_binding_says_what_cannot_be_kept_out_of_sight(
    core: Core, actor: Actor, make_server: MakeServer, value: str, delivery: str, words: list[str]
) -> None:
    server = make_server("one")
    secret = secrets.add(core, actor, name="TOKEN", value=Sensitive(value))
    configuration = configurations.by_name(core, actor, server.id, "default")
    row = bindings.bind(core, actor, secret.id, configuration.id, variable="TOKEN", scope="required", delivery=delivery)
    told = [bindings.CAUTIONS[code] for code in bindings.cautions(core, actor, row)]
    assert len(told) == len(words) and all(word in text for word, text in zip(words, told, strict=True))
    assert value not in " ".join(told)
