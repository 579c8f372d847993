"""Configurations in pages: list, form, revisions compared and restored, activation, loosenings that show."""
from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mcpweb.contracts import Actor, ConfigData
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.servers import Server
from mcpweb.services import configurations, jobs
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor, check_markup
from mcpweb.web import documentforms

FORM: dict[str, Any] = {
    "name": "wide", "description": "more of everything", "transport": "stdio", "path": "/mcp", "environment": "A=1\r\nB=x=y",
    "command": "serve 'the notes'", "memory_mb": "256", "cpus": "0.5", "pids": "64", "network": "none", "tmpfs": "/tmp=64m",
    "tools_mode": "all",
}


@pytest.fixture
def demo(make_server: MakeServer) -> Server:
    return make_server("demo", tools=[{"name": "echo"}, {"name": "calculate"}])


@pytest.fixture
def default(core: Core, actor: Actor, demo: Server) -> Configuration:
    return configurations.by_name(core, actor, demo.id, "default")


def base(demo: Server) -> str:
    return f"/servers/{demo.id}/configurations"


def details(core: Core, action: str) -> list[dict[str, Any]]:
    with core.db.reading() as conn:
        return [row.detail for row in audit.listing(conn, audit.Wanted(action=action))]


def test_a_configuration_is_added_from_fields(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    answer = visitor.post(base(demo), {**FORM, "tools_mode": "some", "tool": ["echo"], "more_tools": "other echo"})
    assert answer.status_code == 303
    page = visitor.get(answer.headers["Location"])
    check_markup(visitor.app, page.text)
    row = configurations.by_name(core, actor, demo.id, "wide")
    assert row.config_data == ConfigData(
        environment={"A": "1", "B": "x=y"}, command=("serve", "the notes"), tools=("echo", "other"),
        limits=type(ConfigData().limits)(memory_mb=256, cpus=0.5, pids=64),
    ).to_json()
    assert not row.is_active and row.description == "more of everything"


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "no spaces"), ("memory_mb", "much"), ("memory_mb", "1"), ("environment", "novalue"), ("environment", "a b=1"),
     ("command", "'open"), ("capabilities", "net-raw"), ("tmpfs", "/tmp=lots"), ("user", "a b"), ("port", "99999")],
)
def test_a_wrong_field_is_named_and_everything_typed_is_kept(visitor: Visitor, demo: Server, field: str, value: str) -> None:
    answer = visitor.post(base(demo), {**FORM, "transport": "http", "network": "published", "port": "80", field: value})
    assert answer.status_code == 422 and 'role="alert"' in answer.text and 'value="more of everything"' in answer.text
    assert 'value="published" selected' in answer.text
    if field != "name":
        assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', answer.text), "the field itself says it"


def test_a_form_shows_what_the_document_holds_and_saving_it_changes_nothing(
    core: Core, actor: Actor, visitor: Visitor, demo: Server
) -> None:
    document = {
        "transport": "http", "port": 8000, "path": "/x", "command": ["a", "b c"], "environment": {"K": "v"},
        "network": "outbound", "mounts": [{"type": "volume", "source": "notes", "target": "/data", "read_only": False}],
        "capabilities": ["NET_RAW", "CHOWN"], "user": "1:1", "tools": ["echo", "gone"], "active_probes": True,
        "read_only_root": False, "tmpfs": {"/run": "1m"}, "limits": {"memory_mb": 64, "cpus": 2.0, "pids": 9},
    }
    row = configurations.add(core, actor, demo.id, name="odd", config_data=document)
    page = visitor.get(f"{base(demo)}/{row.id}/edit")
    markup = check_markup(visitor.app, page.text)
    assert visitor.post(f"{base(demo)}/{row.id}", {**posted(markup.elements, page.text), "name": "odd"}).status_code == 303
    assert configurations.get(core, actor, row.id).config_data == row.config_data


