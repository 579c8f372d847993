"""Install: paste, choose, fill in, add; nothing of a text is set unasked, and no secret is kept in the open."""
from __future__ import annotations

import io
import json
import re

import pytest

from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import bindings, configurations, secrets
from mcpweb.dao import servers as server_rows
from mcpweb.services import secrets as secret_service
from mcpweb.services.bindings import place_of
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import NewVisitor, Visitor, check_markup
from mcpweb.worker import Worker
from tests.catalogs import samples

VALUE = "ghp_0123456789abcdefghij"
NASTY = '<img src=x onerror=alert(1)><b hx-get="/x">\x1b[31m\u202e'


def put(visitor: Visitor, text: str) -> str:
    """Read a text with several servers and return the address of its list."""
    answer = visitor.post("/install", {"text": text})
    assert answer.status_code == 303, re.sub(r"<[^>]+>", " ", answer.text)[-1500:]
    return str(answer.headers["Location"])


def fields(page: str) -> dict[str, str]:
    """Return what the form of a page would post as it stands."""
    found = dict(re.findall(r'<input id="[^"]+" name="([^"]+)"(?: type="password")? value="([^"]*)"', page))
    found |= dict(re.findall(r'<textarea id="[^"]+" name="([^"]+)"[^>]*>([^<]*)</textarea>', page))
    for name, options in re.findall(r'<select id="[^"]+" name="([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        found[name] = (chosen[1] or chosen[2]) if chosen else ""
    return found


def state(core: Core, name: str) -> tuple[server_rows.Server, configurations.Configuration, dict[str, tuple[str, secrets.Secret]]]:
    with core.db.reading() as conn:
        server = server_rows.get(conn, name)
        configuration = configurations.active(conn, server.id)
        bound = {one.variable: (one.scope, secrets.get(conn, one.secret_id)) for one in bindings.of_configuration(conn, configuration.id)}
    return server, configuration, bound


def test_the_empty_page_has_suggestions_each_of_which_leads_to_a_form(visitor: Visitor) -> None:
    page = visitor.get("/install").text
    check_markup(visitor.app, page)
    links = re.findall(r'href="(/install/suggestions/\d+)"', page)
    assert len(links) >= 5
    for link in links:
        answer = visitor.get(link)
        check_markup(visitor.app, answer.text)
        assert answer.status_code == 200 and "Add server" in answer.text


def test_an_image_is_pasted_and_becomes_a_hardened_server_that_is_not_started(visitor: Visitor, core: Core) -> None:
    form = visitor.post("/install", {"text": " tiny:1 \n"})
    check_markup(visitor.app, form.text)
    action = re.search(r'action="(/install/cat_[^"]+/0)"', form.text)[1]  # type: ignore[index]
    answer = visitor.post(action, fields(form.text))
    server, configuration, bound = state(core, "tiny")
    assert answer.headers["Location"].endswith(f"/install/done/{server.id}")
    assert (server.image, server.wanted, bound) == ("tiny:1", "stopped", {})
    assert configuration.config_data["network"] == "none" and configuration.config_data["command"] is None


def test_a_clients_file_leads_to_a_list_with_what_has_no_image_and_why(visitor: Visitor) -> None:
    where = put(visitor, samples.CLIENT)
    page = visitor.get(where).text
    check_markup(visitor.app, page)
    assert "example/github:1" in page and "It is a package, not an image" in page and "It is a service elsewhere" in page
    assert VALUE not in page
    assert "example/github:1" not in visitor.get(f"{where}?q=files").text
    package = visitor.get(f"{where}/1").text
    assert "npm install --global --no-audit --no-fund @example/files@1.2.3" in package


def test_what_a_text_proposes_is_done_only_where_it_is_ticked(visitor: Visitor, core: Core) -> None:
    where = put(visitor, samples.CLIENT)
    page = visitor.get(f"{where}/0")
    check_markup(visitor.app, page.text)
    assert "accept" in page.text and not re.search(r'name="accept"[^>]*checked', page.text)
    for reason in ("--privileged", "It would take every protection away", "--network host"):
        assert reason in page.text
    typed = fields(page.text) | {"secret:GITHUB_TOKEN": VALUE}
    assert visitor.post(f"{where}/0", typed | {"name": "plain"}).status_code == 303
    _server, configuration, bound = state(core, "plain")
    document = configuration.config_data
    assert (document["command"], document["mounts"], document["network"], document["environment"]) == (None, [], "none", {"MODE": "read"})
    assert bound["GITHUB_TOKEN"][0] == "required" and bound["GITHUB_TOKEN"][1].scope == "server"
    with core.db.reading() as conn:
        secret = bound["GITHUB_TOKEN"][1]
        assert core.vault.open(conn, place_of(secret), secret.encrypted_value).reveal() == VALUE
    assert visitor.post(f"{where}/0", typed | {"name": "ticked", "accept": ["command", "mounts", "network"]}).status_code == 303
    document = state(core, "ticked")[1].config_data
    assert (document["command"], document["network"]) == (["stdio"], "outbound")
    assert document["mounts"] == [{"type": "bind", "source": "/srv/data", "target": "/data", "read_only": True}]


def test_a_secret_in_a_pasted_text_fills_its_field_once_and_lies_nowhere_but_in_the_vault(visitor: Visitor, core: Core) -> None:
    text = json.dumps({"mcpServers": {"gh": {"command": "docker", "args": ["run", "-i", "-e", "TOKEN", "tiny:1"], "env": {"TOKEN": VALUE}}}})
    form = visitor.post("/install", {"text": text})
    assert f'value="{VALUE}"' in form.text
    action = re.search(r'action="(/install/cat_[^"]+/0)"', form.text)[1]  # type: ignore[index]
    assert VALUE not in visitor.get(action).text
    again = visitor.post(action, fields(form.text) | {"name": "not a name"})
    assert again.status_code == 422 and VALUE not in again.text
    assert visitor.post(action, fields(form.text)).status_code == 303
    files = [path for path in core.settings.data_dir.rglob("*") if path.is_file()]
    assert len(files) > 2 and not [path for path in files if VALUE.encode() in path.read_bytes()]


def test_values_are_checked_by_their_type_and_the_fault_stands_at_its_field(visitor: Visitor, core: Core) -> None:
    where = put(visitor, samples.CATALOG)
    page = visitor.get(f"{where}/0").text
    typed = fields(page) | {"secret:SEARCH_API_KEY": "k3y-of-search", "value:region": "mars", "value:paths": "/srv/a\n/srv/b"}
    answer = visitor.post(f"{where}/0", typed | {"accept": ["command", "mounts", "user"]})
    assert answer.status_code == 422 and "one of eu, us" in answer.text and "k3y-of-search" not in answer.text
    check_markup(visitor.app, answer.text)
    answer = visitor.post(f"{where}/0", typed | {"value:region": "us", "accept": ["command", "mounts", "user"], "writable": "on"})
    assert answer.status_code == 303
    document = state(core, "search")[1].config_data
    assert document["environment"] == {"REGION": "us", "VERSION": "1.10"} and document["user"] == "1000:1000"
    assert document["command"] == ["--verbose", "/srv/a", "/srv/b"]
    assert [(m["source"], m["target"], m["read_only"]) for m in document["mounts"]] == [
        ("/srv/a", "/srv/a", False), ("/srv/b", "/srv/b", False), ("search-cache", "/cache", False),
    ]


def test_a_secret_may_wait_and_the_server_does_not_start_before_it_is_filled_in(
    visitor: Visitor, core: Core, actor: Actor, worker: Worker
) -> None:
    where = put(visitor, samples.CATALOG)
    page = visitor.get(f"{where}/0").text
    assert visitor.post(f"{where}/0", fields(page) | {"image": "tiny:1", "use:SEARCH_API_KEY": "later", "secret:SEARCH_API_KEY": ""}).status_code == 303
    server, _configuration, bound = state(core, "search")
    secret = bound["SEARCH_API_KEY"][1]
    assert secret.blank and not secret.is_active
    done = visitor.get(f"/install/done/{server.id}").text
    assert "Fill in the secret" in done and f"/secrets/{secret.id}" in done
    from mcpweb.services import jobs, servers

    failed = jobs.wait(core, servers.request(core, actor, server.id, "start").id, 40)
    assert failed.error and "api_key (no value yet)" in failed.error["detail"]
    with pytest.raises(Exception, match="no value yet"):
        secret_service.set_active(core, actor, secret.id, True)
    secret_service.put(core, actor, name="api_key", value=Sensitive("a-real-value"), scope="server", owner_id=server.id)
    assert state(core, "search")[2]["SEARCH_API_KEY"][1].is_active
    assert jobs.wait(core, servers.request(core, actor, server.id, "start").id, 40).state == "succeeded"


def test_files_are_uploaded_a_server_yaml_with_its_tools(visitor: Visitor) -> None:
    data = {
        "csrf_token": visitor.token("/install"),
        "file": [(io.BytesIO(samples.SERVER_YAML.encode()), "server.yaml"), (io.BytesIO(samples.TOOLS_JSON.encode()), "tools.json")],
    }
    answer = visitor.client.post("/install", data=data, base_url="http://127.0.0.1:8080", content_type="multipart/form-data")
    assert answer.status_code == 200 and "tomorrow" in answer.text and "example/weather" in answer.text


def test_a_broken_text_comes_back_with_the_line_of_its_fault(visitor: Visitor) -> None:
    answer = visitor.post("/install", {"text": "registry:\n  a:\n    image: [x]\n"})
    assert answer.status_code == 422 and "line 3, column 5" in answer.text and "/registry/a/image" in answer.text
    assert "image: [x]" in answer.text
    check_markup(visitor.app, answer.text)


def test_foreign_texts_are_inert_wherever_they_are_shown(visitor: Visitor) -> None:
    text = json.dumps({"registry": {NASTY: {
        "image": "x/y", "title": NASTY, "description": NASTY, "command": [NASTY], "secrets": [{"name": NASTY, "env": "A_KEY", "description": NASTY}],
        "env": [{"name": "B", "value": NASTY}], "config": [{"properties": {NASTY: {"description": NASTY, "enum": [NASTY]}}}], "tools": [{"name": NASTY}],
        NASTY: 1, "metadata": {"category": NASTY}, "volumes": [NASTY]}, "other": {"image": "x/z"}}})
    where = put(visitor, text)
    for path in ("/install", where, f"{where}/0"):
        page = visitor.get(path).text
        assert "<img src=x" not in page and '<b hx-get' not in page
        check_markup(visitor.app, page)


def test_a_private_registry_asks_for_a_sign_in_which_becomes_a_secret_for_that_registry_alone(
    visitor: Visitor, core: Core, runtime: FakeRuntime, worker: Worker
) -> None:
    image = "registry.example.com:5000/team/x:1"
    digest = runtime.add_image(image, pulled=False).digest
    runtime.logins["registry.example.com:5000"] = "reader:correct horse 7"
    form = visitor.post("/install", {"text": image})
    action = re.search(r'action="(/install/cat_[^"]+/0)"', form.text)[1]  # type: ignore[index]
    done = visitor.post(action, fields(form.text) | {"pull": "on"}).headers["Location"].replace("http://127.0.0.1:8080", "")
    page = visitor.get(done).text
    check_markup(visitor.app, page)
    assert "Sign in to registry.example.com:5000" in page
    visitor.post(f"{done}/login", {"user": "reader", "password": "wrong"})
    assert "was not taken" in visitor.get(done).text
    visitor.post(f"{done}/login", {"user": "reader", "password": "correct horse 7"})
    page = visitor.get(done).text
    check_markup(visitor.app, page)
    assert str(digest) in page and "correct horse" not in page
    (secret,) = secret_service.listing(core, Actor.cli("t"), name="registry.registry.example.com_5000").rows
    assert secret.scope == "global"
    visitor.post(f"{done}/pin")
    assert state(core, "x")[0].image == f"{image}@{digest}"


def test_a_viewer_reads_catalogues_and_adds_nothing(new_visitor: NewVisitor, visitor: Visitor) -> None:
    where = put(visitor, samples.CLIENT)
    viewer = new_visitor().sign_in("viewer")
    assert viewer.get("/install").status_code == 200 and viewer.get(where).status_code == 200
    assert viewer.get(f"{where}/0").status_code == 403 and viewer.post("/install", {"text": "tiny:1"}).status_code == 403


def test_a_large_catalogue_is_paged_searched_and_light(visitor: Visitor, core: Core) -> None:
    text = json.dumps({"registry": {f"server-{at:03}": {
        "image": f"example/x{at}:1", "title": f"Title {at}", "description": "It does something useful. " * 8, "secrets": [{"name": "a.k", "env": "A_KEY"}],
    } for at in range(330)}})
    where = put(visitor, text)
    page = visitor.get(where, **{"Accept-Encoding": "gzip"})
    assert len(page.data) <= 12 * 1024
    markup = check_markup(visitor.app, visitor.get(where).text)
    assert len(markup.elements) <= 1500
    assert "server-049" in visitor.get(where).text and "server-050" not in visitor.get(where).text
    assert "server-329" in visitor.get(f"{where}?from=300").text
    found = visitor.get(f"{where}?q=ｔｉｔｌｅ 329").text
    assert "server-329" in found and "server-328" not in found
    assert "330" in visitor.get("/install").text
