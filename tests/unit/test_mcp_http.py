"""Streamable HTTP: ready when the port speaks, bounded in what comes back, ended with the container."""
from __future__ import annotations

import contextlib
import gzip
import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mcpweb.errors import Failure, RpcError, ServerExited, ServerFlood, ServerTimeout, SessionFailed
from mcpweb.mcp.session import Session, open_http
from mcpweb.testing.tinyserver import tiny_server
from tests.unit.mcp_peer import SMALL, Peer

Misbehave = Callable[[Any, dict[str, Any]], None]


class HttpPeer:
    """A tiny HTTP server; ``calls`` takes over tools/call with the request handler in hand."""

    def __init__(self, calls: Misbehave | None = None) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.ours, self.output = socket.socketpair()
        self.stopping = threading.Event()
        behave, peer = tiny_server(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = json.loads(body)
                peer.seen.append((message.get("method", ""), {k.lower(): v for k, v in self.headers.items()}))
                if calls is not None and message.get("method") == "tools/call":
                    calls(self, message)
                    return
                answers = list(behave(body))
                self.answer(200 if answers else 202, answers[0] if answers else b"")

            def do_GET(self) -> None:
                peer.seen.append(("GET", {k.lower(): v for k, v in self.headers.items()}))
                self.answer(405, b"")

            do_DELETE = do_GET

            def answer(self, status: int, data: bytes, **headers: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", headers.pop("type", "application/json"))
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                return

            def handle_error(self, *_: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                return

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mcp"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def open(self, **options: Any) -> Session:
        return open_http(self.url, self.ours, **{"era": "modern", "deadline_s": 5, **options})

    def die(self) -> None:
        """End as a container does: its output ends."""
        self.output.close()

    def close(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.output.close()
        self.ours.close()


@pytest.fixture
def http() -> Iterator[Callable[..., HttpPeer]]:
    peers: list[HttpPeer] = []

    def make(calls: Misbehave | None = None) -> HttpPeer:
        peers.append(HttpPeer(calls))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


Make = Callable[..., HttpPeer]


def events(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()


def event(handler: Any, message: Any) -> None:
    handler.wfile.write(b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n")
    handler.wfile.flush()


def test_a_modern_request_says_its_method_and_name_in_headers(http: Make) -> None:
    peer = http()
    session = peer.open()
    session.call("echo", {"text": "x"})
    method, headers = peer.seen[-1]
    assert (method, headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "tools/call", "echo")
    assert headers["mcp-protocol-version"] == "2026-07-28"
    session.close()


def test_an_answer_as_an_event_stream_counts_and_its_notifications_are_tapped(http: Make) -> None:
    def stream(handler: Any, message: dict[str, Any]) -> None:
        events(handler)
        event(handler, {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "on the way"}})
        event(handler, {"jsonrpc": "2.0", "id": message["id"], "result": {"content": "streamed"}})

    session = http(stream).open()
    assert session.call("echo", {})["content"] == "streamed"
    assert any(b"on the way" in frame.data for frame in session.frames())
    session.close()


def test_a_port_that_accepts_and_says_nothing_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        with pytest.raises(ServerTimeout, match="port"):
            open_http(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", None, deadline_s=1)
        assert time.monotonic() - started < 5


def test_waiting_for_the_port_ends_when_the_container_does(http: Make) -> None:
    ours, output = socket.socketpair()
    threading.Timer(0.3, output.close).start()
    started = time.monotonic()
    with pytest.raises(ServerExited):
        open_http("http://127.0.0.1:9/mcp", ours, deadline_s=20)
    assert time.monotonic() - started < 3


def test_a_server_that_listens_late_is_waited_for(http: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    held: list[Session] = []
    failed: list[Failure] = []

    def opening() -> None:
        try:
            held.append(open_http(f"http://127.0.0.1:{port}/mcp", None, era="modern", deadline_s=10))
        except Failure as failure:
            failed.append(failure)

    thread = threading.Thread(target=opening)
    thread.start()
    time.sleep(0.6)
    peer = http()
    relay = socket.create_server(("127.0.0.1", port))
    threading.Thread(target=_relay, args=(relay, peer.server.server_port), daemon=True).start()
    thread.join(12)
    relay.close()
    assert not failed and held[0].timings_ms["listening"] > 500
    held[0].close()


def _relay(listener: socket.socket, port: int) -> None:
    def pipe(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        sink.close()

    while True:
        try:
            one, _ = listener.accept()
        except OSError:
            return
        other = socket.create_connection(("127.0.0.1", port))
        for pair in ((one, other), (other, one)):
            threading.Thread(target=pipe, args=pair, daemon=True).start()


def test_the_end_of_the_container_ends_the_session_and_who_waits(http: Make) -> None:
    peer = http(lambda handler, message: handler.server and peer.stopping.wait(20))
    session = peer.open()
    threading.Timer(0.3, peer.die).start()
    started = time.monotonic()
    with pytest.raises(ServerExited):
        session.call("echo", {}, deadline_s=15)
    assert time.monotonic() - started < 2
    assert session.ended is not None and session.ended.reason == "exited"
    session.close()


def test_a_mute_call_is_a_timeout_and_the_session_goes_on(http: Make) -> None:
    peer = http(lambda handler, message: peer.stopping.wait(20))
    session = peer.open()
    started = time.monotonic()
    with pytest.raises(ServerTimeout):
        session.call("echo", {}, deadline_s=0.4)
    assert time.monotonic() - started < 1.5
    assert session.listing("tools")
    session.close()


def test_a_connection_cut_in_the_answer_is_an_error_at_once(http: Make) -> None:
    def cut(handler: Any, message: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(b'{"jsonrpc')
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    session = http(cut).open()
    started = time.monotonic()
    with pytest.raises(SessionFailed):
        session.call("echo", {}, deadline_s=10)
    assert time.monotonic() - started < 3
    session.close()


@pytest.mark.parametrize("kind", ["length said", "chunks without end"])
def test_an_answer_over_the_bound_ends_the_session(http: Make, kind: str) -> None:
    def huge(handler: Any, message: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Connection", "close")
        if kind == "length said":
            handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        while True:
            handler.wfile.write(b" " * 65536)

    session = http(huge).open(limits=SMALL)
    with pytest.raises(ServerFlood):
        session.call("echo", {}, deadline_s=10)
    assert session.ended is not None and session.ended.reason == "flood"
    session.close()


def test_an_answer_that_would_unfold_is_refused(http: Make) -> None:
    def bomb(handler: Any, message: dict[str, Any]) -> None:
        handler.answer(200, gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip")

    peer = http(bomb)
    session = peer.open()
    with pytest.raises(SessionFailed):
        session.call("echo", {}, deadline_s=5)
    assert peer.seen[-1][1]["accept-encoding"] == "identity"
    session.close()


def test_a_redirect_to_another_place_is_not_followed(http: Make) -> None:
    other = http()
    session = http(lambda handler, message: handler.answer(307, b"", Location=other.url)).open()
    with pytest.raises(RpcError):
        session.call("echo", {}, deadline_s=5)
    assert other.seen == []
    session.close()


@pytest.mark.parametrize(("status", "body"), [(500, b"<h1>no</h1>"), (200, b"<h1>no</h1>"), (200, b"[]"), (404, b""), (202, b"")])
def test_an_answer_that_is_none_is_an_error_at_once(http: Make, status: int, body: bytes) -> None:
    session = http(lambda handler, message: handler.answer(status, body, type="text/html" if body[:1] == b"<" else "application/json")).open()
    started = time.monotonic()
    with pytest.raises(SessionFailed):
        session.call("echo", {}, deadline_s=10)
    assert time.monotonic() - started < 3
    assert session.listing("tools")
    session.close()


def test_a_flood_of_events_ends_its_own_session_and_slows_no_neighbour(http: Make) -> None:
    def flood(handler: Any, message: dict[str, Any]) -> None:
        events(handler)
        block = (b"event: message\ndata: " + json.dumps({"jsonrpc": "2.0", "method": "notifications/x"}).encode() + b"\n\n") * 500
        while True:
            handler.wfile.write(block)

    neighbour_peer = Peer()
    neighbour = neighbour_peer.open()
    session = http(flood).open(limits=SMALL)

    def call() -> None:
        with contextlib.suppress(Failure):
            session.call("echo", {}, deadline_s=20)

    threading.Thread(target=call, daemon=True).start()
    times = []
    until = time.monotonic() + 15
    while session.ended is None and time.monotonic() < until:
        started = time.monotonic()
        neighbour.call("echo", {"text": "x"}, deadline_s=5)
        times.append(time.monotonic() - started)
        time.sleep(0.005)
    assert session.ended is not None and session.ended.reason == "flood"
    assert statistics.median(times) < 0.05 and max(times) < 0.5
    for one in (session, neighbour):
        one.close()
    neighbour_peer.close()


def test_output_of_the_container_is_kept_as_its_log(http: Make) -> None:
    kept: list[bytes] = []
    peer = http()
    session = peer.open(on_stderr=kept.append)
    for stream, text in ((1, b"to stdout\n"), (2, b"to stderr\n")):
        peer.output.sendall(bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text)
    until = time.monotonic() + 3
    while b"".join(kept) != b"to stdout\nto stderr\n" and time.monotonic() < until:
        time.sleep(0.02)
    assert b"".join(kept) == b"to stdout\nto stderr\n"
    assert session.bad_lines() == []
    session.close()


def test_a_proxy_in_the_environment_is_not_asked(http: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    session = http().open()
    assert session.listing("tools")
    session.close()
