"""The verdicts of a run as a matrix, tools by checks: what a person sees before reading a word."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcpweb.contracts import SEVERITIES, TestType
from mcpweb.dao.test_results import TestResult

MOST_TOOLS = 40
MOST_SHOWN = 60
_WORST = ("fail", "undecided", "pass")


@dataclass(frozen=True)
class Cell:
    """What a check said of a tool: the worst of its verdicts, and the result that says it."""

    verdict: str
    result_id: str
    label: str


@dataclass(frozen=True)
class Row:
    """A tool (``*`` the server as a whole) and its verdicts, one place for each check."""

    tool: str
    cells: tuple[Cell | None, ...]
    worst: str


@dataclass(frozen=True)
class Group:
    """The results of one test type: those to read first, the matrix of all, and how many tools are not shown in it."""

    name: str
    title: str
    checks: tuple[str, ...]
    rows: tuple[Row, ...]
    hidden: int
    told: tuple[TestResult, ...]
    more: int
    passed: tuple[TestResult, ...]


def groups(results: Iterable[TestResult], known: Mapping[str, TestType], order: Sequence[str]) -> list[Group]:
    """Return the results by test type, in the order of the run; within one, what failed worst comes first."""
    by_type: dict[str, list[TestResult]] = {}
    for result in results:
        by_type.setdefault(result.test_type, []).append(result)
    names = [name for name in order if name in by_type] + sorted(set(by_type) - set(order))
    return [_group(name, known[name].title if name in known else name, by_type[name]) for name in names]


def verdict_of(result: TestResult) -> str:
    """Return the verdict a result holds."""
    return str((result.output_data or {}).get("verdict") or "undecided")


def _group(name: str, title: str, results: list[TestResult]) -> Group:
    checks = tuple(sorted({result.check_id or "" for result in results}))
    rows = sorted(_rows(results, checks), key=lambda row: (row.tool != "*", _WORST.index(row.worst), row.tool))
    told = sorted((r for r in results if verdict_of(r) != "pass"), key=_urgency)
    passed = sorted((r for r in results if verdict_of(r) == "pass"), key=lambda r: (r.check_id or "", r.tool_name))
    return Group(
        name, title, checks, tuple(rows[:MOST_TOOLS]), max(0, len(rows) - MOST_TOOLS), tuple(told[:MOST_SHOWN]),
        max(0, len(told) - MOST_SHOWN), tuple(passed[: 4 * MOST_SHOWN]),
    )


def _rows(results: list[TestResult], checks: tuple[str, ...]) -> list[Row]:
    found: dict[str, dict[str, TestResult]] = {}
    for result in results:
        row = found.setdefault(result.tool_name, {})
        before = row.get(result.check_id or "")
        if before is None or _urgency(result) < _urgency(before):
            row[result.check_id or ""] = result
    rows = []
    for tool, by_check in found.items():
        cells = tuple(_cell(by_check[check]) if check in by_check else None for check in checks)
        worst = min((cell.verdict for cell in cells if cell), key=_WORST.index)
        rows.append(Row(tool, cells, worst))
    return rows


def _cell(result: TestResult) -> Cell:
    verdict = verdict_of(result)
    return Cell(verdict if verdict in _WORST else "undecided", result.id, result.check_id or "")


def _urgency(result: TestResult) -> tuple[int, int, str, str]:
    verdict = verdict_of(result)
    severity = SEVERITIES.index(result.severity) if result.severity in SEVERITIES else 0  # type: ignore[arg-type]
    return (_WORST.index(verdict) if verdict in _WORST else 1, -severity, result.check_id or "", result.tool_name)
