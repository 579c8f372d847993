"""What the performance test makes of measured times, on numbers whose answer is known."""
from __future__ import annotations

import math
import random
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.pluginhost import import_folder

import_folder("testtype_performance", paths.PLUGINS / "testtype_performance")

from mcpweb_plugins.testtype_performance import statistics as st  # noqa: E402 - exists from here on


def test_quantiles_lie_between_the_ranks() -> None:
    values = [30.0, 10.0, 20.0, 40.0]
    assert st.median(values) == 25 and st.quantile(values, 0) == 10 and st.quantile(values, 1) == 40
    assert st.quantile(values, 0.95) == pytest.approx(38.5)  # as R's type 7
    assert st.quantile([7.0], 0.99) == 7
    with pytest.raises(ValueError):
        st.median([])


def test_a_block_counts_by_its_median_and_a_short_rest_joins_the_last() -> None:
    assert st.block_medians([1, 2, 99, 4, 5, 6], size=3) == [2, 5]
    assert st.block_medians([1, 2, 3, 4, 5, 6, 7], size=3) == [2, 5.5]  # 4 5 6 7
    assert st.block_medians([1, 2, 3, 4, 5], size=3) == [2, 4.5]  # a rest of two is a block
    assert st.block_medians([5.0]) == [5]


def test_the_trimmed_mean_leaves_out_the_ends() -> None:
    assert st.trimmed_mean([1, 2, 3, 4, 1000]) == 3
    assert st.trimmed_mean([1, 3]) == 2


def test_the_same_seed_gives_the_same_interval_and_another_seed_a_similar_one() -> None:
    rng = random.Random(1)
    groups = [[rng.gauss(10, 1) for _ in range(100)] for _ in range(5)]
    one, again, other = (st.bootstrap(groups, st.at(0.5), seed=seed) for seed in (1, 1, 2))
    assert one == again and one.value == other.value and abs(one.low - other.low) < 0.3
    assert one.low < one.value < one.high


def test_an_interval_over_sessions_is_as_wide_as_sessions_differ() -> None:
    """Five sessions of a hundred nearly equal calls each are five observations, and not five hundred."""
    rng = random.Random(2)
    groups = [[level + rng.gauss(0, 0.01) for _ in range(100)] for level in (9.0, 9.5, 10.0, 10.5, 11.0)]
    over_sessions = st.bootstrap(groups, st.at(0.5), seed=1)
    as_if_independent = st.bootstrap([[one] for group in groups for one in group], st.at(0.5), seed=1)
    assert over_sessions.high - over_sessions.low > 0.9 > 0.6 > as_if_independent.high - as_if_independent.low


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, held, rounds = random.Random(3), 0, 120
    for seed in range(rounds):
        groups = []
        for _ in range(8):
            middle = rng.gauss(0, 0.05)
            groups.append([middle + rng.gauss(0, 0.1) for _ in range(10)])
        found = st.bootstrap(groups, st.trimmed_mean, seed=seed, rounds=200, block=1)
        held += found.low <= 0 <= found.high
    assert held >= 0.85 * rounds


def test_one_value_has_an_interval_of_no_width_and_nothing_has_none() -> None:
    assert st.bootstrap([[4.0]], st.at(0.5), seed=1) == st.Estimate(4, 4, 4)
    with pytest.raises(ValueError):
        st.bootstrap([[], []], st.at(0.5), seed=1)


def test_a_ratio_is_found_whatever_the_noise_of_both_and_outliers_of_one() -> None:
    rng = random.Random(4)
    groups = []
    for _ in range(4):
        pairs = []
        for _ in range(100):
            weather = math.exp(rng.gauss(0, 0.5))  # meets both
            slow = 20.0 if rng.random() < 0.05 else 1.0
            pairs.append((2 * weather * math.exp(rng.gauss(0, 0.05)), 2.4 * weather * math.exp(rng.gauss(0, 0.05)) * slow))
        groups.append(st.log_ratios(pairs))
    found = st.ratio_of(groups, seed=1)
    assert found.low < 1.2 * 1.02 and found.high > 1.2 * 0.98 and found.value == pytest.approx(1.2, rel=0.02)
    assert 1.05 < found.low < found.high < 1.3


def test_a_ratio_of_equals_is_one_and_a_bad_container_widens_the_interval() -> None:
    assert st.ratio_of([[0.0] * 20] * 3, seed=1) == st.Estimate(1, 1, 1)
    steady = [[0.0] * 100 for _ in range(5)]
    found = st.ratio_of([*steady, [math.log(1.5)] * 100], seed=1)
    assert found.low == 1 and found.high > 1.05  # one of six containers is slow: not the image


def test_the_slope_is_that_of_theil_and_sen() -> None:
    line = [(float(x), 3 + 2.0 * x) for x in range(20)]
    assert st.slope(line) == st.Estimate(2, 2, 2)
    line[5], line[11] = (5.0, 900.0), (11.0, -900.0)
    found = st.slope(line)
    assert found.value == pytest.approx(2, abs=0.01) and found.low > 0
    assert st.slope([(0, 0), (1, 1), (2, 4)]) == st.Estimate(2, 1, 3)  # the slopes are 1, 2 and 3: nothing is left out
    # ten points have 45 slopes, and Kendall's statistic leaves out 11.5 at each end
    found = st.slope([(x, x * x) for x in range(10)])
    slopes = sorted(a + b for a in range(10) for b in range(a))
    assert found.value == slopes[22] and slopes[10] <= found.low <= slopes[11] and slopes[33] <= found.high <= slopes[34]


def test_a_slope_of_noise_is_none() -> None:
    rng, blamed = random.Random(5), 0
    for _ in range(200):
        found = st.slope([(float(x), rng.gauss(100, 5)) for x in range(15)])
        blamed += found.low > 0
    assert blamed <= 12  # 2.5 % expected, five of 200
    with pytest.raises(ValueError):
        st.slope([(1.0, 1.0), (2.0, 2.0)])
    with pytest.raises(ValueError):
        st.slope([(1.0, 1.0)] * 5)


@pytest.mark.parametrize(
    ("rates", "knee"),
    [
        ({1: 200, 2: 195, 4: 204, 8: 201, 16: 190}, 1),  # one lock
        ({1: 100, 2: 200, 4: 390, 8: 410, 16: 400}, 4),
        ({1: 100, 2: 200, 4: 400, 8: 800, 16: 1500}, 16),  # no knee in sight
        ({1: 5}, 1),
    ],
)
def test_the_knee_is_where_more_at_once_stops_to_help(rates: dict[int, float], knee: int) -> None:
    assert st.knee(rates) == knee


def test_shares_have_wilsons_interval() -> None:
    assert st.wilson(0, 80).high == pytest.approx(0.0458, abs=0.0005)
    half: Any = st.wilson(5, 10)
    assert (round(half.low, 4), round(half.high, 4)) == (0.2366, 0.7634)
    assert st.wilson(10, 10).high == pytest.approx(1)
    with pytest.raises(ValueError):
        st.wilson(0, 0)
