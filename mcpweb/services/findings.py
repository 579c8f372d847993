"""Findings: what the test runs of a server found wrong, and what somebody accepted for a while, with a reason."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from mcpweb import clock
from mcpweb.contracts import SEVERITIES, Actor
from mcpweb.core import Core
from mcpweb.dao import configurations, findings, servers, test_runs, tools
from mcpweb.dao.findings import Finding
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.db import Connection
from mcpweb.errors import Conflict, FieldError, InvalidInput, NotFound
from mcpweb.ids import new_id
from mcpweb.services import access

STATES = ("open", "accepted", "fixed")
DEFAULT_DAYS = 90
MOST_DAYS = 365
_LONGEST_REASON = 1000
EVERYWHERE = "*"


@dataclass(frozen=True)
class Verdict:
    """What of one result a finding is made of."""

    result_id: str
    test_type: str
    check_id: str
    tool_name: str
    key: str
    verdict: str
    severity: str
    confidence: str
    summary: str


# Reading


def get(core: Core, actor: Actor, finding_id: str) -> Finding:
    """Return a finding. Raises NotFound."""
    access.require(core, actor, "test.view", finding_id=finding_id)
    with core.db.reading() as conn:
        return findings.get(conn, finding_id)


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    server_id: str | None = None,
    state: str | None = None,
    severity: str | None = None,
    check_id: str | None = None,
    test_type: str | None = None,
    tool_name: str | None = None,
    confidence: str | None = None,
) -> Listing[Finding]:
    """Return findings, the newest first; the state is the one of now."""
    access.require(core, actor, "test.view")
    if state is not None and state not in STATES:
        raise InvalidInput(f"state is one of {', '.join(STATES)}.", errors=[FieldError("/state", "open, accepted or fixed")])
    with core.db.reading() as conn:
        wanted = servers.get(conn, server_id).id if server_id else None
        return findings.listing(
            conn, after=after, limit=limit, server_id=wanted, state=state, severity=severity, check_id=check_id,
            test_type=test_type, tool_name=tool_name, confidence=confidence,
        )


def standing(core: Core, actor: Actor, server_id: str, limit: int = 300) -> list[Finding]:
    """Return what is open or accepted of a server, open ones and the worst first, at most ``limit``."""
    access.require(core, actor, "test.view", server_id=server_id)
    with core.db.reading() as conn:
        found = findings.standing(conn, servers.get(conn, server_id).id, limit)
    return sorted(found, key=lambda one: (one.state != "open", -severity_rank(one.severity), *one.what))


def open_counts(core: Core, actor: Actor, server_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many open findings of each severity these servers have, by server id."""
    access.require(core, actor, "test.view")
    with core.db.reading() as conn:
        return findings.open_counts(conn, server_ids)


def of_results(core: Core, results: Iterable[TestResult]) -> dict[str, Finding]:
    """Return the finding that stands for each failed result, by result id; the state is the one of now."""
    wanted = {
        row.id: (row.server_id, row.check_id or "", row.tool_name, str((row.output_data or {}).get("key", "")))
        for row in results if (row.output_data or {}).get("verdict") == "fail"
    }
    with core.db.reading() as conn:
        found = findings.of_results(conn, [*wanted.values()])
    return {result_id: found[what] for result_id, what in wanted.items() if what in found}


