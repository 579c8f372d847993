"""The log of a server in pages: read, searched, followed by a stream or, where there is none left, by polling."""
from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import servers as server_rows
from mcpweb.dao.servers import Server
from mcpweb.logstore import LogWriter
from mcpweb.services import servers
from mcpweb.testing.fixtures import Htmx, MakeServer, NewVisitor, Visitor, check_markup
from mcpweb.web import streams
from mcpweb.web.streams import Streams


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server("notes", status="running")


@pytest.fixture
def log(core: Core, server: Server) -> Iterator[LogWriter]:
    writer = LogWriter(servers.log_folder(core, server.id))
    yield writer
    writer.close()


@pytest.fixture
def stamped(core: Core, server: Server) -> Callable[..., Path]:
    """Write lines with times of their own."""

    def write(*lines: str) -> Path:
        folder = servers.log_folder(core, server.id)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{0:020d}.log"
        with path.open("a") as file:
            file.writelines(line + "\n" for line in lines)
        return path

    return write


def texts(answer: str) -> list[str]:
    found = re.findall(r"<div class=\"\w+ \w+\" data-line>.*?<span[^>]*>(.*?)</span></div>", answer)
    return [re.sub("</?mark>", "", text) for text in found]


def events(answer: TestResponse) -> Iterator[str]:
    """Yield the events, each held to be one: every line a field."""
    for part in answer.response:
        text = part.decode() if isinstance(part, bytes) else part
        assert re.fullmatch(r"(?:(?:id|data|event)?: [^\r\n]*\n)+\n", text), text[:300]
        yield text


def until(parts: Iterator[str], wanted: str, within_s: float = 10.0) -> str:
    began = time.monotonic()
    for part in parts:
        if wanted in part:
            return part
        assert time.monotonic() - began < within_s, f"{wanted} did not come"
    raise AssertionError(f"the stream ended before {wanted}")


def test_lines_are_polled_from_where_one_was_while_the_server_does_not_run(
    core: Core, hx: Htmx, visitor: Visitor, make_server: MakeServer
) -> None:
    server = make_server("resting")
    writer = LogWriter(servers.log_folder(core, server.id))
    writer.append("stderr", "ERROR first words")
    text = visitor.get(f"/servers/{server.id}/logs").text
    address = re.search(r'hx-get="(/servers/[^"]+/logs\?offset=\d+)" hx-trigger="every 2s"', text)
    assert texts(text) == ["ERROR first words"] and address and "hx-sse:connect" not in text
    writer.append("stderr", "second words")
    following = hx.get(address[1]).text
    assert texts(following) == ["second words"] and 'id="tail"' in following
    assert visitor.get(f"/servers/{server.id}/logs?offset=x").status_code == 422
    writer.close()


def test_filters_join_and_a_search_marks_its_hits_or_leaves_nothing_else(
    visitor: Visitor, stamped: Callable[..., Path], server: Server
) -> None:
    stamped(
        "2026-01-01 00:00:00.000\tevent\tstarted", "2026-01-01 00:00:01.000\tstderr\tERROR Disk a<b full",
        "2026-01-02 00:00:00.000\tstderr\tdisk is fine", "2026-01-03 00:00:00.000\tstderr\tERROR again",
    )
    base = f"/servers/{server.id}/logs"
    marked = visitor.get(f"{base}?q=DISK").text
    check_markup(visitor.app, marked)
    assert len(texts(marked)) == 4 and re.findall("<mark>(.*?)</mark>", marked) == ["Disk", "disk"]
    assert marked.count('class="day"') == 2, "a day that begins is named"
    assert texts(visitor.get(f"{base}?q=DISK&only=1").text) == ["ERROR Disk a&lt;b full", "disk is fine"]
    assert "<mark>a&lt;b</mark>" in visitor.get(f"{base}?q=a%3Cb").text
    assert texts(visitor.get(f"{base}?level=error").text) == ["ERROR Disk a&lt;b full", "ERROR again"]
    assert texts(visitor.get(f"{base}?stream=event").text) == ["started"]
    assert texts(visitor.get(f"{base}?since=2026-01-01T00:00:01&until=2026-01-02").text) == ["ERROR Disk a&lt;b full", "disk is fine"]
    assert visitor.get(f"{base}?since=yesterday").status_code == 422 and visitor.get(f"{base}?level=bad").status_code == 422
    chosen = visitor.get(f"{base}/download?level=error&q=again")
    assert chosen.data == b"2026-01-03 00:00:00.000\tstderr\tERROR again\n" and "notes-filtered.log" in chosen.headers["Content-Disposition"]
    assert visitor.get(f"{base}/download").data.count(b"\n") == 4


