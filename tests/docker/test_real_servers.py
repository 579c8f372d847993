"""Servers other people wrote, through the product: start, list, call, connection test, logs, stop.

Nothing in the product knows these servers. ``SERVER_IMAGES=ref,ref`` adds images of your own (stdio) to the first test.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mcpweb.testing.served import Served
from tests.docker.engine import DockerSession
from tests.docker.images import build_image

OWN = tuple(reference for reference in os.environ.get("SERVER_IMAGES", "").split(",") if reference)


@dataclass(frozen=True)
class Known:
    """What one of the known servers must say."""

    image: str
    protocol: str
    calls: tuple[tuple[str, dict[str, Any], str], ...]
    tools: int
    options: tuple[str, ...] = ()
    broken: frozenset[str] = field(default=frozenset())  # checks it fails, and rightly


ECHO = ("echo", {"message": "grüße"}, "grüße")
SERVERS = {
    "time": Known("time", "2026-07-28", tools=2, calls=(
        ("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, "T21:00:00+09:00"),
    )),
    "everything": Known("everything", "2025-11-25", tools=13, calls=(ECHO, ("get-sum", {"a": 2, "b": 3}, "5"))),
    "filesystem": Known("filesystem", "2025-11-25", tools=14, calls=(
        ("write_file", {"path": "/tmp/note.txt", "content": "kept"}, "Successfully"),
        ("read_text_file", {"path": "/tmp/note.txt"}, "kept"),
    )),
    # its HTTP side really does answer every Origin
    "everything-http": Known("everything", "2025-11-25", tools=13, calls=(ECHO,), broken=frozenset({"C10"}), options=(
        "--transport", "http", "--port", "3001", "--command", "streamableHttp",
    )),
}


@pytest.fixture(scope="module")
def served(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served")).start()
    yield served
    for server in served.json("servers", "list")["items"]:
        served.cli("servers", "remove", server["name"], code=None)
    assert served.stop() == 0


def connection_run(served: Served, name: str) -> dict[str, Any]:
    """Run the connection test, whatever its verdict, and return the run."""
    return served.json("test", name, "--type", "connection", code=None)


def failed(run: dict[str, Any]) -> dict[str, str]:
    return {one["output_data"]["check_id"]: one["output_data"]["summary"] for one in run["results"] if one["status"] != "success"}


@pytest.mark.parametrize("reference", OWN or ("the demo's",))
def test_a_server_of_your_own_starts_lists_its_tools_and_is_tested_to_the_end(
    served: Served, reference: str, python_image: str
) -> None:
    name = f"own-{OWN.index(reference)}" if OWN else "own"
    reference = reference if OWN else python_image
    served.cli("servers", "add", name, "--image", reference)
    assert served.json("servers", "start", name)["state"] == "succeeded"
    assert served.json("servers", "tools", name)["items"]
    run = connection_run(served, name)
    assert run["state"] == "succeeded" and run["counts"]["undecided"] == 0, failed(run)
    served.cli("servers", "remove", name)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_somebody_else_wrote_is_run_called_tested_and_stopped(served: Served, name: str) -> None:
    known = SERVERS[name]
    served.cli("servers", "add", name, "--image", build_image(known.image), *known.options)
    started = served.json("servers", "start", name)
    assert started["state"] == "succeeded" and started["result"]["protocol"] == known.protocol
    assert len(served.json("servers", "tools", name)["items"]) == known.tools
    for tool, arguments, expected in known.calls:
        called = served.json("servers", "call", name, tool, json.dumps(arguments, ensure_ascii=False))
        assert expected in called["result"]["result"]["content"][0]["text"]
    run = connection_run(served, name)
    assert run["state"] == "succeeded" and run["protocol"] == known.protocol and run["counts"]["undecided"] == 0
    assert set(failed(run)) == known.broken, failed(run)
    assert served.json("servers", "show", name)["status"] == "running"  # the test used containers of its own
    served.cli("servers", "stop", name)
    assert served.json("servers", "show", name)["status"] == "stopped"


def test_the_fixture_is_good_in_both_eras_and_over_http(served: Served) -> None:
    image = build_image("fixture")
    for name, command in {"good": "good", "legacy": "legacy"}.items():
        served.cli("servers", "add", name, "--image", image, "--command", command)
        run = connection_run(served, name)
        assert run["verdict"] == "pass" and failed(run) == {}, failed(run)
        served.cli("servers", "add", f"{name}-http", "--image", image, "--transport", "http", "--port", "8000",
                   "--command", f"{command} --http 8000")
        run = connection_run(served, f"{name}-http")
        assert run["verdict"] == "pass" and failed(run) == {}, failed(run)
