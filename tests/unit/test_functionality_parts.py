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
    counts = parts("behaviour")._counts
    assert counts(["entry 4 of 2024", "entry 5 of 2024", "entry 6 of 2024"]) == [4, 5, 6]
    assert counts(["at 1000", "at 1012", "at 1290"]) == [] and counts(["same 1"] * 3) == [] and counts(["one", "two 2", "3"]) == []


def test_incidental_files_are_no_lie(parts: Any) -> None:
    from mcpweb.contracts import FileChange

    real = parts("behaviour")._real
    quiet = ["/usr/lib/python3/__pycache__/a.pyc", "/root/.cache/x", "/tmp/a", "/var/log/x.log", "/run/x"]
    assert real([FileChange(path, "added") for path in quiet]) == []
    told = real([FileChange("/data", "changed"), FileChange("/data/loot", "added"), FileChange("/etc/hosts.allow", "changed")])
    assert [one.path for one in told] == ["/data/loot", "/etc/hosts.allow"]
