"""The performance test keeps the promises of test types, on sound servers and on servers of every bad kind."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from mcpweb.testing.contracts import TestTypeContract
from mcpweb.testing.tinyserver import Behaviour, tiny_server


class TestPerformance(TestTypeContract):
    test_type = "performance"

    def test_each_check_is_spoken_of_and_the_numbers_carry_their_names(self, run: Callable[..., Any]) -> None:
        ended = run(budget_s=None)
        said = {one.check_id: one for one in ended.results if one.key != "growth"}
        kept = [one for one in ended.results if one.key == "growth"]
        assert [one.verdict for one in kept] == ["pass"] and kept[0].evidence["tools"], kept
        assert sorted(said) == [f"P{number:02}" for number in range(1, 8)]
        assert said["P06"].verdict == said["P07"].verdict == "not_applicable"
        late = {f"P04.calls_per_s_{at_once}" for at_once in said["P04"].evidence["left_out"]}  # where a busy machine needs too long
        for check_id, names in NUMBERS.items():
            assert names - late <= set(said[check_id].metrics), check_id
        assert all(name.startswith(f"{one.check_id}.") for one in ended.results for name in one.metrics)
        measured = [one for one in ended.results if one.verdict == "pass"]
        for one in measured:
            assert one.evidence["harness_floor"]["p50_ms"] > 0 and one.evidence["machine"]["cpus"] and one.evidence["image"]["id"]

    def test_a_finding_says_with_which_parameters_it_is_seen_again(self, run: Callable[..., Any]) -> None:
        ended = run(_refuses, parameters={"sessions": 1})
        failed = next(one for one in ended.results if one.verdict == "fail")
        assert failed.check_id == "P03" and failed.tool == "echo"
        assert 'in the profile quick with the parameters {"sessions": 1, "tool": "echo", "arguments": {' in failed.reproduce

    def test_a_parameter_that_means_nothing_is_told_and_nothing_is_started(self, run: Callable[..., Any]) -> None:
        ended = run(parameters={"sesions": 3})
        assert [(one.verdict, "sesions" in one.summary) for one in ended.results] == [("undecided", True)]


def _refuses() -> Behaviour:
    """A server whose tools fail each fifth time."""
    sound, calls = tiny_server(), [0]

    def behave(line: bytes) -> Iterable[bytes]:
        message = json.loads(line)
        if message.get("method") == "tools/call":
            calls[0] += 1
            if calls[0] % 5 == 0:
                result = {"resultType": "complete", "isError": True, "content": [{"type": "text", "text": "Not now."}]}
                return [json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()]
        return sound(line)

    return behave


NUMBERS = {
    "P01": {"P01.cold_start_ms", "P01.handshake_ms"},
    "P02": {"P02.handshake_ms", "P02.list_p50_ms", "P02.list_p95_ms"},
    "P03": {"P03.p50_ms", "P03.p95_ms", "P03.error_share"},
    "P04": {"P04.knee", "P04.error_share", *(f"P04.calls_per_s_{at_once}" for at_once in (1, 2, 4, 8, 16))},
    "P05": {"P05.memory_peak_mb", "P05.cpu_ms_per_call", "P05.pids_peak"},
}
