"""D: what the server does – on its own, when it is used, and when it is attacked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mcpweb.plugin import Cancelled, Check, CheckResult, Failure, TestContext

from . import active, burden, habits, leaks, owners, plain, results
from .lab import Lab, Spent, Stand
from .surfaces import points

CHECKS = (
    Check("D01", "No value becomes part of a command", "critical",
          "Values are sent in every context of a shell; a command that was run has written a number in another base."),
    Check("D02", "No path leads out of where it belongs", "critical",
          "Paths upwards, absolute and encoded; what is read is the container's random name, what is written is looked for."),
    Check("D03", "No value makes the server ask inside its own network", "high",
          "Loopback, metadata and private addresses in every spelling, redirects and names that change their address."),
    Check("D04", "No local file is read through a URL or a document", "critical",
          "file:// in several spellings, after a redirect, and entities of XML."),
    Check("D05", "No value is evaluated as a template or as code", "critical",
          "Templates and expressions of several languages, and objects that run when they are read."),
    Check("D06", "No value becomes part of an SQL statement", "high",
          "Conditions made of the same signs, computed columns, and errors that follow the grammar of SQL."),
    Check("D07", "No secret stands in results, errors and logs", "high",
          "Canaries in the place of every secret and in a variable nobody asked for; known formats of credentials."),
    Check("D08", "No secret is sent anywhere", "critical",
          "Canaries in names, requests and bodies that the sinkhole sees, whole, encoded or in pieces."),
    Check("D09", "Nothing is contacted that nobody asked for", "medium",
          "At start, at the lists and on calls with valid arguments: names, ports and server names of TLS."),
    Check("D10", "Nothing that is returned gives orders to the model or hides anything", "high",
          "Results, errors and resources, and the same call many times: an answer may turn after some calls."),
    Check("D11", "No single call uses up the server", "medium",
          "Packed and nested data, patterns and counts that grow, in a container of their own with bounded memory."),
    Check("D12", "Nothing is written outside of /tmp, and no process is left behind", "medium",
          "A throw-away container with a writable root file system is compared before and after plain use."),
    Check("D13", "Nobody gets what belongs to another", "high",
          "Objects of one identity are asked for by the other; who tests gives both."),
)
ACTIVE = ("D01", "D02", "D03", "D04", "D05", "D06", "D11", "D13")
QUICK_S, FULL_S, BURDEN_S = 8.0, 240.0, 5.0
SWITCHED_OFF = "Attacks are sent only where the configuration allows them."
ALLOW = "Set active_probes to true in the configuration of a server that you may attack; only throw-away containers see it."


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of the D checks."""
    left = [check.id for check in CHECKS]
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
        yield from (_covered(result, seen) for result in family)
    if context.config.active_probes:
        context.progress(0.55, "attacking its fields")
        lab.until = until - (0.0 if quick else 20.0)
        attacked: list[Stand] = []
        with ThreadPoolExecutor(1) as beside:
            heavy = beside.submit(_heavy, context, seen, until)
            yield from active.attack(lab, seen.surfaces, attacked)
            stands += attacked
            yield from heavy.result()
    else:
        for check in ACTIVE:
            yield CheckResult(check, "not_applicable", SWITCHED_OFF, next_step=ALLOW)
    yield from _or_pass("D07", leaks.told(stands), "No secret stands in a result, an error or the log.")
    if lab.sink is None:
        yield CheckResult("D08", "not_applicable", f"What it sends cannot be watched: {lab.UNWATCHED}")
    else:
        yield from _or_pass("D08", leaks.on_the_network(stands, lab.events()), "No secret was seen on the network.")
    seen.stand.close()


def _covered(result: CheckResult, seen: plain.Plain) -> CheckResult:
    """Say of a verdict that nothing was found when not every tool could be used."""
    if result.verdict != "pass" or seen.complete:
        return result
    return replace(
        result, verdict="undecided", key="coverage", next_step="Run the full profile.",
        summary=f"Nothing was found, but only {len(seen.used)} of {len(seen.surfaces)} tools could be used in time.",
    )


def _heavy(context: TestContext, seen: plain.Plain, until: float) -> list[CheckResult]:
    """Return the verdicts of D11 and D13, which have containers of their own."""
    lab = Lab(context, max(until - time.monotonic(), BURDEN_S) + 3.0)  # a value under way is waited for
    fields = [point for surface in seen.surfaces for point in points(surface)]
    found: list[CheckResult] = []
    for family in (burden.attack(lab, fields, max(until - 1.0, time.monotonic() + BURDEN_S)), owners.verdicts(context, lab)):
        try:
            found += family
        except Spent:
            continue
    return found


def _or_pass(check: str, results: Iterable[CheckResult], clean: str) -> Iterator[CheckResult]:
    found = list(results)
    yield from found
    if not found:
        yield CheckResult(check, "pass", clean)
