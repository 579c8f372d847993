"""What a server may do to its own session, and never to another."""
from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcpweb.errors import (
    Cancelled,
    InvalidInput,
    RpcError,
    ServerExited,
    ServerFlood,
    ServerProtocolError,
    ServerTimeout,
    SessionFailed,
)
from mcpweb.mcp.session import Session
from tests.unit.mcp_peer import SMALL, Peer, nothing

TEXT = {"content": [{"type": "text", "text": "fine"}]}
Make = Callable[..., Peer]


@pytest.fixture
def peer() -> Iterator[Make]:
    peers: list[Peer] = []

    def make(**options: Any) -> Peer:
        peers.append(Peer(**options))
        return peers[-1]

    yield make
    for one in peers:
        one.close()


def fine(session: Session) -> bool:
    """Tell whether a session still answers, and rightly."""
    return session.call("echo", {"text": "here"}, deadline_s=5)["content"][0]["text"] == "here"


def wait_end(session: Session, seconds: float = 10) -> None:
    over = threading.Event()
    session.on_end(over.set)
    assert over.wait(seconds), "the session did not end"


# Silence and death


def test_a_mute_server_is_a_timeout_in_time_and_not_an_end(peer: Make) -> None:
    session = peer().on("tools/call", nothing).open()
    started = time.monotonic()
    with pytest.raises(ServerTimeout):
        session.call("echo", {"text": "x"}, deadline_s=0.3)
    assert time.monotonic() - started < 1.0
    assert session.ended is None
    assert session.listing("tools")
    session.close()


def test_a_request_that_timed_out_is_cancelled_at_the_server(peer: Make) -> None:
    one = peer().on("tools/call", nothing)
    session = one.open()
    with pytest.raises(ServerTimeout):
        session.call("echo", {"text": "x"}, deadline_s=0.2)
    session.listing("tools")
    assert "notifications/cancelled" in [message["method"] for message in one.seen]
    session.close()


def test_a_server_mute_from_the_start_does_not_open(peer: Make) -> None:
    one = peer().on("initialize", nothing).on("server/discover", nothing)
    started = time.monotonic()
    with pytest.raises(ServerTimeout):
        one.open(era="auto", deadline_s=0.5)
    assert time.monotonic() - started < 1.5


def test_a_server_that_dies_in_a_call_is_told_from_one_that_is_late(peer: Make) -> None:
    session = peer().on("tools/call", lambda one, request: one.leave()).open()
    started = time.monotonic()
    with pytest.raises(ServerExited):
        session.call("echo", {"text": "x"}, deadline_s=10)
    assert time.monotonic() - started < 2
    assert session.ended is not None and session.ended.reason == "exited"
    with pytest.raises(ServerExited):
        session.call("echo", {"text": "x"})
    session.close()


def test_a_server_that_dies_at_once_does_not_open(peer: Make) -> None:
    one = peer()
    one.leave()
    with pytest.raises((ServerExited, SessionFailed)):
        one.open(era="auto")


def test_half_an_answer_and_then_death_is_an_end(peer: Make) -> None:
    def half(one: Peer, request: dict[str, Any]) -> None:
        one.out(b'{"jsonrpc":"2.0","id":%d,"resu' % request["id"])
        one.leave()

    session = peer().on("tools/call", half).open()
    with pytest.raises(ServerExited):
        session.call("echo", {"text": "x"})
    session.close()


def test_the_answer_before_the_death_still_counts(peer: Make) -> None:
    def last(one: Peer, request: dict[str, Any]) -> None:
        one.reply(request, result=TEXT)
        one.leave()

    session = peer().on("tools/call", last).open()
    assert session.call("echo", {}) == TEXT
    wait_end(session)
    session.close()


def test_a_wire_error_with_the_code_of_a_closed_connection_is_an_answer(peer: Make) -> None:
    def refuse(one: Peer, request: dict[str, Any]) -> None:
        one.reply(request, error={"code": code, "message": "Connection closed"})

    session = peer().on("tools/call", refuse).open()
    for code in (-32000, -32001):
        with pytest.raises(RpcError) as caught:
            session.call("echo", {})
        assert caught.value.rpc["code"] == code
    assert session.ended is None
    session.close()


def test_a_slow_drip_is_a_timeout_and_arrives_when_there_is_time(peer: Make) -> None:
    def drip(one: Peer, request: dict[str, Any]) -> None:
        for byte in json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": TEXT}).encode() + b"\n":
            one.out(bytes([byte]))
            time.sleep(0.01)

    session = peer().on("tools/call", drip).open()
    with pytest.raises(ServerTimeout):
        session.call("echo", {}, deadline_s=0.3)
    assert session.call("echo", {}, deadline_s=5) == TEXT
    session.close()


# Nonsense


