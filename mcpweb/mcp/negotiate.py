"""Which era a server speaks: ``server/discover`` first, the handshake for everybody else.

The SDK waits 10 s for an answer to its probe, which a server that ignores unknown methods never gives. Here the
handshake is sent as well after a shorter while, and the first positive answer decides.
"""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from mcp.shared.exceptions import MCPError
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS

from mcpweb import __version__
from mcpweb.errors import ServerProtocolError

PROBE_S = 2.5
CLIENT_INFO = {"name": "mcpweb", "version": __version__}

Era = Literal["handshake", "modern"]
Send = Callable[[str, dict[str, Any], dict[str, str]], Awaitable[dict[str, Any]]]
"""``send(method, params, http headers)`` returns the raw result or raises MCPError."""


@dataclass(frozen=True)
class Agreement:
    """What was negotiated. ``silent_probe`` tells that the server left server/discover unanswered."""

    era: Era
    protocol: str
    server_info: dict[str, Any]
    capabilities: dict[str, Any]
    instructions: str
    silent_probe: bool = False


def modern_meta(version: str) -> dict[str, Any]:
    """Return the ``_meta`` every modern request carries."""
    return {
        PROTOCOL_VERSION_META_KEY: version,
        CLIENT_INFO_META_KEY: CLIENT_INFO,
        CLIENT_CAPABILITIES_META_KEY: {},
    }


async def agree(send: Send, notify: Callable[[str], Awaitable[None]], wanted: str) -> Agreement:
    """Negotiate. Raises MCPError, ServerProtocolError; the caller bounds the time."""
    if wanted == "handshake":
        return await _handshake(send, notify)
    version = MODERN_PROTOCOL_VERSIONS[-1]
    for _ in range(2):
        probe = asyncio.ensure_future(_discover(send, version))
        handshake: asyncio.Future[Agreement] | None = None
        try:
            await asyncio.wait([probe], timeout=PROBE_S if wanted == "auto" else None)
            if not probe.done():
                handshake = asyncio.ensure_future(_handshake(send, notify, silent=True))
                await asyncio.wait([probe, handshake], return_when=asyncio.FIRST_COMPLETED)
                if handshake.done() and handshake.exception() is not None:
                    await asyncio.wait([probe], timeout=PROBE_S)
            if not probe.done() and handshake is not None:
                return handshake.result()
            result = await probe
        except MCPError as error:
            again = _mutual(error)
            if again and again != version:
                version = again
                continue
            if wanted == "modern" or _modern_only(error):
                raise
            return await (handshake or _handshake(send, notify))
        finally:
            for pending in (probe, handshake):
                if pending is not None and (not pending.done() or (not pending.cancelled() and pending.exception())):
                    pending.cancel()  # looking at the exception is enough for one that is done
        agreement = _adopt(result)
        if agreement is None:
            if wanted == "modern":
                raise ServerProtocolError("The server does not offer a modern protocol version.")
            return await _handshake(send, notify)
        return agreement
    raise ServerProtocolError("The server names a protocol version and then refuses it.")


async def _discover(send: Send, version: str) -> dict[str, Any]:
    headers = {"mcp-protocol-version": version, "mcp-method": "server/discover"}
    return await send("server/discover", {"_meta": modern_meta(version)}, headers)


async def _handshake(send: Send, notify: Callable[[str], Awaitable[None]], *, silent: bool = False) -> Agreement:
    params = {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": {}, "clientInfo": CLIENT_INFO}
    result = await send("initialize", params, {})
    version = result.get("protocolVersion")
    if version not in HANDSHAKE_PROTOCOL_VERSIONS:
        raise ServerProtocolError(f"The server answered the handshake with the unknown version {str(version)[:40]!r}.")
    await notify("notifications/initialized")
    return Agreement(
        "handshake", version, _dict(result.get("serverInfo")), _dict(result.get("capabilities")),
        str(result.get("instructions") or ""), silent_probe=silent,
    )


def _adopt(result: dict[str, Any]) -> Agreement | None:
    supported = result.get("supportedVersions")
    mutual = [v for v in MODERN_PROTOCOL_VERSIONS if isinstance(supported, list) and v in supported]
    if not mutual:
        return None
    info = _dict(_dict(result.get("_meta")).get(SERVER_INFO_META_KEY)) or _dict(result.get("serverInfo"))
    return Agreement(
        "modern", mutual[-1], info, _dict(result.get("capabilities")), str(result.get("instructions") or "")
    )


def _mutual(error: MCPError) -> str | None:
    """Return a modern version the refusal names and we speak."""
    if error.error.code != UNSUPPORTED_PROTOCOL_VERSION:
        return None
    supported = _dict(error.error.data).get("supported")
    known = [v for v in MODERN_PROTOCOL_VERSIONS if isinstance(supported, list) and v in supported]
    return known[-1] if known else None


def _modern_only(error: MCPError) -> bool:
    if error.error.code != UNSUPPORTED_PROTOCOL_VERSION:
        return False
    supported = _dict(error.error.data).get("supported")
    return isinstance(supported, list) and not any(v in HANDSHAKE_PROTOCOL_VERSIONS for v in supported)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
