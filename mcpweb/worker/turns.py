"""Jobs that wait for their turn say on what: an exclusive run, a rotation and retention keep apart."""
from __future__ import annotations

from mcpweb.core import Core
from mcpweb.dao import jobs, servers
from mcpweb.dao.jobs import Job

_NAMES = {
    "rotate": "the rotation of a key", "retention": "the deletion of old results",
    "prune_audit": "the retention of the audit log",
}


def tell_waiting(core: Core) -> None:
    """Write into each job that is kept waiting on what it waits; writes only what changed."""
    with core.db.reading() as conn:
        running, queued = jobs.kept_apart(conn)
        if not queued:
            return
        names = servers.names(conn, [str(job.payload.get("server_id", "")) for job in running + queued])
    said = {job.id: sentence for job, sentence in _sentences(running, queued, names) if sentence != job.message}
    if said:
        with core.db.writing() as conn:
            for job_id, sentence in said.items():
                jobs.tell_waiting(conn, job_id, sentence)


def _sentences(running: list[Job], queued: list[Job], names: dict[str, str]) -> list[tuple[Job, str]]:
    alone = next((job for job in running if job.is_exclusive), None)
    ahead: Job | None = None
    found = []
    for job in queued:
        if alone is not None:
            found.append((job, f"Waits until {_called(alone, names)} is over; nothing may disturb what it measures."))
        elif ahead is not None:
            found.append((job, f"Waits behind {_called(ahead, names)}, which measures alone and is next."))
        elif job.is_exclusive and running:
            others = ", ".join(_called(other, names) for other in running[:3]) + (" and more" if len(running) > 3 else "")
            found.append((job, f"Measures alone, so it waits until nothing else runs: {others}."))
        if ahead is None and job.is_exclusive:
            ahead = job
    return found


def _called(job: Job, names: dict[str, str]) -> str:
    if job.kind != "test_run":
        return _NAMES.get(job.kind, job.kind)
    name = names.get(str(job.payload.get("server_id", "")))
    return f"the test run of {name} ({job.payload['run_id']})" if name else f"the test run {job.payload.get('run_id')}"
