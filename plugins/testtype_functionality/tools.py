"""F06: what the calls with valid input say of each tool, and what F06 and F07 share."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from mcpweb.plugin import CheckResult, Failure, RpcError, ServerTimeout, Severity

from .base import Attempt, Bench, Lane, reproduce
from .contradicted import INTERNAL, contradicted, failed
from .frames import AUTHOR

VALIDATION = re.compile(  # how validators of the usual libraries speak
    r"validation error|invalid_type|invalid_enum|invalid_union|invalid_string|too_small|too_big|unrecognized_keys"
    r"|input should be|field required|is a required property|is not of type|is not one of|does not match|should match pattern"
    r"|must be (?:a|an|of type) (?:string|number|integer|boolean|array|object)|must have required property"
    r"|must not have additional|additional properties are not allowed|is not valid under any|expected \w+, received \w+"
    r"|-32602|invalid (?:input|arguments?|params?|parameters?)\b",
    re.I,
)
LOOSE = re.compile(r"invalid (?:input|arguments?|params?|parameters?)\b", re.I)  # which tools say of their own matters, too
IN_WORDS = re.compile(r"^\W*(?:\w+ ){0,2}(?:error|invalid|failed|failure|fehler)\b", re.I)
LENIENT = ("a number in a text", "a fraction for a whole number", "a text for a boolean", "an option in another case")
OF_BOUNDS: tuple[str, ...] = (
    "below",
    "above",
    "at the excluded",
    "no multiple",
    "shorter",
    "longer",
    "fewer",
    "more items",
    "an item twice",
)
OF_BOUNDS += ("does not match", "empty", "64 kB", "Unicode")
ODD = ("empty", "64 kB", "Unicode", "negative", "zero", "a thousand", "null", "a fraction")
DURATION = re.compile(
    r"(?:^|_|\b)(ms|millis\w*|sec\w*|minutes?|duration|delay|sleep|wait|timeout|interval|steps?)(?:$|_|\b)", re.I
)
LONG_TOOL = "It may simply take longer; run the full profile."


def valid_input(bench: Bench) -> Iterator[CheckResult]:
    """F06: valid input does not crash, hang, or get refused as invalid; what a tool's own domain refuses is not judged."""
    called = failed = left = 0
    for definition in bench.tools:
        name = str(definition["name"])
        tries = [one for one in bench.attempts if one.tool == name and one.valid and one.label]
        if not tries:
            continue
        called += 1
        found = _valid_faults(bench, definition, tries)
        if found is None:
            continue
        if found.verdict == "fail":
            failed += 1
        else:
            left += 1
        if found.verdict == "fail" or left <= 20:
            yield found
    if not bench.tools:
        yield CheckResult("F06", "not_applicable", "There are no tools.")
    elif not called:
        yield CheckResult("F06", "undecided", "No tool could be called.")
    elif not failed:
        works = len({one.tool for one in bench.attempts if one.valid and one.outcome in ("ok", "asks")})
        yield CheckResult(
            "F06",
            "pass",
            f"{works} of {called} tools called did what was asked; none refused what its schema allows.",
            evidence={
                "tools": len(bench.tools),
                "called": called,
                "worked": works,
                "calls": sum(one.valid for one in bench.attempts),
                "seed": bench.context.seed,
            },
        )


