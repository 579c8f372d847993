"""C06 and C07: what a server does with versions and messages it should refuse.

Silence is allowed where the specification allows it (a line that is not JSON has no id to answer); dying, hanging and
calling nonsense a success are not.
"""
from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mcpweb.plugin import Cancelled, CheckResult, Failure, Frame, RpcError, TestContext, TestError, TestSession

META = "io.modelcontextprotocol/"
BOGUS = "2099-01-01"
KNOWN = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
CLIENT = {"name": "mcpweb-test", "version": "1"}
REPLY_S = 3.0
LATE_S = 0.3


def unknown_version(context: TestContext, session: TestSession) -> CheckResult:
    """C06: a version from the future is refused (modern) or answered by a counter-offer (handshake)."""
    if context.config.transport == "http":
        return CheckResult("C06", "not_applicable", "Version headers over HTTP are looked at by C10.")
    if session.era == "modern":
        return _modern(session)
    with context.fresh(era="none") as raw:
        return _handshake(raw)


def _modern(session: TestSession) -> CheckResult:
    request = _request("bogus-version", "tools/list", {"_meta": _meta(BOGUS)})
    reply = exchange(session, request)
    bare = exchange(session, _request("no-meta", "tools/list", {}))
    evidence = {"reply": reply, "reply_without_meta": bare}
    code = _code(reply)
    supported = ((reply or {}).get("error") or {}).get("data") or {}
    if reply is None:
        return CheckResult("C06", "fail", "An unknown protocol version got no answer.", evidence=evidence,
                           input=request, timed_out=True, next_step="Tell the server's author: answer -32022.")
    if code != -32022 or not isinstance(supported, Mapping) or not supported.get("supported"):
        return CheckResult("C06", "fail", f"An unknown version was answered with {_said(reply)}, not -32022 and a list.",
                           evidence=evidence, input=request, next_step="Tell the server's author: answer -32022.")
    if "result" in (bare or {}):
        return CheckResult("C06", "fail", "A request without its _meta fields was accepted.", evidence=evidence,
                           input=_request("no-meta", "tools/list", {}),
                           next_step="Tell the server's author: answer -32602.")
    return CheckResult("C06", "pass", "An unknown version and missing _meta are refused.", evidence=evidence)


def _handshake(session: TestSession) -> CheckResult:
    request = _request("bogus-version", "initialize",
                       {"protocolVersion": BOGUS, "capabilities": {}, "clientInfo": CLIENT})
    reply = exchange(session, request, deadline_s=20.0)
    evidence = {"reply": reply}
    offered = ((reply or {}).get("result") or {}).get("protocolVersion")
    if reply is None:
        return CheckResult("C06", "fail", "An unknown protocol version got no answer.", evidence=evidence,
                           input=request, timed_out=True, next_step="Tell the server's author: answer every initialize.")
    if "error" in reply or offered in KNOWN:
        return CheckResult("C06", "pass", "An unknown version is refused or answered by a counter-offer.",
                           evidence=evidence)
    return CheckResult("C06", "fail", f"The server agrees to the made-up version {offered!r}.", evidence=evidence,
                       input=request, next_step="Tell the server's author: offer a version it really speaks.")


def malformed(context: TestContext, session: TestSession) -> CheckResult:
    """C07: after each malformed message the server still answers a well-formed one."""
    if context.config.transport == "http":
        return _malformed_http(context, session)
    seen: dict[str, Any] = {}
    wrong: list[str] = []
    replay: Any = None
    meta = {"_meta": _meta(session.protocol)} if session.era == "modern" else {}
    probes: list[tuple[str, bytes | Mapping[str, Any], str | None]] = [
        ("not JSON", b'{"jsonrpc":"2.0","id":"half\n', None),
        ("unknown method", _request("no-method", "mcpweb/no-such-method", dict(meta)), "no-method"),
        ("params of the wrong type", {"jsonrpc": "2.0", "id": "bad-params", "method": "tools/call", "params": 5}, "bad-params"),
        ("arguments of the wrong type", _request("bad-args", "tools/call", {"name": 7, "arguments": [], **meta}), "bad-args"),
        ("an empty batch", b"[]\n", None),
        ("no method at all", {"jsonrpc": "2.0", "id": "nothing"}, None),
    ]
    for label, probe, reply_id in probes:
        session.send_raw(probe)
        fault = _alive(session)
        if fault:
            return CheckResult("C07", "fail", f"After {label}: {fault}", evidence={"replies": seen},
                               input=probe if isinstance(probe, Mapping) else {"bytes": probe},
                               next_step="Tell the server's author: one bad message must not end the session.")
        if reply_id is not None:  # a later request has its answer already: what is silent by now is silent
            reply = _reply(session, reply_id, LATE_S)
            seen[label] = reply or "no answer"
            if reply and "result" in reply and not reply["result"].get("isError"):
                wrong.append(f"{label} was answered with success")
                replay = replay or probe
    reused = _reused_id(session, meta)
    seen["id used twice at once"] = reused
    fault = _alive(session)
    if fault:
        wrong.append(f"after an id was used twice: {fault.rstrip('.')}")
    if wrong:
        return CheckResult("C07", "fail", sentence(wrong), evidence={"replies": seen},
                           input=replay, next_step="Tell the server's author: check what comes in.")
    return CheckResult("C07", "pass", "Malformed messages are refused or ignored, and the session goes on.",
                       evidence={"replies": seen})


