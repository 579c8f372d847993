"""How much is measured: the profile's measure, changed by the run's parameters."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from mcpweb.plugin import InvalidInput, TestContext

LEVELS = (1, 2, 4, 8, 16)
MOST_AT_ONCE = 64


@dataclass(frozen=True)
class Plan:
    """How much is measured. Times bound what is not given as a number: a slow tool is called less often."""

    sessions: int
    calls: int  # in each session, after the warm-up
    call_s: float  # for the calls of one session
    concurrency: tuple[int, ...]
    level_s: float  # for each concurrency
    pairs: int  # fresh container pairs of a comparison; twice as many where these tell too little, unless the number was named
    pair_s: float  # for the calls of one pair
    lists: int  # lists asked for in each session
    floor: int
    soak_s: float
    patience_s: float  # beside what calls usually take: a call that takes longer is lost
    pairs_named: bool = False
    tool: str = ""
    arguments: Mapping[str, Any] | None = None


PROFILES = {
    "quick": Plan(sessions=2, calls=60, call_s=0.5, concurrency=LEVELS, level_s=0.25, pairs=4, pair_s=2.0, lists=5, floor=100,
                  soak_s=0.0, patience_s=3.0),
    "full": Plan(sessions=5, calls=200, call_s=10.0, concurrency=LEVELS, level_s=2.0, pairs=6, pair_s=3.0, lists=20, floor=500,
                 soak_s=60.0, patience_s=10.0),
}
SLOWEST_S = 60.0
KNOWN = ("tool", "arguments", "sessions", "calls", "concurrency", "pairs", "soak_s", "baseline")


def deadline_s(plan: Plan, usual_ms: float) -> float:
    """Return how long a call may take that usually takes so long."""
    return min(SLOWEST_S, plan.patience_s + 40 * usual_ms / 1000)


def plan_of(context: TestContext) -> Plan:
    """Return the plan of a run; an object named ``performance`` among its parameters goes before what stands beside it.

    A run's parameters are those of all its test types: what looks like none of ours is taken to be another's, but not in
    the object that is ours. Raises InvalidInput for a name that is nearly known, and for a value that means nothing.
    """
    own = context.parameters.get("performance", {})
    if not isinstance(own, Mapping):
        raise InvalidInput("The parameter performance must be an object.")
    shared = {name: value for name, value in context.parameters.items() if name != "performance"}
    unknown = [name for name in own if name not in KNOWN]
    unknown += [name for name in shared if name not in KNOWN and get_close_matches(name, KNOWN, 1, 0.8)]
    given = {**shared, **own}
    if unknown:
        raise InvalidInput(
            f"The performance test does not know the parameter {unknown[0][:60]!r}.",
            next_step=f"Known are {', '.join(KNOWN)}.",
        )
    plan = PROFILES[context.profile]
    if "sessions" in given:
        plan = replace(plan, sessions=_whole(given, "sessions", 1, 50))
    if "calls" in given:
        plan = replace(plan, calls=_whole(given, "calls", 1, 10_000), call_s=60.0)
    if "pairs" in given:
        plan = replace(plan, pairs=_whole(given, "pairs", 3, 20), pairs_named=True)
    if "soak_s" in given:
        plan = replace(plan, soak_s=float(_whole(given, "soak_s", 0, 3600)))
    if "concurrency" in given:
        plan = replace(plan, concurrency=_levels(given["concurrency"]))
    if "tool" in given:
        if not isinstance(given["tool"], str) or not given["tool"]:
            raise InvalidInput("The parameter tool must be the name of a tool.")
        plan = replace(plan, tool=given["tool"])
    if "arguments" in given:
        if not isinstance(given["arguments"], Mapping):
            raise InvalidInput("The parameter arguments must be an object.")
        if not plan.tool:
            raise InvalidInput("The parameter arguments needs the parameter tool beside it.")
        plan = replace(plan, arguments=given["arguments"])
    return plan


def _whole(given: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(f"The parameter {name} must be a whole number from {least} to {most}.")
    return value


def _levels(value: Any) -> tuple[int, ...]:
    fine = isinstance(value, list) and 0 < len(value) <= 10
    if not fine or any(isinstance(one, bool) or not isinstance(one, int) or not 1 <= one <= MOST_AT_ONCE for one in value):
        raise InvalidInput(f"The parameter concurrency must be a list of up to ten whole numbers from 1 to {MOST_AT_ONCE}.")
    return tuple(sorted({1, *value}))
