"""Subscriptions of the modern era: kept as long as the session lasts, and not asked for where nobody keeps them."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mcpweb.mcp import listening
from tests.unit.mcp_peer import Peer

CAPABILITIES = {"tools": {"listChanged": True}, "resources": {"listChanged": False}, "prompts": {}}


def listened(answer: Callable[[Peer, dict[str, Any]], None], notices: int, seconds: float = 5.0) -> list[dict[str, Any]]:
    """Return the subscriptions a server saw until it had told of so many changes, or the time was over."""
    peer = Peer()
    asked: list[dict[str, Any]] = []
    enough, told = threading.Event(), []

    def heard() -> None:
        told.append(1)
        if len(told) >= notices:
            enough.set()

    def take(peer: Peer, request: dict[str, Any]) -> None:
        asked.append(request["params"]["notifications"])
        answer(peer, request)

    session = peer.on("subscriptions/listen", take).open(era="modern")
    try:
        session.capabilities, session.on_lists_changed = CAPABILITIES, heard
        session.listen()
        session.listen()
        enough.wait(seconds)
        assert bool(told) == bool(notices)
    finally:
        session.close()
    return asked


def changes(peer: Peer, request: dict[str, Any]) -> None:
    peer.say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {}})


def test_what_a_server_announces_is_subscribed_to_once_and_its_notices_are_heard() -> None:
    assert listened(changes, 1) == [{"toolsListChanged": True}]


def test_a_subscription_that_ends_is_asked_for_again_and_counts_as_news() -> None:
    assert len(listened(lambda peer, request: peer.reply(request, result={"resultType": "complete"}), 2)) in (2, 3)


def test_a_server_that_does_not_know_the_method_is_asked_once() -> None:
    refused = {"code": listening.METHOD_NOT_FOUND, "message": "no"}
    assert len(listened(lambda peer, request: peer.reply(request, error=refused), 0, 1.6)) == 1
