"""F01, F05, F13 and F17: what is read from the frames of all sessions, after everything else has happened."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Frame

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
    for fault, frame in quieted(bench):
        wrong.setdefault(fault, ("*", frame.message))
    tell_again(bench)
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


def tell_again(bench: Bench) -> None:
    """Call what told its progress once more with a number as its token, and without one; who reads the frames sees what comes."""
    told = {
        str(one.params.get("name"))
        for _, frames in bench.frames()
        if any(_method(frame) == "notifications/progress" for frame in frames)
        for one in exchanges(frames)
        if one.method == "tools/call" and isinstance(one.params.get("_meta"), Mapping)
    }
    telling = [one for one in bench.attempts if one.tool in told and one.valid and one.outcome == "ok" and not one.trusted]
    by_tool = {one.tool: one for one in sorted(telling, key=lambda one: one.ms)}  # the longest of each: it has most to tell
    for at, one in enumerate(sorted(by_tool.values(), key=lambda one: -one.ms)[:3]):
        if bench.context.remaining_s() < 10 or one.ms > 2500:
            return
        with contextlib.suppress(Failure):
            for meta in ({"progressToken": 500_000 + at}, None):
                bench.plain.call(one.tool, one.arguments, deadline_s=4.0, meta=meta)


def quieted(bench: Bench) -> Iterator[tuple[str, Frame]]:
    """Yield what is logged below the level that was asked for, when tools that work are called again."""
    if "logging" not in bench.capabilities:
        return
    lane = bench.plain
    modern = bench.era == "modern"
    try:
        session = lane.session
        if not modern:
            session.request("logging/setLevel", {"level": "alert"}, deadline_s=3.0)
        since = time.monotonic_ns()
        meta = {META + "logLevel": "alert"} if modern else None
        for definition in bench.tools[:8]:
            worked = bench.worked(str(definition["name"]))
            if worked is not None and worked.ms < 500 and worked.trusted == lane.trusted:
                lane.call(worked.tool, worked.arguments, deadline_s=2.0, meta=meta)
                lane.call(worked.tool, {}, deadline_s=2.0, meta=meta)
        if lane.current is not session:
            return
        time.sleep(0.1)
        if not modern:
            session.request("logging/setLevel", {"level": "info"}, deadline_s=3.0)
    except Failure:
        return
    for frame in session.frames():
        params = frame.message.get("params") if isinstance(frame.message, dict) else None
        level = params.get("level") if isinstance(params, dict) else None
        if frame.at > since and _method(frame) == "notifications/message" and level not in ("alert", "emergency"):
            yield f"A log message of the level {str(level)[:20]} is sent, where alert was asked for", frame


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
            params = frame.message.get("params")  # type: ignore[union-attr]
            if isinstance(params, dict) and params.get("level") in ("alert", "emergency"):
                continue
            if bench.era == "modern" and not _asked_before(frames, frame):
                yield "*", "Log messages are sent although no request asked for them", frame
            elif "logging" not in bench.capabilities:
                yield "*", "Log messages are sent although logging is not announced", frame


def _asked_before(frames: Sequence[Frame], frame: Frame) -> bool:
    """Tell whether a request before this frame carried a log level."""
    return any(
        one.direction == "sent" and one.at < frame.at and META + "logLevel" in json.dumps(one.message, default=str)
        for one in frames
    )


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
