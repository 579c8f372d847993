"""Each performance check tells a server that is slow, or wears out, in its way from a twin that is not.

What P01 to P04 tell is a number and no fault: there the numbers of the two must lie apart, far beyond what a busy machine
does to them. Where a check has a bound, the one is over it and the other is not.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcpweb.contracts import ConfigData, Limits
from mcpweb.services import configurations, test_runs
from tests.docker.engine import DockerSession
from tests.docker.installation import ACTOR
from tests.docker.pairs import Asked, Bench, Pair, Seen, bench

pytestmark = pytest.mark.docker
GIVEN = {"sessions": 1, "calls": 60, "concurrency": [1, 2, 4, 8, 16]}
SMALL = {"limits": Limits(memory_mb=96, pids=64)}
SOAKED = {"sessions": 1, "calls": 20, "concurrency": [1, 8], "soak_s": 9}
TWIN = "perf-even"


@pytest.fixture(scope="module")
def performance(docker_session: DockerSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("performance"), "performance") as made:
        yield made


def number(seen: Seen, name: str) -> float:
    """Return a number by its name."""
    check = name.partition(".")[0]
    metrics = {key: value for one in seen.of(check) for key, value in (one.get("metrics") or {}).items()}
    assert name in metrics, f"{name} was not measured: {seen.said(check)}"
    return float(metrics[name])


@pytest.mark.parametrize(
    ("slow", "least"),
    [
        ("perf-slow-import", {"P01.cold_start_ms": 700}),
        ("perf-slow-agreement", {"P02.handshake_ms": 500, "P02.list_p50_ms": 100}),
        ("perf-tail", {"P03.p95_ms": 40}),
    ],
)
def test_a_slow_server_has_a_number_that_is_far_from_its_twins(performance: Bench, slow: str, least: dict[str, float]) -> None:
    def far(one: Seen, other: Seen) -> bool:
        return all(number(one, name) > number(other, name) + apart for name, apart in least.items())

    one, other = performance.measured(far, Asked(slow, parameters=GIVEN), Asked(TWIN, parameters=GIVEN))
    assert far(one, other), {name: (number(one, name), number(other, name)) for name in least}
    assert one.failed() == other.failed() == {}


def test_the_knee_of_a_server_with_one_lock_is_found(performance: Bench) -> None:
    def told(locked: Seen, free: Seen) -> bool:
        return (
            number(locked, "P04.knee") <= 4 and number(free, "P04.knee") >= 8
            and number(locked, "P04.calls_per_s_16") < 2 * number(locked, "P04.calls_per_s_1")
            and number(free, "P04.calls_per_s_16") > 1.5 * number(locked, "P04.calls_per_s_16")
        )

    locked, free = performance.measured(told, Asked("perf-locked", parameters=GIVEN), Asked(TWIN, parameters=GIVEN))
    assert told(locked, free), (locked.said("P04"), free.said("P04"))
    assert "the knee is at" in locked.said("P04") and locked.failed() == {}


@pytest.mark.parametrize(
    "pair",
    [
        Pair("P01", "perf-unsure-start", TWIN, "start", parameters={**GIVEN, "sessions": 3}),
        Pair("P03", "perf-flaky", "perf-one-miss", "one at a time, failed", parameters=GIVEN),
        Pair("P04", "perf-refuses-many", "perf-queues-many", "calls fail with 4 at once", parameters=GIVEN),
        Pair("P05", "perf-hoard", "perf-cache", "memory", config=SMALL, parameters=SOAKED),
        Pair("P05", "perf-threads", "perf-cache", "", config=SMALL, parameters=SOAKED),
        Pair("P05", "perf-second-keeps", "perf-second-recalls", "weigh keeps memory of each call", parameters=GIVEN),
        Pair("P05", "perf-second-keeps", "perf-second-gathers", "does not level off", parameters=GIVEN),
        Pair("P05", "perf-keyed", "perf-keyed-least", "weigh keeps memory of each call", parameters=GIVEN),
        Pair("P07", "perf-leak", "perf-cache", "Memory grows", config=SMALL, parameters=SOAKED),
        Pair("P07", "perf-second-leaks", "perf-second-caches", "in the turns of weigh", parameters=SOAKED),
        Pair("P07", "perf-ages", "perf-cache", "times a fresh container's time", config=SMALL, parameters=SOAKED),
    ],
    ids=lambda pair: f"{pair.name}-{pair.good}",
)
def test_a_server_is_caught_by_the_bound_of_a_check_and_its_twin_is_not(performance: Bench, pair: Pair) -> None:
    performance.prove(pair)


# P06, in small: `python -m benchmarks compare` measures how often it is right


def compared(performance: Bench, before: str, now: str, **parameters: Any) -> Seen:
    """Test a server with another one as its baseline."""
    here = performance.here
    server = here.add(f"{now}-after-{before}-{time.monotonic_ns()}".replace(".", "-"), performance.image, now)
    configurations.add(here.core, ACTOR, server.id, name="before", config_data=ConfigData(command=(before,)).to_json())
    given = {"baseline": {"configuration": "before"}, "sessions": 1, "calls": 3, "concurrency": [1], **parameters}
    run, job = test_runs.request(here.core, ACTOR, server.id, types=("performance",), parameters=given)
    return Seen(here.report(run, here.wait(job, 120)))


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [("perf-sleep-40", "perf-sleep-40", "pass"), ("perf-sleep-40", "perf-sleep-48", "fail")],
)
def test_a_fifth_slower_than_the_baseline_is_seen_and_the_same_again_is_not(
    performance: Bench, before: str, now: str, verdict: str
) -> None:
    for _ in range(3):  # with so few pairs, what runs beside may leave it open
        seen = compared(performance, before, now, pairs=3)
        if seen.verdict("P06") != "undecided":
            break
    assert seen.verdict("P06") == verdict, seen.said("P06")


def test_a_server_that_fails_what_its_baseline_answers_is_caught(performance: Bench) -> None:
    seen = compared(performance, "perf-busy-0", "perf-flaky", pairs=3)
    assert seen.verdict("P06") == "fail" and "the baseline answers" in seen.said("P06")
    turned = compared(performance, "perf-flaky", "perf-busy-0", pairs=3)
    assert turned.verdict("P06") == "undecided" and "The baseline could not be measured" in turned.said("P06")


def test_without_a_tool_that_may_be_called_a_list_is_measured_and_the_cheapest_of_several_is(performance: Bench) -> None:
    writes = performance.run("perf-writes", parameters=GIVEN)
    assert writes.failed() == {} and "a list was measured" in writes.said("P03") and "tools/list" in writes.said("P03")
    dear = performance.run("perf-dear-and-cheap", parameters=GIVEN)
    assert dear.failed() == {} and [one["tool"] for one in dear.of("P03")] == ["quick"]
