"""C06: what a server does with versions it should refuse; and messages sent as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Frame, TestContext, TestSession

META = "io.modelcontextprotocol/"
NEAR = "2026-12-31"
BOGUS = "2099-01-01"
MODERN = "2026-07-28"
KNOWN = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
CLIENT = {"name": "mcpweb-test", "version": "1"}
REPLY_S = 3.0
MADE_UP = (BOGUS, "2023-01-01", "banana")  # later, earlier than any, and none


def unknown_version(context: TestContext, session: TestSession) -> CheckResult:
    """C06: a version nobody speaks is refused (modern) or answered by a counter-offer (handshake)."""
    if context.config.transport == "http":
        return CheckResult("C06", "not_applicable", "Version headers over HTTP are looked at by C10.")
    if session.era == "modern":
        found = _modern(session)
        if found.verdict == "fail":
            return found
        with suppress(Failure), context.fresh(era="none") as raw:  # one that shakes hands too
            second = _handshake(raw, deadline_s=REPLY_S, also=True)
            return second if second.verdict == "fail" else found
        return found
    with context.fresh(era="none") as raw:
        return _handshake(raw)


def _modern(session: TestSession) -> CheckResult:
    """Each method that is offered refuses another version first of all, and a request that does not say one."""
    wrong: list[str] = []
    evidence: dict[str, Any] = {}
    replay: Any = None
    late = False
    for method, params in _offered(session):
        request = request_for(f"bogus-version-{method}", method, {**params, "_meta": meta_for(BOGUS)})
        reply = exchange(session, request)
        evidence[method] = reply
        fault = _not_refused(method, reply, session.protocol)
        if fault:
            wrong.append(fault)
            replay, late = replay or request, late or reply is None
    near = request_for("near-version", "tools/list", {"_meta": meta_for(NEAR)})
    evidence[NEAR] = reply = exchange(session, near)
    if reply is not None and "result" in reply and not wrong:
        wrong.append(f"the version {NEAR}, which is none, is accepted")
        replay = near
    for label, meta in _lacking():
        for method, params in _offered(session)[: 2 if label == "_meta" else 1]:
            request = request_for(f"no-{label}-{method}", method, {**params, **meta})
            reply = exchange(session, request)
            evidence[f"{method} without {label}"] = reply
            if reply is None or "result" in reply or (label == "_meta" and code_of(reply) != -32602):
                said = (
                    "is accepted" if reply is not None and "result" in reply else f"is answered with {_said(reply)}, not -32602"
                )
                wrong.append(f"{method} without {label} {said}")
                replay, late = replay or request, late or reply is None
    if not wrong:
        return CheckResult("C06", "pass", "An unknown version and missing _meta are refused.", evidence=evidence)
    return CheckResult(
        "C06",
        "fail",
        sentence(wrong[:4]),
        evidence=evidence,
        input=replay,
        timed_out=late,
        next_step="Tell the server's author: look at the version first; answer -32022 with data.supported, and "
        "-32602 where _meta lacks what every request carries.",
    )


def _offered(session: TestSession) -> list[tuple[str, dict[str, Any]]]:
    asked: list[tuple[str, dict[str, Any]]] = [("tools/list", {})]
    if "tools" in session.capabilities:
        asked.append(("tools/call", {"name": "mcpweb-no-such-tool", "arguments": {}}))
    if "resources" in session.capabilities:
        asked += [("resources/list", {}), ("resources/read", {"uri": "mcpweb-test://absent"})]
    if "prompts" in session.capabilities:
        asked += [("prompts/list", {}), ("prompts/get", {"name": "mcpweb-no-such-prompt"})]
    return asked


def _lacking() -> list[tuple[str, dict[str, Any]]]:
    whole = meta_for(MODERN)
    return [
        ("_meta", {}),
        *(
            (key, {"_meta": {name: one for name, one in whole.items() if name != META + key}})
            for key in ("protocolVersion", "clientCapabilities")
        ),
    ]


def _not_refused(method: str, reply: Mapping[str, Any] | None, spoken: str) -> str:
    """Return what is wrong with the answer to a request of another version, else nothing."""
    code = code_of(reply)
    if reply is None:
        return f"an unknown version gets no answer to {method}"
    if code != -32022:
        return f"an unknown version was answered with {_said(reply)} to {method}, not -32022"
    data = (reply.get("error") or {}).get("data")
    supported = data.get("supported") if isinstance(data, Mapping) else None
    if not isinstance(supported, list) or not supported:
        return f"-32022 to {method} names no version that is supported"
    if BOGUS in supported:
        return f"-32022 to {method} says that the version it refuses is supported"
    return "" if spoken in supported else f"-32022 to {method} leaves out {spoken}, which is spoken here"


def _handshake(session: TestSession, deadline_s: float = 20.0, also: bool = False) -> CheckResult:
    evidence: dict[str, Any] = {}
    for version in MADE_UP:
        request = request_for(
            f"version-{version}", "initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}
        )
        reply = exchange(session, request, deadline_s=deadline_s)
        evidence[version] = reply
        offered = ((reply or {}).get("result") or {}).get("protocolVersion")
        if reply is None and version == BOGUS and not also:
            return CheckResult(
                "C06",
                "fail",
                "An unknown protocol version got no answer.",
                evidence=evidence,
                input=request,
                timed_out=True,
                next_step="Tell the server's author: answer every initialize.",
            )
        if reply is not None and "error" not in reply and offered not in (*KNOWN, MODERN):
            said = (
                f"agrees to the made-up version {offered!r}" if offered == version else f"offers the made-up version {offered!r}"
            )
            return CheckResult(
                "C06",
                "fail",
                f"The server {said}.",
                evidence=evidence,
                input=request,
                next_step="Tell the server's author: offer a version it really speaks.",
            )
        if code_of(reply) == -32603:
            return CheckResult(
                "C06",
                "fail",
                f"The version {version!r} is an internal error of the server.",
                evidence=evidence,
                input=request,
                next_step="Tell the server's author: offer a version it really speaks.",
            )
    return CheckResult("C06", "pass", "An unknown version is refused or answered by a counter-offer.", evidence=evidence)


def exchange(session: TestSession, request: Mapping[str, Any], deadline_s: float = REPLY_S) -> dict[str, Any] | None:
    """Send a message as it is and return the reply with its id, None when there is none."""
    session.send_raw(request)
    return reply_to(session, request["id"], deadline_s)


def reply_to(session: TestSession, reply_id: Any, deadline_s: float, since: int = 0) -> dict[str, Any] | None:
    frame = session.wait_frame(lambda f: f.at >= since and is_reply(f, reply_id), deadline_s=deadline_s)
    return None if frame is None else frame.message


def is_reply(frame: Frame, reply_id: Any) -> bool:
    message = frame.message
    return (
        frame.direction == "received"
        and isinstance(message, dict)
        and "method" not in message
        and type(message.get("id")) is type(reply_id)
        and message["id"] == reply_id
    )


def sentence(wrong: Sequence[str]) -> str:
    """Return complaints as one sentence; words of the server keep their case."""
    text = "; ".join(wrong)
    return f"{text[:1].upper()}{text[1:]}."


def request_for(request_id: str | int, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": dict(params)}


def meta_for(version: str) -> dict[str, Any]:
    return {META + "protocolVersion": version, META + "clientInfo": CLIENT, META + "clientCapabilities": {}}


def code_of(reply: Mapping[str, Any] | None) -> Any:
    error = (reply or {}).get("error")
    return error.get("code") if isinstance(error, Mapping) else None


def _said(reply: Mapping[str, Any] | None) -> str:
    return "silence" if reply is None else "success" if "result" in reply else f"the error {code_of(reply)}"
