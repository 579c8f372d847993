"""The whole set-up out and in again: nothing is lost but the values of secrets, faults have a line, and all of it is made or nothing."""
from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import Actor, ConfigData, Sensitive
from mcpweb.core import Core, open_core
from mcpweb.dao import servers as server_rows
from mcpweb.errors import Conflict, Failure, InvalidInput
from mcpweb.services import (
    bindings,
    configurations,
    jobs,
    keeping,
    keycheck,
    pins,
    schedules,
    secrets,
    servers,
    test_cases,
    transfer,
)
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import NewVisitor, Visitor, check_markup, settings_for
from mcpweb.worker import Worker

VALUES = ("a-global-value-7f3a", "a-server-value-91cc", "a-configuration-value-55e1")


@pytest.fixture
def filled(core: Core, actor: Actor) -> Core:
    """An installation with a little of everything."""
    one = servers.add(core, actor, name="one", image="example/one:1", description="First.", metadata={"import": {"title": "One"}},
                      config=ConfigData(environment={"MODE": "live", "PLAIN_TOKEN": "ghp_0123456789abcdefghij"}, network="outbound"))
    servers.add(core, actor, name="two", image="example/two@sha256:" + "a" * 64)
    other = configurations.add(core, actor, one.id, name="other", description="Another.", config_data={"environment": {"MODE": "test"}})
    active = configurations.active(core, actor, one.id)
    found = [
        secrets.add(core, actor, name="GLOBAL", value=Sensitive(VALUES[0]), description="Of all.", expires_at="2031-01-31 00:00:00.000"),
        secrets.add(core, actor, name="OWN", value=Sensitive(VALUES[1]), scope="server", owner_id=one.id),
        secrets.add(core, actor, name="INNER", value=Sensitive(VALUES[2]), scope="configuration", owner_id=other.id),
    ]
    bindings.bind(core, actor, found[0].id, active.id, variable="G_KEY", scope="required", usage_context="sign in")
    bindings.bind(core, actor, found[1].id, active.id, variable="O_KEY", scope="conditional", condition={"MODE": "live"}, delivery="file")
    bindings.bind(core, actor, found[2].id, other.id, variable="I_KEY", scope="optional", delivery="environment")
    test_cases.add(core, actor, one.id, name="adds", tool_name="add", arguments={"a": 1}, assertions=[{"kind": "is_error", "value": False}])
    schedules.add(core, actor, one.id, name="nightly", types=["connection"], configuration="other", every_minutes=1440, on_new_image=True)
    pins.set_policy(core, actor, one.id, "warn")
    keeping.set_days(core, actor, 30)
    return core


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Core]:
    """Another installation, with nothing in it."""
    made = open_core(settings_for(tmp_path / "other"), role="web", init=True)
    made.use_runtime(FakeRuntime())
    yield made
    made.close()


def carried(core: Core, actor: Actor, text: str, strategy: str = "refuse", *, dry_run: bool = False) -> dict[str, Any]:
    job = transfer.request(core, actor, text, strategy=strategy, dry_run=dry_run)
    return transfer.carry_out(core, actor, job.payload)


def changed(document: dict[str, Any], path: str, value: Any) -> str:
    """Return the text of a document with another value at a place."""
    copy = json.loads(json.dumps(document))
    *steps, last = path.split("/")[1:]
    here = copy
    for step in steps:
        here = here[int(step)] if isinstance(here, list) else here[step]
    here[int(last) if isinstance(here, list) and last != "-" else last] = value
    return transfer.written(copy)


def test_an_export_holds_everything_but_values_and_the_log_says_who_had_it(filled: Core, actor: Actor) -> None:
    document = transfer.export(filled, actor)
    text = transfer.written(document)
    assert not [value for value in (*VALUES, "ghp_0123456789abcdefghij") if value in text]
    assert "encrypted" not in text and "mcpweb1:" not in text
    one, two = document["servers"]
    assert (one["name"], one["pin_policy"], two["image"]) == ("one", "warn", "example/two@sha256:" + "a" * 64)
    assert [c["name"] for c in one["configurations"]] == ["default", "other"] and document["choices"] == {"keep_results_days": 30}
    bound = {b["variable"]: (b["scope"], b["as"], b["delivery"], b["when"]) for b in one["configurations"][0]["bindings"]}
    assert bound == {
        "G_KEY": ("global", "required", "stdin", None), "O_KEY": ("server", "conditional", "file", {"MODE": "live"}),
        "PLAIN_TOKEN": ("configuration", "required", "stdin", None),
    }
    assert one["configurations"][0]["config_data"]["environment"] == {"MODE": "live"}
    with filled.db.reading() as conn:
        assert conn.execute("SELECT action FROM audit_log ORDER BY seq DESC").fetchone()[0] == "setup.export"


