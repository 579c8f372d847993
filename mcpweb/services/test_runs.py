"""Test runs: one press of the button – a server, a configuration, test types and parameters – and its verdicts."""
from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import configurations, servers, test_results, test_runs, test_types
from mcpweb.dao import jobs as job_rows
from mcpweb.dao.jobs import Job
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.dao.test_types import TestTypeRow
from mcpweb.db import Connection
from mcpweb.errors import FieldError, InvalidInput, NotFound
from mcpweb.events import TestRunRequested
from mcpweb.ids import new_id
from mcpweb.schemas.names import check_image
from mcpweb.services import access, jobs
from mcpweb.services.jobs import Idempotency

PROFILES = ("quick", "full")


def request(
    core: Core,
    actor: Actor,
    server_id: str,
    *,
    types: Sequence[str] | None = None,
    configuration: str | None = None,
    profile: str = "quick",
    parameters: Mapping[str, Any] | None = None,
    idempotency: Idempotency | None = None,
) -> tuple[TestRun, Job]:
    """Ask for a test run; without ``types`` all registered ones run.

    The parameter ``baseline`` names an image, a configuration of this server or both to compare with.
    Raises NotFound, InvalidInput for an unknown type, profile or configuration.
    """
    access.require(core, actor, "test.run", server_id=server_id)
    wanted = _known_types(core, types)
    if profile not in PROFILES:
        raise InvalidInput("profile is quick or full.", errors=[FieldError("/profile", "quick or full")])
    with core.db.writing() as conn:
        server = servers.get(conn, server_id)
        same = jobs.known(conn, actor, idempotency)
        if same is not None:
            return test_runs.get(conn, same.payload["run_id"]), same
        if configuration is None:
            chosen = configurations.active(conn, server.id)
        else:
            chosen = configurations.by_name(conn, server.id, configuration)
        _check_baseline(conn, server.id, (parameters or {}).get("baseline"))
        run_id = new_id("run")
        job = jobs.draft(
            actor, "test_run", subject=f"server:{server.id}", payload={"run_id": run_id, "server_id": server.id},
            idempotency=idempotency,
        )
        run = TestRun.new(
            id=run_id, server_id=server.id, configuration_id=chosen.id, configuration_revision=chosen.revision,
            types=wanted, profile=profile, parameters=dict(parameters or {}), seed=_seed(parameters), job_id=job.id,
            created_at=clock.now(), created_by=actor.name,
        )
        job_rows.insert(conn, job)
        test_runs.insert(conn, run)
        access.note(conn, actor, "test_run.request", run.id, {"server": server.name, "types": wanted})
    core.announce(TestRunRequested(actor.name, run.id, server.id))
    core.line.kick()
    return run, job


def _known_types(core: Core, types: Sequence[str] | None) -> list[str]:
    if types is None:
        return list(core.test_types)
    unknown = [name for name in types if name not in core.test_types]
    if unknown:
        known = ", ".join(core.test_types)
        raise InvalidInput(
            f"There is no test type {unknown[0]}.", next_step=f"Known: {known}.",
            errors=[FieldError("/types", f"unknown: {name}") for name in unknown],
        )
    if not types:
        raise InvalidInput("Name at least one test type.", errors=[FieldError("/types", "empty")])
    return [name for name in core.test_types if name in types]


def _check_baseline(conn: Connection, server_id: str, baseline: Any) -> None:
    """Raise InvalidInput unless it names an image, a configuration of the server, or both."""
    if baseline is None:
        return
    here = "/parameters/baseline"
    if not isinstance(baseline, Mapping) or not baseline or set(baseline) - {"image", "configuration"}:
        raise InvalidInput(
            "The baseline names an image, a configuration, or both.", next_step='Write {"image": "name:tag"}.',
            errors=[FieldError(here, "image and configuration only")],
        )
    if "image" in baseline:
        check_image(baseline["image"], f"{here}/image")
    if "configuration" in baseline:
        try:
            configurations.by_name(conn, server_id, str(baseline["configuration"]))
        except NotFound as failure:
            raise InvalidInput(
                failure.detail, next_step=failure.next_step, errors=[FieldError(f"{here}/configuration", "unknown")]
            ) from None


def _seed(parameters: Mapping[str, Any] | None) -> int:
    given = (parameters or {}).get("seed")
    return given if isinstance(given, int) and 0 <= given < 2**31 else secrets.randbelow(2**31)


def get(core: Core, actor: Actor, run_id: str) -> TestRun:
    """Return a run. Raises NotFound."""
    access.require(core, actor, "test.view", run_id=run_id)
    with core.db.reading() as conn:
        return test_runs.get(conn, run_id)


def results(core: Core, actor: Actor, run_id: str) -> list[TestResult]:
    """Return the results of a run in the order of its checks."""
    access.require(core, actor, "test.view", run_id=run_id)
    with core.db.reading() as conn:
        test_runs.get(conn, run_id)
        return test_results.for_run(conn, run_id)


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    state: str | None = None,
    verdict: str | None = None,
) -> Listing[TestRun]:
    """Return runs, newest first."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        wanted = servers.get(conn, server_id).id if server_id else None
        return test_runs.listing(conn, after=after, limit=limit, server_id=wanted, state=state, verdict=verdict)


def result_listing(
    core: Core, actor: Actor, *, after: Cursor | None = None, limit: int = 50, **filters: str | None
) -> Listing[TestResult]:
    """Return results, newest first; filters are named as the columns."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        if filters.get("server_id"):
            filters["server_id"] = servers.get(conn, str(filters["server_id"])).id
        return test_results.listing(conn, after=after, limit=limit, **filters)


def type_listing(core: Core, actor: Actor) -> list[TestTypeRow]:
    """Return all test types that are or were registered."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        return test_types.listing(conn)


def compare(core: Core, actor: Actor, first: str, second: str) -> list[dict[str, Any]]:
    """Return one row per check and tool of either run, with both statuses, those that differ first."""
    access.require(core, actor, "test.view", run_id=first)
    with core.db.reading() as conn:
        pairs: dict[tuple[str, str, str], dict[str, Any]] = {}
        for side, run_id in (("first", first), ("second", second)):
            test_runs.get(conn, run_id)
            for result in test_results.for_run(conn, run_id):
                key = (result.test_type, result.check_id or "", result.tool_name)
                row = pairs.setdefault(
                    key, {"test_type": key[0], "check_id": key[1], "tool_name": key[2], "first": None, "second": None}
                )
                row[side] = result.status
    return sorted(pairs.values(), key=lambda row: (row["first"] == row["second"], row["test_type"], row["check_id"]))
