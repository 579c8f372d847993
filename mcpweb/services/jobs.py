"""Background work as rows: asked for here, done by the worker, looked at by everybody."""
from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs
from mcpweb.dao.jobs import Job
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import Conflict
from mcpweb.ids import new_id
from mcpweb.services import access

OPEN = ("queued", "running")
_KEY_LIFE_S = 24 * 3600


@dataclass(frozen=True)
class Idempotency:
    """The key a caller gave, and a hash of what it asked for: same key and body, same job."""

    key: str
    body_hash: str

    @classmethod
    def of(cls, key: str, body: Any) -> Idempotency:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
        return cls(key=key, body_hash=hashlib.sha256(text.encode()).hexdigest())


def draft(
    actor: Actor,
    kind: str,
    *,
    subject: str,
    payload: Mapping[str, Any],
    dedupe_key: str | None = None,
    idempotency: Idempotency | None = None,
    is_exclusive: bool = False,
) -> Job:
    """Return a job that is not stored yet; an exclusive one wants to be alone among runs, rotations and retention."""
    return Job.new(
        id=new_id("job"),
        kind=kind,
        subject=subject,
        payload=dict(payload),
        dedupe_key=dedupe_key,
        idempotency_key=idempotency.key if idempotency else None,
        idempotency_hash=idempotency.body_hash if idempotency else None,
        created_by=actor.name,
        created_at=clock.now(),
        is_exclusive=is_exclusive,
    )


def known(conn: Connection, actor: Actor, idempotency: Idempotency | None) -> Job | None:
    """Return the job an earlier request with the same key made. Raises Conflict for another body."""
    if idempotency is None:
        return None
    found = jobs.find_idempotent(conn, actor.name, idempotency.key, clock.later(-_KEY_LIFE_S))
    if found is not None and found.idempotency_hash != idempotency.body_hash:
        raise Conflict(
            "This Idempotency-Key was used for another request.", next_step="Use a new key for a new request."
        )
    return found


def ask(
    core: Core,
    actor: Actor,
    kind: str,
    *,
    subject: str,
    payload: Mapping[str, Any] | None = None,
    idempotency: Idempotency | None = None,
) -> Job:
    """Ask for a job of which one at a time is enough: an open one of this kind is returned instead of a second one."""
    with core.db.writing() as conn:
        if (same := known(conn, actor, idempotency) or jobs.open_with(conn, kind)) is not None:
            return same
        job = draft(actor, kind, subject=subject, payload=payload or {}, dedupe_key=kind, idempotency=idempotency)
        jobs.insert(conn, job)
    core.line.kick()
    return job


NOT_TOLD = ("call", "tools")
"""Kinds whose end is seen where they were asked for."""


def news(core: Core, actor: Actor, since: str) -> tuple[list[Job], list[Job]]:
    """Return the actor's own jobs that are open, and those that ended after a time, oldest first."""
    access.require(core, actor, "job.view")
    with core.db.reading() as conn:
        found = [job for job in reversed(jobs.newest_by(conn, actor.name, 20)) if job.kind not in NOT_TOLD]
    return [job for job in found if not job.finished], [job for job in found if job.finished_at and job.finished_at > since]


def newest(core: Core, kind: str, subject: str) -> Job | None:
    """Return the newest job of a kind about a subject, None when there is none."""
    with core.db.reading() as conn:
        rows = jobs.listing(conn, kind=kind, subject=subject, limit=1).rows
    return rows[0] if rows else None


def get(core: Core, actor: Actor, job_id: str) -> Job:
    """Return a job. Raises NotFound."""
    access.require(core, actor, "job.view", job_id=job_id)
    with core.db.reading() as conn:
        return jobs.get(conn, job_id)


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    state: str | None = None,
    kind: str | None = None,
    subject: str | None = None,
) -> Listing[Job]:
    """Return jobs, newest first."""
    access.require(core, actor, "job.view")
    with core.db.reading() as conn:
        return jobs.listing(conn, after=after, limit=limit, state=state, kind=kind, subject=subject)


def open_for(core: Core, actor: Actor, subjects: Sequence[str]) -> dict[str, Job]:
    """Return the newest open job about each of these subjects."""
    access.require(core, actor, "job.view")
    with core.db.reading() as conn:
        return {job.subject: job for job in jobs.open_for(conn, subjects)}


def cancel(core: Core, actor: Actor, job_id: str) -> Job:
    """Ask a job to stop; a queued one stops at once. Raises Conflict when it is over already."""
    access.require(core, actor, "job.cancel", job_id=job_id)
    with core.db.writing() as conn:
        job = jobs.get(conn, job_id)
        if job.state not in OPEN:
            raise Conflict(f"The job is over already ({job.state}).")
        jobs.request_cancel(conn, job_id)
        access.note(conn, actor, "job.cancel", job_id, {"kind": job.kind})
        job = jobs.get(conn, job_id)
    core.line.kick()
    return job


def wait(core: Core, job_id: str, timeout_s: float, *, on_change: Callable[[Job], None] | None = None) -> Job:
    """Return the job as soon as it is over, or as it stands after ``timeout_s``.

    Looks at the row in growing steps of 4 to 200 ms; no transaction stays open in between.
    """
    deadline = time.monotonic() + timeout_s
    pause = 0.004
    seen: tuple[Any, ...] = ()
    while True:
        with core.db.reading() as conn:
            job = jobs.get(conn, job_id)
        if on_change is not None and seen != (job.state, job.progress, job.message):
            seen = (job.state, job.progress, job.message)
            on_change(job)
        left = deadline - time.monotonic()
        if job.state not in OPEN or left <= 0:
            return job
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 0.2)
