"""On a machine that has no time for us either, what only a clock decides is left open."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mcpweb import paths
from mcpweb.bench import floor
from mcpweb.contracts import CheckResult
from mcpweb.pluginhost import import_folder

for name in ("performance", "functionality"):
    import_folder(f"testtype_{name}", paths.PLUGINS / f"testtype_{name}")

from mcpweb_plugins.testtype_functionality import timing  # noqa: E402 - exists from here on
from mcpweb_plugins.testtype_performance import run  # noqa: E402

SPIN = "import time; end = time.monotonic() + 15\nwhile time.monotonic() < end: pass"
LATE = CheckResult("P03", "fail", "No reply came.", timed_out=True)
REPLY = SimpleNamespace(at=900_000_000, message={"jsonrpc": "2.0", "id": 1, "result": {}})


@pytest.fixture(scope="module")
def loaded() -> Iterator[None]:
    """A machine with six times as much to do as it can, for fifteen seconds at most."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(6 * len(os.sched_getaffinity(0)))]
    try:
        while floor.stretch() < floor.BUSY and any(one.poll() is None for one in spinning):
            pass  # they are still starting
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


def test_what_came_late_on_a_loaded_machine_is_left_open(loaded: None) -> None:
    context = SimpleNamespace(busy=floor.busy)
    found = run.unless_busy(context, LATE)
    assert found.verdict == "undecided" and "The machine is busy" in found.summary
    late = timing._cancelled({"name": "wait"}, {}, REPLY, 0, True, floor.busy)
    assert late.verdict == "undecided" and "900 ms after the call was cancelled" in late.summary


def test_what_no_clock_decided_stands_on_a_loaded_machine_too(loaded: None) -> None:
    context = SimpleNamespace(busy=floor.busy)
    wrong = CheckResult("P03", "fail", "It says that it failed.")
    assert run.unless_busy(context, wrong) is wrong
    assert timing._cancelled({"name": "wait"}, {}, None, 0, False, floor.busy).verdict == "fail"


def test_what_came_late_stands_where_there_was_time() -> None:
    assert run.unless_busy(SimpleNamespace(busy=lambda: ""), LATE) is LATE
    assert timing._cancelled({"name": "wait"}, {}, REPLY, 0, True, lambda: "").verdict == "fail"


def test_a_machine_with_time_is_not_called_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "BUSY", max(floor.BUSY, 4 * floor.stretch()))  # who else works here is not ours to say
    assert floor.busy() == ""


@pytest.mark.parametrize(("tries", "verdict"), [(["undecided"] * 3, "fail"), (["undecided", "pass"], "pass"), (["fail"], "fail")])
def test_a_result_that_comes_after_each_of_three_cancels_is_no_accident(tries: list[str], verdict: str) -> None:
    told = iter([CheckResult("F12", one, "Late.") for one in tries])  # type: ignore[arg-type]
    found = timing._surely(lambda: next(told))
    assert found is not None and found.verdict == verdict and next(told, None) is None
