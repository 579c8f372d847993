"""D: what the server does – on its own, when it is used, and when it is attacked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mcpweb.plugin import Cancelled, CheckResult, Failure, TestContext

from ..checks import PROBES
from ..choice import asked as _wanted
from . import active, burden, habits, leaks, owners, plain, results, rings
from .coats import Dressed
from .lab import Lab, Spent, Stand
from .surfaces import Point, Surface

ACTIVE = ("D01", "D02", "D03", "D04", "D05", "D06", "D11", "D13")
QUICK_S, FULL_S, BURDEN_S, RINGS_S = 8.0, 240.0, 5.0, 3.0
SWITCHED_OFF = "Attacks are sent only where the configuration allows them."
ALLOW = "Set active_probes to true in the configuration of a server that you may attack; only throw-away containers see it."


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of the D checks."""
    left = [check.id for check in PROBES]
    try:
        for result in _run(context):
            if result.check_id in left:
                left.remove(result.check_id)
            yield result
        return
    except (Cancelled, MemoryError):
        raise
    except Failure as failure:
        why = failure.sentence
        code = failure.code
    for check_id in left:
        yield CheckResult(check_id, "undecided", f"It could not be decided: {why}", evidence={"code": code})


def _run(context: TestContext) -> Iterator[CheckResult]:
    quick = context.profile == "quick"
    asked = context.parameters.get("probe_seconds")
    seconds = min(max(float(asked), 2.0), 900.0) if isinstance(asked, int | float) else QUICK_S if quick else FULL_S
    seconds = min(seconds, context.remaining_s() - 3.0)
    until = time.monotonic() + seconds
    lab = Lab(context, seconds)
    context.progress(0.45, "watching it in plain use")
    seen = plain.observe(lab, 1.5 if quick else min(40.0, seconds / 4))
    stands = [seen.stand]
    for family in (habits.egress(lab, seen), habits.traces(seen, lab), results.verdicts(seen)):
        for result in family:
            yield _covered(result, seen)
            if _of_a_text(result) and _wanted(context, ["M03"]):
                yield replace(result, check_id="M03")
    if context.config.active_probes:
        context.progress(0.55, "attacking its fields")
        lab.until = until - (0.0 if quick else 20.0)
        if lab.http:
            seen.stand.close()  # the next one needs its place
        attacked: list[Stand] = []
        with ThreadPoolExecutor(1) as beside:
            heavy = beside.submit(_heavy, context, seen, until, lab)
            yield from active.attack(lab, seen.surfaces, attacked)
            stands += attacked
            yield from heavy.result()
    else:
        for check in ACTIVE:
            yield CheckResult(check, "not_applicable", SWITCHED_OFF, next_step=ALLOW)
    yield from _or_pass("D07", leaks.told(stands), "No secret stands in a result, an error or the log.")
    yield from _or_pass("D08", leaks.on_the_network(stands, lab.events()), "No secret was seen on the network.")
    seen.stand.close()


def _of_a_text(result: CheckResult) -> bool:
    """Tell whether a verdict of D10 is on what a prompt or a resource holds, which is told to a model like all that M03 reads."""
    return result.check_id == "D10" and result.verdict == "fail" and result.key.startswith(("resource:", "prompt:"))


def _covered(result: CheckResult, seen: plain.Plain) -> CheckResult:
    """Say of a verdict that nothing was found when not every tool could be used."""
    if result.verdict != "pass" or seen.complete:
        return result
    return replace(
        result, verdict="undecided", key="coverage", next_step="Run the full profile.",
        summary=f"Nothing was found, but only {len(seen.used)} of {len(seen.surfaces)} tools could be used in time.",
    )


def _heavy(context: TestContext, seen: plain.Plain, until: float, met: Lab) -> list[CheckResult]:
    """Return the verdicts of D11 and D13, which have containers of their own."""
    lab = Lab(context, max(until - time.monotonic(), BURDEN_S) + 3.0)  # a value under way is waited for
    lab.watched = not lab.http
    lab.share(met)
    fields = [point for surface in seen.surfaces for point in lab.fields(surface) if not isinstance(point, Dressed)]
    found: list[CheckResult] = []
    families: tuple[tuple[str, Callable[[], Iterable[CheckResult]]], ...] = (
        ("D11", lambda: _burdens(lab, fields, seen.surfaces, until - 1.0)),
        ("D13", lambda: owners.verdicts(context, lab, seen.surfaces)),
    )
    for check, family in families:
        try:
            found += family() if _wanted(context, [check]) else ()
        except Spent:
            found.append(CheckResult(check, "undecided", "It could not be decided: the time was used up.", key="coverage"))
    return found


def _burdens(lab: Lab, fields: list[Point], surfaces: list[Surface], until: float) -> list[CheckResult]:
    """Return the verdicts of D11 on single values, and on things that lie below themselves."""
    found = list(burden.attack(lab, fields, max(until, time.monotonic() + BURDEN_S), surfaces))
    tied = list(rings.attack(lab, surfaces, max(until, time.monotonic() + RINGS_S)))
    return [*tied, *(one for one in found if not tied or one.verdict in ("fail", "undecided"))]


def _or_pass(check: str, results: Iterable[CheckResult], clean: str) -> Iterator[CheckResult]:
    found = list(results)
    yield from found
    if not found:
        yield CheckResult(check, "pass", clean)
