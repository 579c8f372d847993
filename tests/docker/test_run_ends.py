"""However a test run ends, it ends in time, says honestly how, keeps what it had found, and leaves no container."""
from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import pytest

from mcpweb.dao.servers import Server
from mcpweb.services import jobs, servers, test_runs
from tests.docker.engine import DockerSession
from tests.docker.images import build_image
from tests.docker.installation import ACTOR, Installation, Report, installation
from tests.waiting import eventually

pytestmark = pytest.mark.docker

WILD = '''"""A team's test type that does what it is told, and that is nothing good."""
import os
import signal
import time

from mcpweb.plugin import Check, CheckResult, Failure, TestType, hookimpl

mcpweb_api = 1


def run(context):
    way = context.parameters["way"]
    session = context.fresh()
    yield CheckResult("W01", "pass", "A container was started.")
    context.progress(0.5, "now it comes")
    if way == "wait":
        time.sleep(600)
    if way == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    if way == "exit":
        os._exit(3)
    if way == "raise":
        raise RuntimeError("of its own making")
    if way == "memory":
        held = [bytearray(1 << 28) for _ in range(16)]
    if way == "loop":
        while True:
            context.progress(None, "still at it")
            time.sleep(0.05)
    if way == "lie":
        yield CheckResult("W02", "splendid", "No verdict we know.")
    if way == "guess":
        yield CheckResult("W02", "fail", "It reads as if it did more.", confidence="tentative")
    if way == "loosen":
        context.fresh(capabilities=("SYS_ADMIN",), user="0:0")
    if way == "reach":
        try:
            context._parent.ask("remove", container_id=context.parameters["other"])
        except Failure as failure:
            yield CheckResult("W02", "pass", failure.detail)


CHECKS = (Check("W01", "Starts", "low"), Check("W02", "Does more", "low"))


@hookimpl
def mcpweb_add_test_types():
    return [
        TestType("wild", "Wild", "Short of time.", CHECKS, run, order=1, budget_s={"quick": 3.0}),
        TestType("wild_long", "Wild", "With time.", CHECKS, run, order=2, budget_s={"quick": 60.0}),
    ]
'''