def test_a_set_up_exported_and_imported_elsewhere_is_the_same_set_up_with_its_secrets_to_fill_in(
    filled: Core, empty: Core, actor: Actor
) -> None:
    text = transfer.written(transfer.export(filled, actor))
    result = carried(empty, actor, text)
    assert result["added"] == ["one", "two"]
    assert sorted((one["name"], one["scope"], one["server"]) for one in result["to_fill_in"]) == [
        ("GLOBAL", "global", ""), ("INNER", "configuration", "one"), ("OWN", "server", "one"), ("PLAIN_TOKEN", "configuration", "one"),
    ]
    assert transfer.written(transfer.export(empty, actor)) == text
    assert not keycheck.verify(empty, actor).faults
    secret, _new = secrets.put(empty, actor, name="OWN", value=Sensitive("filled-in-now"), scope="server",
                               owner_id=servers.get(empty, actor, "one").id)
    assert secret.id in {one["id"] for one in result["to_fill_in"]} and secret.is_active and not secret.blank
    assert not list((empty.settings.data_dir / "imports").iterdir())


def test_a_server_with_a_secret_to_fill_in_is_not_started_without_it(filled: Core, empty: Core, actor: Actor) -> None:
    carried(empty, actor, transfer.written(transfer.export(filled, actor)))
    configuration = configurations.active(empty, actor, "one")
    with empty.db.reading() as conn, pytest.raises(Failure, match=r"GLOBAL \(no value yet\)"):
        bindings.deliveries(empty, conn, configuration)


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(filled: Core, empty: Core, actor: Actor) -> None:
    before = transfer.export(empty, actor)
    result = carried(empty, actor, transfer.written(transfer.export(filled, actor)), dry_run=True)
    assert result["dry_run"] and result["added"] == ["one", "two"] and len(result["to_fill_in"]) == 4
    assert transfer.export(empty, actor) == before


def test_taken_names_are_refused_with_their_line_unless_one_says_what_to_do(filled: Core, actor: Actor) -> None:
    document = transfer.export(filled, actor)
    text = transfer.written(document)
    with pytest.raises(Conflict) as caught:
        transfer.request(filled, actor, text)
    lines = text.split("\n")
    for error in caught.value.errors:
        line = int(re.match(r"line (\d+)", error.detail)[1])  # type: ignore[index]
        assert '"name"' in lines[line - 1], (error, lines[line - 1])
    assert carried(filled, actor, text, "skip")["skipped"] == ["one", "two"]
    renamed = carried(filled, actor, text, "rename")["renamed"]
    assert renamed == {"one": "one-2", "two": "two-2"} and servers.get(filled, actor, "one-2").image == "example/one:1"


def test_replacing_makes_a_server_what_the_file_says_and_keeps_the_values_it_has(filled: Core, actor: Actor) -> None:
    document = transfer.export(filled, actor)
    document["servers"][0]["configurations"] = [document["servers"][0]["configurations"][0]]
    document["servers"][0]["schedules"], document["servers"][0]["image"] = [], "example/one:2"
    document["servers"][0]["secrets"] = [one for one in document["servers"][0]["secrets"] if one["configuration"] != "other"]
    before = servers.get(filled, actor, "one")
    result = carried(filled, actor, transfer.written(document), "replace")
    after = servers.get(filled, actor, "one")
    assert result["replaced"] == ["one", "two"] and (after.id, after.image) == (before.id, "example/one:2")
    assert [one["name"] for one in result["to_fill_in"]] == ["PLAIN_TOKEN"]
    assert transfer.export(filled, actor)["servers"][0] == document["servers"][0]


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("/secrets/0/value", "s3cret", "holds no values"), ("/servers/0/secrets/0/value", "s3cret", "holds no values"),
        ("/servers/0/configurations/0/bindings/0/value", "s3cret", "holds no values"),
        ("/servers/0/configurations/0/config_data/environment/API_KEY", "sk-abcdefgh12345678", "holds no values"),
        ("/servers/0/configurations/0/config_data/limits/memory_mb", "many", "integer"),
        ("/servers/0/configurations/0/config_data/privileged", True, "nknown"), ("/servers/1/image", "NOT AN IMAGE", "image reference"),
        ("/servers/1/name", "one", "already"), ("/servers/0/test_cases/0/assertions/0/kind", "magic", "one of"),
        ("/servers/0/schedules/0/types", ["no-such-type"], "unknown"), ("/servers/0/schedules/0/every_minutes", 1, "from 5"),
        ("/servers/0/configurations/0/bindings/0/secret", "NOBODY", "no such secret"), ("/schemaVersion", 99, "only 1"),
        ("/servers/0/configurations/1/is_active", True, "at most one"), ("/surprise", 1, "not known"), ("/choices/keep_results_days", 0, "from 1"),
        ("/servers/0/configurations/0/bindings/1/variable", "G_KEY", "already"), ("/servers/0/secrets/0/configuration", "nowhere", "no such"),
    ],
)
def test_a_fault_is_named_with_its_pointer_and_line_and_nothing_is_made(
    filled: Core, empty: Core, actor: Actor, path: str, value: Any, sentence: str
) -> None:
    text = changed(transfer.export(filled, actor), path, value)
    before = transfer.export(empty, actor)
    with pytest.raises(Failure) as caught:
        carried(empty, actor, text)
    errors = caught.value.errors
    assert any(sentence in error.detail for error in errors), errors
    pointer = next(error.pointer for error in errors if sentence in error.detail)
    assert path.startswith(pointer) or pointer.startswith(path)
    assert re.match(r"line \d+, column \d+: ", errors[0].detail)
    if isinstance(value, str) and len(value) > 5:
        assert value not in caught.value.sentence + str(errors)
    assert transfer.export(empty, actor) == before