def _valid_faults(bench: Bench, definition: Mapping[str, Any], tries: Sequence[Attempt]) -> CheckResult | None:
    gone = [one for one in tries if one.outcome == "gone" and not one.given_up]
    late = [one for one in tries if one.outcome == "timeout"]
    worked = [one for one in tries if one.outcome in ("ok", "asks")]
    if gone:
        second = again(bench, gone[0])
        if len(gone) > 1 or (second is not None and second.outcome == "gone"):
            small = smaller(bench, gone[0], lambda one: one.outcome == "gone", valid=True)
            return fail(
                "F06", small, f"Valid input ended the server ({gone[0].label}).", severity="high", evidence=told(tries, gone)
            )
        return undecided("F06", gone[0], "The server went away during a valid call, and not when it was called again.", tries)
    if late:
        return _hangs(bench, definition, late[0], worked, tries)
    odd = [one for one in tries if one.outcome == "broken"]
    if odd:
        return fail("F06", odd[0], f"A valid call is answered with what is no reply ({odd[0].label}).", evidence=told(tries, odd))
    over = [one for one in tries if one.given_up]
    if over:
        return undecided("F06", over[0], f"A reply was more than a session takes: {over[0].given_up}", tries)
    refused = [one for one in tries if refused_as_invalid(bench, one)]
    if refused:
        usual = [one for one in refused if not _only_odd(one.label)]
        first = (usual or refused)[0]
        sure = bool(VALIDATION.search(LOOSE.sub("", first.words[:600])))
        severity: Severity = "high" if usual and sure and not worked else "medium" if usual else "low"
        return fail(
            "F06",
            first,
            f"Input the schema allows is refused as invalid ({first.label}): {line(first.words)}",
            severity=severity,
            confidence="firm",
            evidence=told(tries, refused),
            next_step=AUTHOR + "the schema should say what the tool demands.",
        )
    wrong = [one for one in tries if failed(one)]
    if wrong and not worked and len(wrong) == len(tries) and wrong[0].outcome == "is_error":
        return _always_fails(bench, tries, wrong)
    found = contradicted(bench, definition, tries) if wrong else None
    if found is None:
        broke = next((one for one in wrong if one.code == INTERNAL), None)
        return (
            None
            if broke is None
            else fail(
                "F06",
                broke,
                f"Valid input is answered with an internal error ({broke.label}): {line(broke.words)}",
                severity="medium",
                confidence="firm",
                evidence=told(tries, [broke]),
            )
        )
    name, attempt = found
    return fail(
        "F06",
        attempt,
        f"The schema allows this value of {name}, and it fails for it alone: {line(attempt.words)}",
        severity="low" if attempt.label.endswith(": left out alone") else "medium",
        confidence="firm",
        evidence=told(tries, [attempt]),
        next_step=AUTHOR + "the schema should say what the tool takes.",
    )


def _always_fails(bench: Bench, tries: Sequence[Attempt], wrong: Sequence[Attempt]) -> CheckResult:
    """A tool that never worked: its domain, when what it says depends on what it is given; broken, when it does not."""
    first = wrong[0]
    domain = f"No generated input was right for what this tool deals with: {line(first.words)}"
    if not first.trusted and bench.needs_trust:
        return undecided("F06", first, "It failed for all input, where it had canaries for secrets and no network.", tries)
    if not _alike(wrong):
        return undecided("F06", first, domain, tries)
    definition = next(one for one in bench.tools if one["name"] == first.tool)
    wrong = [*wrong, *_some_more(bench, definition, wrong)]
    if any(one.outcome != "is_error" for one in wrong) or not _alike(wrong) or not _varied(definition, wrong):
        return undecided("F06", first, domain, tries)
    if not _fails_afresh(bench, wrong):
        gone = f"It fails only after other calls, which may have taken away what it is about: {line(first.words)}"
        return undecided("F06", first, gone, tries)
    if _reaches_out(bench, first):
        return undecided("F06", first, f"It reaches for a network that it does not have: {line(first.words)}", tries)
    return fail(
        "F06",
        first,
        f"It fails in the same way for {len(wrong)} different valid inputs: {line(first.words)}",
        severity="medium",
        confidence="tentative",
        evidence=told(tries, wrong),
        next_step="Call it with values you know to work; it may need a secret, the network or files.",
    )


def _fails_afresh(bench: Bench, wrong: Sequence[Attempt]) -> bool:
    """Tell whether the first calls, made of what the schema itself gives, fail in a container too in which nothing was called."""
    lane = Lane(bench.context, trusted=wrong[0].trusted)
    try:
        for one in wrong[:4]:
            if lane.call(one.tool, one.arguments, deadline_s=5.0, label=one.label).outcome != "is_error":
                return False
    except Failure:
        pass
    finally:
        lane.end()
    return True


def _alike(wrong: Sequence[Attempt]) -> bool:
    """Tell whether all failures say the same, and none says anything of what it was given."""
    echoes = any(str(value) in one.words for one in wrong for value in _leaves(one.arguments) if len(str(value)) > 2)
    return len({_masked(one) for one in wrong}) == 1 and not echoes