def posted(elements: list[tuple[str, dict[str, str]]], text: str) -> dict[str, Any]:
    """Return what a browser would send of the page's big form."""
    found: dict[str, Any] = {}
    for tag, attributes in elements:
        name, kind = attributes.get("name", ""), attributes.get("type", "text")
        if tag != "input" or not name or name in ("csrf_token", "confirm"):
            continue
        if kind in ("checkbox", "radio") and "checked" not in attributes:
            continue
        value = attributes.get("value", "on")
        found[name] = [*found[name], value] if isinstance(found.get(name), list) else value
        if name in ("tool", "mount_source", "mount_target") and not isinstance(found[name], list):
            found[name] = [value]
    for name, inner in re.findall(r'<select[^>]* name="(\w+)"[^>]*>(.*?)</select>|^$', text, re.S):
        chosen = re.search(r'<option(?: value="(\w+)")? selected>(\w*)', inner) or re.search(r'<option(?: value="(\w+)")?>(\w*)', inner)
        assert chosen
        value = chosen[1] or chosen[2]
        found[name] = [*found.get(name, []), value] if name.startswith("mount_") else value
    for name, inner in re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>(.*?)</textarea>', text, re.S):
        found[name] = inner
    return found


def test_what_fields_cannot_hold_is_edited_as_json(core: Core, actor: Actor, visitor: Visitor, demo: Server) -> None:
    row = configurations.add(core, actor, demo.id, name="lines", config_data={"environment": {"CERT": "one\ntwo"}})
    page = visitor.get(f"{base(demo)}/{row.id}/edit").text
    assert 'name="config_data"' in page and 'name="environment"' not in page
    assert 'name="environment"' in visitor.get(f"{base(demo)}/default/edit").text
    assert 'name="config_data"' in visitor.get(f"{base(demo)}/default/edit?mode=json").text


def test_somebody_elses_change_is_not_overwritten(core: Core, actor: Actor, visitor: Visitor, demo: Server, default: Configuration) -> None:
    configurations.update(core, actor, default.id, expect=1, description="theirs")
    answer = visitor.post(f"{base(demo)}/{default.id}", {**FORM, "name": "default", "revision": "1"})
    assert answer.status_code == 412 and "Read it again" in answer.text and 'value="more of everything"' in answer.text
    assert configurations.get(core, actor, default.id).description == "theirs"


def test_two_revisions_are_compared_place_by_place(core: Core, actor: Actor, visitor: Visitor, demo: Server, default: Configuration) -> None:
    for memory in (256, 128):
        configurations.update(core, actor, default.id, expect=None, config_data={"limits": {"memory_mb": memory}})
    page = visitor.get(f"{base(demo)}/{default.id}")
    check_markup(visitor.app, page.text)
    assert "<del>256</del>" in page.text and "<ins>128</ins>" in page.text
    page = visitor.get(f"{base(demo)}/{default.id}?first=1&second=2")
    assert "<del>512</del>" in page.text and "<ins>256</ins>" in page.text and "/limits/memory_mb" in page.text
    assert "The two say the same" in visitor.get(f"{base(demo)}/{default.id}?first=2&second=2").text
    assert visitor.get(f"{base(demo)}/{default.id}?first=9").status_code == 404
    assert visitor.get(f"{base(demo)}/{default.id}?first=٣").status_code == 404


def test_an_earlier_revision_comes_back_as_the_newest_one(core: Core, actor: Actor, visitor: Visitor, demo: Server, default: Configuration) -> None:
    configurations.update(core, actor, default.id, expect=1, config_data={"network": "outbound"})
    assert visitor.post(f"{base(demo)}/{default.id}/restore", {"revision": "1"}).status_code == 303
    row = configurations.get(core, actor, default.id)
    assert (row.revision, row.config_data["network"]) == (3, "none")
    assert details(core, "configuration.restore") == [{"name": "default", "from": 1, "revision": 3}]
    assert visitor.post(f"{base(demo)}/{default.id}/restore", {"revision": "1"}).status_code == 409
    assert visitor.post(f"{base(demo)}/{default.id}/restore", {"revision": "7"}).status_code == 404
    assert visitor.post(f"{base(demo)}/{default.id}/restore", {"revision": "x"}).status_code == 422


def test_each_loosening_is_shown_and_audited(core: Core, visitor: Visitor, demo: Server) -> None:
    loose = {**FORM, "network": "outbound", "writable_root": "on", "capabilities": "NET_RAW", "user": "root", "active_probes": "on"}
    loose |= {"mount_type": ["volume"], "mount_source": ["notes"], "mount_target": ["/data"], "mount_access": ["rw"]}
    place = visitor.post(base(demo), loose).headers["Location"]
    page = visitor.get(place).text
    for sentence in ("reaches the internet", "capabilities: NET_RAW", "runs as root", "root file system", "a volume: notes",
                     "Tests may call tools"):
        assert sentence in page
    codes = ["active_probes", "capabilities", "mount_writable", "network_outbound", "root_writable", "user_root"]
    assert details(core, "configuration.add")[0]["loosened"] == codes
    visitor.post(f"{place}/activate")
    assert details(core, "configuration.activate")[0]["loosened"] == codes
    assert "loosened" not in details(core, "server.add")[0]


