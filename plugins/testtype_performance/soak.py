"""P07: the same load for a while. Does memory go on growing, and is the server slower afterwards than a fresh one?

Every tool that may be called has its share of the time, in turns, so that a leak in any of them is in what is seen. Memory
is judged as a whole, because what a collector takes back it takes back in anybody's turn; where the whole grows, it is told
in whose turns it did. Tools that do not say they only read have a container of their own, without secrets.

A server that has just started fills its caches, so only what happens in the second half counts. Latency is not compared
over time, when the machine changes too, but side by side with a fresh container after the soak.
"""
from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Load, TestContext, TestSession

from . import compare
from . import statistics as st
from .measure import MIB, blamed
from .subject import Subject, answered, faults, said
from .target import Target, others

AT_ONCE = 4
CHUNK_S, SHORTEST_S = 1.0, 0.1
ROUNDS = 12  # at least, of all tools
LEAST_GROWTH = MIB // 2  # in the second half: what an allocator does by itself is less
KEPT_UP = 0.5  # of the first half's growth per call: less means it is flattening
STORED, ENTRY = 4, 4 << 10  # a tool that may change things may keep four times its input and so many bytes of each call
PART = 0.25  # of all growth in its turns: then a tool is named
AGED = 1.25  # the whole interval of aged over fresh above it: slower with use
QUADS = 60
LEAST_POINTS = 4  # in the second half


@dataclass
class Turns:
    """One tool's part in a soak: its calls, and memory that was gained in its turns, by calls of all tools."""

    target: Target
    at_a_time: int
    calls: int = 0
    gained: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Soaked:
    """What was seen of the soak: memory by calls made so far, and the latencies of each stretch of the first tool."""

    turns: list[Turns] = field(default_factory=list)
    points: list[tuple[int, int]] = field(default_factory=list)
    stretches: list[list[float]] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    limit: int = 0
    lost: str = ""
    last: str = ""  # the tool that was called last
    left_out: dict[str, str] = field(default_factory=dict)
    may_keep: int = 0  # bytes of each of a tool's calls

    def add(self, turns: Turns, load: Load) -> str:
        """Note a stretch; return why it is no use to go on with this tool."""
        self.calls += len(load.calls)
        self.last = turns.target.where
        turns.calls += len(load.calls)
        if turns is self.turns[0]:
            self.stretches.append(answered(load))
        bad = blamed(faults(load), len(load.calls))
        return said(bad) if bad else ""

    def gained(self, since: int) -> dict[str, int]:
        """Return by tool what memory was gained in its turns after so many calls of all, where that is part of the whole."""
        sums = {one.target.where: sum(size for calls, size in one.gained if calls > since) for one in self.turns}
        whole = sum(size for size in sums.values() if size > 0)
        may = {one.target.where: self.may_keep * one.calls * (1 - since / max(1, self.calls)) for one in self.turns}
        named = {tool: size for tool, size in sums.items() if size >= PART * whole > 0 and size > may[tool]}
        return dict(sorted(named.items(), key=lambda one: -one[1]))


def soak(context: TestContext, subject: Subject, target: Target) -> Iterator[CheckResult]:
    """Yield what is said of memory and of latency."""
    seconds, alone = subject.plan.soak_s, bool(subject.plan.tool)
    with subject.open() as session:
        more, left = ([], {}) if alone else others(context, session, target, reads=True)
        changing, why = ([], {}) if alone else _changing(context, subject, target)
        share = (1 + len(more)) / (1 + len(more) + len(changing))
        found = _carry_out(context, subject, session, [target, *more], seconds * share)
        found.left_out |= left | why
        yield from memory(found, session, target, seconds)
        yield from _soaked_apart(context, subject, target, changing, seconds * (1 - share))
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


def _changing(context: TestContext, subject: Subject, target: Target) -> tuple[list[Target], dict[str, str]]:
    """Return the tools that may change things and answer; they are tried where no secret is."""
    try:
        with subject.open(canaries=True) as session:
            return others(context, session, target, reads=False)
    except Failure as failure:
        return [], {"tools that do not say they only read": failure.sentence}


def _soaked_apart(
    context: TestContext, subject: Subject, target: Target, changing: Sequence[Target], seconds: float
) -> Iterator[CheckResult]:
    """Soak tools that may change things, in a container without secrets."""
    if not changing:
        return
    try:
        with subject.open(canaries=True) as session:
            found = _carry_out(context, subject, session, changing, seconds)
            found.may_keep = STORED * max(len(json.dumps(one.arguments, default=str)) for one in changing) + ENTRY
            yield from memory(found, session, changing[0], seconds, key="memory:changing")
    except Failure as failure:
        yield CheckResult("P07", "undecided", f"Tools that do not say they only read could not be soaked: {failure.sentence}",
                          key="memory:changing", evidence={"code": failure.code})


