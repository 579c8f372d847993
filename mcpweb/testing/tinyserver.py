"""A tiny MCP server as a function from line to lines. Speaks both eras; FakeRuntime serves it by default."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Behaviour = Callable[[bytes], Iterable[bytes]]
"""What a fake server does: one line from the client in, any number of lines out. May raise ServerEnds."""

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_INFO = {"name": "tiny", "version": "1.0"}

TOOLS: tuple[dict[str, Any], ...] = (
    {
        "name": "echo",
        "description": "Return the text as it came.",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": "add",
        "description": "Add two numbers.",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
        "outputSchema": {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
        "annotations": {"readOnlyHint": True},
    },
)

DIGEST: dict[str, Any] = {
    "name": "digest",
    "description": "Return the SHA-256 of a variable, or of the file its _FILE twin names.",
    "inputSchema": {"type": "object", "properties": {"variable": {"type": "string"}}, "required": ["variable"]},
    "annotations": {"readOnlyHint": True},
}


class ServerEnds(Exception):
    """Raised by a behaviour: the server's process ends now with this exit code."""

    def __init__(self, exit_code: int, *, oom: bool = False, stderr: bytes = b"") -> None:
        super().__init__(exit_code)
        self.exit_code, self.oom, self.stderr = exit_code, oom, stderr


def tiny_server(
    *, tools: Sequence[dict[str, Any]] = TOOLS, modern: bool = True, given: Mapping[str, tuple[str, str]] | None = None
) -> Behaviour:
    """Return a server with these tools; unknown tools beside echo and add answer with their arguments as text.

    ``given`` is what it was given: a variable's place ("environment" or "file") and value; the tool digest tells of it.
    """
    given = dict(given or {})
    if given:
        tools = [*tools, DIGEST]

    def behave(line: bytes) -> list[bytes]:
        try:
            message = json.loads(line)
        except ValueError:
            return [_line({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})]
        if isinstance(message, list):
            return [_line({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "No batches"}})]
        if not isinstance(message, dict) or "id" not in message:
            return []
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            params = message.get("params", {})
            if not isinstance(params, dict) or not isinstance(params.get("_meta", {}), dict):
                raise _Refusal(-32602, "Invalid params")
            answer["result"] = _answer(str(message.get("method")), params, tools, modern, given)
        except _Refusal as refusal:
            answer["error"] = refusal.args[0]
        return [_line(answer)]

    return behave


class _Refusal(Exception):
    def __init__(self, code: int, text: str, data: Any = None) -> None:
        super().__init__({"code": code, "message": text} | ({} if data is None else {"data": data}))


def _answer(
    method: str, params: dict[str, Any], tools: Sequence[dict[str, Any]], modern: bool, given: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    version = (params.get("_meta") or {}).get(_VERSION_KEY)
    if modern and version not in (None, MODERN):
        raise _Refusal(-32022, "Unsupported protocol version", {"supported": [MODERN], "requested": version})
    extra = {"resultType": "complete"} if modern and version == MODERN else {}
    cache = {"ttlMs": 0, "cacheScope": "private"} if extra else {}
    if method == "initialize":
        wanted = params.get("protocolVersion")
        chosen = wanted if wanted in HANDSHAKE else HANDSHAKE[-1]
        return {"protocolVersion": chosen, "capabilities": {"tools": {}}, "serverInfo": _INFO}
    if method == "server/discover" and modern:
        meta = {"io.modelcontextprotocol/serverInfo": _INFO}
        return {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "_meta": meta, **extra, **cache}
    if method == "ping" and not extra:
        return {}
    if method == "tools/list":
        return {"tools": list(tools), **extra, **cache}
    if method == "tools/call":
        return {**_call(params, tools, given), **extra}
    raise _Refusal(-32601, f"Method not found: {method}")


def _call(
    params: dict[str, Any], tools: Sequence[dict[str, Any]], given: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    name, arguments = params.get("name"), params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise _Refusal(-32602, "arguments must be an object")
    tool = next((tool for tool in tools if tool["name"] == name), None)
    if tool is None:
        raise _Refusal(-32602, f"Unknown tool: {name}")
    missing = [key for key in tool["inputSchema"].get("required", ()) if key not in arguments]
    if missing:
        return {"content": [{"type": "text", "text": f"missing: {', '.join(missing)}"}], "isError": True}
    if tool is DIGEST:
        place, value = given.get(arguments["variable"], ("nowhere", ""))
        told = {"from": place, "sha256": hashlib.sha256(value.encode()).hexdigest()}
        return {"content": [{"type": "text", "text": json.dumps(told)}], "isError": False}
    if name == "add":
        numbers = [arguments["a"], arguments["b"]]
        if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
            return {"content": [{"type": "text", "text": "a and b must be numbers"}], "isError": True}
        total = {"sum": sum(numbers)}
        text = [{"type": "text", "text": json.dumps(total)}]
        return {"content": text, "structuredContent": total, "isError": False}
    words = arguments["text"] if name == "echo" else json.dumps(arguments, sort_keys=True)
    return {"content": [{"type": "text", "text": str(words)}], "isError": False}


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
