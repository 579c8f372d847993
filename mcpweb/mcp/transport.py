"""The way of HTTP requests to a server, with bounds on what comes back."""
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx2

from mcpweb.mcp.limits import SessionEnd, SessionLimits, Traffic

_STREAM_S = 0.5  # a server that ends its event stream at once is not asked again sooner


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Refuses answers that unfold, and ends the session of a server whose answer is too long."""

    def __init__(self, limits: SessionLimits, traffic: Traffic) -> None:
        super().__init__(trust_env=False)
        self._limits = limits
        self._traffic = traffic
        self._next_stream = 0.0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            now = time.monotonic()
            wait, self._next_stream = self._next_stream - now, max(now, self._next_stream) + _STREAM_S
            if wait > 0:
                await asyncio.sleep(wait)
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise httpx2.RemoteProtocolError("The server compressed its answer although identity was asked for.")
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Bounded(response.stream, self._limits.line_bytes, self._traffic)
        return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int, traffic: Traffic) -> None:
        self._inner = inner
        self._most = most
        self._traffic = traffic

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > self._most:
                self._traffic.end = SessionEnd("flood", f"The server sent an answer of more than {self._most / 2**20:g} MiB.")
                raise httpx2.StreamError("too large")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
