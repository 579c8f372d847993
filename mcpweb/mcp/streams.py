"""A container's attached stream as the SDK's pair of message streams.

The engine multiplexes stdout and stderr into frames of 8 bytes header and payload (1 stdout, 2 stderr); a line of the
protocol may come in many frames. Reading is linear in size: pieces of a long line are kept in a list, not joined anew.
Nobody has the loop for more than a slice of time, however much its server sends.
"""
from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

import anyio
from mcp.shared.message import SessionMessage
from mcp_types.jsonrpc import JSONRPCNotification, JSONRPCRequest

from mcpweb.mcp.decode import broken_reply, encode, loads, parse
from mcpweb.mcp.limits import Faucet, SessionEnd, SessionLimits, Traffic
from mcpweb.mcp.tap import Tap

_RECEIVE = 1 << 16
_SLICE_S = 0.002
PAUSE_S = 0.006  # what a noisy session waits after its slice
_NOTE = 16 * 1024

__all__ = ["AttachedReader", "AttachedWriter", "Demultiplexer", "Faucet", "SessionEnd", "SessionLimits", "Traffic"]


class StreamEnded(Exception):
    """The stream is over; ``end`` says why."""

    def __init__(self, end: SessionEnd) -> None:
        super().__init__(end.sentence)
        self.end = end


class Demultiplexer:
    """Bytes of an attached stream in; stdout pieces and stderr pieces out."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._stream = 1

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        at, size = 0, len(data)
        while at < size:
            if self._left:
                piece = data[at: at + self._left]
                at += len(piece)
                self._left -= len(piece)
                yield self._stream, piece
                continue
            take = 8 - len(self._header)
            self._header += data[at: at + take]
            at += take
            if len(self._header) == 8:
                self._stream = self._header[0]
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""


class AttachedReader:
    """The read stream the dispatcher iterates over; pulls from the socket only when asked."""

    def __init__(
        self, sock: socket.socket, tap: Tap, limits: SessionLimits, traffic: Traffic,
        on_stderr: Callable[[bytes], None] | None,
    ) -> None:
        self._sock = sock
        self._tap = tap
        self._limits = limits
        self._traffic = traffic
        self._faucet = Faucet(on_stderr, limits)
        self._demultiplexer = Demultiplexer()
        self._line: list[bytes] = []
        self._line_size = 0
        self._ready: deque[SessionMessage] = deque()
        self._work: Iterator[None] | None = None
        self._turn_ends = 0.0
        self.end: SessionEnd | None = None

    async def receive(self) -> SessionMessage:
        """Return the next message. Raises StreamEnded."""
        while True:
            if time.monotonic() > self._turn_ends:
                await self._yield_turn()
            if self._ready:
                return self._ready.popleft()
            if self.end is not None:
                self._faucet.close()
                raise StreamEnded(self.end)
            if self._work is None:
                self._work = self._take(await self._recv())
            elif next(self._work, self) is self:
                self._work = None

    async def _yield_turn(self) -> None:
        await asyncio.sleep(PAUSE_S if self._traffic.noisy or self._faucet.dropping else 0)
        self._turn_ends = time.monotonic() + _SLICE_S

    async def _recv(self) -> bytes:
        try:
            try:
                data = self._sock.recv(_RECEIVE)
            except (BlockingIOError, InterruptedError):
                data = await asyncio.get_running_loop().sock_recv(self._sock, _RECEIVE)
                self._turn_ends = time.monotonic() + _SLICE_S
        except OSError as error:
            self.end = SessionEnd("exited", f"The stream to the container broke ({error.strerror}).")
            return b""
        if not data:
            self.end = SessionEnd("exited", "The server closed its output.")
        return data

    def _take(self, data: bytes) -> Iterator[None]:
        """Work through what was read, one line at a time."""
        for stream, piece in self._demultiplexer.feed(data):
            if stream == 2:
                self._tap.stderr(piece)
                self._faucet.pour(piece)
                yield
                continue
            *whole, rest = piece.split(b"\n")
            for part in whole:
                if self._line:
                    self._line.append(part)
                    part = b"".join(self._line)
                    self._line, self._line_size = [], 0
                self._message(part)
                yield
                if self.end is not None:
                    return
            if rest:
                self._line.append(rest)
                self._line_size += len(rest)
                if self._line_size > self._limits.line_bytes:
                    self._line = []
                    self.end = SessionEnd(
                        "flood", f"The server sent a line of more than {self._limits.line_bytes / 2**20:g} MiB."
                    )
                    return

    def _message(self, line: bytes) -> None:
        if not line.strip():
            self._traffic.unasked(0)
            self.end = self.end or self._traffic.end
            return
        message, parsed = parse(line)
        size = len(line)
        if message is None:
            self._tap.bad_line(line)
            self._traffic.unasked(size)
            message = broken_reply(parsed)
            if message is not None:
                self._ready.append(SessionMessage(message))
            self.end = self.end or self._traffic.end
            return
        if isinstance(message, JSONRPCNotification):
            dropped = self._traffic.unasked(size)
        elif isinstance(message, JSONRPCRequest):
            dropped = self._traffic.request(size)
        else:
            dropped = self._traffic.reply(size)
        self.end = self.end or self._traffic.end
        if dropped:
            self._tap.dropped += 1
            return
        self._tap.frame("received", line, parsed)
        self._ready.append(SessionMessage(message))

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
    """The write stream: whole lines, one writer at a time, whoever gives up in the middle."""

    def __init__(self, sock: socket.socket, tap: Tap, traffic: Traffic) -> None:
        self._sock = sock
        self._tap = tap
        self._traffic = traffic
        self._lock = asyncio.Lock()
        self._rest = memoryview(b"")

    async def send(self, item: SessionMessage) -> None:
        message = item.message
        data = encode(message)
        number = message.id if isinstance(message, JSONRPCRequest) else None
        if number is not None:
            self._traffic.asked += 1
        await self._write(data, number)
        if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
            self._traffic.owed -= 1

    async def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are; each id in them may be answered."""
        self._traffic.asked += 1 + data.count(b'"id"')
        await self._write(data)

    async def _write(self, data: bytes, number: int | str | None = None) -> None:
        line = data.rstrip(b"\n")
        self._tap.frame("sent", line, _message_of(line), number)
        async with self._lock:
            await self._drain()
            self._rest = memoryview(data)
            try:
                await self._drain()
            except asyncio.CancelledError:
                # half a line on the wire would spoil the next one: the next writer sends the rest first
                if len(self._rest) == len(data):
                    self._rest = memoryview(b"")
                raise

    async def _drain(self) -> None:
        while self._rest:
            try:
                sent = self._sock.send(self._rest)
                self._rest = self._rest[sent:]
            except (BlockingIOError, InterruptedError):
                await self._writable()
            except OSError as error:
                self._rest = memoryview(b"")
                raise anyio.BrokenResourceError from error

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._sock, _settle, ready)
        try:
            await ready
        finally:
            if self._sock.fileno() >= 0:
                loop.remove_writer(self._sock)

    async def aclose(self) -> None:
        return None

    async def __aenter__(self) -> AttachedWriter:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _message_of(line: bytes) -> object:
    if len(line) >= _NOTE:
        return None
    try:
        return loads(line)
    except (ValueError, RecursionError):
        return None
