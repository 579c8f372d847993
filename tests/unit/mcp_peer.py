"""A server at the other end of a socket pair that speaks like an attached container, well or badly."""
from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from mcpweb.mcp.session import Session, SessionLimits, open_stdio
from mcpweb.testing.tinyserver import tiny_server

Answer = Callable[["Peer", dict[str, Any]], None]


class Peer:
    """One end of an attached stream. ``on(method, answer)`` replaces how a request is answered."""

    def __init__(self, *, modern: bool = True) -> None:
        self.ours, self.socket = socket.socketpair()
        self.seen: list[Any] = []
        self.gone = threading.Event()
        self._tiny = tiny_server(modern=modern)
        self._answers: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.in_thread(self._serve)

    def on(self, method: str, answer: Answer) -> Peer:
        self._answers[method] = answer
        return self

    def in_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        def guarded() -> None:
            with contextlib.suppress(OSError):
                work(*arguments)

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        self._threads.append(thread)

    def out(self, data: bytes, stream: int = 1) -> None:
        """Write bytes as the engine does: at most 32 KiB in a frame."""
        with self._lock:
            for at in range(0, len(data), 32768):
                piece = data[at: at + 32768]
                self.socket.sendall(bytes([stream, 0, 0, 0]) + len(piece).to_bytes(4, "big") + piece)

    def say(self, message: Any) -> None:
        self.out(json.dumps(message).encode() + b"\n")

    def reply(self, request: dict[str, Any], **fields: Any) -> None:
        self.say({"jsonrpc": "2.0", "id": request["id"], **fields})

    def leave(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def open(self, *, era: str = "handshake", deadline_s: float = 5.0, **more: Any) -> Session:
        return open_stdio(self.ours, era=era, deadline_s=deadline_s, **more)

    def close(self) -> None:
        self.leave()
        for thread in self._threads:
            thread.join(5)
        self.socket.close()
        self.ours.close()

    def _serve(self) -> None:
        try:
            with self.socket.makefile("rb") as lines:
                for line in lines:
                    with contextlib.suppress(ValueError):
                        self._one(line)
        finally:
            self.gone.set()

    def _one(self, line: bytes) -> None:
        message = json.loads(line)
        self.seen.append(message)
        method = message.get("method") if isinstance(message, dict) else None
        if method in self._answers:
            self._answers[method](self, message)
            return
        for answer in self._tiny(line):
            self.out(answer if answer.endswith(b"\n") else answer + b"\n")


def nothing(peer: Peer, request: dict[str, Any]) -> None:
    """Leave a request without an answer."""


SMALL = SessionLimits(line_bytes=1 << 20, flood_seconds=1)
