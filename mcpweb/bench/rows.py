"""Verdicts as they travel from the run child to the worker: plain JSON, evidence capped."""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from mcpweb.contracts import SEVERITIES, CheckResult, Confidence, ConfigData, Verdict

EVIDENCE_BYTES = 64 * 1024
_TEXT_CHARS = 8 * 1024
MOST_METRICS = 40


@dataclass(frozen=True)
class CheckResultRow:
    """A verdict with the test type it belongs to and the severity its check declares."""

    test_type: str
    severity: str
    result: CheckResult


@dataclass(frozen=True)
class RunRequest:
    """Everything a run child needs to know; no keys, no settings.

    ``neighbours``, ``pins`` and ``cases`` are plain JSON with the fields of the classes of these names. ``baseline`` is
    what to compare with: its image and configuration by name, and the document of the latter.
    """

    run_id: str
    server: dict[str, str]  # id, name, image
    config: ConfigData
    types: tuple[str, ...]
    profile: str
    parameters: dict[str, Any]
    seed: int
    approved_image_id: str | None
    neighbours: list[dict[str, Any]] = field(default_factory=list)
    pins: list[dict[str, Any]] = field(default_factory=list)
    pinned: tuple[str, ...] | None = None  # the lists that were approved; None: those that ``pins`` are of
    cases: list[dict[str, Any]] = field(default_factory=list)
    baseline: dict[str, Any] | None = None
    budget_s: float | None = None  # for each test type, instead of its own


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended; ``error`` is None when every test type came to its end."""

    protocol: str | None
    error: dict[str, str] | None


def to_wire(row: CheckResultRow) -> dict[str, Any]:
    """Return the row as JSON; evidence that is too large is cut and says so. Raises ValueError for no verdict."""
    result = row.result
    _checked(result)
    evidence = jsonable(result.evidence)
    if len(json.dumps(evidence)) > EVIDENCE_BYTES:
        evidence = {"cut": json.dumps(evidence)[:EVIDENCE_BYTES // 2]}
    given = jsonable(result.input)
    if len(json.dumps(given)) > EVIDENCE_BYTES:
        given = {"cut": json.dumps(given)[:EVIDENCE_BYTES // 2]}
    return {
        "test_type": row.test_type, "declared": row.severity, "check_id": result.check_id, "verdict": result.verdict,
        "summary": readable(result.summary)[:2000], "tool": readable(result.tool)[:256], "severity": result.severity,
        "evidence": evidence, "input": given, "duration_ms": jsonable(result.duration_ms),
        "timed_out": result.timed_out, "next_step": readable(result.next_step)[:2000],
        "confidence": result.confidence, "key": readable(result.key)[:300], "reproduce": readable(result.reproduce)[:2000],
        "metrics": {readable(name)[:80]: value for name, value in result.metrics.items()},
    }


def from_wire(data: Mapping[str, Any]) -> CheckResultRow:
    """Return the row again. Raises KeyError, TypeError or ValueError for anything else."""
    fields = dict(data)
    test_type, declared = str(fields.pop("test_type")), str(fields.pop("declared"))
    result = CheckResult(**fields)
    _checked(result)
    return CheckResultRow(test_type, declared, result)


def _checked(result: CheckResult) -> None:
    if result.verdict not in get_args(Verdict):
        raise ValueError(f"{str(result.verdict)[:40]!r} is no verdict")
    if result.severity is not None and result.severity not in SEVERITIES:
        raise ValueError(f"{str(result.severity)[:40]!r} is no severity")
    if result.confidence not in get_args(Confidence):
        raise ValueError(f"{str(result.confidence)[:40]!r} is no confidence")
    if len(result.metrics) > MOST_METRICS:
        raise ValueError(f"{len(result.metrics)} metrics are more than {MOST_METRICS}")
    for name, value in result.metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"the metric {str(name)[:40]!r} is no finite number")


def readable(text: str) -> str:
    """Return text that any database and any JSON reader takes: half characters become visible escapes."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def jsonable(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON can hold it: bytes as text, long texts cut, deep things named."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        value = readable(value)
        return value if len(value) <= _TEXT_CHARS else value[:_TEXT_CHARS] + f"… ({len(value)} characters)"
    if depth > 12:
        return "…"
    if isinstance(value, Mapping):
        return {readable(key)[:200]: jsonable(inner, depth + 1) for key, inner in list(value.items())[:200]}
    if isinstance(value, Sequence | set | frozenset):
        return [jsonable(inner, depth + 1) for inner in list(value)[:200]]
    return readable(value)[:_TEXT_CHARS]
