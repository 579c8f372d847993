"""Retention of the audit log: old rows leave the database for signed segments, and the log says so itself."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcpweb import clock, segments, signing
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import audit, secrets
from mcpweb.dao import jobs as job_rows
from mcpweb.dao.jobs import Job
from mcpweb.db import Connection
from mcpweb.errors import Conflict
from mcpweb.failpoints import Failpoints
from mcpweb.segments import Segment
from mcpweb.services import access, jobs, periods
from mcpweb.services.jobs import Idempotency
from mcpweb.settings import Settings

DAYS = 365
CHOICE = periods.AUDIT.name
LEAST_DAYS, MOST_DAYS = periods.AUDIT.least, periods.MOST_DAYS
_AGAIN_S = 86_400.0
_PAGE = 500
_BATCH = 1000
WRITES = ("secret.add", "secret.replace", "secret.carry")
"""Actions whose row tells which value of a secret is the newest."""


def folder(core: Core) -> Path:
    """Return where segments are written when nobody says otherwise."""
    return segments.folder_of(core.settings)


def days(core: Core, actor: Actor) -> int:
    """Return how many days of audit rows stay in the database, 0 for all."""
    return periods.days(core, actor, periods.AUDIT)


def set_days(core: Core, actor: Actor, wanted: int) -> int:
    """Choose how many days of audit rows stay in the database, 0 for all. Raises InvalidInput."""
    return periods.set_days(core, actor, periods.AUDIT, wanted)


def request(core: Core, actor: Actor) -> Job | None:
    """Ask for ``prune`` of what is older than was chosen, a day's rows at least; None when nothing is, or when it just failed."""
    with core.db.reading() as conn:
        kept = periods.in_force(conn, periods.AUDIT)
        if not kept or audit.first_at(conn, clock.later(-(kept + 1) * 86_400)) <= audit.floor(conn)[0] + 1:
            return None
        last = job_rows.listing(conn, kind="prune_audit", subject="audit", limit=1).rows
    if last and last[0].state == "failed" and last[0].finished_at and 0 <= clock.age(last[0].finished_at) < _AGAIN_S:
        return None
    before = clock.later(-kept * 86_400)[:10] + " 00:00:00"
    return jobs.ask(core, actor, "prune_audit", subject="audit", payload={"before": before})


def ask(core: Core, actor: Actor, before: str, idempotency: Idempotency | None = None) -> Job:
    """Ask for ``prune`` as a job; the worker has it done by a process of its own."""
    access.require(core, actor, "audit.manage")
    return jobs.ask(core, actor, "prune_audit", subject="audit", payload={"before": before}, idempotency=idempotency)


def prune(core: Core, actor: Actor, *, before: str, folder: Path | None = None) -> dict[str, Any]:
    """Move rows written before a time into a segment, delete them here, and return what was done.

    The segment is on disk before the log says so, and the log says so before a row goes; whatever happens in between, a row
    is in one of both places at least, and the next call goes on. All answers are None when no row is that old.
    Raises Conflict when a row does not fit the chain.
    """
    access.require(core, actor, "audit.manage")
    failpoints = Failpoints(core.settings)
    _delete(core, failpoints)  # of a call that did not come to its end
    with core.db.reading() as conn:
        floor, floor_hash = audit.floor(conn)
        last = audit.first_at(conn, before) - 1
    if last <= floor:
        return {"first": None, "last": None, "file": None, "sha256": None}
    core.sign_audit()
    segment = segments.write(
        core.settings, folder or segments.folder_of(core.settings), core.instance.id, _rows(core, floor + 1, last),
        after=(floor, floor_hash), by=actor.name, row_hash=audit.row_hash,
    )
    failpoints.reach("prune.segment_written")
    _carry(core, actor, last)
    failpoints.reach("prune.carried")
    with core.db.writing() as conn:
        if audit.floor(conn)[0] != floor:
            raise Conflict("Somebody else prunes the audit log right now.", next_step="Look at `mcpweb audit list`.")
        access.note(conn, actor, "audit.prune", str(last), _told(segment))
        audit.raise_floor(conn, last)
    failpoints.reach("prune.after_commit")
    core.sign_audit()
    _delete(core, failpoints)
    return {"first": segment.first, "last": segment.last, "file": str(segment.path), "sha256": segment.sha256}


