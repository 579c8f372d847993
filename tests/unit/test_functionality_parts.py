"""Parts of the functionality test that need no server: frames against schemas, learning from results, assertions."""
from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest

from mcpweb.bench import inputs
from mcpweb.contracts import Frame
from mcpweb.core import load_plugins
from mcpweb.errors import TestError
from mcpweb.settings import load

ROOT = Path(__file__).resolve().parents[2]
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
CONTEXT: Any = SimpleNamespace(value_faults=inputs.value_faults)


@pytest.fixture(scope="module")
def parts() -> Any:
    load_plugins(load({"MCPWEB_DATA_DIR": "/nowhere"}))
    return lambda name: importlib.import_module(f"mcpweb_plugins.testtype_functionality.{name}")


def frames(*pairs: tuple[str, Any]) -> list[Frame]:
    return [Frame(at, "sent" if way == ">" else "received", 1, b"", message) for at, (way, message) in enumerate(pairs)]


def exchanged(method: str, result: Any, **params: Any) -> list[Frame]:
    return frames((">", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), ("<", {"jsonrpc": "2.0", "id": 1, "result": result}))


TEXT = {"type": "text", "text": "hello"}
TOOL = {"name": "add", "inputSchema": {"type": "object"}}
CACHE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
SOUND: list[tuple[str, str, Any]] = [
    *((revision, "tools/list", {"tools": [TOOL], "x-more": {"free": 1}}) for revision in REVISIONS[:4]),
    *((revision, "tools/call", {"content": [TEXT], "isError": True}) for revision in REVISIONS[:4]),
    ("2026-07-28", "tools/list", {"tools": [TOOL], **CACHE}), ("2026-07-28", "tools/call", {"content": [], "resultType": "complete"}),
    ("2026-07-28", "tools/call", {"resultType": "input_required", "requestState": "x"}),
    ("2024-11-05", "tools/list", {"tools": [{**TOOL, "annotations": "free in this revision"}]}),
    ("2025-06-18", "tools/call", {"content": [{"type": "resource_link", "uri": "a:b", "name": "b"}]}),
]
BROKEN: list[tuple[str, str, Any, str]] = [
    *((revision, "tools/list", {"tools": [{"name": "add"}]}, "/tools/0/inputSchema") for revision in REVISIONS),
    *((revision, "tools/call", {"content": [{"type": "text"}], "resultType": "complete"}, "/content/0/text") for revision in REVISIONS),
    *((revision, "tools/call", {"content": "text", "resultType": "complete"}, "/content") for revision in REVISIONS),
    ("2024-11-05", "tools/call", {"content": [{"type": "audio", "data": "", "mimeType": "audio/wav"}]}, "/content/0/type"),
    ("2025-03-26", "tools/call", {"content": [{"type": "resource_link", "uri": "a:b", "name": "b"}]}, "/content/0/type"),
    ("2025-11-25", "tools/list", {"tools": [{**TOOL, "annotations": "free"}]}, "/tools/0/annotations"),
    ("2026-07-28", "tools/call", {"resultType": "input_required", "requestState": 5}, "/requestState"),
]


@pytest.mark.parametrize(("revision", "method", "result"), SOUND)
def test_a_sound_message_fits_its_revision(parts: Any, revision: str, method: str, result: Any) -> None:
    assert [one.said for one in parts("wire").misfits(exchanged(method, result), revision)] == []


@pytest.mark.parametrize(("revision", "method", "result", "at"), BROKEN)
def test_a_broken_message_is_told_where_it_breaks(parts: Any, revision: str, method: str, result: Any, at: str) -> None:
    assert at in [one.at for one in parts("wire").misfits(exchanged(method, result), revision)]


def test_null_is_told_from_another_type_and_one_place_of_a_list_from_the_other(parts: Any) -> None:
    result = {"tools": [{**TOOL, "description": None}, {**TOOL, "description": 5}]}
    one, other = parts("wire").misfits(exchanged("tools/list", result), "2025-11-25")
    assert (one.null, other.null) == (True, False) and one.place == other.place == "/tools/*/description"


