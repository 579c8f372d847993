"""Table ``jobs``: a row is claimed with a lease, and every write names the worker, so that a dead one's is lost."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcpweb import clock
from mcpweb.dao import columns, dumps, loads, paging, parameters
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound

FIELDS = (
    "id, kind, state, progress, message, payload, result, error, subject, dedupe_key, idempotency_key, "
    "idempotency_hash, attempts, worker, lease_until, cancel_requested, created_at, started_at, finished_at, created_by, "
    "is_exclusive, log"
)

STEPS_KEPT = 100
LEASE_S = 30.0

# An exclusive job starts when no other of these kinds runs, and none of them starts beside it or ahead of it once it waits.
KEPT_APART = ("test_run", "rotate", "retention", "prune_audit")
_APART = ", ".join(f"'{kind}'" for kind in KEPT_APART)
_NEXT = f"""
    SELECT id FROM jobs AS wanted WHERE state = 'queued' AND kind <> 'call' AND (
        kind NOT IN ({_APART}) OR NOT (
            EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND is_exclusive = TRUE)
            OR (wanted.is_exclusive = TRUE AND EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND kind IN ({_APART})))
            OR EXISTS (
                SELECT 1 FROM jobs AS earlier WHERE earlier.state = 'queued' AND earlier.is_exclusive = TRUE
                AND (earlier.created_at, earlier.id) < (wanted.created_at, wanted.id)
            )
        )
    ) ORDER BY created_at, id LIMIT 1
"""


@dataclass(frozen=True)
class Job:
    id: str
    kind: str
    state: str
    progress: float | None
    message: str
    payload: dict[str, Any]
    result: Any
    error: dict[str, Any] | None
    subject: str
    dedupe_key: str | None
    idempotency_key: str | None
    idempotency_hash: str | None
    attempts: int
    worker: str | None
    lease_until: str | None
    cancel_requested: bool
    created_at: str
    started_at: str | None
    finished_at: str | None
    created_by: str
    is_exclusive: bool = False
    log: tuple[tuple[str, str], ...] = ()
    """What it did: times and sentences."""

    @property
    def finished(self) -> bool:
        return self.state not in ("queued", "running")

    @classmethod
    def new(
        cls, *, id: str, kind: str, payload: dict[str, Any], subject: str, created_at: str, created_by: str,
        dedupe_key: str | None = None, idempotency_key: str | None = None, idempotency_hash: str | None = None,
        is_exclusive: bool = False,
    ) -> Job:
        """Return a job that waits."""
        return cls(
            id=id, kind=kind, state="queued", progress=None, message="", payload=payload, result=None, error=None,
            subject=subject, dedupe_key=dedupe_key, idempotency_key=idempotency_key,
            idempotency_hash=idempotency_hash, attempts=0, worker=None, lease_until=None, cancel_requested=False,
            created_at=created_at, started_at=None, finished_at=None, created_by=created_by, is_exclusive=is_exclusive,
        )

    def given_to(self, worker: str) -> Job:
        """Return a job that waits as its worker would have claimed it now; it is to be stored and handed over at once."""
        return replace(self, state="running", worker=worker, lease_until=clock.later(LEASE_S), attempts=1, started_at=clock.now())

    def to_wire(self) -> dict[str, Any]:
        """Return the job as it travels from the worker."""
        return dict(vars(self))

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> Job:
        return cls(**fields)


def _read(row: Mapping[str, Any]) -> Job:
    fields = dict(row)
    for name in ("payload", "result", "error"):
        fields[name] = loads(fields[name])
    fields |= {name: bool(fields[name]) for name in ("cancel_requested", "is_exclusive")}
    fields["log"] = tuple((at, text) for at, text in loads(fields["log"]))
    return Job(**fields)


def insert(conn: Connection, job: Job) -> None:
    fields = dict(vars(job))
    for name in ("payload", "result", "error", "log"):
        fields[name] = None if fields[name] is None else dumps(fields[name])
    conn.execute(f"INSERT INTO jobs ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def _one(conn: Connection, clause: str, values: Mapping[str, Any]) -> Job | None:
    row = conn.execute(f"SELECT {FIELDS} FROM jobs WHERE {clause}", values).fetchone()
    return None if row is None else _read(row)


def get(conn: Connection, job_id: str) -> Job:
    job = _one(conn, "id = :id", {"id": job_id})
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def find_idempotent(conn: Connection, created_by: str, key: str, not_before: str) -> Job | None:
    """Return the newest job this actor made with this key since then."""
    return _one(
        conn,
        "created_by = :by AND idempotency_key = :key AND created_at >= :since ORDER BY created_at DESC LIMIT 1",
        {"by": created_by, "key": key, "since": not_before},
    )


def open_with(conn: Connection, dedupe_key: str) -> Job | None:
    """Return the job with this key that is queued or running."""
    return _one(conn, "dedupe_key = :key AND state IN ('queued', 'running')", {"key": dedupe_key})


def listing(
    conn: Connection,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    state: str | None = None,
    kind: str | None = None,
    subject: str | None = None,
) -> Listing[Job]:
    equals = {"subject": subject, "state": state, "kind": kind}
    return paging.select(conn, "jobs", FIELDS, _read, after=after, limit=limit, equals=equals)


def newest_by(conn: Connection, created_by: str, limit: int) -> list[Job]:
    """Return the newest jobs that somebody asked for."""
    sql = f"SELECT {FIELDS} FROM jobs WHERE created_by = :by ORDER BY created_at DESC, id DESC LIMIT :limit"
    return [_read(row) for row in conn.execute(sql, {"by": created_by, "limit": limit})]


def count_old(conn: Connection, before: str, most: int) -> int:
    """Return how many jobs ended before a time, no further than ``most``."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE finished_at < :before LIMIT :most)"
    return int(conn.execute(sql, {"before": before, "most": most}).fetchone()[0])


