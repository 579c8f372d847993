"""One engine, whole installations: two of them at once, and one whose connection breaks in the middle of a call."""
from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mcpweb.contracts import Limits
from mcpweb.dao.jobs import Job
from mcpweb.dao.servers import Server
from mcpweb.services import jobs, servers
from tests.docker.engine import ADDRESS, DockerSession, api
from tests.docker.fault_proxy import FaultProxy
from tests.docker.images import build_image
from tests.docker.installation import ACTOR, Installation, installation
from tests.sizes import size
from tests.waiting import eventually

pytestmark = pytest.mark.docker
KINDS = ("start", "stop", "restart", "worker", "kill")


@pytest.fixture(scope="module")
def image(docker_session: DockerSession) -> str:
    return build_image("fixture")


def status(here: Installation, name: str) -> str:
    return servers.get(here.core, ACTOR, name).status


class Manager:
    """One of the two: a server over stdio, and one over http with a network of its own."""

    def __init__(self, here: Installation, image: str) -> None:
        self.here = here
        self.servers = [
            here.add("notes", image, limits=Limits(memory_mb=64)),
            here.add("web", image, "open", "--http", "8000", transport="http", port=8000, network="published"),
        ]
        self.starting = [servers.request(here.core, ACTOR, server.id, "start") for server in self.servers]

    def holds(self) -> set[tuple[str, str]]:
        """Return what the engine has of it: containers with their states, and networks."""
        instance = self.here.core.instance.id
        client = api()
        networks = {(one["Name"], "network") for one in client.networks(filters={"label": f"mcpweb.instance={instance}"})}
        client.close()
        return networks | {(state.id, state.status) for state in self.here.core.runtime.containers(instance)}

    def settle(self) -> None:
        """Wait until each wanted server has its session and no other has one."""

        def as_wanted(server: Server) -> bool:
            row, member = servers.get(self.here.core, ACTOR, server.name), self.here.worker.fleet.member(server.id)
            return row.status == row.wanted and (member is not None) == (row.wanted == "running")

        eventually(lambda: all(map(as_wanted, self.servers)), 30)

    def do(self, kind: str, server: Server) -> None:
        if kind == "worker":
            self.here.worker.stop()
            self.here.work(brief=False)
        elif kind == "kill":
            container = servers.get(self.here.core, ACTOR, server.name).container_id
            if container:
                client = api()
                client.kill(container)
                client.close()
                eventually(lambda: servers.get(self.here.core, ACTOR, server.name).container_id != container, 30)
                self.here.ask(server, "start")
        else:
            assert self.here.ask(server, kind).state == "succeeded"
        self.settle()


@pytest.fixture
def two(image: str, tmp_path: Path) -> Iterator[list[Manager]]:
    with ExitStack() as stack:
        made = [Manager(stack.enter_context(installation(tmp_path / name, brief=False)), image) for name in ("one", "other")]
        for manager in made:
            assert [manager.here.wait(job).state for job in manager.starting] == ["succeeded"] * 2
        yield made
        for manager in made:
            for server in manager.servers:
                manager.here.ask(server, "remove")


def test_whatever_one_manager_does_the_other_keeps_what_is_its_own(two: list[Manager]) -> None:
    """Both have servers of the same names; the order is drawn, and each kind of thing is done at least once."""
    draw = random.Random(4)
    kinds = [*KINDS, *draw.choices(KINDS, k=size(1, 60))]
    draw.shuffle(kinds)
    for kind in kinds:
        actor, other = draw.sample(two, 2)
        before = other.holds()
        assert len(before) >= 1
        actor.do(kind, draw.choice(actor.servers))
        assert other.holds() == before, kind
    for manager in two:
        for server in manager.servers:
            manager.here.ask(server, "start")
            assert manager.here.call(server, "echo", text="mine").state == "succeeded"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[FaultProxy]:
    made = FaultProxy(tmp_path / "e.sock", ADDRESS.removeprefix("unix://"))
    yield made
    made.close()


def test_a_call_whose_connection_breaks_fails_once_is_not_made_again_and_the_next_one_works(
    proxy: FaultProxy, image: str, tmp_path: Path
) -> None:
    proxy.sent = []
    with installation(tmp_path, brief=False, DOCKER_HOST=proxy.address) as here:
        server = here.add("notes", image)
        assert here.ask(server, "start").state == "succeeded"
        made: list[Job] = []

        def call() -> None:
            made.append(here.call(server, "sleep", ms=50_000))
            here.core.db.close()

        caller = threading.Thread(target=call)
        caller.start()
        eventually(lambda: calls(proxy) == 1)
        broken = time.monotonic()
        proxy.cut()
        caller.join(20)
        assert made and made[0].state == "failed" and time.monotonic() - broken < 10, made
        assert made[0].error and made[0].error["detail"] and jobs.get(here.core, ACTOR, made[0].id).attempts == 1
        eventually(lambda: status(here, "notes") == "running" or here.ask(server, "start"), 30)
        assert calls(proxy) == 1, "it is not known whether the tool ran, so it must not run again"
        assert here.call(server, "echo", text="again").state == "succeeded" and calls(proxy) == 2
        here.ask(server, "remove")


def calls(proxy: FaultProxy) -> int:
    assert proxy.sent is not None
    return b"".join(proxy.sent).count(b'"tools/call"')