@pytest.mark.parametrize(
    "line",
    [
        b"Listening on stdio", b"\xff\xfe\x00garbage", b"[]", b"42", b"null", b'{"jsonrpc":"1.0","id":1,"result":{}}',
        b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"1" * 6000, b'{"jsonrpc":"2.0","id":1e999}',
        b'{"jsonrpc":"2.0","method":5}', b'[{"jsonrpc":"2.0","id":1,"result":{}}]', b'{"jsonrpc":"2.0","id":true,"result":{}}',
    ],
    ids=lambda line: line[:24].decode("latin-1"),
)
def test_a_line_that_is_no_message_is_kept_as_such_and_the_session_goes_on(peer: Make, line: bytes) -> None:
    one = peer()
    session = one.open()
    one.out(line + b"\n")
    assert fine(session)
    assert session.bad_lines() == [line[:500]]
    session.close()


def test_empty_lines_and_crlf_are_no_fault(peer: Make) -> None:
    def answer(one: Peer, request: dict[str, Any]) -> None:
        one.out(b"\r\n\n  \n" + json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": TEXT}).encode() + b"\r\n")

    session = peer().on("tools/call", answer).open()
    assert session.call("echo", {}) == TEXT
    assert session.bad_lines() == []
    session.close()


@pytest.mark.parametrize("reply", [{"result": None}, {"result": [1]}, {"error": "no"}, {"result": {}, "error": {"code": 1}}])
def test_a_reply_that_is_none_says_so_at_once(peer: Make, reply: dict[str, Any]) -> None:
    session = peer().on("tools/call", lambda one, request: one.reply(request, **reply)).open()
    started = time.monotonic()
    with pytest.raises(ServerProtocolError):
        session.call("echo", {}, deadline_s=5)
    assert time.monotonic() - started < 2
    assert len(session.bad_lines()) == 1
    session.close()


def test_replies_to_nobody_and_twice_are_left_alone(peer: Make) -> None:
    def twice(one: Peer, request: dict[str, Any]) -> None:
        one.say({"jsonrpc": "2.0", "id": 9999, "result": {"content": "of another"}})
        one.say({"jsonrpc": "2.0", "id": "text", "result": {}})
        one.say({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "?"}})
        one.reply(request, result=TEXT)
        one.reply(request, result={"content": "second"})

    session = peer().on("tools/call", twice).open()
    assert [session.call("echo", {}) for _ in range(5)] == [TEXT] * 5
    session.close()


def test_sixteen_answers_in_the_wrong_order_reach_who_asked(peer: Make) -> None:
    held: list[dict[str, Any]] = []

    def hold(one: Peer, request: dict[str, Any]) -> None:
        held.append(request)
        if len(held) == 16:
            for late in reversed(held):
                one.reply(late, result={"content": late["params"]["arguments"]["n"]})

    session = peer().on("tools/call", hold).open()
    got: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: got.update({n: session.call("echo", {"n": n}, deadline_s=10)["content"]}))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: n for n in range(16)}
    session.close()


def test_half_an_emoji_becomes_text_that_can_be_stored(peer: Make) -> None:
    def half(one: Peer, request: dict[str, Any]) -> None:
        one.out(b'{"jsonrpc":"2.0","id":%d,"result":{"content":"\\ud83d cut \\ud83d\\ude00"}}\n' % request["id"])

    session = peer().on("tools/call", half).open()
    assert session.call("echo", {})["content"] == "\ufffd cut \U0001f600"
    session.close()


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_arguments_that_are_no_json_are_the_callers_fault(peer: Make, value: Any) -> None:
    session = peer().open()
    with pytest.raises(InvalidInput):
        session.call("echo", {"text": value})
    assert fine(session)
    session.close()


def test_half_an_emoji_in_arguments_reaches_the_server(peer: Make) -> None:
    one = peer()
    session = one.open()
    with pytest.raises(RpcError):
        session.call("nothing", {"text": "\ud83d"}, deadline_s=5)
    assert one.seen[-1]["params"]["arguments"] == {"text": "\ud83d"}
    session.close()


# Too much


def test_a_line_over_the_bound_ends_the_session_and_one_under_it_does_not(peer: Make) -> None:
    def answer(one: Peer, request: dict[str, Any]) -> None:
        one.reply(request, result={"content": "x" * request["params"]["arguments"]["size"]})

    session = peer().on("tools/call", answer).open(limits=SMALL)
    assert len(session.call("big", {"size": (1 << 20) - 200})["content"]) == (1 << 20) - 200
    with pytest.raises(ServerFlood):
        session.call("big", {"size": 2 << 20})
    assert session.ended is not None and session.ended.reason == "flood"
    session.close()


