"""Tests with a real engine. Everything they make is theirs alone, and what they leave behind fails the run."""
from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.contracts import ConfigData, ContainerIntent
from mcpweb.pluginhost import import_folder
from tests.docker.engine import ADDRESS, remove_containers, remove_networks, remove_volumes

HERE = Path(__file__).parent
import_folder("runtime_docker", paths.PLUGINS / "runtime_docker")

from mcpweb_plugins.runtime_docker.runtime import DockerRuntime  # noqa: E402 - exists from here on


def engine_line() -> tuple[bool, str]:
    """Return whether an engine answers, and a line that says so."""
    health = DockerRuntime(ADDRESS).health()
    if health.reachable:
        return True, f"docker: engine {health.version}, API {health.api_version}, at {health.address}"
    return False, f"docker: no engine at {health.address}, tests that need one are skipped: {health.detail}"


def pytest_report_header() -> str:
    return engine_line()[1]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(engine_line()[1])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and "docker_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.docker)


@dataclass
class DockerSession:
    """What the tests of one run share: a label, and the instances they made up."""

    label: str = field(default_factory=lambda: secrets.token_hex(6))
    instances: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return {"mcpweb.test": self.label}

    def instance(self) -> str:
        """Return an instance nobody else has; its networks and volumes must be gone at the end."""
        self.instances.append(f"ins_{secrets.token_hex(8)}")
        return self.instances[-1]

    def intent(self, image: str, config: ConfigData | None = None, **changes: Any) -> ContainerIntent:
        """Return an intent of an instance of its own."""
        instance = changes.pop("instance", None) or self.instance()
        values: dict[str, Any] = {
            "name": f"mcpweb-docker-{instance[-8:]}",
            "instance": instance,
            "server_id": "srv_docker",
            "server": "docker",
            "role": "server",
            "image": image,
            "config": config or ConfigData(),
            "config_hash": "hash",
            "labels": self.labels,
        }
        return ContainerIntent(**{**values, **changes})


@pytest.fixture(scope="session")
def docker_session() -> Iterator[DockerSession]:
    """The engine and this run's label. No engine: skipped and said so; with MCPWEB_REQUIRE_DOCKER=1 a failure."""
    there, line = engine_line()
    if not there:
        if os.environ.get("MCPWEB_REQUIRE_DOCKER") == "1":
            pytest.fail(line)
        pytest.skip(line)
    session = DockerSession()
    yield session
    left = _leftovers(session)
    assert not left, f"the tests left behind, and it was removed now: {', '.join(left)}"


def _leftovers(session: DockerSession) -> list[str]:
    left = [f"container {name}" for name in remove_containers(f"mcpweb.test={session.label}")]
    left += [f"network {name}" for name in remove_networks(session.instances)]
    return left + [f"volume {name}" for name in remove_volumes(session.instances)]


@pytest.fixture(scope="session")
def fixture_image(docker_session: DockerSession) -> str:
    """The controllable MCP server of tests/docker/images."""
    from tests.docker.images import build_image

    return str(build_image("fixture"))


@pytest.fixture
def runtime(docker_session: DockerSession) -> DockerRuntime:
    return DockerRuntime(ADDRESS)


@pytest.fixture
def launch(docker_session: DockerSession, runtime: DockerRuntime) -> Iterator[Any]:
    """Return ``launch(intent) -> Launched``; the containers, networks and volumes go with the test."""
    instances = set()

    def launch(intent: ContainerIntent) -> Any:
        instances.add(intent.instance)
        return runtime.launch(intent)

    yield launch
    for instance in instances:
        for state in runtime.containers(instance):
            runtime.remove(state.id)
        runtime.cleanup(instance)
    remove_volumes(instances)
