"""P07: the same load for a while. Does memory go on growing, and is the server slower afterwards than a fresh one?

A server that has just started fills its caches, so only what happens in the second half counts. Latency is not compared
over time, when the machine changes too, but side by side with a fresh container after the soak.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Load, TestContext, TestSession, Watch

from . import compare
from . import statistics as st
from .measure import MIB, blamed
from .subject import Subject, answered, faults, said
from .target import Target

AT_ONCE = 4
CHUNK_S = 1.0
LEAST_GROWTH = MIB // 2  # in the second half: what an allocator does by itself is less
KEPT_UP = 0.5  # of the first half's growth per call: less means it is flattening
AGED = 1.25  # the whole interval of aged over fresh above it: slower with use
QUADS = 60
LEAST_POINTS = 4  # in the second half


@dataclass
class Soaked:
    """What was seen of the soak: memory by calls made so far, and the latencies of each stretch."""

    points: list[tuple[int, int]] = field(default_factory=list)
    stretches: list[list[float]] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    limit: int = 0
    lost: str = ""

    def add(self, load: Load) -> bool:
        """Note a stretch; False when it is no use to go on."""
        self.calls += len(load.calls)
        self.stretches.append(answered(load))
        bad = blamed(faults(load), len(load.calls))
        self.lost = said(bad) if bad else ""
        return bad is None


def soak(context: TestContext, subject: Subject, target: Target) -> Iterator[CheckResult]:
    """Yield what is said of memory and of latency."""
    with subject.open() as session:
        found = _carry_out(context, subject, session, target)
        yield memory(found, session, target, subject.plan.soak_s)
        if found.lost:
            return
        context.progress(None, "comparing it with a fresh container")
        with subject.open() as fresh:
            subject.warm(fresh, target, compare.WARM_UP)
            try:
                calls = compare.caller(fresh, target), compare.caller(session, target)
                young, aged = compare.in_turns(*calls, QUADS, time.monotonic() + 10.0)
            except Failure as failure:
                yield CheckResult("P07", "undecided", f"It could not be compared with a fresh container: {failure.sentence}",
                                  key="latency", tool=target.where)
                return
            yield latency(found, young, aged, target, context.seed)


def _carry_out(context: TestContext, subject: Subject, session: TestSession, target: Target) -> Soaked:
    found, seconds = Soaked(), subject.plan.soak_s
    p50_ms = max(subject.warm(session, target), 0.05)
    started = time.monotonic()
    calls = max(AT_ONCE, int(CHUNK_S * 1000 / p50_ms))
    with session.watch() as watch:
        seen = 0
        while (spent := time.monotonic() - started) < seconds and context.remaining_s() > 20:
            context.progress(None, f"soaking, {spent:.0f} of {seconds:.0f} s")
            load = target.load(session, calls=calls, concurrency=AT_ONCE, deadline_s=30.0)
            going = found.add(load)
            seen = _sample(found, watch, seen)
            if not going:
                break
            calls = max(AT_ONCE, int(len(load.calls) * CHUNK_S / max(load.wall_s, 0.01)))
        found.seconds = time.monotonic() - started
    _sample(found, watch, seen)
    return found


def _sample(found: Soaked, watch: Watch, seen: int) -> int:
    samples = watch.samples()
    if len(samples) > seen:
        found.points.append((found.calls, samples[-1].memory_bytes))
        found.limit = samples[-1].memory_limit
    return len(samples)


def memory(found: Soaked, session: TestSession, target: Target, wanted_s: float) -> CheckResult:
    """Say whether memory still grew when the soak ended."""
    state = session.inspect()
    half = found.calls / 2
    second = [(float(calls), float(size)) for calls, size in found.points if calls >= half]
    first = [(float(calls), float(size)) for calls, size in found.points if calls <= half]
    evidence: dict[str, Any] = {"seconds": round(found.seconds, 1), "calls": found.calls, "points": found.points[-200:],
                                "request": target.request, "oom_killed": state.oom_killed}
    common: dict[str, Any] = {"tool": target.where, "key": "memory", "input": target.request, "evidence": evidence}
    if state.oom_killed or not state.running:
        why = "needed more memory than its limit" if state.oom_killed else f"ended with exit code {state.exit_code}"
        return CheckResult("P07", "fail", f"After {found.calls} calls the server {why}.", severity="high",
                           next_step="Look for what each call leaves behind.", **common)
    if found.lost:
        return CheckResult("P07", "fail", f"After {found.calls} calls, {AT_ONCE} at once, too many fail: {found.lost}",
                           next_step="Look at what a server that has worked for a while runs out of.", **common)
    if len(second) < LEAST_POINTS:
        return CheckResult("P07", "undecided", f"{len(found.points)} samples of memory in {found.seconds:.0f} s tell no trend.",
                           next_step="Give it longer: {\"soak_s\": 60}.", **common)
    late = st.slope(second)
    early = st.slope(first).value if len(first) >= 3 else 0.0
    grown = late.value * (second[-1][0] - second[0][0])
    left = found.limit - second[-1][1]
    evidence |= {"bytes_per_call": late.to_json(1), "bytes_per_call_at_first": round(early, 1), "grown_bytes": round(grown)}
    common["metrics"] = {"P07.bytes_per_call": late.value, "P07.memory_end_mb": second[-1][1] / MIB}
    told = f"{late.value:.0f} bytes a call (95 % interval {late.low:.0f} to {late.high:.0f}) "
    told += f"over the last half of {found.calls} calls"
    if late.low > 0 and grown >= LEAST_GROWTH and late.value >= KEPT_UP * early:
        ends = f"; the limit is reached after {left / late.value:,.0f} more" if found.limit and left > 0 else ""
        return CheckResult("P07", "fail", f"Memory grows to the end of the soak: {told}{ends}.", confidence="firm",
                           next_step="Look for what each call leaves behind: a list, a cache without bound, an open file.",
                           **common)
    word = "Memory does not grow without end" if wanted_s else "Memory"
    return CheckResult("P07", "pass", f"{word}: {told}.", **common)


def latency(found: Soaked, young: list[float], aged: list[float], target: Target, seed: int) -> CheckResult:
    """Say whether the server that has worked for a while is slower than one that has not; tell how p99 moved."""
    ratio = st.ratio_of([st.log_ratios(zip(young, aged, strict=True))], seed=seed)
    third = max(1, len(found.stretches) // 3)
    ends = [[one for stretch in part for one in stretch] for part in (found.stretches[:third], found.stretches[-third:])]
    evidence: dict[str, Any] = {"ratio": ratio.to_json(4), "bound": AGED, "calls_before": found.calls, "request": target.request}
    metrics = {"P07.aged_ratio": ratio.value}
    if all(ends):
        p99 = [st.quantile(part, 0.99) for part in ends]
        evidence["p99_ms"] = {"first_third": round(p99[0], 3), "last_third": round(p99[1], 3), "n": [len(part) for part in ends]}
        metrics["P07.p99_drift"] = p99[1] / max(p99[0], 1e-6)
    told = f"{ratio.value:.2f} times a fresh container's time (95 % interval {ratio.low:.2f} to {ratio.high:.2f})"
    common: dict[str, Any] = {"tool": target.where, "key": "latency", "input": target.request, "evidence": evidence,
                              "metrics": metrics, "confidence": "firm"}
    if ratio.low > AGED:
        return CheckResult("P07", "fail", f"After {found.calls} calls a call takes {told}.",
                           next_step="Look for what each call makes longer: a list that is searched, a log that is read.",
                           **common)
    return CheckResult("P07", "pass", f"After {found.calls} calls a call takes {told}.", **common)
