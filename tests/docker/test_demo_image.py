"""The demo image on a real engine: made once, the same every time, and at home in a hardened container."""
from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mcpweb import demo
from mcpweb.images import base, imagebuild
from mcpweb.images.engine import RuntimeEngine
from tests.docker.engine import ADDRESS, DockerRuntime, DockerSession, api
from tests.docker.images import LABEL, RECIPES, Recipe, build_image, parts
from tests.docker.small_registry import SmallRegistry

HARDENED = ["--rm", "-i", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--memory", "128m", "--pids-limit", "32", "--init"]


@pytest.fixture
def engine(docker_session: DockerSession) -> RuntimeEngine:
    return RuntimeEngine(DockerRuntime(ADDRESS))


def test_the_demo_image_is_built_once_and_then_only_looked_up(engine: RuntimeEngine) -> None:
    said: list[str] = []
    reference = demo.build_demo_image(engine, said.append)
    said.clear()
    started = time.monotonic()
    assert demo.build_demo_image(engine, said.append) == reference
    assert time.monotonic() - started < 1 and said == []


def test_the_same_layers_loaded_twice_are_one_image(engine: RuntimeEngine, docker_session: DockerSession) -> None:
    root = base.python_base(engine, lambda sentence: None)
    names = [f"mcpweb-same:{docker_session.label}-{turn}" for turn in (1, 2)]
    client = api()
    try:
        for name in names:
            imagebuild.load_on_top(engine, root, name, files={"srv/a": imagebuild.File(b"a")}, entrypoint=("python3",),
                                   labels=docker_session.labels)
        ids = {client.inspect_image(name)["Id"] for name in names}
    finally:
        for name in names:
            client.remove_image(name)
        client.close()
    assert len(ids) == 1


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_the_demo_answers_in_a_hardened_container_as_nobody(engine: RuntimeEngine, version: str,
                                                            docker_session: DockerSession) -> None:
    reference = demo.build_demo_image(engine, lambda sentence: None)
    asked = f'{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{version}"}}}}\n'
    label = ["--label", f"mcpweb.test={docker_session.label}"]
    command = ["docker", "run", *HARDENED, *label, reference]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and f'"protocolVersion": "{version}"' in done.stdout and "Traceback" not in done.stderr
    client = api()
    image = client.inspect_image(reference)
    client.close()
    assert image["Config"]["User"] == "65534:65534" and not image["Config"].get("Volumes")


def test_a_base_that_comes_too_slowly_is_given_up_in_time(engine: RuntimeEngine) -> None:
    registry = SmallRegistry()
    client = api()
    try:
        registry.drip_s = 0.5
        started = time.monotonic()
        assert not engine.pull(registry.reference, 1.0)
        assert time.monotonic() - started < 6 and not engine.has_image(registry.reference)
        registry.drip_s = 0.0
        assert engine.pull(registry.reference, 60.0) and engine.has_image(registry.reference)
        client.remove_image(registry.reference)
    finally:
        client.close()
        registry.close()


def test_a_test_image_is_built_once_and_says_that_it_is_one(docker_session: DockerSession) -> None:
    reference = build_image("fixture")
    started = time.monotonic()
    assert build_image("fixture") == reference and time.monotonic() - started < 1
    client = api()
    labels = client.inspect_image(reference)["Config"]["Labels"]
    client.close()
    assert labels == {LABEL: "1"}


def test_workers_that_want_the_same_image_at_once_build_it_once(
    docker_session: DockerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []

    def root(engine: base.Engine) -> base.Rootfs:
        built.append("once")
        return parts.python_base(engine)

    monkeypatch.setitem(RECIPES, "once", Recipe(root=root, entrypoint=("python3", docker_session.label)))
    with ThreadPoolExecutor(4) as workers:
        (reference,) = set(workers.map(build_image, ["once"] * 4))
    client = api()
    client.remove_image(reference)
    client.close()
    assert built == ["once"]


def test_another_fixture_file_is_another_image(tmp_path: Path) -> None:
    recipe = RECIPES["fixture"]
    other = tmp_path / "fixture.py"
    other.write_bytes(recipe.files["srv/fixture.py"].read_bytes() + b"\n")
    assert replace(recipe, files={"srv/fixture.py": other}).digest() != recipe.digest()
