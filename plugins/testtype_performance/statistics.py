"""What is made of measured times: quantiles, block medians, seeded bootstrap, a robust slope, the knee. Pure and without state.

Calls of one session resemble each other and their neighbours, so nothing here treats single calls as independent: the
bootstrap draws whole sessions first and, within each, runs of neighbouring values.
"""
from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

BLOCK = 10
ROUNDS = 1000
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def to_json(self, digits: int = 3) -> dict[str, float]:
        return {"value": round(self.value, digits), "low": round(self.low, digits), "high": round(self.high, digits)}


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile by linear interpolation between the ranks. Raises ValueError for no values."""
    return _quantile(sorted(values), share)


def _quantile(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        raise ValueError("a quantile of nothing")
    return _rank(ordered, share * (len(ordered) - 1))


def _rank(ordered: Sequence[float], place: float) -> float:
    place = min(max(place, 0.0), len(ordered) - 1.0)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def trimmed_mean(ordered: Sequence[float]) -> float:
    """Return the mean of values in ascending order without the lowest and the highest fifth."""
    cut = len(ordered) // 5
    kept = ordered[cut : len(ordered) - cut]
    return math.fsum(kept) / len(kept)


def block_medians(values: Sequence[float], size: int = BLOCK) -> list[float]:
    """Return the median of each run of ``size`` neighbours; a rest of less than half a block joins the last one."""
    return [median(block) for block in _blocks(values, size)]


def _blocks(values: Sequence[T], size: int) -> list[Sequence[T]]:
    starts = list(range(0, len(values), size))
    if len(starts) > 1 and len(values) - starts[-1] < size / 2:
        starts.pop()
    ends = [*starts[1:], len(values)]
    return [values[start:end] for start, end in zip(starts, ends, strict=True)]


def bootstrap(
    groups: Sequence[Sequence[float]], statistic: Callable[[Sequence[float]], float], *, seed: int,
    rounds: int = ROUNDS, block: int = BLOCK,
) -> Estimate:
    """Return a statistic of all values together with its percentile interval.

    Each round draws as many groups (sessions) as there are, and from each as many values as it has, in runs of ``block``
    neighbours. The same seed gives the same interval. ``statistic`` gets the values in ascending order.
    Raises ValueError for no values.
    """
    filled = [list(group) for group in groups if group]
    value = statistic(sorted(one for group in filled for one in group))
    rng = random.Random(seed)  # noqa: S311 - nothing secret, and the same each time
    drawn = []
    for _ in range(rounds):
        values: list[float] = []
        for _ in filled:
            group = filled[rng.randrange(len(filled))]
            length = min(block, len(group))
            taken = 0
            while taken < len(group):
                start = rng.randrange(len(group) - length + 1)
                values += group[start : start + min(length, len(group) - taken)]
                taken += length
        values.sort()
        drawn.append(statistic(values))
    drawn.sort()
    return Estimate(value, _quantile(drawn, 0.025), _quantile(drawn, 0.975))


def at(share: float) -> Callable[[Sequence[float]], float]:
    """Return the statistic that is a quantile, for ``bootstrap``."""
    return lambda ordered: _quantile(ordered, share)


def ratio_of(groups: Sequence[Sequence[float]], *, seed: int) -> Estimate:
    """Return the ratio that log ratios stand for, each group those of one pair of containers.

    Of each ten neighbours the median counts; of these the trimmed mean is taken, and its interval is over pairs of
    containers and, within a pair, over blocks.
    """
    return _ratio([block_medians(group) for group in groups if group], seed)


def ratio_of_quickest(groups: Sequence[Sequence[tuple[float, float]]], *, seed: int, size: int = BLOCK) -> Estimate:
    """Return the ratio of what calls take when nothing comes between, each group the (first, second) times of one pair.

    Of each ten neighbours the quickest of either side counts: work of others on the machine makes single calls slower, and
    none quicker. The interval is over pairs of containers and, within a pair, over blocks.
    """
    return _ratio([
        [math.log(min(two for _, two in block) / min(one for one, _ in block)) for block in _blocks(group, size)]
        for group in groups if group
    ], seed)


def _ratio(groups: Sequence[Sequence[float]], seed: int) -> Estimate:
    log = bootstrap(groups, trimmed_mean, seed=seed, block=1)
    return Estimate(math.exp(log.value), math.exp(log.low), math.exp(log.high))


def slope(points: Sequence[tuple[float, float]]) -> Estimate:
    """Return the Theil-Sen slope of (x, y) with its 95 % interval after Kendall's statistic.

    Half of the points but a few may be arbitrarily wrong. Raises ValueError for fewer than three points with different x.
    """
    slopes = sorted(
        (y2 - y1) / (x2 - x1) for place, (x1, y1) in enumerate(points) for x2, y2 in points[place + 1 :] if x1 != x2
    )
    n = len(points)
    if n < 3 or not slopes:
        raise ValueError("a slope needs three points")
    reach = Z95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low, high = (len(slopes) - reach) / 2, (len(slopes) + reach) / 2
    # ranks between two slopes are interpolated; where they lie outside, the outermost slopes are all that is known
    first = _rank(slopes, low - 1)
    last = _rank(slopes, high)
    return Estimate(_quantile(slopes, 0.5), first, last)


def knee(rates: Mapping[int, float], share: float = 0.8) -> int:
    """Return the smallest concurrency that already gives ``share`` of the best rate. Raises ValueError for none."""
    best = max(rates.values())
    return min(level for level, rate in rates.items() if rate >= share * best)


def log_ratios(pairs: Iterable[tuple[float, float]]) -> list[float]:
    """Return log(second / first) of each pair of times."""
    return [math.log(second / first) for first, second in pairs]


def wilson(hits: int, of: int) -> Estimate:
    """Return a share with Wilson's 95 % interval. Raises ValueError for a share of nothing."""
    if of < 1:
        raise ValueError("a share of nothing")
    share, square = hits / of, Z95 * Z95
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = Z95 / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return Estimate(share, max(0.0, middle - reach), min(1.0, middle + reach))
