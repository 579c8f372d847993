"""Snippets for clients: the hardened command, placeholders for secrets, the address of an http server, all of it inert."""
from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from click.testing import CliRunner

from mcpweb import catalogs
from mcpweb.cli import cli
from mcpweb.contracts import Actor, ConfigData, Mount, Sensitive
from mcpweb.core import Core
from mcpweb.errors import Conflict, NotFound
from mcpweb.services import bindings, configurations, connect, jobs, secrets, servers
from mcpweb.testing.fixtures import MakeServer, Visitor, check_markup
from mcpweb.worker import Worker

NASTY = '"><script>alert(1)</script>$(id)`id`'


def snippets(page: str) -> dict[str, str]:
    return {unescape(name): unescape(text) for name, text in re.findall(r'<pre id="snippet-\d+" tabindex="0" aria-label="([^"]+)">(.*?)</pre>', page, re.DOTALL)}


def test_a_stdio_server_is_reached_by_a_command_as_hardened_as_ours_without_the_values_of_its_secrets(
    visitor: Visitor, make_server: MakeServer, core: Core, actor: Actor
) -> None:
    config = ConfigData(environment={"MODE": NASTY}, mounts=(Mount("volume", "data", "/data"),), user="1000", command=("--x", NASTY))
    server = make_server("one", config=config)
    secret = secrets.add(core, actor, name="KEY", value=Sensitive("a-value-nobody-sees"))
    bindings.bind(core, actor, secret.id, configurations.active(core, actor, server.id).id, variable="API_KEY", scope="required", delivery="file")
    page = visitor.get("/servers/one/connect").text
    check_markup(visitor.app, page)
    assert "a-value-nobody-sees" not in page and "<script>alert" not in page
    found = snippets(page)
    assert set(found) == {"Claude Desktop", "VS Code", "Cursor", "mcpServers", "docker run"}
    entry = json.loads(found["Claude Desktop"])["mcpServers"]["one"]
    assert entry["env"] == {"API_KEY": "<API_KEY>"} and entry["command"] == "docker"
    text = " ".join(entry["args"])
    for part in ("--cap-drop ALL", "--security-opt no-new-privileges", "--read-only", "--network none", "--user 1000", "--pids-limit 256",
                 "--mount type=volume,source=data,target=/data,readonly", "-e API_KEY", "tiny:1 --x"):
        assert part in text, part
    code = json.loads(found["VS Code"])
    assert code["servers"]["one"]["env"] == {"API_KEY": "${input:API_KEY}"} and code["inputs"][0]["password"] is True


def test_what_a_snippet_says_is_read_back_as_the_same_server(make_server: MakeServer, core: Core, actor: Actor) -> None:
    config = ConfigData(environment={"MODE": "a b"}, mounts=(Mount("volume", "data", "/data"),), user="1000", command=("--x", "y z"))
    make_server("one", config=config)
    for snippet in connect.show(core, actor, "one").snippets:
        (draft,) = catalogs.read(snippet.text).drafts
        assert (draft.image, draft.command, draft.user, draft.network) == ("tiny:1", ("--x", "y z"), "1000", "none"), snippet.client
        assert [(m.source, m.target, m.read_only) for m in draft.mounts] == [("data", "/data", True)]
        assert [(v.name, v.value) for v in draft.variables] == [("MODE", "a b")]


def test_an_http_server_has_an_address_while_it_runs(
    visitor: Visitor, make_server: MakeServer, core: Core, actor: Actor, worker: Worker
) -> None:
    make_server("web", config=ConfigData(transport="http", port=8000, network="published"))
    assert "It has no address now" in visitor.get("/servers/web/connect").text
    job = jobs.wait(core, servers.request(core, actor, "web", "start").id, 40)
    assert job.state == "succeeded", job.error
    page = visitor.get("/servers/web/connect").text
    check_markup(visitor.app, page)
    url = json.loads(snippets(page)["Cursor"])["mcpServers"]["web"]["url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/mcp", url)


def test_programs_and_the_command_line_are_told_what_the_page_shows(
    visitor: Visitor, make_server: MakeServer, core: Core, actor: Actor
) -> None:
    server = make_server("one", config=ConfigData(environment={"MODE": NASTY}))
    make_server("web", config=ConfigData(transport="http", port=8000, network="published"))
    secret = secrets.add(core, actor, name="KEY", value=Sensitive("a-value-nobody-sees"))
    bindings.bind(core, actor, secret.id, configurations.active(core, actor, server.id).id, variable="API_KEY", scope="required", delivery="file")
    told = visitor.get("/api/v1/servers/one/connect").json
    assert told["server_id"] == server.id and (told["transport"], told["url"]) == ("stdio", None)
    assert told["secrets"] == told["files"] == ["API_KEY"] and "a-value-nobody-sees" not in str(told)
    assert {one["client"]: one["text"] for one in told["snippets"]} == snippets(visitor.get("/servers/one/connect").text)
    assert visitor.get("/api/v1/servers/web/connect").json["snippets"] == []
    assert visitor.get("/api/v1/servers/nobody/connect").status_code == 404

    def run(*words: str) -> Any:
        environment = {"MCPWEB_DATA_DIR": str(core.settings.data_dir)}
        done = CliRunner().invoke(cli, ["servers", "connect", *words], env=environment, standalone_mode=False)
        return done.exception or done.stdout

    assert json.loads(run("one", "--json")) == told
    (code,) = (one["text"] for one in told["snippets"] if one["client"] == "VS Code")
    assert run("one", "--client", "vs code") == code + "\n"
    assert "# Cursor: .cursor/mcp.json\n" in run("one") and isinstance(run("one", "--client", "x"), NotFound)
    assert isinstance(run("web"), Conflict)
