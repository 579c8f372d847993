"""F07 and F08: what the calls say of refusing, and of the way failures are told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Failure, RpcError, ServerTimeout, Severity

from .base import Attempt, Bench, cut, reproduce
from .frames import AUTHOR
from .tools import IN_WORDS, LENIENT, OF_BOUNDS, VALIDATION, again, fail, line, smaller, told, undecided

FAILURE = re.compile(  # how a program that failed begins to say so
    r"Traceback \(most recent call last\)|(?:\w+\.)*[A-Z]\w*(?:Error|Exception)\b\s*[:(]"
    r"|(?i:error|failed|failure|fehler)\s*[:!–-]"
)


def invalid_input(bench: Bench) -> Iterator[CheckResult]:
    """F07: what the schema forbids is refused, and the server stays."""
    called = failed = 0
    for definition in bench.tools:
        tries = [one for one in bench.attempts if one.tool == definition["name"] and not one.valid]
        called += bool(tries)
        found = _invalid_faults(bench, tries)
        if found is not None:
            failed += 1
            yield found
    calls = sum(not one.valid for one in bench.attempts)
    if not bench.tools:
        yield CheckResult("F07", "not_applicable", "There are no tools.")
    elif not called:
        unusable = any(bench.context.schema_faults(one.get("inputSchema")) for one in bench.tools[:20])
        if bench.short_of_time or unusable or not any(one.valid for one in bench.attempts):
            why = "There was no time left for it." if bench.short_of_time else "No input could be made."
            yield CheckResult("F07", "undecided", f"No invalid input was sent. {why}", next_step="Run the full profile.")
        else:
            yield CheckResult("F07", "not_applicable", "No schema forbids anything that could be tried.")
    elif not failed:
        yield CheckResult(
            "F07",
            "pass",
            f"{calls} calls with invalid input of {called} tools were refused.",
            evidence={"calls": calls, "tools": called, "seed": bench.context.seed},
        )


def _invalid_faults(bench: Bench, tries: Sequence[Attempt]) -> CheckResult | None:
    gone = [one for one in tries if one.outcome == "gone" and not one.given_up]
    if gone:
        second = again(bench, gone[0])
        if len(gone) > 1 or (second is not None and second.outcome == "gone"):
            small = smaller(bench, gone[0], lambda one: one.outcome == "gone", valid=False)
            return fail(
                "F07", small, f"Invalid input ended the server ({gone[0].label}).", severity="high", evidence=told(tries, gone)
            )
        return undecided(
            "F07", gone[0], "The server went away during a call with invalid input, and not when it was called again.", tries
        )
    late = [one for one in tries if one.outcome == "timeout"]
    if late:
        second = again(bench, late[0], deadline_s=8.0 if bench.context.remaining_s() > 30 else 3.0)
        if second is None or second.outcome == "timeout":
            return fail(
                "F07",
                late[0],
                f"Invalid input gets no answer ({late[0].label}).",
                timed_out=True,
                severity="high",
                evidence=told(tries, late),
            )
    accepted = [one for one in tries if one.outcome == "ok"]
    if not accepted:
        return None
    ranked = sorted(accepted, key=_weight, reverse=True)
    worst = ranked[0]
    severity = ("low", "medium", "high")[_weight(worst)]
    small = smaller(bench, worst, lambda one: one.outcome == "ok" and _weight(one) == _weight(worst), valid=False)
    others = f", and {len(accepted) - 1} more" if len(accepted) > 1 else ""
    words = " It says so in words, but the result is not marked isError." if _in_words(worst) else ""
    return fail(
        "F07",
        small,
        f"Invalid input is accepted: {worst.label}{others}.{words}",
        severity=severity,
        evidence={"accepted": [one.label for one in ranked], **told(tries, ranked[:4])},
        next_step=AUTHOR + "check arguments against the schema, and answer isError or -32602.",
    )


def _weight(attempt: Attempt) -> int:
    """Say how much it means that invalid input was accepted: 2 for another type or a part that is missing, 0 for leniency."""
    what = attempt.label.rpartition(": ")[2]
    if what in LENIENT or _in_words(attempt):
        return 0 if what in LENIENT else 1
    if what in ("a property that is not allowed", "a further property of the wrong type"):
        return 0  # the usual validators drop what they do not know
    if what == "null":
        return 0 if attempt.arguments else 1
    if what.startswith("a number for"):
        return 1  # which many languages make a text of by themselves
    return 1 if what.startswith(OF_BOUNDS) else 2


def _in_words(attempt: Attempt) -> bool:
    return bool(IN_WORDS.match(attempt.words[:200]) or VALIDATION.search(attempt.words[:400]))


def errors(bench: Bench) -> Iterator[CheckResult]:
    """F08: an unknown tool is the protocol error -32602; a tool that fails is a result."""
    fine = True
    if "tools" in bench.capabilities or bench.tools:
        name = "mcpweb-no-such-tool"
        request = {"method": "tools/call", "params": {"name": name, "arguments": {}}}
        older: Severity = "low" if bench.era == "handshake" else "medium"
        try:
            reply = bench.plain.session.call(name, {}, deadline_s=5.0)
        except RpcError as failure:
            if failure.rpc.get("code") != -32602:
                fine = False
                yield CheckResult(
                    "F08",
                    "fail",
                    f"An unknown tool is refused with {failure.rpc.get('code')}, not -32602.",
                    key="unknown",
                    severity="low",
                    evidence={"error": cut(failure.rpc)},
                    input=request,
                )
        except ServerTimeout:
            fine = False
            yield CheckResult(
                "F08", "fail", "A call of an unknown tool gets no answer.", key="unknown", timed_out=True, input=request
            )
        else:
            fine = False
            failed = isinstance(reply, Mapping) and reply.get("isError") is True
            yield CheckResult(
                "F08",
                "fail",
                "An unknown tool is answered with a result that says isError."
                if failed
                else "A call of an unknown tool succeeds.",
                key="unknown",
                severity=older if failed else "high",
                evidence={"reply": cut(reply)},
                input=request,
                next_step=AUTHOR + "answer the error -32602.",
            )
    if fine and (near := _near(bench)) is not None:
        fine = False
        name, reply = near
        yield CheckResult(
            "F08",
            "fail",
            f"There is no tool {name}, and a call of it succeeds.",
            key="near",
            evidence={"reply": cut(reply)},
            input={"method": "tools/call", "params": {"name": name}},
            next_step=AUTHOR + "answer the error -32602 to every name that is not listed.",
        )
    for attempt in _unmarked(bench):
        fine = False
        yield CheckResult(
            "F08",
            "fail",
            f"The tool says that it failed, and the result is not marked isError: {line(attempt.words)}",
            tool=attempt.tool,
            key="unmarked",
            severity="low",
            confidence="firm",
            evidence=attempt.told(),
            input=attempt.request,
            next_step=AUTHOR + "set isError in the result of a call that failed.",
            reproduce=reproduce(attempt),
        )
    for attempt in _protocol_errors(bench):
        fine = False
        yield CheckResult(
            "F08",
            "fail",
            f"The tool's own failure comes as the protocol error {attempt.code}: {line(attempt.words)}",
            tool=attempt.tool,
            key="failure",
            confidence="firm",
            evidence=attempt.told(),
            input=attempt.request,
            next_step=AUTHOR + "answer a result with isError, which a model can read and learn from.",
            reproduce=reproduce(attempt),
        )
    if not bench.tools:
        yield CheckResult("F08", "not_applicable", "There are no tools.")
    elif fine:
        yield CheckResult("F08", "pass", "An unknown tool is a protocol error, and tools fail with isError.")


def _near(bench: Bench) -> tuple[str, Any] | None:
    """Call names that are nearly those of tools: in another case, with a space, without their end; return one that works."""
    names = {str(one["name"]) for one in bench.tools}
    for definition in bench.tools[:4]:
        worked = bench.worked(str(definition["name"]))
        if worked is None or worked.trusted or worked.ms > 500:
            continue
        for name in (worked.tool.swapcase(), f" {worked.tool} ", worked.tool[:-1], f"{worked.tool}2"):
            if name in names or not name.strip():
                continue
            try:
                reply = bench.plain.session.call(name, worked.arguments, deadline_s=2.0)
            except Failure:
                continue
            if isinstance(reply, Mapping) and reply.get("isError") is not True:
                return name, reply
    return None


def _unmarked(bench: Bench) -> Iterator[Attempt]:
    """Yield for each tool a valid call whose result tells of a failure and does not say so: by its first words, or as JSON does.

    A tool that always speaks like that (it may report on the failures of others) is left alone.
    """
    for definition in bench.tools:
        tries = [
            one for one in bench.attempts if one.tool == definition["name"] and one.valid and one.outcome == "ok" and one.label
        ]
        found = [one for one in tries if tells_of_failure(one.words)]
        if found and (
            len(found) < len(tries) or any(one.outcome == "is_error" for one in bench.attempts if one.tool == found[0].tool)
        ):
            yield found[0]


def tells_of_failure(words: str) -> bool:
    """Tell whether a text begins as an error does, or is a JSON object that says it is one."""
    start = words.lstrip()[:200]
    if FAILURE.match(start):
        return True
    if not start.startswith("{"):
        return False
    try:
        said = json.loads(words) if len(words) < 100_000 else None
    except (ValueError, RecursionError):
        return False
    if not isinstance(said, dict) or len(said) > 6:
        return False
    told = said.get("error")
    return bool(told and told is not True) or any(said.get(key) is False for key in ("ok", "success"))


def _protocol_errors(bench: Bench) -> Iterator[Attempt]:
    """Yield for each tool a valid call that was answered with a protocol error that is not about the request.

    -32602 to what the schema allows is about the request where nothing of the kind ever works; where the same kind of input does,
    it is the tool that failed.
    """
    seen: set[str] = set()
    works = {one.tool for one in bench.attempts if one.valid and one.outcome == "ok"}
    for one in bench.attempts:
        about_request = one.code in (-32602, -32600, -32601, -32021, -32042, -32022, -32020)
        about_request = about_request and not (
            one.code == -32602 and one.tool in works and not VALIDATION.search(one.words.replace("-32602", ""))
        )
        if one.valid and one.outcome == "rpc_error" and not about_request and one.tool not in seen and one.label:
            seen.add(one.tool)
            yield one