@pytest.mark.parametrize("message", [
    {"jsonrpc": "1.0", "id": 1, "result": {}}, {"jsonrpc": "2.0", "id": 1}, {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": "x", "message": "y"}}, {"jsonrpc": "2.0", "id": None, "method": "ping"},
    {"jsonrpc": "2.0", "id": 1, "result": "text"}, {"jsonrpc": "2.0", "id": 1, "error": {"code": 5}},
], ids=repr)
def test_what_is_no_message_of_json_rpc_is_told(parts: Any, message: Any) -> None:
    assert list(parts("wire").misfits(frames(("<", message)), "2025-11-25"))
    assert list(parts("wire").broken([json.dumps(message).encode()]))


def test_notifications_and_requests_of_servers_are_looked_at_too(parts: Any) -> None:
    misfits = parts("wire").misfits
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": "half"}}
    assert {one.at for one in misfits(frames(("<", progress)), "2025-11-25")} == {"/params/progress", "/params/progressToken"}
    own = {"jsonrpc": "2.0", "method": "notifications/of-their-own", "params": 5}
    assert list(misfits(frames(("<", own)), "2025-11-25")) == []


def test_the_vendored_schemas_are_those_the_models_give_and_all_of_them_compile(parts: Any) -> None:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "protocol_schemas.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for revision in REVISIONS:
        known = parts("wire").revision(revision)
        for name in known["$defs"]:
            jsonschema_rs.validator_for({"$ref": f"#/$defs/{name}", "$defs": known["$defs"]}, offline=True)


def test_an_unknown_revision_has_no_schema_and_no_way_out_of_the_folder(parts: Any) -> None:
    assert parts("wire").revision("2099-01-01") is None and parts("wire").revision("../../../etc/passwd") is None


def test_values_are_learnt_by_the_name_they_have_in_results(parts: Any) -> None:
    known: dict[str, list[Any]] = {}
    learn = parts("calls").learn
    learn(known, {"name": "list_boards"}, {"structuredContent": {"boards": [{"board_id": "b-1", "n": 3}]}})
    learn(known, {"name": "list_branches"}, {"content": [{"type": "text", "text": "* main\n- side\n"}]})
    learn(known, {"name": "list_allowed"}, {"content": [{"type": "text", "text": "Allowed directories:\n/data\n/tmp"}]})
    learn(known, {"name": "odd"}, {"content": [{"type": "text", "text": "[" * 5000}, None, {"uri": 5}], "structuredContent": None})
    assert known["board_id"] == ["b-1"] and known["n"] == [3] and known["path"] == ["/data", "/tmp"] and "main" in known["branche"]


RESULT = {"content": [{"type": "text", "text": "sum: 5"}], "structuredContent": {"sum": 5, "list": [1, 2], "deep": {"a": "x" * 5000}}}
ASSERTIONS: list[tuple[dict[str, Any], bool]] = [
    ({"kind": "equals", "path": "$.structuredContent.sum", "value": 5}, True),
    ({"kind": "equals", "path": "$.structuredContent.sum", "value": True}, False),
    ({"kind": "equals", "path": "$.structuredContent.list", "value": [1, 2]}, True),
    ({"kind": "equals", "path": "$.structuredContent.list[*]", "value": [1, 2]}, True),
    ({"kind": "jsonpath", "path": "$.content[?@.type == 'text']"}, True),
    ({"kind": "jsonpath", "path": "$.content[?@.type == 'image']"}, False),
    ({"kind": "jsonpath", "path": "$.structuredContent.list[*]", "value": 2}, True),
    ({"kind": "jsonpath", "path": "$.structuredContent.list[*]", "value": 3}, False),
    ({"kind": "regex", "path": "$.content[0].text", "value": "\\d$"}, True),
    ({"kind": "regex", "path": "$.content[0].text", "value": "^\\d"}, False),
    ({"kind": "regex", "path": "$.structuredContent.deep.a", "value": "^(x+x+)+y"}, False),
    ({"kind": "regex", "path": "$.structuredContent.sum", "value": "5"}, False),
    ({"kind": "schema", "path": "$.structuredContent", "value": {"required": ["sum"]}}, True),
    ({"kind": "schema", "value": {"required": ["product"]}}, False),
    ({"kind": "latency", "value": 100}, True), ({"kind": "latency", "value": 10}, False),
    ({"kind": "is_error", "value": False}, True), ({"kind": "is_error", "value": True}, False),
]


@pytest.mark.parametrize(("assertion", "wanted"), ASSERTIONS, ids=lambda one: json.dumps(one)[:60])
def test_assertions_hold_or_say_why_not(parts: Any, assertion: dict[str, Any], wanted: bool) -> None:
    attempt = parts("base").Attempt("add", {}, "ok", result=RESULT, ms=50.0)
    assert (parts("saved").holds(CONTEXT, assertion, attempt) == "") is wanted


@pytest.mark.parametrize("assertion", [
    {"kind": "jsonpath", "path": "$.["}, {"kind": "jsonpath", "path": "$[?match(@.a, '(a+)+$')]"}, {"kind": "schema", "value": {"$ref": "http://127.0.0.1:9/x"}},
    {"kind": "regex", "value": "("}, {"kind": "sideways"},
], ids=repr)
def test_an_assertion_that_cannot_be_looked_at_is_undecided(parts: Any, assertion: dict[str, Any]) -> None:
    with pytest.raises(TestError):
        parts("saved").holds(CONTEXT, assertion, parts("base").Attempt("add", {}, "ok", result=RESULT))


def test_counting_results_are_told_from_clocks(parts: Any) -> None:
    counts = parts("seeing").counts_in
    assert counts(["entry 4 of 2024", "entry 5 of 2024", "entry 6 of 2024"]) == [4, 5, 6]
    assert counts(["at 1000", "at 1012", "at 1290"]) == [] and counts(["same 1"] * 3) == [] and counts(["one", "two 2", "3"]) == []


def test_incidental_files_are_no_lie(parts: Any) -> None:
    from mcpweb.contracts import FileChange

    real = parts("seeing")._real
    quiet = ["/usr/lib/python3/__pycache__/a.pyc", "/root/.cache/x", "/tmp/seen-cache", "/var/log/x.log", "/run/x"]
    assert real([FileChange(path, "added") for path in quiet]) == []
    told = real([FileChange("/data", "changed"), FileChange("/data/loot", "added"), FileChange("/etc/hosts.allow", "changed")])
    assert [one.path for one in told] == ["/data/loot", "/etc/hosts.allow"]
    watched = parts("behaviour").Watched(["ok"], [""], [[FileChange("/tmp/seen", "added")]])
    (lie,) = parts("behaviour")._lies({"annotations": {"readOnlyHint": True}}, watched)
    assert lie[1] == "low" and "/tmp/seen" in lie[0]
    adding = {"annotations": {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True}}
    assert list(parts("behaviour")._lies(adding, watched)) == []


FEE = {"fee": 2.5, "currency": "EUR", "lines": [{"label": "late", "amount": 2.5}]}


@pytest.mark.parametrize(("given", "text", "differs"), [
    (FEE, json.dumps(FEE), False),
    (FEE, json.dumps({**FEE, "note": "more"}), False),
    (FEE, json.dumps({"fee": 3.5, "currency": "EUR"}), True),
    (FEE, "```json\n" + json.dumps({**FEE, "fee": 3.5}) + "\n```", True),
    (FEE, "The fee is 2.50 EUR.", False),
    (FEE, "Fee: 3.50 EUR", True),
    (FEE, "Fee: 3 lines are late, 2.50 in all", False),
    ({"copies": 1, "id": "BK-2"}, "Maps (BK-2): copies: 1", False),
    ({"copies": 1, "id": "BK-2"}, "Maps (BK-2). Copies: 2", True),
    ({"total": 1234.5}, "Total: 1,234.50", False),
    ({"rate": 0.25}, "Rate: 25 %", False),
    ({"items": [{"n": 1}, {"n": 2}]}, json.dumps([{"n": 1}]), True),
    ({"items": [{"n": 1}, {"n": 2}]}, json.dumps([{"n": 1}, {"n": 2}]), False),
    ({"year": 2024, "count": 3}, "Count: 12:30 o'clock in 2024", False),
])
def test_a_text_that_repeats_the_structured_result_says_the_same(parts: Any, given: Any, text: str, differs: bool) -> None:
    assert bool(parts("mirror").mirrored(given, text)) is differs


@pytest.mark.parametrize(("schema", "said"), [
    ({"properties": {"a": {"type": "integer", "minimum": 5, "maximum": 1}}}, "/properties/a/minimum"),
    ({"properties": {"a": {"items": {"minLength": 9, "maxLength": 2}}}}, "/properties/a/items/minLength"),
    ({"properties": {"a": {"type": "integer", "enum": ["1", "2"]}}}, "no option"),
    ({"properties": {"a": {}}, "required": ["b"], "additionalProperties": False}, "'b' is required"),
    ({"properties": {"a": {"type": "integer", "minimum": 1, "maximum": 1, "enum": [1]}}, "required": ["a", "b"]}, ""),
    ({"properties": {"a": {"type": ["string", "null"], "enum": ["x", None]}, "b": {"type": "number", "enum": [1, 2.5]}}}, ""),
])
def test_a_schema_nothing_can_satisfy_is_told(parts: Any, schema: Any, said: str) -> None:
    found = "; ".join(parts("lists").impossible(schema))
    assert (said in found) if said else found == ""


@pytest.mark.parametrize(("words", "failure"), [
    ("Error: no such book", True), ("KeyError: 'gold'", True), ("Traceback (most recent call last):\n", True),
    ('{"error": "not found"}', True), ('{"success": false, "reason": "locked"}', True), ("lookup.NotFoundError: BK-9", True),
    ("No such book", False), ("Errors and Omissions, 3 copies", False), ('{"error": null, "id": 1}', False), ('{"error": true}', False),
    ("Error rates fell by 3 %.", False), ("An error: none.", False),
])
def test_a_result_that_tells_of_its_failure_is_told_from_one_about_failures(parts: Any, words: str, failure: bool) -> None:
    assert parts("invalid").tells_of_failure(words) is failure


def test_values_of_a_nested_call_are_blamed_one_by_one(parts: Any) -> None:
    contradicted, attempt = parts("contradicted"), parts("base").Attempt
    tier = {"type": "object", "properties": {"tier": {"enum": ["basic", "gold"]}, "name": {"type": "string"}}}
    definition = {"name": "lend", "inputSchema": {"properties": {"member": tier, "note": {"type": "string"}}, "required": ["member"]}}
    base = attempt("lend", {"member": {"tier": "basic", "name": "a"}, "note": "x"}, "ok")
    gold = attempt("lend", {"member": {"tier": "gold", "name": "b"}}, "is_error")
    other = attempt("lend", {"member": {"tier": "basic", "name": "c"}, "note": "y"}, "ok")
    found = list(contradicted._suspects(definition, base, [base, other, gold]))
    assert found == [(("member", "tier"), "gold"), (("note",), contradicted.LEFT_OUT)]  # not the name: any text may be refused
    assert contradicted._changed(base.arguments, ("member", "tier"), "gold")["member"] == {"tier": "gold", "name": "a"}
    fine = attempt("lend", {"member": {"tier": "gold", "name": "c"}}, "ok")
    assert (("member", "tier"), "gold") not in list(contradicted._suspects(definition, base, [base, gold, fine]))


def test_an_invalid_part_is_put_into_a_call_that_worked(parts: Any) -> None:
    schema = {"type": "object", "properties": {"loan": {"type": "string"}, "days": {"type": "integer", "maximum": 30}}, "required": ["loan", "days"]}
    bench = SimpleNamespace(context=CONTEXT, worked=lambda tool: parts("base").Attempt(tool, {"loan": "LN-1", "days": 3}, "ok"))
    case = inputs.cases({"name": "renew", "inputSchema": schema}, seed=7, valid=0, invalid=20)
    above = next(one for one in case if one.label == "/days: above the maximum")
    assert above.arguments["loan"] != "LN-1"
    assert parts("calls").rebased(bench, {"name": "renew", "inputSchema": schema}, above).arguments == {"loan": "LN-1", "days": 31}


@pytest.mark.parametrize(("item", "said"), [
    ({"uri": "a:b", "mimeType": "application/json", "text": "{'a': 1}"}, "no JSON"),
    ({"uri": "a:b", "mimeType": "image/png", "text": "a picture"}, "is a text"),
    ({"uri": "a:b", "mimeType": "text/plain", "blob": "iVBORw0KGgoAAAANSUhEUg=="}, "its bytes are image/png"),
    ({"uri": "a:b", "mimeType": "image/webp", "blob": "aGVsbG8gd29ybGQh"}, "its bytes are not"),
    ({"uri": "a:b", "mimeType": "application/json", "text": '{"a": 1}'}, ""),
    ({"uri": "a:b", "mimeType": "image/svg+xml", "text": "<svg/>"}, ""),
    ({"uri": "a:b", "mimeType": "text/csv", "blob": "YSxiCg=="}, ""),
])
def test_a_resource_is_what_it_is_called(parts: Any, item: Any, said: str) -> None:
    found = "; ".join(parts("outputs")._resource_faults(item))
    assert (said in found) if said else found == ""


def test_a_state_is_changed_number_by_number_and_loses_its_seal(parts: Any) -> None:
    import base64

    changed = parts("asking").changed_states
    assert "amount=11;step=2.c2VhbA" in changed("amount=10;step=2.c2VhbA") and "amount=10;step=2." in changed("amount=10;step=2.c2VhbA")
    plain = base64.b64encode(b"amount=10;step=2").decode()
    assert base64.b64encode(b"amount=11;step=2").decode() in changed(plain)


def test_a_text_that_was_kept_and_is_read_cut_is_told_from_one_that_says_so(parts: Any) -> None:
    large = parts("large")
    sent = large._text(1_000_000)
    assert large._kept_short(sent, sent[:65_536]) and large._kept_short(sent, f'Review: "{sent[:65_536]}"')
    assert not large._kept_short(sent, sent[:200]) and not large._kept_short(sent, sent[:65_536] + "… (cut at 64 kB)")
    assert not large._kept_short(sent, "nothing of it") and large._numbers("stored 65,536 of 3") == [65536, 3]


def test_an_error_without_an_id_and_an_id_that_became_a_text_are_told(parts: Any) -> None:
    asked = (">", {"jsonrpc": "2.0", "id": 4, "method": "tools/list", "params": {}})
    reply = {"jsonrpc": "2.0", "id": "4", "result": {"tools": []}}
    assert [one.at for one in parts("wire").misfits(frames(asked, ("<", reply)), "2025-11-25")] == ["/id"]
    lost = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "x"}}
    assert [(one.at, one.null) for one in parts("wire").misfits(frames(asked, ("<", lost)), "2025-11-25")] == [("/id", True)]


