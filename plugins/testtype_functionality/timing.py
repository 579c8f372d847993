"""F12: cancelled calls."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mcpweb.plugin import CheckResult, Failure, RpcError, ServerTimeout, TestSession

from .base import Attempt, Bench, Lane, alive, cut, text_of
from .frames import AUTHOR
from .tools import DURATION

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
MOST_TRIED = 8


def cancelling(bench: Bench) -> Iterator[CheckResult]:
    """F12: after notifications/cancelled no result comes, and the session goes on."""
    if bench.context.config.transport == "http" and bench.era == "modern":
        yield CheckResult("F12", "not_applicable", "Over HTTP a modern client cancels by hanging up.")
        return
    lane: Lane | None = None
    found: CheckResult | None = None
    try:
        for definition, arguments, lasts in itertools.islice(_slow_calls(bench), MOST_TRIED):
            trusted = bench.lane(definition).trusted
            if lane is None or lane.trusted is not trusted:
                if lane is not None:
                    bench.over(lane)
                lane = Lane(bench.context, trusted=trusted)
            witnesses = _witnesses(bench, definition, trusted)
            found = _surely(partial(_cancelled_in, lane.session, definition, arguments, lasts, bench.context.busy, witnesses))
            if found is not None:
                break
        if found is None:
            found = _cancelled_after(bench.plain.session)
    finally:
        if lane is not None:
            bench.over(lane)
    yield found


def _cancelled_after(session: TestSession) -> CheckResult:
    """Cancel what is over: nothing comes of that."""
    pending = session.begin("tools/list", {})
    with contextlib.suppress(RpcError):
        pending.result(deadline_s=5.0)
    session.notify("notifications/cancelled", {"requestId": pending.request_id, "reason": "too late"})
    if alive(session):
        return CheckResult("F12", "not_applicable", "No tool takes long enough to be cancelled.")
    return CheckResult(
        "F12",
        "fail",
        "After a request that was over is cancelled, the session is over.",
        severity="high",
        input={"method": "notifications/cancelled", "params": {"requestId": pending.request_id}},
        next_step=AUTHOR + "ignore cancels of what is not under way.",
    )


def _witnesses(bench: Bench, definition: Mapping[str, Any], trusted: bool) -> list[Attempt]:
    """Return calls of other tools that only read: what they tell changes when work goes on that should have stopped."""
    found: dict[str, Attempt] = {}
    readers = {str(one["name"]) for one in bench.tools if (one.get("annotations") or {}).get("readOnlyHint") is True}
    for one in bench.attempts:
        if one.tool in readers and one.tool != definition["name"] and one.valid and one.outcome == "ok" and one.ms < 100:
            found.setdefault(one.tool, one)
    return [one for one in found.values() if one.trusted is trusted][:4]


def _told(session: TestSession, witnesses: Sequence[Attempt]) -> list[str]:
    said = []
    for one in witnesses:
        try:
            said.append(text_of(session.call(one.tool, one.arguments, deadline_s=3.0)))
        except (RpcError, ServerTimeout):
            said.append("")
    return said


def _surely(cancelled: Callable[[], CheckResult | None]) -> CheckResult | None:
    """Return the first decided try; what is late each time, on a machine however busy, is no accident."""
    tries = [cancelled()]
    while (last := tries[-1]) is not None and last.verdict == "undecided":
        if len(tries) == LATE_TRIES:
            return replace(last, verdict="fail", summary=f"{last.summary} It came {LATE_TRIES} times out of {LATE_TRIES}.")
        tries.append(cancelled())
    return last or next((one for one in tries if one is not None), None)


def _cancelled_in(
    session: TestSession,
    definition: Mapping[str, Any],
    arguments: dict[str, Any],
    lasts: float,
    busy: Callable[[], str],
    witnesses: Sequence[Attempt] = (),
) -> CheckResult | None:
    """Begin a call, cancel it and wait for what should not come; None when it was over too soon."""
    request: dict[str, Any] = {"method": "tools/call", "params": {"name": definition["name"], "arguments": arguments}}
    token = f"mcpweb-cancel-{time.monotonic_ns()}"
    before = _told(session, witnesses)
    pending = session.begin("tools/call", {**request["params"], "_meta": {"progressToken": token}})
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
    stopped = _told(session, witnesses)
    late = session.wait_frame(
        lambda frame: isinstance(frame.message, dict) and frame.message.get("id") == number and "method" not in frame.message,
        deadline_s=min(lasts + 0.7, 5.0),
    )
    found = _cancelled(definition, request, late, cancelled, alive(session), busy)
    if found.verdict != "pass":
        return found
    going = [one for one in session.frames() if one.at > cancelled + LATE_S * 1e9 and _progress_of(one.message, token)]
    went_on = ""
    if len(going) > 1:
        went_on = f"progress is told {len(going)} more times"
    later = _told(session, witnesses)
    for one, was, at_stop, now in zip(witnesses, before, stopped, later, strict=True):
        if was == at_stop != now and "" not in (was, now) and _told(session, [one]) == [now] and not went_on:
            went_on = f"{one.tool} tells of something new only then"
    if not went_on:
        return found
    why = busy()
    return replace(
        found,
        verdict="undecided" if why else "fail",
        severity="low" if going else None,
        summary=f"After the call was cancelled its work goes on: {went_on}. {why}".strip(),
        evidence={
            **found.evidence,
            "progress": cut([one.message for one in going[:5]]),
            "before": cut(stopped),
            "after": cut(later),
        },
        input=request,
        next_step=AUTHOR + "stop the work of a cancelled call, too.",
    )


def _progress_of(message: Any, token: str) -> bool:
    params = message.get("params") if isinstance(message, dict) and message.get("method") == "notifications/progress" else None
    return isinstance(params, dict) and params.get("progressToken") == token


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
        for name, schema in properties(definition).items():
            if not isinstance(schema, dict) or schema.get("type") not in ("integer", "number"):
                continue
            if not DURATION.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)):
                continue
            words = f"{name} {schema.get('description', '')} {definition.get('description', '')}".lower()
            wanted: int | float = next(value for unit, value in UNITS if unit.search(words))
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
    for definition in bench.tools:  # then those that may have much to do
        worked = bench.worked(str(definition["name"]))
        for name, schema in properties(definition).items() if worked is not None else ():
            most = schema.get("maximum") if isinstance(schema, dict) and schema.get("type") in ("integer", "number") else None
            if worked is not None and isinstance(most, int | float) and 1 < most <= 100_000:
                yield definition, {**worked.arguments, name: most}, 3.0


def properties(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = definition.get("inputSchema")
    given = schema.get("properties") if isinstance(schema, Mapping) else None
    return given if isinstance(given, Mapping) else {}
