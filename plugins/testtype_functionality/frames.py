"""F01, F05, F13 and F17: what is read from the frames of all sessions, after everything else has happened."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Frame

from .base import Bench, cut
from .wire import CACHED, META, Misfit, broken, exchanges, misfits, revision, stray

MOST = 10
AFTER_S = 0.5  # how long after a reply its progress is waited for
AUTHOR = "Tell the server's author: "


def fits_schema(bench: Bench) -> Iterator[CheckResult]:
    """F01: each frame of each session against the revision that was agreed."""
    if revision(bench.protocol) is None:
        yield CheckResult("F01", "undecided", f"There is no schema for the revision {bench.protocol}.")
        return
    found: dict[tuple[str, str, str], Misfit] = {}
    seen = 0
    for version, frames in bench.frames():
        seen += sum(frame.direction == "received" for frame in frames)
        for misfit in misfits(frames, version):
            found.setdefault((misfit.what, misfit.place, misfit.tool), misfit)
    for misfit in broken(bench.bad_lines()):
        found.setdefault((misfit.what, misfit.place, misfit.tool), misfit)
    for (what, place, tool), misfit in list(found.items())[:MOST]:
        yield CheckResult(
            "F01",
            "fail",
            f"{what}: {misfit.said.rstrip('.')} at {place or 'the root'}, says the schema of {bench.protocol}.",
            tool=tool,
            severity="low" if misfit.null else "high",
            key=f"{what}{place}",
            evidence={"frame": cut(misfit.frame), "pointer": misfit.at, "schema": misfit.said, "revision": bench.protocol},
            input=None
            if misfit.request is None
            else {key: misfit.request[key] for key in ("method", "params") if key in misfit.request},
            next_step=AUTHOR
            + (
                "leave out what is absent instead of sending null."
                if misfit.null
                else f"send what the revision {bench.protocol} allows."
            ),
            reproduce="Send the request and hold the reply against the protocol's schema of this revision.",
        )
    strays = stray(bench.bad_lines())
    if strays:
        yield CheckResult(
            "F01",
            "fail",
            f"While tools are called, standard output carries lines that are no messages: {strays[0][:120]!r}.",
            severity="medium",
            key="stray",
            evidence={"lines": strays[:20], "count": len(strays)},
            next_step=AUTHOR + "print logs, and what libraries print, to standard error.",
        )
    if not found and not strays:
        yield CheckResult(
            "F01",
            "pass",
            f"{seen} messages fit the schema of {bench.protocol}.",
            evidence={"frames": seen, "revision": bench.protocol},
        )


def keeps(bench: Bench) -> Iterator[CheckResult]:
    """F05: modern results carry resultType, lists and what can be read also ttlMs and cacheScope."""
    if bench.era != "modern":
        yield CheckResult("F05", "not_applicable", "The fields are of the modern era.")
        return
    wrong: dict[str, dict[str, Any]] = {}
    seen = 0
    for _, frames in bench.frames():
        for one in exchanges(frames):
            result = one.result
            if result is None or one.method not in (*CACHED, "tools/call", "prompts/get", "completion/complete"):
                continue
            seen += 1
            for fault in _of_result(one.method, result):
                wrong.setdefault(f"{one.method}: {fault}", {"request": cut(dict(one.request)), "result": cut(dict(result))})
    if wrong:
        said = list(wrong)
        yield CheckResult(
            "F05",
            "fail",
            "; ".join(said[:4]) + ".",
            evidence={"faults": said[:20], "first": wrong[said[0]]},
            next_step=AUTHOR + "the modern era asks for these fields in each result.",
        )
    else:
        yield CheckResult("F05", "pass", f"{seen} results say their type, and lists how long they keep.")


def _of_result(method: str, result: Mapping[str, Any]) -> Iterator[str]:
    kind = result.get("resultType")
    if not isinstance(kind, str):
        yield "resultType is missing"
    elif kind not in ("complete", "input_required"):
        yield f"resultType is {kind[:40]!r}"
    if method in CACHED and kind != "input_required":
        ttl = result.get("ttlMs")
        if not isinstance(ttl, int) or isinstance(ttl, bool) or ttl < 0:
            yield "ttlMs is missing" if ttl is None else f"ttlMs is {str(ttl)[:40]}"
        if result.get("cacheScope") not in ("private", "public"):
            yield "cacheScope is missing" if "cacheScope" not in result else f"cacheScope is {str(result['cacheScope'])[:40]!r}"


def unasked(bench: Bench) -> Iterator[CheckResult]:
    """F13: progress for own tokens alone, rising, and over with the reply; logs only for those who asked for them."""
    wrong: dict[str, tuple[str, Any]] = {}
    progress = logs = 0
    time.sleep(max(0.0, AFTER_S - (time.monotonic() - bench.told_at)))
    for _, frames in bench.frames():
        progress += sum(_method(frame) == "notifications/progress" for frame in frames)
        logs += sum(_method(frame) == "notifications/message" for frame in frames)
        for tool, fault, frame in (*_progress_faults(frames), *_log_faults(bench, frames)):
            wrong.setdefault(fault, (tool, frame.message))
    if wrong:
        for fault, (tool, message) in wrong.items():
            yield CheckResult(
                "F13",
                "fail",
                f"{fault}.",
                tool=tool,
                key=fault,
                evidence={"frame": cut(message)},
                next_step=AUTHOR + "progress goes to who gave a token, logs to who asked for them.",
            )
    elif progress or logs or any(one.outcome == "ok" for one in bench.attempts):
        yield CheckResult(
            "F13",
            "pass",
            f"{progress} progress and {logs} log messages, each as agreed.",
            evidence={"progress": progress, "logs": logs},
        )
    else:
        yield CheckResult("F13", "not_applicable", "No tool could be called.")


def _progress_faults(frames: Sequence[Frame]) -> Iterator[tuple[str, str, Frame]]:
    given: dict[Any, tuple[str, int | None]] = {}
    for one in exchanges(frames):
        meta = one.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, Mapping) else None
        if isinstance(token, str | int):
            given[token] = (str(one.params.get("name", "*")), one.received.at if one.received else None)
    last: dict[Any, float] = {}
    for frame in frames:
        if _method(frame) != "notifications/progress":
            continue
        params = frame.message.get("params")  # type: ignore[union-attr]
        token = params.get("progressToken") if isinstance(params, dict) else None
        value = params.get("progress") if isinstance(params, dict) else None
        known = given.get(token) if isinstance(token, str | int) else None
        if known is None:
            yield "*", "Progress is told for a token that nobody gave", frame
            continue
        tool, replied = known
        if replied is not None and frame.at > replied:
            yield tool, "Progress goes on after the reply", frame
        if isinstance(value, int | float):
            if token in last and value <= last[token]:
                yield tool, "Progress does not rise", frame
            last[token] = value


def _log_faults(bench: Bench, frames: Sequence[Frame]) -> Iterator[tuple[str, str, Frame]]:
    for frame in frames:
        if _method(frame) == "notifications/message":
            if bench.era == "modern":  # none of our requests carries a logLevel
                yield "*", "Log messages are sent although no request asked for them", frame
            elif "logging" not in bench.capabilities:
                yield "*", "Log messages are sent although logging is not announced", frame


def undeclared(bench: Bench) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """F17: yield requests a server sent for what this client never declared."""
    for _, frames in bench.frames():
        for frame in frames:
            message = frame.message
            if frame.direction == "received" and isinstance(message, dict) and "id" in message:
                method = message.get("method")
                if isinstance(method, str) and (method != "ping" or bench.era == "modern"):
                    yield method, message


def _method(frame: Frame) -> str:
    message = frame.message
    if frame.direction != "received" or not isinstance(message, dict) or "id" in message:
        return ""
    return str(message.get("method", ""))


def no_meta(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's params without what the session itself puts there."""
    params = message.get("params")
    given = dict(params) if isinstance(params, Mapping) else {}
    meta = given.get("_meta")
    if isinstance(meta, Mapping):
        left = {key: value for key, value in meta.items() if not str(key).startswith(META)}
        given = {**given, "_meta": left} if left else {key: value for key, value in given.items() if key != "_meta"}
    return given
