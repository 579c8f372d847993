"""The tool runner: forms that grow, a question before what destroys, earlier calls, and a result one can read and repeat."""
from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs as rows
from mcpweb.dao.jobs import Job
from mcpweb.services import jobs
from mcpweb.testing.fixtures import Htmx, MakeServer, Markup, Visitor
from mcpweb.web import results
from mcpweb.worker import Worker

SEARCH: dict[str, Any] = {
    "name": "search", "inputSchema": {
        "type": "object", "required": ["query"], "properties": {
            "query": {"type": "string", "minLength": 2}, "limit": {"type": "integer", "minimum": 1, "default": 20},
            "tags": {"type": "array", "items": {"type": "string"}},
            "area": {"oneOf": [
                {"title": "Circle", "type": "object", "required": ["r"], "properties": {"r": {"type": "number"}}},
                {"title": "Box", "type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/side"}}},
            ]},
        }, "$defs": {"side": {"type": "integer", "description": "in metres"}},
    },
}
DELETE: dict[str, Any] = {
    "name": "delete", "annotations": {"destructiveHint": True}, "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}},
}


def values(text: str) -> dict[str, str]:
    """Return what the fields of the tool's form hold."""
    fields = [attributes for tag, attributes in Markup(text).elements if tag == "input" and "name" in attributes]
    return {one["name"]: one.get("value", "") for one in fields if one["name"][:1] == "/" or one["name"][1:2] == ":"}


def called(core: Core, actor: Actor, server_id: str, tool: str, arguments: dict[str, Any], result: Any = None, **times: float) -> Job:
    job = jobs.draft(actor, "call", subject=f"server:{server_id}", payload={"server_id": server_id, "tool": tool, "arguments": arguments})
    with core.db.writing() as conn:
        rows.insert(conn, job)
        conn.execute("UPDATE jobs SET started_at = created_at WHERE id = ?", (job.id,))
        rows.finish(conn, job.id, None, state="succeeded", result={"result": result or {"content": []}, "protocol": "x", "duration_ms": 1.0, **times})
        return rows.get(conn, job.id)


def test_the_form_begins_with_the_defaults_and_tells_them(visitor: Visitor, make_server: MakeServer) -> None:
    text = visitor.get(f"/servers/{make_server(tools=[SEARCH]).id}/tools").text
    assert values(text) == {"/query": "", "/limit": "20", "n:/tags": "0", "c:/area": ""}
    assert "integer, from 1, default 20" in text and "at least 2 characters" in text


@pytest.mark.parametrize("plain", [True, False])
def test_rows_and_shapes_change_without_a_call_and_keep_what_was_typed(
    core: Core, actor: Actor, visitor: Visitor, hx: Htmx, make_server: MakeServer, plain: bool
) -> None:
    url = f"/servers/{make_server(tools=[SEARCH]).id}/tools/search/call"
    asking = visitor if plain else hx
    given = {"/query": "q", "n:/tags": "2", "/tags/0": "one", "/tags/1": "two"}
    assert values(asking.post(url, {**given, "row": "add:/tags"}).text)["n:/tags"] == "3"
    dropped = values(asking.post(url, {**given, "row": "drop:/tags/0"}).text)
    assert dropped["/query"] == "q" and dropped["n:/tags"] == "1" and dropped["/tags/0"] == "two"
    box = asking.post(url, {**given, "row": "pick:1:/area"})
    assert box.status_code == 200 and "/area/a" in values(box.text) and "/area/r" not in values(box.text) and "in metres" in box.text
    assert not jobs.listing(core, actor, kind="call").rows


def test_nested_values_reach_the_tool(core: Core, actor: Actor, hx: Htmx, worker: Worker, make_server: MakeServer) -> None:
    server = make_server(tools=[SEARCH])
    hx.post(f"/servers/{server.id}/tools/search/call",
            {"/query": "abc", "n:/tags": "2", "/tags/0": "x", "/tags/1": "", "c:/area": "1", "/area/a": "4"})
    job = jobs.listing(core, actor, kind="call").rows[0]
    assert job.payload["arguments"] == {"query": "abc", "tags": ["x", ""], "area": {"a": 4}}


def test_a_fault_in_a_row_is_named_at_that_row(hx: Htmx, make_server: MakeServer) -> None:
    tool = {"name": "t", "inputSchema": {"type": "object", "properties": {"n": {"type": "array", "items": {"type": "integer", "maximum": 5}}}}}
    url = f"/servers/{make_server(tools=[tool]).id}/tools/t/call"
    for wrong, said in (("x", "must be a whole number"), ("7", "greater than")):
        text = hx.post(url, {"n:/n": "2", "/n/0": "1", "/n/1": wrong}).text
        assert re.search(rf'name="/n/1"[^>]*aria-invalid="true"[^>]*>\s*<span class="fault">[^<]*{said}', text), text
        assert not re.search(r'name="/n/0"[^>]*aria-invalid', text)


def test_bounds_are_written_out_however_large_a_stranger_made_them(visitor: Visitor, make_server: MakeServer) -> None:
    for high, said in ((1e9, "0 to 1000000000"), (0.25, "0 to 0.25"), (10**400, "0 to …")):
        tool = {"name": "t", "inputSchema": {"type": "object", "properties": {"n": {"type": "number", "minimum": 0, "maximum": high}}}}
        assert said in visitor.get(f"/servers/{make_server(tools=[tool]).id}/tools?tool=t").text