def delete_some_old(conn: Connection, before: str, limit: int) -> int:
    """Delete some jobs that ended before a time, oldest first, and return how many."""
    return conn.execute(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < :before ORDER BY finished_at, id LIMIT :limit)",
        {"before": before, "limit": limit},
    ).rowcount


@dataclass(frozen=True)
class Called:
    """A call of a tool without its result, which may be large."""

    id: str
    arguments: dict[str, Any]
    state: str
    created_at: str


def calls(conn: Connection, subject: str, tool: str, *, before: Cursor | None = None, look_at: int = 200) -> list[Called]:
    """Return the newest calls of a tool among the newest ``look_at`` calls of a server."""
    rows = conn.execute(
        "SELECT id, payload, state, created_at FROM jobs WHERE subject = :subject AND +kind = 'call' "
        "AND (created_at, id) < (:at, :id) ORDER BY created_at DESC, id DESC LIMIT :limit",
        {
            "subject": subject, "limit": look_at, "at": before.created_at if before else "9999-12-31",
            "id": before.id if before else "",
        },
    )
    found = ((row, loads(row["payload"])) for row in rows)
    return [
        Called(row["id"], payload.get("arguments") or {}, row["state"], row["created_at"])
        for row, payload in found if payload.get("tool") == tool
    ]


def counts(conn: Connection) -> dict[str, int]:
    """Return how many jobs are queued and how many run."""
    rows = conn.execute("SELECT state, count(*) FROM jobs WHERE state IN ('queued', 'running') GROUP BY state")
    return {"queued": 0, "running": 0} | {row[0]: row[1] for row in rows}


def open_for(conn: Connection, subjects: Sequence[str]) -> list[Job]:
    """Return the jobs about these subjects that are queued or running, oldest first."""
    rows = conn.execute(
        f"SELECT {FIELDS} FROM jobs WHERE state IN ('queued', 'running') "
        "AND +subject IN (SELECT value FROM json_each(:subjects)) ORDER BY created_at, id",
        {"subjects": dumps(list(subjects))},
    )
    return [_read(row) for row in rows]


def any_to_claim(conn: Connection) -> bool:
    """Tell whether a queued job may start now."""
    return conn.execute(_NEXT).fetchone() is not None


def kept_apart(conn: Connection) -> tuple[list[Job], list[Job]]:
    """Return the running and the queued jobs that an exclusive one has to do with, oldest first; none without one."""
    if conn.execute("SELECT 1 FROM jobs WHERE is_exclusive = TRUE AND state IN ('queued', 'running') LIMIT 1").fetchone() is None:
        return [], []
    sql = f"SELECT {FIELDS} FROM jobs WHERE state = :state AND +kind IN ({_APART}) ORDER BY created_at, id LIMIT 100"
    running, queued = ([_read(row) for row in conn.execute(sql, {"state": state})] for state in ("running", "queued"))
    return running, queued


def tell_waiting(conn: Connection, job_id: str, message: str) -> None:
    """Write on what a queued job waits."""
    conn.execute(
        "UPDATE jobs SET message = :message WHERE id = :id AND state = 'queued'", {"id": job_id, "message": message[:500]}
    )