def _reused_id(session: TestSession, meta: Mapping[str, Any]) -> str:
    request = _request("twice", "tools/list", dict(meta))
    line = json.dumps(request).encode() + b"\n"
    session.send_raw(line + line)
    time.sleep(0.1)
    replies = [f for f in session.frames() if _is_reply(f, "twice")]
    return f"{len(replies)} answers"


def _malformed_http(context: TestContext, session: TestSession) -> CheckResult:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    sent = b'{"jsonrpc":"2.0","id":'
    evidence: dict[str, Any] = {}
    status = None
    try:
        status, _, body = context.http(session, "POST", headers=headers, body=sent)
        evidence |= {"status": status, "body": body[:500]}
    except TestError as failure:
        evidence["no_answer"] = failure.detail
    fault = _alive(session)
    if fault:
        return CheckResult("C07", "fail", f"After a body that is not JSON: {fault}", evidence=evidence, input={"bytes": sent},
                           next_step="Tell the server's author: one bad message must not end the server.")
    if status is None:
        return CheckResult("C07", "fail", "A body that is not JSON got no answer.", evidence=evidence, input={"bytes": sent},
                           next_step="Tell the server's author: answer 400.")
    if status < 400:
        return CheckResult("C07", "fail", f"A body that is not JSON was answered with {status}.", evidence=evidence,
                           next_step="Tell the server's author: answer 400.")
    return CheckResult("C07", "pass", "A malformed body is refused and the server goes on.", evidence=evidence)


def exchange(session: TestSession, request: Mapping[str, Any], deadline_s: float = REPLY_S) -> dict[str, Any] | None:
    """Send a message as it is and return the reply with its id, None when there is none."""
    session.send_raw(request)
    return _reply(session, request["id"], deadline_s)


def _reply(session: TestSession, reply_id: str, deadline_s: float) -> dict[str, Any] | None:
    frame = session.wait_frame(lambda f: _is_reply(f, reply_id), deadline_s=deadline_s)
    return None if frame is None else frame.message


def _is_reply(frame: Frame, reply_id: str) -> bool:
    message = frame.message
    return frame.direction == "received" and isinstance(message, dict) and message.get("id") == reply_id \
        and "method" not in message


def sentence(wrong: Sequence[str]) -> str:
    """Return complaints as one sentence; words of the server keep their case."""
    text = "; ".join(wrong)
    return f"{text[:1].upper()}{text[1:]}."


def _alive(session: TestSession) -> str:
    """Return what is wrong when a well-formed request is not answered any more, else nothing."""
    try:
        session.request("tools/list", {}, deadline_s=5.0)
    except RpcError:
        return ""
    except Cancelled:
        raise
    except Failure as failure:
        return failure.detail
    return ""


def _request(request_id: str, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": dict(params)}


def _meta(version: str) -> dict[str, Any]:
    return {META + "protocolVersion": version, META + "clientInfo": CLIENT, META + "clientCapabilities": {}}


def _code(reply: Mapping[str, Any] | None) -> Any:
    error = (reply or {}).get("error")
    return error.get("code") if isinstance(error, Mapping) else None


def _said(reply: Mapping[str, Any]) -> str:
    return "success" if "result" in reply else f"the error {_code(reply)}"
