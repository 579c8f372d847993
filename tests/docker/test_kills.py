"""Whoever is killed in the middle of a test – its process, or the whole worker – no container, network or volume of it stays."""
from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.core import Core
from mcpweb.services import test_runs
from mcpweb.testing.served import Served
from tests.docker.engine import DockerSession, api
from tests.docker.images import build_image
from tests.docker.installation import ACTOR
from tests.waiting import eventually

pytestmark = pytest.mark.docker

HOLDING = '''"""A team's test type that has everything there is at once, and waits."""
import time

from mcpweb.plugin import Check, CheckResult, TestType, hookimpl

mcpweb_api = 1


def run(context):
    sink = context.sink()
    with context.fresh(sink=sink, planted={"/srv/planted/a": "1"}) as one, context.fresh(canaries=True) as two, two.watch():
        files = context.image_files()
        next(files)
        yield CheckResult("H01", "pass", "Everything is there.", evidence={"sees": one.listing("tools")[0]["name"]})
        context.progress(0.5, "holding")
        time.sleep(300)


@hookimpl
def mcpweb_add_test_types():
    return [TestType("holds", "Holds", "Holds on.", (Check("H01", "Holds", "low"),), run, budget_s={"quick": 300.0, "full": 300.0})]
'''
BUILT_IN = sorted(folder.name.removeprefix("testtype_") for folder in paths.PLUGINS.glob("testtype_*"))
SLOW = "slow --at any --seconds 0.3"


@dataclass
class Here:
    """A served installation with a slow server over stdio and one over http, and a look at its engine."""

    served: Served
    client: Any
    instance: str

    def left(self) -> list[str]:
        """Return what the engine holds of this installation."""
        wanted = {"label": f"mcpweb.instance={self.instance}"}
        return [
            *(f"container {one['Names'][0]}" for one in self.client.containers(all=True, filters=wanted)),
            *(f"network {one['Name']}" for one in self.client.networks(filters=wanted)),
            *(f"volume {one['Name']}" for one in self.client.volumes(filters=wanted)["Volumes"] or []),
        ]

    def core(self) -> AbstractContextManager[Core]:
        """Open the installation beside its processes."""
        return self.served.core()

    def children(self) -> list[int]:
        """Return the processes in which test types run now: what the worker's forkserver started."""
        return [pid for helper in _children(self.served.children()["worker"]) for pid in _children(helper)]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, thread.read_text().split())
    return found


@pytest.fixture(scope="module")
def here(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("kills")
    plugin = folder / "plugins" / "holds"
    plugin.mkdir(parents=True)
    (folder / "plugins").chmod(0o700)
    (plugin / "__init__.py").write_text(HOLDING)
    served = Served(folder, MCPWEB_PLUGINS_DIR=str(plugin.parent), _MCPWEB_SLOWEST_S="0.5")
    image = build_image("fixture")
    served.cli("servers", "add", "over-stdio", "--image", image, "--command", SLOW)
    served.cli("servers", "add", "over-http", "--image", image, "--transport", "http", "--port", "8000", "--command",
               f"{SLOW} --http 8000")
    served.start()
    client = api()
    made = Here(served, client, "")
    with made.core() as core:
        made.instance = core.instance.id
    docker_session.instances.append(made.instance)
    yield made
    code = served.stop()
    client.close()
    assert code == 0


def in_the_middle(here: Here, core: Core, server: str, test_type: str) -> str:
    """Ask for a run, return its id once something of it stands and some of its work is done."""
    run, _ = test_runs.request(core, ACTOR, server, types=[test_type])

    def begun() -> bool:
        if test_type == "holds":
            return bool(test_runs.get(core, ACTOR, run.id).counts.get("pass"))
        return any("container" in what for what in here.left())

    eventually(begun, 60)
    time.sleep(0.5)
    assert test_runs.get(core, ACTOR, run.id).state == "running"
    return run.id


def kill_the_child(here: Here) -> None:
    (child,) = here.children()
    os.kill(child, signal.SIGKILL)


def kill_the_worker(here: Here) -> None:
    worker = here.served.children()["worker"]
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: here.served.children().get("worker") not in (None, worker))


@pytest.mark.parametrize("kill", [kill_the_child, kill_the_worker], ids=["its process", "the worker"])
@pytest.mark.parametrize(
    ("server", "test_type"), [*(("over-stdio", name) for name in [*BUILT_IN, "holds"]), ("over-http", "holds")], ids=str
)
def test_nothing_stays_of_a_test_that_was_killed(here: Here, server: str, test_type: str, kill: Callable[[Here], None]) -> None:
    with here.core() as core:
        run_id = in_the_middle(here, core, server, test_type)
        if test_type == "holds":
            assert any("volume" in what for what in here.left()), "there was something to clear away"
        kill(here)
        ended = eventually(lambda: (run := test_runs.get(core, ACTOR, run_id)).state == "failed" and run, 60)
    assert ended.verdict in ("undecided", "fail") and ended.error["code"] in ("run_child_died", "interrupted")
    keeps = ["network"] if server == "over-http" and kill is kill_the_child else []  # it serves until the worker is gone
    eventually(lambda: [what for what in here.left() if what.split()[0] not in keeps] == [], 30)
    eventually(lambda: here.children() == [])
