"""P01 to P05: numbers of fresh containers, each with its interval, and what of them is a fault of the server."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Load, Stats, TestSession, Timed

from . import statistics as st
from .plan import Plan, deadline_s
from .subject import LOST, answered, counted, faults, said
from .target import Target

FROM_N_P99 = 500
MOST_ERRORS = 0.01  # of the calls; two are forgiven however few there are
FORGIVEN = 2
NEAR = 0.9  # of a limit
NEAR_FLOOR = 0.4  # of what the harness makes against a peer that costs nothing: it is the limit, too
STEPS = ("create", "secrets", "attach", "start", "listening", "handshake")
MIB = 1 << 20


@dataclass
class Measured:
    """What the sessions told so far."""

    starts: list[dict[str, float]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # starts that failed
    silent: bool = False
    lists: list[list[float]] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)


def note_start(measured: Measured, session: TestSession) -> None:
    steps = {step: float(session.timings_ms[step]) for step in STEPS if step in session.timings_ms}
    measured.starts.append(steps)
    measured.silent = measured.silent or session.silent_probe


def cold_start(measured: Measured, seed: int) -> CheckResult:
    """P01: from nothing to an agreed session."""
    # a server that ignores the probe is asked once, and that wait is not its start
    counted_in = measured.starts[1:] if measured.silent and len(measured.starts) > 1 else measured.starts
    totals = [sum(steps.values()) for steps in counted_in]
    evidence: dict[str, Any] = {"n": len(totals), "starts_ms": [_rounded(steps) for steps in measured.starts]}
    if measured.refused:
        evidence["failed"] = measured.refused
        tried = len(measured.starts) + len(measured.refused)
        return CheckResult("P01", "fail", f"{len(measured.refused)} of {tried} starts failed: {measured.refused[0]}",
                           severity="medium", evidence=evidence,
                           next_step="Read the server's last words on stderr; a start must not depend on luck.")
    whole = st.bootstrap([[one] for one in totals], st.at(0.5), seed=seed)
    medians = {step: st.median([one[step] for one in counted_in]) for step in STEPS if all(step in one for one in counted_in)}
    evidence |= {"total_ms": whole.to_json(1), "median_ms": _rounded(medians)}
    return CheckResult(
        "P01", "pass", f"A new container can be used after {_ms(whole.value)} (median of n = {len(totals)}; "
        f"its slowest step, {max(medians, key=lambda step: medians[step])}, takes {_ms(max(medians.values()))}).",
        evidence=evidence, duration_ms=whole.value,
        metrics={"P01.cold_start_ms": whole.value, "P01.handshake_ms": medians["handshake"]},
    )


def list_latency(measured: Measured, method: str, seed: int) -> CheckResult:
    """P02: the agreement, and a list."""
    counted_in = measured.starts[1:] if measured.silent and len(measured.starts) > 1 else measured.starts
    agreed = st.bootstrap([[steps["handshake"]] for steps in counted_in], st.at(0.5), seed=seed)
    n = sum(len(one) for one in measured.lists)
    evidence: dict[str, Any] = {"handshake_ms": agreed.to_json(), "handshakes": len(counted_in), "method": method, "n": n}
    metrics = {"P02.handshake_ms": agreed.value}
    told = f"The handshake takes {_ms(agreed.value)} (n = {len(counted_in)})"
    if measured.silent:
        evidence["silent_probe"] = True
        told += ", seconds more where the era is not known yet, because server/discover gets no answer"
    if n:
        p50, p95 = (st.bootstrap(measured.lists, st.at(share), seed=seed, block=5) for share in (0.5, 0.95))
        evidence |= {"list_p50_ms": p50.to_json(), "list_p95_ms": p95.to_json()}
        metrics |= {"P02.list_p50_ms": p50.value, "P02.list_p95_ms": p95.value}
        told += f"; {method} takes {_ms(p50.value)} (p95 {_ms(p95.value)}, n = {n})"
    return CheckResult("P02", "pass", told + ".", evidence=evidence, input={"method": method}, metrics=metrics)


def call_latency(measured: Measured, target: Target, floor: Mapping[str, float], seed: int) -> CheckResult:
    """P03: one call at a time."""
    groups = [group for load in measured.loads if (group := answered(load))]
    n, made = sum(len(group) for group in groups), sum(len(load.calls) for load in measured.loads)
    wrong = [one for load in measured.loads for one in faults(load)]
    evidence: dict[str, Any] = {"request": target.request, "sessions": len(groups), "n": n, "note": target.note}
    metrics: dict[str, float] = {"P03.error_share": len(wrong) / made if made else 0.0}
    told = ""
    if n:
        shares = {"p50": 0.5, "p95": 0.95} | ({"p99": 0.99} if n >= FROM_N_P99 else {})
        found = {name: st.bootstrap(groups, st.at(share), seed=seed) for name, share in shares.items()}
        evidence |= {f"{name}_ms": one.to_json() for name, one in found.items()}
        metrics |= {f"P03.{name}_ms": one.value for name, one in found.items()}
        told = f"{target.name}: " + ", ".join(
            f"{name} {_ms(one.value)} ({one.low:.3g} to {one.high:.3g})" for name, one in found.items()
        ) + f", n = {n} in {len(groups)} sessions"
        told += f"; the harness alone costs {_ms(floor['p50_ms'])}." if floor else "."
    bad = blamed(wrong, made) or (wrong[0] if wrong and not n else None)
    if bad:
        evidence["outcomes"] = counted([one for load in measured.loads for one in load.calls])
        failed = f"{len(wrong)} of {made} calls, one at a time, failed: {said(bad)}"
        return CheckResult(
            "P03", "fail", f"{failed} {told}".strip(), tool=target.where,
            severity="medium", evidence=evidence, input=target.request, timed_out=bad.outcome == "timeout", metrics=metrics,
            next_step="Call it some hundred times in a row: what was answered once must be answered again.",
        )
    told += f" {target.note}" if target.note else ""
    return CheckResult("P03", "pass", told, tool=target.where, evidence=evidence, input=target.request, metrics=metrics,
                       duration_ms=metrics.get("P03.p50_ms"))


def blamed(wrong: Sequence[Timed], made: int) -> Timed | None:
    """Return the failed call that is told of when there are too many: no reply at all is always too much."""
    lost = [one for one in wrong if one.outcome in LOST]
    if lost:
        return lost[0]
    return wrong[0] if len(wrong) > max(FORGIVEN, MOST_ERRORS * made) else None


@dataclass(frozen=True)
class Level:
    """The calls at one concurrency."""

    at_once: int
    load: Load

    @property
    def rate(self) -> float:
        return len(answered(self.load)) / self.load.wall_s if self.load.wall_s > 0 else 0.0


def levels(session: TestSession, target: Target, plan: Plan, p50_ms: float, most_s: float) -> list[Level]:
    """Load the server with more and more calls at once, each level about as long as planned, all in about ``most_s``."""
    found: list[Level] = []
    rate, spent = 1000 / max(p50_ms, 0.05), 0.0
    for at_once in plan.concurrency:
        if found and spent + max(at_once / rate, plan.level_s) > most_s:
            break
        calls = max(at_once, min(int(rate * plan.level_s * (1.5 if found else 1)), 20_000))
        load = target.load(session, calls=calls, concurrency=at_once, deadline_s=deadline_s(plan, p50_ms))
        found.append(Level(at_once, load))
        spent += load.wall_s
        rate = max(found[-1].rate, 0.1)
        if any(one.outcome in LOST for one in load.calls):
            break
    return found


def hold(session: TestSession, target: Target, found: Sequence[Level], seconds: float) -> int:
    """Keep the last level's load up until all levels together lasted so long, so that it is sampled; return its calls."""
    left, last = seconds - sum(level.load.wall_s for level in found), found[-1]
    if left <= 0 or faults(last.load):
        return 0
    calls = max(1, int(last.rate * left))
    return len(target.load(session, calls=calls, concurrency=last.at_once, deadline_s=10.0).calls)


