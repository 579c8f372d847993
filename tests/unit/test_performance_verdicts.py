"""What the performance test asks of a run's parameters, and what it says of numbers, without a server."""
from __future__ import annotations

import math
import random
import time
from types import SimpleNamespace
from typing import Any

import pytest

from mcpweb import paths
from mcpweb.contracts import ConfigData, InputCase, Load, Stats, Timed
from mcpweb.errors import InvalidInput
from mcpweb.pluginhost import import_folder
from tests.sizes import size

import_folder("testtype_performance", paths.PLUGINS / "testtype_performance")

from mcpweb_plugins.testtype_performance import compare, growth, measure, plan, soak  # noqa: E402 - exists from here on
from mcpweb_plugins.testtype_performance import statistics as st  # noqa: E402
from mcpweb_plugins.testtype_performance import target as targets  # noqa: E402

TARGET = targets.Target("tools/call", "work", {})
FLOOR = {"p50_ms": 0.3}


def context(profile: str = "quick", seed: int = 1, **parameters: Any) -> Any:
    return SimpleNamespace(profile=profile, parameters=parameters, seed=seed, baseline={"image": "before:1"}, config=ConfigData())


def load(*latencies: float, wrong: str = "", wrongs: int = 0, wall_s: float = 1.0) -> Load:
    calls = [Timed(ms, "ok") for ms in latencies] + [Timed(1.0, wrong, "no")] * wrongs  # type: ignore[list-item]
    return Load(tuple(calls), wall_s)


# Parameters


def test_parameters_change_the_plan_of_the_profile() -> None:
    found = plan.plan_of(context(tool="work", arguments={"a": 1}, sessions=3, calls=7, concurrency=[8, 2], pairs=5, soak_s=9))
    assert (found.tool, found.arguments, found.sessions, found.calls) == ("work", {"a": 1}, 3, 7)
    assert found.concurrency == (1, 2, 8) and (found.pairs, found.pairs_named, found.soak_s) == (5, True, 9)
    assert plan.plan_of(context()) == plan.PROFILES["quick"] and not plan.PROFILES["quick"].soak_s
    assert plan.plan_of(context("full")).sessions >= 5
    assert plan.plan_of(context(sessions=3, performance={"sessions": 4}, functionality={"anything": 1}, checks=["F21"])).sessions == 4


@pytest.mark.parametrize(
    "wrong",
    [{"session": 3}, {"sessions": 0}, {"sessions": "3"}, {"sessions": True}, {"calls": 1.5}, {"pairs": 2}, {"concurrency": 4},
     {"concurrency": []}, {"concurrency": [0]}, {"concurrency": [1, "2"]}, {"concurrency": [65]}, {"tool": ""}, {"tool": 3},
     {"arguments": {}}, {"tool": "a", "arguments": [1]}, {"soak_s": -1}, {"performance": 3}, {"performance": {"x": 1}}],
    ids=str,
)
def test_a_parameter_that_means_nothing_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan.plan_of(context(**wrong))
    name = "x" if wrong == {"performance": {"x": 1}} else list(wrong)[-1]
    assert name in refused.value.detail


# What is measured


class Tools:
    """A session with tools: of each how long it takes, None for an error."""

    def __init__(self, *definitions: dict[str, Any], **took: float | None) -> None:
        self.definitions, self.took = definitions, took
        self.capabilities = {"tools": {}}
        self.called: list[str] = []

    def listing(self, what: str) -> Any:
        return list(self.definitions)

    def load(self, tool: str, arguments: Any, *, calls: int, concurrency: int = 1, deadline_s: float = 30) -> Load:
        self.called.append(tool)
        took = self.took[tool]
        return Load((Timed(1.0, "is_error") if took is None else Timed(took, "ok"),), 0.01)


def tool(name: str, *required: str, **hints: bool) -> dict[str, Any]:
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in required}, "required": list(required)}
    return {"name": name, "inputSchema": schema, "annotations": hints}


def asking(network: str = "none", **parameters: Any) -> Any:
    made = context(**parameters)
    made.config = ConfigData(network=network)  # type: ignore[arg-type]
    made.may_see_secrets = lambda definition: (definition.get("annotations") or {}).get("readOnlyHint") is True
    made.inputs = lambda definition, valid, invalid: [
        InputCase("long", {"text": "a longer text"}, True), InputCase("bad", {}, False), InputCase("short", {"text": "a"}, True)
    ]
    return made


