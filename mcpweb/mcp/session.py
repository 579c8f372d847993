"""One MCP session, synchronous for its users: any thread calls, the loop thread talks.

Requests go through the SDK's dispatcher and come back as raw results. Whether a request timed out or the server went
away is decided here, not by error codes, because the SDK's local codes collide with those on the wire.
"""
from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import Future
from typing import Any

from mcpweb.contracts import Frame
from mcpweb.errors import (
    Cancelled,
    Failure,
    RpcError,
    ServerExited,
    ServerFlood,
    ServerProtocolError,
    ServerTimeout,
    SessionFailed,
)
from mcpweb.mcp import asked
from mcpweb.mcp import loop as loops
from mcpweb.mcp.limits import SessionEnd, SessionLimits, Traffic
from mcpweb.mcp.tap import Tap

log = logging.getLogger(__name__)

LISTS = {
    "tools": "tools/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
    "prompts": "prompts/list",
}
_OWN_IDS = 100_000  # above what the dispatcher counts in any session
_SLACK_S = 0.5  # what the loop may be late before the caller stops to wait

__all__ = ["Session", "SessionEnd", "SessionLimits", "open_http", "open_stdio"]


class Session:
    """Made by ``open_stdio`` and ``open_http``. ``ended`` is None while it lives."""

    def __init__(self, limits: SessionLimits) -> None:
        self.limits = limits
        self.tap = Tap()
        self.traffic = Traffic(limits)
        self.era = ""
        self.protocol = ""
        self.server_info: dict[str, Any] = {}
        self.capabilities: dict[str, Any] = {}
        self.instructions = ""
        self.silent_probe = False
        self.timings_ms: dict[str, float] = {}
        self.ended: SessionEnd | None = None
        self.on_lists_changed: Callable[[], None] = _nobody  # called in the loop's thread
        self._listeners: list[Callable[[], None]] = []
        self._guard = threading.Lock()
        self._dispatcher: Any = None
        self._reader: Any = None
        self._writer: Any = None
        self._task: asyncio.Task[None] | None = None
        self._drain: asyncio.Task[None] | None = None
        self._listening: Future[None] | None = None
        self._sock: socket.socket | None = None
        self._numbers = itertools.count(_OWN_IDS + 1)

    # Requests

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        deadline_s: float = 30.0,
        cancel: threading.Event | None = None,
        on_progress: Callable[[float, float | None, str | None], None] | None = None,
    ) -> dict[str, Any]:
        """Send a request and return the raw result. Raises RpcError, ServerTimeout, ServerExited, Cancelled."""
        future = loops.submit(self.ask(method, dict(params or {}), deadline_s, on_progress))
        until = time.monotonic() + deadline_s + _SLACK_S
        while True:
            left = until - time.monotonic()
            try:
                return future.result(min(left, 0.1) if cancel is not None else left)
            except TimeoutError:
                if future.done():
                    continue
                if cancel is not None and cancel.is_set():
                    future.cancel()
                    raise Cancelled("The request was cancelled.") from None
                if time.monotonic() >= until:
                    future.cancel()
                    raise ServerTimeout(f"{method} was not answered within {deadline_s:g} s.") from None
            except FutureCancelled:
                raise self._gone(method) from None

    def next_id(self) -> int:
        """Return an id for a request that no other of this session has."""
        return next(self._numbers)

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification. Raises ServerTimeout, and the reason where the session is over."""
        if self.ended is not None or self._dispatcher is None:
            raise self._gone(method)
        self._run(self._dispatcher.notify(method, dict(params or {}), {"headers": self._headers(method, {})}))

    def listing(self, what: str, *, deadline_s: float = 30.0) -> list[Any]:
        """Walk all pages of a list and return the raw items, in ``deadline_s`` altogether.

        Raises ServerProtocolError for pages without end, ServerFlood for more than a list may hold.
        """
        future = self.begin_listing(what, deadline_s)
        try:
            return future.result(deadline_s + _SLACK_S)
        except TimeoutError:
            future.cancel()
            raise ServerTimeout(f"{LISTS[what]} was not answered within {deadline_s:g} s.") from None
        except FutureCancelled:
            raise self._gone(LISTS[what]) from None

    def begin_listing(self, what: str, deadline_s: float) -> Future[list[Any]]:
        """Ask for a list; it is on its way when this returns. The future raises as ``listing`` does."""
        from mcpweb.mcp.calls import walk

        return loops.submit(walk(self, LISTS[what], what, deadline_s))

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        deadline_s: float = 30.0,
        on_progress: Callable[[float, float | None, str | None], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> dict[str, Any]:
        """Call a tool and return the raw result, one with isError too."""
        params = {"name": tool, "arguments": dict(arguments)}
        return self.request("tools/call", params, deadline_s=deadline_s, on_progress=on_progress, cancel=cancel)

    def ping(self, deadline_s: float = 10.0) -> None:
        """Ask for a sign of life. An error reply is one, too."""
        method = "ping" if self.era == "handshake" else "server/discover"
        with contextlib.suppress(RpcError):
            self.request(method, {}, deadline_s=deadline_s)

    # Raw access

    def send_raw(self, data: bytes | Mapping[str, Any]) -> None:
        """Write bytes, or a message as one line, as they are (stdio only)."""
        if self._sock is None or not hasattr(self._writer, "send_bytes"):
            raise SessionFailed("Raw bytes go over stdio only.")
        raw = data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n"
        try:
            self._run(self._writer.send_bytes(raw))
        except Failure:
            raise
        except Exception:
            raise self._gone("sending") from None

    def frames(self) -> list[Frame]:
        return self.tap.frames()

    def wait_frame(self, wanted: Callable[[Frame], bool], *, deadline_s: float) -> Frame | None:
        return self.tap.wait(wanted, deadline_s)

    def bad_lines(self) -> list[bytes]:
        return self.tap.bad_lines()

    def stderr(self) -> str:
        return self.tap.stderr_tail()

    def close_stdin(self) -> None:
        """End the server's input; its last output still arrives."""
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def on_end(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` once when the session is over, at once if it is."""
        with self._guard:
            if self.ended is None:
                self._listeners.append(listener)
                return
        listener()

    def listen(self) -> None:
        """Have changes of lists told to ``on_lists_changed`` in the modern era, too, where only subscribers are told."""
        from mcpweb.mcp.listening import lists_that_change, subscribed

        wanted = lists_that_change(self.capabilities)
        if self.era == "modern" and wanted and self._listening is None:
            self._listening = loops.submit(subscribed(self, wanted))

    def close(self) -> None:
        """End the session; idempotent. The container is somebody else's."""
        if self._listening is not None:
            self._listening.cancel()
        self._end(SessionEnd("closed", "The session was closed."))
        sock = self._sock
        with contextlib.suppress(Exception):
            loops.run(_let_go([self._task, self._drain], sock), 5.0)
        if sock is not None:
            self._sock = None
            sock.close()

    # Inside

    def _run(self, coroutine: Any, timeout_s: float = 15.0) -> Any:
        try:
            return loops.run(coroutine, timeout_s)
        except TimeoutError:
            raise ServerTimeout("The server does not read its input.") from None

    def _headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        if not self.protocol:
            return {}
        headers = {"mcp-protocol-version": self.protocol}
        if self.era == "modern":
            headers["mcp-method"] = method
            name = params.get("name") or params.get("uri")
            if isinstance(name, str):
                from mcp.shared.inbound import encode_header_value

                headers["mcp-name"] = encode_header_value(name)
        return headers

    async def ask(
        self,
        method: str,
        params: dict[str, Any],
        deadline_s: float | None,
        on_progress: Callable[[float, float | None, str | None], None] | None = None,
        *,
        number: int | None = None,
        cancel_on_abandon: bool = True,
    ) -> dict[str, Any]:
        """Send a request from the loop's thread and return the raw result; ``number`` is an id of ``next_id``."""
        if self.era == "modern":
            from mcpweb.mcp.negotiate import modern_meta

            params["_meta"] = modern_meta(self.protocol) | dict(params.get("_meta") or {})
        options: dict[str, Any] = {"headers": self._headers(method, params), "cancel_on_abandon": cancel_on_abandon}
        if number is not None:
            options["request_id"] = number
        if on_progress is not None:

            async def told(progress: float, total: float | None, message: str | None) -> None:
                on_progress(progress, total, message)

            options["on_progress"] = told
        return await self._send(method, params, options, deadline_s)

    async def _send(
        self, method: str, params: dict[str, Any], options: dict[str, Any], deadline_s: float | None
    ) -> dict[str, Any]:
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED

        from mcpweb.mcp.decode import MALFORMED

        if self.ended is not None or self._dispatcher is None:
            raise self._gone(method)
        try:
            async with asyncio.timeout(deadline_s):
                result: dict[str, Any] = await self._dispatcher.send_raw_request(method, params, options)
                return result
        except TimeoutError:
            raise ServerTimeout(f"{method} was not answered within {deadline_s:g} s.") from None
        except MCPError as error:
            if error.error.data is MALFORMED:
                raise ServerProtocolError(f"The reply to {method} is not a JSON-RPC response.") from None
            if error.error.code == CONNECTION_CLOSED and (self.ended is not None or not self._dispatcher._running):
                await self._over()
                raise self._gone(method) from None
            rpc = {"code": error.error.code, "message": error.error.message}
            if error.error.data is not None:
                rpc["data"] = error.error.data
            raise RpcError(rpc) from None

    def _consume(self, method: str, params: Any) -> bool:
        """Take a notification off the dispatcher at once: the Tap has it, and a task for each would be a gift to floods."""
        if method.endswith("/list_changed"):
            self.on_lists_changed()
        return True

    async def _over(self) -> None:
        """Wait until it is known why the session ended; who waits for a reply is woken a moment before."""
        if self.ended is None and self._task is not None:
            await asyncio.wait([self._task], timeout=1.0)

    def _gone(self, method: str) -> Failure:
        end = self.ended or getattr(self._reader, "end", None)
        if end is None:
            return ServerExited(f"The server went away during {method}.")
        kinds = {"flood": ServerFlood, "closed": SessionFailed, "broken": ServerProtocolError}
        kind = kinds.get(end.reason, ServerExited)
        return kind(end.sentence)

    def _end(self, end: SessionEnd) -> None:
        with self._guard:
            if self.ended is not None:
                return
            self.ended = end
            listeners, self._listeners = self._listeners, []
        self.tap.end()
        if end.reason != "closed" and self._drain is None and self._sock is not None:
            # nobody reads any more, and an engine that is stuck with output does not even remove the container
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        for listener in listeners:
            try:
                listener()
            except Exception:
                log.exception("a listener for the end of a session failed")

    async def _hold(self, streams: Any, ready: asyncio.Future[None]) -> None:
        """Keep the dispatcher running until the stream ends."""
        from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher

        end = SessionEnd("exited", "The session ended.")
        try:
            async with streams as (reader, writer):
                self._reader, self._writer = reader, writer
                self._dispatcher = JSONRPCDispatcher(reader, writer)
                runner = asyncio.ensure_future(self._dispatcher.run(asked.refuse, asked.ignore, self._consume))
                try:
                    while not self._dispatcher._running and not runner.done():
                        await asyncio.sleep(0)
                    if not ready.done():
                        ready.set_result(None)
                    await runner
                    end = getattr(reader, "end", None) or end
                finally:
                    runner.cancel()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            end = SessionEnd("broken", f"The session broke: {type(error).__name__}.")
            log.info("a session broke", exc_info=error)
        finally:
            self._end(end)
            if not ready.done():
                ready.set_result(None)

    async def _open(self, streams: Any, era: str, deadline_s: float, log_task: Any = None) -> None:
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED

        from mcpweb.mcp.decode import MALFORMED
        from mcpweb.mcp.negotiate import agree

        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._hold(streams, ready))
        await ready
        if era == "none":
            return
        started = time.monotonic_ns()

        async def send(method: str, params: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
            options = {"headers": headers, "cancel_on_abandon": False}
            result: dict[str, Any] = await self._dispatcher.send_raw_request(method, params, options)
            if method == "initialize":
                self.protocol, self.era = str(result.get("protocolVersion", "")), "handshake"
            return result

        async def notify(method: str) -> None:
            await self._dispatcher.notify(method, None, {"headers": self._headers(method, {})})

        try:
            async with asyncio.timeout(deadline_s):
                found = await agree(send, notify, era)
        except TimeoutError:
            raise ServerTimeout(
                f"The server did not answer the MCP handshake within {deadline_s:g} s.",
                next_step="Look at its logs; check that the image is an MCP server and speaks this transport.",
            ) from None
        except MCPError as error:
            if error.error.data is MALFORMED:
                raise ServerProtocolError("The answer to the handshake is not a JSON-RPC response.") from None
            if error.error.code == CONNECTION_CLOSED and (self.ended is not None or not self._dispatcher._running):
                await self._over()
                raise self._gone("the handshake") from None
            raise ServerProtocolError(
                f"The server refused the handshake: {error.error.code} {error.error.message[:200]}"
            ) from None
        self.era, self.protocol, self.silent_probe = found.era, found.protocol, found.silent_probe
        self.server_info, self.capabilities = found.server_info, found.capabilities
        self.instructions = found.instructions
        first = self.tap.first_received_at or time.monotonic_ns()
        self.timings_ms["ready"] = (first - self.tap.opened_at) / 1e6
        self.timings_ms["handshake"] = (time.monotonic_ns() - started) / 1e6


def open_stdio(
    sock: socket.socket,
    *,
    era: str = "auto",
    limits: SessionLimits | None = None,
    deadline_s: float = 20.0,
    on_stderr: Callable[[bytes], None] | None = None,
) -> Session:
    """Open a session over a container's attached stream; the session owns the socket from now on.

    ``era`` is auto, handshake, modern, or none (nothing is sent). Raises ServerTimeout, ServerExited,
    ServerProtocolError; the socket is closed then.
    """
    session = Session(limits or SessionLimits())
    session._sock = sock
    sock.setblocking(False)

    async def opening() -> None:
        from mcpweb.mcp.streams import AttachedReader, AttachedWriter

        reader = AttachedReader(sock, session.tap, session.limits, session.traffic, on_stderr)
        await session._open(_pair(reader, AttachedWriter(sock, session.tap, session.traffic)), era, deadline_s)

    return _opened(session, opening, deadline_s)


def open_http(
    url: str,
    output: socket.socket | None,
    *,
    era: str = "auto",
    limits: SessionLimits | None = None,
    deadline_s: float = 20.0,
    on_stderr: Callable[[bytes], None] | None = None,
) -> Session:
    """Open a session over streamable HTTP; ``output`` is the container's attached stdout and stderr.

    Raises as ``open_stdio``. The end of ``output`` is the end of the session.
    """
    from mcpweb.mcp import http

    session = Session(limits or SessionLimits())
    session._sock = output
    if output is not None:
        output.setblocking(False)

    async def drain(sock: socket.socket) -> None:
        end = await http.drain_output(sock, session.tap, session.limits, on_stderr)
        await asyncio.sleep(0.1)  # an answer may still be on its way through the port
        session._end(end)
        if session._task is not None:
            session._task.cancel()

    async def opening() -> None:
        started = time.monotonic()
        if output is not None:
            session._drain = asyncio.ensure_future(drain(output))
        await http.wait_ready(url, deadline_s, lambda: session.ended is None)
        session.timings_ms["listening"] = (time.monotonic() - started) * 1000
        left = max(1.0, deadline_s - (time.monotonic() - started))
        await session._open(http.http_streams(url, session.tap, session.limits, session.traffic), era, left)

    return _opened(session, opening, deadline_s)


def _opened(session: Session, opening: Callable[[], Any], deadline_s: float) -> Session:
    try:
        loops.run(opening(), deadline_s + _SLACK_S)
    except TimeoutError:
        session.close()
        raise ServerTimeout(f"The server did not answer the MCP handshake within {deadline_s:g} s.") from None
    except BaseException:
        session.close()
        raise
    return session


@contextlib.asynccontextmanager
async def _pair(reader: Any, writer: Any) -> AsyncIterator[tuple[Any, Any]]:
    yield reader, writer


async def _let_go(tasks: list[asyncio.Task[None] | None], sock: socket.socket | None) -> None:
    """End tasks, and make the loop forget the socket: the next socket with its number must not inherit anything."""
    for task in tasks:
        if task is not None and not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
    if sock is not None and sock.fileno() >= 0:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.remove_writer(sock)


def _nobody() -> None:
    return None
