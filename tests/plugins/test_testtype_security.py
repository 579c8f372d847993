"""The security test keeps what every test type must, and comes to verdicts about servers that say odd things."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from mcpweb.contracts import ContainerIntent, SecretDelivery, Sensitive
from mcpweb.core import Core
from mcpweb.redaction import Redactor
from mcpweb.services.pins import named
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.testruns import Ended, carry_out
from mcpweb.testing.testtypecontract import TestTypeContract
from mcpweb.testing.tinyserver import TOOLS, Behaviour, tiny_server


class TestSecurity(TestTypeContract):
    """What is said without an attack."""

    test_type = "security"
    fields = {"parameters": {"checks": ["K", "I", "M"]}}


ODD: list[Any] = [
    {"name": "a\x00b", "description": ["not", "a", "text"], "inputSchema": "no schema"}, {"name": "x" * 5000, "inputSchema": {"properties": []}},
    {"name": "deep", "inputSchema": json.loads('{"a":' * 120 + "1" + "}" * 120)}, {"annotations": 7, "icons": "no"},
    {"name": "loop", "inputSchema": {"$ref": "#", "pattern": "(" * 200 + "a" + ")*" * 200}}, {"name": "many", "inputSchema": {"enum": ["v"] * 30000}},
    {"name": "wide", "inputSchema": {"type": "object", "properties": {f"p{n}": {"type": "string", "description": "Ignore it. " * 40} for n in range(400)}}},
]


def odd() -> Behaviour:
    """Answer tools/list with definitions that are none."""
    sound = tiny_server(modern=False)

    def behave(line: bytes) -> Iterable[bytes]:
        if b"tools/list" in line:
            return [json.dumps({"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": {"tools": [*ODD, *TOOLS]}}).encode()]
        return sound(line)

    return behave


def run(core: Core, runtime: FakeRuntime, behaviour: Callable[[], Behaviour], **more: Any) -> Ended:
    runtime.add_image("odd:1", lambda intent: behaviour())
    return carry_out(core, runtime, "security", image="odd:1", name="odd", **{"parameters": {"checks": ["K", "I", "M"]}, **more})


def test_definitions_of_every_odd_kind_are_read_without_a_check_breaking(core: Core, runtime: FakeRuntime) -> None:
    ended = run(core, runtime, odd, budget_s=150.0)
    broken = {one.check_id: one.summary for one in ended.results if one.verdict == "undecided" and one.evidence.get("code") == "test_error"}
    assert broken == {} and ended.outcome.error is None
    assert {one.check_id for one in ended.results if one.check_id[0] == "M"} == {f"M{number:02}" for number in range(1, 12)}
    assert any(one.check_id == "M11" and one.verdict == "fail" for one in ended.results)


def test_without_a_list_of_tools_nothing_that_is_told_passes(core: Core, runtime: FakeRuntime) -> None:
    def refuses() -> Behaviour:
        sound = tiny_server(modern=False)

        def behave(line: bytes) -> Iterable[bytes]:
            if b"tools/list" in line:
                return [json.dumps({"jsonrpc": "2.0", "id": json.loads(line)["id"], "error": {"code": -32603, "message": "no"}}).encode()]
            return sound(line)

        return behave

    ended = run(core, runtime, refuses)
    assert {one.verdict for one in ended.results if one.check_id in ("M01", "M02", "M07", "M11")} == {"undecided"}


def test_what_was_approved_is_held_against_what_is_served(core: Core, runtime: FakeRuntime) -> None:
    from mcpweb.plugin import pin_hash

    other = {**TOOLS[0], "description": "Something else."}
    pins = [{"kind": "tool", "name": tool["name"], "hash": pin_hash(tool), "definition": tool} for tool in (other, *TOOLS[1:])]
    ended = run(core, runtime, tiny_server, pins=pins)
    changed = [one for one in ended.results if one.check_id == "M05" and one.verdict == "fail"]
    assert [(one.tool, one.severity) for one in changed] == [(TOOLS[0]["name"], "high")]
    assert changed[0].evidence["changes"][0]["before"] == "Something else."
    pins[0] = {"kind": "tool", "name": TOOLS[0]["name"], "hash": pin_hash(TOOLS[0]), "definition": TOOLS[0]}
    same = run(core, runtime, tiny_server, pins=pins)
    assert [one.verdict for one in same.results if one.check_id == "M05"] == ["pass"]


REAL = Sensitive("s3cr3t-tenant-name-0815")
GIVEN = (SecretDelivery("TENANT", REAL, "environment"),)


def telling(core: Core, runtime: FakeRuntime, words: str, approved: str, **more: Any) -> list[tuple[str, str, str]]:
    """Return what M05 says of a server whose description holds what it was given as its secret; a pin is of other words."""

    def tools(words: str, value: str) -> list[dict[str, Any]]:
        return [{**TOOLS[0], "description": f"{words} {value}."}, *TOOLS[1:]]

    def served(intent: ContainerIntent) -> Behaviour:
        return tiny_server(tools=tools(words, "".join(one.value.reveal() for one in intent.secrets)))

    runtime.add_image("telling:1", served)
    seen = named("tool", tools(approved, REAL.reveal()), Redactor([REAL], patterns=False), Redactor([REAL]))
    pins = [{"kind": "tool", "name": one.name, "hash": one.hash, "definition": one.definition} for one in seen]
    assert REAL.reveal() not in json.dumps(pins)
    ended = carry_out(core, runtime, "security", image="telling:1", secrets=GIVEN, pins=pins, parameters={"checks": ["M05"]}, **more)
    assert ended.outcome.error is None and REAL.reveal() not in str(ended.rows)
    return [(one.verdict, one.severity or "", one.key) for one in ended.results if one.check_id == "M05"]


def test_a_secret_in_a_description_is_no_change_and_hides_none(core: Core, runtime: FakeRuntime) -> None:
    assert telling(core, runtime, "Return the text of", "Return the text of") == [("pass", "", "")]
    assert telling(core, runtime, "Return all texts of", "Return the text of") == [("fail", "high", "approved:/tools/echo")]


def test_a_list_that_nobody_has_looked_at_yet_was_not_left_out_of_an_approval(core: Core, runtime: FakeRuntime) -> None:
    assert telling(core, runtime, "Of", "Of", pinned=()) == [("pass", "", "")]
    runtime.add_image("odd:1", lambda intent: tiny_server())
    verdicts = {}
    for pinned in ((), ("prompt",), ("tool",)):
        ended = carry_out(core, runtime, "security", image="odd:1", parameters={"checks": ["M05"]}, pinned=pinned)
        verdicts[pinned] = {one.verdict for one in ended.results if one.check_id == "M05"}
    assert verdicts == {(): {"pass"}, ("prompt",): {"pass"}, ("tool",): {"fail"}}
