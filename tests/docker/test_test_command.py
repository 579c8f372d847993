"""``mcpweb test`` and ``mcpweb schedules``: exit codes, reports, and what is printed where."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpweb.contracts import Actor
from mcpweb.core import open_core
from mcpweb.services import findings
from mcpweb.settings import load
from mcpweb.testing.served import Served

pytestmark = pytest.mark.docker

ADMIN = Actor.cli("tester")
TYPES = '''"""Test types that need no container."""
import os, signal, time
from mcpweb.plugin import Check, CheckResult, TestType, hookimpl

mcpweb_api = 1
CHECKS = (Check("X01", "First", "low"), Check("X02", "Second", "medium"))


def mixed(context):
    context.progress(0.5, "half of it is done")
    time.sleep(1.0 if context.parameters.get("slowly") else 0.0)  # as long as somebody who waits needs to read it
    yield CheckResult("X01", "pass", "The first holds.")
    yield CheckResult("X02", "fail", "The second does not.", tool="now", key="/a", next_step="Mend it.", reproduce="Look.")


def dies(context):
    yield CheckResult("X01", "pass", "The first holds.")
    os.kill(os.getpid(), signal.SIGKILL)


def waits(context):
    yield CheckResult("X01", "pass", "The first holds.")
    while True:
        context.progress(None, "it goes on")
        time.sleep(0.1)


@hookimpl
def mcpweb_add_test_types():
    return [TestType(run.__name__, run.__name__, "", CHECKS, run) for run in (mixed, dies, waits)]
'''


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation without a worker: each command brings its own."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "plugins" / "sample").mkdir(parents=True, mode=0o700)
    (folder / "plugins").chmod(0o700)
    (folder / "plugins" / "sample" / "__init__.py").write_text(TYPES)
    served = Served(folder, MCPWEB_PLUGINS_DIR=str(folder / "plugins"))
    served.cli("demo")
    yield served
    served.cli("servers", "remove", "demo", code=None)


@pytest.mark.parametrize(("fail_on", "code"), [("medium", 1), (None, 0)])
def test_a_failed_check_fails_the_command_from_its_severity_on(alone: Served, fail_on: str | None, code: int) -> None:
    options = ["--fail-on", fail_on] if fail_on else []
    text = alone.cli("test", "demo", "--type", "mixed", "--parameter", "slowly=true", *options, code=code)
    assert "FAIL  X02" in text and "→ Mend it." in text and "fail: 1 pass, 1 fail" in text
    assert "half of it is done" in alone.stderr and "half of it is done" not in text


def test_reports_are_written_beside_the_object_that_is_printed(alone: Served, tmp_path: Path) -> None:
    xml, log = tmp_path / "r.xml", tmp_path / "r.sarif"
    run = json.loads(alone.cli("test", "demo", "--type", "mixed", "--junit", str(xml), "--sarif", str(log), "--json"))
    assert {"id", "server_id", "configuration_id", "types", "state", "verdict", "counts", "results"} <= set(run)
    assert (run["state"], run["verdict"], run["types"], len(run["results"])) == ("succeeded", "fail", ["mixed"], 2)
    assert alone.stderr == ""
    (suite,) = ET.parse(xml).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (result,) = json.loads(log.read_text())["runs"][0]["results"]
    assert (result["ruleId"], result["level"], result["properties"]["key"]) == ("X02", "warning", "/a")


def test_a_run_that_broke_is_no_answer_and_its_report_says_so(alone: Served, tmp_path: Path) -> None:
    xml = tmp_path / "r.xml"
    alone.cli("test", "demo", "--type", "dies", "--junit", str(xml), code=2)
    assert "SIGKILL" in alone.stderr
    assert [e.get("type") for e in ET.parse(xml).getroot().iter("error")] == ["run_child_died"]
    run = alone.json("test", "demo", "--type", "dies", code=2)
    assert (run["state"], run["verdict"], run["error"]["code"]) == ("failed", "undecided", "run_child_died")


def test_parameters_and_a_baseline_reach_the_run(alone: Served) -> None:
    words = ("--parameter", 'calls=[1, 2]', "--parameter", "tool=now")
    run = json.loads(alone.cli("test", "demo", "--type", "mixed", *words, "--json"))
    assert run["parameters"] == {"calls": [1, 2], "tool": "now"}
    broken = alone.json("test", "demo", "--type", "mixed", "--baseline", "nobody/has:1", code=2)
    assert broken["parameters"] == {"baseline": {"image": "nobody/has:1"}} and broken["error"]["code"] == "image_missing"


@pytest.mark.parametrize(
    "arguments",
    [("test", "nobody"), ("test", "demo", "--type", "sorcery"), ("test", "demo", "--configuration", "none"), ("test",),
     ("test", "demo", "--fail-on", "awful"), ("test", "demo", "--type", "mixed", "--junit", "/nowhere/r.xml"),
     ("test", "demo", "--profile", "lazy"), ("test", "demo", "--parameter", "calls")],
    ids=" ".join,
)
def test_what_cannot_be_done_is_two_and_runs_nothing(alone: Served, arguments: tuple[str, ...]) -> None:
    before = len(alone.json("jobs", "list", "--limit", "200")["items"])
    assert alone.cli(*arguments, code=2) == "" and alone.stderr
    assert len(alone.json("jobs", "list", "--limit", "200")["items"]) == before


def test_who_interrupts_the_command_ends_the_run(alone: Served) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "mcpweb", "test", "demo", "--type", "waits"], env=alone.environment, cwd=alone.folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert command.stderr is not None
    for line in command.stderr:
        if "it goes on" in line:
            break
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert command.returncode == 2
    (job,) = alone.json("jobs", "list", "--kind", "test_run", "--limit", "1")["items"]
    assert job["state"] == "cancelled"
    assert not _alive("run " + job["id"])


def _alive(name: str) -> bool:
    time.sleep(0.1)
    return name in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


def test_schedules_are_added_listed_switched_and_removed(alone: Served) -> None:
    made = alone.json("schedules", "add", "demo", "nightly", "--every", "60", "--type", "mixed", "--on-new-image")
    assert (made["every_minutes"], made["on_new_image"], made["types"], made["is_active"]) == (60, True, ["mixed"], True)
    assert [row["name"] for row in alone.json("schedules", "list", "demo")["items"]] == ["nightly"]
    assert alone.json("schedules", "show", "demo", "nightly") == made
    assert alone.json("schedules", "disable", "demo", "nightly")["is_active"] is False
    assert alone.json("schedules", "enable", "demo", "nightly")["is_active"] is True
    assert "is taken" not in alone.cli("schedules", "add", "demo", "nightly", "--every", "60", code=2)
    assert "already has a schedule" in alone.stderr
    for wrong in (("--every", "4"), (), ("--every", "60", "--type", "sorcery")):
        alone.cli("schedules", "add", "demo", "other", *wrong, code=2)
    alone.cli("schedules", "remove", "demo", "nightly")
    assert alone.json("schedules", "list") == {"items": [], "next": None}
    alone.cli("schedules", "show", "demo", "nightly", code=2)


def test_an_accepted_finding_does_not_fail_the_command_and_stays_to_be_seen(alone: Served, tmp_path: Path) -> None:
    alone.cli("test", "demo", "--type", "mixed", "--fail-on", "medium", code=1)
    core = open_core(load(alone.environment))
    try:
        (finding,) = findings.listing(core, ADMIN, check_id="X02").rows
        findings.accept(core, ADMIN, finding.id, reason="known and harmless")
    finally:
        core.close()
    log = tmp_path / "r.sarif"
    text = alone.cli("test", "demo", "--type", "mixed", "--fail-on", "info", "--sarif", str(log))
    assert "known and harmless" in text
    (result,) = json.loads(log.read_text())["runs"][0]["results"]
    assert result["suppressions"][0]["justification"] == "known and harmless"