def test_activation_restarts_a_server_that_is_wanted(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, demo: Server, default: Configuration
) -> None:
    visitor.post(base(demo), FORM)
    wide = configurations.by_name(core, actor, demo.id, "wide")
    answer = hx.post(f"{base(demo)}/{wide.id}/activate")
    assert answer.status_code == 204 and "configuration-activated" in answer.headers["HX-Trigger"]
    assert not jobs.listing(core, actor, kind="restart").rows, "a stopped server stays stopped"
    with core.db.writing() as conn:
        conn.execute("UPDATE servers SET wanted = 'running'")
    assert visitor.post(f"{base(demo)}/{default.id}", {**FORM, "name": "default", "then": "activate"}).status_code == 303
    assert [job.subject for job in jobs.listing(core, actor, kind="restart").rows] == [f"server:{demo.id}"]
    assert configurations.get(core, actor, default.id).is_active


def test_removal_needs_the_name_and_spares_the_active_one(visitor: Visitor, demo: Server, default: Configuration) -> None:
    place = visitor.post(base(demo), FORM).headers["Location"]
    assert visitor.post(f"{place}/remove", {"confirm": "wid"}).status_code == 422
    assert visitor.post(f"{place}/remove", {"confirm": "wide"}).status_code == 303
    assert visitor.get(place).status_code == 404
    assert visitor.post(f"{base(demo)}/{default.id}/remove", {"confirm": "default"}).status_code == 409


def test_another_servers_configuration_is_not_found_here(visitor: Visitor, make_server: MakeServer, demo: Server, default: Configuration) -> None:
    other = make_server("other")
    assert visitor.get(f"/servers/{other.id}/configurations/{default.id}").status_code == 404
    assert visitor.post(f"/servers/{other.id}/configurations/{default.id}/activate").status_code == 404
    assert visitor.get(f"{base(demo)}/{default.id}").status_code == 200


def test_a_viewer_reads_and_changes_nothing(new_visitor: NewVisitor, demo: Server, default: Configuration) -> None:
    viewer = new_visitor().sign_in("viewer")
    page = viewer.get(f"{base(demo)}/{default.id}").text
    assert "Restore" not in page and "/edit" not in page and "Remove" not in page
    for path in ("/new", f"/{default.id}/edit"):
        assert viewer.get(base(demo) + path).status_code == 403
    for path in ("", f"/{default.id}", f"/{default.id}/activate", f"/{default.id}/restore", f"/{default.id}/remove"):
        assert viewer.post(base(demo) + path, FORM).status_code == 403


def test_the_api_compares_and_restores(core: Core, actor: Actor, visitor: Visitor, default: Configuration) -> None:
    configurations.update(core, actor, default.id, expect=1, config_data={"network": "outbound"})
    found = visitor.get(f"/api/v1/configurations/{default.id}/revisions/diff").json
    assert found["changes"] == [{"pointer": "/network", "kind": "changed", "before": "none", "after": "outbound"}]
    loosened = visitor.get(f"/api/v1/configurations/{default.id}").json["loosened"]
    assert [row["code"] for row in loosened] == ["network_outbound"]
    answer = visitor.client.post(
        f"/api/v1/configurations/{default.id}/restore", json={"revision": 1}, base_url="http://127.0.0.1:8080",
        headers={"X-CSRF-Token": visitor.token()},
    )
    assert answer.status_code == 200 and answer.json["revision"] == 3 and answer.json["loosened"] == []


def test_documents_go_through_the_form_unchanged_or_not_at_all() -> None:
    assert documentforms.fits(ConfigData(environment={"A": "b c = d"}).to_json())
    assert not documentforms.fits(ConfigData(environment={"A": "b\nC=d"}).to_json())
    assert not documentforms.fits(ConfigData(tools=("two words",)).to_json())
    assert json.loads(json.dumps(documentforms.parsed('{"network": "none"}'))) == {"network": "none"}
