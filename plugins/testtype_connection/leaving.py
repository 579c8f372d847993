"""C08: a server leaves when its input ends, and when it is told to: at rest, and while a call runs."""

from __future__ import annotations

import time
from typing import Any

from mcpweb.plugin import CheckResult, RpcError, ServerTimeout, TestContext, TestSession

from .use import LASTS_S, Used, lasting

STDIN_EOF_S = 2.0
GRACE_S = 5.0
SHORT_S = 1.0


def leaves(context: TestContext, session: TestSession, made: Used | None, idle: TestSession | None) -> CheckResult:
    """C08: exits soon after its input ends (stdio), also while a call runs, and within the grace of SIGTERM."""
    evidence: dict[str, Any] = {}
    wrong = ""
    if context.config.transport == "stdio":
        wrong = _at_end_of_input(context, session, made, evidence)
    told = idle if idle is not None and idle.inspect().running else session
    if context.config.transport == "stdio" and told is session:
        return _said(wrong, evidence)  # it has left already, or was told to above
    if made is not None and told is idle:
        _begin(context, made, told, SHORT_S)
    started = time.monotonic()
    last = told.stop(GRACE_S)
    evidence |= {"sigterm_ms": (time.monotonic() - started) * 1000, "sigterm_exit_code": last.exit_code if last else None}
    if last is not None and last.exit_code == 137 and not last.oom_killed:
        deaf = f"The server did not leave within {GRACE_S:g} s of SIGTERM."
        wrong = f"{wrong} {deaf}".strip()
    return _said(wrong, evidence)


def _said(wrong: str, evidence: dict[str, Any]) -> CheckResult:
    if wrong:
        return CheckResult(
            "C08",
            "fail",
            wrong,
            evidence=evidence,
            next_step="Tell the server's author: end when standard input ends, and on SIGTERM.",
        )
    return CheckResult("C08", "pass", "The server left when its input ended, and when it was told to.", evidence=evidence)


def _at_end_of_input(context: TestContext, session: TestSession, made: Used | None, evidence: dict[str, Any]) -> str:
    """End the input of both sessions, with a call under way in the one that was used; return what is wrong."""
    waiting = {"at rest": session}
    if made is not None and not made.ended and made.session.inspect().running:
        evidence["call"] = _begin(context, made, made.session, LASTS_S)
        waiting["after it was used"] = made.session
    for one in waiting.values():
        one.close_stdin()
    started = time.monotonic()
    there = dict(waiting)
    while there:
        took = time.monotonic() - started
        for when, one in list(there.items()):
            state = one.inspect()
            if not state.running:
                evidence[f"left {when}"] = {"exit_code": state.exit_code, "after_ms": (time.monotonic() - started) * 1000}
                del there[when], waiting[when]
            elif took > STDIN_EOF_S + 0.5 + (LASTS_S if when != "at rest" and evidence["call"] else 0):  # which may end by itself
                del there[when]
        time.sleep(0.05)
    if not waiting:
        return ""
    evidence["stdin_eof"] = f"still running after {STDIN_EOF_S:g} s: {', '.join(waiting)}"
    when = "" if "at rest" in waiting else f" {next(iter(waiting))}"
    return f"The server goes on when its input has ended{when}."


def _begin(context: TestContext, made: Used, session: TestSession, seconds: float) -> dict[str, Any] | None:
    """Begin a call that lasts, where there is one, and see that it runs; return it."""
    request: dict[str, Any] | None = None
    for name, arguments in lasting(context, made, seconds):
        request = {"name": name, "arguments": arguments}
        try:
            session.begin("tools/call", request).result(deadline_s=0.25)
        except ServerTimeout:
            return request  # it runs
        except RpcError:
            continue
    return None
