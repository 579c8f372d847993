"""Schedules: test runs that the clock or a new image asks for."""
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import configurations, schedules, servers, test_runs
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.schedules import Schedule
from mcpweb.dao.test_runs import TestRun
from mcpweb.db import Connection, driver
from mcpweb.errors import Conflict, Failure, FieldError, InvalidInput
from mcpweb.ids import new_id
from mcpweb.schemas.names import check_name
from mcpweb.services import access
from mcpweb.services import test_runs as runs

log = logging.getLogger(__name__)

SYSTEM = Actor(name="system:schedule", role="admin", via="system")
LEAST_MINUTES, MOST_MINUTES = 5, 366 * 24 * 60


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    is_active: bool | None = None,
) -> Listing[Schedule]:
    """Return schedules, newest first."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        wanted = servers.get(conn, server_id).id if server_id else None
        return schedules.listing(conn, after=after, limit=limit, server_id=wanted, is_active=is_active)


def get(core: Core, actor: Actor, schedule_id: str) -> Schedule:
    """Return a schedule. Raises NotFound."""
    access.require(core, actor, "test.view", schedule_id=schedule_id)
    with core.db.reading() as conn:
        return schedules.get(conn, schedule_id)


def by_name(core: Core, actor: Actor, server_id: str, name: str) -> Schedule:
    """Return a server's schedule by its name or id. Raises NotFound."""
    access.require(core, actor, "test.view", server_id=server_id)
    with core.db.reading() as conn:
        return schedules.by_name(conn, servers.get(conn, server_id).id, name)


def add(
    core: Core,
    actor: Actor,
    server_id: str,
    *,
    name: str,
    types: Sequence[str] | None = None,
    configuration: str | None = None,
    profile: str = "quick",
    parameters: Mapping[str, Any] | None = None,
    every_minutes: int | None = None,
    on_new_image: bool = False,
    is_active: bool = True,
) -> Schedule:
    """Add a schedule; it is due for the first time after its interval.

    Without types all that are registered then run. Raises NotFound, Conflict for a taken name, InvalidInput.
    """
    access.require(core, actor, "test.edit", server_id=server_id)
    check_name(name)
    wanted = checked(core, types, profile, every_minutes, on_new_image)
    now = clock.now()
    with core.db.writing() as conn:
        server = servers.get(conn, server_id)
        if configuration is not None:
            configurations.by_name(conn, server.id, configuration)
        schedule = Schedule(
            id=new_id("sch"), server_id=server.id, name=name, types=wanted, configuration=configuration, profile=profile,
            parameters=dict(parameters or {}), every_minutes=every_minutes, on_new_image=on_new_image,
            next_at=_first(every_minutes), image_id=server.image_id, last_run_id=None, last_detail="", is_active=is_active,
            created_at=now, created_by=actor.name, updated_at=now, revision=1,
        )
        try:
            schedules.insert(conn, schedule)
        except driver.IntegrityError:
            raise Conflict(
                f"{server.name} already has a schedule {name}.", errors=[FieldError("/name", "taken")]
            ) from None
        access.note(
            conn, actor, "schedule.add", schedule.id,
            {"server": server.name, "name": name, "every_minutes": every_minutes, "on_new_image": on_new_image},
        )
    return schedule


def checked(
    core: Core, types: Sequence[str] | None, profile: str, every_minutes: int | None, on_new_image: bool
) -> list[str]:
    runs.check_profile(profile)
    if every_minutes is not None and not LEAST_MINUTES <= every_minutes <= MOST_MINUTES:
        raise InvalidInput(
            f"A schedule runs every {LEAST_MINUTES} minutes at most, and once a year at least.",
            errors=[FieldError("/every_minutes", f"from {LEAST_MINUTES} to {MOST_MINUTES}")],
        )
    if every_minutes is None and not on_new_image:
        raise InvalidInput(
            "A schedule says when: every so many minutes, on a new image, or both.",
            errors=[FieldError("/every_minutes", "missing, and on_new_image is false")],
        )
    return runs.known_types(core, types) if types else []


def _first(every_minutes: int | None) -> str | None:
    return None if every_minutes is None else clock.later(every_minutes * 60)


def update(core: Core, actor: Actor, schedule_id: str, *, expect: int | None, **fields: Any) -> Schedule:
    """Change a schedule; another interval, or switching it on, begins a new one now. Raises as ``add``, PreconditionFailed."""
    access.require(core, actor, "test.edit", schedule_id=schedule_id)
    if "name" in fields:
        check_name(fields["name"])
    with core.db.writing() as conn:
        before = schedules.get(conn, schedule_id)
        every = fields.get("every_minutes", before.every_minutes)
        types = checked(
            core, fields.get("types"), fields.get("profile", before.profile), every,
            fields.get("on_new_image", before.on_new_image),
        )
        if "types" in fields:
            fields["types"] = types
        if fields.get("configuration"):
            configurations.by_name(conn, before.server_id, fields["configuration"])
        switched_on = fields.get("is_active") and not before.is_active
        begins = {"next_at": _first(every)} if every != before.every_minutes or switched_on else {}
        try:
            changed = schedules.update(conn, schedule_id, expect=expect, fields={**fields, **begins})
        except driver.IntegrityError:
            raise Conflict("The server already has a schedule of this name.", errors=[FieldError("/name", "taken")]) from None
        access.note(conn, actor, "schedule.update", schedule_id, {"fields": sorted(fields), "revision": changed.revision})
    return changed