def _some_more(bench: Bench, definition: Mapping[str, Any], wrong: Sequence[Attempt]) -> Iterator[Attempt]:
    """Call with a few more inputs; one that works ends the suspicion."""
    tried = [one.arguments for one in wrong]
    for case in bench.context.inputs(definition, valid=8, invalid=0, known=bench.known):
        if case.arguments in tried:
            continue
        try:
            one = bench.call(definition, case.arguments, deadline_s=2.0, label=case.label)
        except Failure:
            return
        yield one
        if one.outcome != "is_error":
            return


def _varied(definition: Mapping[str, Any], wrong: Sequence[Attempt]) -> bool:
    """Tell whether the calls differ enough in every required argument, so that no single value is to blame."""
    schema = definition.get("inputSchema") or {}
    properties = schema.get("properties") or {}
    for name in schema.get("required") or ():
        rules = properties.get(name)
        options = rules.get("enum") if isinstance(rules, Mapping) else None
        few = (
            len(options)
            if isinstance(options, list)
            else 2
            if isinstance(rules, Mapping) and rules.get("type") == "boolean"
            else 3
        )
        if len({json.dumps(one.arguments.get(name), sort_keys=True) for one in wrong}) < min(few, 3):
            return False
    return bool(schema.get("required")) or not properties or len({json.dumps(one.arguments, sort_keys=True) for one in wrong}) > 2


def _reaches_out(bench: Bench, attempt: Attempt) -> bool:
    """Tell whether a call asks for a name or an address, seen behind a sinkhole."""
    if bench.context.config.transport != "stdio":
        return False
    try:
        sink = bench.context.sink()
        with bench.context.fresh(sink=sink) as session:
            before = sink.events()
            with contextlib.suppress(RpcError, ServerTimeout):
                session.call(attempt.tool, attempt.arguments, deadline_s=3.0)
            return bool(sink.wait(lambda event: event.at > (before[-1].at if before else 0), deadline_s=0.3))
    except Failure:
        return False


def _hangs(
    bench: Bench, definition: Mapping[str, Any], late: Attempt, worked: Sequence[Attempt], tries: Sequence[Attempt]
) -> CheckResult | None:
    properties = (definition.get("inputSchema") or {}).get("properties") or {}
    takes_time = any(DURATION.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(key))) for key in properties)
    progressed = any(
        isinstance(frame.message, dict) and frame.message.get("method") == "notifications/progress"
        for _, frames in bench.frames()
        for frame in frames
        if frame.direction == "received"
    )
    usual = median(one.ms for one in worked) if worked else None
    deprived = not late.trusted and bench.needs_trust
    if takes_time and worked:
        return None  # it waits when it is told to
    if takes_time or (progressed and not worked) or deprived:
        return undecided(
            "F06", late, f"There was no answer within {late.ms / 1000:.1f} s, which its arguments may ask for. {LONG_TOOL}", tries
        )
    second = again(bench, late, deadline_s=max(10.0, late.ms / 100) if bench.context.remaining_s() > 40 else 3.0)
    if second is not None and second.outcome not in ("timeout", "gone"):
        return undecided("F06", late, f"It answered after {second.ms / 1000:.1f} s only when called again.", tries)
    compared = f"; other input takes {usual:.0f} ms" if usual is not None else ""
    return fail(
        "F06",
        late,
        f"Valid input gets no answer ({late.label}){compared}.",
        timed_out=True,
        severity="high" if usual is not None and usual < 1000 else "medium",
        evidence=told(tries, [late]),
    )


def refused_as_invalid(bench: Bench, attempt: Attempt) -> bool:
    """Tell whether a call was refused by validation: by its code, or in the words with which invalid input is refused."""
    if attempt.outcome == "rpc_error":
        return bool(attempt.code == -32602)
    if attempt.outcome != "is_error":
        return False
    start = _start(attempt.words)
    learnt = {
        _start(one.words)
        for one in bench.attempts
        if one.tool == attempt.tool
        and not one.valid
        and one.outcome == "is_error"
        and one.label.endswith((": missing", "for another type"))
    }
    return bool(VALIDATION.search(attempt.words[:600])) or (len(start) > 12 and start in learnt)


