"""Streamable HTTP through the SDK's transport, tapped; ready when the port speaks HTTP, not when it accepts."""
from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from mcp_types.jsonrpc import JSONRPCNotification, JSONRPCRequest

from mcpweb.errors import ServerExited, ServerTimeout
from mcpweb.mcp.decode import encode
from mcpweb.mcp.limits import Faucet, SessionEnd, SessionLimits, Traffic
from mcpweb.mcp.streams import PAUSE_S, Demultiplexer
from mcpweb.mcp.tap import Tap


async def wait_ready(url: str, deadline_s: float, alive: Callable[[], bool]) -> None:
    """Return when the endpoint answers with HTTP bytes. A published port accepts before the server listens."""
    parts = urlsplit(url)
    until = asyncio.get_running_loop().time() + deadline_s
    headers = f"Host: {parts.netloc}\r\nAccept: text/event-stream\r\nConnection: close\r\n"
    request = f"GET {parts.path or '/'} HTTP/1.1\r\n{headers}\r\n"
    pause = 0.02
    while True:
        left = until - asyncio.get_running_loop().time()
        if await _speaks(str(parts.hostname), int(parts.port or 80), request.encode(), min(2.0, max(0.05, left))):
            return
        if not alive():
            raise ServerExited("The server ended before it answered on its port.")
        if asyncio.get_running_loop().time() > until:
            raise ServerTimeout(
                f"The server did not answer on its port within {deadline_s:.0f} s.",
                next_step="Check the port in the configuration, and that the server listens on all interfaces.",
            )
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.5)


async def _speaks(host: str, port: int, request: bytes, wait_s: float) -> bool:
    try:
        async with asyncio.timeout(wait_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.readexactly(5) == b"HTTP/"
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def drain_output(
    sock: socket.socket, tap: Tap, limits: SessionLimits, sink: Callable[[bytes], None] | None
) -> SessionEnd:
    """Read the container's stdout and stderr as logs until they end."""
    demultiplexer, faucet = Demultiplexer(), Faucet(sink, limits)
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = await loop.sock_recv(sock, 1 << 16)
        except OSError as error:
            return SessionEnd("exited", f"The stream to the container broke ({error.strerror}).")
        if not data:
            faucet.close()
            return SessionEnd("exited", "The server ended.")
        for _, piece in demultiplexer.feed(data):
            tap.stderr(piece)
            faucet.pour(piece)
        await asyncio.sleep(PAUSE_S if faucet.dropping else 0)


@asynccontextmanager
async def http_streams(url: str, tap: Tap, limits: SessionLimits, traffic: Traffic) -> AsyncIterator[tuple[Any, Any]]:
    """Give the SDK's pair of streams with a tap in between; nothing of the environment (proxies) changes the way."""
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    from mcpweb.mcp.transport import BoundedTransport

    client = httpx2.AsyncClient(
        transport=BoundedTransport(limits, traffic), timeout=httpx2.Timeout(30.0, read=300.0), trust_env=False,
        headers={"accept-encoding": "identity"},
    )
    async with client:
        async with streamable_http_client(url, http_client=client, max_sse_event_size=limits.line_bytes) as streams:
            yield TappedReader(streams[0], tap, traffic), TappedWriter(streams[1], tap, traffic)


class _Tapped:
    def __init__(self, inner: Any, tap: Tap, traffic: Traffic) -> None:
        self._inner = inner
        self._tap = tap
        self._traffic = traffic

    def note(self, direction: Any, item: Any) -> None:
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        number = getattr(item.message, "id", None)
        self._tap.frame(direction, text.encode(), json.loads(text) if len(text) < 65536 else None, number)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self._inner.aclose()


class TappedReader(_Tapped):
    """What the server sends, counted; ``end`` says why reading stopped."""

    end: SessionEnd | None = None

    async def __anext__(self) -> Any:
        while self._traffic.end is None:
            item = await self._inner.__anext__()
            if self._traffic.end is None and not self._refused(item):
                return item
            await asyncio.sleep(PAUSE_S)
        self.end = self._traffic.end
        raise StopAsyncIteration

    def _refused(self, item: Any) -> bool:
        if isinstance(item, Exception):
            self._tap.bad_line(str(item).encode())
            return self._traffic.unasked(0)
        message = item.message
        if isinstance(message, JSONRPCNotification):
            refused = self._traffic.unasked(0)
        elif isinstance(message, JSONRPCRequest):
            refused = self._traffic.request(0)
        else:
            refused = self._traffic.reply(0)
        if refused:
            self._tap.dropped += 1
        else:
            self.note("received", item)
        return refused

    def __aiter__(self) -> TappedReader:
        return self

    async def __aenter__(self) -> TappedReader:
        return self


class TappedWriter(_Tapped):
    """What we send."""

    async def send(self, item: Any) -> None:
        encode(item.message)  # raises InvalidInput here and not inside of the transport
        self.note("sent", item)
        if isinstance(item.message, JSONRPCRequest):
            self._traffic.asked += 1
        await self._inner.send(item)
        if not isinstance(item.message, JSONRPCRequest | JSONRPCNotification):
            self._traffic.owed -= 1

    async def __aenter__(self) -> TappedWriter:
        return self
