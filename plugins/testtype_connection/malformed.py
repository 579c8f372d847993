"""C07: messages a server should refuse. Each is followed by a sound one, which must be answered.

Silence is allowed where there is no id that could be answered, and where params are no object, or one no parser need follow: what
the usual SDKs cannot read they drop. Dying, hanging, silence towards any other request that has an id, and calling nonsense a
success are not allowed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mcpweb.plugin import Cancelled, CheckResult, Failure, RpcError, Severity, TestContext, TestError, TestSession

from .protocol import code_of, is_reply, meta_for, reply_to, request_for, sentence
from .use import Used

REPLY_S, LATE_S = 3.0, 0.3
UNKNOWN = "mcpweb/no-such-method"
Wanted = Literal["", "answer", "error", "no success"]


@dataclass(frozen=True)
class Probe:
    """A message, the id its answer would have, and what must come: any answer, an error, or a success at least not."""

    label: str
    sent: bytes | Mapping[str, Any]
    number: Any = None
    wanted: Wanted = ""


@dataclass(frozen=True)
class Told:
    """What a further probe found: what was sent, what it was, what came of it, and whether the session is over."""

    sent: Any
    label: str
    fault: str
    fatal: bool = False


def malformed(context: TestContext, session: TestSession, made: Used | None = None) -> CheckResult:
    """C07: after each malformed message the server still answers a well-formed one, and what has an id is answered."""
    if context.config.transport == "http":
        return _malformed_http(context, session)
    seen: dict[str, Any] = {}
    wrong: list[str] = []
    weak: list[str] = []
    replay: Any = None
    meta = {"_meta": meta_for(session.protocol)} if session.era == "modern" else {}
    waiting: list[tuple[Probe, int]] = []
    if (fatal := _sent(session, _usual(meta), waiting)) is not None:
        return _over(fatal, seen)
    for told in (_batch(session, meta, seen), _reused_id(session, meta, seen)):
        if told is not None:
            if told.fatal:
                return _over(told, seen)
            (wrong if "success" in told.fault else weak).append(f"{told.label} {told.fault}")
            replay = replay or told.sent
    if (fatal := _sent(session, _odd(session, meta), waiting)) is not None:
        return _over(fatal, seen, "medium")
    until = time.monotonic() + LATE_S  # a later request has its answer already: what is silent by now is silent, or slow
    for probe, at in waiting:
        reply = reply_to(session, probe.number, max(0.02, until - time.monotonic()), at)
        if reply is None and not weak and probe.wanted != "no success":
            until = time.monotonic() + REPLY_S
            reply = reply_to(session, probe.number, REPLY_S, at)
        seen[probe.label] = reply or "no answer"
        if reply is None and probe.wanted == "no success":
            continue
        if reply is None:
            weak.append(f"{probe.label} got no answer")
        elif probe.wanted != "answer" and "result" in reply and not _is_error(reply):
            wrong.append(f"{probe.label} was answered with success")
        elif probe.label == "unknown method" and code_of(reply) != -32601:
            weak.append(f"{probe.label} was answered with {code_of(reply)}, not -32601")
        else:
            continue
        replay = replay or probe.sent
    told = _calls(made, seen) if made is not None and not made.ended else None
    if told is not None:
        if told.fatal:
            return _over(told, seen, "medium")
        wrong.append(f"{told.label} {told.fault}")
        replay = replay or told.sent
    unparsed = [one for one in _without_id(session) if one.get("code") == -32603]
    if unparsed:
        seen["not JSON"] = unparsed[0]
        weak.append("what is not JSON was answered with -32603, not -32700")
    if not wrong and not weak:
        return CheckResult(
            "C07", "pass", "Malformed messages are refused or ignored, and the session goes on.", evidence={"replies": seen}
        )
    severity: Severity | None = None if wrong else "medium" if any("no answer" in one for one in weak) else "low"
    return CheckResult(
        "C07",
        "fail",
        sentence((wrong + weak)[:6]),
        evidence={"replies": seen},
        severity=severity,
        input=replay if isinstance(replay, Mapping) else {"bytes": replay[:2000]} if replay else None,
        next_step="Tell the server's author: check what comes in, and answer whatever has an id.",
    )


def _sent(session: TestSession, probes: Iterator[Probe], waiting: list[tuple[Probe, int]]) -> Told | None:
    """Send each probe, note when where an answer must come; return the one the session did not outlive."""
    for probe in probes:
        at = time.monotonic_ns()
        session.send_raw(probe.sent)
        fault = _alive(session)
        if fault:
            return Told(probe.sent, probe.label, fault, True)
        if probe.wanted:
            waiting.append((probe, at))
    return None


def _over(told: Told, seen: dict[str, Any], severity: Severity | None = None) -> CheckResult:
    """The session did not outlive a message; what hardly any client ever sends weighs less."""
    return CheckResult(
        "C07",
        "fail",
        f"After {told.label}: {told.fault}",
        evidence={"replies": seen},
        severity=severity,
        input=told.sent if isinstance(told.sent, Mapping) else {"bytes": told.sent[:2000]},
        next_step="Tell the server's author: one bad message must not end the session.",
    )


def _is_error(reply: Mapping[str, Any]) -> bool:
    return isinstance(reply["result"], Mapping) and reply["result"].get("isError") is True


def _raw(number: Any, method: Any, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def _note(params: Any, method: str = "notifications/cancelled") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def _usual(meta: Mapping[str, Any]) -> Iterator[Probe]:
    """What clients with a fault send."""
    yield Probe("not JSON", b'{"jsonrpc":"2.0","id":"half\n')
    yield Probe("unknown method", request_for("no-method", UNKNOWN, meta), "no-method", "error")
    yield Probe("params of the wrong type", _raw("bad-params", "tools/call", 5), "bad-params", "no success")
    bad = {"name": 7, "arguments": [], **meta}
    yield Probe("arguments of the wrong type", request_for("bad-args", "tools/call", bad), "bad-args", "error")
    yield Probe("an empty batch", b"[]\n")
    yield Probe("no method at all", {"jsonrpc": "2.0", "id": "nothing"})
    yield Probe("params that are a text", _raw("text-params", "tools/call", "name"), "text-params", "no success")
    yield Probe("params that are a list", _raw("list-params", "tools/call", ["name", {}]), "list-params", "no success")
    yield Probe("a name that is missing", request_for("no-name", "tools/call", {"arguments": {}, **meta}), "no-name", "error")


def _odd(session: TestSession, meta: Mapping[str, Any]) -> Iterator[Probe]:
    """What hardly any client sends by accident."""
    yield Probe("params that are null", _raw("null-params", "tools/call", None), "null-params", "no success")
    yield Probe("a list asked for with a text", _raw("list-text", "tools/list", "all"))
    odd = {"name": {"a": 1}, "arguments": {}, **meta}
    yield Probe("a name that is an object", request_for("odd-name", "tools/call", odd), "odd-name", "error")
    yield Probe("a very long method", request_for("long-method", "x" * 100_000, meta), "long-method", "error")
    yield Probe("a method that is a number", _raw("number-method", 5, dict(meta)))
    yield Probe("a method that is null", _raw("null-method", None, dict(meta)))
    yield Probe("the id 0", request_for(0, "tools/list", meta), 0, "answer")  # some clients begin with it
    yield Probe("an empty id", request_for("", "tools/list", meta), "", "answer")
    yield Probe("a negative id", request_for(-7, "tools/list", meta), -7, "answer")
    for label, number in (
        ("an id that is null", None),
        ("an id that is true", True),
        ("a broken number as id", 1.5),
        ("an id that is a list", [1]),
        ("an id that is an object", {"a": 1}),
    ):
        yield Probe(label, _raw(number, UNKNOWN, dict(meta)))
    yield Probe("a batch of notifications", (json.dumps([_note({"requestId": "mcpweb-never-sent"})] * 2) + "\n").encode())
    yield Probe("another jsonrpc", {"jsonrpc": "1.0", "id": "old", "method": UNKNOWN, "params": dict(meta)})
    yield Probe("no jsonrpc", {"id": "bare", "method": UNKNOWN, "params": dict(meta)})
    yield Probe("an unknown notification", _note(dict(meta), "notifications/mcpweb-unknown"))
    yield Probe("a notification without params", {"jsonrpc": "2.0", "method": "notifications/cancelled"})
    yield Probe("a notification of the wrong type", _note("all"))
    yield Probe("a cancel of what never was", _note({"requestId": "mcpweb-never-sent"}))
    yield Probe("a cancel of an object", _note({"requestId": {"a": [1]}}))
    yield Probe("progress of nothing", _note({"progressToken": None, "progress": "half"}, "notifications/progress"))
    yield Probe("an answer nobody asked for", {"jsonrpc": "2.0", "id": 987654321, "result": {}})
    yield Probe("an error nobody asked for", {"jsonrpc": "2.0", "id": "mcpweb-never", "error": {"code": -1, "message": "none"}})
    for word in (b"5", b'"text"', b"null", b"true", b"[1, null]", b"\xff\xfe{}", b"   "):
        yield Probe(f"the line {word.decode(errors='replace')!r}", word + b"\n")
    deep: Any = {}
    for _ in range(200):
        deep = {"a": [deep]}
    nested = {"name": "mcpweb-no-such-tool", "arguments": deep, **meta}
    yield Probe("params nested 400 deep", request_for("deep", "tools/call", nested), "deep", "no success")
    if session.era == "handshake":
        yield Probe(
            "initialize without params", {"jsonrpc": "2.0", "id": "init-bare", "method": "initialize"}, "init-bare", "answer"
        )


def _batch(session: TestSession, meta: Mapping[str, Any], seen: dict[str, Any]) -> Told | None:
    """Say that a batch got no answer from a server that does answer a line which is not JSON at all."""
    answers = _without_id(session)
    batch = json.dumps([request_for("batch-1", UNKNOWN, meta), request_for("batch-2", UNKNOWN, meta)]).encode() + b"\n"
    before, strays = len(session.frames()), len(session.bad_lines())
    session.send_raw(batch)
    fault = _alive(session)
    if fault:
        return Told(batch, "a batch", fault, True)
    time.sleep(0.05)
    heard = [one.message for one in session.frames()[before:] if one.direction == "received"]
    told = [
        one for one in heard if isinstance(one, list) or (isinstance(one, dict) and one.get("id") in (None, "batch-1", "batch-2"))
    ]
    seen["a batch"] = told[:2] or "no answer"
    return (
        None
        if told or len(session.bad_lines()) > strays or not answers
        else Told(batch, "a batch", "got no answer, where what is not JSON gets one")
    )


def _without_id(session: TestSession) -> list[Mapping[str, Any]]:
    """Return the errors that have no id."""
    return [
        one.message["error"]
        for one in session.frames()
        if one.direction == "received"
        and isinstance(one.message, dict)
        and one.message.get("id") is None
        and isinstance(one.message.get("error"), dict)
    ]


def _reused_id(session: TestSession, meta: Mapping[str, Any], seen: dict[str, Any]) -> Told | None:
    """Send one id twice at once, then once more for something else: answers may be refusals, and never those of before."""
    request = request_for("twice", "tools/list", meta)
    line = json.dumps(request).encode() + b"\n"
    session.send_raw(line + line)
    fault = _alive(session)
    if fault:
        return Told(request, "an id that was used twice", fault, True)
    first = reply_to(session, "twice", REPLY_S)
    time.sleep(0.05)
    count = sum(is_reply(one, "twice") for one in session.frames())
    seen["id used twice at once"] = f"{count} answers"
    if first is None:
        return Told(request, "an id that was used twice", "got no answer")
    again = request_for("twice", UNKNOWN, meta)
    session.send_raw(again)
    fault = _alive(session)
    if fault:
        return Told(again, "an id that was used again", fault, True)
    time.sleep(0.05)
    later = [one.message for one in session.frames() if is_reply(one, "twice")][count:]
    seen["id used again for something else"] = later[:1] or "no answer"
    if any(isinstance(one, Mapping) and "result" in one for one in later):
        return Told(again, "an unknown method with the id of another", "was answered with success")
    return None


def _calls(made: Used, seen: dict[str, Any]) -> Told | None:
    """Call real tools, where nothing can be harmed, with arguments that are no object; then an unknown one, which is refused."""
    session = made.session
    meta = {"_meta": meta_for(session.protocol)} if session.era == "modern" else {}
    needy = [one for one in made.tools if isinstance(one.get("inputSchema"), dict) and one["inputSchema"].get("required")]
    for definition in needy[:3]:
        for at, (what, arguments) in enumerate((("a text", "all"), ("a list", ["all"]), ("a number", 7), ("true", True))):
            number = f"odd-{definition['name']}-{at}"[:100]
            request = request_for(number, "tools/call", {"name": definition["name"], "arguments": arguments, **meta})
            session.send_raw(request)
            label = f"{what} in place of the arguments of {definition['name']}"
            fault = _alive(session)
            if fault:
                return Told(request, label, fault, True)
            reply = reply_to(session, number, LATE_S)
            if reply is not None and "result" in reply and not _is_error(reply):
                seen[label] = reply
                return Told(request, label, "was answered with success")
    was = made.told.get("tools/call")
    if was is not None and "failure" not in was:
        request = request_for("still-there", "tools/call", {"name": "mcpweb-no-such-tool", "arguments": {}, **meta})
        session.send_raw(request)
        if reply_to(session, "still-there", REPLY_S) is None:
            return Told(request, "calls with malformed arguments", "No call is answered any more.", True)
    return None


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
        return CheckResult(
            "C07",
            "fail",
            f"After a body that is not JSON: {fault}",
            evidence=evidence,
            input={"bytes": sent},
            next_step="Tell the server's author: one bad message must not end the server.",
        )
    if status is None:
        return CheckResult(
            "C07",
            "fail",
            "A body that is not JSON got no answer.",
            evidence=evidence,
            input={"bytes": sent},
            next_step="Tell the server's author: answer 400.",
        )
    if status < 400:
        return CheckResult(
            "C07",
            "fail",
            f"A body that is not JSON was answered with {status}.",
            evidence=evidence,
            next_step="Tell the server's author: answer 400.",
        )
    return CheckResult("C07", "pass", "A malformed body is refused and the server goes on.", evidence=evidence)