READ = {"readOnlyHint": True, "openWorldHint": False}


def test_the_cheapest_read_only_tool_that_answers_is_measured_with_its_smallest_input() -> None:
    session = Tools(
        tool("dear", "a", **READ), tool("fails", **READ), tool("deletes", readOnlyHint=False), tool("untold"), tool("cheap", "a", **READ),
        dear=180.0, fails=None, cheap=2.0,
    )
    found = targets.choose(asking(), session, plan.PROFILES["quick"])
    assert (found.tool, found.arguments, found.canaries) == ("cheap", {"text": "a"}, False)
    assert not {"deletes", "untold"} & set(session.called)


def test_a_tool_that_reads_outside_is_not_put_under_load_where_it_can_reach_outside() -> None:
    session = Tools(tool("search", readOnlyHint=True), search=1.0)
    assert targets.choose(asking("outbound"), session, plan.PROFILES["quick"]).method == "tools/list"
    assert session.called == []
    assert targets.choose(asking("none"), session, plan.PROFILES["quick"]).tool == "search"
    assert targets.choose(asking("outbound"), session, plan.plan_of(context(tool="search"))).tool == "search"


def test_without_a_tool_that_may_be_called_a_list_is_measured_and_said_so() -> None:
    found = targets.choose(asking(), Tools(tool("deletes", readOnlyHint=False)), plan.PROFILES["quick"])
    assert (found.method, found.tool, found.where) == ("tools/list", "", "*") and "a list was measured" in found.note


def test_a_tool_that_writes_is_measured_only_when_named_with_arguments_and_without_secrets() -> None:
    session = Tools(tool("deletes", readOnlyHint=False), deletes=1.0)
    with pytest.raises(InvalidInput, match="not marked read-only"):
        targets.choose(asking(), session, plan.plan_of(context(tool="deletes")))
    found = targets.choose(asking(), session, plan.plan_of(context(tool="deletes", arguments={"a": 1})))
    assert found.canaries and found.arguments == {"a": 1} and session.called == []
    with pytest.raises(InvalidInput, match="no tool named"):
        targets.choose(asking(), session, plan.plan_of(context(tool="nothing")))


# Verdicts


def starts(*totals: float) -> measure.Measured:
    return measure.Measured(starts=[{"create": 10.0, "start": 90.0, "handshake": total - 100} for total in totals])


def test_a_cold_start_is_the_sum_of_its_steps_and_fails_when_starts_fail() -> None:
    found = measure.cold_start(starts(300, 500, 400), 1)
    assert found.verdict == "pass" and found.metrics["P01.cold_start_ms"] == 400 and "handshake" in found.summary and "n = 3" in found.summary
    broken = starts(300)
    broken.refused = ["It exited."]
    found = measure.cold_start(broken, 1)
    assert found.verdict == "fail" and "1 of 2 starts failed" in found.summary


def test_the_wait_for_a_server_that_ignores_the_probe_is_told_beside_its_start() -> None:
    silent = starts(2900, 400, 420)
    silent.silent = True
    assert measure.cold_start(silent, 1).metrics["P01.cold_start_ms"] == 410
    assert "server/discover gets no answer" in measure.list_latency(silent, "tools/list", 1).summary


def test_p99_is_told_from_five_hundred_calls_on() -> None:
    few = measure.Measured(loads=[load(*[2.0] * 499)])
    assert "P03.p99_ms" not in measure.call_latency(few, TARGET, FLOOR, 1).metrics
    many = measure.Measured(loads=[load(*[2.0] * 250), load(*[3.0] * 250)])
    found = measure.call_latency(many, TARGET, FLOOR, 1)
    assert found.metrics["P03.p99_ms"] == 3 and "n = 500 in 2 sessions" in found.summary and "0.3 ms" in found.summary


@pytest.mark.parametrize(
    ("wrong", "wrongs", "verdict"),
    [("is_error", 1, "pass"), ("is_error", 2, "pass"), ("rpc_error", 2, "pass"), ("is_error", 3, "fail"), ("rpc_error", 5, "fail"), ("timeout", 1, "fail"),
     ("gone", 1, "fail")],
)
def test_one_error_in_a_hundred_is_forgiven_and_a_lost_reply_never(wrong: str, wrongs: int, verdict: str) -> None:
    measured = measure.Measured(loads=[load(*[2.0] * (200 - wrongs), wrong=wrong, wrongs=wrongs)])
    found = measure.call_latency(measured, TARGET, FLOOR, 1)
    assert found.verdict == verdict and found.timed_out == (wrong == "timeout")