def remove(core: Core, actor: Actor, schedule_id: str) -> None:
    """Delete a schedule; its runs stay. Raises NotFound."""
    access.require(core, actor, "test.edit", schedule_id=schedule_id)
    with core.db.writing() as conn:
        schedule = schedules.get(conn, schedule_id)
        schedules.delete(conn, schedule_id)
        access.note(conn, actor, "schedule.remove", schedule_id, {"name": schedule.name, "server_id": schedule.server_id})


# What the worker does


def due(core: Core) -> list[TestRun]:
    """Ask for a run of each schedule whose time has come, and return the runs.

    However many times were missed, a schedule asks once, and its next time lies ahead. A run of it that is still open is
    not doubled. When the clock was put back, no schedule waits longer than its interval.
    """
    now = clock.now()
    with core.db.reading() as conn:
        waiting = [schedule.id for schedule in schedules.due(conn, now)]
        stranded = [schedule.id for schedule in schedules.far_off(conn, now)]
    for schedule_id in stranded:
        with core.db.writing() as conn:
            schedule = schedules.get(conn, schedule_id)
            schedules.move_on(conn, schedule_id, next_at=_first(schedule.every_minutes), detail=schedule.last_detail)
    found = [_ask(core, schedule_id, now) for schedule_id in waiting]
    return [run for run in found if run is not None]


def _ask(core: Core, schedule_id: str, now: str) -> TestRun | None:
    with core.db.writing() as conn:
        schedule = schedules.get(conn, schedule_id)
        if not schedule.is_active or schedule.next_at is None or schedule.next_at > now:
            return None
        run, detail = _run(core, conn, schedule, "")
        schedules.move_on(
            conn, schedule.id, next_at=_following(schedule, now), detail=detail, run_id=run.id if run else None
        )
    if run is not None:
        runs.told(core, SYSTEM, run)
    return run


def _following(schedule: Schedule, now: str) -> str:
    """Return the first time after now on the schedule's own grid."""
    step = timedelta(minutes=schedule.every_minutes or LEAST_MINUTES)
    planned = clock.parse(str(schedule.next_at))
    missed = (clock.parse(now) - planned) // step + 1
    return clock.text((planned + missed * step).timestamp())


def _run(core: Core, conn: Connection, schedule: Schedule, why: str) -> tuple[TestRun | None, str]:
    """Write a run down, or return why there is none."""
    if schedule.last_run_id is not None and test_runs.is_open(conn, schedule.last_run_id):
        return None, f"Not asked for at {clock.now()[:16]}: the run before is not over yet."
    try:
        types = [name for name in schedule.types if name in core.test_types] if schedule.types else list(core.test_types)
        if not types:
            return None, "Not asked for: none of its test types is installed."
        run, _ = runs.enqueue(
            core, conn, SYSTEM, servers.get(conn, schedule.server_id), types=types, configuration=schedule.configuration,
            profile=schedule.profile, parameters=schedule.parameters,
        )
    except Failure as failure:
        return None, f"Not asked for: {failure.sentence}"
    return run, why


def new_image(core: Core, server_id: str, image_id: str) -> list[TestRun]:
    """Ask for a run of each schedule of a server that waits for a new image, if this is one; return the runs.

    An image is new to a schedule when it is another one than that it looked at last.
    """
    found = []
    with core.db.reading() as conn:
        waiting = [schedule.id for schedule in schedules.on_new_image(conn, server_id) if schedule.image_id != image_id]
    for schedule_id in waiting:
        with core.db.writing() as conn:
            schedule = schedules.get(conn, schedule_id)
            if not (schedule.is_active and schedule.on_new_image) or schedule.image_id == image_id:
                continue
            run, detail = _run(core, conn, schedule, "A new image.")
            if run is None and "not over yet" in detail:
                continue  # the next look finds the image still new
            schedules.set_image(conn, schedule_id, image_id)
            schedules.move_on(
                conn, schedule_id, next_at=schedule.next_at, detail=detail, run_id=run.id if run else None
            )
        if run is not None:
            found.append(run)
            runs.told(core, SYSTEM, run)
    return found


def look_at_images(core: Core) -> None:
    """Look whether images of schedules that wait for new ones were replaced by somebody else than us."""
    with core.db.reading() as conn:
        ids = {schedule.server_id for schedule in schedules.on_new_image(conn)}
        wanted = [server for server_id in sorted(ids) if (server := servers.find(conn, server_id)) is not None]
    for server in wanted:
        try:
            image_id = core.runtime.image(server.image).id
        except Failure as failure:
            log.debug("the image of %s cannot be looked at: %s", server.name, failure.detail)
            continue
        new_image(core, server.id, image_id)