def test_older_and_newer_lines_are_pages_that_miss_none_and_repeat_none(
    visitor: Visitor, log: LogWriter, server: Server
) -> None:
    for number in range(1234):
        log.append("stderr", f"line {number}")
    page, seen = visitor.get(f"/servers/{server.id}/logs").text, []
    while True:
        seen = [*texts(page), *seen]
        address = re.search(r'rel="prev" href="([^"]+)"', page)
        if address is None:
            break
        page = visitor.get(address[1].replace("&amp;", "&")).text
        assert 'id="tail"' not in page, "an older page rests"
    assert seen == [f"line {number}" for number in range(1234)]
    newer = re.search(r'rel="next" href="([^"]+)"', page)
    assert newer and texts(visitor.get(newer[1].replace("&amp;", "&")).text)[0] == f"line {len(texts(page))}"


def test_foreign_text_is_shown_without_its_paint_and_never_as_markup(visitor: Visitor, log: LogWriter, server: Server) -> None:
    log.append("stderr", "\x1b[31mred\x1b[0m <img src=x hx-get=/sign-out> \u202eright to left\ttab")
    text = visitor.get(f"/servers/{server.id}/logs").text
    assert texts(text) == ["red &lt;img src=x hx-get=/sign-out&gt; \u2039U+202E\u203aright to left\ttab"]


def test_a_stream_sends_what_was_missed_and_what_comes(
    visitor: Visitor, log: LogWriter, server: Server
) -> None:
    log.append("stderr", "before")
    page = visitor.get(f"/servers/{server.id}/logs").text
    address = re.search(r'hx-sse:connect="([^"]+)" hx-sse:close="ended"', page)
    assert address and "every 2s" not in page.partition('class="log"')[2]
    log.append("stderr", "missed <b>")
    log.append("stderr", "and this")
    answer = visitor.get(address[1])
    assert answer.mimetype == "text/event-stream" and answer.headers["Cache-Control"] == "no-store"
    parts = events(answer)
    missed = until(parts, "missed")
    assert texts(missed) == ["missed &lt;b&gt;", "and this"]
    log.append("event", "comes")
    place = re.match(r"id: (\d+)\n", until(parts, "comes"))
    answer.close()
    assert place
    log.append("stderr", "later")
    again = visitor.get(address[1], **{"Last-Event-ID": place[1]})
    assert texts(until(events(again), "later")) == ["later"]
    again.close()


def test_the_forty_ninth_stream_polls_instead_and_a_place_that_is_given_back_is_had_again(
    visitor: Visitor, hx: Htmx, log: LogWriter, server: Server
) -> None:
    path = f"/servers/{server.id}/logs/stream"
    held = [visitor.get(path) for _ in range(streams.LIMIT)]
    assert [answer.status_code for answer in held] == [200] * 48
    full = hx.get(f"{path}?offset=7&level=error")
    assert full.status_code == 503 and full.headers["HX-Retarget"] == "#tail" and full.headers["Retry-After"]
    assert f'hx-get="/servers/{server.id}/logs?offset=7&amp;level=error" hx-trigger="every 2s"' in full.text
    assert visitor.get(path).status_code == 503
    page = visitor.get(f"/servers/{server.id}/logs").text
    assert "hx-sse:connect" not in page and "every 2s" in page.partition('class="log"')[2]
    held.pop().close()
    again = visitor.get(path)
    assert again.status_code == 200
    for answer in (*held, again):
        answer.close()


