"""The palette and the help of keys: pages for who has no script, fragments for who has."""
from __future__ import annotations

import re

import pytest

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.services import jobs
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor


def titles(text: str) -> list[str]:
    return re.findall(r"</svg><span>(.*?)</span><small>", text)


def test_without_a_text_it_names_the_pages_one_may_see(visitor: Visitor, new_visitor: NewVisitor) -> None:
    assert {"Servers", "Audit", "Keys", "Add server"} <= set(titles(visitor.get("/palette").text))
    seen = titles(new_visitor().sign_in("viewer").get("/palette").text)
    assert "Servers" in seen and not {"Add server", "Add secret", "Keys", "Audit"} & set(seen)


def test_a_name_finds_servers_and_tools_a_verb_finds_actions(
    core: Core, actor: Actor, hx: Htmx, visitor: Visitor, make_server: MakeServer
) -> None:
    notes = make_server("notes", status="running", tools=[{"name": "add_note"}])
    make_server("weather", tools=[{"name": "forecast"}])
    assert titles(hx.get("/palette?q=note").text) == ["notes", "Stop: notes", "Restart: notes", "Test: notes", "add_note"]
    assert titles(hx.get("/palette?q=ｆｏｒｅ").text) == ["forecast"]
    assert titles(hx.get("/palette?q=sto not").text) == ["Stop: notes"], "it runs: there is nothing to start"
    assert "Nothing has this name." in hx.get("/palette?q=%25").text
    action = re.search(r'action="(/servers/[^"]+/stop)"', hx.get("/palette?q=stop notes").text)
    assert action and visitor.post(action[1], page="/palette?q=stop notes").status_code == 303
    assert [job.subject for job in jobs.listing(core, actor, kind="stop").rows] == [f"server:{notes.id}"]


def test_it_offers_ten_hits_at_most_and_a_viewer_no_action(hx: Htmx, new_visitor: NewVisitor, make_server: MakeServer) -> None:
    for n in range(15):
        make_server(f"notes-{n}", tools=[{"name": "notes_tool"}])
    assert len(titles(hx.get("/palette?q=notes").text)) == 10
    assert "<form" not in new_visitor().sign_in("viewer").get("/palette?q=start notes-1", **{"HX-Request": "true"}).text


@pytest.mark.parametrize(("page", "word"), [("/palette?q=serv", "Servers"), ("/keys-help", "Ctrl")])
def test_both_are_whole_pages_and_fragments(visitor: Visitor, hx: Htmx, page: str, word: str) -> None:
    assert "<html" in visitor.get(page).text and word in visitor.get(page).text
    assert word in hx.get(page).text


def test_shortcuts_can_be_switched_off_and_on(visitor: Visitor) -> None:
    assert "data-shortcuts" not in visitor.get("/servers").text
    assert visitor.post("/preferences", {"shortcuts": "off", "next": "/servers"}).headers["Location"] == "/servers"
    assert 'data-shortcuts="off"' in visitor.get("/servers").text and "Shortcuts are off" in visitor.get("/keys-help").text
    visitor.post("/preferences", {"shortcuts": "on"})
    assert "data-shortcuts" not in visitor.get("/servers").text