def test_a_hundred_megabytes_without_a_line_end_cost_no_more_than_the_bound(peer: Make) -> None:
    import resource

    one = peer()
    session = one.open()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one.in_thread(one.out, b"x" * (100 << 20))
    wait_end(session)
    assert session.ended is not None and session.ended.reason == "flood"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < (100 + 60) * 1024  # the test's own 100 MiB, and less than four times the line
    session.close()


def test_a_message_of_very_many_values_is_not_decoded(peer: Make) -> None:
    def bomb(one: Peer, request: dict[str, Any]) -> None:
        one.out(b'{"jsonrpc":"2.0","id":%d,"result":{"a":[%s[]]}}\n' % (request["id"], b"[]," * 3_000_000))

    session = peer().on("tools/call", bomb).open()
    started = time.monotonic()
    with pytest.raises(ServerTimeout):
        session.call("echo", {}, deadline_s=3)
    assert time.monotonic() - started < 5
    assert session.ended is None
    session.close()


def test_many_commas_in_a_text_are_not_many_values(peer: Make) -> None:
    table = 'a,"b",[c],{d}\n' * 100_000
    session = peer().on("tools/call", lambda one, request: one.reply(request, result={"content": table})).open()
    assert session.call("echo", {}, deadline_s=10)["content"] == table
    session.close()