def check_segments(paths: list[Path], public_key: str | None) -> list[dict[str, Any]]:
    """Verify segments by themselves and one after the other, and return an answer for each, in the order of their rows.

    ``ours`` tells whether this installation signed it, None where no signing key is at hand. No database is read.
    """
    found = [(path, segments.check(path, row_hash=audit.row_hash)) for path in paths]
    found.sort(key=lambda pair: pair[1].first)
    answers: list[dict[str, Any]] = []
    before: segments.SegmentCheck | None = None
    for path, one in found:
        answer = {"file": str(path), **asdict(one), "ours": None if public_key is None else one.public_key == public_key}
        if one.ok and public_key is not None and not answer["ours"]:
            answer |= {"ok": False, "reason": "another installation signed it"}
        elif one.ok and before is not None and (one.first != before.last + 1 or one.prev_hash != before.head):
            answer |= {"ok": False, "first_bad": before.last + 1, "reason": f"it does not continue row {before.last}"}
        answers.append(answer)
        before = one
    return answers


def own_public_key(settings: Settings) -> str | None:
    """Return this installation's public key, None where it has none yet."""
    return signing.public_key(settings) if signing.key_path(settings).exists() else None


def floor_fault(conn: Connection) -> tuple[int | None, str] | None:
    """Return what is wrong with the floor of the log, None when the newest ``audit.prune`` row says the same."""
    seq, hash_ = audit.floor(conn)
    told = audit.newest(conn, "audit.prune")
    if seq == 0:
        return None if told is None else (1, "the log was pruned, and its floor says that it was not")
    if told is None or told.detail.get("last") != seq or told.detail.get("head") != hash_:
        return (told.seq if told else seq + 1), f"the floor is at row {seq}, and no audit.prune row says so"
    return None


def segment_fault(conn: Connection) -> tuple[int | None, str] | None:
    """Return which segment that still lies where it was written holds something else now."""
    for row in audit.listing(conn, audit.Wanted(action="audit.prune"), limit=200):
        there = segments.sha256_of(Path(str(row.detail.get("file", ""))))
        if there is not None and there != row.detail.get("sha256"):
            return None, f"the segment {row.detail['file']} is not the one that row {row.seq} tells of"
    return None


def _told(segment: Segment) -> dict[str, Any]:
    return {
        "first": segment.first, "last": segment.last, "head": segment.head, "sha256": segment.sha256, "file": str(segment.path),
    }


def _all(conn: Connection, action: str) -> Iterator[audit.AuditRow]:
    """Yield all rows of an action, newest first."""
    before = None
    while rows := audit.listing(conn, audit.Wanted(action=action), before_seq=before, limit=_PAGE):
        yield from rows
        before = rows[-1].seq


def _rows(core: Core, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Yield rows as they are hashed; no transaction stays open between pages."""
    while first <= last:
        with core.db.reading() as conn:
            rows = audit.from_seq(conn, first, min(_PAGE, last - first + 1))
        for row in rows:
            yield asdict(row)
        if not rows:
            return
        first = rows[-1].seq + 1


def _carry(core: Core, actor: Actor, last: int) -> None:
    """Say again what is asked of the log later, where the row that says so is about to go.

    That is which value of each secret is the newest, and which backups stand that need keys.
    """
    with core.db.reading() as conn:
        backups = [row for row in _all(conn, "db.backup") if row.seq <= last]
    standing = [row for row in backups if Path(str(row.detail.get("file") or row.target)).exists()]
    if standing:
        with core.db.writing() as conn:
            for row in standing:
                access.note(conn, actor, "db.backup", row.target, {**row.detail, "at": row.detail.get("at", row.at)})
    after = None
    while True:
        with core.db.reading() as conn:
            page = secrets.listing(conn, after=after, limit=200)
            newest = {secret.id: newest_write(conn, secret.id) for secret in page.rows}
        going = {one: row for one, row in newest.items() if row is not None and row.seq <= last}
        if going:
            with core.db.writing() as conn:
                for secret_id, row in going.items():
                    detail = {"value_version": row.detail.get("value_version", 0), "since": row.seq}
                    access.note(conn, actor, "secret.carry", secret_id, detail)
        after = page.next
        if after is None:
            return


def newest_write(conn: Connection, secret_id: str) -> audit.AuditRow | None:
    """Return the row that tells of the newest value of a secret, None when there is none."""
    rows = [row for action in WRITES if (row := audit.newest(conn, action, secret_id))]
    return max(rows, key=lambda row: int(row.detail.get("value_version", 0)), default=None)


def _delete(core: Core, failpoints: Failpoints) -> None:
    """Delete rows below the floor in batches, each a short transaction, so that other writers get their turn."""
    while True:
        with core.db.writing() as conn:
            gone = audit.delete_below_floor(conn, _BATCH)
        if gone < _BATCH:
            return
        failpoints.reach("prune.batch")
