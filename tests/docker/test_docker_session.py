"""The fixture that keeps the engine tidy does see what is left, and says when there is no engine."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mcpweb.contracts import Mount
from tests.docker.engine import DockerRuntime, DockerSession, leftovers, tiny


def test_containers_networks_and_volumes_left_behind_are_named_and_removed(
    docker_session: DockerSession, python_image: str, runtime: DockerRuntime
) -> None:
    careless = DockerSession()
    config = tiny(network="outbound", mounts=(Mount("volume", "data", "/data"),))
    intent = careless.intent(python_image, config)
    runtime.launch(intent).socket.close()
    short = intent.instance[-8:]
    assert leftovers(careless) == [
        f"container /{intent.name}", f"network mcpweb-{short}-out", f"volume mcpweb-{short}-data"
    ]  # fmt: skip
    assert leftovers(careless) == []
    assert runtime.containers(intent.instance) == []


def _pytest(tmp_path: Path, **environ: str) -> Any:
    test = f"{Path(__file__).parent / 'test_runtime_docker.py'}::TestDockerRuntime"
    command = [sys.executable, "-m", "pytest", "-q", "-k", "healthy_and_says", test]
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock", **environ}
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=60)


def test_without_an_engine_tests_are_skipped_and_it_is_said(tmp_path: Path) -> None:
    done = _pytest(tmp_path, MCPWEB_REQUIRE_DOCKER="0")
    assert done.returncode == 0 and "1 skipped" in done.stdout
    assert "docker: no engine at unix://" in done.stdout


def test_where_an_engine_is_required_its_absence_fails(tmp_path: Path) -> None:
    done = _pytest(tmp_path, MCPWEB_REQUIRE_DOCKER="1")
    assert done.returncode == 1 and "docker: no engine at unix://" in done.stdout
