"""The fake runtime keeps every promise the Docker one keeps (tests/docker/test_runtime_docker.py)."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from mcpweb.contracts import ConfigData, ContainerIntent, Runtime
from mcpweb.testing.contracts import Mode, RuntimeContract
from mcpweb.testing.fakes import FakeRuntime


class TestFakeRuntime(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Iterator[Runtime]:
        runtime = FakeRuntime(sample_s=0.05)
        runtime.add_image("stdio:1", greeting=b"ready\n")
        runtime.add_image("exits:1", exit_code=7)
        runtime.add_image("cannot-start:1", start_failure="The user nobody-there does not exist in the image.")
        yield runtime
        runtime.close()

    @pytest.fixture
    def absent_runtime(self) -> Runtime:
        runtime = FakeRuntime()
        runtime.away = True
        return runtime

    def intent_for(self, mode: Mode) -> ContainerIntent:
        config = ConfigData(transport="http", port=8000, network="published") if mode == "http" else ConfigData()
        image = {"exits": "exits:1", "cannot start": "cannot-start:1"}.get(mode, "stdio:1")
        return ContainerIntent(
            name="mcpweb-contract", instance="ins_contract", server_id="srv_contract", server="contract", role="server",
            image=image, config=config, config_hash="hash", labels={"mcpweb.test": "contract"},
        )  # fmt: skip
