"""F11: annotations against what a tool really does, in a writable container of its own behind a sinkhole.

Seen are the container's own files, what it tries to reach, results that count, and – as what stands in memory or a volume
cannot be seen – whether another tool that only reads tells something else after a tool that says it only reads.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, FileChange, RpcError, ServerTimeout, Severity, Sink, SinkEvent, TestSession

from .base import Attempt, Bench, cut, text_of
from .frames import AUTHOR

INCIDENTAL = re.compile(  # what interpreters and libraries write by themselves
    r"(^|/)(__pycache__|\.cache|\.npm|\.config|\.local/state|node_modules/\.cache|\.mypy_cache|\.pytest_cache)(/|$)"
    r"|\.(pyc|pyo|lock|pid|log|tmp)$|-(wal|shm|journal)$|^/(tmp|run|proc|sys|dev|var/(tmp|cache|log|run))(/|$)|/\.?(history|python_history)$"
)
MOST_TOOLS = {True: 12, False: 60}
TELLING_S = 0.25
LOOKS = re.compile(r"^(get|list|read|search|find|show|describe|count|check|view|look|status|info|query|fetch)(?![a-z])", re.I)
QUICK_MS = 300.0
A_SECOND_ON_S = 1.1
MOST_WITNESSES = {True: 8, False: 24}
VERBS = {"deleted": "deletes", "changed": "overwrites"}
SWEEP_S = {True: 3.0, False: 60.0}
TRACE_S = {True: 8.0, False: 90.0}


@dataclass
class Watched:
    """What one tool did over a few equal calls."""

    outcomes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    changes: list[list[FileChange]] = field(default_factory=list)  # new ones after each call
    reached: list[list[SinkEvent]] = field(default_factory=list)


def promises(bench: Bench) -> Iterator[CheckResult]:
    """F11: all tools with annotations are called in one container; what shows there is traced to its tool in another."""
    hinted = [one for one in bench.tools if _promises(one.get("annotations"))]
    if not hinted:
        yield CheckResult("F11", "not_applicable", "No tool promises anything in its annotations.")
        return
    tried = [(one, worked) for one in hinted if (worked := bench.worked(str(one["name"]))) is not None][: MOST_TOOLS[bench.quick]]
    if not tried:
        yield CheckResult("F11", "undecided", "None of the tools that promise something worked with generated input.")
        return
    sink = _sink(bench) if any(_hint(one, "openWorldHint", True) is False for one, _ in tried) else None
    suspects, worked_there, disturbed = _sweep(bench, sink, tried)
    failed = 0
    seen = (*_traced(bench, sink, suspects), *_disturbing(bench, tried, disturbed), *_losing(bench, tried))
    for definition, summary, severity, evidence, confidence in seen:
        failed += 1
        yield CheckResult(
            "F11",
            "fail",
            summary,
            tool=str(definition["name"]),
            severity=severity,
            confidence=confidence,
            key=summary.partition(",")[0],
            evidence={**evidence, "annotations": definition.get("annotations")},
            input=next(worked for one, worked in tried if one is definition).request,
            next_step="Do not let a client call it without asking. " + AUTHOR + "annotate what the tool does.",
            reproduce="Call it in a fresh container with a writable root, and look at `docker diff`.",
        )
    if failed:
        return
    if not worked_there:
        yield CheckResult("F11", "undecided", "No tool with annotations worked in a container without network.")
        return
    unseen = "" if sink is not None else " What it reaches was not watched."
    yield CheckResult(
        "F11",
        "pass",
        f"{worked_there} of {len(hinted)} tools with annotations did what they say.{unseen}",
        evidence={"tools": [str(one["name"]) for one, _ in tried]},
    )


Tried = Sequence[tuple[Mapping[str, Any], Attempt]]


def _sweep(bench: Bench, sink: Sink | None, tried: Tried) -> tuple[Tried, int, Tried]:
    """Call them all; return those of which something may be seen, how many worked, and those that then told something else.

    What only reads comes first, and first of it what is named so: it tells what was there before the others were called.
    """
    tried = sorted(tried, key=lambda one: (not _hint(one[0], "readOnlyHint", False), not LOOKS.match(str(one[0]["name"]))))
    session, before = _fresh(bench, sink)
    until = time.monotonic() + SWEEP_S[bench.quick]
    counting: list[tuple[Mapping[str, Any], Attempt]] = []
    told: list[tuple[tuple[Mapping[str, Any], Attempt], str]] = []  # by what only reads, before anything else is called
    disturbed: Tried = ()
    worked = 0
    try:
        events = sink.events() if sink is not None else []
        for definition, attempt in tried:
            if time.monotonic() > until or bench.context.remaining_s() < 8:
                break
            reads = _hint(definition, "readOnlyHint", False)
            if not reads and len(told) > 1:
                disturbed, told = _differ(session, told), []
            counts = _hint(definition, "idempotentHint", False) and not reads
            seen, _ = _watch(session, None, definition, attempt, before, look=False, times=3 if counts else 1)
            worked += seen.outcomes[:1] == ["ok"]
            if counts and _counts(seen.texts):
                counting.append((definition, attempt))
            if "gone" in seen.outcomes:
                return tried, worked, ()
            if reads and seen.outcomes == ["ok"] and attempt.ms < QUICK_MS:
                told.append(((definition, attempt), seen.texts[0]))
        if len(told) > 1:
            disturbed = _differ(session, told)
        changed = _new(before, session.changes())
        reached = sink is not None and bool(
            sink.wait(lambda event: event.at > (events[-1].at if events else 0), deadline_s=TELLING_S)
        )
    finally:
        session.close()
    return tried if changed or reached else counting, worked, disturbed


def _ask(session: TestSession, attempt: Attempt) -> str | None:
    """Return what a tool answers, None when it does not work."""
    try:
        result = session.call(attempt.tool, attempt.arguments, deadline_s=5.0)
    except Failure:
        return None
    return None if result.get("isError") is True else text_of(result)


def _differ(session: TestSession, told: Sequence[tuple[tuple[Mapping[str, Any], Attempt], str]]) -> Tried:
    """Return what answers otherwise than before, and then the same again."""
    changed = [(one, now) for one, before in told if (now := _ask(session, one[1])) not in (None, before)]
    return [one for one, now in changed if _ask(session, one[1]) == now]


def _disturbing(
    bench: Bench, tried: Tried, disturbed: Tried
) -> Iterator[tuple[Mapping[str, Any], str, Severity, dict[str, Any], Any]]:
    """Find which tool that says it only reads changes what another one tells, in a fresh container for each witness.

    The witness says the same three times, the last a second on, so that neither a clock nor a count of calls is taken for it.
    """
    found: set[str] = set()
    for witness, asked in disturbed[: 1 if bench.quick else 4]:
        if bench.context.remaining_s() < 8:
            return
        session, _ = _fresh(bench, None)
        try:
            before = _ask(session, asked)
            steady = before is not None and _ask(session, asked) == before
            time.sleep(A_SECOND_ON_S)
            if not steady or _ask(session, asked) != before:
                continue
            for definition, attempt in tried:
                name = str(definition["name"])
                if definition is witness or name in found or not _hint(definition, "readOnlyHint", False):
                    continue
                _ask(session, attempt)
                after = _ask(session, asked)
                if after not in (None, before) and _ask(session, asked) == after:
                    found.add(name)
                    evidence = {"witness": asked.request, "before": cut(before), "after": cut(after)}
                    sentence = f"It says it only reads, and {witness['name']} tells something else once it was called"
                    yield definition, sentence, "medium", evidence, "firm"
                    break
        finally:
            session.close()


def _traced(
    bench: Bench, sink: Sink | None, suspects: Tried
) -> Iterator[tuple[Mapping[str, Any], str, Severity, dict[str, Any], Any]]:
    """Call the suspects one by one, and yield what each is seen to do against its annotations."""
    if not suspects:
        return
    session, before = _fresh(bench, sink)
    until = time.monotonic() + TRACE_S[bench.quick]
    try:
        for definition, worked in suspects:
            if time.monotonic() > until or bench.context.remaining_s() < 8:
                break
            seen, before = _watch(session, sink, definition, worked, before)
            for summary, severity, evidence, confidence in _lies(definition, seen):
                yield definition, summary, severity, evidence, confidence
            if "gone" in seen.outcomes:
                session.close()
                session, before = _fresh(bench, sink)
    finally:
        session.close()


def _losing(bench: Bench, tried: Tried) -> Iterator[tuple[Mapping[str, Any], str, Severity, dict[str, Any], Any]]:
    """Find tools that say they destroy nothing, and after which what only reads tells of less than before, and of nothing new."""
    adding = [one for one in tried if not _hint(one[0], "readOnlyHint", False) and not _hint(one[0], "destructiveHint", True)]
    readers = {str(one["name"]) for one in bench.tools if _hint(one, "readOnlyHint", False)}
    asked: dict[str, Attempt] = {}
    for one in bench.attempts:
        if one.tool in readers and one.valid and one.outcome == "ok" and one.ms < QUICK_MS:
            asked.setdefault(f"{one.tool} {one.arguments}", one)
    witnesses = list(asked.values())[: MOST_WITNESSES[bench.quick]]
    if not adding or not witnesses or bench.context.remaining_s() < 8:
        return
    session, _ = _fresh(bench, None)
    until = time.monotonic() + TRACE_S[bench.quick]
    try:
        before = [_ask(session, one) for one in witnesses]
        steady = [now is not None and now == _ask(session, one) for one, now in zip(witnesses, before, strict=True)]
        for definition, attempt in adding:
            if time.monotonic() > until:
                return
            if _ask(session, attempt) is None:
                continue
            after = [_ask(session, one) for one in witnesses]
            if not any(after):
                return  # it is not well, which is another finding
            for one, was, now, firm in zip(witnesses, before, after, steady, strict=True):
                if firm and was is not None and _less(was, now) and _ask(session, one) == now:
                    evidence = {"witness": one.request, "before": cut(was), "after": "an error" if now is None else cut(now)}
                    sentence = f"It says it destroys nothing, and {one.tool} tells of less once it was called"
                    yield definition, sentence, "medium", evidence, "firm"
                    break
            before = after
    finally:
        session.close()


def _less(was: str, now: str | None) -> bool:
    """Tell whether an answer is gone, or is the one before without some of its lines or entries."""
    if now is None:
        return True
    entries, left = (Counter(re.split(r"[\n,;]+\s*|(?<=[}\]])\s*", text)) for text in (was, now))
    return sum(left.values()) < sum(entries.values()) and not left - entries


def _promises(given: Any) -> bool:
    return isinstance(given, Mapping) and (
        given.get("readOnlyHint") is True
        or given.get("idempotentHint") is True
        or given.get("destructiveHint") is False
        or given.get("openWorldHint") is False
    )


def _hint(definition: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    given = definition.get("annotations")
    value = given.get(name) if isinstance(given, Mapping) else None
    return value if isinstance(value, bool) else otherwise


def _sink(bench: Bench) -> Sink | None:
    if bench.context.config.transport != "stdio":
        return None
    try:
        return bench.context.sink()
    except Failure:
        return None


def _fresh(bench: Bench, sink: Sink | None) -> tuple[TestSession, set[tuple[str, str]]]:
    session = bench.context.fresh(canaries=True, sink=sink, read_only_root=False)
    session.listing("tools")
    return session, {(one.path, one.kind) for one in session.changes()}


def _watch(
    session: TestSession,
    sink: Sink | None,
    definition: Mapping[str, Any],
    worked: Attempt,
    before: set[tuple[str, str]],
    *,
    look: bool = True,
    times: int = 3,
) -> tuple[Watched, set[tuple[str, str]]]:
    """Call a tool some times, and return what was seen, and what is changed by now."""
    seen = Watched()
    closed = sink is not None and _hint(definition, "openWorldHint", True) is False
    for time_ in range(times):
        events = sink.events() if closed and sink is not None else []
        try:
            result = session.call(worked.tool, worked.arguments, deadline_s=5.0)
            seen.outcomes.append("is_error" if result.get("isError") is True else "ok")
            seen.texts.append(text_of(result))
        except RpcError:
            seen.outcomes.append("is_error")
        except Failure as failure:
            seen.outcomes.append("timeout" if isinstance(failure, ServerTimeout) else "gone")
            return seen, before
        if closed and sink is not None:
            time.sleep(TELLING_S)
            seen.reached.append(sink.events(since=events[-1].at if events else 0))
        if look:
            now = session.changes()
            seen.changes.append(_new(before, now))
            before = {(one.path, one.kind) for one in now}
        if time_ == 1 and times > 2:
            time.sleep(0.2)  # what counts by time must not look as if it counted calls
    return seen, before


def _new(before: set[tuple[str, str]], now: Sequence[FileChange]) -> list[FileChange]:
    """Return what changed since the last look; a file of the server's own that is gone counts as deleted."""
    there = {one.path for one in now}
    gone = [FileChange(path, "deleted") for path, kind in sorted(before) if kind == "added" and path not in there]
    return _real([*gone, *(one for one in now if (one.path, one.kind) not in before)])


