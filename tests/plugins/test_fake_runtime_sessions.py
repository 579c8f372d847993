"""The fake's tiny server is a real MCP server to our own sessions, over both ways and in both eras."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from mcpweb.contracts import ConfigData, ContainerIntent, Launched
from mcpweb.errors import ServerExited, SessionFailed
from mcpweb.mcp import session as sessions
from mcpweb.testing.fakes import FakeRuntime, ServerEnds

HTTP = ConfigData(transport="http", port=8000, network="published")


@pytest.fixture
def runtime() -> Iterator[FakeRuntime]:
    runtime = FakeRuntime()
    yield runtime
    runtime.close()


def intent(config: ConfigData | None = None, image: str = "tiny:1") -> ContainerIntent:
    return ContainerIntent("fake", "ins_fake", "srv_fake", "fake", "server", image, config or ConfigData(), "hash")


def open_session(launched: Launched, era: str) -> sessions.Session:
    if launched.endpoint is None:
        return sessions.open_stdio(launched.socket, era=era, deadline_s=5)
    return sessions.open_http(launched.endpoint, launched.socket, era=era, deadline_s=5)


@pytest.mark.parametrize("config", [ConfigData(), HTTP], ids=["stdio", "http"])
@pytest.mark.parametrize(
    ("era", "protocol"), [("auto", "2026-07-28"), ("modern", "2026-07-28"), ("handshake", "2025-11-25")]
)
def test_the_tiny_server_speaks_both_eras_over_both_ways(
    runtime: FakeRuntime, config: ConfigData, era: str, protocol: str
) -> None:
    session = open_session(runtime.launch(intent(config)), era)
    assert session.protocol == protocol
    assert [tool["name"] for tool in session.listing("tools")] == ["echo", "add"]
    assert session.call("add", {"a": 1, "b": 2}, deadline_s=5)["structuredContent"] == {"sum": 3}
    assert session.call("echo", {}, deadline_s=5)["isError"] is True
    session.close()


def test_sessions_that_follow_each_other_do_not_trip_over_a_reused_descriptor(runtime: FakeRuntime) -> None:
    for config in (HTTP, ConfigData(), HTTP, ConfigData()):
        launched = runtime.launch(intent(config))
        session = open_session(launched, "handshake")
        assert session.call("echo", {"text": "x"}, deadline_s=5)["content"][0]["text"] == "x"
        session.close()
        runtime.remove(launched.container_id)


def test_a_fake_server_that_dies_in_a_call_ends_the_session_and_leaves_its_exit_code(runtime: FakeRuntime) -> None:
    from mcpweb.testing.tinyserver import tiny_server

    def dying(line: bytes) -> list[bytes]:
        if b"tools/call" in line:
            raise ServerEnds(137, oom=True, stderr=b"out of memory\n")
        return list(tiny_server()(line))

    runtime.add_image("dying:1", lambda intent: dying)
    launched = runtime.launch(intent(image="dying:1"))
    session = open_session(launched, "handshake")
    with pytest.raises((ServerExited, SessionFailed)):
        session.call("echo", {"text": "x"}, deadline_s=5)
    state = runtime.inspect(launched.container_id)
    assert (state.running, state.exit_code, state.oom_killed) == (False, 137, True)
    assert "out of memory" in session.stderr()
    session.close()
