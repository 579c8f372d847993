"""Reports hold what a run found, whatever a server put into it."""
from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest

from mcpweb.contracts import Check
from mcpweb.dao.findings import Finding
from mcpweb.dao.test_results import TestResult
from mcpweb.dao.test_runs import TestRun
from mcpweb.reports import Report, counting, plain
from mcpweb.reports.junit import junit
from mcpweb.reports.sarif import sarif

CHECKS = {
    "S01": Check("S01", "No root", "high", "The process has no root."), "S02": Check("S02", "No secrets", "critical"),
    "F01": Check("F01", "Valid inputs", "medium"),
}
HOSTILE = "]]></failure>\x00\x07\x1b[31m<script>alert(1)</script>&amp; \ud800 \uffff \u202e日本 \U0001f600 \"'\r\n\ttail"


def a_run(**fields: Any) -> TestRun:
    run = TestRun.new(
        id="run_1", server_id="srv_1", configuration_id="cfg_1", configuration_revision=2, types=["security", "functionality"],
        profile="quick", parameters={}, seed=7, job_id="job_1", created_at="2026-11-26 10:00:00.000", created_by="cli:me",
    )
    values = {
        "state": "succeeded", "verdict": "fail", "started_at": "2026-11-26 10:00:01.000", "finished_at": "2026-11-26 10:00:09.500",
        "image_digest": "sha256:" + "a" * 64, "detail": {"not_applicable": [{"check_id": "F09", "test_type": "functionality", "summary": "No prompts."}]},
    } | fields
    return replace(run, **values)


def a_result(result_id: str, check_id: str, status: str, **fields: Any) -> TestResult:
    told = {"verdict": {"success": "pass", "failure": "fail"}.get(status, "undecided"), "summary": f"{check_id} says {status}."}
    told |= fields.pop("told", {})
    values = {
        "id": result_id, "server_id": "srv_1", "configuration_id": "cfg_1", "tool_name": "*", "test_type": "security",
        "status": status, "input_data": None, "output_data": told, "error_message": None, "execution_time_ms": 1500,
        "created_at": "2026-11-26 10:00:02.000", "created_by": "cli:me", "run_id": "run_1", "check_id": check_id, "severity": "high",
    } | fields
    return TestResult(**values)


def a_finding(result_id: str, state: str = "accepted") -> Finding:
    return Finding(
        id="fnd_1", server_id="srv_1", test_type="security", check_id="S02", tool_name="now", key="/x", severity="critical",
        confidence="certain", summary="s", state=state, first_seen_at="2026-11-01 00:00:00.000", first_run_id="run_0",
        last_seen_at="2026-11-26 00:00:00.000", last_run_id="run_1", result_id=result_id, accepted_at="2026-11-01 00:00:00.000",
        accepted_by="user:ada", accepted_until="2027-01-01 00:00:00.000", accepted_severity="critical", reason="Known; behind a wall.",
    )


def a_report(results: list[TestResult], *findings: Finding, **fields: Any) -> Report:
    return Report("demo", a_run(**fields), results, CHECKS, {one.result_id: one for one in findings})


MIXED = [
    a_result("res_1", "S01", "failure", told={"next_step": "Set a user.", "reproduce": "docker inspect", "evidence": {"uid": 0}}),
    a_result("res_2", "S02", "failure", tool_name="now", severity="critical", told={"key": "/x"}),
    a_result("res_3", "F01", "success", test_type="functionality", tool_name="now", severity="medium"),
    a_result("res_4", "F01", "timeout", test_type="functionality", tool_name="slow", severity="medium"),
    a_result("res_5", "F01", "timeout", test_type="functionality", tool_name="dead", severity="medium", told={"verdict": "fail"}),
]


def test_junit_counts_what_it_holds_and_says_why_something_was_skipped() -> None:
    root = ET.fromstring(junit(a_report(MIXED, a_finding("res_2"))))
    assert root.tag == "testsuites" and [suite.get("name") for suite in root] == ["demo.security", "demo.functionality"]
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(attribute, "")) == len(suite.findall(f"testcase/{tag}")), (suite.get("name"), tag)
        assert abs(float(suite.get("time", "")) - sum(float(case.get("time", "")) for case in cases)) < 0.002
    security, functionality = root
    (failure,) = security.iter("failure")
    assert failure.get("type") == "high" and "Fix: Set a user." in str(failure.text) and "Reproduce: docker inspect" in str(failure.text)
    assert '"uid": 0' in str(failure.text)
    (accepted,) = security.iter("skipped")
    assert "accepted until 2027-01-01: Known; behind a wall." in accepted.get("message", "")
    said = [one.get("message") for one in functionality.iter("skipped")]
    assert said == ["undecided: F01 says timeout.", "does not apply: No prompts."]
    assert [case.get("name") for case in functionality.findall("testcase") if case.find("failure") is not None] == ["F01 Valid inputs [dead]"]


