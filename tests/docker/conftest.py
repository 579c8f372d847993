"""Tests with a real engine. Everything they make is theirs alone, and what they leave behind fails the run."""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb.contracts import ContainerIntent
from mcpweb.demo import build_demo_image
from mcpweb.images.engine import RuntimeEngine
from tests.docker.engine import ADDRESS, DockerRuntime, DockerSession, engine_line, leftovers, remove_volumes

HERE = Path(__file__).parent

def pytest_report_header() -> str:
    return engine_line()[1]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(engine_line()[1])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and "docker_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """When all is over the engine holds nothing of any installation that a test made, with whatever fixture."""
    yield
    if engine_line()[0]:
        records = tmp_path_factory.getbasetemp().rglob("instance.json")
        made = [name for record in records for name in re.findall(r"\bins_\w+", record.read_text(errors="replace"))]
        left = leftovers(DockerSession(instances=made))
        assert not left, f"installations of tests left behind, and it was removed now: {', '.join(left)}"


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
    left = leftovers(session)
    assert not left, f"the tests left behind, and it was removed now: {', '.join(left)}"


@pytest.fixture(scope="session")
def python_image(docker_session: DockerSession) -> str:
    """An image with python3 and nothing special: that of the demo, kept from run to run."""
    return build_demo_image(RuntimeEngine(DockerRuntime(ADDRESS)), lambda sentence: None)


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
