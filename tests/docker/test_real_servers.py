"""Servers other people wrote, through the product: start, list, call, connection test, stop.

Nothing in the product knows these servers. ``SERVER_IMAGES=ref,ref`` puts images of your own (stdio) to the first test.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mcpweb.services import servers
from tests.docker.engine import DockerSession
from tests.docker.images import build_image
from tests.docker.installation import ACTOR, Installation, installation

OWN = tuple(reference for reference in os.environ.get("SERVER_IMAGES", "").split(",") if reference)


@dataclass(frozen=True)
class Known:
    """What one of the known servers must say."""

    image: str
    protocol: str
    tools: int
    calls: tuple[tuple[str, dict[str, Any], str], ...]
    command: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    broken: frozenset[str] = field(default=frozenset())  # checks it fails, and rightly


ECHO = ("echo", {"message": "grüße"}, "grüße")
SERVERS = {
    "time": Known("time", "2026-07-28", tools=2, calls=(
        ("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, "T21:00:00+09:00"),
    )),
    # once its simulated log is on, it never leaves when its input ends; at rest it does
    "everything": Known(
        "everything", "2025-11-25", tools=13, calls=(ECHO, ("get-sum", {"a": 2, "b": 3}, "5")), broken=frozenset({"C08"}),
    ),
    "filesystem": Known("filesystem", "2025-11-25", tools=14, calls=(
        ("write_file", {"path": "/tmp/note.txt", "content": "kept"}, "Successfully"),
        ("read_text_file", {"path": "/tmp/note.txt"}, "kept"),
    )),
    # a program in an image that holds nothing else; it does leave at the first line that is not JSON
    "static": Known("static", "2026-07-28", tools=24, broken=frozenset({"C03", "C06", "C07"}), calls=(
        ("format_bibliography", {"style": "mla", "sources": [{"url": "https://a.example", "title": "On ropes"}]}, "On ropes"),
    )),
    # its HTTP side really does answer every Origin
    "everything-http": Known(
        "everything", "2025-11-25", tools=13, calls=(ECHO,), broken=frozenset({"C10"}), command=("streamableHttp",),
        config={"transport": "http", "port": 3001, "network": "published"},
    ),
}


@pytest.fixture(scope="module")
def here(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("real")) as made:
        yield made


@pytest.mark.parametrize("reference", OWN or ("the demo's",))
def test_a_server_of_your_own_starts_lists_its_tools_and_is_tested_to_the_end(
    here: Installation, reference: str, python_image: str
) -> None:
    server = here.add(f"own-{OWN.index(reference)}" if OWN else "own", reference if OWN else python_image)
    started = here.ask(server, "start")
    assert started.state == "succeeded", started.error
    assert servers.tools_of(here.core, ACTOR, server.id)
    report = here.test(server)
    assert report.run.state == "succeeded" and report.run.counts["undecided"] == 0, report.wrong()
    assert here.ask(server, "stop").state == "succeeded" and here.containers() == []


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_somebody_else_wrote_is_run_called_tested_and_stopped(here: Installation, name: str) -> None:
    known = SERVERS[name]
    server = here.add(name, build_image(known.image), *known.command, **known.config)
    started = here.ask(server, "start")
    assert started.state == "succeeded" and started.result["protocol"] == known.protocol, started.error
    assert len(servers.tools_of(here.core, ACTOR, server.id)) == known.tools
    for tool, arguments, expected in known.calls:
        called = here.call(server, tool, **arguments)
        assert called.state == "succeeded" and expected in called.result["result"]["content"][0]["text"], called
    report = here.test(server)
    assert report.run.state == "succeeded" and report.run.protocol == known.protocol
    assert set(report.wrong()) == known.broken, report.wrong()
    assert servers.get(here.core, ACTOR, server.id).status == "running"  # the test had containers of its own
    assert here.ask(server, "stop").state == "succeeded"
    assert servers.get(here.core, ACTOR, server.id).status == "stopped" and here.containers() == []