@pytest.fixture(scope="module")
def here(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("ends")
    plugin = folder / "plugins" / "wild"
    plugin.mkdir(parents=True)
    (folder / "plugins").chmod(0o700)
    (plugin / "__init__.py").write_text(WILD)
    with installation(folder, MCPWEB_PLUGINS_DIR=str(plugin.parent)) as made:
        yield made


@pytest.fixture(scope="module")
def server(here: Installation) -> Server:
    return here.add("subject", build_image("fixture"))


@dataclass(frozen=True)
class Timed:
    """A run and how many seconds it took."""

    report: Report
    seconds: float


@pytest.fixture(scope="module")
def slow(here: Installation, server: Server) -> dict[str, Timed]:
    """The runs that take long, all at once."""
    started = time.monotonic()
    asked = {
        way: test_runs.request(here.core, ACTOR, server.id, types=[kind], parameters={"way": way})
        for way, kind in (("loop", "wild"), ("wait", "wild"), ("freeze", "wild_long"))
    }
    return {way: Timed(here.report(run, here.wait(job)), time.monotonic() - started) for way, (run, job) in asked.items()}


@pytest.fixture(autouse=True)
def nothing_left(here: Installation) -> Iterator[None]:
    yield
    assert here.containers() == []


def in_a_container(here: Installation) -> str:
    """Wait until a run has its container and said so; return the container's name."""
    (name,) = eventually(here.containers)
    return str(name)


def run_children() -> list[int]:
    """Return the processes the forkserver of this process has started and not yet seen end."""
    parent = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def wild(here: Installation, server: Server, way: str, **parameters: str) -> Report:
    return here.test(server, "wild_long", parameters={"way": way, **parameters})


def test_a_killed_run_child_ends_the_run_as_failed_and_says_so(here: Installation, server: Server) -> None:
    run, job = test_runs.request(here.core, ACTOR, server.id, types=["wild_long"], parameters={"way": "wait"})
    eventually(lambda: "now it comes" in jobs.get(here.core, ACTOR, job.id).message)
    eventually(lambda: test_runs.get(here.core, ACTOR, run.id).counts["pass"] == 1)
    (child,) = run_children()
    os.kill(child, signal.SIGKILL)
    started = time.monotonic()
    report = here.report(run, here.wait(job, 15))
    assert time.monotonic() - started < 5
    assert (report.run.state, report.run.verdict, report.job.state) == ("failed", "undecided", "failed")
    assert report.error["code"] == "run_child_died" and "SIGKILL" in report.error["detail"]
    assert report.verdict("W01") == "pass", "what was found before stays"


def test_a_connection_test_whose_child_is_killed_leaves_no_container(here: Installation, server: Server) -> None:
    mute = here.add("mute", build_image("fixture"), "mute")
    run, job = test_runs.request(here.core, ACTOR, mute.id, types=["connection"])
    in_a_container(here)
    os.kill(run_children()[0], signal.SIGKILL)
    report = here.report(run, here.wait(job, 15))
    assert report.run.state == "failed" and report.error["code"] == "run_child_died"
    assert set(report.data) == {"C01", "C02"}
    assert here.test(server).run.verdict == "pass", "the next run is not concerned"


def test_a_cancelled_run_ends_at_once_as_cancelled(here: Installation, server: Server) -> None:
    run, job = test_runs.request(here.core, ACTOR, server.id, types=["wild_long"], parameters={"way": "wait"})
    in_a_container(here)
    started = time.monotonic()
    jobs.cancel(here.core, ACTOR, job.id)
    report = here.report(run, here.wait(job, 15))
    assert time.monotonic() - started < 4
    assert (report.run.state, report.run.verdict, report.job.state) == ("cancelled", "undecided", "cancelled")
    eventually(lambda: run_children() == [])


def test_a_run_that_outstays_its_budget_is_ended(slow: dict[str, Timed]) -> None:
    report = slow["wait"].report
    assert 7 < slow["wait"].seconds < 15, "3 s, and 5 s to end by itself"
    assert report.run.state == "failed" and report.error["code"] == "budget" and "8 s" in report.error["detail"]
    assert report.verdict("W01") == "pass" and report.run.verdict == "undecided"


def test_a_test_type_that_tells_progress_ends_by_itself_when_its_time_is_up(slow: dict[str, Timed]) -> None:
    report = slow["loop"].report
    assert 3 < slow["loop"].seconds < 10
    assert report.run.state == "succeeded" and report.run.verdict == "undecided"
    assert any("used up its time" in str(result.error_message) for result in report.results)


def test_a_frozen_run_child_is_ended_when_it_falls_silent(slow: dict[str, Timed]) -> None:
    report = slow["freeze"].report
    assert 14 < slow["freeze"].seconds < 25
    assert report.run.state == "failed" and report.error["code"] == "run_child_silent"
    eventually(lambda: run_children() == [])


def test_a_run_child_that_leaves_says_its_exit_code(here: Installation, server: Server) -> None:
    report = wild(here, server, "exit")
    assert report.error["code"] == "run_child_died" and "exit code 3" in report.error["detail"]


@pytest.mark.parametrize(
    ("way", "said"),
    [("raise", "RuntimeError: of its own making"), ("memory", "MemoryError"), ("loosen", "may not change capabilities, user"),
     ("lie", "splendid")],
)
def test_a_test_type_that_fails_is_undecided_and_the_next_one_runs(
    here: Installation, server: Server, way: str, said: str
) -> None:
    report = here.test(server, "wild", "connection", parameters={"way": way})
    assert report.run.state == "succeeded" and report.run.verdict == "undecided", (report.run.error, report.wrong())
    assert any(said in str(result.error_message) for result in report.results), [r.error_message for r in report.results]
    assert report.verdict("C05") == "pass" and report.verdict("C08") == "pass"


def test_a_finding_is_kept_with_how_far_its_evidence_goes(here: Installation, server: Server) -> None:
    report = wild(here, server, "guess")
    kept = {result.check_id: (result.output_data["verdict"], result.output_data["confidence"]) for result in report.results}
    assert kept == {"W01": ("pass", "certain"), "W02": ("fail", "tentative")}


def test_a_test_type_reaches_no_container_but_those_of_its_run(here: Installation, server: Server) -> None:
    other = here.add("other", build_image("fixture"))
    assert here.ask(other, "start").state == "succeeded"
    container_id = servers.get(here.core, ACTOR, "other").container_id
    report = wild(here, server, "reach", other=str(container_id))
    assert "does not belong to the run" in report.said("W02")
    assert here.call(other, "echo", text="untouched").state == "succeeded"
    assert here.ask(other, "stop").state == "succeeded"
