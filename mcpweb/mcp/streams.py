"""A container's attached stream as the SDK's pair of message streams.

The engine multiplexes stdout and stderr into frames of 8 bytes header and payload (1 stdout, 2 stderr); a line of the
protocol may come in many frames. Reading is linear in size: pieces of a long line are kept in a list, not joined anew.
"""
from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp.shared.message import SessionMessage
from mcp_types.jsonrpc import JSONRPCNotification, JSONRPCResponse, jsonrpc_message_adapter
from pydantic import ValidationError

from mcpweb.mcp.tap import Tap

_RECEIVE = 1 << 18


@dataclass(frozen=True)
class SessionLimits:
    """What a server may send before it is slowed down or its session is ended."""

    line_bytes: int = 16 * 2**20
    notifications_per_s: int = 500
    flood_seconds: int = 5  # so many seconds above the rate end the session
    stderr_bytes_per_s: int = 256 * 1024
    stderr_burst: int = 1 << 20


@dataclass(frozen=True)
class SessionEnd:
    """Why a session is over: closed (by us), exited (end of stream), flood, broken."""

    reason: str
    sentence: str


class Faucet:
    """Lets stderr through at a bounded rate and says what it dropped."""

    def __init__(self, sink: Callable[[bytes], None] | None, limits: SessionLimits) -> None:
        self._sink = sink
        self._rate = limits.stderr_bytes_per_s
        self._burst = limits.stderr_burst
        self._level = float(limits.stderr_burst)
        self._at = time.monotonic()
        self._dropped = 0

    def pour(self, data: bytes) -> None:
        if self._sink is None:
            return
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if len(data) > self._level:
            self._dropped += len(data)
            return
        self._level -= len(data)
        if self._dropped:
            self._sink(b"\n[%d bytes of stderr were dropped: more than is kept per second]\n" % self._dropped)
            self._dropped = 0
        self._sink(data)


class StreamEnded(Exception):
    """The stream is over; ``end`` says why."""

    def __init__(self, end: SessionEnd) -> None:
        super().__init__(end.sentence)
        self.end = end


class Demultiplexer:
    """Bytes of an attached stream in; stdout pieces and stderr pieces out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0
        self._stream = 1

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        pieces = []
        if self._left and not self._buffer:
            take = data[: self._left]
            pieces.append((self._stream, take))
            self._left -= len(take)
            data = data[len(take):]
        if not data:
            return pieces
        self._buffer += data
        at = 0
        size = len(self._buffer)
        while at < size:
            if self._left == 0:
                if size - at < 8:
                    break
                self._stream = self._buffer[at]
                self._left = int.from_bytes(self._buffer[at + 4: at + 8], "big")
                at += 8
                continue
            take = bytes(self._buffer[at: at + self._left])
            pieces.append((self._stream, take))
            self._left -= len(take)
            at += len(take)
        del self._buffer[:at]
        return pieces


class AttachedReader:
    """The read stream the dispatcher iterates over; pulls from the socket only when asked."""

    def __init__(
        self, sock: socket.socket, tap: Tap, limits: SessionLimits, on_stderr: Callable[[bytes], None] | None
    ) -> None:
        self._sock = sock
        self._tap = tap
        self._limits = limits
        self._faucet = Faucet(on_stderr, limits)
        self._demultiplexer = Demultiplexer()
        self._line: list[bytes] = []
        self._line_size = 0
        self._ready: deque[SessionMessage] = deque()
        self._second = 0
        self._notes = 0
        self._hot_seconds = 0
        self.end: SessionEnd | None = None

    async def receive(self) -> SessionMessage:
        """Return the next message. Raises StreamEnded."""
        loop = asyncio.get_running_loop()
        while not self._ready:
            if self.end is not None:
                raise StreamEnded(self.end)
            try:
                data = await loop.sock_recv(self._sock, _RECEIVE)
            except OSError as error:
                self.end = SessionEnd("exited", f"The stream to the container broke ({error.strerror}).")
                continue
            if not data:
                self.end = SessionEnd("exited", "The server closed its output.")
                continue
            self._take(data)
            # a socket that always has data would otherwise keep the loop for itself
            await asyncio.sleep(0.002 if self._hot_seconds else 0)
        return self._ready.popleft()

    def _take(self, data: bytes) -> None:
        for stream, piece in self._demultiplexer.feed(data):
            if stream == 2:
                self._tap.stderr(piece)
                self._faucet.pour(piece)
            else:
                self._stdout(piece)
            if self.end is not None:
                return

    def _stdout(self, piece: bytes) -> None:
        *whole, rest = piece.split(b"\n")
        for part in whole:
            if self._line:
                self._line.append(part)
                part = b"".join(self._line)
                self._line, self._line_size = [], 0
            if self.end is None:
                self._message(part)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            if self._line_size > self._limits.line_bytes:
                self._line = []
                self.end = SessionEnd("flood", f"The server sent a line of more than {self._limits.line_bytes >> 20} MiB.")

    def _message(self, line: bytes) -> None:
        if not line.strip():
            return
        message, parsed = parse(line)
        if message is None:
            self._tap.bad_line(line)
            return
        if isinstance(message, JSONRPCNotification) and self._too_many():
            return
        self._tap.frame("received", line, parsed)
        self._ready.append(SessionMessage(message))

    def _too_many(self) -> bool:
        """Count notifications by the second; drop what is above the rate, end a lasting flood."""
        second = int(time.monotonic())
        if second != self._second:
            was_hot = self._notes > self._limits.notifications_per_s and second == self._second + 1
            self._hot_seconds = self._hot_seconds + 1 if was_hot else 0
            self._second, self._notes = second, 0
            if self._hot_seconds >= self._limits.flood_seconds:
                self.end = SessionEnd(
                    "flood",
                    f"The server sent more than {self._limits.notifications_per_s} notifications a second "
                    f"for {self._limits.flood_seconds} s.",
                )
        self._notes += 1
        return self._notes > self._limits.notifications_per_s

    async def aclose(self) -> None:
        if self.end is None:
            self.end = SessionEnd("closed", "The session was closed.")

    def __aiter__(self) -> AttachedReader:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except StreamEnded:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> AttachedReader:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class AttachedWriter:
    """The write stream: one line per message, one writer at a time."""

    def __init__(self, sock: socket.socket, tap: Tap) -> None:
        self._sock = sock
        self._tap = tap
        self._lock = asyncio.Lock()

    async def send(self, item: SessionMessage) -> None:
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        await self.send_bytes(text + b"\n")

    async def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are."""
        line = data.rstrip(b"\n")
        self._tap.frame("sent", line, _loads(line) if len(line) < 16384 else None)
        async with self._lock:
            try:
                await asyncio.get_running_loop().sock_sendall(self._sock, data)
            except OSError as error:
                import anyio

                raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        return None

    async def __aenter__(self) -> AttachedWriter:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def parse(line: bytes) -> tuple[Any, Any]:
    """Return the SDK's message and the decoded JSON of a line; (None, …) when it is no JSON-RPC message."""
    parsed = _loads(line)
    if not isinstance(parsed, dict):
        return None, parsed
    result = parsed.get("result")
    plain = parsed.get("jsonrpc") == "2.0" and isinstance(result, dict) and isinstance(parsed.get("id"), int | str)
    if plain and "method" not in parsed and "error" not in parsed:
        return JSONRPCResponse.model_construct(jsonrpc="2.0", id=parsed["id"], result=result), parsed
    try:
        return jsonrpc_message_adapter.validate_python(parsed), parsed
    except (ValidationError, RecursionError):
        return None, parsed


def _loads(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
