"""F21: saved cases. An assertion is looked at with JSONPath, and patterns and schemas where they can do no harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcpweb.plugin import CheckResult, Failure, SavedCase, TestContext, TestError

from .base import Attempt, Bench, cut, reproduce

CALL_S = 30.0
PATHS = {"equals": "$", "regex": "$.content[0].text", "schema": "$.structuredContent"}


def cases(bench: Bench) -> Iterator[CheckResult]:
    """F21: each saved case of the server is called, and each of its assertions looked at."""
    saved = bench.context.cases()
    by_name = {str(one["name"]): one for one in bench.tools}
    if not saved:
        yield CheckResult("F21", "not_applicable", "No case is saved for this server.")
    for case in saved:
        definition = by_name.get(case.tool)
        if definition is None:
            yield CheckResult(
                "F21",
                "fail",
                f"{case.name}: the server has no tool {case.tool} any more.",
                tool=case.tool,
                key=case.id,
                evidence={"case": case.name},
                next_step="Change the case, or ask what became of the tool.",
            )
            continue
        try:
            attempt = bench.call(definition, case.arguments, deadline_s=CALL_S, label="")
        except Failure as failure:
            yield CheckResult("F21", "undecided", f"{case.name}: {failure.sentence}", tool=case.tool, key=case.id)
            continue
        yield _judged(bench, case, attempt)


def _judged(bench: Bench, case: SavedCase, attempt: Attempt) -> CheckResult:
    shown = {"case": case.name, "call": attempt.told()}
    more: dict[str, Any] = {
        "tool": case.tool,
        "key": case.id,
        "input": attempt.request,
        "duration_ms": attempt.ms,
        "reproduce": reproduce(attempt),
        "metrics": {f"F21.{case.name}.ms"[:80]: attempt.ms},
    }
    deprived = bench.needs_trust and not attempt.trusted
    if attempt.outcome in ("timeout", "gone"):
        said = "gets no answer" if attempt.outcome == "timeout" else "ends the server"
        return CheckResult(
            "F21", "fail", f"{case.name}: the call {said}.", evidence=shown, timed_out=attempt.outcome == "timeout", **more
        )
    faults, unclear = [], []
    for at, assertion in enumerate(case.assertions):
        try:
            fault = holds(bench.context, assertion, attempt)
        except TestError as failure:
            unclear.append(f"assertion {at + 1}: {failure.detail}")
            continue
        if fault:
            faults.append(f"assertion {at + 1}: {fault}")
    evidence = {**shown, "faults": faults, "unclear": unclear}
    if faults and deprived and attempt.outcome != "ok":
        return CheckResult(
            "F21",
            "undecided",
            f"{case.name}: it had canaries for secrets and no network; {faults[0]}.",
            evidence=evidence,
            next_step="Let the configuration allow active probes, or mark the tool read-only.",
            **more,
        )
    if faults:
        return CheckResult(
            "F21",
            "fail",
            f"{case.name}: {faults[0]}.",
            evidence=evidence,
            next_step="Look at what the tool answers now; change the case if that is right.",
            **more,
        )
    if unclear:
        return CheckResult("F21", "undecided", f"{case.name}: {unclear[0]}", evidence=evidence, **more)
    return CheckResult("F21", "pass", f"{case.name}: {len(case.assertions)} assertions hold.", evidence=shown, **more)


def holds(context: TestContext, assertion: Mapping[str, Any], attempt: Attempt) -> str:
    """Return why an assertion does not hold, nothing when it does. Raises TestError when it cannot be looked at."""
    kind, value = assertion.get("kind"), assertion.get("value")
    if kind == "latency":
        return (
            f"it took {attempt.ms:.0f} ms, more than {value} ms"
            if not isinstance(value, int | float) or attempt.ms > value
            else ""
        )
    if kind == "is_error":
        failed = attempt.outcome != "ok"
        return "" if failed is bool(value) else "the call failed" if failed else "the call did not fail"
    if attempt.outcome == "rpc_error":
        return f"the call was refused: {attempt.words[:200]}"
    path = str(assertion.get("path") or PATHS.get(str(kind), "$"))
    found = selected(path, attempt.result)
    if not found:
        return f"{path} selects nothing"
    if kind == "equals":
        return (
            ""
            if _same(found[0] if len(found) == 1 else found, value)
            else f"{path} is {_short(found[0] if len(found) == 1 else found)}"
        )
    if kind == "jsonpath":
        wanted = "value" in assertion
        return f"{path} selects {_short(found)}" if wanted and not any(_same(one, value) for one in found) else ""
    schema = {"type": "string", "pattern": value} if kind == "regex" else value
    if kind not in ("regex", "schema"):
        raise TestError(f"Assertions of the kind {str(kind)[:40]!r} are not known.")
    for one in found:
        faults = context.value_faults(schema, one)
        if faults:
            return f"{path} does not match {value!r:.100}: {_short(one)}" if kind == "regex" else f"{path}{faults[0][:200]}"
    return ""


def selected(path: str, value: Any) -> list[Any]:
    """Return what a JSONPath selects. Raises TestError for one that is none; patterns in filters are not looked at."""
    import jsonpath

    environment = jsonpath.JSONPathEnvironment(strict=True)
    for name in ("match", "search"):  # a pattern of ours on a text of theirs, without a bound
        environment.function_extensions.pop(name, None)
    try:
        return list(environment.findall(path, value))
    except jsonpath.JSONPathError as error:
        raise TestError(f"{path[:100]!r} is no JSONPath: {str(error)[:200]}") from None
    except RecursionError:
        raise TestError("The result is nested too deep for a JSONPath.") from None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _short(value: Any) -> str:
    return f"{cut(value, 200)!r:.200}"
