"""Talk to a launched server from a test: over the socket as the engine frames it, or over http."""
from __future__ import annotations

import json
import select
import socket
import struct
import time
import urllib.request
from typing import Any

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "contract", "version": "1"},
    },
}


class Stream:
    """Reads a launched container's socket as the engine frames it; for tests only."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.stdout = b""
        self.stderr = b""
        self._rest = b""
        self.ended = False

    def send(self, message: dict[str, Any]) -> None:
        """Write one message as a line."""
        self._sock.setblocking(True)
        self._sock.sendall(json.dumps(message).encode() + b"\n")
        self._sock.setblocking(False)

    def close_stdin(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def line(self, deadline_s: float = 10.0) -> dict[str, Any]:
        """Return the next message from stdout."""
        self._until(lambda: b"\n" in self.stdout, deadline_s)
        line, _, self.stdout = self.stdout.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def wait_stderr(self, deadline_s: float = 10.0) -> bytes:
        """Return what came on stderr once something did."""
        self._until(lambda: bool(self.stderr), deadline_s)
        return self.stderr

    def wait_end(self, deadline_s: float = 10.0) -> None:
        """Read until the stream ends."""
        self._until(lambda: self.ended, deadline_s)

    def _until(self, done: Any, deadline_s: float) -> None:
        end = time.monotonic() + deadline_s
        while not done():
            left = end - time.monotonic()
            assert left > 0, f"nothing came in {deadline_s} s; stdout {self.stdout!r}, stderr {self.stderr!r}"
            if not select.select([self._sock], [], [], min(left, 0.5))[0]:
                continue
            data = self._sock.recv(65536)
            if not data:
                self.ended = True
                assert done(), f"the stream ended; stdout {self.stdout!r}, stderr {self.stderr!r}"
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 8:
            kind, size = struct.unpack(">BxxxI", self._rest[:8])
            assert kind in (1, 2), f"not a frame of the engine: {self._rest[:8]!r}"
            if len(self._rest) < 8 + size:
                return
            payload, self._rest = self._rest[8 : 8 + size], self._rest[8 + size :]
            if kind == 1:
                self.stdout += payload
            else:
                self.stderr += payload


def post(url: str, message: dict[str, Any], deadline_s: float = 15.0) -> dict[str, Any]:
    """Post a message; a published port accepts before the server listens, so ask until it answers."""
    end = time.monotonic() + deadline_s
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    while True:
        request = urllib.request.Request(url, json.dumps(message).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                body: str = response.read().decode()
            if body.lstrip().startswith(("event:", "data:")):
                body = next(line[5:] for line in body.splitlines() if line.startswith("data:"))
            answer: dict[str, Any] = json.loads(body)
            return answer
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
