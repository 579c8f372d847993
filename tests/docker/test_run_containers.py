"""What a run child gets of a real engine: planted files, samples, an image's layers, what a container became – and nothing of it stays."""
from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from mcpweb.bench.containers import RunContainers
from mcpweb.bench.imagefiles import image_files
from mcpweb.bench.watching import Samples
from mcpweb.contracts import ConfigData
from mcpweb.errors import InvalidInput, Unavailable
from mcpweb.mcp import session as sessions
from tests.docker.engine import ADDRESS, DockerRuntime, DockerSession, api
from tests.docker.test_sinkhole import REAL, of_a_run

pytestmark = pytest.mark.docker
FILES = {"/srv/data/secret.txt": "planted-4711", "/srv/data/deep/er/key.pem": "-----BEGIN", "/home/canary/.ssh/id_rsa": "ü"}


@pytest.fixture(scope="module")
def run(docker_session: DockerSession, python_image: str) -> Iterator[RunContainers]:
    made = of_a_run(docker_session, python_image)
    yield made
    orphans: list[str] = []
    made.clean_up(orphans.append)
    runtime = DockerRuntime(ADDRESS)
    assert orphans == [] and runtime.planted(made._instance.id) == [] and runtime.containers(made._instance.id) == []


def launch(run: RunContainers, **message: Any) -> tuple[dict[str, Any], sessions.Session]:
    fds: list[int] = []
    launched = run.do("launch", message, fds)
    return launched, sessions.open_stdio(socket.socket(fileno=fds.pop()))


def reach(session: sessions.Session, how: str, target: str) -> str:
    return str(session.call("reach", {"how": how, "target": target})["content"][0]["text"])


def test_planted_files_are_read_by_the_server_and_cannot_be_written(run: RunContainers) -> None:
    launched, session = launch(run, planted=FILES)
    assert {path: reach(session, "file", path) for path in FILES} == FILES
    facts = run.do("inspect", {"container_id": launched["container_id"]}, [])["raw"]
    assert [mount["RW"] for mount in facts["Mounts"]] == [False] * 2
    session.close()
    runtime = DockerRuntime(ADDRESS)
    made = runtime.planted(run._instance.id)
    assert len(made) == 2
    again, session = launch(run, planted=dict(FILES), canaries=True)
    assert runtime.planted(run._instance.id) == made, "the same files are planted once"
    assert reach(session, "file", "/srv/data/secret.txt") == "planted-4711"
    assert again["canaries"]["TOKEN"] == reach(session, "environment", "TOKEN") != REAL
    session.close()


@pytest.mark.parametrize("path", ["/proc/x/y", "/etc/evil", "/usr/bin/tool", "/tmp/in-memory"])
def test_what_cannot_be_planted_is_said(run: RunContainers, path: str) -> None:
    made = DockerRuntime(ADDRESS).planted(run._instance.id)
    with pytest.raises(Unavailable):
        launch(run, planted={path: "x"})
    assert DockerRuntime(ADDRESS).planted(run._instance.id) == made, "nothing was made in vain"


@pytest.mark.parametrize("files", [{"relative": "x"}, {"/top": "x"}, {"/a/../b/c": "x"}, {"/a/b": 5}, {"/a/b": "x" * (2 << 20)}], ids=lambda f: next(iter(f)))
def test_what_is_no_place_for_a_file_is_refused(run: RunContainers, files: Any) -> None:
    with pytest.raises(InvalidInput):
        run.do("launch", {"planted": files}, [])


def test_a_container_is_sampled_and_looked_into(run: RunContainers) -> None:
    launched, session = launch(run, changes={"read_only_root": False})
    here = {"container_id": launched["container_id"]}

    def feed() -> int:
        fds: list[int] = []
        run.do("watch", here, fds)
        return fds.pop()

    with Samples(feed) as watch:
        assert len(watch.samples()) == 1
        assert any("python3" in line for line in run.do("processes", here, []))
    first, *_, last = watch.samples()
    assert last.cpu_s >= first.cpu_s > 0 and first.memory_bytes > 0 and last.at > first.at
    assert run.do("changes", here, []) == []
    session.close()


def test_the_layers_of_the_image_come_through_the_worker(run: RunContainers, python_image: str) -> None:
    fds: list[int] = []
    run.do("image_files", {}, fds)
    with socket.socket(fileno=fds.pop()) as sock, sock.makefile("rb") as archive:
        files = list(image_files(archive.read))
    client = api()
    layers = client.inspect_image(python_image)["RootFS"]["Layers"]
    client.close()
    assert {file.layer for file in files} == set(range(len(layers)))
    assert any(file.path.endswith("bin/python3") for file in files)


def test_an_http_server_with_canaries_is_reached_and_has_no_way_out(docker_session: DockerSession, python_image: str) -> None:
    from tests.docker.images import build_image

    config = ConfigData(command=("good", "--http", "8000"), transport="http", port=8000, network="outbound")
    made = of_a_run(docker_session, build_image("fixture"), config)
    client = api()
    try:
        fds: list[int] = []
        launched = made.do("launch", {"canaries": True}, fds)
        session = sessions.open_http(launched["endpoint"], socket.socket(fileno=fds.pop()))
        assert session.listing("tools")
        (network,) = client.inspect_container(launched["container_id"])["NetworkSettings"]["Networks"]
        assert client.inspect_network(network)["Options"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
        session.close()
    finally:
        client.close()
        made.clean_up(lambda container_id: None)
        DockerRuntime(ADDRESS).cleanup(made._instance.id)
