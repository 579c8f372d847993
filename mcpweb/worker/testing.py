"""The job that carries out a test run: the run child does the work, this writes down what it says."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mcpweb import clock
from mcpweb.bench import parent
from mcpweb.bench.rows import CheckResultRow, RunRequest
from mcpweb.contracts import SEVERITIES, Actor
from mcpweb.core import Core
from mcpweb.dao import configurations, servers, test_cases, test_metrics, test_results, test_runs, tools
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.jobs import Job
from mcpweb.dao.servers import Server
from mcpweb.dao.test_cases import TestCase
from mcpweb.dao.test_metrics import Metric
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.db import Connection
from mcpweb.errors import Cancelled, Failure, Interrupted
from mcpweb.events import TestRunFinished
from mcpweb.ids import new_id
from mcpweb.schemas.configurations import load_config_data
from mcpweb.services import access, bindings, findings, pins
from mcpweb.worker.work import Work

NEIGHBOUR_BYTES = 8 << 20  # of the tools of all other servers, as JSON
MOST_CASES = 500
VERDICTS = ("pass", "fail", "not_applicable", "undecided")


def test_run(work: Work) -> dict[str, Any]:
    """Run it and store its results as they come; whatever happens, the run ends with an honest state."""
    core = work.core
    with core.db.writing() as conn:
        run = test_runs.get(conn, work.job.payload["run_id"])
        server = servers.get(conn, run.server_id)
        configuration = configurations.get(conn, str(run.configuration_id))
        test_runs.delete_partial(conn, run.id)
    counts: Counter[str] = Counter()
    not_applicable: list[dict[str, str]] = []
    told: list[findings.Verdict] = []
    state, error, protocol = "failed", None, None
    try:
        with core.db.reading() as conn:
            secrets = bindings.deliveries(core, conn, configuration)
            baseline, other = _baseline(conn, run, server, configuration)
            baseline_secrets = bindings.deliveries(core, conn, other) if other.id != configuration.id else secrets
            neighbours = _neighbours(conn, server)
            approved = [asdict(pin) for pin in pins.approved_pins(conn, server.id)]
            cases = [_case(row) for row in test_cases.active(conn, server.id, MOST_CASES)]
        image = core.runtime.image(server.image)
        with core.db.writing() as conn:
            test_runs.begin(conn, run.id, image_id=image.id, image_digest=image.digest, at=clock.now())
        wanted = RunRequest(
            run_id=run.id,
            server={"id": server.id, "name": server.name, "image": server.image},
            config=load_config_data(configuration.config_data),
            types=tuple(run.types),
            profile=run.profile,
            parameters=run.parameters,
            seed=run.seed,
            approved_image_id=server.image_id,
            neighbours=neighbours,
            pins=approved,
            pinned=tuple(server.pinned),
            cases=cases,
            baseline=baseline,
        )

        def store(rows: Sequence[CheckResultRow]) -> None:
            known = len(not_applicable)
            for row in rows:
                counts[row.result.verdict] += 1
                if row.result.verdict == "not_applicable":
                    not_applicable.append(
                        {"check_id": row.result.check_id, "test_type": row.test_type, "summary": row.result.summary}
                    )
            kept = [_row(run, work, row, image.digest) for row in rows if row.result.verdict != "not_applicable"]
            told.extend(findings.verdict_of(row) for row in kept)
            numbers = [metric for row in rows for metric in _metrics(run, row)]
            with core.db.writing() as conn:
                test_results.insert_many(conn, kept)
                test_metrics.insert_many(conn, numbers)
                detail = {"not_applicable": not_applicable} if len(not_applicable) > known else None
                test_runs.set_progress(conn, run.id, counts=_counts(counts), detail=detail)

        work.worker.fleet.used = True
        outcome = parent.execute(
            core, core.runtime, wanted, on_results=store, progress=work.progress, cancelled=work.cancelled,
            on_orphan=work.worker.fleet.orphans.add, secrets=secrets, baseline_secrets=baseline_secrets,
        )
        protocol, error = outcome.protocol, outcome.error
        state = "failed" if error else "succeeded"
        if error and error.get("code") == Cancelled.code:
            state = "cancelled"
        if server.image_id is None and not error:
            with core.db.writing() as conn:
                servers.record_image(conn, server.id, image_id=image.id, image_digest=image.digest, protocol=protocol)
    except Cancelled as failure:
        state, error = "cancelled", failure.as_job_error()
        raise
    except Failure as failure:
        error = failure.as_job_error()
        raise
    except BaseException as fault:
        error = {"code": "internal", "detail": f"An internal error stopped the run ({type(fault).__name__})."}
        raise
    finally:
        verdict = _end(core, run, work.job, state, counts, not_applicable, told, protocol, error)
    if state == "cancelled":
        raise Cancelled("The run was cancelled.")
    if error:
        raise Failure(error["detail"], code=error["code"])
    return {"run_id": run.id, "verdict": verdict, "counts": _counts(counts)}


def _baseline(
    conn: Connection, run: TestRun, server: Server, configuration: Configuration
) -> tuple[dict[str, Any] | None, Configuration]:
    """Return what the run's parameters name to compare with, and the configuration whose secrets it gets."""
    named = run.parameters.get("baseline")
    if not isinstance(named, dict):
        return None, configuration
    other = configurations.by_name(conn, server.id, named["configuration"]) if named.get("configuration") else configuration
    config = load_config_data(other.config_data)
    return {"image": named.get("image") or server.image, "configuration": other.name, "config": config.to_json()}, other


