"""Each connection check catches the server that is broken in its way, and leaves the sound one alone."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mcpweb.contracts import Limits
from mcpweb.dao.jobs import Job
from mcpweb.dao.test_runs import TestRun
from mcpweb.services import test_runs
from tests.docker.engine import DockerSession, api
from tests.docker.images import build_image
from tests.docker.installation import ACTOR, Installation, Report, installation
from tests.docker.pairs import chosen

pytestmark = pytest.mark.docker
ALL = {f"C{number:02}" for number in range(1, 11)}


@pytest.fixture(scope="module")
def image(docker_session: DockerSession) -> str:
    return build_image("fixture")


@pytest.fixture(scope="module")
def here(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("pairs")) as made:
        yield made


@dataclass(frozen=True)
class Case:
    """A way to start the fixture and what the connection test must say: nothing else may be found wrong."""

    command: str
    wrong: tuple[str, ...] = ()
    said: str = ""
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.command} {self.config}"

    @property
    def name(self) -> str:
        return self.command.replace(" ", "-").replace("--", "") + ("-http" if "transport" in self.config else "")


HTTP = {"transport": "http", "port": 8000, "network": "published"}
GOOD = [
    Case("good"),
    Case("legacy"),
    Case("modern"),
    Case("good --http 8000", config=HTTP),
    Case("legacy --http 8000", config=HTTP),
    Case("streams --http 8000", config=HTTP),
]
BROKEN = [
    Case("good", ("C02",), "root file system is writable", {"read_only_root": False}),
    Case("rootful", ("C03", "C05"), "exit code 1"),
    Case("exit7", ("C03", "C05"), "exit code 7"),
    Case("oom", ("C03", "C05"), "more memory than its limit", {"limits": Limits(memory_mb=96)}),
    Case("banner", ("C04",), "Welcome"),
    Case("chatting", ("C04",), "calling a tool"),
    Case("garbage", ("C04",), "garbage"),
    Case("permissive", ("C06",), "answered with success"),
    Case("lax", ("C06", "C07", "C09"), "success"),
    Case("crashing", ("C03", "C07"), "After not JSON"),
    Case("deaf", ("C08",), "goes on"),
    Case("stubborn", ("C08",), "goes on"),
    Case("unmoved", ("C08",), "of SIGTERM"),
    Case("lying", ("C09",), "announced but not served"),
    Case("hidden", ("C09",), "served but not announced"),
    Case("nameless", ("C09",), "no name"),
    Case("open --http 8000", ("C10",), "foreign origin", HTTP),
    Case("rebound --http 8000", ("C10",), "rebound name", HTTP),
    Case("mismatch --http 8000", ("C10",), "disagree", HTTP),
    Case("sessions --http 8000", ("C10",), "session id", HTTP),
]


AHEAD = 5


@pytest.fixture(scope="module")
def begun(here: Installation, image: str, request: pytest.FixtureRequest) -> Callable[[Case], tuple[TestRun, Job]]:
    """Return ``begun(case)``: its run, and a few that are asked for next are under way beside it. Runs mostly wait."""
    waiting = [case for case in [*chosen(request, "case"), Case("silent"), Case("legacy")] if isinstance(case, Case)]
    asked: dict[str, tuple[TestRun, Job]] = {}

    def begin(case: Case) -> None:
        if case.key not in asked:
            server = here.add(f"c{len(asked)}-{case.name}"[:60], image, *case.command.split(), **case.config)
            asked[case.key] = test_runs.request(here.core, ACTOR, server.id, types=["connection"])

    def begun(case: Case) -> tuple[TestRun, Job]:
        begin(case)
        for other in list(waiting)[:AHEAD]:
            begin(other)
            waiting.remove(other)
        return asked[case.key]

    return begun


@pytest.fixture
def run_of(here: Installation, begun: Callable[[Case], tuple[TestRun, Job]]) -> Iterator[Callable[[Case], Report]]:
    """Return ``run_of(case) -> Report``; no container of it is left."""
    reports: list[Report] = []

    def run_of(case: Case) -> Report:
        run, job = begun(case)
        reports.append(here.report(run, here.wait(job)))
        return reports[-1]

    yield run_of
    for report in reports:
        assert not [name for name in here.containers() if name.startswith(f"mcpweb-{report.server}-")]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_sound_server_passes_every_check(run_of: Callable[[Case], Report], case: Case) -> None:
    report = run_of(case)
    assert report.wrong() == {}
    assert set(report.data) == ALL and report.run.verdict == "pass" and report.job.state == "succeeded"
    not_applicable = {check for check, one in report.data.items() if one["verdict"] == "not_applicable"}
    assert not_applicable == ({"C06"} if case.config else {"C10"})


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_broken_server_is_caught_by_its_check_alone(run_of: Callable[[Case], Report], case: Case) -> None:
    report = run_of(case)
    assert tuple(report.wrong()) == case.wrong, report.wrong()
    assert any(case.said in report.said(check) for check in case.wrong), report.wrong()
    assert set(report.data) == ALL and report.run.verdict == "fail" and report.job.state == "succeeded"


def test_a_server_that_ignores_unknown_methods_is_told_and_the_wait_is_noted(run_of: Callable[[Case], Report]) -> None:
    report = run_of(Case("silent"))
    assert set(report.wrong()) == {"C07"} and "Unknown method got no answer" in report.said("C07")
    assert report.data["C05"]["evidence"]["silent_probe"] is True and "costs seconds" in report.said("C05")
    assert run_of(Case("legacy")).data["C05"]["evidence"]["silent_probe"] is False


def test_a_tag_that_means_another_image_than_at_the_first_start_is_caught(here: Installation, image: str) -> None:
    server = here.add("moved", image)
    assert here.test(server).verdict("C01") == "pass"
    client = api()
    client.tag(image, "mcpweb-test-moved", "1")
    try:
        moving = here.add("moving", "mcpweb-test-moved:1", "python3", "-u", "/srv/fixture.py", entrypoint=("/usr/bin/env",))
        assert here.ask(moving, "start").state == "succeeded"
        assert here.ask(moving, "stop").state == "succeeded"
        assert here.test(moving).wrong() == {}
        client.tag(build_image("time"), "mcpweb-test-moved", "1", force=True)
        report = here.test(moving)
        assert report.verdict("C01") == "fail" and "another image" in report.said("C01")
    finally:
        client.remove_image("mcpweb-test-moved:1")
        client.close()