def _real(changes: Sequence[FileChange]) -> list[FileChange]:
    """Leave out what is incidental, and the folders that changed only because something in them did."""
    kept = [one for one in changes if not INCIDENTAL.search(one.path)]
    inside = {one.path.rpartition("/")[0] for one in changes if one.kind != "changed"} | {
        one.path.rpartition("/")[0] for one in changes
    }
    return [one for one in kept if one.kind != "changed" or one.path not in inside]


def _lies(definition: Mapping[str, Any], seen: Watched) -> Iterator[tuple[str, Severity, dict[str, Any], Any]]:
    read_only = _hint(definition, "readOnlyHint", False)
    changed = [one for changes in seen.changes for one in changes]
    files = {"changes": [f"{one.kind} {one.path}" for one in changed[:20]], "outcomes": seen.outcomes}
    if read_only and changed:
        yield f"It says it only reads, and changes files: {changed[0].path}", "high", files, "certain"
    destroyed = [one for one in changed if one.kind != "added"]
    if not read_only and not _hint(definition, "destructiveHint", True) and destroyed:
        yield (
            f"It says it destroys nothing, and {VERBS[destroyed[0].kind]} {destroyed[0].path}",
            "high",
            files,
            "certain",
        )
    if not read_only and _hint(definition, "idempotentHint", False):
        more = [one for changes in seen.changes[1:] for one in changes if one.kind != "changed"]
        counted = _counts(seen.texts)
        if more:
            yield f"It says that calling it again changes nothing, and it does: {more[0].path}", "high", files, "certain"
        elif counted:
            yield (
                "It says that calling it again changes nothing, and its results count the calls",
                "medium",
                {"results": cut(seen.texts), "counted": counted},
                "firm",
            )
    closed = not _hint(definition, "openWorldHint", True)
    if closed and any(seen.reached):
        first = next(event for events in seen.reached for event in events)
        always = len(seen.reached) > 1 and all(seen.reached)
        yield (
            f"It says it stays in a closed world, and reaches for {first.name or first.address}",
            "high" if always else "medium",
            {"events": [f"{one.kind} {one.name or one.address}:{one.port}" for events in seen.reached for one in events][:20]},
            "certain" if always else "firm",
        )


def _counts(texts: Sequence[str]) -> list[int]:
    """Return three numbers at one place of three results that go up by the same step, whatever time lay between."""
    if len(texts) < 3 or len({re.sub(r"\d+", "0", text) for text in texts}) != 1:
        return []
    for numbers in zip(*(re.findall(r"\d+", text) for text in texts), strict=True):
        one, two, three = (int(number[:18]) for number in numbers)
        if 0 < two - one == three - two <= 1000:
            return [one, two, three]
    return []