def test_throughput_fails_for_what_fails_only_at_once() -> None:
    fine = [measure.Level(1, load(*[5.0] * 100)), measure.Level(4, load(*[5.0] * 390))]
    found = measure.throughput(fine, TARGET, (1, 4), FLOOR)
    assert found.verdict == "pass" and found.metrics["P04.calls_per_s_4"] == 390 and "no knee up to 4" in found.summary
    refused = [fine[0], measure.Level(4, load(*[5.0] * 300, wrong="rpc_error", wrongs=90))]
    found = measure.throughput(refused, TARGET, (1, 4), FLOOR)
    assert found.verdict == "fail" and "90 of 390 calls fail with 4 at once" in found.summary
    always = [measure.Level(1, load(*[5.0] * 90, wrong="rpc_error", wrongs=10)), refused[1]]
    assert measure.throughput(always, TARGET, (1, 4), FLOOR).verdict == "pass"  # P03 tells of that


def state(**changes: Any) -> Any:
    given = {"oom_killed": False, "running": True, "exit_code": None, "raw": {"HostConfig": {"PidsLimit": 100}}, **changes}
    return SimpleNamespace(inspect=lambda: SimpleNamespace(**given), stderr=lambda: "")


def sample(memory: int, pids: int = 10, cpu: float = 50.0) -> Stats:
    return Stats(at="now", cpu_percent=cpu, memory_bytes=memory << 20, memory_limit=100 << 20, pids=pids)


def test_what_comes_near_its_limit_fails() -> None:
    assert measure.usage([sample(20), sample(80)], state(), 10).verdict == "pass"
    assert "memory (95 of 100 MiB)" in measure.usage([sample(20), sample(95)], state(), 10).summary
    assert "processes (95 of 100)" in measure.usage([sample(20, pids=95)], state(), 10).summary
    killed = measure.usage([], state(oom_killed=True, running=False), 10)
    assert killed.verdict == "fail" and "more memory than its limit" in killed.summary
    assert measure.usage([], state(), 10).verdict == "undecided"


# The comparison


def test_calls_alternate_so_that_neighbours_change_places() -> None:
    told = ""

    def call(name: str) -> Any:
        def made() -> float:
            nonlocal told
            told += name
            return 1.0

        return made

    ones, twos = compare.in_turns(call("A"), call("B"), 4, time.monotonic() + 10)
    assert told == "ABBABAABABBABAAB" and len(ones) == len(twos) == 8
    ones, _ = compare.in_turns(call("A"), call("B"), 50, time.monotonic() - 1)
    assert len(ones) == 2 * compare.QUADS[0]  # time is up: the least there must be


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict", "word"),
    [
        (1.051, 1.2, 1.3, "fail", "Slower"),
        (1.049, 1.12, 1.19, "pass", "Not slower"),
        (0.99, 1.0, 1.01, "pass", "Not slower"),
        (0.8, 0.85, 0.9, "pass", "Faster"),
        (0.9, 1.05, 1.21, "undecided", "Too noisy"),
    ],
)
def test_slower_is_said_only_when_the_whole_interval_is_above_the_bound(
    low: float, value: float, high: float, verdict: str, word: str
) -> None:
    found = compare.Comparison()
    found.add([1.0] * 20, [value] * 20)
    usual, noisy = st.Estimate(value, low, high), st.Estimate(1.1, 0.5, 2)
    judged = compare.judged({compare.USUAL: usual, compare.QUICKEST: noisy}, found, TARGET, context(), 1.0)
    turned = compare.judged({compare.USUAL: noisy, compare.QUICKEST: usual}, found, TARGET, context(), 1.0)
    assert turned.verdict == verdict and "at its quickest" in turned.summary and "quickest" not in judged.summary
    assert judged.verdict == verdict and judged.summary.startswith(word) and judged.metrics["P06.ratio"] == value


