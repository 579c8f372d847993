"""A run as a document for other programs: JUnit XML for build servers, SARIF 2.1.0 for code scanning.

What a server says is hostile text; both writers escape it and leave out what the format cannot hold.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweb.contracts import SEVERITIES

if TYPE_CHECKING:
    from mcpweb.contracts import Check
    from mcpweb.dao.findings import Finding
    from mcpweb.dao.test_results import TestResult
    from mcpweb.dao.test_runs import TestRun

Place = tuple[str, str, str]
"""Check id, tool and key: where a finding stands, from run to run."""


@dataclass(frozen=True)
class Report:
    """All that a report tells: the run, its results, the checks that are known, the findings of failed results by result id."""

    server: str
    run: TestRun
    results: list[TestResult]
    checks: Mapping[str, Check]
    findings: Mapping[str, Finding]

    def accepted_as(self, result: TestResult) -> Finding | None:
        """Return the finding of a failed result that somebody accepted, None when the result counts."""
        found = self.findings.get(result.id) if is_fail(result) else None
        return found if found is not None and found.state == "accepted" else None

    def title(self, check_id: str | None) -> str:
        """Return what a check is called, its id when its plugin is gone."""
        check = self.checks.get(check_id or "")
        return check.title if check is not None else check_id or ""


def told(result: TestResult) -> dict[str, Any]:
    """Return what the check told beside its verdict."""
    return result.output_data if isinstance(result.output_data, dict) else {}


def place_of(result: TestResult) -> Place:
    """Return where a result stands."""
    return result.check_id or "", result.tool_name, str(told(result).get("key", ""))


def is_fail(result: TestResult) -> bool:
    """Tell whether a result says no; a timeout does where the check decided so."""
    return result.status == "failure" or (result.status == "timeout" and told(result).get("verdict") == "fail")


def summary_of(result: TestResult) -> str:
    return str(told(result).get("summary") or result.error_message or "")


def counting(report: Report, least: str) -> list[TestResult]:
    """Return the failed results at or above a severity that nobody accepted."""
    floor = SEVERITIES.index(least)  # type: ignore[arg-type]
    return [
        result for result in report.results
        if is_fail(result) and report.accepted_as(result) is None and SEVERITIES.index(_severity(result)) >= floor
    ]


def _severity(result: TestResult) -> Any:
    return result.severity if result.severity in SEVERITIES else "info"


def checks_by_id(types: Iterable[Any]) -> dict[str, Check]:
    """Return the checks of test types by id."""
    return {check.id: check for kind in types for check in kind.checks}


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: Any, most: int = 4000) -> str:
    """Return text without control characters and without what turns its direction, cut; safe in XML, JSON and terminals."""
    cleaned = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(text)))
    return cleaned if len(cleaned) <= most else cleaned[: most - 1] + "…"
