"""A hostile server ends its own session or run, in time and with the reason; its neighbour does not notice."""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mcpweb.contracts import Limits
from mcpweb.dao.servers import Server
from mcpweb.services import servers, test_runs
from tests.docker.engine import DockerSession
from tests.docker.images import build_image
from tests.docker.installation import ACTOR, Installation, installation
from tests.waiting import eventually

pytestmark = pytest.mark.docker
HANDSHAKE_S = 30.0
ENOUGH, ENOUGH_S = 5, 20.0  # calls of the neighbour, and how long it may take to make them
HANGS_S = 5.0  # a call takes some ms; this is a neighbour that waited for somebody else's deadline


@pytest.fixture(scope="module")
def image(docker_session: DockerSession) -> str:
    return build_image("fixture")


class Neighbour:
    """A sound server that is called all the time; how long each call took, and what failed."""

    def __init__(self, here: Installation, server: Server) -> None:
        self._here, self._server = here, server
        self.seconds: list[float] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, name="neighbour")
        self._thread.start()

    def _go(self) -> None:
        while not self._stop.wait(0.1):
            started = time.monotonic()
            job = self._here.call(self._server, "echo", text="still here")
            self.seconds.append(time.monotonic() - started)
            if job.state != "succeeded":
                self.failed.append(str(job.error))
        self._here.core.db.close()

    def stop(self) -> None:
        until = time.monotonic() + ENOUGH_S
        while len(self.seconds) < ENOUGH and not self.failed and time.monotonic() < until:
            time.sleep(0.05)
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def here(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.fixture(scope="module")
def sound(here: Installation, image: str) -> Iterator[Server]:
    server = here.add("sound", image)
    assert here.ask(server, "start").state == "succeeded"
    yield server
    assert here.ask(server, "stop").state == "succeeded"
    assert here.containers() == []


@pytest.fixture
def neighbour(here: Installation, sound: Server) -> Iterator[Neighbour]:
    made = Neighbour(here, sound)
    yield made
    made.stop()
    assert not made.failed, made.failed[:3]
    assert len(made.seconds) >= ENOUGH, made.seconds
    assert max(made.seconds) < HANGS_S, max(made.seconds)


HOSTILE = {
    "mute": ({"C05"}, "did not answer the MCP handshake within 30 s"),
    "drip": ({"C05"}, "did not answer the MCP handshake within 30 s"),
    "hugeline --at handshake": ({"C05"}, "line of more than 16 MiB"),
    "dies --at handshake": ({"C03", "C05"}, "exit code 9"),
    "hugeline --at list": ({"C03", "C09"}, "line of more than 16 MiB"),
    "dies --at list": ({"C03", "C09"}, "exit code 9"),
    "forks": (set(), ""),
    "loud": (set(), ""),
}


def test_hostile_servers_end_their_own_runs_and_starts_in_time_with_the_reason(
    here: Installation, image: str, neighbour: Neighbour
) -> None:
    never = {mode: here.add(f"start-{mode}", image, mode) for mode in ("mute", "drip")}
    starts = {mode: servers.request(here.core, ACTOR, server.id, "start") for mode, server in never.items()}
    runs = {}
    for mode in HOSTILE:
        config = {"limits": Limits(pids=64)} if mode == "forks" else {}
        server = here.add("run-" + mode.replace(" ", "").replace("--", "-"), image, *mode.split(), **config)
        runs[mode] = test_runs.request(here.core, ACTOR, server.id, types=["connection"])
    until = time.monotonic() + HANDSHAKE_S + 20
    for mode, (failed, sentence) in HOSTILE.items():
        run, job = runs[mode]
        report = here.report(run, here.wait(job, until - time.monotonic()))
        assert report.job.state == "succeeded", (mode, report.job.error)
        assert {check for check in report.data if report.verdict(check) == "fail"} == failed, (mode, report.wrong())
        assert report.run.verdict == ("fail" if failed else "pass"), (mode, report.wrong())
        assert not failed or any(sentence in report.said(check) for check in failed), (mode, report.wrong())
    for mode, job in starts.items():
        done = here.wait(job, until - time.monotonic())
        assert done.state == "failed" and "did not answer the MCP handshake" in str(done.error), (mode, done.error)
        shown = servers.get(here.core, ACTOR, f"start-{mode}")
        assert shown.status == "error" and "handshake" in shown.status_detail and shown.container_id is None
    eventually(lambda: len(here.containers()) == 1)


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [("dies", "exit code 9"), ("exit7 --at call", "exit code 7"), ("hugeline", "line of more than 16 MiB"),
     ("oom --at call", "more memory than its limit")],
)
def test_a_server_that_breaks_in_a_call_fails_that_call_and_is_shown_with_the_reason(
    here: Installation, image: str, neighbour: Neighbour, mode: str, sentence: str
) -> None:
    name = "call-" + mode.split()[0]
    server = here.add(name, image, *mode.split(), limits=Limits(memory_mb=256))
    assert here.ask(server, "start").state == "succeeded"
    started = time.monotonic()
    job = here.call(server, "echo", text="now break")
    assert job.state == "failed" and time.monotonic() - started < 20, (job.state, job.error)
    eventually(lambda: servers.get(here.core, ACTOR, name).status == "error")
    detail = servers.get(here.core, ACTOR, name).status_detail
    assert sentence in detail, detail
    eventually(lambda: len(here.containers()) == 1)


def test_a_flood_of_notifications_ends_its_session(here: Installation, image: str, neighbour: Neighbour) -> None:
    server = here.add("flood", image, "flood")
    assert here.ask(server, "start").state == "succeeded"
    eventually(lambda: servers.get(here.core, ACTOR, "flood").status == "error", 20)
    assert "more than 500" in servers.get(here.core, ACTOR, "flood").status_detail
    eventually(lambda: len(here.containers()) == 1)


def test_garbage_and_echoes_between_the_answers_end_nothing(here: Installation, image: str, neighbour: Neighbour) -> None:
    for mode in ("garbage", "tty", "loud"):
        server = here.add(f"noisy-{mode}", image, mode)
        assert here.ask(server, "start").state == "succeeded", mode
        for turn in range(5):
            assert here.call(server, "echo", text=f"turn {turn}").state == "succeeded", mode
        assert here.ask(server, "stop").state == "succeeded", mode
