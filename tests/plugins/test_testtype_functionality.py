"""The functionality test keeps the promises of a test type, also about servers that answer oddly; the engine is a fake."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from mcpweb.core import Core
from mcpweb.testing.contracts import TestTypeContract
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.testruns import Ended, carry_out
from mcpweb.testing.tinyserver import Behaviour, tiny_server

ALL = {f"F{number:02}" for number in range(1, 22)}
ODD: list[Any] = ["text", 7, None, [], [1], True, {"resultType": 5}, {"tools": [{"name": "x"}], "content": [{"type": 5}], "nextCursor": ""}]


class TestFunctionality(TestTypeContract):
    test_type = "functionality"


@pytest.fixture
def functionality(core: Core, runtime: FakeRuntime) -> Iterator[Callable[..., Ended]]:
    def test(behaviour: Callable[[], Behaviour], **more: Any) -> Ended:
        runtime.add_image("odd:1", lambda intent: behaviour())
        ended = carry_out(core, runtime, "functionality", image="odd:1", name="odd", **more)
        assert ended.outcome.error is None, ended.outcome.error
        return ended

    yield test
    assert runtime.containers(core.instance.id) == []


def altered(change: Callable[[dict[str, Any], dict[str, Any]], Any], *, modern: bool) -> Callable[[], Behaviour]:
    """Return a maker of tiny servers whose every answer goes through ``change(request, answer)``."""
    def make() -> Behaviour:
        sound = tiny_server(modern=modern)

        def behave(line: bytes) -> Iterable[bytes]:
            for answer in sound(line):
                yield json.dumps(change(json.loads(line), json.loads(answer))).encode()

        return behave

    return make


@pytest.mark.parametrize("modern", [True, False], ids=["modern", "handshake"])
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_answers_never_break_the_test(functionality: Callable[..., Ended], odd: Any, modern: bool) -> None:
    def change(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        if request.get("method") in ("server/discover", "initialize"):
            return answer
        return {"jsonrpc": "2.0", "id": answer.get("id"), "result": odd}

    ended = functionality(altered(change, modern=modern), budget_s=20.0)
    assert {one.check_id for one in ended.results} == ALL
    broke = [one.summary for one in ended.results if "The test type failed" in one.summary]
    assert broke == [] and any(one.verdict == "fail" for one in ended.results)


@pytest.mark.parametrize("odd", [*ODD, {"code": "x"}, {"code": True, "message": 5}], ids=repr)
def test_odd_calls_never_break_the_test(functionality: Callable[..., Ended], odd: Any) -> None:
    def change(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        if request.get("method") != "tools/call":
            return answer
        return {"jsonrpc": "2.0", "id": answer.get("id"), ("error" if isinstance(odd, dict) and "code" in odd else "result"): odd}

    ended = functionality(altered(change, modern=False), budget_s=20.0)
    assert {one.check_id for one in ended.results} == ALL
    assert [one.summary for one in ended.results if "The test type failed" in one.summary] == []


def test_a_tool_without_a_schema_is_told_and_its_saved_case_still_called(functionality: Callable[..., Ended]) -> None:
    def change(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        for tool in answer.get("result", {}).get("tools", []):
            tool.pop("inputSchema", None)
        return answer

    saved = {"id": "tcs_1", "name": "add", "tool": "add", "arguments": {"a": 1, "b": 2}, "assertions": [{"kind": "is_error", "value": False}]}
    ended = functionality(altered(change, modern=False), cases=[saved])
    assert [one.summary for one in ended.results if "The test type failed" in one.summary] == []
    assert {one.verdict for one in ended.results if one.check_id == "F03"} == {"fail"}
    assert [one.verdict for one in ended.results if one.check_id == "F21"] == ["pass"]


def test_null_for_what_is_absent_is_a_note_and_another_type_an_alarm(functionality: Callable[..., Ended]) -> None:
    def nulls(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        if request.get("method") == "tools/list":
            answer["result"]["nextCursor"] = None
        return answer

    def numbers(request: dict[str, Any], answer: dict[str, Any]) -> Any:
        if request.get("method") == "tools/list":
            answer["result"]["nextCursor"] = 5
        return answer

    (note,) = [one for one in functionality(altered(nulls, modern=False), parameters={"checks": ["F01"]}).results if one.check_id == "F01"]
    (alarm,) = [one for one in functionality(altered(numbers, modern=False), parameters={"checks": ["F01"]}).results if one.check_id == "F01"]
    assert (note.verdict, note.severity) == ("fail", "low") and (alarm.verdict, alarm.severity) == ("fail", "high")
    assert alarm.key == "tools/list/nextCursor" and alarm.input["method"] == "tools/list" and alarm.evidence["revision"]


def test_only_the_checks_that_are_named_are_carried_out(functionality: Callable[..., Ended]) -> None:
    ended = functionality(tiny_server, parameters={"checks": ["F02", "F14", "nonsense"]})
    assert {one.check_id for one in ended.results} == {"F02", "F14"}