SUITE_ORDER = ["properties", "testcase", "system-out", "system-err"]
NEEDED = {"package", "id", "name", "timestamp", "hostname", "tests", "failures", "errors", "time"}


@pytest.mark.parametrize("report", [a_report(MIXED), a_report([]), a_report(MIXED, state="failed", error={"code": "x", "detail": "y"})])
def test_junit_fits_the_common_schema(report: Report) -> None:
    """The order and the attributes that JUnit.xsd (Windy Road) demands, which are stricter than what Jenkins reads."""
    root = ET.fromstring(junit(report))
    assert not root.attrib and {child.tag for child in root} == {"testsuite"}
    for at, suite in enumerate(root):
        assert NEEDED <= set(suite.attrib) <= NEEDED | {"skipped"} and suite.get("id") == str(at)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        places = [SUITE_ORDER.index(child.tag) for child in suite]
        assert places == sorted(places) and {0, 2, 3} <= set(places)
        for number in ("tests", "failures", "errors"):
            assert suite.get(number, "").isdigit()
        for case in suite.findall("testcase"):
            assert set(case.attrib) == {"name", "classname", "time"} and len(case) <= 1
            for child in case:
                assert child.tag in ("failure", "error", "skipped")
                assert child.tag == "skipped" or {"type", "message"} == set(child.attrib)


def test_a_run_that_broke_is_an_error_in_junit_and_no_success_in_sarif() -> None:
    report = a_report(MIXED[2:3], state="failed", verdict="undecided", error={"code": "budget", "detail": "It used up its budget."})
    (error,) = ET.fromstring(junit(report)).iter("error")
    assert (error.get("type"), error.get("message")) == ("budget", "It used up its budget.")
    (invocation,) = sarif(report)["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "It used up its budget."
    cancelled = a_report([], state="cancelled", verdict="undecided", error=None)
    assert [e.get("type") for e in ET.fromstring(junit(cancelled)).iter("error")] == ["cancelled"]


def hostile() -> Report:
    result = a_result(
        "res_1", "S01", "failure", tool_name=HOSTILE, input_data={HOSTILE: HOSTILE},
        told={"summary": HOSTILE, "next_step": HOSTILE, "reproduce": HOSTILE, "key": HOSTILE, "evidence": {HOSTILE: [HOSTILE] * 2000}},
    )
    strange = a_result("res_2", "S\x0099\u202e", "error", tool_name="*", severity=None, told={"summary": HOSTILE})
    return a_report([result, strange, a_result("res_3", "S01", "failure", output_data=None)], error={"code": HOSTILE, "detail": HOSTILE},
                    detail={"not_applicable": [{"check_id": HOSTILE, "test_type": "security", "summary": HOSTILE}]})


def test_hostile_text_breaks_out_of_no_report() -> None:
    text = junit(hostile())
    text.encode("utf-8")
    root = ET.fromstring(text)
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped", "system-out", "system-err",
    }
    assert "<script>" not in text
    for one in (text, json.dumps(sarif(hostile()), ensure_ascii=False)):
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]", one)
        assert "日本 \U0001f600" in one and len(one) < 200_000


def test_text_for_people_keeps_lines_and_loses_what_steers_a_terminal() -> None:
    assert plain("a\tb\nc\x1b[2Jd\u202ee") == "a\tb\nc�[2Jd�e" and len(plain("x" * 9999)) == 4000


