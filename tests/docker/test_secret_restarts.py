"""The engine or the worker goes and comes back: servers have their secrets again, and nothing is left over."""
from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcpweb_plugins.runtime_docker.secretfiles import SecretFiles

from tests.docker.engine import ADDRESS
from tests.docker.fault_proxy import FaultProxy
from tests.docker.house import House, sha256
from tests.docker.images import build_image
from tests.waiting import eventually

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def proxy(docker_session: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    made = FaultProxy(tmp_path_factory.mktemp("proxy") / "e.sock", ADDRESS.removeprefix("unix://"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def house(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An installation with a server over stdio, one that has its secret by file, and one over http; all run before each test."""
    made = House(tmp_path_factory.mktemp("house"), DOCKER_HOST=proxy.address)
    made.value = f"canary-{secrets.token_hex(16)}"
    image = build_image("fixture")
    made.served.cli("servers", "add", "over-stdio", "--image", image)
    made.served.cli("servers", "add", "by-file", "--image", image)
    made.served.cli("servers", "add", "over-http", "--image", image, "--transport", "http", "--port", "8000",
                    "--command", "open --http 8000")
    made.store(
        "canary", made.value, ("over-stdio", "API_KEY", "stdin"), ("by-file", "API_KEY", "file"),
        ("over-http", "API_KEY", "stdin"),
    )
    for name in SERVERS:
        made.served.cli("servers", "start", name)
    yield made
    proxy.set("pass")
    made.close()
    assert folders(made) == []


SERVERS = ("over-stdio", "by-file", "over-http")


def folders(house: House) -> list[Path]:
    """Return the folders of secrets in memory."""
    instance = json.loads((house.served.folder / "data.keys/instance.json").read_text())["id"]
    place = SecretFiles().place(ADDRESS) / f"mcpweb-{instance[-8:]}"
    return sorted(place.iterdir()) if place.exists() else []


def running(house: House, *names: str) -> bool:
    return all(house.served.json("servers", "show", name)["status"] == "running" for name in names)


def all_have_it(house: House) -> None:
    for name in SERVERS:
        assert house.digest(name, "API_KEY")["sha256"] == sha256(house.value), name


def test_after_a_restart_of_the_engine_every_server_has_its_secret_again(house: House, proxy: FaultProxy) -> None:
    all_have_it(house)
    before = {name: house.container(name) for name in SERVERS}
    (folder,) = folders(house)
    proxy.set("refuse")
    proxy.cut()
    eventually(lambda: all(house.served.json("servers", "show", name)["status"] == "unknown" for name in SERVERS))
    for container in before.values():
        house.client.stop(container, timeout=1)
    proxy.set("pass")
    eventually(lambda: running(house, *SERVERS), 60)
    all_have_it(house)
    assert not set(before.values()) & {house.container(name) for name in SERVERS}
    eventually(lambda: len(folders(house)) == 1 and folders(house) != [folder], 40)


def test_after_a_worker_was_killed_every_server_has_its_secret_still_or_again(house: House) -> None:
    before = {name: house.container(name) for name in SERVERS}
    (folder,) = folders(house)
    os.kill(house.served.children()["worker"], signal.SIGKILL)
    eventually(lambda: house.container("over-stdio") != before["over-stdio"], 60)
    eventually(lambda: running(house, *SERVERS) and house.container("by-file") != before["by-file"], 60)
    all_have_it(house)
    assert house.container("over-http") == before["over-http"], "it served on and was taken over"
    eventually(lambda: len(folders(house)) == 1 and folders(house) != [folder], 40)


def test_a_secret_that_changed_is_a_restart_to_make(house: House) -> None:
    new = f"canary-{secrets.token_hex(16)}"
    house.store("canary", new)
    shown = eventually(lambda: (s := house.served.json("servers", "show", "over-http"))["status_detail"] and s, 45)
    assert shown["status"] == "running" and "secrets changed" in shown["status_detail"]
    assert house.digest("over-http", "API_KEY")["sha256"] == sha256(house.value)
    house.served.cli("servers", "restart", "over-http")
    assert house.digest("over-http", "API_KEY")["sha256"] == sha256(new)
    house.value = new
    assert not house.served.json("servers", "show", "over-http")["status_detail"]
