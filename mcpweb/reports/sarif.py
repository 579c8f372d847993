"""SARIF 2.1.0 as code scanning reads it: a rule for each check, a result for each that failed or stayed open."""
from __future__ import annotations

import hashlib
import re
from typing import Any

from mcpweb import __version__
from mcpweb.clock import rfc3339
from mcpweb.dao.test_results import TestResult
from mcpweb.reports import Report, is_fail, place_of, plain, summary_of, told

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "0.0"}  # how code scanning sorts them


def sarif(report: Report) -> dict[str, Any]:
    """Return the run as a SARIF log: failures with a level, undecided ones as *open*, accepted ones as suppressed.

    The fingerprint of a result is made of server, check, tool and key, so the same finding is the same from run to run.
    """
    run = report.run
    shown = [result for result in report.results if result.status != "success"]
    rules = _rules(report, shown)
    at = {rule["id"]: index for index, rule in enumerate(rules)}
    invocation: dict[str, Any] = {"executionSuccessful": run.state == "succeeded"}
    for name, moment in (("startTimeUtc", run.started_at), ("endTimeUtc", run.finished_at)):
        if moment is not None:
            invocation[name] = rfc3339(moment)
    if run.error is not None:
        invocation["toolExecutionNotifications"] = [{
            "level": "error", "message": {"text": plain(run.error.get("detail", ""))},
            "descriptor": {"id": plain(run.error.get("code", "error"), 100)},
        }]
    facts = {
        "run_id": run.id, "verdict": run.verdict, "profile": run.profile, "seed": run.seed, "image_id": run.image_id,
        "image_digest": run.image_digest, "protocol": run.protocol, "configuration_revision": run.configuration_revision,
    }
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "Docker MCP Web Manager", "semanticVersion": _semantic(__version__), "rules": rules}},
            "automationDetails": {"id": f"mcpweb/{report.server}/{run.profile}/"},
            "invocations": [invocation],
            "columnKind": "unicodeCodePoints",
            "properties": {name: value for name, value in facts.items() if value is not None},
            "results": [_result(report, result, at) for result in shown],
        }],
    }


def _semantic(version: str) -> str:
    found = re.match(r"\d+\.\d+\.\d+", version)
    return found[0] if found else "0.0.0"


def _rules(report: Report, shown: list[TestResult]) -> list[dict[str, Any]]:
    """Return a rule for each check of the run's types, also where its plugin is gone by now."""
    ids = sorted({_id(result.check_id) for result in shown} | set(report.checks))
    steps = {_id(result.check_id): str(told(result).get("next_step") or "") for result in shown}
    rules = []
    for check_id in ids:
        check = report.checks.get(check_id)
        severity = check.severity if check is not None else "medium"
        text = plain(check.description or check.title if check is not None else check_id)
        rule: dict[str, Any] = {
            "id": check_id, "name": _name(check.title if check is not None else check_id),
            "shortDescription": {"text": plain(check.title if check is not None else check_id, 200)},
            "fullDescription": {"text": text},
            "help": {"text": plain(steps.get(check_id) or text)},
            "defaultConfiguration": {"level": _LEVELS[severity]},
            "properties": {"security-severity": _SCORES[severity], "severity": severity, "tags": ["mcp"]},
        }
        rules.append(rule)
    return rules


def _id(check_id: str | None) -> str:
    return plain(check_id or "unnamed", 100)


def _name(title: str) -> str:
    """Return a title as one word, as viewers want it."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", title))[:100] or "Check"


def _result(report: Report, result: TestResult, at: dict[str, int]) -> dict[str, Any]:
    check_id, tool, key = place_of(result)
    check_id = _id(check_id)
    data = told(result)
    failed = is_fail(result)
    words = [summary_of(result)]
    words += [f"{word}: {data[name]}" for name, word in (("reproduce", "Reproduce"), ("next_step", "Fix")) if data.get(name)]
    severity = result.severity or "info"
    found: dict[str, Any] = {
        "ruleId": check_id,
        "ruleIndex": at[check_id],
        "kind": "fail" if failed else "open",
        "level": _LEVELS[severity] if failed else "none",
        "message": {"text": plain("\n".join(words)) or check_id},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": f"mcp/{report.server}"}, "region": {"startLine": 1},
            },
            "logicalLocations": [_place(report.server, tool)],
        }],
        "partialFingerprints": {"mcpweb/v1": _fingerprint(report.run.server_id, check_id, tool, key)},
        "properties": {
            "severity": severity, "confidence": data.get("confidence", "certain"), "result_id": result.id,
            "test_type": result.test_type, **({"key": plain(key, 500)} if key else {}),
        },
    }
    accepted = report.accepted_as(result)
    if accepted is not None:
        found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": plain(accepted.reason or "")}]
    return found


def _place(server: str, tool: str) -> dict[str, str]:
    if tool == "*":
        return {"name": server, "fullyQualifiedName": server, "kind": "module"}
    return {"name": plain(tool, 256), "fullyQualifiedName": plain(f"{server}.{tool}", 400), "kind": "function"}


def _fingerprint(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
