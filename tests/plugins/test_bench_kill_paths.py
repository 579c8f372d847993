"""Whatever a test type does, its run ends in time with an honest reason, keeps what it told, and leaves nothing behind."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpweb.bench.rows import RunOutcome
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.services import jobs, servers, test_runs
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import settings_for
from mcpweb.testing.testruns import Ended, carry_out
from mcpweb.worker import Worker

HOSTILE = Path(__file__).with_name("hostile_test_types.py")


@pytest.fixture
def core(tmp_path: Path, migrated_file: Path, runtime: FakeRuntime) -> Iterator[Core]:
    """The application with the hostile plugin in its plugins folder."""
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    shutil.copy(HOSTILE, folder / "hostile.py")
    (folder / "hostile.py").chmod(0o600)
    wanted = settings_for(tmp_path, plugins_dir=str(folder))
    wanted.data_dir.mkdir(mode=0o700)
    shutil.copy(migrated_file, wanted.db_path)
    made = open_core(wanted, role="worker")
    made.use_runtime(runtime)
    yield made
    made.close()


Run = Callable[..., Ended]


@pytest.fixture
def run(core: Core, runtime: FakeRuntime) -> Iterator[Run]:
    """Carry out a run of the named types; afterwards no container of it may be left."""

    def run(*types: str, **more: Any) -> Ended:
        ended = carry_out(core, runtime, *types, **more)
        assert all(row.test_type in types for row in ended.rows)
        return ended

    yield run
    assert runtime.containers(core.instance.id) == []


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pid_of(ended: Ended, name: str = "pid") -> int:
    return int(ended.results[0].evidence[name])


def gone(pid: int, timeout_s: float = 5.0) -> bool:
    until = time.monotonic() + timeout_s
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


def test_a_sound_test_type_tells_its_verdicts_from_a_process_of_its_own(run: Run) -> None:
    ended = run("good")
    assert ended.outcome == RunOutcome("2026-07-28", None)
    assert ended.verdicts() == [("X01", "pass"), ("X02", "not_applicable")]
    assert ended.results[0].evidence["tools"] == 2
    assert pid_of(ended) != os.getpid() and gone(pid_of(ended))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("raises", "RuntimeError: no idea what to do"), ("leaves", "SystemExit: enough"), ("eats", "MemoryError"),
     ("babbles", "AttributeError"), ("decides_nothing", "'perhaps' is no verdict"),
     ("boasts_of_certainty", "'absolute' is no confidence")],
)
def test_a_test_type_that_fails_leaves_its_next_check_undecided_and_the_next_type_runs(
    run: Run, name: str, sentence: str
) -> None:
    ended = run(name, "good")
    assert ended.outcome.error is None
    assert ended.verdicts() == [("X01", "pass"), ("X02", "undecided"), ("X01", "pass"), ("X02", "not_applicable")]
    assert sentence in ended.results[1].summary, ended.results[1].summary


def test_a_test_type_that_hangs_ends_with_its_budget(run: Run) -> None:
    ended = run("hangs")
    assert (ended.code, ended.verdicts()) == ("budget", [("X01", "pass")])
    assert ended.seconds < 8 and gone(pid_of(ended))


def test_a_killed_child_is_said_to_be_killed_and_what_it_told_stays(run: Run) -> None:
    ended = run("dies")
    assert (ended.code, ended.verdicts()) == ("run_child_died", [("X01", "pass")])
    assert ended.outcome.error and "SIGKILL" in ended.outcome.error["detail"]
    assert ended.seconds < 5


def test_a_child_that_falls_silent_is_ended(run: Run) -> None:
    ended = run("stops", silence_s=2.0)
    assert (ended.code, ended.verdicts()) == ("run_child_silent", [("X01", "pass")])
    assert ended.seconds < 6 and gone(pid_of(ended))


def test_a_cancelled_run_ends_at_once_with_all_that_its_test_type_started(run: Run) -> None:
    asked = threading.Event()
    threading.Timer(1.5, asked.set).start()
    ended = run("spawns", cancelled=asked.is_set)
    assert (ended.code, ended.verdicts()) == ("cancelled", [("X01", "pass")])
    assert ended.seconds < 4
    assert gone(pid_of(ended)) and gone(pid_of(ended, "spawned"))


def test_text_no_database_takes_is_told_readably(run: Run) -> None:
    ended = run("odd_text")
    assert ended.outcome.error is None
    (told,) = ended.results
    evidence, given = dict(told.evidence), told.input
    for text in (told.summary, told.tool, told.next_step, json.dumps([evidence, given], ensure_ascii=False, allow_nan=False)):
        text.encode()
    assert "\\ud800" in told.summary and given == {"n": "inf"} and evidence["nan"] == "nan"
    assert len(json.dumps(evidence)) <= 64 * 1024


def test_a_test_type_that_tells_without_end_is_ended(run: Run) -> None:
    ended = run("floods")
    assert ended.code == "too_many_results" and ended.seconds < 20


def test_a_test_type_gets_no_more_of_the_engine_than_its_own_containers(run: Run) -> None:
    ended = run("asks_too_much")
    assert ended.results[0].evidence["refused"] == {
        "network": "not_changeable", "mounts": "not_changeable", "unknown": "not_changeable", "limits": "invalid_input",
        "inspect": "not_found", "stop": "not_found", "verb": "not_found", "nothing": "test_error",
        "many": "too_many_containers",
    }


@pytest.mark.parametrize("name", ["scribbles", "boasts"])
def test_nonsense_on_the_line_ends_the_run_and_nothing_else(run: Run, name: str) -> None:
    ended = run(name)
    assert (ended.code, ended.verdicts()) == ("run_child_unreadable", [("X01", "pass")])
    assert run("good").outcome.error is None


def test_a_container_that_cannot_be_removed_now_is_told_to_the_worker(
    core: Core, runtime: FakeRuntime, run: Run
) -> None:
    def away() -> bool:
        runtime.away = "launch" in runtime.calls
        return runtime.away

    ended = run("hangs", cancelled=away)
    runtime.away = False
    left = runtime.containers(core.instance.id)
    assert ended.orphans == [state.id for state in left] and left[0].labels["mcpweb.role"] == "test"
    runtime.remove(left[0].id)


def test_a_neighbouring_run_goes_on_while_another_is_killed(run: Run) -> None:
    ends: dict[str, Ended] = {}

    def keep(name: str) -> None:
        ends[name] = run(name)

    threads = [threading.Thread(target=keep, args=(name,)) for name in ("dies", "raises")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ends["dies"].code == "run_child_died"
    assert ends["raises"].outcome.error is None and len(ends["raises"].results) == 2


def test_the_child_ends_when_its_worker_is_killed(tmp_path: Path, core: Core) -> None:
    said = tmp_path / "pid"
    script = f"""
