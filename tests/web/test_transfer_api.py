"""catalog/import, export and import over the API."""
from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask

from mcpweb.contracts import Actor, Role
from mcpweb.core import Core
from mcpweb.services import accounts, bindings, configurations
from mcpweb.services.bindings import place_of
from mcpweb.worker import Worker
from tests.catalogs import samples

VALUE = "ghp_0123456789abcdefghij"


@pytest.fixture
def ask(app: Flask, core: Core, actor: Actor) -> Any:
    def ask(method: str, path: str, body: Any = None, *, role: Role = "admin", data: str | None = None, **headers: str) -> Any:
        if role not in made:
            accounts.add_user(core, actor, name=role, role=role, password="a long pass phrase")
        made.setdefault(role, accounts.create_token(core, actor, user=role, name=f"t{len(made)}", role=None, days=1))
        more: dict[str, Any] = {"json": body} if data is None else {"data": data, "content_type": "application/json"}
        return app.test_client().open(f"/api/v1/{path}", method=method, headers={"Authorization": f"Bearer {made[role]}", **headers}, **more)

    made: dict[str, str] = {}
    return ask


def test_a_text_is_read_into_drafts_and_one_of_them_becomes_a_server(ask: Any, core: Core, actor: Actor) -> None:
    answer = ask("POST", "catalog/import", {"text": samples.CLIENT})
    read = answer.get_json()
    assert answer.status_code == 200 and read["format"] == "mcp-servers" and read["server"] is None
    assert [one["why_not"] for one in read["items"]] == ["", "package", "package", "remote", "other_runtime"]
    assert VALUE not in answer.text
    wanted = {"name": "gh", "secrets": {"GITHUB_TOKEN": {"given": True}}, "accept": ["command", "network"]}
    answer = ask("POST", "catalog/import", {"text": samples.CLIENT, "key": "github", "server": wanted})
    assert answer.status_code == 200 and VALUE not in answer.text, answer.text
    made = answer.get_json()["server"]
    assert made["name"] == "gh" and answer.headers["Location"] == f"/api/v1/servers/{made['id']}"
    configuration = configurations.active(core, actor, "gh")
    assert configuration.config_data["command"] == ["stdio"] and configuration.config_data["mounts"] == []
    ((binding, secret),) = bindings.of_configuration(core, actor, configuration.id)
    with core.db.reading() as conn:
        assert binding.variable == "GITHUB_TOKEN" and core.vault.open(conn, place_of(secret), secret.encrypted_value).reveal() == VALUE


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"text": "registry:\n  a: 7\n"}, 422, "/registry/a"), ({}, 422, "/text"), ({"text": samples.CLIENT, "server": {}}, 422, "/key"),
        ({"text": samples.CLIENT, "key": "nobody"}, 404, "/key"), ({"text": "x/y", "server": {"privileged": True}}, 422, "/server/privileged"),
        ({"text": "x/y", "server": {"accept": ["root"]}}, 422, "/server/accept/0"), ({"text": "x/y", "server": {"secrets": {"A": {}}}}, 422, "/server/secrets/A"),
        ({"text": "x/y", "server": {"secrets": {"LD_PRELOAD": {"value": "x"}}}}, 422, "/secrets/LD_PRELOAD"),
        ({"text": "x/y", "server": {"values": {"a": "b"}}}, 422, "/values/a"), ({"text": "x/y", "server": {"image": "NOT AN IMAGE"}}, 422, "/image"),
    ],
)
def test_what_is_wrong_with_a_text_or_a_choice_is_named_and_no_server_is_made(ask: Any, body: Any, status: int, pointer: str) -> None:
    answer = ask("POST", "catalog/import", body)
    problem = answer.get_json()
    assert answer.status_code == status and pointer in [error["pointer"] for error in problem["errors"]], problem
    assert ask("GET", "servers").get_json()["items"] == []


def test_a_set_up_goes_out_and_in_as_a_job(ask: Any, worker: Worker) -> None:
    assert ask("POST", "servers", {"name": "one", "image": "x/y:1"}).status_code == 201
    document = ask("GET", "export").get_json()
    assert document["schemaVersion"] == 1 and [one["name"] for one in document["servers"]] == ["one"]
    refused = ask("POST", "import", document)
    assert refused.status_code == 409 and refused.get_json()["code"] == "name_taken"
    assert refused.get_json()["errors"][0]["pointer"] == "/servers/0/name"
    dry = ask("POST", "import?conflict=rename&dry_run=true", document)
    assert dry.status_code in (200, 202) and dry.headers["Location"].startswith("/api/v1/jobs/")
    if dry.status_code == 200:
        assert dry.get_json()["result"]["renamed"] == {"one": "one-2"}
    assert len(ask("GET", "servers").get_json()["items"]) == 1
    key = {"Idempotency-Key": "once"}
    first = ask("POST", "import?conflict=rename", document, **key).get_json()
    assert ask("POST", "import?conflict=rename", document, **key).get_json()["id"] == first["id"]


@pytest.mark.parametrize("text", ['{"schemaVersion": 1,\n "servers": [{"name": "a"}]}', '{"schemaVersion": 1,\n "servers": 3}', "[]", "{", '{"schemaVersion": 1, "schemaVersion": 1}'])
def test_a_faulty_set_up_is_refused_with_its_line_and_no_job_is_made(ask: Any, text: str) -> None:
    answer = ask("POST", "import", data=text)
    assert answer.status_code == 422 and all("line" in error["detail"] for error in answer.get_json()["errors"]), answer.text
    assert ask("GET", "jobs").get_json()["items"] == []


def test_ten_mebibytes_are_taken_here_and_nowhere_else(ask: Any) -> None:
    big = json.dumps({"schemaVersion": 1, "servers": [], "pad": "x" * (3 << 20)})
    assert ask("POST", "import", data=big).status_code == 422
    assert ask("POST", "servers", data=big).status_code == 413
    assert ask("POST", "import", data='{"schemaVersion": 1, "pad": "' + "x" * (11 << 20) + '"}').status_code == 413


@pytest.mark.parametrize(("role", "reads", "exports", "imports"), [("viewer", 403, 200, 403), ("operator", 200, 200, 403)])
def test_who_may_what(ask: Any, role: Role, reads: int, exports: int, imports: int) -> None:
    assert ask("POST", "catalog/import", {"text": "x/y:1"}, role=role).status_code == reads
    assert ask("GET", "export", role=role).status_code == exports
    assert ask("POST", "import", {"schemaVersion": 1}, role=role).status_code == imports
