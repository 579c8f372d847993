"""Two containers side by side, called in turns: which is slower, and how sure that is.

What changes from second to second on a machine meets both alike when the calls alternate (first, second, second, first),
so the ratio of neighbours says more than any number alone. What differs from container to container of the same image is
seen by taking several fresh pairs. On a busy machine many a call waits for others, and the wait hides what the call takes; so
besides the ratio of neighbours the quickest of each ten are compared, which nothing came between.
"""
from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, TestContext, TestSession

from . import statistics as st
from .subject import CallFailed, Subject, said
from .target import Target

WARM_UP = 20
QUADS = (10, 50)  # least and most turns of four calls with one pair
SLOWER = 1.05  # the whole interval lies above: slower
MISSED = 1.20  # a slowdown that must not stay unseen: an interval that reaches it decides nothing
USUAL, QUICKEST = "", ", at its quickest,"
NARROW = 1.08  # the interval's upper end over its lower one where more pairs would tell nothing new


@dataclass
class Comparison:
    """What was measured so far: of each pair of containers the times of neighbouring calls, first and second."""

    groups: list[list[tuple[float, float]]] = field(default_factory=list)

    def ratios(self, seed: int) -> dict[str, st.Estimate]:
        """Return how much longer the second takes: usually, and where nothing comes between."""
        usual = st.ratio_of([st.log_ratios(group) for group in self.groups], seed=seed)
        return {USUAL: usual, QUICKEST: st.ratio_of_quickest(self.groups, seed=seed)}

    def narrow(self, seed: int) -> bool:
        return min(ratio.high / ratio.low for ratio in self.ratios(seed).values()) <= NARROW

    @property
    def calls(self) -> int:
        return 2 * sum(len(group) for group in self.groups)

    def add(self, first: list[float], second: list[float]) -> None:
        self.groups.append(list(zip(first, second, strict=True)))

    def medians_ms(self) -> tuple[float, float]:
        """Return the median over pairs of what either side takes."""
        one, two = (st.median([st.median([pair[at] for pair in group]) for group in self.groups]) for at in (0, 1))
        return one, two


def in_turns(
    first: Callable[[], float], second: Callable[[], float], quads: int, until: float
) -> tuple[list[float], list[float]]:
    """Call both ABBA and BAAB in turn and return their times, neighbours at the same place; at least QUADS[0] rounds."""
    ones: list[float] = []
    twos: list[float] = []
    for turn in range(quads):
        if turn >= QUADS[0] and time.monotonic() > until:
            break
        for leading in ((True, False) if turn % 2 == 0 else (False, True)):
            if leading:
                one = first()
                two = second()
            else:
                two = second()
                one = first()
            ones.append(one)
            twos.append(two)
    return ones, twos


def caller(session: TestSession, target: Target) -> Callable[[], float]:
    """Return a function that makes one call and returns its milliseconds. It raises CallFailed for a failed one."""

    def call() -> float:
        made = target.load(session, calls=1, deadline_s=30.0).calls
        if not made or made[0].outcome != "ok":
            raise CallFailed(made[0])
        return max(made[0].latency_ms, 1e-6)

    return call


def pair(subject: Subject, target: Target, baseline_first: bool, times: int) -> tuple[list[float], list[float]]:
    """Measure one fresh container of the baseline and one of the candidate, ``times`` as long as planned.

    A Failure that is raised tells in ``of`` which of the two it was.
    """
    seconds = subject.plan.pair_s * times
    with contextlib.ExitStack() as stack:
        sessions: dict[str, TestSession] = {}
        for of in ("baseline", "candidate") if baseline_first else ("candidate", "baseline"):
            with blaming(of):
                sessions[of] = subject.open(of)  # type: ignore[arg-type]
            stack.callback(sessions[of].close)
        warm = {}
        for of in ("baseline", "candidate"):
            with blaming(of):
                warm[of] = subject.warm(sessions[of], target, WARM_UP)
        quads = round(seconds * 1000 / (2 * sum(warm.values()) + 2))
        quads = min(max(quads, QUADS[0]), times * QUADS[1])
        calls = {of: _blaming(of, caller(session, target)) for of, session in sessions.items()}
        return in_turns(calls["baseline"], calls["candidate"], quads, time.monotonic() + 3 * seconds)


