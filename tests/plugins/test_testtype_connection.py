"""The connection test comes to ten verdicts about any server, however oddly it answers; the engine is a fake."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from mcpweb.bench.parent import execute
from mcpweb.bench.rows import CheckResultRow, RunRequest
from mcpweb.contracts import CheckResult, ConfigData
from mcpweb.core import Core, open_core
from mcpweb.testing.contracts import TestTypeContract
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import settings_for
from mcpweb.testing.tinyserver import Behaviour, tiny_server

ALL = [f"C{number:02}" for number in range(1, 11)]
HTTP = ConfigData(transport="http", port=8000, network="published")
Verdicts = dict[str, CheckResult]
Test = Callable[..., Verdicts]


class TestConnection(TestTypeContract):
    test_type = "connection"


class TestConnectionOverHttp(TestTypeContract):
    test_type = "connection"
    config = HTTP


def verdicts_of(core: Core, runtime: FakeRuntime, image: str, config: ConfigData | None = None, approved: str | None = None) -> Verdicts:
    """Run the connection test of an image and return its verdicts by check; each check has exactly one."""
    request = RunRequest(
        run_id="run_x", server={"id": "srv_x", "name": "odd", "image": image}, config=config or ConfigData(), types=("connection",),
        profile="quick", parameters={}, seed=1, approved_image_id=approved,
    )
    told: list[CheckResult] = []

    def keep(rows: Sequence[CheckResultRow]) -> None:
        told.extend(row.result for row in rows)

    outcome = execute(
        core, runtime, request, on_results=keep, progress=lambda fraction, message: None, cancelled=lambda: False,
        on_orphan=lambda container_id: None,
    )
    assert outcome.error is None
    assert sorted(one.check_id for one in told) == ALL, [(one.check_id, one.summary) for one in told]
    return {one.check_id: one for one in told}


@pytest.fixture
def connection(core: Core, runtime: FakeRuntime) -> Iterator[Test]:
    """Run the connection test of a fake server."""

    def test(behaviour: Behaviour | None = None, config: ConfigData | None = None, **more: Any) -> Verdicts:
        approved = more.pop("approved_image_id", None)
        runtime.add_image("odd:1", (lambda intent: behaviour) if behaviour else None, **more)
        return verdicts_of(core, runtime, "odd:1", config, approved)

    yield test
    assert runtime.containers(core.instance.id) == []


@pytest.fixture(scope="module")
def odd_runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Verdicts]]]:
    """The runs of all odd servers that were chosen, some at a time: they mostly wait for answers that do not come."""
    core, runtime = open_core(settings_for(tmp_path_factory.mktemp("odd")), role="cli"), FakeRuntime()
    core.use_runtime(runtime)
    chosen = [item.callspec.params for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    with ThreadPoolExecutor(24) as pool:
        runs = {}
        for number, name in enumerate(params["name"] for params in chosen if "name" in params):
            runtime.add_image(f"odd-{number}:1", lambda intent, name=name: ODD[name])
            runs[name] = pool.submit(verdicts_of, core, runtime, f"odd-{number}:1")
        yield runs
    assert runtime.containers(core.instance.id) == []
    runtime.close()
    core.close()


def wrong(verdicts: Verdicts) -> dict[str, str]:
    return {
        check: f"{one.verdict}: {one.summary}" for check, one in verdicts.items()
        if one.verdict not in ("pass", "not_applicable")
    }


def altered(change: Callable[[dict[str, Any], dict[str, Any]], Any], *, modern: bool = True) -> Behaviour:
    """Return the tiny server whose every answer goes through ``change(request, answer)``."""
    sound = tiny_server(modern=modern)

    def behave(line: bytes) -> Iterable[bytes]:
        for answer in sound(line):
            try:
                request = json.loads(line)
            except ValueError:
                request = {}
            yield json.dumps(change(request if isinstance(request, dict) else {}, json.loads(answer))).encode()

    return behave


def test_a_sound_server_of_either_era_passes(connection: Test) -> None:
    assert wrong(connection()) == {  # the tiny one is lax
        "C06": "fail: Tools/list without _meta is accepted; tools/list without protocolVersion is accepted; "
               "tools/list without clientCapabilities is accepted.",
    }
    assert wrong(connection(tiny_server(modern=False))) == {}


VALUES: list[Any] = ["text", 7, None, [], [1], True, {"resultType": 5}]


def odd_result(odd: Any, modern: bool) -> Behaviour:
    def change(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        if request.get("method") in ("server/discover", "initialize"):
            return answer
        return {"jsonrpc": "2.0", "id": answer.get("id"), "result": odd}

    return altered(change, modern=modern)


def odd_error(odd: Any) -> Behaviour:
    return altered(lambda request, answer: {**answer, "error": odd} if "error" in answer else answer)


def odd_handshake(field: str, odd: Any) -> Behaviour:
    def change(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        if request.get("method") == "initialize":
            answer["result"][field] = odd
        return answer

    return altered(change, modern=False)


RESULTS = {f"{era}-{odd!r}": odd_result(odd, era == "modern") for era in ("modern", "handshake") for odd in VALUES}
ERRORS = {f"error-{odd!r}": odd_error(odd) for odd in [*VALUES, {"code": "x"}, {"code": -32022, "data": ["supported"]}]}
FIELDS = ("serverInfo", "capabilities", "protocolVersion", "instructions")
HANDSHAKES = {f"{field}-{odd!r}": odd_handshake(field, odd) for field in FIELDS for odd in VALUES}
ODD = {**RESULTS, **ERRORS, **HANDSHAKES}


@pytest.mark.parametrize("name", RESULTS)
def test_odd_results_after_the_handshake_take_no_check_away(odd_runs: dict[str, Future[Verdicts]], name: str) -> None:
    verdicts = odd_runs[name].result()
    assert wrong(verdicts) and "undecided" not in {one.verdict for one in verdicts.values()}, wrong(verdicts)


@pytest.mark.parametrize("name", ERRORS)
def test_odd_errors_take_no_check_away(odd_runs: dict[str, Future[Verdicts]], name: str) -> None:
    verdicts = odd_runs[name].result()
    assert "undecided" not in {one.verdict for one in verdicts.values()}, wrong(verdicts)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_an_odd_handshake_is_told_and_takes_no_check_away(odd_runs: dict[str, Future[Verdicts]], name: str) -> None:
    verdicts = odd_runs[name].result()
    assert "undecided" not in {one.verdict for one in verdicts.values()}, wrong(verdicts)


def test_text_that_is_half_a_character_reaches_the_verdict(connection: Test) -> None:
    def change(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        if request.get("method") == "tools/list":
            return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": -1, "message": "half \ud800"}}
        return answer

    verdicts = connection(altered(change, modern=False))
    assert set(wrong(verdicts)) == {"C09"} and "half" in verdicts["C09"].summary
    json.dumps([verdicts["C09"].summary, dict(verdicts["C09"].evidence)], ensure_ascii=False).encode()


def test_another_image_than_the_approved_one_is_caught_and_the_approved_one_is_not(
    connection: Test, runtime: FakeRuntime
) -> None:
    assert connection(approved_image_id="sha256:" + "0" * 64)["C01"].verdict == "fail"
    assert connection(approved_image_id=None)["C01"].verdict == "pass"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"read_only_root": False}, "writable"), ({"capabilities": ("KILL",)}, "KILL"), ({"network": "outbound"}, "outside")],
)
def test_each_loosening_is_listed(connection: Test, change: dict[str, Any], said: str) -> None:
    verdict = connection(tiny_server(modern=False), replace(ConfigData(), **change))["C02"]
    assert verdict.verdict == "fail" and said in verdict.summary


def test_a_server_that_cannot_start_is_told_with_the_reason_and_a_next_step(connection: Test) -> None:
    verdicts = connection(start_failure="exec /nothing: no such file")
    assert set(wrong(verdicts)) == {"C03", "C05"} and "no such file" in verdicts["C03"].summary
    assert verdicts["C05"].next_step
    verdicts = connection(exit_code=3, greeting=b"bad luck\n")
    assert set(wrong(verdicts)) == {"C03", "C05"} and "exit code 3" in verdicts["C03"].summary
    assert "bad luck" in verdicts["C03"].evidence["stderr"]


def test_verdicts_carry_times_and_what_can_be_sent_again(connection: Test) -> None:
    verdicts = connection()
    assert {"create", "start", "handshake"} <= set(verdicts["C05"].evidence["timings_ms"])
    assert verdicts["C06"].input["method"] == "tools/list" and verdicts["C06"].next_step
