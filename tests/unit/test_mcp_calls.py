"""Requests nobody waits for at once: they can be waited for later, cancelled on the wire, and made in loads."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcpweb.errors import Cancelled, InvalidInput, RpcError, ServerExited, ServerTimeout, SessionFailed
from mcpweb.mcp import calls
from mcpweb.mcp.session import Session
from tests.unit.mcp_peer import Peer, nothing

CALL = {"name": "echo", "arguments": {"text": "x"}}


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def load(session: Session, arguments: Any, **more: Any) -> Any:
    wanted = {"calls": 10, "concurrency": 1, "deadline_s": 5.0, "most_s": 20.0}
    return calls.load(session, "echo", arguments, **{**wanted, **more})


def requests(peer: Peer, method: str = "tools/call") -> list[Any]:
    return [message for message in peer.seen if message.get("method") == method]


def test_a_request_that_was_begun_is_on_the_wire_under_its_id_and_answered_when_asked(peer: Peer) -> None:
    session = peer.open()
    one = calls.begin(session, "tools/call", CALL)
    two = calls.begin(session, "tools/call", {"name": "echo", "arguments": {"text": "y"}})
    assert two.result()["content"][0]["text"] == "y" and one.result()["content"][0]["text"] == "x"
    assert [message["id"] for message in requests(peer)] == [one.request_id, two.request_id]
    assert one.result() == one.result(), "it can be looked at again"
    session.close()


def test_a_cancelled_request_is_told_once_and_nobody_waits_for_it(peer: Peer) -> None:
    session = peer.on("tools/call", nothing).open()
    pending = calls.begin(session, "tools/call", CALL)
    pending.cancel("no need")
    with pytest.raises(Cancelled):
        pending.result(deadline_s=5)
    session.ping()
    told = requests(peer, "notifications/cancelled")
    assert [message["params"] for message in told] == [{"requestId": pending.request_id, "reason": "no need"}]
    session.close()


def test_a_late_answer_can_still_be_had_after_waiting_in_vain(peer: Peer) -> None:
    def late(peer: Peer, request: dict[str, Any]) -> None:
        peer.in_thread(lambda: (time.sleep(0.3), peer.reply(request, result={"content": []})))

    session = peer.on("tools/call", late).open()
    pending = calls.begin(session, "tools/call", CALL)
    with pytest.raises(ServerTimeout):
        pending.result(deadline_s=0.05)
    assert pending.result(deadline_s=5) == {"content": []}
    assert requests(peer, "notifications/cancelled") == []
    session.close()


def test_what_was_begun_fails_as_a_request_does(peer: Peer) -> None:
    session = peer.open()
    with pytest.raises(RpcError):
        calls.begin(session, "no/such", {}).result()
    with pytest.raises(InvalidInput):
        calls.begin(session, "tools/call", {"name": object()})
    under_way = calls.begin(peer.on("tools/call", nothing) and session, "tools/call", CALL)
    peer.leave()
    with pytest.raises(ServerExited):
        under_way.result()
    for late in (lambda: calls.begin(session, "tools/call", CALL), lambda: session.notify("notifications/x")):
        with pytest.raises(SessionFailed):
            late()
    session.close()


def test_a_load_uses_its_arguments_in_turn_and_times_each_call_from_line_to_line(peer: Peer) -> None:
    def slow(peer: Peer, request: dict[str, Any]) -> None:
        time.sleep(0.02)
        peer.reply(request, result={"content": [], "isError": request["params"]["arguments"]["n"] == 1})

    session = peer.on("tools/call", slow).open()
    done = load(session, [{"n": 0}, {"n": 1}], calls=6)
    assert [one.outcome for one in done.calls] == ["ok", "is_error"] * 3
    assert all(19 < one.latency_ms < 80 for one in done.calls)
    assert sum(one.latency_ms for one in done.calls) <= done.wall_s * 1000 < 600
    assert len({message["id"] for message in requests(peer)}) == 6
    session.close()


def test_a_load_has_as_many_calls_under_way_as_it_was_told(peer: Peer) -> None:
    waiting: list[dict[str, Any]] = []

    def four_at_a_time(peer: Peer, request: dict[str, Any]) -> None:
        waiting.append(request)
        if len(waiting) == 4:
            for one in waiting:
                peer.reply(one, result={"content": []})
            waiting.clear()

    session = peer.on("tools/call", four_at_a_time).open()
    done = load(session, {}, calls=16, concurrency=4)
    assert [one.outcome for one in done.calls] == ["ok"] * 16 and done.wall_s < 5
    session.close()


def test_errors_of_the_server_are_outcomes_and_the_load_goes_on(peer: Peer) -> None:
    def alternates(peer: Peer, request: dict[str, Any]) -> None:
        kind = request["params"]["arguments"]["n"]
        replies: list[dict[str, Any]] = [{"error": {"code": -1, "message": "no"}}, {"result": "text"}, {"result": {}}]
        peer.reply(request, **replies[kind])

    session = peer.on("tools/call", alternates).open()
    done = load(session, [{"n": 0}, {"n": 1}, {"n": 2}], calls=6)
    assert [one.outcome for one in done.calls] == ["rpc_error", "rpc_error", "ok"] * 2
    assert done.calls[0].detail and done.calls[2].detail == ""
    session.close()


def test_a_load_on_a_mute_server_ends_after_three_calls_in_vain(peer: Peer) -> None:
    session = peer.on("tools/call", nothing).open()
    done = load(session, {}, calls=100, deadline_s=0.1)
    assert [(one.outcome, one.latency_ms) for one in done.calls] == [("timeout", 100.0)] * 3
    session.close()


def test_a_load_ends_with_the_session_and_with_its_time(peer: Peer) -> None:
    def leaves(peer: Peer, request: dict[str, Any]) -> None:
        if len(requests(peer)) == 3:
            peer.leave()
        else:
            peer.reply(request, result={})

    session = peer.on("tools/call", leaves).open()
    done = load(session, {}, calls=50)
    assert [one.outcome for one in done.calls] == ["ok", "ok", "gone"]
    session.close()
    other = Peer()
    session = other.on("tools/call", nothing).open()
    began = time.monotonic()
    assert load(session, {}, calls=9, deadline_s=30, most_s=0.3).calls == (), "cut short is no verdict"
    assert time.monotonic() - began < 2
    session.close()
    other.close()


def test_a_load_that_makes_no_sense_is_refused(peer: Peer) -> None:
    session = peer.open()
    for wrong in ({"calls": 0}, {"concurrency": 0}, {"deadline_s": 0}):
        with pytest.raises(InvalidInput):
            load(session, {}, **wrong)
    with pytest.raises(InvalidInput):
        load(session, [])
    session.close()