def test_what_destroys_is_asked_about_and_the_server_looks_again(
    core: Core, actor: Actor, hx: Htmx, visitor: Visitor, worker: Worker, make_server: MakeServer
) -> None:
    mild = {**DELETE, "name": "mild", "annotations": {"destructiveHint": True, "readOnlyHint": True}}
    server, other = make_server(tools=[DELETE, SEARCH]), make_server(tools=[mild])
    for asking in (hx, visitor):
        answer = asking.post(f"/servers/{server.id}/tools/delete/call", {"/id": "7"})
        assert answer.status_code == 422 and "it destroys" in answer.text and values(answer.text)["/id"] == "7"
        assert asking.post(f"/servers/{server.id}/tools/delete/call", {"/id": "7", "confirm": "maybe"}).status_code == 422
    assert not jobs.listing(core, actor, kind="call").rows
    hx.post(f"/servers/{other.id}/tools/mild/call", {"/id": "7"})
    hx.post(f"/servers/{server.id}/tools/delete/call", {"/id": "7", "confirm": "yes"})
    assert [job.payload["tool"] for job in jobs.listing(core, actor, kind="call").rows] == ["delete", "mild"]


def test_earlier_calls_fill_the_form_each_set_of_arguments_once(core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server(tools=[SEARCH])
    for query in ("aa", "bb", "aa"):
        newest = called(core, actor, server.id, "search", {"query": query})
    called(core, actor, server.id, "other", {"query": "elsewhere"})
    strange = called(core, actor, server.id, "search", {"query": "dd", "unknown": [1]})
    page = f"/servers/{server.id}/tools?tool=search"
    text = visitor.get(page).text
    assert text.count("&from=job_") == 3 and "elsewhere" not in text
    filled = visitor.get(f"{page}&from={newest.id}").text
    assert values(filled)["/query"] == "aa" and values(filled)["/limit"] == "" and 'id="result"' not in filled
    as_json = visitor.get(f"{page}&from={strange.id}").text
    assert 'name="json"' in as_json and "unknown" in as_json, "the form has no field for it, so nothing of it is lost"


def test_a_result_tells_where_the_time_went_and_how_to_repeat_it(core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server("notes", tools=[SEARCH])
    job = called(core, actor, server.id, "search", {"query": "it's"}, ready_ms=310.0, duration_ms=50.0)
    text = visitor.get(f"/servers/{server.id}/tools?tool=search&job={job.id}").text
    assert "310 ms" in text and "50 ms" in text and '<progress max="100" value="86"' in text
    told = results.commands("notes", "search", {"query": "it's"}, url="http://x/y")
    assert told["mcpweb"] == """mcpweb servers call notes search '{"query": "it'"'"'s"}'"""
    assert "mcpweb servers call notes search" in text and "/api/v1/servers/notes/tools/search/call" in text


def test_an_answer_is_held_against_the_one_before(core: Core, actor: Actor, visitor: Visitor, make_server: MakeServer) -> None:
    server = make_server(tools=[SEARCH])
    page = f"/servers/{server.id}/tools?tool=search&job="

    def asked(word: str) -> str:
        answer = {"content": [{"type": "text", "text": word}], "_meta": {"id": word}}
        return visitor.get(page + called(core, actor, server.id, "search", {"query": "aa"}, answer).id).text

    assert "call before" not in asked("one")
    assert "The same answer as the call before" in asked("one")
    assert re.search(r"Differs from the call before.*<del>.*one.*<ins>.*two", asked("two"), re.DOTALL)


def test_a_tree_of_a_result_ends(core: Core, actor: Actor, make_server: MakeServer) -> None:
    def count(branches: tuple[results.Branch, ...]) -> int:
        return sum(1 + count(one.children) for one in branches)

    wide, deep = {"rows": [{"a": n, "b": [n]} for n in range(5000)]}, {}
    for _ in range(200):
        deep = {"in": deep}
    assert count(results.tree(wide)) <= 402 and count(results.tree(deep)) <= 14
    assert results.tree(wide)[0].text == "[5000]"
    small = results.tree({"n": 1, "s": "x", "l": [True, None]})
    assert [(one.name, one.text) for one in small] == [("n", "1"), ("s", '"x"'), ("l", "[2]")] and count(small) == 5


def test_arguments_as_json_and_back_keep_rows_and_shapes(hx: Htmx, make_server: MakeServer) -> None:
    url = f"/servers/{make_server(tools=[SEARCH]).id}/tools/search/call"
    as_json = hx.post(url, {"/query": "qq", "n:/tags": "1", "/tags/0": "x", "c:/area": "0", "/area/r": "2.5", "edit": "json"}).text
    given = {"query": "qq", "tags": ["x"], "area": {"r": 2.5}}
    held = re.search(r"<textarea[^>]*>(.*?)</textarea>", as_json, re.DOTALL)
    assert held and json.loads(held[1].replace("&#34;", '"')) == given
    back = values(hx.post(url, {"mode": "json", "json": json.dumps(given), "edit": "form"}).text)
    assert back["/tags/0"] == "x" and back["c:/area"] == "0" and back["/area/r"] == "2.5"