def _carry_out(
    context: TestContext, subject: Subject, session: TestSession, targets: Sequence[Target], seconds: float
) -> Soaked:
    found = Soaked(limit=context.config.limits.memory_mb * MIB)
    chunk_s = min(CHUNK_S, max(SHORTEST_S, seconds / ROUNDS / len(targets)))
    for target in targets:
        p50_ms = max(subject.warm(session, target), 0.05)
        found.turns.append(Turns(target, max(AT_ONCE, int(chunk_s * 1000 / p50_ms))))
    going, started = list(found.turns), time.monotonic()
    before = session.resident()
    while going and (spent := time.monotonic() - started) < seconds and context.remaining_s() > 20:
        context.progress(None, f"soaking, {spent:.0f} of {seconds:.0f} s")
        for turns in list(going):
            load = turns.target.load(session, calls=turns.at_a_time, concurrency=AT_ONCE, deadline_s=30.0)
            why, now = found.add(turns, load), session.resident()
            turns.gained.append((found.calls, now - before))
            turns.at_a_time = max(AT_ONCE, int(len(load.calls) * chunk_s / max(load.wall_s, 0.01)))
            before = now
            if why:
                going.remove(turns)
                found.left_out[turns.target.where] = why
            if why and (turns is found.turns[0] or not now):
                found.lost = why
                going.clear()
                break
        if before:
            found.points.append((found.calls, before))
    found.seconds = time.monotonic() - started
    return found


def memory(
    found: Soaked, session: TestSession, target: Target, wanted_s: float, *, key: str = "memory"
) -> Iterator[CheckResult]:
    """Say whether memory still grew when the soak ended, and in whose turns."""
    state = session.inspect()
    half = found.calls / 2
    second = [(float(calls), float(size)) for calls, size in found.points if calls >= half]
    first = [(float(calls), float(size)) for calls, size in found.points if calls <= half]
    tools = {one.target.name: one.calls for one in found.turns}
    requests = {one.target.where: one.target.request for one in found.turns}
    evidence: dict[str, Any] = {"seconds": round(found.seconds, 1), "calls": found.calls, "points": found.points[-200:],
                                "calls_by_tool": tools, "left_out": found.left_out, "oom_killed": state.oom_killed}

    def verdict(verdict: Any, summary: str, tool: str = target.where, **more: Any) -> CheckResult:
        request = requests.get(tool, target.request)
        told = {**evidence, "request": request}
        return CheckResult("P07", verdict, summary, tool=tool, key=key, input=request, evidence=told, **more)

    if state.oom_killed or not state.running:
        why = "needed more memory than its limit" if state.oom_killed else f"ended with exit code {state.exit_code}"
        blame = next(iter(found.gained(0)), found.last)
        yield verdict("fail", f"After {found.calls} calls the server {why}.", blame, severity="high",
                      next_step="Look for what each call leaves behind.")
        return
    if found.lost:
        yield verdict("fail", f"After {found.calls} calls, {AT_ONCE} at once, too many fail: {found.lost}",
                      next_step="Look at what a server that has worked for a while runs out of.")
        return
    if len(second) < LEAST_POINTS:
        yield verdict("undecided", f"{len(found.points)} samples of memory in {found.seconds:.0f} s tell no trend.",
                      next_step="Give it longer: {\"soak_s\": 60}.")
        return
    late = st.slope(second)
    early = st.slope(first).value if len(first) >= 3 else 0.0
    grown = late.value * (second[-1][0] - second[0][0])
    left = found.limit - second[-1][1]
    gained = found.gained(int(second[0][0]))
    evidence |= {"bytes_per_call": late.to_json(1), "bytes_per_call_at_first": round(early, 1), "grown_bytes": round(grown),
                 "gained_in_its_turns": gained}
    metrics = {"P07.bytes_per_call": late.value, "P07.memory_end_mb": second[-1][1] / MIB} if key == "memory" else {}
    told = f"{late.value:.0f} bytes a call (95 % interval {late.low:.0f} to {late.high:.0f}) "
    told += f"over the last half of {found.calls} calls"
    told += f" of {len(tools)} tools" if len(tools) > 1 else ""
    keeps_on = late.low > 0 and grown >= LEAST_GROWTH and late.value >= KEPT_UP * early
    if keeps_on and (gained or not found.may_keep):
        ends = f"; the limit is reached after {left / late.value:,.0f} more" if found.limit and left > 0 else ""
        for tool in list(gained)[:3] or [target.where if len(tools) < 2 else "*"]:
            whose = f", {gained[tool] / MIB:.1f} MiB of it in the turns of {tool}" if len(tools) > 1 and tool in gained else ""
            yield verdict("fail", f"Memory grows to the end of the soak: {told}{whose}{ends}.", tool, confidence="firm",
                          next_step="Look for what each call leaves behind: a list, a cache without bound, an open file.",
                          metrics=metrics)
            metrics = {}
        return
    word = "Memory does not grow without end" if wanted_s else "Memory"
    yield verdict("pass", f"{word}: {told}.", metrics=metrics)


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
