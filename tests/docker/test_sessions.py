"""Sessions with real containers over the attached stream and over HTTP, good ones and hostile ones side by side."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcpweb.contracts import ConfigData
from mcpweb.errors import Failure, ServerExited, ServerFlood, ServerTimeout
from mcpweb.mcp.session import Session, open_http, open_stdio
from tests.docker.engine import DockerSession
from tests.docker.images import build_image

pytestmark = pytest.mark.docker
Open = Callable[..., Session]


@pytest.fixture
def opened(docker_session: DockerSession, launch: Any) -> Iterator[Open]:
    """Return ``opened(image, *command, era=…) -> Session``; a port makes it HTTP."""
    sessions: list[Session] = []

    def make(name: str, *command: str, era: str = "auto", port: int | None = None, **options: Any) -> Session:
        config = ConfigData(command=command or None)
        if port is not None:
            config = ConfigData(command=command or None, transport="http", port=port, network="published")
        launched = launch(docker_session.intent(build_image(name), config))
        if launched.endpoint is None:
            sessions.append(open_stdio(launched.socket, era=era, **options))
        else:
            sessions.append(open_http(launched.endpoint, launched.socket, era=era, **options))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


@pytest.mark.parametrize(
    ("image", "command", "port", "tool", "arguments"),
    [
        ("fixture", (), None, "echo", {"text": "hello"}),
        ("fixture", ("legacy",), None, "echo", {"text": "hello"}),
        ("fixture", ("good", "--http", "8000"), 8000, "echo", {"text": "hello"}),
        ("fixture", ("streams", "--http", "8000"), 8000, "echo", {"text": "hello"}),
        ("time", (), None, "get_current_time", {"timezone": "UTC"}),
        ("everything", (), None, "echo", {"message": "hello"}),
        ("everything", ("streamableHttp",), 3001, "echo", {"message": "hello"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_a_real_server_lists_and_answers(
    opened: Open, image: str, command: tuple[str, ...], port: int | None, tool: str, arguments: dict[str, Any]
) -> None:
    session = opened(image, *command, port=port)
    assert tool in [one["name"] for one in session.listing("tools")]
    assert not session.call(tool, arguments).get("isError")
    session.ping()
    assert session.bad_lines() == []
    assert session.protocol == ("2025-11-25" if "legacy" in command or image == "everything" else "2026-07-28")


def test_a_server_that_ignores_the_probe_is_ready_long_before_ten_seconds(opened: Open) -> None:
    session = opened("fixture", "silent")
    assert session.silent_probe and session.timings_ms["handshake"] < 4000
    assert session.call("echo", {"text": "x"})["content"][0]["text"] == "x"


def test_a_slow_modern_server_is_still_found_modern_and_answers(opened: Open) -> None:
    session = opened("fixture", "slow", "--seconds", "4", "--at", "handshake")
    assert session.call("echo", {"text": "x"}, deadline_s=10)["content"][0]["text"] == "x"


HOSTILE = {
    "exit7": ServerExited,
    "dies --at handshake": ServerExited,
    "mute": ServerTimeout,
    "hugeline --at handshake": ServerFlood,
}


@pytest.mark.parametrize("mode", HOSTILE)
def test_a_server_that_does_not_open_says_why_while_its_neighbour_answers(opened: Open, mode: str) -> None:
    neighbour = opened("fixture")
    done, times = threading.Event(), []

    def calls() -> None:
        while not done.is_set():
            started = time.monotonic()
            assert neighbour.call("echo", {"text": "here"}, deadline_s=5)["content"][0]["text"] == "here"
            times.append(time.monotonic() - started)
            time.sleep(0.01)

    thread = threading.Thread(target=calls)
    thread.start()
    try:
        with pytest.raises(HOSTILE[mode]):
            opened("fixture", *mode.split(), deadline_s=5)
    finally:
        done.set()
        thread.join()
    assert sorted(times)[len(times) // 2] < 0.1 and max(times) < 1.0


@pytest.mark.parametrize("mode", ["flood", "loud"])
def test_a_loud_server_slows_itself_and_no_neighbour(opened: Open, mode: str) -> None:
    neighbour, loud = opened("fixture"), opened("fixture", mode, on_stderr=lambda data: None)
    times = []
    until = time.monotonic() + (12 if mode == "flood" else 3)
    while time.monotonic() < until and loud.ended is None:
        started = time.monotonic()
        assert neighbour.call("echo", {"text": "here"}, deadline_s=5)
        times.append(time.monotonic() - started)
        time.sleep(0.01)
    assert sorted(times)[len(times) // 2] < 0.1
    assert (loud.ended is not None and loud.ended.reason == "flood") == (mode == "flood")
    if mode == "loud":
        assert loud.call("echo", {"text": "x"}, deadline_s=10)["content"][0]["text"] == "x"


def test_a_banner_is_a_bad_line_and_no_end(opened: Open) -> None:
    session = opened("fixture", "banner")
    assert session.call("echo", {"text": "x"})["content"][0]["text"] == "x"
    assert len(session.bad_lines()) >= 1


def test_ten_megabytes_go_both_ways_through_the_engine(opened: Open) -> None:
    session = opened("fixture")
    text = "x" * (10 << 20)
    assert session.call("echo", {"text": text}, deadline_s=30)["content"][0]["text"] == text
    assert len(session.call("big", {"bytes": 10 << 20}, deadline_s=30)["content"][0]["text"]) == 10 << 20


def test_the_end_of_input_ends_the_server(opened: Open) -> None:
    session = opened("fixture")
    over = threading.Event()
    session.on_end(over.set)
    session.close_stdin()
    assert over.wait(5)
    with pytest.raises(Failure):
        session.call("echo", {"text": "x"})