def severity_rank(severity: str | None) -> int:
    """Return how bad a severity is, from 0."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0  # type: ignore[arg-type]


# Accepting


def accept(core: Core, actor: Actor, finding_id: str, *, reason: str, until: str | None = None) -> Finding:
    """Accept a finding until a time: it no longer counts, and stays visible. Raises InvalidInput, Conflict for a fixed one.

    ``until`` is a UTC time as rows hold it; without one it is accepted for ``DEFAULT_DAYS`` days.
    """
    access.require(core, actor, "finding.accept", finding_id=finding_id)
    reason = " ".join(reason.split())
    until = until or clock.later(DEFAULT_DAYS * 86400)
    if faults := _acceptance_faults(reason, until):
        raise InvalidInput("A finding is accepted with a reason and for a time that ends.", errors=faults)
    with core.db.writing() as conn:
        finding = findings.get(conn, finding_id)
        if finding.state == "fixed":
            raise Conflict("The finding is fixed; there is nothing to accept.")
        findings.accept(conn, finding.id, by=actor.name, at=clock.now(), until=until, reason=reason)
        access.note(conn, actor, "finding.accept", finding.id, _told(finding) | {"until": until, "reason": reason})
        return findings.get(conn, finding.id)


def withdraw(core: Core, actor: Actor, finding_id: str) -> Finding:
    """End the acceptance of a finding: it counts again. Raises Conflict for one that is not accepted."""
    access.require(core, actor, "finding.accept", finding_id=finding_id)
    with core.db.writing() as conn:
        finding = findings.get(conn, finding_id)
        if finding.accepted_at is None:
            raise Conflict(f"The finding is not accepted; it is {finding.state}.")
        findings.reopen(conn, finding.id)
        access.note(conn, actor, "finding.withdraw", finding.id, _told(finding) | {"accepted_by": finding.accepted_by})
        return findings.get(conn, finding.id)


def _acceptance_faults(reason: str, until: str) -> list[FieldError]:
    faults = []
    if not 3 <= len(reason) <= _LONGEST_REASON:
        faults.append(FieldError("/reason", f"3 to {_LONGEST_REASON} characters"))
    try:
        left = clock.parse(until) - clock.parse(clock.now())
    except ValueError:
        return [*faults, FieldError("/until", "a time")]
    if not timedelta(0) < left <= timedelta(days=MOST_DAYS + 1):
        faults.append(FieldError("/until", f"in the future, and at most {MOST_DAYS} days ahead"))
    return faults


def _told(finding: Finding) -> dict[str, object]:
    return {
        "server": finding.server_id, "check_id": finding.check_id, "tool": finding.tool_name[:100], "key": finding.key[:200],
        "severity": finding.severity,
    }


# What the worker does


def record(conn: Connection, run: TestRun, rows: Sequence[Verdict], *, finished: bool) -> dict[str, Finding]:
    """Write down what a run found, in the transaction of its end, and return the finding of each failed result by its id.

    What failed is seen: new, or known and open again if it was fixed, got worse, or was accepted for a time that is over.
    When the run came to its end (``finished``), what it checked without finding it any more is fixed.
    """
    now = clock.now()
    known = {finding.what: finding for finding in findings.of_server(conn, run.server_id)}
    found: dict[str, Finding] = {}
    seen: dict[findings.What, Finding] = {}
    for row in rows:
        if row.verdict != "fail":
            continue
        what = (row.check_id, row.tool_name, row.key)
        finding = _seen(known.get(what), seen.get(what), run, row, now)
        if what in seen or what in known:
            findings.see(conn, finding)
        else:
            findings.insert(conn, finding)
        seen[what] = finding
        found[row.result_id] = finding
    unseen = [old for what, old in known.items() if what not in seen and old.state != "fixed"]
    if finished and unseen:
        checked = _Checked.by(conn, run, rows)
        if gone := [old.id for old in unseen if checked.covers(conn, old)]:
            findings.fix(conn, gone)
    return {result_id: seen[finding.what] for result_id, finding in found.items()}


def verdict_of_run(rows: Sequence[Verdict], found: Mapping[str, Finding], *, ended: bool) -> str:
    """Return the verdict of a run from its results and what ``record`` made of them; ``ended`` is whether it came to its end.

    Failures that somebody accepted do not count, nor does what is only for information.
    """
    weighty = [row for row in rows if row.severity != "info"]
    if any(row.verdict == "fail" and (row.result_id not in found or found[row.result_id].state != "accepted") for row in weighty):
        return "fail"
    decided = any(row.verdict in ("pass", "fail") for row in rows)
    return "pass" if ended and decided and not any(row.verdict == "undecided" for row in weighty) else "undecided"


def _seen(known: Finding | None, again: Finding | None, run: TestRun, row: Verdict, now: str) -> Finding:
    """Return a finding as this result leaves it; of several results with one key in a run the worst counts."""
    if again is not None and severity_rank(row.severity) <= severity_rank(again.severity):
        return again
    before = again or known
    if before is None:
        return Finding(
            id=new_id("fnd"), server_id=run.server_id, test_type=row.test_type, check_id=row.check_id, tool_name=row.tool_name,
            key=row.key, severity=row.severity, confidence=row.confidence, summary=row.summary, state="open", first_seen_at=now,
            first_run_id=run.id, last_seen_at=now, last_run_id=run.id, result_id=row.result_id,
        )
    fresh = replace(
        before, test_type=row.test_type, severity=row.severity, confidence=row.confidence, summary=row.summary,
        last_seen_at=now, last_run_id=run.id, result_id=row.result_id,
    )
    if before.state == "accepted" and severity_rank(row.severity) <= severity_rank(before.accepted_severity):
        return fresh
    if before.lapsed:  # who accepted it, and until when, stays to be read
        return fresh
    return replace(
        fresh, state="open", accepted_at=None, accepted_by=None, accepted_until=None, accepted_severity=None, reason=None
    )


@dataclass(frozen=True)
class _Checked:
    """What a finished run checked and decided."""

    run: TestRun
    active: bool
    decided: frozenset[tuple[str, str]]
    passed_everywhere: frozenset[str]
    undecided: frozenset[tuple[str, str]]
    tools: frozenset[str]
    runs: dict[str, TestRun | None] = field(default_factory=dict)  # those that saw something last, by id

    @classmethod
    def by(cls, conn: Connection, run: TestRun, rows: Sequence[Verdict]) -> _Checked:
        try:
            active = configurations.active(conn, run.server_id).id == run.configuration_id
        except NotFound:
            active = False
        return cls(
            run=run, active=active,
            decided=frozenset((row.check_id, row.tool_name) for row in rows if row.verdict in ("pass", "fail")),
            passed_everywhere=frozenset(row.check_id for row in rows if row.verdict == "pass" and row.tool_name == EVERYWHERE),
            undecided=frozenset((row.check_id, row.tool_name) for row in rows if row.verdict == "undecided"),
            tools=frozenset(tools.names(conn, run.server_id)),
        )

    def covers(self, conn: Connection, finding: Finding) -> bool:
        """Tell whether the run looked for this finding at least as closely as the run that saw it last.

        A quick run does not take back what a full one found, nor a run of an idle configuration what another found.
        """
        check, tool = finding.check_id, finding.tool_name
        if (check, tool) in self.undecided or (check, EVERYWHERE) in self.undecided:
            return False
        if (check, tool) not in self.decided and check not in self.passed_everywhere:
            gone = tool != EVERYWHERE and self.tools and tool not in self.tools
            if not (gone and any(one == check for one, _ in self.decided)):
                return False
        last = self._last(conn, finding.last_run_id)
        if last is None:
            return True
        if last.profile == "full" and self.run.profile != "full":
            return False
        return self.active or last.configuration_id in (None, self.run.configuration_id)

    def _last(self, conn: Connection, run_id: str) -> TestRun | None:
        if run_id not in self.runs:
            try:
                self.runs[run_id] = test_runs.get(conn, run_id)
            except NotFound:
                self.runs[run_id] = None
        return self.runs[run_id]


def verdict_of(result: TestResult) -> Verdict:
    """Return what of a stored result a finding is made of."""
    output: Mapping[str, object] = result.output_data or {}
    return Verdict(
        result_id=result.id, test_type=result.test_type, check_id=result.check_id or "", tool_name=result.tool_name,
        key=str(output.get("key", "")), verdict=str(output.get("verdict", "")), severity=result.severity or "info",
        confidence=str(output.get("confidence", "certain")), summary=str(output.get("summary", "")),
    )