def _start(words: str) -> str:
    """Return how a message begins, up to what it quotes or names: the same for all messages of one validator."""
    first = re.split(r"[\"'`/\d]", words.strip()[:200])[0]
    return first.strip() if re.search(r"invalid|validat|argument|param|schema|input", first, re.I) else ""


def _only_odd(label: str) -> bool:
    parts = [part.rpartition(": ")[2] for part in label.split("; ")]
    return any(part.startswith(ODD) for part in parts)


def _masked(attempt: Attempt) -> str:
    words = attempt.words
    for value in sorted((str(value) for value in _leaves(attempt.arguments)), key=len, reverse=True):
        words = words.replace(value, "…") if len(value) > 2 else words
    return re.sub(r"\d+", "0", words)[:400]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [] if value is None or isinstance(value, bool) else [value]


def again(bench: Bench, attempt: Attempt, deadline_s: float = 5.0) -> Attempt | None:
    """Call once more, in a fresh container of the same trust; None when there is none to be had."""
    lane = Lane(bench.context, trusted=attempt.trusted)
    try:
        return lane.call(attempt.tool, attempt.arguments, deadline_s=deadline_s, label=attempt.label, valid=attempt.valid)
    except Failure:
        return None
    finally:
        lane.end()


def smaller(bench: Bench, attempt: Attempt, still: Any, *, valid: bool) -> Attempt:
    """Return a smaller call for which the finding still holds; it stays as valid or invalid as it was."""
    definition = next(one for one in bench.tools if one["name"] == attempt.tool)
    costly = attempt.outcome == "gone"
    lane = Lane(bench.context, trusted=attempt.trusted) if costly else bench.lane(definition)
    found = attempt

    def fails(arguments: dict[str, Any]) -> bool:
        nonlocal found
        if bench.context.remaining_s() < 15:
            return False
        try:
            faults = bench.context.value_faults(definition["inputSchema"], arguments)
            if bool(faults) is valid or not (valid or _same_fault(attempt.label, faults)):
                return False
            one = lane.call(attempt.tool, arguments, deadline_s=3.0, label=attempt.label, valid=valid)
        except Failure:
            return False
        if still(one):
            found = one
            return True
        return False

    try:
        bench.context.shrink(
            dict(attempt.arguments), fails, most=(4 if bench.quick else 10) if costly else (10 if bench.quick else 30)
        )
    finally:
        if costly:
            lane.end()
    return found


def _same_fault(label: str, faults: Sequence[str]) -> bool:
    """Tell whether the fault is still the one place that the label names."""
    at, _, what = label.rpartition(": ")
    parent = at.rpartition("/")[0] if what.startswith(("missing", "a property")) else at
    return len(faults) == 1 and faults[0].partition(": ")[0].rstrip("/") == parent.rstrip("/")


def told(tries: Sequence[Attempt], shown: Sequence[Attempt]) -> dict[str, Any]:
    outcomes = [one.outcome for one in tries]
    return {
        "calls": [one.told() for one in shown[:4]],
        "outcomes": {word: outcomes.count(word) for word in sorted(set(outcomes))},
    }


def line(words: str) -> str:
    first = " ".join(words.split())[:160]
    return json.dumps(first, ensure_ascii=False) if first else "no words"


def fail(check_id: str, attempt: Attempt, summary: str, **more: Any) -> CheckResult:
    more.setdefault("next_step", AUTHOR + "send them the input below.")
    return CheckResult(
        check_id,
        "fail",
        summary,
        tool=attempt.tool,
        input={**attempt.request, "label": attempt.label},
        reproduce=reproduce(attempt),
        duration_ms=attempt.ms,
        **more,
    )


def undecided(check_id: str, attempt: Attempt, summary: str, tries: Sequence[Attempt]) -> CheckResult:
    return CheckResult(
        check_id,
        "undecided",
        summary,
        tool=attempt.tool,
        input=attempt.request,
        evidence=told(tries, [attempt]),
        timed_out=attempt.outcome == "timeout",
        next_step="Call it with values you know to work, and save that as a case.",
    )
