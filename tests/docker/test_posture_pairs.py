"""Each K check on real containers: made through the SDK behind the runtime's back, as somebody with the engine's socket would.

A privileged container cannot be started on every machine; one that was created shows what it would be, which is what is looked at.
"""
from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.core import Core
from mcpweb.dao.servers import Server
from mcpweb.pluginhost import import_folder
from tests.docker.engine import DockerSession, api
from tests.docker.pairs import Bench, bench

import_folder("testtype_security", paths.PLUGINS / "testtype_security")

from mcpweb_plugins.testtype_security import posture  # noqa: E402 - exists from here on

pytestmark = pytest.mark.docker
CLOSED = {
    "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "ReadonlyRootfs": True, "Memory": 512 * 2**20, "MemorySwap": 512 * 2**20,
    "PidsLimit": 256, "NanoCpus": 10**9, "NetworkMode": "none", "IpcMode": "private", "CgroupnsMode": "private",
    "LogConfig": {"Type": "none", "Config": {}}, "Tmpfs": {"/tmp": "size=64m"}, "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
}
Make = Callable[..., dict[str, Any]]


@contextlib.contextmanager
def containers(labels: dict[str, str], image: str) -> Iterator[Make]:
    """Give a function that creates a container and returns what inspect says; all are removed at the end."""
    client, made = api(), []

    def make(*, config: dict[str, Any] | None = None, start: bool = False, **host: Any) -> dict[str, Any]:
        body = {"Image": image, "Labels": labels, "Entrypoint": ["sleep"], "Cmd": ["60"], **(config or {}), "HostConfig": {**CLOSED, **host}}
        name = f"mcpweb-k-{secrets.token_hex(4)}"
        made.append(client.create_container_from_config(body, name)["Id"])
        if start:
            client.start(made[-1])
        return dict(client.inspect_container(made[-1]))

    try:
        yield make
    finally:
        for container in made:
            client.remove_container(container, force=True)
        client.close()


@pytest.fixture(scope="module")
def make(docker_session: DockerSession, python_image: str) -> Iterator[Make]:
    with containers(docker_session.labels, python_image) as made:
        yield made


def found(facts: dict[str, Any], check: str) -> dict[str, str]:
    return {flaw.pointer: flaw.severity for flaw in posture.flaws(facts) if flaw.check == check}


def bind(source: str, read_only: bool = True, propagation: str = "rprivate") -> dict[str, Any]:
    return {"Type": "bind", "Source": source, "Target": "/x", "ReadOnly": read_only, "BindOptions": {"Propagation": propagation}}


OPEN: list[tuple[str, str, dict[str, Any]]] = [
    ("K01", "critical", {"Privileged": True}),
    ("K01", "critical", {"CapAdd": ["SYS_ADMIN"]}),
    ("K01", "high", {"CapAdd": ["CAP_NET_ADMIN"]}),
    ("K01", "medium", {"CapAdd": ["CHOWN"]}),
    ("K01", "medium", {"CapDrop": []}),
    ("K02", "critical", {"Mounts": [bind("/var/run/docker.sock")]}),
    ("K02", "critical", {"Binds": ["/:/host:ro"]}),
    ("K02", "critical", {"Binds": ["/etc:/e"]}),
    ("K02", "high", {"Binds": ["/etc:/e:ro"]}),
    ("K02", "high", {"Mounts": [bind("/proc")]}),
    ("K02", "high", {"Mounts": [bind("/tmp", propagation="rshared")]}),
    ("K03", "high", {"NetworkMode": "host"}),
    ("K03", "high", {"PidMode": "host"}),
    ("K03", "high", {"IpcMode": "host"}),
    ("K03", "high", {"UTSMode": "host"}),
    ("K03", "high", {"UsernsMode": "host"}),
    ("K03", "high", {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]}),
    ("K04", "high", {"SecurityOpt": []}),
    ("K04", "high", {"SecurityOpt": ["no-new-privileges:false"]}),
    ("K04", "high", {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]}),
    ("K04", "high", {"SecurityOpt": ["no-new-privileges", 'seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}']}),
    ("K04", "high", {"MaskedPaths": [], "ReadonlyPaths": []}),
    ("K05", "medium", {"ReadonlyRootfs": False}),
    ("K05", "medium", {"Memory": 0, "MemorySwap": 0}),
    ("K05", "medium", {"PidsLimit": None}),
    ("K05", "medium", {"PidsLimit": -1}),
    ("K05", "low", {"NanoCpus": 0}),
    ("K05", "low", {"Ulimits": [{"Name": "core", "Soft": -1, "Hard": -1}]}),
    ("K06", "high", {"NetworkMode": "bridge", "PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": ""}]}}),
    ("K06", "high", {"NetworkMode": "bridge", "PortBindings": {"8000/tcp": [{"HostIp": "::", "HostPort": "18391"}]}}),
    ("K06", "low", {"NetworkMode": "bridge"}),
    ("K06", "low", {"RestartPolicy": {"Name": "always"}}),
]