def test_limits_are_told_before_anything_is_read_further(empty: Core, actor: Actor) -> None:
    many = {"schemaVersion": 1, "servers": [{"name": f"s{at}", "image": "x/y"} for at in range(1001)]}
    for text in (json.dumps(many), " " * (11 << 20), "[]", "a: 1", '{"schemaVersion": 1, "servers": [' + "[" * 40 + "]" * 40 + "]}"):
        with pytest.raises(InvalidInput):
            transfer.request(empty, actor, text)


def test_a_thousand_servers_come_in_as_one(empty: Core, actor: Actor) -> None:
    config = ConfigData().to_json()
    many = {"schemaVersion": 1, "servers": [
        {"name": f"s{at}", "image": "x/y", "configurations": [{"name": "default", "is_active": True, "config_data": config}]} for at in range(1000)
    ]}
    assert len(carried(empty, actor, json.dumps(many))["added"]) == 1000
    with empty.db.reading() as conn:
        assert sum(server_rows.counts(conn).values()) == 1000


def test_an_import_that_fails_at_its_last_server_leaves_nothing(filled: Core, empty: Core, actor: Actor) -> None:
    text = changed(transfer.export(filled, actor), "/servers/1/schedules", [{"name": "x", "types": ["gone"], "every_minutes": 60}])
    with pytest.raises(InvalidInput) as caught:
        carried(empty, actor, text)
    assert caught.value.errors[0].pointer == "/servers/1/schedules/0/types"
    assert transfer.export(empty, actor)["servers"] == [] and not list((empty.settings.data_dir / "imports").iterdir())


def test_the_page_exports_and_imports_with_a_dry_run_first(filled: Core, visitor: Visitor, worker: Worker, actor: Actor) -> None:
    page = visitor.get("/settings/transfer").text
    check_markup(visitor.app, page)
    assert re.search(r'name="dry_run" checked', page)
    file = visitor.get("/settings/transfer/export")
    assert file.headers["Content-Disposition"].startswith("attachment") and json.loads(file.text)["schemaVersion"] == 1

    def upload(**more: str) -> Any:
        data = {"csrf_token": visitor.token("/settings/transfer"), "file": (io.BytesIO(file.data), "setup.json"), **more}
        return visitor.client.post("/settings/transfer", data=data, base_url="http://127.0.0.1:8080", content_type="multipart/form-data")

    refused = upload(dry_run="on")
    assert refused.status_code == 409 and "/servers/0/name" in refused.text and "line " in refused.text
    assert upload(dry_run="on", conflict="rename").status_code == 303
    page = visitor.get("/settings/transfer").text
    check_markup(visitor.app, page)
    assert "only looked at" in page and "one-2" in page
    assert upload(conflict="rename").status_code == 303
    page = visitor.get("/settings/transfer").text
    assert 'href="/servers/one-2"' in page and "/secrets/sec_" in page
    assert servers.get(filled, actor, "two-2").image == "example/two@sha256:" + "a" * 64


def test_only_an_admin_imports(new_visitor: NewVisitor) -> None:
    for role in ("viewer", "operator"):
        someone = new_visitor().sign_in(role)  # type: ignore[arg-type]
        assert someone.get("/settings/transfer").status_code == 200
        assert someone.post("/settings/transfer", {}).status_code == 403


def test_the_worker_does_an_import_as_a_job_and_says_what_is_wrong(filled: Core, actor: Actor, worker: Worker) -> None:
    text = changed(transfer.export(filled, actor), "/servers/1/schedules", [{"name": "x", "types": ["gone"], "every_minutes": 60}])
    job = jobs.wait(filled, transfer.request(filled, actor, text, strategy="rename").id, 40)
    assert job.state == "failed" and job.error and "/servers/1/schedules/0/types" in job.error["detail"] and "line" in job.error["detail"]
