"""M05: is what is served what was approved, and does it stay so: over lists, calls, containers, another clock and place?"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Pin, PinKind, Severity, TestContext, TestSession, canonical

from . import metadata
from .strings import Thing, escaped
from .surface import LISTS, Surface, look, settled

CHECKS = ("M05",)
ELSEWHERE = {"TZ": "Pacific/Kiritimati", "CI": "true"}  # fourteen hours ahead, and a place that looks like a test
_COMING = ("resource", "template")  # such come and go with what the server works on
_CALLS = {"quick": 6, "full": 30}
_VOLATILE = re.compile(
    r"\b(?=[a-f]*\d)[0-9a-f]{6,64}\b|\d+|\b(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)/[A-Za-z_/+-]+\b|\b(?:UTC|GMT|[A-Z]{3,4}T)\b"
    r"|\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|satur|sat|sun)(?:day)?\b|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b"
    r"|\b[0-9a-f]{8,64}\b|\b(?:am|pm)\b|\b(?:morning|afternoon|evening|night|today|tomorrow)\b",
    re.IGNORECASE,
)


def check(context: TestContext, session: TestSession, surface: Surface) -> Iterator[CheckResult]:
    """Yield the verdicts of M05."""
    found: list[CheckResult] = []
    pins = context.pins()
    first = _taken(context, surface)
    found += _since_approval(pins, context.pinned, first)
    again = _taken(context, look(session))
    found += _moved(first, again, "from one list to the next", "again", "Send tools/list twice in one session.")
    calls, missed = 0, ""
    try:
        environment = {**context.config.environment, **ELSEWHERE}
        with contextlib.closing(context.fresh(canaries=True, deadline_s=_within(context, 15), environment=environment)) as second:
            there = look(second)
            other = _taken(context, there)
            found += _moved(
                first,
                other,
                "in a second container, with another clock and environment",
                "elsewhere",
                f"Start the server twice, once with {' '.join(f'{k}={v}' for k, v in ELSEWHERE.items())}, and compare the lists.",
            )
            calls = _use(context, second, there)
            if calls:
                after = _taken(context, look(second))
                late = _taken(context, look(second))
                listens = _announces(second)
                for seen in (after, late):
                    found += _moved(
                        other,
                        seen,
                        f"after {calls} calls",
                        "used",
                        f"List, call the tools {calls} times, list again.",
                        announced=listens,
                    )
    except Failure as failure:
        missed = failure.sentence
    unique = {result.key: result for result in reversed(found)}
    evidence = {"pins": len(pins), "definitions": len(first.pins), "calls": calls} | (
        {"not_looked_at": missed} if missed else {}
    )
    if missed and not unique:
        yield CheckResult(
            "M05",
            "undecided",
            f"The first container serves what was approved; a second one could not be looked at: {missed}",
            evidence=evidence,
        )
        return
    approved = "what was approved" if context.pinned else "the same (nothing was approved yet)"
    yield from settled(
        "M05", unique.values(), f"The server serves {approved}, also after {calls} calls and in a second container.", **evidence
    )


@dataclass(frozen=True)
class Look:
    """One look at a server, as pins would be made of it: by kind and name, with secrets and canaries masked."""

    pins: Mapping[tuple[str, str], Pin]
    unread: frozenset[str]  # kinds whose list could not be had


def _taken(context: TestContext, surface: Surface) -> Look:
    unread = frozenset(kind for what, kind, _ in LISTS if what in surface.missing)
    by_kind: dict[PinKind, list[Any]] = {}
    for thing in surface.things:
        if thing.kind != "server":
            by_kind.setdefault(thing.kind, []).append(thing.definition)
    found = [pin for kind, items in by_kind.items() for pin in context.as_pins(kind, items)]
    return Look({(pin.kind, pin.name): pin for pin in found}, unread)


def _thing(pin: Pin) -> Thing:
    what = next((what for what, kind, _ in LISTS if kind == pin.kind), pin.kind)
    pointer = "/instructions" if pin.kind == "instructions" else f"/{what}/{escaped(pin.name)[:120]}"
    return Thing(pin.kind, pin.name, pin.definition, pointer)


def _since_approval(pins: Sequence[Pin], kinds: Sequence[PinKind], now: Look) -> Iterator[CheckResult]:
    """Yield what differs from what was approved, of the lists that were approved and could be had now."""
    approved = {(pin.kind, pin.name) for pin in pins}
    wanted = [kind for kind in kinds if kind not in now.unread]
    again = "Compare the list with what was approved."
    for pin in pins:
        found = now.pins.get((pin.kind, pin.name))
        if pin.kind not in wanted:
            continue
        if found is None:
            evidence = {"approved_hash": pin.hash}
            yield _result(_thing(pin), "is gone since it was approved", "low", "approved", evidence, again)
        elif found.hash != pin.hash:
            changes = list(differences(pin.definition, found.definition))
            hashes = {"approved_hash": pin.hash, "hash": found.hash}
            yield _changed(_thing(found), "was approved as something else", "approved", changes, hashes, again)
    for place, served in now.pins.items():
        if place not in approved and served.kind in wanted:
            severity: Severity = "low" if served.kind in _COMING else "medium"
            yield _result(_thing(served), "was never approved", severity, "approved", {"hash": served.hash}, again)


def _moved(
    before: Look, after: Look, when: str, key: str, reproduce: str, *, announced: bool = False
) -> Iterator[CheckResult]:
    """Yield what differs between two looks; texts that tell the time or a place may differ in just that."""
    for place, pin in after.pins.items():
        old = before.pins.get(place)
        if pin.kind in before.unread:
            continue
        if old is None:
            mild = announced or key == "elsewhere" or pin.kind in _COMING
            yield _result(_thing(pin), f"appears {when}", "low" if mild else "medium", key, {}, reproduce)
        elif pin.hash != old.hash:
            changes = [one for one in differences(old.definition, pin.definition) if not volatile(one[1], one[2])]
            if changes:
                yield _changed(_thing(pin), f"is another {when}", key, changes, {}, reproduce)
    for place, pin in before.pins.items():
        if place not in after.pins and pin.kind == "tool" and not after.unread:
            yield _result(_thing(pin), f"is gone {when}", "low", key, {}, reproduce)


def _changed(
    thing: Thing, what: str, key: str, changes: Sequence[tuple[str, Any, Any]], evidence: Mapping[str, Any], reproduce: str
) -> CheckResult:
    texts = [str(after) for _, before, after in changes if isinstance(after, str) and after != before]
    orders = metadata.orders(texts[:20])
    shown = [{"pointer": at, "before": _short(before), "after": _short(after)} for at, before, after in changes[:10]]
    more = " The new text gives orders to a model." if orders >= metadata.LEAST else ""
    return _result(
        thing,
        f"{what}: {', '.join(at for at, _, _ in changes[:3]) or 'a value that is masked'}",
        "high",
        key,
        {**evidence, "changes": shown, "orders": orders},
        reproduce,
        more,
    )


def _result(
    thing: Thing, what: str, severity: Severity, key: str, evidence: Mapping[str, Any], reproduce: str, more: str = ""
) -> CheckResult:
    return CheckResult(
        "M05",
        "fail",
        f"The {thing.kind} {thing.name[:80]!r} {what}.{more}",
        tool=thing.tool,
        severity=severity,
        key=f"{key}:{thing.pointer}",
        evidence={"pointer": thing.pointer, **evidence},
        reproduce=reproduce,
        next_step="Look at the difference; approve it if it is meant, else stop the server and tell its author.",
    )


def _short(value: Any) -> Any:
    return (
        value[:600]
        if isinstance(value, str)
        else value
        if isinstance(value, int | float | bool | None)
        else canonical(value)[:600]
    )


def differences(before: Any, after: Any, at: str = "", depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
    """Yield pointer, before and after of every field that differs."""
    if isinstance(before, Mapping) and isinstance(after, Mapping) and depth < 40:
        for key in dict.fromkeys([*before, *after]):
            if key not in before or key not in after or before[key] != after[key]:
                yield from differences(before.get(key), after.get(key), f"{at}/{escaped(key)}", depth + 1)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after) and depth < 40:
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                yield from differences(one, other, f"{at}/{number}", depth + 1)
    elif before != after or type(before) is not type(after):
        yield at or "/", before, after


def volatile(before: Any, after: Any) -> bool:
    """Tell whether two texts differ in times, numbers, places of a clock and ids alone."""
    if not isinstance(before, str) or not isinstance(after, str):
        return False
    return re.sub(r"[\W_]+", " ", _VOLATILE.sub("#", before)).split() == re.sub(r"[\W_]+", " ", _VOLATILE.sub("#", after)).split()


def _within(context: TestContext, seconds: float) -> float:
    """Return how long to wait at most: what is left of the time, and a second."""
    return max(1.0, min(seconds, context.remaining_s()))


def _announces(session: TestSession) -> bool:
    tools = session.capabilities.get("tools")
    return isinstance(tools, Mapping) and tools.get("listChanged") is True


def _use(context: TestContext, session: TestSession, surface: Surface) -> int:
    """Call the tools in turn with input their schemas allow, without secrets and network; return how many answered."""
    most, done = _CALLS[context.profile], 0
    tools = surface.tools[:most]
    given: dict[str, dict[str, Any]] = {}
    silent: set[str] = set()
    for number in range(most if tools else 0):
        tool = tools[number % len(tools)]
        if tool.name in silent or context.remaining_s() < 5:
            continue
        if tool.name not in given:
            cases = context.inputs(tool.definition, valid=1, invalid=0) if isinstance(tool.definition, Mapping) else []
            given[tool.name] = dict(next((case.arguments for case in cases if case.valid), {}))
        try:
            session.call(tool.name, given[tool.name], deadline_s=_within(context, 3))
            done += 1
        except Failure:
            silent.add(tool.name)
    return done
