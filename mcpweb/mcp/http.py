"""Streamable HTTP through the SDK's transport, tapped; ready when the port speaks HTTP, not when it accepts."""
from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from mcpweb.errors import ServerExited, ServerTimeout
from mcpweb.mcp.streams import Demultiplexer, Faucet, SessionEnd, SessionLimits
from mcpweb.mcp.tap import Tap


async def wait_ready(url: str, deadline_s: float, alive: Callable[[], bool]) -> None:
    """Return when the endpoint answers with HTTP bytes. A published port accepts before the server listens."""
    parts = urlsplit(url)
    until = asyncio.get_running_loop().time() + deadline_s
    headers = f"Host: {parts.netloc}\r\nAccept: text/event-stream\r\nConnection: close\r\n"
    request = f"GET {parts.path or '/'} HTTP/1.1\r\n{headers}\r\n"
    pause = 0.02
    while True:
        if await _speaks(str(parts.hostname), int(parts.port or 80), request.encode()):
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


async def _speaks(host: str, port: int, request: bytes) -> bool:
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return (await reader.read(5)).startswith(b"HTTP/")
            finally:
                writer.close()
    except (OSError, TimeoutError):
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
            return SessionEnd("exited", "The server ended.")
        for _, piece in demultiplexer.feed(data):
            tap.stderr(piece)
            faucet.pour(piece)
        await asyncio.sleep(0)


@asynccontextmanager
async def http_streams(url: str, tap: Tap) -> AsyncIterator[tuple[Any, Any]]:
    """Give the SDK's pair of streams with a tap in between."""
    from mcp.client.streamable_http import streamable_http_client

    async with streamable_http_client(url) as streams:
        yield _TappedReader(streams[0], tap), _TappedWriter(streams[1], tap)


class _Tapped:
    def __init__(self, inner: Any, tap: Tap) -> None:
        self._inner = inner
        self._tap = tap

    def note(self, direction: Any, item: Any) -> None:
        if isinstance(item, Exception):
            self._tap.bad_line(str(item).encode())
            return
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        self._tap.frame(direction, text.encode(), json.loads(text) if len(text) < 65536 else None)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self._inner.aclose()


class _TappedReader(_Tapped):
    end: SessionEnd | None = None

    async def receive(self) -> Any:
        item = await self._inner.receive()
        self.note("received", item)
        return item

    def __aiter__(self) -> _TappedReader:
        return self

    async def __anext__(self) -> Any:
        item = await self._inner.__anext__()
        self.note("received", item)
        return item

    async def __aenter__(self) -> _TappedReader:
        return self


class _TappedWriter(_Tapped):
    async def send(self, item: Any) -> None:
        self.note("sent", item)
        await self._inner.send(item)

    async def __aenter__(self) -> _TappedWriter:
        return self
