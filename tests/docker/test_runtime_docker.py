"""The Docker runtime keeps the contract, on a real engine."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcpweb_plugins.runtime_docker.runtime import DockerRuntime

from mcpweb.contracts import ContainerIntent, Runtime
from mcpweb.testing.contracts import Mode, RuntimeContract
from tests.docker.engine import ADDRESS, remove_volumes, tiny


class TestDockerRuntime(RuntimeContract):
    @pytest.fixture(autouse=True)
    def _image(self, docker_session: Any, python_image: str) -> None:
        self.session, self.ref = docker_session, python_image

    @pytest.fixture
    def runtime(self) -> Runtime:  # type: ignore[override]
        return DockerRuntime(ADDRESS)

    @pytest.fixture
    def absent_runtime(self, tmp_path: Path) -> Runtime:
        return DockerRuntime(f"unix://{tmp_path}/nobody.sock")

    def clear(self, runtime: Runtime, instance: str) -> None:
        super().clear(runtime, instance)
        remove_volumes([instance])

    def intent_for(self, mode: Mode) -> ContainerIntent:
        config = {
            "stdio": tiny(),
            "http": tiny("http", transport="http", port=8000, network="published"),
            "exits": tiny("exit", "7"),
            "cannot start": tiny(user="nobody-of-that-name"),
        }[mode]
        return replace(self.session.intent(self.ref, config), instance="ins_contract")
