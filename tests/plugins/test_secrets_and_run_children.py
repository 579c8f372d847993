"""A run's process gets the stream of a container that has its secrets, and never the values."""
from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mcpweb.bench.parent import execute
from mcpweb.bench.rows import CheckResultRow, RunRequest
from mcpweb.contracts import ConfigData, Delivery, SecretDelivery, Sensitive
from mcpweb.core import Core, open_core
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import settings_for

SEARCHING = '''"""Looks for a canary in its own memory, its environment, and all it is told of the container."""
import json
import os
import re

from mcpweb.plugin import Check, CheckResult, TestType, hookimpl

mcpweb_api = 1
CANARY = re.compile(rb"canary-[0-9a-f]{24}")


def in_memory():
    found = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            place, mode = line.split()[:2]
            if not mode.startswith("rw") or "[v" in line:
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            try:
                memory.seek(start)
                found += len(set(CANARY.findall(memory.read(end - start))))
            except (OSError, ValueError, OverflowError):
                continue
    return found


def look(context):
    kept = "canary-" + os.urandom(12).hex() if context.parameters["plant"] else ""
    with context.fresh() as session:
        digest = session.call("digest", {"variable": "API_KEY"})["content"][0]["text"]
        state = session.inspect()
        told = repr(state) + json.dumps(state.raw) + json.dumps(dict(os.environ)) + repr(vars(context))
        environment = dict(line.partition("=")[::2] for line in state.raw["Config"]["Env"])
        yield CheckResult("X01", "pass", "Looked.", evidence={
            "digest": digest, "memory": in_memory(), "told": len(CANARY.findall(told.encode())), "kept": len(kept),
            "environment": environment,
        })


@hookimpl
def mcpweb_add_test_types():
    return [TestType("look", "look", "Looks.", (Check("X01", "First", "low"),), look)]
'''


@pytest.fixture
def core(tmp_path: Path, runtime: FakeRuntime) -> Iterator[Core]:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    (folder / "searching.py").write_text(SEARCHING)
    (folder / "searching.py").chmod(0o600)
    made = open_core(settings_for(tmp_path, plugins_dir=str(folder)), role="worker")
    made.use_runtime(runtime)
    yield made
    made.close()


@pytest.fixture
def look(core: Core, runtime: FakeRuntime) -> Callable[..., dict[str, Any]]:
    """Run the search beside one secret and return what it found."""

    def look(value: str, way: Delivery, *, plant: bool = False) -> dict[str, Any]:
        request = RunRequest(
            run_id="run_x", server={"id": "srv_x", "name": "tiny", "image": "tiny:1"},
            config=ConfigData(environment={"PLAIN": "to be seen"}), types=("look",), profile="quick",
            parameters={"plant": plant}, seed=1, approved_image_id=None,
        )
        told: list[CheckResultRow] = []

        def on_results(rows: Sequence[CheckResultRow]) -> None:
            told.extend(rows)

        outcome = execute(
            core, runtime, request, on_results=on_results, progress=lambda fraction, message: None,
            cancelled=lambda: False, on_orphan=lambda orphan: None,
            secrets=(SecretDelivery("API_KEY", Sensitive(value), way),),
        )
        assert outcome.error is None, outcome.error
        return dict(told[0].result.evidence)

    return look


@pytest.mark.parametrize("way", ["stdin", "file", "environment"])
def test_a_value_is_in_the_container_and_nowhere_in_the_runs_process(look: Any, way: Delivery) -> None:
    value = f"canary-{secrets.token_hex(12)}"
    found = look(value, way)
    assert hashlib.sha256(value.encode()).hexdigest() in found["digest"]
    assert (found["memory"], found["told"]) == (0, 0)
    assert found["environment"]["PLAIN"] == "to be seen"
    if way == "environment":
        assert found["environment"]["API_KEY"] == "<sensitive>"


def test_the_search_would_find_it(look: Any) -> None:
    assert look(f"canary-{secrets.token_hex(12)}", "stdin", plant=True)["memory"] > 0


def test_what_a_test_tells_of_a_secret_comes_out_redacted(look: Any) -> None:
    plain = look("to be seen", "stdin")
    assert plain["environment"]["PLAIN"] == "[redacted]", "a secret is one wherever it stands"