def simulated(ratio: float, seed: int, pairs: int = 4) -> str:
    """A comparison on a machine whose speed wanders by half, and whose containers differ by 2 %."""
    rng, found = random.Random(seed), compare.Comparison()
    weather = 0.0
    for _ in range(pairs):
        own = (math.exp(rng.gauss(0, 0.02)), math.exp(rng.gauss(0, 0.02)))
        firsts, seconds = [], []
        for _ in range(100):
            weather = 0.9 * weather + rng.gauss(0, 0.2)
            firsts.append(2 * own[0] * math.exp(weather + rng.gauss(0, 0.1)) * (10 if rng.random() < 0.03 else 1))
            seconds.append(2 * ratio * own[1] * math.exp(weather + rng.gauss(0, 0.1)) * (10 if rng.random() < 0.03 else 1))
        found.add(firsts, seconds)
    return compare.judged(found.ratios(seed), found, TARGET, context(), 1.0).verdict


def test_of_simulated_equals_none_is_blamed_and_a_fifth_more_is_seen() -> None:
    assert sum(simulated(1.0, seed) == "fail" for seed in range(size(8, 100))) == 0
    assert all(simulated(1.2, seed) == "fail" for seed in range(size(8, 100)))


def test_what_others_do_on_the_machine_does_not_hide_a_fifth_more() -> None:
    """Most calls wait for others, for much longer than they take."""
    def found(ratio: float, seed: int) -> str:
        rng, compared = random.Random(seed), compare.Comparison()
        for _ in range(4):
            firsts, seconds = ([take + rng.expovariate(1 / 8) * (rng.random() < 0.7) for _ in range(100)] for take in (2.0, 2 * ratio))
            compared.add(firsts, seconds)
        return compare.judged(compared.ratios(seed), compared, TARGET, context(), 1.0).verdict

    seeds = range(size(4, 50))
    assert {found(1.2, seed) for seed in seeds} == {"fail"}
    assert "fail" not in {found(1.0, seed) for seed in seeds}


# The soak


def soaked(memory: Any, calls: int = 100) -> soak.Soaked:
    found = soak.Soaked(seconds=20.0, limit=512 << 20)
    for _ in range(20):
        found.calls += calls
        found.points.append((found.calls, int(memory(found.calls))))
    return found


MIB = 1 << 20
WANDER = random.Random(6)


@pytest.mark.parametrize(
    ("memory", "verdict"),
    [
        (lambda calls: 30 * MIB + 5000 * calls, "fail"),  # each call leaves something
        (lambda calls: 30 * MIB + 5000 * min(calls, 900), "pass"),  # a cache that is full before half-time
        (lambda calls: 30 * MIB + WANDER.gauss(0, MIB), "pass"),
        (lambda calls: 30 * MIB + 100 * calls, "pass"),  # 0.1 MiB in the second half: an allocator's business
        (lambda calls: 30 * MIB + 2e5 * math.log(calls) * 20, "pass"),  # flattens
    ],
)
def test_memory_fails_when_it_still_grows_at_the_end(memory: Any, verdict: str) -> None:
    (found,) = soak.memory(soaked(memory), state(), TARGET, 20.0)
    assert found.verdict == verdict, found.summary


def test_a_soak_that_ends_early_says_how() -> None:
    found = soaked(lambda calls: 30 * MIB)
    (killed,) = soak.memory(found, state(oom_killed=True, running=False), TARGET, 20.0)
    assert killed.verdict == "fail" and killed.severity == "high" and "after 2000 calls" in killed.summary.lower()
    found.points = found.points[:5]
    (early,) = soak.memory(found, state(), TARGET, 20.0)
    assert early.verdict == "undecided"


@pytest.mark.parametrize(("leak", "named"), [("second", {"second"}), ("both", {"work", "second"}), ("", set())])
def test_a_tool_is_named_in_whose_turns_memory_grows(leak: str, named: set[str]) -> None:
    found = soak.Soaked(turns=[soak.Turns(targets.Target("tools/call", tool, {}), 50) for tool in ("work", "second")])
    size = 30 * MIB
    for _ in range(20):
        for turns in found.turns:
            grown = 50 * 5000 if leak in (turns.target.tool, "both") else 0
            found.calls, size, turns.calls = found.calls + 50, size + grown, turns.calls + 50
            turns.gained.append((found.calls, grown))
        found.points.append((found.calls, size))
    told = list(soak.memory(found, state(), TARGET, 20.0))
    assert {one.tool for one in told if one.verdict == "fail"} == named
    found.may_keep = 6000  # what a tool that stores things may keep
    assert [one.verdict for one in soak.memory(found, state(), TARGET, 20.0)] == ["pass"]