import sys, pathlib
from mcpweb.bench.parent import execute
from mcpweb.bench.rows import RunRequest
from mcpweb.contracts import ConfigData
from mcpweb.core import open_core
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.settings import load
core = open_core(load({{"MCPWEB_DATA_DIR": {str(core.settings.data_dir)!r}, "MCPWEB_PLUGINS_DIR": {str(core.settings.plugins_dir)!r}}}), role="worker")
request = RunRequest("run_x", {{"id": "srv_x", "name": "tiny", "image": "tiny:1"}}, ConfigData(), ("spawns",), "quick", {{}}, 1, None)
def told(rows):
    evidence = rows[0].result.evidence
    pathlib.Path({str(said)!r}).write_text(f"{{evidence['pid']}} {{evidence['spawned']}}")
execute(core, FakeRuntime(), request, on_results=told, progress=lambda f, m: None, cancelled=lambda: False, on_orphan=print)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    until = time.monotonic() + 20
    while not said.exists() or not said.read_text():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    pids = [int(word) for word in said.read_text().split()]
    assert all(alive(pid) for pid in pids)
    process.send_signal(signal.SIGKILL)
    process.wait(5)
    assert all(gone(pid) for pid in pids)


def test_the_run_and_its_job_say_why_it_ended(core: Core, actor: Actor) -> None:
    worker = Worker(core, brief=True)
    assert worker.elect()
    worker.start()
    try:
        server = servers.add(core, actor, name="tiny", image="tiny:1", config=None)
        ran: dict[str, Any] = {}
        for name in ("good", "raises", "dies"):
            asked, job = test_runs.request(core, actor, server.id, types=[name])
            done = jobs.wait(core, job.id, 30)
            ran[name] = (done, test_runs.get(core, actor, asked.id), test_runs.results(core, actor, asked.id))
    finally:
        worker.stop()
    job, found, results = ran["good"]
    assert (job.state, found.state, found.verdict) == ("succeeded", "succeeded", "pass")
    job, found, results = ran["raises"]
    assert (job.state, found.state, found.verdict) == ("succeeded", "succeeded", "undecided")
    assert [(one.check_id, one.status) for one in results] == [("X01", "success"), ("X02", "error")]
    job, found, results = ran["dies"]
    assert (job.state, found.state, found.verdict) == ("failed", "failed", "undecided")
    assert found.error and found.error["code"] == job.error["code"] == "run_child_died"
    assert [one.status for one in results] == ["success"]