# What of the SARIF 2.1.0 schema a log of ours touches, said with the schema's own words
SARIF = {
    "type": "object", "required": ["version", "runs"], "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"}, "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {
            "type": "object", "required": ["tool", "results"], "additionalProperties": False,
            "properties": {
                "tool": {"type": "object", "required": ["driver"], "additionalProperties": False, "properties": {"driver": {
                    "type": "object", "required": ["name", "rules"], "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string"}, "semanticVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                        "rules": {"type": "array", "uniqueItems": True, "items": {
                            "type": "object", "required": ["id"], "additionalProperties": False,
                            "properties": {
                                "id": {"type": "string"}, "name": {"type": "string"}, "shortDescription": {"$ref": "#/$defs/text"},
                                "fullDescription": {"$ref": "#/$defs/text"}, "help": {"$ref": "#/$defs/text"},
                                "defaultConfiguration": {"properties": {"level": {"$ref": "#/$defs/level"}}},
                                "properties": {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}},
                            }}},
                    }}}},
                "automationDetails": {"type": "object", "properties": {"id": {"type": "string"}}},
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "invocations": {"type": "array", "items": {
                    "required": ["executionSuccessful"], "additionalProperties": False,
                    "properties": {
                        "executionSuccessful": {"type": "boolean"}, "startTimeUtc": {"type": "string", "format": "date-time"},
                        "endTimeUtc": {"type": "string", "format": "date-time"},
                        "toolExecutionNotifications": {"type": "array", "items": {
                            "required": ["message"], "properties": {"message": {"$ref": "#/$defs/text"}, "level": {"$ref": "#/$defs/level"}}}},
                    }}},
                "properties": {"type": "object"},
                "results": {"type": "array", "items": {
                    "type": "object", "required": ["message", "ruleId"], "additionalProperties": False,
                    "properties": {
                        "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": 0},
                        "kind": {"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
                        "level": {"$ref": "#/$defs/level"}, "message": {"$ref": "#/$defs/text"},
                        "locations": {"type": "array", "items": {
                            "type": "object", "additionalProperties": False,
                            "properties": {
                                "physicalLocation": {"required": ["artifactLocation"], "properties": {
                                    "artifactLocation": {"properties": {"uri": {"type": "string", "format": "uri-reference"}}},
                                    "region": {"properties": {"startLine": {"type": "integer", "minimum": 1}}}}},
                                "logicalLocations": {"type": "array", "uniqueItems": True, "items": {"properties": {
                                    "name": {"type": "string"}, "fullyQualifiedName": {"type": "string"}, "kind": {"type": "string"}}}},
                            }}},
                        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
                        "suppressions": {"type": "array", "uniqueItems": True, "items": {
                            "required": ["kind"], "additionalProperties": False,
                            "properties": {
                                "kind": {"enum": ["inSource", "external"]}, "status": {"enum": ["accepted", "underReview", "rejected"]},
                                "justification": {"type": "string"}}}},
                        "properties": {"type": "object"},
                    },
                    "if": {"properties": {"kind": {"const": "fail"}}}, "else": {"properties": {"level": {"const": "none"}}},
                }},
            }}},
    },
    "$defs": {
        "level": {"enum": ["none", "note", "warning", "error"]},
        "text": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}},
    },
}


@pytest.mark.parametrize("report", [a_report(MIXED, a_finding("res_2")), a_report([]), hostile()], ids=["mixed", "empty", "hostile"])
def test_sarif_fits_its_schema_and_each_result_has_its_rule(report: Report) -> None:
    log = json.loads(json.dumps(sarif(report)))
    faults = [f"{list(e.instance_path)}: {e.message}" for e in jsonschema_rs.validator_for(SARIF, validate_formats=True).iter_errors(log)]
    assert not faults, faults
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_levels_follow_severity_and_accepted_findings_are_suppressed() -> None:
    results = {r["properties"]["result_id"]: r for r in sarif(a_report(MIXED, a_finding("res_2")))["runs"][0]["results"]}
    assert set(results) == {"res_1", "res_2", "res_4", "res_5"}, "what held is no result of a scan"
    assert {name: (r["kind"], r["level"]) for name, r in results.items()} == {
        "res_1": ("fail", "error"), "res_2": ("fail", "error"), "res_4": ("open", "none"), "res_5": ("fail", "warning"),
    }
    assert results["res_2"]["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "Known; behind a wall."}]
    assert all("suppressions" not in r for name, r in results.items() if name != "res_2")
    assert results["res_2"]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "demo.now"


def test_a_fingerprint_is_of_the_place_and_not_of_the_run_or_the_words() -> None:
    def prints(result: TestResult, **fields: Any) -> Any:
        return sarif(a_report([result], **fields))["runs"][0]["results"][0]["partialFingerprints"]

    first = a_result("res_1", "S01", "failure", told={"key": "/a", "summary": "one"})
    assert prints(first) == prints(replace(first, id="res_9", output_data=dict(first.output_data, summary="two")), id="run_2")
    for other in (
        replace(first, check_id="S02"), replace(first, tool_name="now"), replace(first, output_data=dict(first.output_data, key="/b")),
    ):
        assert prints(first) != prints(other)
    assert prints(first) != prints(first, server_id="srv_2")


@pytest.mark.parametrize(
    ("least", "accepted", "counted"),
    [("info", False, {"res_1", "res_2", "res_5"}), ("high", False, {"res_1", "res_2"}), ("critical", False, {"res_2"}),
     ("critical", True, set()), ("medium", True, {"res_1", "res_5"})],
)
def test_what_fails_a_build_is_severe_enough_decided_and_not_accepted(least: str, accepted: bool, counted: set[str]) -> None:
    findings = [a_finding("res_2", "accepted" if accepted else "open")]
    assert {result.id for result in counting(a_report(MIXED, *findings), least)} == counted
