"""Fresh containers of what is tested, and what every number is told with: the harness's own cost, the machine, the image."""
from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mcpweb.plugin import Failure, Load, TestContext, TestSession, Timed

from .plan import Plan, deadline_s
from .statistics import median, quantile
from .target import Target

WARM_UP = 10
WARM_UP_S = 1.0
START_S = 30.0
LOST = ("timeout", "gone")


class Subject:
    """Opens fresh containers all in the same way: the era is asked for once, and a tool decides whether secrets are there."""

    def __init__(self, context: TestContext, plan: Plan) -> None:
        self.context, self.plan = context, plan
        self.canaries = False
        self.usual_ms = 500.0
        self._era: Literal["auto", "handshake", "modern"] = "auto"

    def open(self, of: Literal["candidate", "baseline"] = "candidate", *, canaries: bool = False) -> TestSession:
        """Start a container and agree with the server in it; ``canaries`` stand in it for secrets, as for a tool that may
        not see them. Raises as ``TestContext.fresh``."""
        known = self._era if of == "candidate" else "auto"
        session = self.context.fresh(era=known, deadline_s=START_S, canaries=canaries or self.canaries, of=of)
        if of == "candidate":
            self._era = session.era
        return session

    def warm(self, session: TestSession, target: Target, calls: int = WARM_UP, failed: list[Timed] | None = None) -> float:
        """Make calls whose times do not count and return the median of the last ones in milliseconds.

        Raises CallFailed for one that fails; with a list for those, only when none is answered or one is lost.
        """
        took: list[float] = []
        spent = 0.0
        while len(took) + len(failed or ()) < calls and spent < WARM_UP_S * 1000:
            load = target.load(session, calls=1, deadline_s=deadline_s(self.plan, self.usual_ms))
            one = load.calls[0] if load.calls else Timed(0.0, "gone")
            spent += one.latency_ms
            if one.outcome == "ok":
                took.append(one.latency_ms)
            elif failed is None:
                raise CallFailed(one)
            else:
                failed.append(one)
                if one.outcome in LOST:
                    raise CallFailed(one)
        if not took:
            raise CallFailed(failed[-1] if failed else Timed(0.0, "gone"))
        self.usual_ms = median(took[len(took) // 2 :])
        return self.usual_ms


class CallFailed(Failure):
    """A call that was answered before is not answered now, on its own and in a fresh container."""

    def __init__(self, timed: Timed) -> None:
        super().__init__(f"A single call in a fresh container failed: {said(timed)}", code="call_failed")
        self.timed = timed


def answered(load: Load) -> list[float]:
    """Return the latencies of the calls that were answered without an error."""
    return [one.latency_ms for one in load.calls if one.outcome == "ok"]


def faults(load: Load) -> list[Timed]:
    return [one for one in load.calls if one.outcome != "ok"]


def said(timed: Timed) -> str:
    """Return a failed call in words."""
    words = {
        "is_error": "the tool says it failed", "rpc_error": "the server answers with an error",
        "timeout": "no reply came in time", "gone": "the server went away",
    }
    told = words.get(timed.outcome, timed.outcome)
    return f"{told}: {timed.detail[:200]}" if timed.detail else f"{told}."


def counted(found: Sequence[Timed]) -> dict[str, int]:
    """Return how often each outcome was seen."""
    return {word: sum(one.outcome == word for one in found) for word in sorted({one.outcome for one in found})}


def harness_floor(context: TestContext, calls: int) -> dict[str, float]:
    """Return what a call costs when the server costs nothing, in milliseconds."""
    load = context.floor(calls)
    took = answered(load)
    if not took:
        return {}
    return {"p50_ms": round(quantile(took, 0.5), 3), "p95_ms": round(quantile(took, 0.95), 3), "n": len(took),
            "calls_per_s": round(len(took) / load.wall_s, 1)}


def machine() -> dict[str, Any]:
    """Return how busy the machine is."""
    found: dict[str, Any] = {"cpus": len(os.sched_getaffinity(0))}
    with contextlib.suppress(OSError):
        found["load_1m"] = round(os.getloadavg()[0], 2)
    with contextlib.suppress(OSError, IndexError, ValueError):
        some = Path("/proc/pressure/cpu").read_text().split()
        found["waiting_for_cpu_percent"] = float(some[1].partition("=")[2])
    return found


def circumstances(context: TestContext, floor: Mapping[str, float]) -> dict[str, Any]:
    """Return what every number is told with."""
    image = {"reference": context.image.reference, "id": context.image.id, "digest": context.image.digest}
    return {"harness_floor": dict(floor), "machine": machine(), "image": image, "seed": context.seed}
