"""Two runs side by side, check by check and number by number."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import test_metrics, test_results, test_runs
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.services import access

_WORST = ("failure", "timeout", "error", "success")


@dataclass(frozen=True)
class Side:
    """What one run said of a check; ``metrics`` are the numbers it gave with the verdict."""

    status: str
    severity: str
    summary: str
    duration_ms: int | None
    metrics: dict[str, float]
    result_id: str


@dataclass(frozen=True)
class ComparedCheck:
    """One check on one tool; a side is None where that run has no result of it."""

    test_type: str
    check_id: str
    tool_name: str
    key: str
    first: Side | None
    second: Side | None

    @property
    def change(self) -> str:
        """``worse``, ``better``, ``other`` (another word that is neither), ``gone``, ``new`` or ``same``."""
        if self.first is None or self.second is None:
            return "new" if self.first is None else "gone"
        if self.first.status == self.second.status:
            return "same"
        if self.second.status == "success":
            return "better"
        return "worse" if self.first.status == "success" or self.second.status == "failure" else "other"


@dataclass(frozen=True)
class ComparedMetric:
    """One number in both runs; None where a run did not measure it."""

    name: str
    tool_name: str
    first: float | None
    second: float | None

    @property
    def ratio(self) -> float | None:
        """Return second by first. One pair of runs proves no change: history is a band, not an alarm."""
        return self.second / self.first if self.first and self.second is not None else None


@dataclass(frozen=True)
class Comparison:
    """Two runs, what differs first. ``same_subject`` is whether image, configuration and its revision are the same."""

    first: TestRun
    second: TestRun
    checks: list[ComparedCheck] = field(default_factory=list)
    metrics: list[ComparedMetric] = field(default_factory=list)

    @property
    def same_subject(self) -> bool:
        return _subject(self.first) == _subject(self.second)

    @property
    def only(self) -> tuple[list[str], list[str]]:
        """Return the test types that only the first, and only the second run was asked for: they cannot be compared."""
        first, second = self.first.types, self.second.types
        return [name for name in first if name not in second], [name for name in second if name not in first]


def _subject(run: TestRun) -> tuple[Any, ...]:
    return run.server_id, run.configuration_id, run.configuration_revision, run.image_id


_ORDER = ("worse", "new", "other", "gone", "better", "same")


def compare(core: Core, actor: Actor, first: str, second: str) -> Comparison:
    """Return two runs side by side; what got worse comes first. Raises NotFound."""
    access.require(core, actor, "test.view", run_id=first)
    access.require(core, actor, "test.view", run_id=second)
    with core.db.reading() as conn:
        runs = [test_runs.get(conn, run_id) for run_id in (first, second)]
        sides = [_sides(test_results.for_run(conn, run.id)) for run in runs]
        numbers = [{(m.name, m.tool_name): m.value for m in test_metrics.of_run(conn, run.id)} for run in runs]
    places = sides[0].keys() | sides[1].keys()
    checks = [ComparedCheck(*place, first=sides[0].get(place), second=sides[1].get(place)) for place in places]
    checks.sort(key=lambda row: (_ORDER.index(row.change), row.test_type, row.check_id, row.tool_name, row.key))
    metrics = [
        ComparedMetric(*place, first=numbers[0].get(place), second=numbers[1].get(place))
        for place in sorted(numbers[0].keys() | numbers[1].keys())
    ]
    return Comparison(runs[0], runs[1], checks, metrics)


def _sides(results: list[TestResult]) -> dict[tuple[str, str, str, str], Side]:
    """Return what a run said by (type, check, tool, key); of several at one place the worst."""
    found: dict[tuple[str, str, str, str], Side] = {}
    for result in results:
        told = result.output_data if isinstance(result.output_data, dict) else {}
        place = (result.test_type, result.check_id or "", result.tool_name, str(told.get("key", "")))
        side = Side(
            result.status, result.severity or "info", str(told.get("summary") or result.error_message or ""),
            result.execution_time_ms, dict(told.get("metrics") or {}), result.id,
        )
        known = found.get(place)
        if known is None or _WORST.index(side.status) < _WORST.index(known.status):
            found[place] = side
    return found
