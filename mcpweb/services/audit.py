"""Read and verify the audit log."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcpweb import checkpoints, clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit
from mcpweb.dao.audit import EVERY, AuditRow, Wanted
from mcpweb.dao.jobs import Job
from mcpweb.db import Connection
from mcpweb.services import access, jobs, retention

log = logging.getLogger(__name__)

ROWS, SECONDS = 100, 60.0
_PAGE = 500
_VERIFY_S = 600.0  # 300,000 rows a second on a small machine


@dataclass(frozen=True)
class AuditListing:
    """Rows, newest first; ``next`` is the sequence number below which the next page begins."""

    rows: tuple[AuditRow, ...]
    next: int | None


def listing(
    core: Core,
    actor: Actor,
    *,
    wanted: Wanted = EVERY,
    before_seq: int | None = None,
    limit: int = 50,
) -> AuditListing:
    """Return rows, newest first."""
    access.require(core, actor, "audit.view")
    with core.db.reading() as conn:
        rows = audit.listing(conn, wanted, before_seq=before_seq, limit=limit + 1)
    more = len(rows) > limit
    kept = tuple(rows[:limit])
    return AuditListing(kept, kept[-1].seq if more else None)


def request_verify(core: Core, actor: Actor) -> Job:
    """Ask for ``verify`` as a job; the worker has it done by a process of its own."""
    access.require(core, actor, "audit.view")
    return jobs.ask(core, actor, "verify_audit", subject="audit")


def verify(
    core: Core, actor: Actor, tell: Callable[[float | None, str], None] = lambda fraction, message: None
) -> dict[str, Any]:
    """Return {ok, rows, first_bad, reason, checkpoints} of the whole chain, the signed checkpoints and the triggers.

    ``first_bad`` is the first row that is wrong or missing; None when something else than a row is. This is work for a
    whole core: a process that serves others has it done apart (``mcpweb/apart``).
    """
    access.require(core, actor, "audit.view")
    with core.db.reading(deadline_s=_VERIFY_S) as conn:
        total = max(1, audit.head(conn)[0] - audit.floor(conn)[0])
        found = audit.verify(conn, lambda rows: tell(rows / total, f"{rows:,} of {total:,} rows"))
        kept = checkpoints.read(core.settings)
        wrong = None if found.ok else (found.first_bad, found.reason)
        wrong = _earlier(wrong, _against(conn, kept))
        wrong = wrong or retention.floor_fault(conn)
        missing = audit.missing_triggers(conn)
        moved = retention.segment_fault(conn)
    if wrong is None and kept.faults:
        wrong = (None, kept.faults[0])
    wrong = wrong or moved
    if wrong is None and missing:
        wrong = (None, f"the trigger {missing[0]} is gone, so rows could have been changed")
    bad, reason = wrong or (None, "")
    return {"ok": wrong is None, "rows": found.rows, "first_bad": bad, "reason": reason, "checkpoints": len(kept.checkpoints)}


def note_failed(conn: Connection, job: Job, error: Mapping[str, str]) -> None:
    """Append the row of a job that failed, in the transaction that ends it; the sentence stays with the job."""
    actor = Actor(name=job.created_by, role="viewer", via="system")
    detail: dict[str, object] = {"kind": job.kind, "code": error.get("code", ""), "job": job.id}
    access.note(conn, actor, "job.failed", job.subject.partition(":")[2] or job.subject, detail)


Wrong = tuple[int | None, str]


def _against(conn: Connection, kept: checkpoints.Kept) -> Wrong | None:
    """Hold the rows against the checkpoints: each must have had the hash that was signed."""
    newest, _ = audit.head(conn)
    below, floor_hash = audit.floor(conn)
    for one in kept.checkpoints:
        if one.size > newest:
            return newest + 1, f"rows {newest + 1} to {one.size} are gone; the checkpoint of {one.at} UTC proves they were there"
        there = floor_hash if one.size == below else audit.hash_at(conn, one.size)
        if one.size >= below and there != one.head:
            return one.size, f"it is not the row that the checkpoint of {one.at} UTC signed"
    return None


def _earlier(one: Wrong | None, other: Wrong | None) -> Wrong | None:
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda wrong: wrong[0] or 0)


def due(core: Core) -> bool:
    """Tell whether a checkpoint is due: 100 rows, or a row that is older than a minute."""
    with core.db.reading() as conn:
        size, _ = audit.head(conn)
    newest = checkpoints.last(core.settings)
    if newest is None:
        return size > 0
    return size - newest.size >= ROWS or (size > newest.size and abs(clock.age(newest.at)) >= SECONDS)


def export(core: Core, actor: Actor, first: int = 1, *, wanted: Wanted = EVERY) -> Iterator[AuditRow]:
    """Yield rows from ``first`` on, oldest first; no transaction stays open between pages."""
    access.require(core, actor, "audit.view")
    while True:
        with core.db.reading() as conn:
            rows = audit.from_seq(conn, first, _PAGE, wanted)
        yield from rows
        if len(rows) < _PAGE:
            return
        first = rows[-1].seq + 1
