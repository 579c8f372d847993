"""The sinkhole seen from the run child: its log as it comes, and names that nobody used before."""
from __future__ import annotations

import hashlib
import json
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

from mcpweb.contracts import Sink, SinkEvent, SinkKind
from mcpweb.errors import Unavailable
from mcpweb.mcp.streams import Demultiplexer

READY_S = 15.0
MARK_S = 5.0
MOST_LINE = 256 * 1024
MOST_EVENTS = 20_000  # four thousand of each kind
DOMAIN = "example.net"


class Sinkhole(Sink):
    """The log of one sinkhole, read by a thread from its attached stream."""

    def __init__(self, container_id: str, sock: socket.socket, secret: str) -> None:
        self.container_id = container_id
        self.hostname = container_id[:12]
        self._sock = sock
        self._secret = secret
        self._nonce = secrets.token_hex(5)
        self._names = 0
        self._events: list[SinkEvent] = []
        self._marks: set[str] = set()
        self._news = threading.Condition()
        self._ended = False
        self._said = b""
        threading.Thread(target=self._read, name="sinkhole", daemon=True).start()
        if not self._until(lambda: "ready" in self._marks, READY_S):
            said = self._said.decode(errors="replace").strip()[-200:]
            raise Unavailable(f"The sinkhole did not start{f': {said}' if said else ''}.", code="sinkhole_unavailable")

    def host(self, label: str = "probe") -> str:
        with self._news:
            self._names += 1
            return f"{label}-{self._names}-{self._nonce}.{DOMAIN}"

    def answer(self, path: str) -> str:
        return f"sink-{hashlib.sha256(f'{self._secret}{path}'.encode()).hexdigest()[:24]}"

    def events(self, since: int = 0) -> list[SinkEvent]:
        mark = secrets.token_hex(6)
        try:
            self._sock.sendall(f"{mark}\n".encode())
        except OSError:
            raise Unavailable("The sinkhole is gone.", code="sinkhole_unavailable") from None
        if not self._until(lambda: mark in self._marks, MARK_S):
            raise Unavailable("The sinkhole does not answer.", code="sinkhole_unavailable")
        with self._news:
            return [event for event in self._events if event.at > since]

    def wait(self, wanted: Callable[[SinkEvent], bool], *, deadline_s: float) -> SinkEvent | None:
        found: list[SinkEvent] = []
        looked = 0

        def there() -> bool:
            nonlocal looked
            new, looked = self._events[looked:], len(self._events)
            found.extend(event for event in new if wanted(event))
            return bool(found)

        self._until(there, deadline_s)
        return found[0] if found else None

    def close(self) -> None:
        """End the log; the container goes with the run."""
        self._ended = True
        self._sock.close()

    def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        with self._news:
            while not done():
                left = until - time.monotonic()
                if left <= 0 or self._ended:
                    return done()
                self._news.wait(left)
            return True

    def _read(self) -> None:
        streams, line = Demultiplexer(), b""
        try:
            while not self._ended:
                if not select.select([self._sock], [], [], 1.0)[0]:
                    continue
                data = self._sock.recv(1 << 16)
                if not data:
                    break
                for stream, piece in streams.feed(data):
                    if stream != 1:
                        self._said = (self._said + piece)[-4096:]
                        continue
                    *whole, line = (line + piece).split(b"\n")
                    line = line[-MOST_LINE:]
                    self._take(whole)
        except (OSError, ValueError):
            pass
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _take(self, lines: list[bytes]) -> None:
        with self._news:
            for line in lines:
                try:
                    told = json.loads(line)
                except ValueError:
                    continue
                if not isinstance(told, dict):
                    continue
                if told.get("kind") in ("mark", "ready"):
                    self._marks.add(str(told.get("mark", "ready")))
                elif told.get("kind") in get_args(SinkKind) and len(self._events) < MOST_EVENTS:
                    self._events.append(_event(len(self._events) + 1, told))
            self._news.notify_all()


def _event(at: int, told: Mapping[str, Any]) -> SinkEvent:
    headers = told.get("headers")
    return SinkEvent(
        at=at, kind=told["kind"], name=str(told.get("name") or told.get("host") or "")[:300],
        address=str(told.get("address", ""))[:64], port=int(told.get("port") or 0),
        method=str(told.get("method", ""))[:16], path=str(told.get("path", ""))[:2000],
        headers=tuple((str(n), str(v)) for n, v in headers.items()) if isinstance(headers, dict) else (),
        body=str(told.get("body", ""))[:4096],
    )