def endless(one: Peer, data: bytes, stream: int = 1) -> None:
    block = data * max(1, 32768 // len(data))
    while True:
        one.out(block, stream)


FLOODS = {
    "notifications": b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n',
    "requests": b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}\n',
    "replies": b'{"jsonrpc":"2.0","id":77,"result":{}}\n',
    "garbage": b"not a message\n",
    "empty lines": b"\n",
    "large notifications": b'{"jsonrpc":"2.0","method":"notifications/x","params":{"d":"' + b"y" * 900_000 + b'"}}\n',
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_ends_its_own_session_and_slows_no_neighbour(peer: Make, kind: str) -> None:
    neighbour = peer().open()
    quiet = latency(neighbour)
    hostile = peer()
    session = hostile.open(limits=SMALL)
    hostile.in_thread(endless, hostile, FLOODS[kind])
    loud = latency(neighbour, until=session)
    wait_end(session, 15)
    assert session.ended is not None and session.ended.reason == "flood", session.ended
    assert statistics.median(loud) < max(0.03, 10 * statistics.median(quiet))
    assert fine(neighbour)
    for one in (session, neighbour):
        one.close()


def latency(session: Session, until: Session | None = None, seconds: float = 1.5) -> list[float]:
    """Return how long calls took, for a while or until another session ended."""
    times = []
    stop = time.monotonic() + seconds
    while len(times) < 20 or (time.monotonic() < stop and (until is None or until.ended is None)):
        started = time.monotonic()
        assert fine(session)
        times.append(time.monotonic() - started)
        time.sleep(0.005)
    return times


def test_a_few_hundred_notifications_around_an_answer_are_no_flood(peer: Make) -> None:
    def chatty(one: Peer, request: dict[str, Any]) -> None:
        for _ in range(300):
            one.out(FLOODS["notifications"])
        one.reply(request, result=TEXT)

    session = peer().on("tools/call", chatty).open()
    for _ in range(3):
        assert session.call("echo", {}, deadline_s=5) == TEXT
        time.sleep(0.7)
    assert session.ended is None
    session.close()


def test_stderr_is_drained_stored_at_a_bounded_rate_and_tells_what_it_dropped(peer: Make) -> None:
    kept: list[bytes] = []
    one = peer()
    session = one.open(on_stderr=kept.append)
    one.out(b"e" * (5 << 20), 2)
    assert fine(session)
    one.out(b"last words\n", 2)
    time.sleep(0.3)
    one.out(b"the very last\n", 2)
    one.leave()
    wait_end(session)
    text = b"".join(kept)
    assert len(text) < 2 << 20
    assert b"bytes of stderr were dropped" in text
    assert text.endswith(b"the very last\n")
    assert session.stderr().endswith("the very last\n")
    session.close()


def test_a_broken_listener_for_stderr_does_not_end_the_session(peer: Make) -> None:
    def broken(data: bytes) -> None:
        raise OSError("disk full")

    one = peer()
    session = one.open(on_stderr=broken)
    one.out(b"words\n", 2)
    assert fine(session)
    session.close()


def test_endless_stderr_slows_no_neighbour_and_not_its_own_answers(peer: Make) -> None:
    neighbour, loud = peer().open(), peer()
    session = loud.open(on_stderr=lambda data: None)
    loud.in_thread(endless, loud, b"noise on stderr\n", 2)
    assert statistics.median(latency(neighbour, seconds=1)) < 0.1
    assert fine(session)
    assert session.ended is None
    for one in (session, neighbour):
        one.close()


def test_a_server_that_asks_and_never_reads_the_answers_is_ended(peer: Make) -> None:
    one = peer()
    session = one.open()
    stop = threading.Event()
    one.on("tools/call", lambda peer, request: stop.wait(8) and None)  # its reader is stuck from now on
    with pytest.raises(ServerTimeout):
        session.call("echo", {}, deadline_s=0.2)

    def ask() -> None:
        for number in range(4000):
            one.say({"jsonrpc": "2.0", "id": number, "method": "x" * 20_000})
            time.sleep(0.004)

    one.in_thread(ask)
    wait_end(session, 10)
    stop.set()
    assert session.ended is not None and session.ended.reason == "flood"
    session.close()


# What the server asks for


def test_a_ping_of_the_server_is_answered_and_other_wishes_are_declined(peer: Make) -> None:
    one = peer()
    session = one.open()
    one.say({"jsonrpc": "2.0", "id": "p", "method": "ping"})
    for method in ("sampling/createMessage", "roots/list", "elicitation/create"):
        one.say({"jsonrpc": "2.0", "id": method, "method": method, "params": {}})
    until = time.monotonic() + 5
    while len(answers := {m["id"]: m for m in one.seen if "method" not in m}) < 4 and time.monotonic() < until:
        time.sleep(0.02)
    assert answers["p"]["result"] == {}
    assert {answers[m]["error"]["code"] for m in ("sampling/createMessage", "roots/list", "elicitation/create")} == {-32601}
    session.close()


# Writing to who does not read


def test_a_large_argument_given_up_half_way_does_not_spoil_the_next_request(peer: Make) -> None:
    one = peer()
    session = one.open()
    hold = threading.Event()
    one.on("tools/call", lambda peer, request: hold.wait(5) and None)
    with pytest.raises(ServerTimeout):
        session.call("first", {}, deadline_s=0.1)  # from now on the peer reads nothing
    started = time.monotonic()
    with pytest.raises(ServerTimeout):
        session.call("large", {"text": "x" * (8 << 20)}, deadline_s=0.3)
    assert time.monotonic() - started < 2
    del one._answers["tools/call"]
    hold.set()
    assert session.call("echo", {"text": "after"}, deadline_s=10)["content"][0]["text"] == "after"
    assert any(len(str(message)) > 8 << 20 for message in one.seen)  # the line went out whole
    session.close()


def test_a_cancelled_call_ends_at_once_and_the_server_is_told(peer: Make) -> None:
    one = peer().on("tools/call", nothing)
    session = one.open()
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        session.call("echo", {}, deadline_s=10, cancel=cancel)
    assert time.monotonic() - started < 1
    session.listing("tools")
    assert "notifications/cancelled" in [message["method"] for message in one.seen]
    session.close()


def test_closing_wakes_who_waits(peer: Make) -> None:
    session = peer().on("tools/call", nothing).open()
    threading.Timer(0.2, session.close).start()
    started = time.monotonic()
    with pytest.raises(SessionFailed):
        session.call("echo", {}, deadline_s=10)
    assert time.monotonic() - started < 2


# Lists


def test_pages_without_end_or_in_a_circle_are_refused(peer: Make) -> None:
    circle = peer().on("tools/list", lambda one, request: one.reply(request, result={"tools": [], "nextCursor": "a"})).open()
    with pytest.raises(ServerProtocolError, match="repeats"):
        circle.listing("tools")
    endless_pages = peer().on(
        "tools/list", lambda one, request: one.reply(request, result={"tools": [], "nextCursor": str(request["id"])})
    ).open()
    with pytest.raises(ServerProtocolError, match="100 pages"):
        endless_pages.listing("tools")
    full = peer().on(
        "tools/list", lambda one, request: one.reply(request, result={"tools": [{}] * 900, "nextCursor": str(request["id"])})
    ).open()
    with pytest.raises(ServerFlood):
        full.listing("tools")
    for session in (circle, endless_pages, full):
        session.close()


def test_an_empty_cursor_is_a_cursor(peer: Make) -> None:
    def pages(one: Peer, request: dict[str, Any]) -> None:
        first = "cursor" not in (request.get("params") or {})
        one.reply(request, result={"tools": ["a"], "nextCursor": ""} if first else {"tools": ["b"]})

    session = peer().on("tools/list", pages).open()
    assert session.listing("tools") == ["a", "b"]
    session.close()


def test_the_walk_of_all_pages_has_one_deadline(peer: Make) -> None:
    def slow(one: Peer, request: dict[str, Any]) -> None:
        time.sleep(0.2)
        one.reply(request, result={"tools": [], "nextCursor": str(request["id"])})

    session = peer().on("tools/list", slow).open()
    started = time.monotonic()
    with pytest.raises(ServerTimeout):
        session.listing("tools", deadline_s=0.7)
    assert time.monotonic() - started < 2
    session.close()
