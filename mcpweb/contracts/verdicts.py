"""What a test type says of a server: checks it declares, and the verdict of each."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcpweb.contracts.configuration import Json

Verdict = Literal["pass", "fail", "not_applicable", "undecided"]
Severity = Literal["info", "low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")
Confidence = Literal["certain", "firm", "tentative"]


@dataclass(frozen=True)
class Check:
    """One promise a test type holds a server to; ``severity`` counts when it fails."""

    id: str
    title: str
    severity: Severity
    description: str = ""


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check on one tool (``*`` for the server as a whole).

    ``input`` is the exact request that can be sent again, ``evidence`` what was seen, ``summary`` one sentence
    for people, ``next_step`` what they can do, ``reproduce`` how they see it again. ``timed_out`` marks a fail or
    undecided without a reply. ``confidence`` is how far the evidence goes: *certain* was seen to happen, *firm* follows
    from facts that were seen, *tentative* is read from wording alone.

    ``key`` tells findings of one check and tool apart and is the same at the next run: a JSON pointer, a path, a name.
    ``metrics`` are numbers worth a trend, by name (``P03.p50_ms``): finite ones, forty at most.
    """

    check_id: str
    verdict: Verdict
    summary: str
    tool: str = "*"
    severity: Severity | None = None
    evidence: Mapping[str, Json] = field(default_factory=dict)
    input: Json = None
    duration_ms: float | None = None
    timed_out: bool = False
    next_step: str = ""
    confidence: Confidence = "certain"
    key: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    reproduce: str = ""


@dataclass(frozen=True)
class TestOutcome:
    """All verdicts of one test type in one run."""

    __test__ = False
    results: tuple[CheckResult, ...]