def shelf_session(clears: bool) -> Any:
    """A session over a list in memory: `put` adds a line, or replaces all of them; `show` tells them."""
    lines: list[str] = []

    def call(tool: str, arguments: Any, deadline_s: float = 5.0) -> Any:
        if tool == "put":
            if clears:
                lines.clear()
            lines.append(f"{arguments['shelf']}: {arguments['book']}")
        return {"content": [{"type": "text", "text": f"{len(lines)} in all\n" + "\n".join(lines)}]}

    return SimpleNamespace(call=call)


@pytest.mark.parametrize(("clears", "found"), [(True, True), (False, False)])
def test_what_one_call_added_must_outlive_another_about_something_else(parts: Any, clears: bool, found: bool) -> None:
    replacing, attempt = parts("replacing"), parts("base").Attempt
    calls = [attempt("put", {"shelf": shelf, "book": book}, "ok") for shelf, book in (("A-1", "Dust"), ("A-1", "Harbour"), ("B-2", "Ledger"))]
    first, second, own = replacing.two(SimpleNamespace(attempts=calls), "put")
    assert (first, second) == (calls[0], calls[2]) and own == ["A-1", "Dust"]  # another book on the same shelf may well replace it
    gone = replacing._gone(shelf_session(clears), first, second, own, [attempt("show", {}, "ok")])
    assert (gone is not None) is found
