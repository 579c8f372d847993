"""Test runs: one press of the button – a server, a configuration, test types and parameters – and its verdicts."""
from __future__ import annotations

import re
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
from mcpweb.dao.servers import Server
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.dao.test_types import TestTypeRow
from mcpweb.db import Connection
from mcpweb.errors import FieldError, InvalidInput, NotFound
from mcpweb.events import TestRunRequested
from mcpweb.ids import new_id
from mcpweb.schemas.names import check_image
from mcpweb.services import access, jobs
from mcpweb.services.comparison import compare
from mcpweb.services.jobs import Idempotency

__all__ = [
    "PROFILES", "check_profile", "compare", "enqueue", "get", "known_types", "listing", "moment", "request", "result_listing",
    "results", "told", "type_listing",
]

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
    wanted = known_types(core, types)
    check_profile(profile)
    with core.db.writing() as conn:
        server = servers.get(conn, server_id)
        same = jobs.known(conn, actor, idempotency)
        if same is not None:
            return test_runs.get(conn, same.payload["run_id"]), same
        run, job = enqueue(
            core, conn, actor, server, types=wanted, configuration=configuration, profile=profile, parameters=parameters,
            idempotency=idempotency,
        )
    told(core, actor, run)
    return run, job


def enqueue(
    core: Core,
    conn: Connection,
    actor: Actor,
    server: Server,
    *,
    types: list[str],
    configuration: str | None,
    profile: str,
    parameters: Mapping[str, Any] | None,
    idempotency: Idempotency | None = None,
) -> tuple[TestRun, Job]:
    """Write a run and its job down, in the caller's transaction; ``told`` follows after the commit. Raises NotFound."""
    if configuration is None:
        chosen = configurations.active(conn, server.id)
    else:
        chosen = configurations.by_name(conn, server.id, configuration)
    _check_baseline(conn, server.id, (parameters or {}).get("baseline"))
    run_id = new_id("run")
    job = jobs.draft(
        actor, "test_run", subject=f"server:{server.id}", payload={"run_id": run_id, "server_id": server.id},
        idempotency=idempotency, is_exclusive=any(core.test_types[name].exclusive for name in types),
    )
    run = TestRun.new(
        id=run_id, server_id=server.id, configuration_id=chosen.id, configuration_revision=chosen.revision,
        types=types, profile=profile, parameters=dict(parameters or {}), seed=_seed(parameters), job_id=job.id,
        created_at=clock.now(), created_by=actor.name,
    )
    job_rows.insert(conn, job)
    test_runs.insert(conn, run)
    access.note(conn, actor, "test_run.request", run.id, {"server": server.name, "types": types})
    return run, job


def told(core: Core, actor: Actor, run: TestRun) -> None:
    """Tell plugins of a run that was asked for, and the worker that there is something to do."""
    core.announce(TestRunRequested(actor.name, run.id, run.server_id))
    core.line.kick()


def check_profile(profile: str) -> None:
    """Raise InvalidInput for another word than quick or full."""
    if profile not in PROFILES:
        raise InvalidInput("profile is quick or full.", errors=[FieldError("/profile", "quick or full")])


def repeat(core: Core, actor: Actor, run_id: str) -> tuple[TestRun, Job]:
    """Ask for the same once more: server, types, profile and parameters, with a seed of its own. Raises as ``request``."""
    run = get(core, actor, run_id)
    with core.db.reading() as conn:
        chosen = configurations.get(conn, run.configuration_id) if run.configuration_id else None
    parameters = {name: value for name, value in run.parameters.items() if name != "seed"}
    return request(
        core, actor, run.server_id, types=[name for name in run.types if name in core.test_types] or None,
        configuration=chosen.name if chosen else None, profile=run.profile, parameters=parameters,
    )


def known_types(core: Core, types: Sequence[str] | None) -> list[str]:
    """Return the wanted types in their order, all registered ones for None. Raises InvalidInput."""
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


def before(core: Core, actor: Actor, run: TestRun) -> TestRun | None:
    """Return the newest finished run of the same server before this one that shares a test type with it, if it is near."""
    access.require(core, actor, "test.view", run_id=run.id)
    with core.db.reading() as conn:
        earlier = test_runs.listing(conn, after=Cursor(run.created_at, run.id), limit=20, server_id=run.server_id).rows
    return next((row for row in earlier if row.finished and set(row.types) & set(run.types)), None)


def result(core: Core, actor: Actor, result_id: str) -> TestResult:
    """Return one result. Raises NotFound."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        return test_results.get(conn, result_id)


def history_of(core: Core, actor: Actor, result: TestResult, limit: int = 10) -> Sequence[TestResult]:
    """Return what the same check said of the same tool of the same server, newest first."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        return test_results.listing(
            conn, limit=limit, server_id=result.server_id, check_id=result.check_id, tool_name=result.tool_name
        ).rows


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
    image_digest: str | None = None,
    test_type: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Listing[TestRun]:
    """Return runs, newest first; ``since`` and ``until`` are days or times as rows hold them, ``until`` included as a day."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        wanted = servers.get(conn, server_id).id if server_id else None
        return test_runs.listing(
            conn, after=after, limit=limit, server_id=wanted, state=state, verdict=verdict, image_digest=image_digest,
            test_type=test_type, since=moment(since, "since"), until=moment(until, "until", end=True),
        )


_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def moment(given: str | None, name: str, *, end: bool = False) -> str | None:
    """Return a day, or a time in RFC 3339 or as rows hold it, as rows hold it. Raises InvalidInput.

    ``end`` makes a day the end of that day.
    """
    if not given:
        return None
    text = given.strip().replace("T", " ").removesuffix("Z")
    try:
        if _DAY.fullmatch(text):
            day = clock.parse(text + " 00:00:00").timestamp()
            return clock.text(day + (86_400 if end else 0))
        return clock.text(clock.parse(text).timestamp())
    except ValueError:
        raise InvalidInput(
            f"{name} is a day such as 2026-11-24, or a time in UTC such as 2026-11-24T08:00:00Z.",
            errors=[FieldError(f"/{name}", "not a day or time")],
        ) from None


def result_listing(
    core: Core, actor: Actor, *, after: Cursor | None = None, limit: int = 50, **filters: str | None
) -> Listing[TestResult]:
    """Return results, newest first; filters are named as the columns."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        if filters.get("server_id"):
            filters["server_id"] = servers.get(conn, str(filters["server_id"])).id
        filters |= {"since": moment(filters.get("since"), "since"), "until": moment(filters.get("until"), "until", end=True)}
        return test_results.listing(conn, after=after, limit=limit, **filters)


def type_listing(core: Core, actor: Actor) -> list[TestTypeRow]:
    """Return all test types that are or were registered."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        return test_types.listing(conn)
