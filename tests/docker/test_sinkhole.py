"""Behind a sinkhole a server reaches nothing but the sinkhole, which answers and tells; who stands there has no real secret."""
from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mcpweb.bench.containers import RunContainers
from mcpweb.bench.rows import RunRequest
from mcpweb.bench.sinkhole.log import MOST_EVENTS, Sinkhole
from mcpweb.bench.sinkhole.relay import Relay
from mcpweb.contracts import ConfigData, ContainerIntent, SecretDelivery, Sensitive, SinkEvent
from mcpweb.errors import Failure, NotFound, PolicyRefused, Unavailable
from mcpweb.instance import Instance
from mcpweb.mcp import session as sessions
from tests.docker.engine import ADDRESS, DockerRuntime, DockerSession, api
from tests.waiting import eventually

pytestmark = pytest.mark.docker
PROGRAM = Path(__file__).with_name("reaching_program.py").read_text()
REAL = "the-real-value-of-the-secret"
REACHING = ConfigData(entrypoint=("python3", "-c", PROGRAM), command=())


def of_a_run(docker_session: DockerSession, image: str, config: ConfigData = REACHING) -> RunContainers:
    """Return the containers of a run of a server that has a secret."""
    runtime = DockerRuntime(ADDRESS)
    request = RunRequest(
        run_id="run_x", server={"id": "srv_x", "name": "reaching", "image": image}, config=config, types=("security",),
        profile="quick", parameters={}, seed=1, approved_image_id=None,
    )
    instance = Instance(docker_session.instance(), data_dir="", created_at="")
    secrets = (SecretDelivery("TOKEN", Sensitive(REAL), "stdin"), SecretDelivery("PASSWORD", Sensitive(REAL), "environment"))
    return RunContainers(runtime, instance, request, runtime.image(image), lambda fraction, sentence: None, secrets)


@dataclass
class Behind:
    """A sinkhole and a server behind it."""

    containers: RunContainers
    sink: Sinkhole
    session: sessions.Session
    canaries: dict[str, str]
    container_id: str

    def reach(self, how: str, target: str, **more: Any) -> str:
        result = self.session.call("reach", {"how": how, "target": target, **more}, deadline_s=20)
        return str(result["content"][0]["text"])

    def told(self, how: str, target: str, **more: Any) -> list[SinkEvent]:
        """Reach for something and return what the sinkhole saw of it."""
        seen = len(self.sink.events())
        self.reach(how, target, **more)
        return self.sink.events(since=seen)


@pytest.fixture(scope="module")
def behind(docker_session: DockerSession, python_image: str) -> Iterator[Behind]:
    run = of_a_run(docker_session, python_image)
    fds: list[int] = []
    started = run.do("sink", {}, fds)
    sink = Sinkhole(started["container_id"], socket.socket(fileno=fds.pop()), started["secret"])
    launched = run.do("launch", {"sink": sink.container_id}, fds)
    session = sessions.open_stdio(socket.socket(fileno=fds.pop()))
    yield Behind(run, sink, session, launched["canaries"], launched["container_id"])
    session.close()
    sink.close()
    orphans: list[str] = []
    run.clean_up(orphans.append)
    assert orphans == []


def test_a_name_nobody_used_before_is_asked_for_answered_and_told(behind: Behind) -> None:
    name = behind.sink.host()
    assert name != behind.sink.host()
    assert behind.reach("name", name).startswith("11.")
    told = behind.sink.wait(lambda event: event.mentions(name), deadline_s=2)
    assert told is not None and (told.kind, told.name) == ("dns", name)
    assert behind.sink.wait(lambda event: event.mentions("never-asked"), deadline_s=0.2) is None


def test_a_rebinding_name_means_loopback_from_the_second_question_on(behind: Behind) -> None:
    name = behind.sink.host("rebind")
    assert [behind.reach("name", name).split(".")[0] for _ in range(3)] == ["11", "127", "127"]


@pytest.mark.parametrize(("label", "address"), [("loop", "127.0.0.1"), ("meta", "169.254.169.254"), ("priv", "10.20.30.40")])
def test_a_public_name_may_mean_an_inner_address(behind: Behind, label: str, address: str) -> None:
    name = behind.sink.host(label)
    assert behind.reach("name", name) == behind.reach("name", f"trusted.example.{name}") == address
    assert behind.reach("name", "metadata.google.internal") == "169.254.169.254"