def test_a_closed_container_has_no_flaw(make: Make) -> None:
    assert list(posture.flaws(make())) == []
    loopback = make(Mounts=[bind("/srv"), {**bind("/etc/localtime"), "Target": "/etc/localtime"}], CapAdd=[],
                    RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3})
    assert list(posture.flaws(loopback)) == []


@pytest.mark.parametrize(("check", "severity", "host"), OPEN, ids=lambda one: str(one)[:60])
def test_what_is_open_is_found_by_its_check_and_no_worse_than_it_is(make: Make, check: str, severity: str, host: dict[str, Any]) -> None:
    facts = make(**host)
    assert max(found(facts, check).values(), key=("info", "low", "medium", "high", "critical").index) == severity
    others = {flaw.check for flaw in posture.flaws(facts) if flaw.severity in ("high", "critical")} - {check}
    assert not others


@pytest.fixture(scope="module")
def security(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("posture"), "security") as made:
        yield made


def of(core: Core, server: Server) -> dict[str, str]:
    return {
        "mcpweb.instance": core.instance.id, "mcpweb.server_id": server.id, "mcpweb.server": server.name, "mcpweb.role": "server",
        "mcpweb.config_hash": "hash",
    }


def test_containers_in_use_are_looked_at_and_held_against_the_configuration(security: Bench) -> None:
    here = security.here
    as_asked = {"Entrypoint": ["python3", "-u", "/srv/corpus/main.py"], "Cmd": ["sound"]}
    good, bad = (here.add(name, security.image, "sound") for name in ("closed", "open"))
    with containers(of(here.core, good), security.image) as make, containers(of(here.core, bad), security.image) as open_:
        make(config=as_asked)
        open_(config={**as_asked, "Cmd": ["told-wrong"]}, Privileged=True)
        open_(config={**as_asked, "Env": ["LD_PRELOAD=/tmp/x.so"]}, Binds=["/var/run/docker.sock:/s"], SecurityOpt=[])
        open_(config=as_asked, PidMode="host", Memory=2**30, MemorySwap=2**30, NetworkMode="bridge", CapAdd=["CHOWN"], ReadonlyRootfs=False,
              PortBindings={"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]})
        closed, opened = (here.test(one, "security", parameters={"checks": ["K"]}) for one in (good, bad))
    assert {check: said for check, said in closed.wrong().items() if check[0] == "K"} == {}
    assert closed.data["K07"]["evidence"]["in_use"] == 1
    for check in ("K01", "K02", "K03", "K04", "K05", "K06", "K07"):
        assert opened.verdict(check) == "fail", check
    drifted = {result.output_data["evidence"]["pointer"] for result in opened.results if result.check_id == "K07" and result.output_data}
    assert drifted >= {
        "/HostConfig/Privileged", "/Config/Cmd", "/Config/Env:loader", "/Mounts/s", "/HostConfig/SecurityOpt", "/HostConfig/PidMode",
        "/HostConfig/Memory", "/HostConfig/CapAdd", "/HostConfig/ReadonlyRootfs", "/NetworkSettings/Networks",
    }