def test_a_server_that_slows_down_with_use_is_told_from_one_that_does_not() -> None:
    found = soaked(lambda calls: 30 * MIB)
    found.stretches = [[1.0, 2.0]] * 6
    rng = random.Random(7)
    young = [math.exp(rng.gauss(0, 0.2)) for _ in range(120)]
    same, slow = ([ratio * math.exp(rng.gauss(0, 0.2)) for _ in range(120)] for ratio in (1.05, 1.5))
    assert soak.latency(found, young, same, TARGET, 1).verdict == "pass"
    aged = soak.latency(found, young, slow, TARGET, 1)
    assert aged.verdict == "fail" and aged.metrics["P07.p99_drift"] == 1


# P05: what a tool keeps


def kept(memory: Any, blocks: int = 40, block: int = 32, limit_mb: int = 512) -> list[Any]:
    """Return what is said of a tool after whose calls there is so much memory, asked as long as the long look asks."""
    found = growth.Kept("work", growth.LEAST_KEPT, True, {}, limit=limit_mb << 20)
    for at in range(blocks + 1):
        found.points.append((at * block, int(memory(at * block))))
        if at == 2 and not found.suspect():
            break
        if at > 2 and (found.levelled() or found.enough()):
            break
    return list(growth.said_of([found], ["work"], 1.0))


KIB, START = 1 << 10, 30 << 20


@pytest.mark.parametrize(
    ("memory", "verdict"),
    [
        (lambda n: START + n * 128 * KIB, "fail"),
        (lambda n: START + n * 20 * KIB + random.Random(n).randrange(100 * KIB), "fail"),
        (lambda n: START + n * 128 * KIB + n % 320 * 40 * KIB, "fail"),  # garbage on top, of which a leak is no part
        (lambda n: START + random.Random(n).randrange(2 << 20), "pass"),
        (lambda n: START + n * 4 * KIB, "pass"),  # for the soak
        (lambda n: START + min(n, 200) * 128 * KIB, "pass"),
        (lambda n: START + min(n, 700) * 64 * KIB, "pass"),
        (lambda n: START + (60 << 20) * (1 - math.exp(-n / 150)), "pass"),  # a heap that finds its size
        (lambda n: START + min(n, 100) * 64 * KIB + n * 12 * KIB, "pass"),  # for the soak, too
        (lambda n: START + n % 250 * 128 * KIB, "pass"),
        (lambda n: START + n % 600 * 100 * KIB, "pass"),
    ],
    ids=["leak", "small", "leak-and-garbage", "noise", "drift", "cache", "large-cache", "heap", "slows-down", "collected", "collected-late"],
)
def test_memory_that_is_kept_of_each_call_is_told_from_memory_that_levels_off_or_comes_back(memory: Any, verdict: str) -> None:
    said = kept(memory)
    assert [one.verdict for one in said] == [verdict], said
    if verdict == "fail":
        assert said[0].tool == "work" and said[0].reproduce and said[0].evidence["kept_bytes_per_call"]


def test_too_few_calls_of_a_tool_whose_memory_grows_decide_nothing() -> None:
    assert [one.verdict for one in kept(lambda n: START + n * 128 * KIB, blocks=8, block=8)] == ["undecided"]


def test_inputs_differ_from_call_to_call_where_the_schema_leaves_room() -> None:
    schema = {"properties": {
        "text": {"type": "string", "maxLength": 10}, "word": {"type": "string", "enum": ["a"]}, "url": {"type": "string", "format": "uri"},
        "count": {"type": "integer", "minimum": 3, "maximum": 5}, "flag": {"type": "boolean"},
    }}
    free = growth.free_properties(schema)
    assert free == {"text": 10, "count": (3, 5)}
    made = growth.Feed([{"text": "0123456789", "word": "a", "count": 5, "flag": True}], free).take(60)
    assert len({one["text"] for one in made}) == 60 and {one["count"] for one in made} == {3, 4, 5}
    assert all(len(one["text"]) <= 10 and one["word"] == "a" and one["flag"] is True for one in made)