def sign_out(core: Core, visitor: Visitor, server: Server) -> None:
    visitor.post("/sign-out")


def lose_the_account(core: Core, visitor: Visitor, server: Server) -> None:
    assert visitor.user
    with core.db.writing() as conn:
        conn.execute("UPDATE users SET disabled_at = '2026-01-01 00:00:00.000' WHERE id = ?", (visitor.user.id,))


def stop(core: Core, visitor: Visitor, server: Server) -> None:
    with core.db.writing() as conn:
        server_rows.set_seen(conn, server.id, status="stopped", detail="", container_id=None, at="2026-01-01 00:00:00.000")


@pytest.mark.parametrize(("happens", "reason"), [(sign_out, "denied"), (lose_the_account, "denied"), (stop, "stopped")])
def test_a_stream_ends_within_a_second_of(
    happens: Callable[..., None], reason: str, core: Core, visitor: Visitor, log: LogWriter, server: Server
) -> None:
    answer = visitor.get(f"/servers/{server.id}/logs/stream")
    parts = events(answer)
    log.append("stderr", "one")
    until(parts, "one")
    happens(core, visitor, server)
    began = time.monotonic()
    assert until(parts, "ended") == f"event: ended\ndata: {reason}\n\n"
    assert list(parts) == [] and time.monotonic() - began < 3.0
    answer.close()


def test_streams_end_when_the_process_is_to_leave_and_none_begins(
    visitor: Visitor, log: LogWriter, server: Server
) -> None:
    answer = visitor.get(f"/servers/{server.id}/logs/stream")
    parts = events(answer)
    log.append("stderr", "one")
    until(parts, "one")
    visitor.app.extensions["mcpweb.streams"].leaving = lambda: True
    began = time.monotonic()
    assert list(parts) == [] and time.monotonic() - began < 3.0
    assert visitor.get(f"/servers/{server.id}/logs/stream").status_code == 503
    answer.close()


def test_a_stream_holds_no_connection_of_its_thread(core: Core, visitor: Visitor, log: LogWriter, server: Server) -> None:
    answer = visitor.get(f"/servers/{server.id}/logs/stream")
    parts = events(answer)
    log.append("stderr", "one")
    until(parts, "one")
    assert getattr(core.db._local, "held", None) is None
    answer.close()


def test_somebody_who_may_not_look_gets_no_stream(new_visitor: NewVisitor, server: Server) -> None:
    assert new_visitor().get(f"/servers/{server.id}/logs/stream").status_code == 303


def test_who_is_far_behind_is_let_go_and_comes_back(core: Core, actor: Actor, visitor: Visitor, server: Server) -> None:
    hub: Streams = visitor.app.extensions["mcpweb.streams"]
    stream = streams.Stream(streams.Follow("me", servers.log_folder(core, server.id), streams.Wanted(), lambda: "", lambda lines, out: ""), 0)
    assert all(stream.put(b"x") for _ in range(streams._WAITING - 1)) and not stream.put(b"x")
    assert hub.free()


def test_the_api_and_the_command_line_take_the_same_span(
    core: Core, actor: Actor, visitor: Visitor, stamped: Callable[..., Path], server: Server
) -> None:
    stamped("2026-01-01 00:00:00.000\tevent\tstarted", "2026-01-02 12:30:00.000\tstderr\tnoon", "2026-01-03 00:00:00.000\tstderr\tlate")
    page = servers.logs(core, actor, server.id, since="2026-01-02T00:00:00Z", until="2026-01-02")
    assert [line.text for line in page.lines] == ["noon"]
    path = f"/api/v1/servers/{server.id}/logs"
    answer = visitor.get(f"{path}?since=2026-01-02&stream=stderr&until=2026-01-02T12:31")
    assert answer.json and [item["text"] for item in answer.json["items"]] == ["noon"]
    assert visitor.get(f"{path}?since=noon").status_code == 422