@pytest.mark.parametrize("code", ["301", "303", "307", "308", "999"])
def test_each_kind_of_redirect_is_followed(behind: Behind, code: str) -> None:
    url = f"http://{behind.sink.host()}/redirect/{code}?to=http://127.0.0.1:8080/inner-{code}"
    assert behind.reach("url", url).strip() == behind.sink.answer(f"/inner-{code}")


@pytest.mark.parametrize("place", ["http://{host}/x?y=1", "http://{host}:8080/deep/path", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:3000/local", "http://2130706433:8000/decimal", "http://203.0.113.9/plain"])
def test_a_request_is_answered_by_a_text_only_the_sinkhole_knows(behind: Behind, place: str) -> None:
    url = place.format(host=behind.sink.host())
    path = "/" + url.split("/", 3)[3]
    seen = len(behind.sink.events())
    assert behind.reach("url", url).strip() == behind.sink.answer(path)
    asked = [event for event in behind.sink.events(since=seen) if event.kind == "http"]
    assert [(event.method, event.path) for event in asked] == [("GET", path)]
    assert behind.sink.answer(path) != behind.sink.answer(f"{path}?other")


def test_a_redirect_is_followed_to_where_it_was_sent(behind: Behind) -> None:
    inner = "http://169.254.169.254/latest/role"
    assert behind.reach("url", f"http://{behind.sink.host()}/redirect?to={inner}").strip() == behind.sink.answer("/latest/role")


def test_a_body_is_told_and_holds_the_canary_and_never_the_secret(behind: Behind) -> None:
    told = behind.told("post", f"http://{behind.sink.host()}/collect")
    bodies = [event.body for event in told if event.kind == "http"]
    assert bodies == [behind.canaries["TOKEN"]]
    assert behind.canaries["PASSWORD"] == behind.reach("environment", "PASSWORD")
    assert REAL not in behind.canaries.values()


@pytest.mark.parametrize(("how", "port", "kind"), [("tcp", 4444, "tcp"), ("udp", 9999, "udp")])
def test_other_connections_are_told_with_address_and_port(behind: Behind, how: str, port: int, kind: str) -> None:
    told = behind.told(how, "198.51.100.7", port=port)
    assert [(event.kind, event.address, event.port) for event in told] == [(kind, "198.51.100.7", port)]


def test_the_name_a_tls_client_asks_for_is_told(behind: Behind) -> None:
    name = behind.sink.host()
    assert name in [event.name for event in behind.told("tls", name) if event.kind == "tls"]


def test_the_hostname_is_the_sinkholes_and_random(behind: Behind) -> None:
    assert behind.reach("file", "/etc/hostname").strip() == behind.sink.hostname
    assert len(behind.sink.hostname) == 12


def test_neither_the_sinkhole_nor_who_stands_behind_it_has_a_way_out(behind: Behind) -> None:
    client = api()
    sink, server = (client.inspect_container(one) for one in (behind.sink.container_id, behind.container_id))
    client.close()
    assert sink["HostConfig"]["NetworkMode"] == "none"
    assert server["HostConfig"]["NetworkMode"] == f"container:{behind.sink.container_id}"
    assert (server["HostConfig"]["CapAdd"] or []) == []
    assert sink["HostConfig"]["CapDrop"] == server["HostConfig"]["CapDrop"] == ["ALL"]
    assert not sink["HostConfig"]["Privileged"] and sink["HostConfig"]["ReadonlyRootfs"]
    assert REAL not in str(server), "a real secret went to a server under probes"


def test_a_sinkhole_of_another_run_or_a_container_that_is_none_is_refused(
    docker_session: DockerSession, behind: Behind, python_image: str
) -> None:
    other = of_a_run(docker_session, python_image)
    with pytest.raises(NotFound):
        other.do("launch", {"sink": behind.sink.container_id}, [])
    runtime = DockerRuntime(ADDRESS)
    inside = docker_session.intent(python_image, role="test", behind=behind.sink.container_id)
    with pytest.raises(PolicyRefused, match="not a running sinkhole of this instance"):
        runtime.launch(inside)


@pytest.mark.parametrize("change", [
    {"role": "server"}, {"config": replace(REACHING, network="outbound")}, {"behind": "host"}, {"behind": "a" * 63},
    {"config": replace(REACHING, transport="http", port=8000, network="published")},
], ids=str)
def test_only_a_test_with_no_other_network_stands_behind_a_sinkhole(docker_session: DockerSession, python_image: str, change: dict[str, Any]) -> None:
    sound = docker_session.intent(python_image, REACHING, role="test", behind="a" * 64)
    DockerRuntime(ADDRESS).check(sound)
    with pytest.raises(PolicyRefused):
        DockerRuntime(ADDRESS).check(replace(sound, **change))


@pytest.mark.parametrize("change", [
    {"role": "test"}, {"role": "server"}, {"behind": "a" * 64}, {"secrets": (SecretDelivery("X", Sensitive("value-x"), "environment"),)},
    {"config": replace(REACHING, network="outbound")},
], ids=str)
def test_only_a_plain_helper_gets_the_rights_of_a_sinkhole(docker_session: DockerSession, python_image: str, change: dict[str, Any]) -> None:
    sound: ContainerIntent = docker_session.intent(python_image, REACHING, role="helper", sinkhole=True)
    DockerRuntime(ADDRESS).check(sound)
    with pytest.raises(PolicyRefused):
        DockerRuntime(ADDRESS).check(replace(sound, **change))


def test_a_server_that_speaks_http_is_reached_behind_it_and_reaches_nothing_else(docker_session: DockerSession, python_image: str) -> None:
    run = of_a_run(docker_session, python_image, replace(REACHING, command=("--http", "8000"), transport="http", port=8000, network="published"))
    fds: list[int] = []
    try:
        started = run.do("sink", {}, fds)
        sink = Sinkhole(started["container_id"], socket.socket(fileno=fds.pop()), started["secret"])
        launched = run.do("launch", {"sink": sink.container_id}, fds)
        relay, output = Relay(socket.socket(fileno=fds.pop())), socket.socket(fileno=fds.pop())
        session = sessions.open_http(f"http://127.0.0.1:{relay.port}{launched['endpoint']}", output, era="handshake")
        behind = Behind(run, sink, session, launched["canaries"], launched["container_id"])
        name = sink.host()
        seen = len(sink.events())
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(lambda path: behind.reach("url", f"http://{name}/{path}").strip(), range(8)))
        assert said == [sink.answer(f"/{path}") for path in range(8)]
        kinds = {event.kind for event in sink.events(since=seen)}
        assert kinds == {"dns", "http"}, "what we ask the server is not told as something it tried"
        assert behind.reach("environment", "PASSWORD") == launched["canaries"]["PASSWORD"] != REAL
        facts = run.do("inspect", {"container_id": launched["container_id"]}, [])["raw"]["HostConfig"]
        assert facts["NetworkMode"] == f"container:{sink.container_id}" and not facts["PortBindings"]
        with pytest.raises(Unavailable, match="has its port"):
            run.do("launch", {"sink": sink.container_id}, [])
        with pytest.raises(Failure, match="keeps its port"):
            run.do("launch", {"sink": sink.container_id, "changes": {"port": 9000}}, [])
        session.close()
        relay.close()
        run.do("remove", {"container_id": launched["container_id"]}, [])
        again = run.do("launch", {"sink": sink.container_id}, fds)
        for fd in fds:
            socket.socket(fileno=fd).close()
        assert again["container_id"] != launched["container_id"]
        sink.close()
    finally:
        run.clean_up(lambda container_id: None)


def test_a_flood_is_told_up_to_a_limit_and_hides_nothing_that_comes_after_it(behind: Behind) -> None:
    def flooded() -> int:
        behind.reach("flood", "198.51.100.8", port=20_000)
        return len([event for event in behind.sink.events() if event.kind == "udp"])

    eventually(lambda: flooded() >= 4_000)  # a busy machine drops packets of a flood before anybody can tell them
    assert flooded() == 4_000 and len(behind.sink.events()) < MOST_EVENTS
    name = behind.sink.host()
    assert [event.name for event in behind.told("name", name)] == [name]
