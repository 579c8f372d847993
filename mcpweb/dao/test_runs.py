"""Table ``test_runs``."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mcpweb.dao import columns, dumps, loads, paging, parameters, test_metrics, test_results
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import Connection
from mcpweb.errors import NotFound

FIELDS = (
    "id, server_id, configuration_id, configuration_revision, types, profile, parameters, seed, state, verdict, "
    "counts, detail, image_id, image_digest, protocol, error, job_id, created_at, started_at, finished_at, created_by"
)
_OURS = ", ".join(f"test_runs.{name}" for name in FIELDS.split(", "))
_JSON = ("types", "parameters", "counts", "detail", "error")
NO_COUNTS = {"pass": 0, "fail": 0, "not_applicable": 0, "undecided": 0}


@dataclass(frozen=True)
class TestRun:
    __test__ = False
    id: str
    server_id: str
    configuration_id: str | None
    configuration_revision: int | None
    types: list[str]
    profile: str
    parameters: dict[str, Any]
    seed: int
    state: str
    verdict: str | None
    counts: dict[str, int]
    detail: dict[str, Any]
    image_id: str | None
    image_digest: str | None
    protocol: str | None
    error: dict[str, Any] | None
    job_id: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    created_by: str

    @property
    def finished(self) -> bool:
        return self.state not in ("queued", "running")

    @classmethod
    def new(
        cls, *, id: str, server_id: str, configuration_id: str, configuration_revision: int, types: list[str],
        profile: str, parameters: dict[str, Any], seed: int, job_id: str, created_at: str, created_by: str,
    ) -> TestRun:
        """Return a run that waits."""
        return cls(
            id=id, server_id=server_id, configuration_id=configuration_id,
            configuration_revision=configuration_revision, types=types, profile=profile, parameters=parameters,
            seed=seed, state="queued", verdict=None, counts=dict(NO_COUNTS), detail={}, image_id=None,
            image_digest=None, protocol=None, error=None, job_id=job_id, created_at=created_at, started_at=None,
            finished_at=None, created_by=created_by,
        )


def _read(row: Mapping[str, Any]) -> TestRun:
    fields = dict(row)
    for name in _JSON:
        fields[name] = loads(fields[name])
    return TestRun(**fields)


def insert(conn: Connection, run: TestRun) -> None:
    fields = asdict(run)
    for name in _JSON:
        fields[name] = None if fields[name] is None else dumps(fields[name])
    conn.execute(f"INSERT INTO test_runs ({columns(fields)}) VALUES ({parameters(fields)})", fields)


def get(conn: Connection, run_id: str) -> TestRun:
    row = conn.execute(f"SELECT {FIELDS} FROM test_runs WHERE id = :id", {"id": run_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no test run {run_id}.")
    return _read(row)


def listing(
    conn: Connection,
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
    """Return runs, newest first: with that test type among theirs, asked for at ``since`` or later and before ``until``."""
    equals = {"server_id": server_id, "state": state, "verdict": verdict, "image_digest": image_digest}
    where, values = paging.span(since, until)
    if test_type is not None:
        where.append("instr(types, :test_type) > 0")  # a JSON list of names; no name holds a quotation mark
        values["test_type"] = dumps(test_type)
    return paging.select(
        conn, "test_runs", FIELDS, _read, after=after, limit=limit, equals=equals, where=where, values=values,
        drive=next((name for name in ("server_id", "image_digest") if equals[name] is not None), None),
    )


def newest(conn: Connection, server_id: str, limit: int) -> list[TestRun]:
    """Return the runs of a server that came to a verdict, newest first."""
    sql = (
        f"SELECT {FIELDS} FROM test_runs WHERE server_id = :id AND verdict IS NOT NULL "
        "ORDER BY created_at DESC, id DESC LIMIT :limit"
    )
    return [_read(row) for row in conn.execute(sql, {"id": server_id, "limit": limit})]


def last_of_each(conn: Connection, server_ids: Sequence[str]) -> dict[str, TestRun]:
    """Return the newest run with a verdict of each of these servers, by server id."""
    rows = conn.execute(
        f"SELECT {_OURS} FROM json_each(:ids) AS wanted CROSS JOIN test_runs ON test_runs.id = (SELECT id FROM test_runs "
        "WHERE server_id = wanted.value AND verdict IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 1)",
        {"ids": dumps(list(server_ids))},
    )
    return {run.server_id: run for run in map(_read, rows)}


def images(conn: Connection, run_ids: Sequence[str]) -> dict[str, str | None]:
    """Return the image id of these runs, by run id."""
    rows = conn.execute(
        "SELECT test_runs.id, image_id FROM json_each(:ids) AS wanted CROSS JOIN test_runs ON test_runs.id = wanted.value",
        {"ids": dumps(list(run_ids))},
    )
    return {row[0]: row[1] for row in rows}


def is_open(conn: Connection, run_id: str) -> bool:
    """Tell whether a run waits or runs."""
    row = conn.execute("SELECT state FROM test_runs WHERE id = :id", {"id": run_id}).fetchone()
    return row is not None and row[0] in ("queued", "running")


def old(conn: Connection, before: str, *, after: Cursor | None, limit: int) -> list[tuple[str, str, str]]:
    """Return (id, server id, created_at) of runs that are over and older, oldest first, in pages."""
    rows = conn.execute(
        "SELECT id, server_id, created_at FROM test_runs WHERE (created_at, id) > (:at, :id) AND created_at < :before "
        "AND state NOT IN ('queued', 'running') ORDER BY created_at, id LIMIT :limit",
        {"before": before, "at": after.created_at if after else "", "id": after.id if after else "", "limit": limit},
    )
    return [(row[0], row[1], row[2]) for row in rows]


def count_old(conn: Connection, before: str, most: int) -> int:
    """Return how many runs that are over are older, no further than ``most``."""
    sql = (
        "SELECT count(*) FROM (SELECT 1 FROM test_runs WHERE created_at < :before AND +state NOT IN ('queued', 'running') "
        "ORDER BY created_at, id LIMIT :most)"
    )
    return int(conn.execute(sql, {"before": before, "most": most}).fetchone()[0])


def delete(conn: Connection, run_id: str) -> None:
    """Delete a run; delete its results and numbers first, in batches, or the cascade holds the lock."""
    conn.execute("DELETE FROM test_runs WHERE id = :id", {"id": run_id})


def begin(conn: Connection, run_id: str, *, image_id: str, image_digest: str | None, at: str) -> None:
    conn.execute(
        "UPDATE test_runs SET state = 'running', started_at = :at, image_id = :image_id, image_digest = :digest "
        "WHERE id = :id",
        {"id": run_id, "at": at, "image_id": image_id, "digest": image_digest},
    )


def set_progress(conn: Connection, run_id: str, *, counts: Mapping[str, int], detail: Mapping[str, Any] | None) -> None:
    """Write how far a run is; a detail of None leaves the one that stands."""
    conn.execute(
        "UPDATE test_runs SET counts = :counts, detail = coalesce(:detail, detail) WHERE id = :id",
        {"id": run_id, "counts": dumps(counts), "detail": None if detail is None else dumps(detail)},
    )


def finish(
    conn: Connection,
    run_id: str,
    *,
    state: str,
    verdict: str,
    counts: Mapping[str, int],
    detail: Mapping[str, Any],
    protocol: str | None,
    error: Mapping[str, Any] | None,
    at: str,
) -> None:
    conn.execute(
        "UPDATE test_runs SET state = :state, verdict = :verdict, counts = :counts, detail = :detail, "
        "protocol = :protocol, error = :error, finished_at = :at WHERE id = :id",
        {
            "id": run_id, "state": state, "verdict": verdict, "counts": dumps(counts), "detail": dumps(detail),
            "protocol": protocol, "error": None if error is None else dumps(error), "at": at,
        },
    )


def delete_partial(conn: Connection, run_id: str) -> None:
    """Delete the results and numbers of a run that begins again."""
    test_results.delete_of_run(conn, run_id)
    test_metrics.delete_of_run(conn, run_id)
