"""F11: annotations against what a tool really does, in a writable container of its own behind a sinkhole.

Seen are the container's own files, what it tries to reach, results that count, and – as what stands in memory or a volume
cannot be seen – whether another tool that only reads tells something else after a tool that says it only reads.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, FileChange, RpcError, ServerTimeout, Severity, Sink, SinkEvent, TestSession

from .base import Attempt, Bench, cut, text_of
from .frames import AUTHOR
from .replacing import replaced
from .seeing import (
    PASSING,
    QUICK_MS,
    answer_to,
    changed_since,
    counts_in,
    fresh_session,
    hint_of,
    promises_calm,
    reading_calls,
    sink_of,
    tells_less,
    without_numbers,
)

MOST_TOOLS = {True: 12, False: 60}
TELLING_S = 0.25
MOST_KINDS, MOST_MORE = 4, 16
LOOKS = re.compile(r"^(get|list|read|search|find|show|describe|count|check|view|look|status|info|query|fetch)(?![a-z])", re.I)
A_SECOND_ON_S = 1.1
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
    hinted = [one for one in bench.tools if promises_calm(one.get("annotations"))]
    if not hinted:
        yield CheckResult("F11", "not_applicable", "No tool promises anything in its annotations.")
        return
    tried: Tried = [(one, worked) for one in hinted if (worked := bench.worked(str(one["name"]))) is not None][
        : MOST_TOOLS[bench.quick]
    ]
    if not tried:
        yield CheckResult("F11", "undecided", "None of the tools that promise something worked with generated input.")
        return
    sink = sink_of(bench) if any(hint_of(one, "openWorldHint", True) is False for one, _ in tried) else None
    tried = [*tried, *_more_of_readers(bench, tried)]
    suspects, worked_there, disturbed = _sweep(bench, sink, tried)
    failed = 0
    told: set[tuple[str, str]] = set()
    seen = (
        *_traced(bench, sink, suspects),
        *_disturbing(bench, tried, disturbed),
        *_losing(bench, tried),
        *_repeating(bench, tried),
        *replaced(bench, list(tried)),
    )
    for definition, summary, severity, evidence, confidence in seen:
        failed += 1
        if (str(definition["name"]), summary) in told:
            continue
        told.add((str(definition["name"]), summary))
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


def _more_of_readers(bench: Bench, tried: Tried) -> list[tuple[Mapping[str, Any], Attempt]]:
    """Return other calls of tools that say they only read: with other arguments, and ones that failed; a lie may hide there."""
    more = []
    for definition, worked in tried:
        if not hint_of(definition, "readOnlyHint", False):
            continue
        kinds: set[Any] = {(worked.outcome, tuple(worked.arguments))}
        for one in bench.attempts:
            kind = (one.outcome, tuple(one.arguments) if one.valid else one.label)
            if one.tool != definition["name"] or one.outcome not in ("ok", "is_error") or one.ms > QUICK_MS or kind in kinds:
                continue
            kinds.add(kind)
            more.append((definition, one))
            if len(kinds) > MOST_KINDS:
                break
    return more[:MOST_MORE]


def _repeating(bench: Bench, tried: Tried) -> Iterator[tuple[Mapping[str, Any], str, Severity, dict[str, Any], Any]]:
    """Find tools that say a second call changes nothing, and after which what only reads tells of something else; and tools that
    say they only read, and of whose answers a part is gone each time.
    """
    again = [one for one in tried if hint_of(one[0], "idempotentHint", False) and not hint_of(one[0], "readOnlyHint", False)]
    taking = _taking(bench, tried)
    witnesses = reading_calls(bench) if again else []
    if bench.context.remaining_s() < 8 or not (taking or witnesses):
        return
    session, _ = fresh_session(bench, None)
    until = time.monotonic() + TRACE_S[bench.quick]
    try:
        for definition, attempt in taking:
            said = [answer_to(session, attempt) for _ in range(3)]
            if said[0] and said[1] and tells_less(said[0], said[1]) and tells_less(said[1], said[2]):
                sentence = "It says it only reads, and what it told is gone when it is asked again"
                yield definition, sentence, "medium", {"answers": cut(said)}, "firm"
        for definition, attempt in again if witnesses else ():
            if time.monotonic() > until:
                return
            found = _second_call(session, attempt, witnesses)
            if found is not None:
                teller = f"{found[0].tool} tells something else after the second call"
                sentence = f"It says that calling it again changes nothing, and {teller}"
                evidence = {"witness": found[0].request, "once": cut(found[1]), "twice": cut(found[2])}
                yield definition, sentence, "medium", evidence, "firm"
    finally:
        session.close()


def _taking(bench: Bench, tried: Tried) -> list[tuple[Mapping[str, Any], Attempt]]:
    """Return tools that only read, as they say, and that by now tell nothing, or another thing each time."""
    found = []
    for definition, attempt in tried:
        usable = attempt.outcome == "ok" and attempt.valid and not attempt.trusted and attempt.ms < QUICK_MS
        current = bench.lane(definition).current
        if usable and current is not None and hint_of(definition, "readOnlyHint", False):
            first = answer_to(current, attempt)
            if first is None or answer_to(current, attempt) != first:
                found.append((definition, attempt))
    return found[:4]


def _second_call(session: TestSession, attempt: Attempt, witnesses: Sequence[Attempt]) -> tuple[Attempt, str, str] | None:
    """Call a tool twice; return who tells something else after the second call than after the first, before and after."""
    if answer_to(session, attempt) is None:
        return None
    once = [answer_to(session, one) for one in witnesses]
    steady = [now is not None and now == answer_to(session, one) for one, now in zip(witnesses, once, strict=True)]
    if answer_to(session, attempt) is None:
        return None
    for one, was, firm in zip(witnesses, once, steady, strict=True):
        now = answer_to(session, one) if firm else None
        if was is None or now is None or now == was or answer_to(session, one) != now:
            continue
        blurred = without_numbers(was) == without_numbers(now)  # a time of day, or a count of calls?
        if blurred and (answer_to(session, attempt) is None or not counts_in([was, now, answer_to(session, one) or ""])):
            continue
        return one, was, now
    return None


Tried = Sequence[tuple[Mapping[str, Any], Attempt]]


def _sweep(bench: Bench, sink: Sink | None, tried: Tried) -> tuple[Tried, int, Tried]:
    """Call them all; return those of which something may be seen, how many worked, and those that then told something else.

    What only reads comes first, and first of it what is named so: it tells what was there before the others were called.
    """
    tried = sorted(tried, key=lambda one: (not hint_of(one[0], "readOnlyHint", False), not LOOKS.match(str(one[0]["name"]))))
    session, before = fresh_session(bench, sink)
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
            reads = hint_of(definition, "readOnlyHint", False)
            if not reads and len(told) > 1:
                disturbed, told = _differ(session, told), []
            counts = hint_of(definition, "idempotentHint", False) and not reads
            seen, _ = _watch(session, None, definition, attempt, before, look=False, times=3 if counts else 1)
            worked += seen.outcomes[:1] == ["ok"]
            if counts and counts_in(seen.texts):
                counting.append((definition, attempt))
            if "gone" in seen.outcomes:
                return tried, worked, ()
            if reads and seen.outcomes == ["ok"] and attempt.ms < QUICK_MS:
                told.append(((definition, attempt), seen.texts[0]))
        if len(told) > 1:
            disturbed = _differ(session, told)
        changed = changed_since(before, session.changes())
        reached = sink is not None and bool(
            sink.wait(lambda event: event.at > (events[-1].at if events else 0), deadline_s=TELLING_S)
        )
    finally:
        session.close()
    return tried if changed or reached else counting, worked, disturbed


def _differ(session: TestSession, told: Sequence[tuple[tuple[Mapping[str, Any], Attempt], str]]) -> Tried:
    """Return what answers otherwise than before, and then the same again."""
    changed = [(one, now) for one, before in told if (now := answer_to(session, one[1])) not in (None, before)]
    return [one for one, now in changed if answer_to(session, one[1]) == now]


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
        session, _ = fresh_session(bench, None)
        try:
            before = answer_to(session, asked)
            steady = before is not None and answer_to(session, asked) == before
            time.sleep(A_SECOND_ON_S)
            if not steady or answer_to(session, asked) != before:
                continue
            for definition, attempt in tried:
                name = str(definition["name"])
                if definition is witness or name in found or not hint_of(definition, "readOnlyHint", False):
                    continue
                answer_to(session, attempt)
                after = answer_to(session, asked)
                if after not in (None, before) and answer_to(session, asked) == after:
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
    session, before = fresh_session(bench, sink)
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
                session, before = fresh_session(bench, sink)
    finally:
        session.close()


def _losing(bench: Bench, tried: Tried) -> Iterator[tuple[Mapping[str, Any], str, Severity, dict[str, Any], Any]]:
    """Find tools that say they destroy nothing, and after which what only reads tells of less than before, and of nothing new."""
    adding = [one for one in tried if not hint_of(one[0], "readOnlyHint", False) and not hint_of(one[0], "destructiveHint", True)]
    witnesses = reading_calls(bench)
    if not adding or not witnesses or bench.context.remaining_s() < 8:
        return
    session, _ = fresh_session(bench, None)
    until = time.monotonic() + TRACE_S[bench.quick]
    try:
        before = [answer_to(session, one) for one in witnesses]
        steady = [now is not None and now == answer_to(session, one) for one, now in zip(witnesses, before, strict=True)]
        for definition, attempt in adding:
            if time.monotonic() > until:
                return
            if answer_to(session, attempt) is None:
                continue
            after = [answer_to(session, one) for one in witnesses]
            if not any(after):
                return  # it is not well, which is another finding
            for one, was, now, firm in zip(witnesses, before, after, steady, strict=True):
                if firm and was is not None and tells_less(was, now) and answer_to(session, one) == now:
                    evidence = {"witness": one.request, "before": cut(was), "after": "an error" if now is None else cut(now)}
                    sentence = f"It says it destroys nothing, and {one.tool} tells of less once it was called"
                    yield definition, sentence, "medium", evidence, "firm"
                    break
            before = after
    finally:
        session.close()


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
    closed = sink is not None and hint_of(definition, "openWorldHint", True) is False
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
            seen.changes.append(changed_since(before, now))
            before = {(one.path, one.kind) for one in now}
        if time_ == 1 and times > 2:
            time.sleep(0.2)  # what counts by time must not look as if it counted calls
    return seen, before


def _lies(definition: Mapping[str, Any], seen: Watched) -> Iterator[tuple[str, Severity, dict[str, Any], Any]]:
    read_only = hint_of(definition, "readOnlyHint", False)
    changed = [one for changes in seen.changes for one in changes]
    files = {"changes": [f"{one.kind} {one.path}" for one in changed[:20]], "outcomes": seen.outcomes}
    passing, changed = (
        [one for one in changed if PASSING.match(one.path)],
        [one for one in changed if not PASSING.match(one.path)],
    )
    if read_only and changed:
        yield f"It says it only reads, and changes files: {changed[0].path}", "high", files, "certain"
    elif read_only and passing:
        yield f"It says it only reads, and leaves files behind: {passing[0].path}", "low", files, "firm"
    destroyed = [one for one in changed if one.kind != "added"]
    if not read_only and not hint_of(definition, "destructiveHint", True) and destroyed:
        yield (
            f"It says it destroys nothing, and {VERBS[destroyed[0].kind]} {destroyed[0].path}",
            "high",
            files,
            "certain",
        )
    if not read_only and hint_of(definition, "idempotentHint", False):
        more = [one for changes in seen.changes[1:] for one in changes if one.kind != "changed" and not PASSING.match(one.path)]
        counted = counts_in(seen.texts)
        if more:
            yield f"It says that calling it again changes nothing, and it does: {more[0].path}", "high", files, "certain"
        elif counted:
            yield (
                "It says that calling it again changes nothing, and its results count the calls",
                "medium",
                {"results": cut(seen.texts), "counted": counted},
                "firm",
            )
    closed = not hint_of(definition, "openWorldHint", True)
    if closed and any(seen.reached):
        first = next(event for events in seen.reached for event in events)
        always = len(seen.reached) > 1 and all(seen.reached)
        yield (
            f"It says it stays in a closed world, and reaches for {first.name or first.address}",
            "high" if always else "medium",
            {"events": [f"{one.kind} {one.name or one.address}:{one.port}" for events in seen.reached for one in events][:20]},
            "certain" if always else "firm",
        )
