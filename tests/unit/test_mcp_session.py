"""The facade: callers from any thread, a Tap that keeps the last frames, listeners, forks, descriptors."""
from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mcpweb.mcp.streams import Demultiplexer
from mcpweb.mcp.tap import BYTES_KEPT, LAST_KEPT, Tap
from tests.unit.mcp_peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def test_a_stream_cut_anywhere_comes_out_the_same() -> None:
    frames = [(1, b'{"a":1}\n'), (2, b"words"), (1, b""), (1, b"x" * 300), (2, b"\n")]
    wire = b"".join(bytes([s, 0, 0, 0]) + len(d).to_bytes(4, "big") + d for s, d in frames)
    for size in (1, 2, 7, 8, 9, 100, len(wire)):
        demultiplexer = Demultiplexer()
        out = {1: b"", 2: b""}
        for at in range(0, len(wire), size):
            for stream, piece in demultiplexer.feed(wire[at: at + size]):
                out[stream] += piece
        assert out == {1: b'{"a":1}\n' + b"x" * 300, 2: b"words\n"}


def test_the_tap_is_bounded_and_keeps_the_last_frames_however_large() -> None:
    tap = Tap()
    for number in range(200):
        tap.frame("received", b"%d" % number + b"x" * 400_000, None)
    frames = tap.frames()
    assert len(frames) >= LAST_KEPT
    assert sum(len(frame.data) for frame in frames) <= max(BYTES_KEPT, LAST_KEPT * 400_100)
    assert frames[-1].data.startswith(b"199x")
    for number in range(5000):
        tap.frame("sent", b"%d" % number, None)
    assert len(tap.frames()) <= 2000
    assert tap.frames()[-1].data == b"4999"


def test_the_tap_shows_both_directions_with_times_that_grow(peer: Peer) -> None:
    session = peer.open(era="modern")
    session.call("echo", {"text": "seen"})
    frames = session.frames()
    assert [frame.direction for frame in frames] == ["sent", "received"] * 2
    assert [frame.at for frame in frames] == sorted(frame.at for frame in frames)
    assert frames[-2].message["method"] == "tools/call"
    assert frames[-1].message["result"]["content"][0]["text"] == "seen"
    session.close()


def test_waiting_for_a_frame_ends_with_the_session(peer: Peer) -> None:
    session = peer.open()
    threading.Timer(0.2, peer.leave).start()
    started = time.monotonic()
    assert session.wait_frame(lambda frame: False, deadline_s=10) is None
    assert time.monotonic() - started < 2
    session.close()


def test_a_listener_is_told_once_and_a_late_one_at_once(peer: Peer) -> None:
    session = peer.open()
    told: list[str] = []
    over = threading.Event()
    session.on_end(lambda: (told.append("first"), over.set()))
    peer.leave()
    assert over.wait(5)
    session.close()
    session.close()
    assert told == ["first"]
    session.on_end(lambda: told.append("late"))
    assert told == ["first", "late"]


def test_closing_the_input_lets_the_last_output_through(peer: Peer) -> None:
    session = peer.open()
    session.close_stdin()
    assert peer.gone.wait(5)
    peer.say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "bye"}})
    assert session.wait_frame(lambda frame: b"bye" in frame.data, deadline_s=5)
    session.close()


def test_progress_reaches_who_asked_and_only_them(peer: Peer) -> None:
    def work(one: Peer, request: dict[str, Any]) -> None:
        token = request["params"].get("_meta", {}).get("progressToken")
        for step in (1, 2):
            if token is not None:
                one.say({"jsonrpc": "2.0", "method": "notifications/progress",
                         "params": {"progressToken": token, "progress": step, "total": 2, "message": "half"}})
            one.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "other", "progress": 9}})
        time.sleep(0.1)
        one.reply(request, result={"content": []})

    peer.on("tools/call", work)
    session = peer.open()
    told: list[Any] = []
    session.call("work", {}, on_progress=lambda *step: told.append(step))
    assert told == [(1.0, 2.0, "half"), (2.0, 2.0, "half")]
    session.call("work", {})
    assert len(told) == 2
    session.close()


def test_ten_megabytes_go_both_ways(peer: Peer) -> None:
    text = "é" * (5 << 20)
    session = peer.open()
    started = time.monotonic()
    assert session.call("echo", {"text": text}, deadline_s=20)["content"][0]["text"] == text
    assert time.monotonic() - started < 5
    assert fine_frames(session.frames()[-1])
    session.close()


def fine_frames(frame: Any) -> bool:
    return frame.size > 10 << 20 and len(frame.data) < 1 << 20 and frame.message is None


def test_a_hundred_sessions_leave_no_descriptor_and_no_thread() -> None:
    def one() -> None:
        peer = Peer()
        session = peer.open()
        session.call("echo", {"text": "x"})
        session.close()
        peer.close()

    one()
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(100):
        one()
    gc.collect()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_a_forked_child_has_a_loop_of_its_own(peer: Peer) -> None:
    session = peer.open()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        word = b"bad"
        try:
            mine = Peer()
            word = mine.open(deadline_s=5).call("echo", {"text": "child"}, deadline_s=5)["content"][0]["text"].encode()
        finally:
            os.write(writer, word)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"child"
    os.waitpid(child, 0)
    assert session.call("echo", {"text": "parent"})["content"][0]["text"] == "parent"
    session.close()
