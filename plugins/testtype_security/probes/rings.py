"""D11 at a second step: where two arguments name things, one is made to lie below itself, and what walks along is used."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Unavailable

from .burden import CHECK, Bearer, Weight, limits
from .lab import Lab, Spent
from .learning import ends, required
from .surfaces import Point, Surface

MOST_TIES, MOST_STEPS = 8, 6
RING = Weight("a thing below itself", lambda: None, "")


def attack(lab: Lab, surfaces: Sequence[Surface], until: float) -> Iterator[CheckResult]:
    """Yield what a ring did to a server, and what there was no time for; nothing where no tool ties two things of one kind."""
    ties = [tie for surface in surfaces for tie in _ties(lab, surface)][:MOST_TIES]
    bearer = Bearer(lab, limits(lab), surfaces)
    left = len(ties)
    try:
        for point, value in ties:
            if time.monotonic() > until:
                break
            verdict = _ring(bearer, point, value, surfaces)
            left -= 1
            if verdict is not None:
                yield verdict
    except (Spent, Unavailable):
        pass
    finally:
        bearer.close()
    if left:
        yield CheckResult(
            CHECK, "undecided", f"{left} of {len(ties)} values could not be handed over: the time was used up.", key="coverage",
            next_step="Run the full profile.",
        )


def _ties(lab: Lab, surface: Surface) -> Iterator[tuple[Point, Any]]:
    """Yield what ties two things of one kind: the field of the second, and the first, which is to be its own."""
    worked = lab.worked.get(surface.title)
    if worked is None or surface.kind != "tool" or ends(surface):
        return
    named = {name: worked.get(name) for name in required(surface)}
    for one, two in itertools.combinations(sorted(named), 2):
        if _shown(lab, surface, named[one], named[two]):
            yield Point(surface, f"/{two}", "any", {}, (worked,)), named[one]


def _shown(lab: Lab, surface: Surface, one: Any, two: Any) -> bool:
    """Tell whether two values are of a kind and both stand in what others answered: they name things that are there."""
    if type(one) is not type(two) or not isinstance(one, str | int) or isinstance(one, bool) or "" in (one, two):
        return False
    said = [text for title, text in lab.told.items() if title != surface.title]
    return all(any(re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", text) for text in said) for value in (one, two))


def _ring(bearer: Bearer, point: Point, value: Any, surfaces: Sequence[Surface]) -> CheckResult | None:
    """Tie a thing to itself and use what wants to know one thing or none."""
    job = bearer.job(point)
    worked = job.lab.worked
    steps = [(point.surface, point.arguments(value))]
    for other in surfaces:
        known = worked.get(other.title)
        walks = other.kind == "tool" and other is not point.surface and not ends(other) and len(required(other)) < 2
        if known is not None and walks:
            steps.append((other, {**known, **dict.fromkeys(required(other), value)}))
    for surface, arguments in steps[:MOST_STEPS]:
        session = job.stand.session
        verdict, _, reply = bearer.hand(job, RING, value, surface, arguments)
        if verdict is not None or reply.outcome in ("gone", "timeout") or job.stand.session is not session:
            return verdict
        if surface is point.surface and not reply.ok:
            return None
    return None
