"""The order of measuring: each container is used for all that it can tell, and a check that cannot be made says so."""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from mcpweb.plugin import (
    Cancelled,
    CheckResult,
    Failure,
    ImageMissing,
    InvalidInput,
    Load,
    PolicyRefused,
    RuntimeUnavailable,
    ServerTimeout,
    TestContext,
    TestError,
    TestSession,
    Timed,
    Unavailable,
)

from . import measure
from .compare import regression
from .growth import growth
from .measure import Measured
from .plan import Plan, deadline_s, plan_of
from .soak import soak
from .statistics import median
from .subject import LOST, CallFailed, Subject, answered, circumstances, harness_floor
from .target import Target, burst, choose

LONGEST_TOLD = 600
SAMPLED_S = 1.1  # samples come about once a second
_OURS = (Cancelled, ImageMissing, PolicyRefused, RuntimeUnavailable, Unavailable, InvalidInput)


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of P01 to P07. Raises InvalidInput for parameters that mean nothing."""
    plan = plan_of(context)
    floor: dict[str, float] = {}
    for result in _run(context, plan, floor):
        told = {**result.evidence, **circumstances(context, floor)} if result.verdict != "not_applicable" else result.evidence
        again = _again(context, result) if result.verdict in ("fail", "undecided") else ""
        yield replace(result, evidence=told, reproduce=result.reproduce or again)


def _again(context: TestContext, result: CheckResult) -> str:
    """Say with which parameters the same is measured again."""
    given, request = dict(context.parameters), result.input
    params = request.get("params") if isinstance(request, dict) else None
    if isinstance(params, dict) and "name" in params:
        given |= {"tool": params["name"], "arguments": params.get("arguments", {})}
    told = json.dumps(given, ensure_ascii=False)
    told = f"the parameters {told}" if len(told) <= LONGEST_TOLD else "the tool and the arguments that stand in the input"
    return f"Run the performance test in the profile {context.profile} with {told if given else 'no parameters'}."


def _run(context: TestContext, plan: Plan, floor: dict[str, float]) -> Iterator[CheckResult]:
    subject, measured = Subject(context, plan), Measured()
    context.progress(0.02, "measuring the harness itself")
    floor |= harness_floor(context, plan.floor)
    context.progress(0.05, "starting the first container")
    try:
        session = subject.open()
    except _OURS:
        raise
    except Failure as failure:
        yield CheckResult("P01", "fail", f"The server did not start: {failure.sentence}", severity="medium",
                          evidence={"code": failure.code, "stderr": str(getattr(failure, "stderr", ""))[-1000:]},
                          timed_out=isinstance(failure, ServerTimeout), next_step=failure.next_step or "Run the connection test.")
        yield from _skipped(("P02", "P03", "P04", "P05", "P06", "P07"), "The server did not start.")
        return
    measure.note_start(measured, session)
    try:
        target = choose(context, session, plan)
    except TestError as failure:
        yield measure.cold_start(measured, context.seed)
        yield measure.list_latency(measured, "", context.seed)
        yield from _skipped(("P03", "P04", "P05", "P06", "P07"), failure.sentence)
        return
    if target.canaries:
        subject.canaries = True
        session.close()
        session = subject.open()
    method = target.method if not target.tool else "tools/list"
    last = _sessions(context, subject, measured, session, target, method)
    yield measure.cold_start(measured, context.seed)
    yield measure.list_latency(measured, method, context.seed)
    yield from guarded("P03", lambda: unless_busy(context, measure.call_latency(measured, target, floor, context.seed)))
    yield from _loaded(context, subject, measured, last, target, floor)
    yield from _compared(context, subject, target)
    yield from _soaked(context, subject, target)


def _sessions(
    context: TestContext, subject: Subject, measured: Measured, session: TestSession, target: Target, method: str
) -> TestSession | None:
    """Make the calls of each session, each in a container of its own; return the last one, still open."""
    plan, last = subject.plan, None
    for at in range(plan.sessions):
        context.progress(0.05 + 0.35 * at / plan.sessions, f"session {at + 1} of {plan.sessions}")
        if at:
            try:
                session = subject.open()
            except _OURS:
                raise
            except Failure as failure:
                measured.refused.append(failure.sentence)
                continue
            measure.note_start(measured, session)
        measured.lists.append(answered(burst(session, method, plan.lists, 1, 10.0)))
        failed: list[Timed] = []
        try:
            p50_ms = subject.warm(session, target, failed=failed)
        except CallFailed as failure:
            measured.loads.append(Load(tuple(failed) or (failure.timed,), 0.0))
            session.close()
            break
        measured.loads += [Load(tuple(failed), 0.0)] if failed else []
        calls = max(3, min(plan.calls, int(plan.call_s * 1000 / max(p50_ms, 0.01))))
        measured.loads.append(target.load(session, calls=calls, deadline_s=deadline_s(plan, p50_ms)))
        if any(one.outcome in LOST for one in measured.loads[-1].calls):
            session.close()
            break  # what loses replies one at a time is not loaded any more
        if last is not None:
            last.close()
        last = session
        if context.remaining_s() < 20:
            break
    return last


def _loaded(
    context: TestContext, subject: Subject, measured: Measured, session: TestSession | None, target: Target,
    floor: dict[str, float],
) -> Iterator[CheckResult]:
    """P04 and P05 share the load: one counts calls, the other what they cost."""
    took = [one for load in measured.loads for one in answered(load)]
    if session is None or not took:
        yield from _skipped(("P04", "P05"), "Calls fail one at a time, so there was no load.", verdict="undecided")
        return
    plan = subject.plan
    context.progress(0.45, f"{target.name}, {', '.join(map(str, plan.concurrency))} at once")
    most_s = min(len(plan.concurrency) * plan.level_s * 3, context.remaining_s() / 2)
    with session:
        try:
            with session.watch() as watch:
                found = measure.levels(session, target, plan, median(took), most_s)
                held = measure.hold(session, target, found, SAMPLED_S)
        except Failure as failure:
            yield from _skipped(("P04", "P05"), f"It could not be loaded: {failure.sentence}", verdict="undecided")
            return
        yield unless_busy(context, measure.throughput(found, target, plan.concurrency, floor))
        calls = held + sum(len(level.load.calls) for level in found)
        yield from guarded("P05", lambda: measure.usage(watch.samples(), session, calls))
        if session.inspect().running:
            yield from growth(context, subject, session)


def _compared(context: TestContext, subject: Subject, target: Target) -> Iterator[CheckResult]:
    if context.baseline is None:
        yield from _skipped(("P06",), 'No baseline is named: {"baseline": {"image": …}} or {"baseline": {"configuration": …}}.')
        return
    context.progress(0.6, "comparing with the baseline")
    share_s = context.remaining_s() * 0.6
    yield from guarded("P06", lambda: regression(context, subject, target, share_s))


def _soaked(context: TestContext, subject: Subject, target: Target) -> Iterator[CheckResult]:
    if not subject.plan.soak_s:
        yield from _skipped(("P07",), "A soak is part of the profile full.")
        return
    context.progress(0.8, "soaking")
    try:
        yield from soak(context, subject, target)
    except Failure as failure:
        yield CheckResult("P07", "undecided", f"It could not be decided: {failure.sentence}", key="memory",
                          tool=target.where, evidence={"code": failure.code})


def _skipped(checks: tuple[str, ...], why: str, *, verdict: Any = "not_applicable") -> Iterator[CheckResult]:
    for check_id in checks:
        yield CheckResult(check_id, verdict, why)


def unless_busy(context: TestContext, result: CheckResult) -> CheckResult:
    """Leave open what only the clock decided, on a machine that has no time for us either."""
    why = context.busy() if result.verdict == "fail" and result.timed_out else ""
    return replace(result, verdict="undecided", summary=f"{result.summary} {why}") if why else result


def guarded(check_id: str, check: Callable[[], CheckResult]) -> Iterator[CheckResult]:
    """Yield the verdict; a check that cannot decide says so and the next one runs."""
    started = time.monotonic()
    try:
        yield check()
    except Failure as failure:
        yield CheckResult(check_id, "undecided", f"It could not be decided: {failure.sentence}", evidence={"code": failure.code},
                          timed_out=isinstance(failure, ServerTimeout), duration_ms=(time.monotonic() - started) * 1000)
