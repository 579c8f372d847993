"""The order of the checks: each container is used for all that it can answer."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

from mcpweb.plugin import (
    Cancelled,
    CheckResult,
    Failure,
    ImageMissing,
    PolicyRefused,
    RpcError,
    RuntimeUnavailable,
    ServerProtocolError,
    ServerTimeout,
    StartFailed,
    TestContext,
    TestSession,
)

from . import http, protocol
from .checks import REPRODUCE

STDIN_EOF_S = 2.0
GRACE_S = 5.0
HARDENED = {"read_only_root": True, "capabilities": (), "user": None}


def run(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of C01 to C10; a violation says how to see it again."""
    for result in verdicts(context):
        yield replace(result, reproduce=REPRODUCE[result.check_id]) if result.verdict == "fail" else result


def verdicts(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts in the order in which they are come to."""
    yield image(context)
    yield relaxations(context)
    context.progress(0.05, "starting a fresh container")
    started = time.monotonic()
    try:
        first = context.fresh(deadline_s=30)
    except (ImageMissing, PolicyRefused, RuntimeUnavailable, Cancelled):
        raise
    except Failure as failure:
        yield from did_not_start(failure, time.monotonic() - started)
        return
    with contextlib.closing(first):
        yield negotiated(first)
        context.progress(0.3, "comparing what is announced with what is served")
        yield from guarded("C09", lambda: announced(first))
        yield from guarded("C06", lambda: protocol.unknown_version(context, first))
        context.progress(0.5, "sending malformed messages")
        yield from guarded("C07", lambda: protocol.malformed(context, first))
        yield clean_output(first)
        yield kept_running(first)
        if context.config.transport == "http":
            yield from guarded("C10", lambda: http.closed_to_others(context, first))
        else:
            yield CheckResult("C10", "not_applicable", "The server speaks stdio.")
        context.progress(0.8, "ending its input")
        yield from guarded("C08", lambda: leaves(context, first))


def guarded(check_id: str, check) -> Iterator[CheckResult]:  # type: ignore[no-untyped-def]
    """Yield the verdict; a check that cannot decide says so and the next one runs."""
    started = time.monotonic()
    try:
        yield check()
    except Failure as failure:
        yield CheckResult(
            check_id, "undecided", f"It could not be decided: {failure.sentence}",
            evidence={"code": failure.code}, timed_out=isinstance(failure, ServerTimeout),
            duration_ms=(time.monotonic() - started) * 1000,
        )


def image(context: TestContext) -> CheckResult:
    """C01: the tag still means the image that was approved by the first start, and it fits the machine."""
    facts = context.image
    evidence = {"reference": facts.reference, "id": facts.id, "digest": facts.digest,
                "approved_id": context.approved_image_id, "os": facts.os, "architecture": facts.architecture}
    if context.approved_image_id and facts.id != context.approved_image_id:
        return CheckResult(
            "C01", "fail", f"{facts.reference} means another image than when the server was first started.",
            evidence=evidence, next_step="Look at what changed; set the image again to approve it, or pin it by digest.",
        )
    if facts.os and facts.os != "linux":
        return CheckResult("C01", "fail", f"The image is made for {facts.os}.", evidence=evidence,
                           next_step="Use an image for linux.")
    known = "as at the first start" if context.approved_image_id else "recorded at this start"
    return CheckResult("C01", "pass", f"The image is {facts.id[7:19]}, {known}.", evidence=evidence)


def relaxations(context: TestContext) -> CheckResult:
    """C02: what the configuration loosens against the hardened defaults."""
    config = context.config
    loosened = []
    if not config.read_only_root:
        loosened.append("the root file system is writable")
    if config.capabilities:
        loosened.append("capabilities are added: " + ", ".join(config.capabilities))
    if config.network == "outbound":
        loosened.append("the network reaches outside")
    if any(not mount.read_only for mount in config.mounts):
        loosened.append("a mount is writable")
    if not loosened:
        return CheckResult("C02", "pass", "The configuration keeps every hardened default.",
                           evidence={"config": config.to_json()})
    return CheckResult("C02", "fail", "The configuration loosens the defaults: " + "; ".join(loosened) + ".",
                       evidence={"relaxations": loosened},
                       next_step="Try without each; keep only what the server cannot do without.")


def did_not_start(failure: Failure, seconds: float) -> Iterator[CheckResult]:
    """C03, C05 of a server that never got as far as the handshake; the rest does not apply."""
    state = getattr(failure, "container", None)
    stderr = getattr(failure, "stderr", "")
    exited = state is not None and not state.running
    evidence = {
        "code": failure.code, "stderr": stderr[-2000:],
        "exit_code": state.exit_code if state else None, "oom_killed": state.oom_killed if state else False,
    }
    if isinstance(failure, StartFailed):
        yield CheckResult("C03", "fail", failure.detail, evidence=evidence, next_step=failure.next_step)
    elif exited and state is not None:
        why = "it used more memory than its limit" if state.oom_killed else f"exit code {state.exit_code}"
        hint = "Read its last words on stderr; it may need arguments, a variable or a writable folder."
        if state.oom_killed:
            hint = "Raise the memory limit."
        yield CheckResult("C03", "fail", f"The server ended before the handshake: {why}.", evidence=evidence,
                          duration_ms=seconds * 1000, next_step=hint)
    else:
        yield CheckResult("C03", "pass", "The server keeps running.", evidence=evidence)
    timed_out = isinstance(failure, ServerTimeout)
    yield CheckResult(
        "C05", "fail", f"There was no MCP handshake: {failure.detail}", severity="high", evidence=evidence,
        duration_ms=seconds * 1000, timed_out=timed_out, input={"method": "server/discover, then initialize"},
        next_step=failure.next_step or "Check that the image is an MCP server and speaks the configured transport.",
    )
    for check_id in ("C04", "C06", "C07", "C08", "C09", "C10"):
        yield CheckResult(check_id, "not_applicable", "The server did not get as far as the handshake.")


def negotiated(session: TestSession) -> CheckResult:
    """C05: which era and version, and how long each step took."""
    silent = session.silent_probe
    evidence = {"era": session.era, "protocol": session.protocol, "timings_ms": dict(session.timings_ms),
                "silent_probe": silent, "server_info": session.server_info}
    note = " It leaves server/discover unanswered, which costs seconds at each start." if silent else ""
    return CheckResult("C05", "pass", f"Agreed on {session.protocol} ({session.era}).{note}", evidence=evidence,
                       duration_ms=session.timings_ms.get("handshake"))


def announced(session: TestSession) -> CheckResult:
    """C09: each announced list can be had; identity is given."""
    wrong: list[str] = []
    evidence: dict[str, object] = {"capabilities": session.capabilities, "server_info": session.server_info}
    for capability, what in (("tools", "tools"), ("resources", "resources"), ("prompts", "prompts")):
        offered = capability in session.capabilities
        try:
            items = session.listing(what)  # type: ignore[arg-type]
            evidence[what] = len(items)
            if not offered and items:
                wrong.append(f"{what} are served but not announced")
        except (ServerTimeout, Cancelled):
            raise
        except (RpcError, ServerProtocolError) as failure:
            evidence[what] = failure.sentence
            if offered:
                wrong.append(f"{what} are announced but not served: {failure.detail.rstrip('.')}")
        except Failure as failure:  # the session is over: the other lists are not to blame
            evidence[what] = failure.sentence
            wrong.append(f"asked for {what}, the server ended the session: {failure.detail.rstrip('.')}")
            break
    if not str(session.server_info.get("name", "")):
        wrong.append("the server gives no name")
    if wrong:
        return CheckResult("C09", "fail", protocol.sentence(wrong), evidence=evidence,
                           next_step="Tell the server's author: announce exactly what is served.")
    return CheckResult("C09", "pass", "Everything announced is served.", evidence=evidence)


def clean_output(session: TestSession) -> CheckResult:
    """C04: nothing but JSON-RPC on standard output (for HTTP, in the answers)."""
    bad = session.bad_lines()
    if bad:
        shown = bad[0][:120].decode(errors="replace")
        return CheckResult("C04", "fail", f"Standard output carried something else: {shown!r}",
                           evidence={"lines": bad}, next_step="Print banners and logs to standard error.")
    return CheckResult("C04", "pass", "Standard output carried only JSON-RPC messages.",
                       evidence={"frames": len(session.frames())})


def kept_running(session: TestSession) -> CheckResult:
    """C03: the container still runs after all that was sent to it."""
    state = session.inspect()
    evidence = {"status": state.status, "exit_code": state.exit_code, "oom_killed": state.oom_killed,
                "stderr": session.stderr()[-2000:]}
    given_up = session.given_up
    if given_up:
        return CheckResult("C03", "fail", f"The session had to be ended: {given_up}", evidence=evidence,
                           next_step="Tell the server's author: answer in smaller pieces, and only when asked.")
    if state.running:
        return CheckResult("C03", "pass", "The server keeps running.", evidence=evidence)
    why = "it used more memory than its limit" if state.oom_killed else f"exit code {state.exit_code}"
    return CheckResult("C03", "fail", f"The server ended by itself: {why}.", evidence=evidence,
                       next_step="Read its last words on stderr.")


def leaves(context: TestContext, session: TestSession) -> CheckResult:
    """C08: exits soon after its input ends (stdio), or within the grace of SIGTERM."""
    evidence: dict[str, object] = {}
    if context.config.transport == "stdio":
        session.close_stdin()
        started = time.monotonic()
        while time.monotonic() - started < STDIN_EOF_S + 0.5:
            state = session.inspect()
            if not state.running:
                evidence |= {"exit_code": state.exit_code, "after_ms": (time.monotonic() - started) * 1000}
                return CheckResult("C08", "pass", "The server left when its input ended.", evidence=evidence,
                                   duration_ms=(time.monotonic() - started) * 1000)
            time.sleep(0.05)
        evidence["stdin_eof"] = f"still running after {STDIN_EOF_S:g} s"
    started = time.monotonic()
    last = session.stop(GRACE_S)
    elapsed = time.monotonic() - started
    evidence |= {"sigterm_ms": elapsed * 1000, "exit_code": last.exit_code if last else None}
    killed = last is not None and last.exit_code == 137
    if "stdin_eof" in evidence:
        return CheckResult("C08", "fail", "The server goes on when its input has ended.", evidence=evidence,
                           next_step="Tell the server's author: end when standard input ends.")
    if killed:
        return CheckResult("C08", "fail", f"The server did not leave within {GRACE_S:g} s of SIGTERM.",
                           evidence=evidence, next_step="Tell the server's author: handle SIGTERM.")
    return CheckResult("C08", "pass", "The server left on SIGTERM.", evidence=evidence, duration_ms=elapsed * 1000)