def throughput(
    found: Sequence[Level], target: Target, concurrency: Sequence[int], floor: Mapping[str, float]
) -> CheckResult:
    """P04: how much it takes on at once, and where more at once stops to help."""
    rates = {level.at_once: level.rate for level in found}
    rows = []
    for level in found:
        took = answered(level.load)
        row: dict[str, Any] = {"at_once": level.at_once, "calls": len(level.load.calls), "calls_per_s": round(level.rate, 1),
                               "failed": len(faults(level.load))}
        rows.append(row | ({"p50_ms": round(st.median(took), 3), "p95_ms": round(st.quantile(took, 0.95), 3)} if took else {}))
    knee, most = st.knee(rates), max(rates)
    best = max(rates, key=lambda at_once: rates[at_once])
    metrics = {f"P04.calls_per_s_{at_once}": rate for at_once, rate in rates.items()} | {"P04.knee": float(knee)}
    wrong = [one for level in found for one in faults(level.load)]
    metrics["P04.error_share"] = len(wrong) / max(1, sum(len(level.load.calls) for level in found))
    evidence = {"request": target.request, "levels": rows, "knee": knee, "left_out": [n for n in concurrency if n not in rates]}
    told = f"At most {rates[best]:.0f} calls/s, with {best} at once; "
    if knee == most and most > 1:
        told += f"no knee up to {most} at once."
    else:
        told += f"the knee is at {knee}: more at once gains less than a quarter."
    if rates[best] >= NEAR_FLOOR * floor.get("calls_per_s", float("inf")):
        told += f" It may take more: the harness itself makes {floor['calls_per_s']:.0f} calls/s."
    if evidence["left_out"]:
        told += f" Too slow to be measured with more than {most} at once."
    one = next((level for level in found if level.at_once == 1), None)
    alone = bool(one and blamed(faults(one.load), len(one.load.calls)))
    for level in found:
        bad = blamed(faults(level.load), len(level.load.calls))
        if bad and level.at_once > 1 and not alone:
            failed = len(faults(level.load))
            words = f"{failed} of {len(level.load.calls)} calls fail with {level.at_once} at once, and not alone: {said(bad)}"
            return CheckResult(
                "P04", "fail", words, tool=target.where, severity="medium", evidence=evidence, input=target.request,
                metrics=metrics, timed_out=bad.outcome == "timeout",
                next_step="Let calls wait for one another where they must; clients do send several at once.",
            )
    return CheckResult("P04", "pass", told, tool=target.where, evidence=evidence, input=target.request, metrics=metrics)


