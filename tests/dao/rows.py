"""Factories: one row of each kind with everything that is not the point filled in."""
from __future__ import annotations

from typing import Any

from mcpweb import clock
from mcpweb.contracts import ConfigData
from mcpweb.dao import configurations, jobs, schedules, servers, test_cases, test_results, test_runs, test_types
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.findings import Finding
from mcpweb.dao.jobs import Job
from mcpweb.dao.schedules import Schedule
from mcpweb.dao.servers import Server
from mcpweb.dao.test_cases import TestCase
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.dao.test_types import TestTypeRow
from mcpweb.db import Connection
from mcpweb.ids import new_id

TYPES = ("connection", "functionality", "performance", "security")


def make_types(conn: Connection) -> None:
    test_types.register(conn, [TestTypeRow(name, name.title(), "", f"testtype_{name}", True) for name in TYPES])


def make_server(conn: Connection, name: str = "time", **fields: Any) -> Server:
    server = Server.new(
        id=new_id("srv"), name=name, image="mcp/time:1", created_at=clock.now(), created_by="cli:me", **fields
    )
    servers.insert(conn, server)
    return server


def make_configuration(conn: Connection, server: Server, name: str = "default", *, active: bool = True) -> Configuration:
    configuration = Configuration(
        id=new_id("cfg"), server_id=server.id, name=name, description="", config_data=ConfigData().to_json(),
        is_active=active, created_at=clock.now(), updated_at=clock.now(), created_by="cli:me", revision=1,
    )
    configurations.insert(conn, configuration)
    return configuration


def make_job(conn: Connection, kind: str = "start", **fields: Any) -> Job:
    values = {"payload": {}, "subject": "", "created_at": clock.now(), "created_by": "cli:me"} | fields
    job = Job.new(id=new_id("job"), kind=kind, **values)
    jobs.insert(conn, job)
    return job


def make_run(conn: Connection, server: Server, configuration: Configuration | None = None) -> TestRun:
    configuration = configuration or make_configuration(conn, server)
    run = TestRun.new(
        id=new_id("run"), server_id=server.id, configuration_id=configuration.id, configuration_revision=1,
        types=["connection"], profile="quick", parameters={}, seed=7, job_id=make_job(conn, "test-run").id,
        created_at=clock.now(), created_by="cli:me",
    )
    test_runs.insert(conn, run)
    return run


def a_result(run: TestRun, status: str = "success", **fields: Any) -> TestResult:
    values = {
        "id": new_id("res"), "server_id": run.server_id, "configuration_id": run.configuration_id, "tool_name": "now",
        "test_type": "connection", "status": status, "input_data": None, "output_data": {"verdict": "pass"},
        "error_message": None, "execution_time_ms": 3, "created_at": clock.now(), "created_by": "cli:me",
        "run_id": run.id, "check_id": "C01", "severity": "info",
    } | fields
    return TestResult(**values)


def a_finding(run: TestRun, **fields: Any) -> Finding:
    values = {
        "id": new_id("fnd"), "server_id": run.server_id, "test_type": "security", "check_id": "M01", "tool_name": "now", "key": "",
        "severity": "high", "confidence": "firm", "summary": "It hides an instruction.", "state": "open",
        "first_seen_at": clock.now(), "first_run_id": run.id, "last_seen_at": clock.now(), "last_run_id": run.id,
        "result_id": "res_1",
    } | fields
    return Finding(**values)


def make_results(conn: Connection, run: TestRun, *statuses: str) -> list[TestResult]:
    results = [a_result(run, status) for status in statuses]
    test_results.insert_many(conn, results)
    return results


def make_case(conn: Connection, server: Server, name: str = "case", **fields: Any) -> TestCase:
    values = {
        "id": new_id("tcs"), "server_id": server.id, "name": name, "tool_name": "now", "arguments": {"tz": "UTC"},
        "assertions": [{"kind": "is_error", "value": False}], "is_active": True, "created_at": clock.now(),
        "created_by": "cli:me", "updated_at": clock.now(), "revision": 1,
    } | fields
    case = TestCase(**values)
    test_cases.insert(conn, case)
    return case


def make_schedule(conn: Connection, server: Server, name: str = "nightly", **fields: Any) -> Schedule:
    values = {
        "id": new_id("sch"), "server_id": server.id, "name": name, "types": [], "configuration": None, "profile": "quick",
        "parameters": {}, "every_minutes": 60, "on_new_image": False, "next_at": clock.later(3600), "image_id": None,
        "last_run_id": None, "last_detail": "", "is_active": True, "created_at": clock.now(), "created_by": "cli:me",
        "updated_at": clock.now(), "revision": 1,
    } | fields
    if values["every_minutes"] is None:
        values |= {"next_at": None, "on_new_image": True}
    schedule = Schedule(**values)
    schedules.insert(conn, schedule)
    return schedule