def _neighbours(conn: Connection, server: Server) -> list[dict[str, Any]]:
    """Return the tools of all other servers as last seen."""
    found = tools.of_others(conn, server.id, most_bytes=NEIGHBOUR_BYTES)
    return [{"server": name, "definitions": definitions} for name, definitions in found.items()]


def _case(row: TestCase) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "tool": row.tool_name, "arguments": row.arguments, "assertions": row.assertions,
    }


def settle_run(core: Core, job: Job) -> None:
    """End the run of a job whose worker died; what it had found stays."""
    with core.db.writing() as conn:
        run = test_runs.get(conn, job.payload["run_id"])
        if run.state in ("queued", "running"):
            told = [findings.verdict_of(row) for row in test_results.for_run(conn, run.id)]
            findings.record(conn, run, told, finished=False)
            test_runs.finish(
                conn, run.id, state="failed", verdict="undecided", counts=run.counts, detail=run.detail,
                protocol=run.protocol, error=Interrupted("The worker ended in the middle of the run.").as_job_error(),
                at=clock.now(),
            )


def _end(
    core: Core,
    run: TestRun,
    job: Job,
    state: str,
    counts: Counter[str],
    not_applicable: list[dict[str, str]],
    told: list[findings.Verdict],
    protocol: str | None,
    error: dict[str, Any] | None,
) -> str:
    with core.db.writing() as conn:
        found = findings.record(conn, run, told, finished=state == "succeeded")
        accepted = sum(one.state == "accepted" for one in found.values())
        verdict = findings.verdict_of_run(told, found, ended=state == "succeeded")
        test_runs.finish(
            conn, run.id, state=state, verdict=verdict, counts=_counts(counts),
            detail={"not_applicable": not_applicable, "accepted": accepted}, protocol=protocol, error=error, at=clock.now(),
        )
        access.note(conn, _asker(job), "test_run.finish", run.id, {"state": state, "verdict": verdict})
    core.announce(TestRunFinished(job.created_by, run.id, run.server_id, verdict))
    return verdict


def _asker(job: Job) -> Actor:
    return Actor(name=job.created_by, role="admin", via="system")


def _counts(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in ("pass", "fail", "not_applicable", "undecided")}


def _metrics(run: TestRun, row: CheckResultRow) -> list[Metric]:
    return [
        Metric(run.server_id, name, row.result.tool, run.created_at, run.id, float(value))
        for name, value in row.result.metrics.items()
    ]


def _row(run: TestRun, work: Work, row: CheckResultRow, digest: str | None) -> TestResult:
    result = row.result
    status = {"pass": "success", "fail": "failure", "undecided": "error"}[result.verdict]
    if result.timed_out and result.verdict != "pass":
        status = "timeout"
    severity = result.severity or row.severity
    return TestResult(
        id=new_id("res"),
        server_id=run.server_id,
        configuration_id=run.configuration_id,
        tool_name=result.tool,
        test_type=row.test_type,
        status=status,
        input_data=result.input,
        output_data={
            "check_id": result.check_id,
            "severity": severity,
            "verdict": result.verdict,
            "confidence": result.confidence,
            "summary": result.summary,
            "evidence": dict(result.evidence),
            "next_step": result.next_step,
            "image_digest": digest,
            "seed": run.seed,
            **{name: told for name in ("key", "reproduce", "metrics") if (told := getattr(result, name))},
        },
        error_message=None if result.verdict == "pass" else result.summary,
        execution_time_ms=None if result.duration_ms is None else round(result.duration_ms),
        created_at=clock.now(),
        created_by=work.job.created_by,
        run_id=run.id,
        check_id=result.check_id,
        severity=severity if severity in SEVERITIES else "info",
    )
