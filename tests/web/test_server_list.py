"""The list of servers: what a row tells, one action for many, and what a page of fifty may cost."""
from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mcpweb import clock
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.services import jobs, servers
from mcpweb.testing.fixtures import Htmx, MakeServer, Markup, NewVisitor, Visitor
from mcpweb.web import charts


@contextmanager
def statements(core: Core) -> Iterator[list[str]]:
    """Collect what this thread asks the database."""
    found: list[str] = []
    with core.db.reading() as conn:
        conn.set_trace_callback(found.append)
    try:
        yield found
    finally:
        with core.db.reading() as conn:
            conn.set_trace_callback(None)


def measured(core: Core, server_id: str, values: list[float]) -> None:
    """Store what test runs measured of the handshake, oldest first."""
    with core.db.writing() as conn:
        conn.execute("INSERT OR IGNORE INTO test_types (name, title) VALUES ('connection', 'connection')")
        for at, value in enumerate(values):
            run, when = f"run_{server_id[4:]}{at}", clock.later(-600.0 * (len(values) - at))
            conn.execute(
                "INSERT INTO test_runs (id, server_id, types, profile, parameters, seed, state, verdict, counts, detail, created_at) "
                "VALUES (?, ?, '[]', 'quick', '{}', 1, 'succeeded', 'fail', '{}', '{}', ?)", (run, server_id, when),
            )
            conn.execute(
                "INSERT INTO test_metrics (server_id, name, tool_name, created_at, run_id, value) VALUES (?, 'P02.handshake_ms', '*', ?, ?, ?)",
                (server_id, when, run, value),
            )
        conn.execute(
            "INSERT INTO test_results_daily (server_id, test_type, day, success, failure, error) VALUES (?, 'connection', ?, 47, 3, 9)",
            (server_id, clock.now()[:10]),
        )


def row_of(text: str, server_id: str) -> str:
    found = re.search(rf'<tr id="{server_id}">(.*?)</tr>', text, re.DOTALL)
    assert found, f"no row of {server_id}"
    return found[1]


def test_a_row_tells_tools_speed_today_and_verdict(core: Core, visitor: Visitor, make_server: MakeServer) -> None:
    tools = [{"name": f"tool_{n}"} for n in range(7)]
    told, silent = make_server("told", tools=tools), make_server("silent")
    measured(core, told.id, [10.0, 20.0, 12.5])
    text = visitor.get("/servers").text
    row = row_of(text, told.id)
    assert ">7<" in row and "12 ms" in row and "<path" in row
    assert "94 %" in row and "47/50" in row, "what could not be decided counts neither way"
    assert 'class="mark fail"' in row
    assert not re.search(r"<path|%|mark|ms", row_of(text, silent.id).replace("formaction", "")), "nothing is made up"


@pytest.mark.parametrize(
    ("newest_first", "path"),
    [("[]", ""), ("[5.0]", ""), ("[10.0, 5.0]", "M84 9l3-8"), ("[5.0, 5.0, 5.0]", "M81 1l3 0 3 0"), ("[0, 0]", "M84 17l3 0")],
)
def test_a_small_line_ends_at_the_right_and_stands_on_nought(newest_first: str, path: str) -> None:
    assert charts.spark(newest_first)[0] == path


def test_the_filter_takes_full_width_letters_and_looks_at_images(visitor: Visitor, make_server: MakeServer) -> None:
    make_server("notes", image="tiny:1")
    make_server("weather", image="acme/forecast:2")
    for wanted, shown in (("ｎｏｔｅｓ", "notes"), ("forecast", "weather"), ("  NOTES ", "notes")):
        text = visitor.get(f"/servers?q={wanted}").text
        assert [name for name in ("notes", "weather") if f">{name}</a>" in text] == [shown]
    assert "No server fits this filter" in visitor.get("/servers?q=%25").text, "a percent sign is no wildcard"


def test_one_action_makes_a_job_for_each_chosen_server(core: Core, actor: Actor, hx: Htmx, make_server: MakeServer) -> None:
    chosen, left = [make_server() for _ in range(3)], make_server()
    answer = hx.post("/servers/bulk", {"id": [one.id for one in chosen], "do": "start"}, page="/servers")
    assert answer.headers["HX-Trigger"] == "server-changed" and "Asked for 3 servers." in answer.text
    asked = {job.subject for job in jobs.listing(core, actor, kind="start").rows}
    assert asked == {f"server:{one.id}" for one in chosen} and f"server:{left.id}" not in asked
    assert all(servers.get(core, actor, one.id).wanted == "running" for one in chosen)


def test_what_could_not_be_asked_is_named_and_keeps_nothing_else_back(
    core: Core, actor: Actor, hx: Htmx, visitor: Visitor, make_server: MakeServer
) -> None:
    there = make_server("there")
    for asking in (hx, visitor):
        text = asking.post("/servers/bulk", {"id": ["srv_gone", there.id], "do": "test"}, page="/servers").text
        assert "Asked for 1 server." in text and "srv_gone" in text and "There is no server" in text
    assert {job.subject for job in jobs.listing(core, actor, kind="test_run").rows} == {f"server:{there.id}"}


@pytest.mark.parametrize("form", [{"do": "start"}, {"id": "x", "do": "remove"}, {"id": [f"srv_{n}" for n in range(201)], "do": "stop"}])
def test_no_server_an_unknown_action_or_too_many_are_refused(visitor: Visitor, make_server: MakeServer, form: dict[str, object]) -> None:
    make_server()
    assert visitor.post("/servers/bulk", form, page="/servers").status_code == 422


def test_a_viewer_sees_the_list_and_nothing_to_press(new_visitor: NewVisitor, make_server: MakeServer) -> None:
    server = make_server("demo")
    viewer = new_visitor().sign_in("viewer")
    text = viewer.get("/servers").text
    assert ">demo</a>" in text and "<button" not in row_of(text, server.id) and 'type="checkbox"' not in text
    assert viewer.post("/servers/bulk", {"id": server.id, "do": "stop"}).status_code == 403


def test_a_full_page_keeps_to_its_budget(core: Core, visitor: Visitor, make_server: MakeServer, source: Callable[[int], float]) -> None:
    for n in range(51):
        server = make_server(f"team-{n:02d}-server", image=f"registry.example.com/team/server-{n}:1.{n}", status=("running", "stopped", "error")[n % 3])
        measured(core, server.id, [source(n * 31 + at) for at in range(32)])
    visitor.get("/servers")
    with statements(core) as asked:
        answer = visitor.get("/servers")
    told = [one for one in asked if not one.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA"))]
    assert answer.text.count('<tr id="srv_') == 50 and 'rel="next"' in answer.text
    assert len(gzip.compress(answer.data, 3)) <= 12 * 1024
    assert len(Markup(answer.text).elements) <= 1500
    assert len(told) <= 8, told


@pytest.fixture
def source() -> Callable[[int], float]:
    """Numbers as a handshake has them: around twelve, now and then much more."""
    return lambda n: round(10 + (n * 7919 % 997) / 250 + (30 if n % 17 == 0 else 0), 2)
