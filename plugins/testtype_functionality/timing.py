"""F12, F19 and F20: cancelled calls, calls at the same time, large messages."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from mcpweb.plugin import CheckResult, Failure, RpcError, ServerTimeout, TestSession

from .base import Attempt, Bench, Lane, alive, cut, text_of
from .frames import AUTHOR
from .tools import DURATION

AT_ONCE = 16
LATE_TRIES = 3
LATE_S = 0.25  # a reply that was on its way when the cancel came
SLOW_MS = 700.0
UNITS = tuple(
    (re.compile(unit), value)
    for unit, value in (  # what makes a call last about a second
        (r"\bms\b|_ms\b|millis", 1200.0),
        (r"\bminutes?\b", 0.02),
        (r"\bhours?\b", 0.001),
        ("", 1.2),
    )
)
MOST_TRIED = 3
MEGABYTE = 1_000_000
LARGE_S = 10.0
PATIENCE_S = 15.0  # for the next answer of a server that still chews on ten megabytes


def cancelling(bench: Bench) -> Iterator[CheckResult]:
    """F12: after notifications/cancelled no result comes, and the session goes on."""
    if bench.context.config.transport == "http" and bench.era == "modern":
        yield CheckResult("F12", "not_applicable", "Over HTTP a modern client cancels by hanging up.")
        return
    for definition, arguments, lasts in itertools.islice(_slow_calls(bench), MOST_TRIED):
        lane = Lane(bench.context, trusted=bench.lane(definition).trusted)
        try:
            found = _surely(partial(_cancelled_in, lane.session, definition, arguments, lasts, bench.context.busy))
        finally:
            lane.end()
        if found is not None:
            yield found
            return
    yield CheckResult("F12", "not_applicable", "No tool takes long enough to be cancelled.")


def _surely(cancelled: Callable[[], CheckResult | None]) -> CheckResult | None:
    """Return the first decided try; what is late each time, on a machine however busy, is no accident."""
    tries = [cancelled()]
    while (last := tries[-1]) is not None and last.verdict == "undecided":
        if len(tries) == LATE_TRIES:
            return replace(last, verdict="fail", summary=f"{last.summary} It came {LATE_TRIES} times out of {LATE_TRIES}.")
        tries.append(cancelled())
    return last or next((one for one in tries if one is not None), None)


def _cancelled_in(
    session: TestSession, definition: Mapping[str, Any], arguments: dict[str, Any], lasts: float, busy: Callable[[], str]
) -> CheckResult | None:
    """Begin a call, cancel it and wait for what should not come; None when it was over too soon."""
    request: dict[str, Any] = {"method": "tools/call", "params": {"name": definition["name"], "arguments": arguments}}
    pending = session.begin("tools/call", request["params"])
    try:
        pending.result(deadline_s=0.3)
        return None
    except ServerTimeout:
        pass
    except RpcError:
        return None
    pending.cancel("mcpweb tests cancelling")
    cancelled = time.monotonic_ns()
    number = pending.request_id
    late = session.wait_frame(
        lambda frame: isinstance(frame.message, dict) and frame.message.get("id") == number and "method" not in frame.message,
        deadline_s=min(lasts + 0.7, 5.0),
    )
    return _cancelled(definition, request, late, cancelled, alive(session), busy)


def _cancelled(
    definition: Mapping[str, Any], request: Any, late: Any, cancelled: int, still: bool, busy: Callable[[], str]
) -> CheckResult:
    tool = str(definition["name"])
    after = (late.at - cancelled) / 1e6 if late is not None else None
    evidence = {"reply": cut(late.message) if late is not None else None, "after_ms": after, "alive": still}
    if not still:
        return CheckResult(
            "F12",
            "fail",
            "After a cancelled call the session is over.",
            tool=tool,
            severity="high",
            evidence=evidence,
            input=request,
            next_step=AUTHOR + "a cancelled call ends, and nothing else does.",
        )
    if late is not None and after is not None and after > LATE_S * 1000 and "result" in late.message:
        why = busy()
        return CheckResult(
            "F12",
            "undecided" if why else "fail",
            f"A result comes {after:.0f} ms after the call was cancelled. {why}".strip(),
            tool=tool,
            evidence=evidence,
            input=request,
            next_step=AUTHOR + "stop the work, and send no reply.",
        )
    if late is not None and "error" in late.message:
        return CheckResult(
            "F12",
            "fail",
            "A cancelled call is answered with an error.",
            tool=tool,
            severity="info",
            evidence=evidence,
            input=request,
            next_step=AUTHOR + "no reply is sent to a cancelled request.",
        )
    return CheckResult("F12", "pass", "A cancelled call sends no result, and the session goes on.", tool=tool, evidence=evidence)


def _slow_calls(bench: Bench) -> Iterator[tuple[Mapping[str, Any], dict[str, Any], float]]:
    """Yield calls that take a while, and how many seconds: those whose arguments say for how long, then those that did."""
    by_name = {str(one["name"]): one for one in bench.tools}
    for definition in bench.tools:
        for name, schema in _properties(definition).items():
            if not isinstance(schema, dict) or schema.get("type") not in ("integer", "number"):
                continue
            if not DURATION.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)):
                continue
            words = f"{name} {schema.get('description', '')} {definition.get('description', '')}".lower()
            wanted = next(value for unit, value in UNITS if unit.search(words))
            wanted = min(wanted, schema.get("maximum", wanted)) if isinstance(schema.get("maximum"), int | float) else wanted
            wanted = max(wanted, schema.get("minimum", wanted)) if isinstance(schema.get("minimum"), int | float) else wanted
            worked = bench.worked(str(definition["name"])) or next(
                (one for one in bench.attempts if one.tool == definition["name"] and one.valid), None
            )
            base = dict(worked.arguments) if worked is not None else {}
            arguments = {**base, name: math.ceil(wanted) if schema["type"] == "integer" else wanted}
            try:
                if not bench.context.value_faults(definition["inputSchema"], arguments):
                    yield definition, arguments, 2.0
            except Failure:
                continue
    slow = [
        one
        for one in bench.attempts
        if one.valid and one.outcome in ("ok", "timeout") and one.ms > SLOW_MS and one.tool in by_name
    ]
    for chosen in sorted(slow, key=lambda one: one.ms, reverse=True):
        yield by_name[chosen.tool], dict(chosen.arguments), chosen.ms / 1000


def _properties(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = definition.get("inputSchema")
    given = schema.get("properties") if isinstance(schema, Mapping) else None
    return given if isinstance(given, Mapping) else {}


def at_once(bench: Bench) -> Iterator[CheckResult]:
    """F19: each of sixteen calls at the same time gets its own answer, once."""
    chosen = _telling(bench)
    lane = Lane(bench.context, trusted=bench.lane(chosen[0]).trusted if chosen else bench.plain.trusted)
    try:
        session = lane.session
        if chosen is None:
            begun = [session.begin("tools/list", {}) for _ in range(AT_ONCE)]
            for pending in begun:
                pending.result(deadline_s=5.0)
            yield _ids(session, [pending.request_id for pending in begun], None, "16 lists at the same time came, each once.")
            return
        definition, inputs = chosen
        name = str(definition["name"])
        alone = {at: text_of(session.call(name, arguments, deadline_s=5.0)) for at, arguments in enumerate(inputs)}
        alone_again = text_of(session.call(name, inputs[0], deadline_s=5.0))
        if len(set(alone.values())) < len(inputs) or alone_again != alone[0]:
            begun = [session.begin("tools/call", {"name": name, "arguments": inputs[at % len(inputs)]}) for at in range(AT_ONCE)]
            for pending in begun:
                pending.result(deadline_s=8.0)
            yield _ids(
                session, [pending.request_id for pending in begun], name, "16 calls at the same time were answered, each once."
            )
            return
        begun = [session.begin("tools/call", {"name": name, "arguments": inputs[at % len(inputs)]}) for at in range(AT_ONCE)]
        mixed: list[dict[str, Any]] = []
        numbers = [pending.request_id for pending in begun]
        for at, pending in enumerate(begun):
            try:
                got = text_of(pending.result(deadline_s=8.0))
            except (RpcError, ServerTimeout) as failure:
                mixed.append(
                    {"call": at, "arguments": cut(inputs[at % len(inputs)]), "got": failure.sentence, "whose": "nobody's",
                     "late": isinstance(failure, ServerTimeout)}
                )
                continue
            if got != alone[at % len(inputs)]:
                whose = [str(inputs[other]) for other, text in alone.items() if text == got]
                mixed.append(
                    {"call": at, "arguments": cut(inputs[at % len(inputs)]), "got": got[:200], "whose": whose[:1] or "nobody's"}
                )
        if mixed and any(text_of(session.call(name, inputs[at], deadline_s=5.0)) != text for at, text in alone.items()):
            yield _ids(session, numbers, name, f"{AT_ONCE} calls at the same time were answered, each once.")  # it tells the time
        elif any(one["whose"] != "nobody's" for one in mixed):
            yield CheckResult(
                "F19",
                "fail",
                f"{len(mixed)} of {AT_ONCE} calls at the same time got another call's answer.",
                tool=name,
                evidence={"mixed": mixed[:6]},
                input=[one["arguments"] for one in mixed[:2]],
                next_step=AUTHOR + "answer each request with its own id; keep no request in a shared variable.",
            )
        elif mixed:
            why = bench.context.busy() if all(one.get("late") for one in mixed) else ""
            yield CheckResult(
                "F19",
                "undecided" if why else "fail",
                f"{len(mixed)} of {AT_ONCE} calls at the same time got another answer than alone. {why}".strip(),
                tool=name,
                severity="medium",
                confidence="firm",
                evidence={"mixed": mixed[:6]},
                input=inputs[:2],
            )
        else:
            yield _ids(
                session,
                [pending.request_id for pending in begun],
                name,
                f"{AT_ONCE} calls at the same time got their own answers.",
            )
    finally:
        lane.end()


def _ids(session: TestSession, numbers: list[Any], tool: str | None, said: str) -> CheckResult:
    counts = dict.fromkeys(numbers, 0)
    for frame in session.frames():
        message = frame.message
        if frame.direction == "received" and isinstance(message, dict) and "method" not in message:
            number = message.get("id")
            if isinstance(number, str | int) and number in counts:
                counts[number] += 1
    wrong = {str(number): count for number, count in counts.items() if count > 1}
    if wrong:
        return CheckResult(
            "F19",
            "fail",
            f"{len(wrong)} requests were answered more than once.",
            tool=tool or "*",
            evidence={"answers": wrong},
            next_step=AUTHOR + "answer each request once.",
        )
    return CheckResult("F19", "pass", said, tool=tool or "*", evidence={"ids": len(counts)})


def _telling(bench: Bench) -> tuple[Mapping[str, Any], list[dict[str, Any]]] | None:
    """Return a tool whose answers tell their calls apart, and up to four inputs for it."""
    for definition in bench.tools:
        worked = bench.worked(str(definition["name"]))
        if worked is None or worked.ms > 300:
            continue
        made: list[dict[str, Any]] = []
        for name, value in worked.arguments.items():
            if isinstance(value, str):
                made = [{**worked.arguments, name: f"{value}{mark}"} for mark in ("", "-one", "-two", "-three")]
            elif isinstance(value, int | float) and not isinstance(value, bool):
                made = [{**worked.arguments, name: value + step} for step in range(4)]
            if made and _fits(bench, definition, made) and _differ(bench, definition, made):
                return definition, made
        told = {
            one.words: dict(one.arguments)
            for one in bench.attempts
            if one.tool == definition["name"] and one.valid and one.outcome == "ok" and one.ms < 300 and len(one.words) < 10_000
        }
        if len(told) > 1:
            return definition, list(told.values())[:4]
    return None


def _fits(bench: Bench, definition: Mapping[str, Any], inputs: list[dict[str, Any]]) -> bool:
    try:
        return not any(bench.context.value_faults(definition["inputSchema"], one) for one in inputs)
    except Failure:
        return False


def _differ(bench: Bench, definition: Mapping[str, Any], inputs: list[dict[str, Any]]) -> bool:
    tries = [bench.lane(definition).call(str(definition["name"]), one, deadline_s=2.0) for one in inputs[:2]]
    return all(one.outcome == "ok" for one in tries) and tries[0].words != tries[1].words


def large(bench: Bench) -> Iterator[CheckResult]:
    """F20: one and ten megabytes are taken, or refused; what comes back is whole, or says that it is not."""
    chosen = _taking_text(bench)
    if chosen is None:
        yield CheckResult("F20", "not_applicable", "No tool takes a text without a bound.")
        return
    definition, worked, name, echoes = chosen
    tool = str(definition["name"])
    lane = Lane(bench.context, trusted=bench.lane(definition).trusted)
    seen: dict[str, Any] = {"returns_text": echoes}
    try:
        bound = _properties(definition)[name].get("maxLength", 1 << 30)
        for size in (MEGABYTE, 10 * MEGABYTE):
            if size > bound:
                break
            text = _text(size)
            attempt = lane.call(tool, {**worked.arguments, name: text}, deadline_s=LARGE_S, patience_s=PATIENCE_S)
            seen[f"{size // MEGABYTE} MB"] = {
                "outcome": attempt.outcome,
                "ms": round(attempt.ms),
                "characters": len(attempt.words),
            }
            request = {
                "method": "tools/call",
                "params": {"name": tool, "arguments": {**worked.arguments, name: f"({size} characters)"}},
            }
            if attempt.given_up:
                yield CheckResult(
                    "F20",
                    "undecided",
                    f"A reply of {size // MEGABYTE} MB is more than a session takes.",
                    tool=tool,
                    evidence=seen,
                )
                return
            if attempt.outcome in ("gone", "timeout") and not _refused_http(attempt):
                if attempt.outcome == "timeout" and lane.current is not None and size > MEGABYTE:
                    late = f"It takes more than {LARGE_S:g} s to take {size // MEGABYTE} MB, and goes on."
                    yield CheckResult("F20", "undecided", late, tool=tool, evidence=seen, timed_out=True)
                    return
                said = "ends the server" if attempt.outcome == "gone" else "gets no answer"
                why = bench.context.busy() if attempt.outcome == "timeout" else ""
                yield CheckResult(
                    "F20",
                    "undecided" if why else "fail",
                    f"An argument of {size // MEGABYTE} MB {said}. {why}".strip(),
                    tool=tool,
                    evidence=seen,
                    input=request,
                    severity="medium" if size == MEGABYTE else "low",
                    timed_out=attempt.outcome == "timeout",
                    next_step=AUTHOR + "read lines of any length, or refuse those that are too long.",
                )
                return
            if echoes and attempt.outcome == "ok" and text not in attempt.words and _cut_in_silence(text, attempt.words):
                yield CheckResult(
                    "F20",
                    "fail",
                    f"A text of {size // MEGABYTE} MB comes back cut, and nothing says so.",
                    tool=tool,
                    evidence=seen,
                    input=request,
                    next_step=AUTHOR + "return all of it, or say that it was cut.",
                )
                return
        yield CheckResult(
            "F20",
            "pass",
            "1 MB and 10 MB are taken or refused, and nothing is cut in silence.",
            tool=tool,
            evidence=seen,
            metrics={f"F20.{size}_ms": seen[f"{size} MB"]["ms"] for size in (1, 10) if f"{size} MB" in seen},
        )
    finally:
        lane.end()


def _refused_http(attempt: Attempt) -> bool:
    return "413" in attempt.why


def _text(size: int) -> str:
    """Return a text in which every piece tells where it stands."""
    return "".join(f"{at:09d}," for at in range(size // 10))


def _cut_in_silence(sent: str, got: str) -> bool:
    """Tell whether the answer holds the text's beginning, and ends in the midst of it."""
    return sent[:200] in got and len(got) < len(sent) and got.rstrip("\"'`\n )]}")[-30:] in sent


def _taking_text(bench: Bench) -> tuple[Mapping[str, Any], Attempt, str, bool] | None:
    """Return a tool with a text argument without a bound; best one whose result holds what it is given."""
    found = None
    for definition in bench.tools:
        worked = bench.worked(str(definition["name"]))
        for name, schema in _properties(definition).items():
            if worked is None or not isinstance(schema, dict) or schema.get("type") != "string":
                continue
            if "enum" in schema or "pattern" in schema or "format" in schema or schema.get("maxLength", 1 << 30) < MEGABYTE:
                continue
            value = worked.arguments.get(name)
            if isinstance(value, str) and len(value) > 3 and value in worked.words:
                return definition, worked, name, True
            found = found or (definition, worked, name, False)
    return found