def claim(
    conn: Connection, *, worker: str, lease_s: float, job_id: str | None = None, instead_of: str | None = None
) -> Job | None:
    """Take the oldest queued job that may start (or the named one, if it is queued) for this worker; None when there is none.

    A call is done by the request that made it, so the queue passes it over. What an exclusive job keeps waiting, waits. A named
    job may have been given to a worker that this one has followed (``instead_of``).
    """
    chosen = _NEXT
    if job_id is not None:
        chosen = "SELECT id FROM jobs WHERE id = :job_id AND (state = 'queued' OR state = 'running' AND worker = :instead_of)"
    row = conn.execute(
        "UPDATE jobs SET state = 'running', worker = :worker, lease_until = :lease, attempts = attempts + 1, "
        f"started_at = :now, message = '' WHERE id = ({chosen}) RETURNING {FIELDS}",
        {"worker": worker, "lease": clock.later(lease_s), "now": clock.now(), "job_id": job_id, "instead_of": instead_of},
    ).fetchone()
    return None if row is None else _read(row)


def renew(conn: Connection, ids: Sequence[str], worker: str, lease_s: float) -> None:
    """Push the leases of running jobs on."""
    conn.execute(
        "UPDATE jobs SET lease_until = :lease WHERE state = 'running' AND worker = :worker "
        "AND id IN (SELECT value FROM json_each(:ids))",
        {"lease": clock.later(lease_s), "worker": worker, "ids": dumps(list(ids))},
    )


def asked_to_stop(conn: Connection, worker: str) -> list[str]:
    """Return the running jobs of this worker that somebody cancelled."""
    rows = conn.execute(
        "SELECT id FROM jobs WHERE state = 'running' AND worker = :worker AND cancel_requested = TRUE",
        {"worker": worker},
    )
    return [row[0] for row in rows]


def progress(
    conn: Connection, job_id: str, worker: str, fraction: float | None, message: str, *, is_step: bool = False
) -> bool:
    """Write how far a job is, a step also into its log; True when it is to stop (cancelled, or no longer this worker's)."""
    row = conn.execute(
        "UPDATE jobs SET progress = :progress, message = :message, log = iif(:step AND json_array_length(log) < :most, "
        "json_insert(log, '$[#]', json_array(:now, :message)), log) WHERE id = :id AND worker = :worker "
        "AND state = 'running' RETURNING cancel_requested",
        {
            "id": job_id, "worker": worker, "progress": fraction, "message": message[:500], "step": is_step and bool(message),
            "most": STEPS_KEPT, "now": clock.now(),
        },
    ).fetchone()
    return row is None or bool(row[0])


def finish(
    conn: Connection,
    job_id: str,
    worker: str | None,
    *,
    state: str,
    result: Any = None,
    error: Mapping[str, Any] | None = None,
) -> bool:
    """End a job; False when it is over already or another worker's (``worker`` None ends anybody's)."""
    ended = conn.execute(
        "UPDATE jobs SET state = :state, result = :result, error = :error, finished_at = :now, lease_until = NULL, "
        "progress = iif(:state = 'succeeded', 1.0, progress) WHERE id = :id AND state IN ('queued', 'running') "
        "AND (:worker IS NULL OR worker = :worker)",
        {
            "id": job_id, "worker": worker, "state": state, "now": clock.now(),
            "result": None if result is None else dumps(result), "error": None if error is None else dumps(error),
        },
    ).rowcount
    return ended > 0


def request_cancel(conn: Connection, job_id: str) -> None:
    """Ask a running job to stop; a queued one is cancelled at once."""
    conn.execute(
        "UPDATE jobs SET cancel_requested = TRUE, state = iif(state = 'queued', 'cancelled', state), "
        "finished_at = iif(state = 'queued', :now, finished_at), "
        "error = iif(state = 'queued', :error, error) WHERE id = :id AND state IN ('queued', 'running')",
        {
            "id": job_id, "now": clock.now(),
            "error": dumps({"code": "cancelled", "detail": "It was cancelled before it began."}),
        },
    )


def lost(conn: Connection, worker: str) -> list[Job]:
    """Return running jobs of other workers."""
    sql = f"SELECT {FIELDS} FROM jobs WHERE state = 'running' AND worker <> :worker ORDER BY created_at"
    return [_read(row) for row in conn.execute(sql, {"worker": worker})]


def lost_calls(conn: Connection) -> list[Job]:
    """Return calls that were asked for and are not done by anybody; the request that made them is gone with its process."""
    sql = (
        f"SELECT {FIELDS} FROM jobs WHERE state IN ('queued', 'running') AND kind = 'call' "
        "AND iif(state = 'queued', created_at < :old, lease_until < :now)"
    )
    return [_read(row) for row in conn.execute(sql, {"old": clock.later(-LEASE_S), "now": clock.now()})]


def requeue(conn: Connection, job_id: str) -> None:
    """Let a lost job begin again."""
    conn.execute(
        "UPDATE jobs SET state = 'queued', worker = NULL, lease_until = NULL, progress = NULL, message = '' "
        "WHERE id = :id AND state = 'running'",
        {"id": job_id},
    )
