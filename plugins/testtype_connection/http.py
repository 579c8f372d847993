"""C10: what an HTTP endpoint must refuse, because a page in somebody's browser can reach it."""
from __future__ import annotations

import json
from typing import Any

from mcpweb.plugin import CheckResult, TestContext, TestSession

from .protocol import CLIENT, meta_for, sentence

JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
EVIL = "https://attacker.example"


def closed_to_others(context: TestContext, session: TestSession) -> CheckResult:
    """A foreign Origin is refused, a rebound name too; in the modern era headers must fit the body and no session id is given."""
    wrong: list[str] = []
    request, headers = _first_request(session)
    body = json.dumps(request).encode()
    status, _, data = context.http(session, "POST", headers={**JSON, **headers, "Origin": EVIL}, body=body)
    evidence: dict[str, Any] = {"foreign_origin": {"status": status, "body": data[:300]}}
    if status < 400:
        wrong.append(f"a request from a foreign origin is answered with {status}")
    else:  # an attacker's name that now means 127.0.0.1: Origin and Host agree, and are still not ours
        rebound = {"Origin": EVIL.replace("https", "http"), "Host": EVIL.partition("//")[2]}
        status, _, data = context.http(session, "POST", headers={**JSON, **headers, **rebound}, body=body)
        evidence["rebound_name"] = {"status": status, "body": data[:300]}
        if status < 400:
            wrong.append(f"a page behind a rebound name, whose Origin equals Host, is answered with {status}")
    if session.era == "modern":
        lying = {**headers, "Mcp-Method": "tools/call"}
        status, _, data = context.http(session, "POST", headers={**JSON, **lying}, body=body)
        evidence["header_mismatch"] = {"status": status, "body": data[:300]}
        if b"-32020" not in data:
            wrong.append("headers that disagree with the body are accepted")
        status, answered, _ = context.http(session, "POST", headers={**JSON, **headers}, body=body)
        evidence["session_id"] = answered.get("mcp-session-id")
        if answered.get("mcp-session-id"):
            wrong.append("a session id is given, which the modern era does not know")
    ports = (session.inspect().raw.get("NetworkSettings") or {}).get("Ports") or {}
    addresses = sorted({bound.get("HostIp", "") for bounds in ports.values() for bound in bounds or []})
    evidence["bound_to"] = addresses
    if any(address not in ("127.0.0.1", "::1") for address in addresses):
        wrong.append("the port is published on other addresses than 127.0.0.1")
    if wrong:
        return CheckResult("C10", "fail", sentence(wrong), evidence=evidence,
                           input={"headers": {**headers, "Origin": EVIL}, "body": request},
                           next_step="Tell the server's author: answer 403 to an Origin that is not on its own list.")
    return CheckResult("C10", "pass", "Foreign origins are refused; the port is on 127.0.0.1 only.", evidence=evidence)


def _first_request(session: TestSession) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a request any client may begin with, and its headers."""
    if session.era == "modern":
        request = {"jsonrpc": "2.0", "id": "origin", "method": "server/discover",
                   "params": {"_meta": meta_for(session.protocol)}}
        return request, {"MCP-Protocol-Version": session.protocol, "Mcp-Method": "server/discover"}
    params = {"protocolVersion": session.protocol, "capabilities": {}, "clientInfo": CLIENT}
    return {"jsonrpc": "2.0", "id": "origin", "method": "initialize", "params": params}, {}
