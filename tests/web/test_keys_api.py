"""Keys over the API and the command line: versions and states, never material; people give their password again."""
from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mcpweb import clock
from mcpweb.cli import cli
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import audit, keys
from mcpweb.services import accounts, jobs, secrets
from mcpweb.testing.fixtures import HOST, NewVisitor, Visitor
from mcpweb.worker import Worker


def command(core: Core, *words: str, given: str = "") -> Result:
    environment = {"MCPWEB_DATA_DIR": str(core.settings.data_dir)}
    return CliRunner().invoke(cli, list(words), input=given, env=environment, standalone_mode=False)


def said(core: Core, *words: str) -> Any:
    done = command(core, *words, "--json")
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


class Api:
    """A client: with a bearer token, or as the page of somebody who is signed in."""

    def __init__(self, visitor: Visitor, token: str = "") -> None:
        self._client = visitor.app.test_client() if token else visitor.client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {"X-CSRF-Token": visitor.token()}

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        return self._client.open(
            path if path.startswith("/") else f"/api/v1/{path}", method=method, json=body, headers=self._headers,
            base_url=f"http://{HOST}",
        )


@pytest.fixture
def api(visitor: Visitor) -> Api:
    return Api(visitor)


@pytest.fixture
def three(core: Core, actor: Actor) -> list[str]:
    """Three secrets."""
    return [secrets.add(core, actor, name=f"S{number}", value=Sensitive(f"value-{number}")).id for number in range(3)]


def test_a_key_is_listed_with_its_versions_and_without_material(core: Core, api: Api, three: list[str]) -> None:
    answer = api("GET", "keys")
    (key,) = answer.json["items"]  # type: ignore[index]
    assert (key["name"], key["version"], key["secrets"], key["pending"]) == ("main", 1, 3, 0)
    (version,) = key["versions"]
    assert version["state"] == "active" and version["uses"] >= 3 and version["kek_source"] == "file"
    with core.db.reading() as conn:
        wrapped = keys.active_version(conn, key["id"]).wrapped_key
    assert wrapped and base64.b64encode(wrapped).decode()[:20] not in answer.text and "wrapped" not in answer.text


def test_a_rotation_over_the_api_is_a_job(core: Core, worker: Worker, api: Api, three: list[str]) -> None:
    answer = api("POST", "keys/main/rotate", {})
    assert answer.status_code in (200, 202) and answer.json["kind"] == "rotate"
    done = jobs.wait(core, answer.json["id"], 30)
    assert done.result["resealed"] == 3 and api("GET", answer.headers["Location"]).json["result"] == done.result
    key = api("GET", "keys/main").json
    assert [(one["version"], one["state"], one["secrets"]) for one in key["versions"]] == [(2, "active", 3), (1, "retired", 0)]


