"""Pictures made here, as the paths of a small SVG: no script, a handful of nodes however many values there are."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise

from mcpweb import clock

WIDTH, HEIGHT = 120, 40
DAYS = 28
_STEP, _BOX = 10, 8
SPARK_WIDTH, SPARK_HEIGHT, SPARK_POINTS = 87, 18, 30


@dataclass(frozen=True)
class Line:
    """A sparkline: its line and the area under it, in a box of 120 × 40."""

    line: str
    area: str


@dataclass(frozen=True)
class Strip:
    """Days of one server as marks that differ in shape, not only in colour: one path a kind, in a box of 280 × 10.

    ``days`` counts the days with results, ``bad`` those on which something failed.
    """

    good: str
    bad_path: str
    unsure: str
    none: str
    days: int
    bad: int


def line(values: Sequence[float], *, floor: float = 0.0, least_top: float = 1e-9) -> Line:
    """Return the sparkline of at least one value, oldest first; the top is the largest, or ``least_top``."""
    top = max(max(values), least_top, 1e-9) - floor or 1e-9
    step = WIDTH / max(1, len(values) - 1)
    points = [f"{at * step:.1f} {HEIGHT - (value - floor) / top * HEIGHT:.1f}" for at, value in enumerate(values)]
    if len(points) == 1:
        points.append(f"{WIDTH} {points[0].split()[1]}")
    drawn = "M" + " L".join(points)
    return Line(drawn, f"{drawn} L{points[-1].split()[0]} {HEIGHT} L0 {HEIGHT}Z")


@lru_cache(maxsize=4096)
def spark(newest_first: str) -> tuple[str, float]:
    """Return the small line of a JSON list of numbers and its newest one; no line for fewer than two of them.

    The line ends at the right edge of a box of 87 × 18, three units a number, so that rows can be compared. What a list
    shows again and again is drawn once.
    """
    values = json.loads(newest_first)[:SPARK_POINTS]
    if len(values) < 2:
        return "", values[0] if values else 0.0
    top = max(*values, 1e-9)
    heights = [round(1 + (1 - value / top) * (SPARK_HEIGHT - 2)) for value in reversed(values)]
    steps = " ".join(f"3 {now - before}" for before, now in pairwise(heights)).replace(" -", "-")
    return f"M{SPARK_WIDTH - 3 * (len(values) - 1)} {heights[0]}l{steps}", values[0]


def last_days(count: int = DAYS) -> list[str]:
    """Return the newest days, today last."""
    today = clock.parse(clock.now()).date()
    return [(today - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1)]


def strip(days: Sequence[str], counts: Mapping[str, Mapping[str, int]]) -> Strip:
    """Return the strip of a server: a full box for a day with a failure, a low one for a day on which all held."""
    good, bad, unsure, none = [], [], [], []
    for at, day in enumerate(days):
        x, seen = at * _STEP, counts.get(day) or {}
        if seen.get("failure") or seen.get("timeout"):
            bad.append(f"M{x} 0h{_BOX}v10h-{_BOX}z")
        elif seen.get("error"):
            unsure.append(f"M{x} 2h{_BOX}v8h-{_BOX}zm2 2v4h4v-4z")
        elif seen.get("success"):
            good.append(f"M{x} 5h{_BOX}v5h-{_BOX}z")
        else:
            none.append(f"M{x} 9h{_BOX}v1h-{_BOX}z")
    return Strip("".join(good), "".join(bad), "".join(unsure), "".join(none), len(days) - len(none), len(bad))


def band(low: float, high: float, top: float) -> str:
    """Return the area between two values as a path in the same box as ``line(values, least_top=top)``."""
    upper, lower = (HEIGHT - value / max(top, 1e-9) * HEIGHT for value in (high, low))
    return f"M0 {upper:.1f}H{WIDTH}V{lower:.1f}H0Z"
