"""A canary secret is stored, bound, delivered and used by a real server – and looked for everywhere it must not be."""
from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import Delivery
from tests.docker.house import House, Search, sha256, spellings
from tests.docker.images import build_image
from tests.docker.test_command_line import wait_for

pytestmark = pytest.mark.docker


def test_the_search_finds_a_value_however_it_is_spelled() -> None:
    value = f"canary-{secrets.token_hex(12)}"
    for shift in range(3):
        for text in (value.encode(), base64.b64encode(b"xyz"[:shift] + value.encode() + b"more"), value.encode().hex().encode()):
            search = Search(spellings(value))
            search.bytes("here", b"before " + text + b" after")
            assert search.hits == ["here"], text
    search = Search(spellings(value))
    search.bytes("there", base64.b64encode(b"canary-" + b"0" * 24))
    assert search.hits == []


@pytest.fixture
def house(docker_session: Any, tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def test_a_secret_that_servers_really_have_is_nowhere_else(house: House) -> None:
    value = f"canary-{secrets.token_hex(16)}"
    image = build_image("fixture")
    house.served.cli("servers", "add", "over-stdio", "--image", image)
    house.served.cli("servers", "add", "by-file", "--image", image)
    house.served.cli("servers", "add", "over-http", "--image", image, "--transport", "http", "--port", "8000",
                     "--command", "open --http 8000")
    ways: tuple[tuple[str, Delivery], ...] = (("over-stdio", "stdin"), ("by-file", "file"), ("over-http", "stdin"))
    house.store("canary", value, *((server, "API_KEY", way) for server, way in ways))
    for server, way in ways:
        house.served.cli("servers", "start", server)
        place = "file" if way == "file" else "environment"
        assert house.digest(server, "API_KEY") == {"from": place, "sha256": sha256(value)}, server
    house.served.cli("test", "over-stdio", "--type", "connection", code=None)
    search = house.search(value, [server for server, _ in ways])
    assert search.hits == []
    assert {
        "data folder", "key folder", "backup", "application log", "rows", "pages", "API", "inspect", "export", "commit",
    } <= set(search.looked), "each place was looked into"
    if os.geteuid() == 0:
        assert search.looked["engine data"] > 20


def test_a_server_that_spills_its_secret_spills_it_nowhere(house: House) -> None:
    value = f"canary-{secrets.token_hex(16)}"
    house.served.cli("servers", "add", "leaky", "--image", build_image("fixture"))
    house.store("canary", value, ("leaky", "API_KEY", "stdin"))
    house.served.cli("servers", "start", "leaky")
    assert house.digest("leaky", "API_KEY")["sha256"] == sha256(value)
    house.served.json("servers", "call", "leaky", "spill", '{"name": "API_KEY"}')
    job = house.served.json("servers", "call", "leaky", "env", '{"name": "API_KEY"}')
    assert "[redacted]" in json.dumps(job["result"])
    wait_for(lambda: "[redacted]" in house.served.cli("servers", "logs", "leaky"))
    assert house.search(value, ["leaky"]).hits == []


def test_the_environment_is_the_one_way_that_shows_and_says_so(house: House) -> None:
    value = f"canary-{secrets.token_hex(16)}"
    house.served.cli("servers", "add", "shown", "--image", build_image("fixture"))
    house.store("canary", value, ("shown", "API_KEY", "environment"))
    house.served.cli("servers", "start", "shown")
    assert house.digest("shown", "API_KEY") == {"from": "environment", "sha256": sha256(value)}
    search = house.search(value, ["shown"])
    areas = {hit.partition(":")[0] for hit in search.hits}
    assert {"inspect", "commit"} <= areas <= {"inspect", "commit", "engine data"}
    if os.geteuid() == 0:
        assert "engine data" in areas
    assert "last resort" in house.served.cli("servers", "logs", "shown")