def usage(samples: Sequence[Stats], session: TestSession, calls: int) -> CheckResult:
    """P05: what the load took of what the container may have."""
    state = session.inspect()
    limit = max((one.memory_limit for one in samples), default=0)
    evidence: dict[str, Any] = {"samples": len(samples), "calls": calls, "exit_code": state.exit_code,
                                "oom_killed": state.oom_killed}
    if state.oom_killed or not state.running:
        why = "needed more memory than its limit" if state.oom_killed else f"ended with exit code {state.exit_code}"
        evidence["stderr"] = session.stderr()[-1000:]
        return CheckResult("P05", "fail", f"Under load the server {why}.", evidence=evidence,
                           next_step="Look for what each call leaves behind; raise the limit only when the need is real.")
    if not samples:
        return CheckResult("P05", "undecided", "The engine gave no sample while the load was on.", evidence=evidence)
    peak, first, cpu_ms = max(one.memory_bytes for one in samples), samples[0].memory_bytes, _cpu_ms(samples, calls)
    pids, cpu = max(one.pids for one in samples), max(one.cpu_percent for one in samples)
    most_pids = _pids_limit(state.raw)
    evidence |= {"memory_peak_bytes": peak, "memory_first_bytes": first, "memory_limit_bytes": limit,
                 "cpu_peak_percent": cpu, "cpu_ms_per_call": round(cpu_ms, 3),
                 "pids_peak": pids, "pids_limit": most_pids,
                 "series": [[one.memory_bytes, one.cpu_percent, one.pids] for one in samples[-100:]]}
    metrics = {"P05.memory_peak_mb": peak / MIB, "P05.cpu_peak_percent": cpu, "P05.cpu_ms_per_call": cpu_ms,
               "P05.pids_peak": float(pids)}
    near = []
    if limit and peak >= NEAR * limit:
        near.append(f"memory ({peak / MIB:.0f} of {limit / MIB:.0f} MiB)")
    if most_pids and pids >= NEAR * most_pids:
        near.append(f"processes ({pids} of {most_pids})")
    if near:
        return CheckResult("P05", "fail", f"Under load the server comes within 10 % of its limit of {' and '.join(near)}.",
                           evidence=evidence, metrics=metrics, next_step="Raise the limit if the need is real; find what grows.")
    of = f" of {limit / MIB:.0f}" if limit else ""
    told = f"Under load at most {peak / MIB:.0f}{of} MiB, {pids} processes and threads, {cpu_ms:.2g} ms of a processor a call."
    return CheckResult("P05", "pass", told, evidence=evidence, metrics=metrics)


def _cpu_ms(samples: Sequence[Stats], calls: int) -> float:
    return 1000 * max(0.0, samples[-1].cpu_s - samples[0].cpu_s) / max(1, calls)


def _pids_limit(raw: Mapping[str, Any]) -> int:
    host = raw.get("HostConfig")
    limit = host.get("PidsLimit") if isinstance(host, Mapping) else None
    return limit if isinstance(limit, int) and limit > 0 else 0


def _rounded(steps: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in steps.items()}


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"
