"""A team's own test type: put into a folder, run from the page and the API, its results kept when it is gone."""
from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpweb.app import create_app
from mcpweb.contracts import Actor
from mcpweb.core import Core, open_core
from mcpweb.dao.test_runs import TestRun
from mcpweb.services import accounts, servers, test_runs, trends
from mcpweb.settings import load
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import Visitor, check_markup
from mcpweb.worker import Worker

LICENCES = '''"""Looks whether each tool says under which licence its answers may be used."""
from mcpweb.plugin import Check, CheckResult, TestType, hookimpl

mcpweb_api = 1
CHECKS = (
    Check("L01", "Each tool names a licence", "medium", "Answers without a licence cannot be used in our reports."),
    Check("L02", "The server answers", "high"),
)


def run(context):
    with context.fresh() as session:
        tools = session.listing("tools")
        yield CheckResult("L02", "pass", f"It lists {len(tools)} tools.", metrics={"L02.tools": len(tools)})
        for tool in tools:
            named = "licence" in (tool.get("description") or "").lower()
            yield CheckResult(
                "L01", "pass" if named else "fail", "It names a licence." if named else "It names no licence.", tool=tool["name"],
                evidence={"description": tool.get("description")}, next_step="Write the licence into the description.",
            )


@hookimpl
def mcpweb_add_test_types():
    return [TestType("licences", "Licences", "Do tools say how their answers may be used?", CHECKS, run)]
'''
ADMIN = Actor.cli("tester")


class Installation:
    """An application over one data folder, with a worker; ``open`` again to load what lies in the plugin folder now."""

    def __init__(self, folder: Path, runtime: FakeRuntime) -> None:
        self.folder, self.runtime = folder, runtime
        self.plugins = folder / "plugins"
        self.plugins.mkdir(mode=0o700)

    def open(self) -> Core:
        self.core = open_core(load({"MCPWEB_DATA_DIR": str(self.folder / "data"), "MCPWEB_PLUGINS_DIR": str(self.plugins)}), role="web")
        self.core.use_runtime(self.runtime)
        self.worker = Worker(self.core, brief=True)
        assert self.worker.elect()
        self.worker.start()
        self.visitor = Visitor(create_app(self.core), self.core, self.runtime).sign_in("operator")
        return self.core

    def close(self) -> None:
        self.worker.stop()
        self.core.close()

    def ended(self, run_id: str) -> TestRun:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            run = test_runs.get(self.core, ADMIN, run_id)
            if run.finished:
                return run
            time.sleep(0.05)
        raise AssertionError("the run does not end")


@pytest.fixture
def here(tmp_path: Path, runtime: FakeRuntime) -> Iterator[Installation]:
    made = Installation(tmp_path, runtime)
    yield made
    made.close()


def test_a_teams_test_type_is_installed_run_kept_and_still_read_when_it_is_gone(here: Installation) -> None:
    assert len(LICENCES[LICENCES.index("mcpweb_api"):].strip().splitlines()) <= 30
    (here.plugins / "licences").mkdir()
    (here.plugins / "licences" / "__init__.py").write_text(LICENCES)
    core = here.open()
    server = servers.add(core, ADMIN, name="demo", image="tiny:1")
    here.visitor.post(f"/servers/{server.id}/test-runs", {"type": "licences"})
    (by_page,) = test_runs.listing(core, ADMIN, test_type="licences").rows
    run = here.ended(by_page.id)
    assert (run.state, run.verdict, run.types) == ("succeeded", "fail", ["licences"]), run.error
    results = test_runs.results(core, ADMIN, run.id)
    assert {(r.check_id, r.status, r.severity) for r in results} >= {("L02", "success", "high"), ("L01", "failure", "medium")}
    assert len([r for r in results if r.check_id == "L01"]) >= 2 and all(r.tool_name != "*" for r in results if r.check_id == "L01")

    token = accounts.create_token(core, ADMIN, user=here.visitor.user.name, name="t", role=None, days=1)  # type: ignore[union-attr]
    client = create_app(core).test_client()
    answer = client.post(
        "/api/v1/servers/demo/test-runs", json={"types": ["licences"]}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code in (200, 202)
    again = test_runs.listing(core, ADMIN, test_type="licences").rows[0]
    assert again.id != run.id and here.ended(again.id).verdict == "fail"
    assert [point.value for point in trends.series(core, ADMIN, "demo", "L02.tools").points] == [len(results) - 1.0] * 2
    here.close()

    shutil.rmtree(here.plugins / "licences")
    core = here.open()
    assert "licences" not in core.test_types
    assert {row.name: row.installed for row in test_runs.type_listing(core, ADMIN)}["licences"] is False
    for path in ("/test-runs", f"/test-runs/{run.id}", f"/test-runs/{run.id}/report", f"/servers/{server.id}/tests"):
        answer = here.visitor.get(path)
        assert answer.status_code == 200, path
        check_markup(here.visitor.app, answer.text)
    assert "L01" in here.visitor.get(f"/test-runs/{run.id}").text and "It names no licence." in here.visitor.get(f"/test-runs/{run.id}/report").text
    assert len(test_runs.results(core, ADMIN, run.id)) == len(results)
    refused = here.visitor.post(f"/servers/{server.id}/test-runs", {"type": "licences"})
    assert refused.status_code == 422 and test_runs.listing(core, ADMIN, state="queued").rows == ()


def test_a_schedule_of_a_test_type_that_is_gone_says_so_and_asks_for_nothing(
    here: Installation, monkeypatch: pytest.MonkeyPatch, clock_at: Callable[[float], None]
) -> None:
    from mcpweb.services import schedules

    (here.plugins / "licences").mkdir()
    (here.plugins / "licences" / "__init__.py").write_text(LICENCES)
    core = here.open()
    servers.add(core, ADMIN, name="demo", image="tiny:1")
    schedule = schedules.add(core, ADMIN, "demo", name="nightly", types=["licences"], every_minutes=5)
    here.close()
    shutil.rmtree(here.plugins / "licences")
    core = here.open()
    clock_at(301)
    assert schedules.due(core) == []
    assert "none of its test types is installed" in schedules.get(core, ADMIN, schedule.id).last_detail
