"""The order of the checks: each container is used for all that it can answer."""
from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mcpweb.plugin import (
    Cancelled,
    CheckResult,
    Failure,
    ImageMissing,
    PolicyRefused,
    RuntimeUnavailable,
    ServerTimeout,
    StartFailed,
    TestContext,
    TestSession,
)

from . import http, protocol
from .checks import REPRODUCE
from .leaving import leaves
from .malformed import malformed
from .served import announced
from .use import Used, used

IDLE_S = 2.5
GROWTH_BYTES = 48 << 20
LOOK_AGAIN_S = 2.0
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
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(first))
        idle = aside(context, stack)
        idle_since, at_first = time.monotonic(), resident(idle)
        yield negotiated(first)
        context.progress(0.2, "using it")
        session = aside(context, stack)
        made = used(context, session) if session is not None else None
        context.progress(0.4, "comparing what is announced with what is served")
        yield from guarded("C09", lambda: announced(first, made))
        yield from guarded("C06", lambda: protocol.unknown_version(context, first))
        context.progress(0.5, "sending malformed messages")
        harm = None
        for harm in guarded("C07", lambda: malformed(context, first, made)):
            yield harm
        if context.config.transport == "http":
            yield from guarded("C10", lambda: http.closed_to_others(context, first))
        else:
            yield CheckResult("C10", "not_applicable", "The server speaks stdio.")
        time.sleep(max(0.0, min(IDLE_S - (time.monotonic() - idle_since), context.remaining_s() - 10)))
        yield growing(idle, at_first, time.monotonic() - idle_since) or kept_running(first, made, idle, harm)
        context.progress(0.8, "ending its input")
        yield from guarded("C08", lambda: leaves(context, first, made, idle))
        yield clean_output([one for one in (first, session, idle) if one is not None])


def aside(context: TestContext, stack: contextlib.ExitStack) -> TestSession | None:
    """Return one more session, where no secret is; None when the server does not start like that, or speaks HTTP."""
    if context.config.transport != "stdio":
        return None
    try:
        return stack.enter_context(contextlib.closing(context.fresh(canaries=True)))
    except (Cancelled, RuntimeUnavailable):
        raise
    except Failure:
        return None


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


def clean_output(sessions: Sequence[TestSession]) -> CheckResult:
    """C04: nothing but JSON-RPC on standard output (for HTTP, in the answers), in use and to the end."""
    bad = [line for one in sessions for line in one.bad_lines() if not answers_what_is_odd(line)]
    if bad:
        shown = bad[0][:120].decode(errors="replace")
        return CheckResult("C04", "fail", f"Standard output carried something else: {shown!r}",
                           evidence={"lines": bad[:20]}, next_step="Print banners and logs to standard error.")
    return CheckResult("C04", "pass", "Standard output carried only JSON-RPC messages.",
                       evidence={"frames": sum(len(one.frames()) for one in sessions)})


def answers_what_is_odd(line: bytes) -> bool:
    """Tell whether a line answers a message whose id is none, or a batch: what was asked like that may be answered so."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return False
    parts = said if isinstance(said, list) and said else [said]
    return all(isinstance(one, dict) and one.get("jsonrpc") == "2.0" and ("error" in one or "result" in one) for one in parts)


def resident(session: TestSession | None) -> int:
    """Return the memory a session's container has, 0 where that cannot be had."""
    try:
        return 0 if session is None else session.resident()
    except Failure:
        return 0


def growing(idle: TestSession | None, at_first: int, seconds: float) -> CheckResult | None:
    """C03: a server of which nothing is asked takes ever more memory: it will not run for long.

    What loads or starts helpers once it has shaken hands grows as well, and comes to an end. So growth is looked at twice
    more, and must go on at half its pace of the ``seconds`` before or faster.
    """
    looks = [resident(idle)]
    grown = looks[0] - at_first
    if not at_first or grown < GROWTH_BYTES:
        return None
    least = grown / max(seconds, LOOK_AGAIN_S) * LOOK_AGAIN_S / 2
    for _ in range(2):
        time.sleep(LOOK_AGAIN_S)
        looks.append(resident(idle))
        if looks[-1] - looks[-2] < least:
            return None
    return CheckResult("C03", "fail", f"Without being asked for anything it grew from {at_first >> 20} to {looks[-1] >> 20} MiB.",
                       severity="medium", evidence={"at_first": at_first, "later": looks},
                       next_step="Tell the server's author: something is kept that is not needed.")


def kept_running(session: TestSession, made: Used | None, idle: TestSession | None, harm: CheckResult | None) -> CheckResult:
    """C03: the containers still run: the one that was sent everything, the one that was used, and the one that was left alone."""
    for one, when in ((idle, " while nothing was asked of it"), (made.session if made else None, " in use"), (session, "")):
        if one is None:
            continue
        state = one.inspect()
        evidence = {"status": state.status, "exit_code": state.exit_code, "oom_killed": state.oom_killed,
                    "stderr": one.stderr()[-2000:]}
        if one.given_up:
            return CheckResult("C03", "fail", f"The session had to be ended{when}: {one.given_up}", evidence=evidence,
                               next_step="Tell the server's author: answer in smaller pieces, and only when asked.")
        if not state.running:
            why = "it used more memory than its limit" if state.oom_killed else f"exit code {state.exit_code}"
            killed = when != " while nothing was asked of it" and harm is not None and harm.verdict == "fail"
            return CheckResult("C03", "fail", f"The server ended by itself{when}: {why}.", evidence=evidence,
                               severity=harm.severity if killed and harm is not None else None,
                               next_step="Read its last words on stderr.")
    return CheckResult("C03", "pass", "The server keeps running.", evidence=evidence)
