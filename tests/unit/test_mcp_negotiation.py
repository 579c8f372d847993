"""Which era is agreed on, how long that takes, and what a server gets to read meanwhile."""
from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcpweb.errors import ServerProtocolError, ServerTimeout
from mcpweb.mcp import negotiate
from tests.unit.mcp_peer import Peer, nothing


@pytest.fixture
def modern() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def legacy() -> Iterator[Peer]:
    peer = Peer(modern=False)
    yield peer
    peer.close()


def methods(peer: Peer) -> list[str]:
    return [message.get("method") for message in peer.seen]


def test_a_modern_server_is_asked_once_and_never_for_a_handshake(modern: Peer) -> None:
    session = modern.open(era="auto")
    assert (session.era, session.protocol, session.silent_probe) == ("modern", "2026-07-28", False)
    assert session.server_info["name"] == "tiny"
    assert methods(modern) == ["server/discover"]
    session.close()


def test_every_modern_request_says_version_client_and_capabilities(modern: Peer) -> None:
    session = modern.open(era="auto")
    session.listing("tools")
    session.call("echo", {"text": "x"})
    for message in modern.seen:
        meta = message["params"]["_meta"]
        assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
        assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "mcpweb"
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
    session.close()


def test_a_legacy_server_that_refuses_the_probe_gets_the_handshake_at_once(legacy: Peer) -> None:
    started = time.monotonic()
    session = legacy.open(era="auto")
    assert time.monotonic() - started < 1
    assert (session.era, session.protocol, session.silent_probe) == ("handshake", "2025-11-25", False)
    session.ping()
    assert methods(legacy) == ["server/discover", "initialize", "notifications/initialized", "ping"]
    session.close()


def test_a_legacy_server_that_ignores_the_probe_is_ready_long_before_ten_seconds(legacy: Peer) -> None:
    legacy.on("server/discover", nothing)
    started = time.monotonic()
    session = legacy.open(era="auto", deadline_s=9)
    assert negotiate.PROBE_S < time.monotonic() - started < negotiate.PROBE_S + 1
    assert session.silent_probe and session.era == "handshake"
    assert session.timings_ms["handshake"] > negotiate.PROBE_S * 1000
    session.close()


def test_a_modern_server_that_wakes_up_late_is_still_found_modern(modern: Peer) -> None:
    first: list[dict[str, Any]] = []

    def late(peer: Peer, request: dict[str, Any]) -> None:
        if not first:
            first.append(request)
            time.sleep(negotiate.PROBE_S + 0.3)
        for answer in peer._tiny(json.dumps(request).encode()):
            peer.out(answer if answer.endswith(b"\n") else answer + b"\n")

    session = modern.on("server/discover", late).open(era="auto", deadline_s=9)
    assert session.era == "modern"
    assert session.listing("tools")
    session.close()


def test_a_version_the_server_names_is_tried_and_an_unknown_one_told(modern: Peer) -> None:
    modern.on("server/discover", lambda peer, request: peer.reply(
        request, error={"code": -32022, "message": "no", "data": {"supported": ["2031-01-01"]}}
    ))
    with pytest.raises(ServerProtocolError, match="-32022"):
        modern.open(era="auto")


def test_the_error_code_of_a_refused_probe_does_not_matter(legacy: Peer) -> None:
    legacy.on("server/discover", lambda peer, request: peer.reply(request, error={"code": -32000, "message": "Connection closed"}))
    session = legacy.open(era="auto")
    assert session.era == "handshake"
    session.close()


def test_a_handshake_with_an_unknown_version_is_refused_with_its_name(legacy: Peer) -> None:
    legacy.on("initialize", lambda peer, request: peer.reply(request, result={"protocolVersion": "1999-01-01"}))
    with pytest.raises(ServerProtocolError, match="1999-01-01"):
        legacy.open(era="auto")


def test_an_unknown_version_is_told_even_by_a_server_that_ignores_the_probe(legacy: Peer) -> None:
    legacy.on("server/discover", nothing)
    legacy.on("initialize", lambda peer, request: peer.reply(request, result={"protocolVersion": "1999-01-01"}))
    with pytest.raises(ServerProtocolError, match="1999-01-01"):
        legacy.open(era="auto", deadline_s=12)


@pytest.mark.parametrize("result", [{}, {"supportedVersions": "all"}, {"supportedVersions": []}, {"capabilities": {}}])
def test_an_empty_discovery_falls_back_to_the_handshake(legacy: Peer, result: dict[str, Any]) -> None:
    legacy.on("server/discover", lambda peer, request: peer.reply(request, result=result))
    session = legacy.open(era="auto")
    assert session.era == "handshake"
    session.close()


def test_nonsense_in_the_place_of_names_is_no_name(legacy: Peer) -> None:
    legacy.on("initialize", lambda peer, request: peer.reply(request, result={
        "protocolVersion": "2025-06-18", "serverInfo": "me", "capabilities": [1], "instructions": None,
    }))
    session = legacy.open(era="handshake")
    assert (session.server_info, session.capabilities, session.instructions) == ({}, {}, "")
    session.close()


def test_a_known_era_costs_one_round_trip_and_no_probe(legacy: Peer) -> None:
    session = legacy.open(era="handshake")
    until = time.monotonic() + 5  # a notification has no answer to wait for
    while len(legacy.seen) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert methods(legacy) == ["initialize", "notifications/initialized"]
    session.close()


def test_a_legacy_server_is_not_taken_for_modern_when_modern_is_wanted(legacy: Peer) -> None:
    with pytest.raises(ServerProtocolError):
        legacy.open(era="modern")


def test_without_an_era_nothing_is_sent(legacy: Peer) -> None:
    session = legacy.open(era="none")
    time.sleep(0.2)
    assert legacy.seen == []
    session.send_raw({"jsonrpc": "2.0", "id": 5, "method": "ping"})
    found = session.wait_frame(lambda frame: isinstance(frame.message, dict) and frame.message.get("id") == 5, deadline_s=5)
    assert found is not None and found.direction == "received"
    session.close()


def test_a_deadline_shorter_than_the_probe_holds(legacy: Peer) -> None:
    legacy.on("server/discover", nothing).on("initialize", nothing)
    started = time.monotonic()
    with pytest.raises(ServerTimeout):
        legacy.open(era="auto", deadline_s=0.4)
    assert time.monotonic() - started < 1.2
