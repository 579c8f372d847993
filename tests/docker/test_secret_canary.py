"""A canary secret is stored, bound, delivered and used by a real server – and looked for everywhere it must not be."""
from __future__ import annotations

import base64
import html
import json
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from mcpweb.contracts import Delivery
from tests.docker.house import House, Search, sha256, spellings
from tests.docker.images import build_image
from tests.waiting import eventually

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


@pytest.fixture(scope="module")
def installed(docker_session: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"), MCPWEB_LOG_LEVEL="info")  # so that the log says as much as it can
    yield made
    made.close()


@pytest.fixture
def house(installed: House) -> Iterator[House]:
    """An installation with no servers; each test stores a secret of its own."""
    yield installed
    installed.remove_servers()


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
    house.store("spilled", value, ("leaky", "API_KEY", "stdin"))
    house.served.cli("servers", "start", "leaky")
    assert house.digest("leaky", "API_KEY")["sha256"] == sha256(value)
    house.served.json("servers", "call", "leaky", "spill", '{"name": "API_KEY"}')
    job = house.served.json("servers", "call", "leaky", "env", '{"name": "API_KEY"}')
    assert "[redacted]" in json.dumps(job["result"])
    eventually(lambda: "[redacted]" in house.served.cli("servers", "logs", "leaky"))
    assert house.search(value, ["leaky"]).hits == []


def test_the_environment_is_the_one_way_that_shows_and_says_so(house: House) -> None:
    value = f"canary-{secrets.token_hex(16)}"
    house.served.cli("servers", "add", "shown", "--image", build_image("fixture"))
    house.store("shown", value, ("shown", "API_KEY", "environment"))
    house.served.cli("servers", "start", "shown")
    assert house.digest("shown", "API_KEY") == {"from": "environment", "sha256": sha256(value)}
    search = house.search(value, ["shown"])
    areas = {hit.partition(":")[0] for hit in search.hits}
    assert {"inspect", "commit"} <= areas <= {"inspect", "commit", "engine data"}
    if os.geteuid() == 0:
        assert "engine data" in areas
    assert "last resort" in house.served.cli("servers", "logs", "shown")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, one on": lambda text: base64.b64encode(b"x" + text.encode() + b"yz").decode(),
    "base64, two on": lambda text: base64.b64encode(b"xy" + text.encode() + b"z").decode(),
    "base64 of addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "address": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, every character": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "HTML": html.escape,
    "HTML, decimal": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML, hex": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
}
PLACES = ("result", "long result", "structured", "error", "refusal", "stderr")


def needles(value: str) -> list[bytes]:
    """Return parts of each spelling that are long enough to belong to this value alone, as they are and inside JSON."""
    parts = set()
    for spell in SPELLINGS.values():
        text = spell(value)
        for at in range(2, len(text) - 26, 8):
            parts |= {text[at : at + 24], json.dumps(text[at : at + 24])[1:-1], html.escape(text[at : at + 24])}
    return sorted(part.encode() for part in parts)


def test_a_tool_that_tells_its_secret_in_any_spelling_and_in_pieces_is_redacted_everywhere(house: House) -> None:
    value = f"canary {secrets.token_hex(12)} \"q\" <&> 100%/+ {secrets.token_hex(12)}"
    near = value[:-4] + "____"
    house.served.cli("servers", "add", "speller", "--image", build_image("fixture"))
    house.store("spelled", value, ("speller", "API_KEY", "stdin"))
    house.served.cli("servers", "start", "speller")
    assert house.digest("speller", "API_KEY")["sha256"] == sha256(value)
    calls = {
        (spelling, place): house.call("speller", "spell", name="API_KEY", spelling=spelling, place=place)
        for spelling in SPELLINGS for place in PLACES
    }
    for (spelling, place), job in calls.items():
        if place in ("result", "structured", "error", "long result"):
            assert "[redacted]" in json.dumps(job["result"]), (spelling, place)
    eventually(lambda: house.served.cli("servers", "logs", "speller").count("[redacted]") >= len(SPELLINGS))
    search = Search(needles(value))
    house.look_around(search)
    assert search.hits == []
    told = house.call("speller", "echo", text=near)
    assert near in told["result"]["result"]["content"][0]["text"], "what is near to a secret and none is left alone"