@contextlib.contextmanager
def blaming(of: str) -> Any:
    """Note at a failure which of the two it was."""
    try:
        yield
    except Failure as failure:
        failure.of = of  # type: ignore[attr-defined]
        raise


def _blaming(of: str, call: Callable[[], float]) -> Callable[[], float]:
    def blamed() -> float:
        with blaming(of):
            return call()

    return blamed


def regression(context: TestContext, subject: Subject, target: Target, share_s: float) -> CheckResult:
    """P06: whether calls of the candidate take longer than those of the baseline."""
    plan = subject.plan
    found, started, least = Comparison(), time.monotonic(), plan.pairs
    most = least if plan.pairs_named else 2 * least
    first = context.seed % 2 == 0
    while len(found.groups) < most:
        if len(found.groups) >= 3 and (time.monotonic() - started > share_s or context.remaining_s() < 10):
            break
        context.progress(None, f"comparing with the baseline, pair {len(found.groups) + 1}")
        try:
            ones, twos = pair(subject, target, first, 1 if len(found.groups) < least else 2)
        except Failure as failure:
            return _failed(failure, target, found)
        found.add(ones, twos)
        first = not first
        if len(found.groups) >= least and found.narrow(context.seed):
            break
    return judged(found.ratios(context.seed), found, target, context, time.monotonic() - started)


def judged(
    ratios: Mapping[str, st.Estimate], found: Comparison, target: Target, context: TestContext, seconds: float
) -> CheckResult:
    """Return the verdict on a ratio: slower, not slower, or not told apart from a slowdown that matters."""
    base, mine = found.medians_ms()
    slower = [name for name, one in ratios.items() if one.low > SLOWER]
    view = slower[0] if slower else min(ratios, key=lambda name: ratios[name].high / ratios[name].low)
    ratio = ratios[view]
    evidence = {
        "ratio": ratios[USUAL].to_json(4), "ratio_of_quickest": ratios[QUICKEST].to_json(4),
        "baseline": dict(context.baseline or {}), "pairs": len(found.groups), "calls": found.calls,
        "median_ms": {"baseline": round(base, 3), "candidate": round(mine, 3)}, "seconds": round(seconds, 1),
        "pair_ratios": [round(math.exp(st.median(st.log_ratios(group))), 4) for group in found.groups],
        "bounds": {"slower": SLOWER, "not_to_be_missed": MISSED}, "request": target.request,
    }
    told = f"{ratio.value:.2f} times the baseline's (95 % interval {ratio.low:.3f} to {ratio.high:.3f}; "
    told += f"{len(found.groups)} pairs of containers)"
    common: dict[str, Any] = {"tool": target.where, "evidence": evidence, "input": target.request,
                              "metrics": {"P06.ratio": ratios[USUAL].value, "P06.ratio_of_quickest": ratios[QUICKEST].value}}
    if slower:
        return CheckResult("P06", "fail", f"Slower than the baseline: a call of {target.name}{view} takes {told}.",
                           confidence="firm",
                           next_step="Compare what changed between the two; the calls to repeat are in the evidence.", **common)
    if ratio.high >= MISSED:
        return CheckResult("P06", "undecided", f"Too noisy to tell: a call of {target.name}{view} takes {told}.",
                           next_step="Run it again on a quieter machine, or with more pairs.", **common)
    word = "Faster than the baseline" if ratio.high < 1 / SLOWER else "Not slower than the baseline"
    return CheckResult("P06", "pass", f"{word}: a call of {target.name}{view} takes {told}.", confidence="firm", **common)


def _failed(failure: Failure, target: Target, found: Comparison) -> CheckResult:
    """The baseline could not be measured, or the candidate fails where the baseline answers."""
    of = getattr(failure, "of", "")
    evidence = {"code": failure.code, "of": of, "pairs": len(found.groups), "request": target.request}
    if of == "candidate" and isinstance(failure, CallFailed):
        return CheckResult(
            "P06", "fail", f"A call that the baseline answers fails: {said(failure.timed)}", tool=target.where,
            evidence=evidence, input=target.request, timed_out=failure.timed.outcome == "timeout",
            next_step="Send the request again to both; run the functionality test.",
        )
    who = "The baseline" if of == "baseline" else "The server"
    return CheckResult("P06", "undecided", f"{who} could not be measured: {failure.sentence}", evidence=evidence,
                       input=target.request, next_step=failure.next_step or "Name a baseline that starts and has the same tool.")