def test_key_operations_want_an_admin_and_from_people_a_fresh_sign_in(
    core: Core, new_visitor: NewVisitor, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role in ("viewer", "operator"):
        assert Api(new_visitor().sign_in(role))("POST", "keys/main/rotate", {}).status_code == 403  # type: ignore[arg-type]
    admin = Api(visitor)
    assert admin("POST", "keys", {"name": "fresh"}).status_code == 201
    later = clock.source() + 301
    monkeypatch.setattr(clock, "source", lambda: later)
    stale = admin("POST", "keys/main/rotate", {})
    assert (stale.status_code, stale.json["code"]) == (403, "step_up")
    assert admin("GET", "keys").status_code == 200


def test_a_token_rotates_within_its_role(core: Core, actor: Actor, visitor: Visitor) -> None:
    assert visitor.user is not None
    for role, fine in (("admin", True), ("operator", False)):
        text = accounts.create_token(core, actor, user=visitor.user.id, name=role, role=role, days=1)  # type: ignore[arg-type]
        assert (Api(visitor, text)("POST", "keys/main/rotate", {}).status_code in (200, 202)) is fine


@pytest.mark.parametrize(
    ("body", "status"),
    [({"name": "second"}, 201), ({"name": "main"}, 409), ({"name": "no/slash"}, 422), ({}, 422),
     ({"name": "x", "cipher": "ROT13"}, 422), ({"name": "x", "source": "drawer"}, 422), ({"name": "x", "more": 1}, 422)],
)
def test_a_new_key_is_checked(api: Api, body: dict[str, str], status: int) -> None:
    assert api("POST", "keys", body).status_code == status


def test_unknown_keys_are_not_found(api: Api) -> None:
    assert api("GET", "keys/none").status_code == 404
    assert api("POST", "keys/none/rotate", {}).status_code == 404


def test_the_command_line_rotates_verifies_and_names_what_is_wrong(core: Core, three: list[str]) -> None:
    assert said(core, "keys", "rotate", "main")["result"]["resealed"] == 3
    assert said(core, "keys", "verify") == {"ok": True, "checked": 3, "fault_count": 0, "faults": [], "notices": []}
    with core.db.writing() as conn:
        conn.execute(
            "UPDATE secrets SET encrypted_value = (SELECT encrypted_value FROM secrets WHERE id = :other) WHERE id = :id",
            {"id": three[0], "other": three[1]},
        )
    done = command(core, "keys", "verify")
    assert done.return_value == 1 and three[0] in done.stdout and three[2] not in done.stdout


def test_destroying_wants_a_yes_a_retired_version_and_leaves_signed_evidence(core: Core, three: list[str]) -> None:
    for words in (("keys", "destroy", "main", "1"), ("keys", "destroy", "main", "1", "--yes"), ("keys", "destroy", "main", "7", "--yes")):
        assert command(core, *words).exception is not None
    said(core, "keys", "rotate", "main")
    core.db.close()
    evidence = said(core, "keys", "destroy", "main", "1", "--yes")
    assert evidence["complete"] and evidence["hits"] == [] and evidence["checkpoint"] == [0, 0, 0]
    kept = core.settings.key_dir / "destroyed" / "main-1.json"
    assert json.loads(kept.read_text()) == evidence and kept.stat().st_mode & 0o777 == 0o600
    assert {one["version"]: one["state"] for one in said(core, "keys", "list")["items"][0]["versions"]} == {1: "destroyed", 2: "active"}
    assert said(core, "keys", "verify")["ok"]


def test_a_backup_that_needs_the_key_is_named_before_anything_is_lost(core: Core, three: list[str], tmp_path: Path) -> None:
    said(core, "db", "backup", str(tmp_path / "kept.db"))
    said(core, "keys", "rotate", "main")
    core.db.close()
    refused = command(core, "keys", "destroy", "main", "1", "--yes").exception
    assert "kept.db" in str(refused)
    with core.db.reading() as conn:
        assert keys.version(conn, keys.by_name(conn, "main").id, 1).state == "retired"
        assert not audit.listing(conn, audit.Wanted(action="key.destroy"))
    core.db.close()
    assert said(core, "keys", "destroy", "main", "1", "--yes", "--force")["complete"]


def test_a_new_key_encryption_key_leaves_everything_readable(core: Core, actor: Actor, three: list[str]) -> None:
    before = said(core, "keys", "list")["items"][0]["versions"][0]["kek_id"]
    assert said(core, "keys", "rotate-kek")["versions"] == 1
    assert said(core, "keys", "list")["items"][0]["versions"][0]["kek_id"] != before
    assert said(core, "keys", "verify")["ok"]
    assert [secrets.reveal(core, actor, one).reveal() for one in three] == ["value-0", "value-1", "value-2"]


def test_unlock_says_what_is_missing_and_that_all_is_well(core: Core) -> None:
    assert said(core, "keys", "unlock")["locked"] is False
    ring = core.settings.key_file.read_text()
    core.settings.key_file.unlink()
    locked = command(core, "keys", "unlock").exception
    assert getattr(locked, "code", "") == "KEY_MISSING"
    assert not core.settings.key_file.exists()
    core.settings.key_file.write_text(ring)
    core.settings.key_file.chmod(0o600)
    assert said(core, "keys", "unlock")["locked"] is False
