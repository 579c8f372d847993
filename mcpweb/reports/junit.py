"""JUnit XML as build servers read it: a suite for each test type, a case for each check and tool."""
from __future__ import annotations

import json
import xml.etree.ElementTree as ET  # writes only, reads nothing
from typing import Any

from mcpweb.dao.test_results import TestResult
from mcpweb.reports import Report, is_fail, plain, summary_of, told

_EVIDENCE_CHARS = 8000


def junit(report: Report) -> str:
    """Return the run as JUnit XML.

    A failed check is a ``failure`` with its severity as type; what could not be decided, does not apply, or was accepted is
    ``skipped`` and says why; a run that did not come to its end has an ``error``.
    """
    root = ET.Element("testsuites")
    names = [*report.run.types, *sorted({r.test_type for r in report.results} - set(report.run.types))]
    for at, name in enumerate(names):
        _suite(root, report, at, name)
    if report.run.error is not None or report.run.state != "succeeded":
        _broken(root, report, len(names))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _open(root: ET.Element, report: Report, at: int, name: str, **counts: Any) -> ET.Element:
    run = report.run
    values: dict[str, Any] = {
        "package": "mcpweb", "id": at, "name": f"{report.server}.{name}",
        "timestamp": (run.started_at or run.created_at)[:19].replace(" ", "T"), "hostname": "localhost",
        "tests": 0, "failures": 0, "errors": 0, "skipped": 0, "time": "0.000",
    }
    suite = ET.SubElement(root, "testsuite", {key: plain(value, 300) for key, value in (values | counts).items()})
    properties = ET.SubElement(suite, "properties")
    facts = {
        "run": run.id, "server": report.server, "configuration_revision": run.configuration_revision, "profile": run.profile,
        "seed": run.seed, "image_id": run.image_id, "image_digest": run.image_digest, "protocol": run.protocol,
    }
    for key, value in facts.items():
        if value is not None:
            ET.SubElement(properties, "property", {"name": key, "value": plain(value, 300)})
    return suite


def _close(suite: ET.Element) -> None:
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")


def _suite(root: ET.Element, report: Report, at: int, name: str) -> None:
    results = [result for result in report.results if result.test_type == name]
    left_out = [row for row in report.run.detail.get("not_applicable", []) if row.get("test_type") == name]
    failures = [result for result in results if is_fail(result) and report.accepted_as(result) is None]
    skipped = [result for result in results if result.status != "success" and result not in failures]
    suite = _open(
        root, report, at, name, tests=len(results) + len(left_out), failures=len(failures),
        skipped=len(skipped) + len(left_out), time=f"{sum(r.execution_time_ms or 0 for r in results) / 1000:.3f}",
    )
    for result in sorted(results, key=lambda r: (r.check_id or "", r.tool_name, r.id)):
        _case(suite, report, result)
    for row in left_out:
        case = _named(suite, report, name, str(row.get("check_id", "")), "*", 0.0)
        ET.SubElement(case, "skipped", {"message": plain(f"does not apply: {row.get('summary', '')}", 500)})
    _close(suite)


def _named(suite: ET.Element, report: Report, kind: str, check_id: str, tool: str, seconds: float) -> ET.Element:
    place = "" if tool == "*" else f" [{tool}]"
    title = report.title(check_id)
    label = f"{check_id} {title}" if title and title != check_id else check_id
    return ET.SubElement(suite, "testcase", {
        "name": plain(f"{label}{place}", 500), "classname": plain(f"{report.server}.{kind}", 200), "time": f"{seconds:.3f}",
    })


def _case(suite: ET.Element, report: Report, result: TestResult) -> None:
    seconds = (result.execution_time_ms or 0) / 1000
    case = _named(suite, report, result.test_type, result.check_id or "", result.tool_name, seconds)
    if result.status == "success":
        return
    accepted = report.accepted_as(result)
    if accepted is not None:
        until = f" until {accepted.accepted_until[:10]}" if accepted.accepted_until else ""
        message = f"accepted{until}: {accepted.reason} ({summary_of(result)})"
        ET.SubElement(case, "skipped", {"message": plain(message, 1000)})
    elif is_fail(result):
        failure = ET.SubElement(
            case, "failure", {"message": plain(summary_of(result), 1000), "type": plain(result.severity or "info", 20)}
        )
        failure.text = plain(_words(result), 2 * _EVIDENCE_CHARS)
    else:
        ET.SubElement(case, "skipped", {"message": plain(f"undecided: {summary_of(result)}", 1000)})


def _words(result: TestResult) -> str:
    """Return what a person needs to see the fault again and to mend it."""
    data = told(result)
    parts = [summary_of(result)]
    parts += [f"{word}: {data[name]}" for name, word in (("reproduce", "Reproduce"), ("next_step", "Fix")) if data.get(name)]
    parts.append(f"Severity {result.severity or 'info'}, confidence {data.get('confidence', '-')}, result {result.id}")
    if result.input_data is not None:
        parts.append(f"Input: {json.dumps(result.input_data, ensure_ascii=False)[:_EVIDENCE_CHARS // 4]}")
    if data.get("evidence"):
        parts.append(f"Evidence: {json.dumps(data['evidence'], ensure_ascii=False)[:_EVIDENCE_CHARS]}")
    return "\n".join(parts)


def _broken(root: ET.Element, report: Report, at: int) -> None:
    error = report.run.error or {"code": report.run.state, "detail": f"The run is {report.run.state}."}
    suite = _open(root, report, at, "run", tests=1, errors=1)
    case = ET.SubElement(suite, "testcase", {
        "name": "the run comes to its end", "classname": plain(f"{report.server}.run", 200), "time": "0.000",
    })
    ET.SubElement(case, "error", {"message": plain(error.get("detail", ""), 1000), "type": plain(error.get("code", ""), 100)})
    _close(suite)
