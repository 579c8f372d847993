"""M05: is what is served what was approved, and does it stay so: over lists, calls, containers, lives, other clocks and places?"""

# ruff: noqa: E501 - a sentence or a pattern is read as a whole
from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcpweb.plugin import CheckResult, Failure, Frame, Pin, PinKind, Severity, TestContext, TestSession, canonical

from . import later, metadata
from .strings import Thing, escaped
from .surface import LISTS, Surface, look, settled

CHECKS = ("M05",)
ELSEWHERE = {"TZ": "Pacific/Kiritimati", "CI": "true"}  # fourteen hours ahead, and a place that looks like a test
_COMING = ("resource", "template")  # such come and go with what the server works on
_CALLS = {"quick": (12, 40, 1.5), "full": (30, 400, 15.0)}  # at least, at most, and for how many seconds beyond the least
_ROUNDS = (1, 3, 10, 40, 160)  # calls of each tool after which is listed again
_KNOWN = 400  # values seen in answers that calls are made of
_VOLATILE = re.compile(
    r"\b(?=[a-f]*\d)[0-9a-f]{6,64}\b|\d+|\b(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)/[A-Za-z_/+-]+\b|\b(?:UTC|GMT|[A-Z]{3,4}T)\b"
    r"|\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|satur|sat|sun)(?:day)?\b|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b"
    r"|\b[0-9a-f]{8,64}\b|\b(?:am|pm)\b|\b(?:morning|afternoon|evening|night|today|tomorrow)\b",
    re.IGNORECASE,
)
_VALUES = re.compile(r"/(?:enum|const|examples|default|(?:exclusive)?(?:min|max)\w*)(?:/\d+)?$", re.IGNORECASE)  # such follow what there is to choose from
_TO = re.compile(
    r"(?<=://)[^\s/'\"<>)]+|[\w.+-]+@[\w.-]+\w|\b(?:\d{1,3}\.){3}\d{1,3}\b|\b0x[0-9a-fA-F]{40}\b|\b[A-Z]{2}\d{2}(?: ?[0-9A-Z]{4}){3,7}(?: ?[0-9A-Z]{1,3})?\b"
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
    frames: Sequence[Frame] = session.frames()
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
            listens = _announces(second)
            for calls, seen in _used(context, second, there):
                found += _moved(
                    other, seen, f"after {calls} calls", "used", f"List, call the tools {calls} times, list again.", announced=listens
                )
            frames = second.frames()
    except Failure as failure:
        missed = failure.sentence
    if not any(one.severity == "high" for one in found):
        with contextlib.suppress(Failure):  # a second life is more than can be asked of some
            found += _second_life(context, first, frames)
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
        "M05", unique.values(), f"The server serves {approved}, also after {calls} calls, in a second container and in a second life.", **evidence
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
    """Yield what differs between two looks; texts that tell the time or a place may differ in just that.

    What comes as a server is used is one finding, however much comes.
    """
    coming: dict[PinKind, list[Pin]] = {}
    for place, pin in after.pins.items():
        old = before.pins.get(place)
        if pin.kind in before.unread:
            continue
        if old is None and pin.kind in _COMING:
            if not announced:
                coming.setdefault(pin.kind, []).append(pin)
        elif old is None:
            mild = announced or key in ("elsewhere", "later")
            yield _result(_thing(pin), f"appears {when}", "low" if mild else "medium", key, {}, reproduce)
        elif pin.hash != old.hash:
            changes = [one for one in differences(old.definition, pin.definition) if not volatile(one[1], one[2])]
            if changes:
                yield _changed(_thing(pin), f"is another {when}", key, changes, {}, reproduce)
    for pins in coming.values():
        evidence = {"names": [pin.name[:200] for pin in pins[:20]], "count": len(pins)}
        result = _result(_thing(pins[0]), f"appears {when}", "low", key, evidence, reproduce)
        yield replace(result, key=f"{key}:{pins[0].kind}")
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
    values = bool(changes) and key != "approved" and not more and all(_VALUES.search(at) for at, _, _ in changes)
    return _result(
        thing,
        f"{what}: {', '.join(at for at, _, _ in changes[:3]) or 'a value that is masked'}",
        "medium" if values else "high",
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
    """Tell whether two texts differ in times, numbers, places of a clock and ids alone; an address or an account is none of these."""
    if not isinstance(before, str) or not isinstance(after, str) or _TO.findall(before) != _TO.findall(after):
        return False
    return re.sub(r"[\W_]+", " ", _VOLATILE.sub("#", before)).split() == re.sub(r"[\W_]+", " ", _VOLATILE.sub("#", after)).split()


def _within(context: TestContext, seconds: float) -> float:
    """Return how long to wait at most: what is left of the time, and a second."""
    return max(1.0, min(seconds, context.remaining_s()))


def _announces(session: TestSession) -> bool:
    tools = session.capabilities.get("tools")
    return isinstance(tools, Mapping) and tools.get("listChanged") is True


def _used(context: TestContext, session: TestSession, surface: Surface) -> Iterator[tuple[int, Look]]:
    """Call the tools in turn, without secrets and network, and yield how many calls answered and what is listed then.

    Arguments are what the schemas allow, from the second round on with values that came back before.
    """
    least, most, seconds = _CALLS[context.profile]
    tools = [tool for tool in surface.tools[:most] if isinstance(tool.definition, Mapping)]
    until, done, sent, rounds = time.monotonic() + seconds, 0, 0, 0
    known: dict[str, list[Any]] = {}
    silent: set[str] = set()
    given: dict[str, list[dict[str, Any]]] = {}
    while len(silent) < len(tools) and sent < most and (sent < least or time.monotonic() < until) and context.remaining_s() > 5:
        rounds += 1
        for tool in tools:
            if tool.name in silent or sent >= most:
                continue
            if not given.get(tool.name) or rounds in (2, 4):
                cases = context.inputs(tool.definition, valid=3, invalid=0, known=known)
                given[tool.name] = [case.arguments for case in cases if case.valid] or [{}]
            sent += 1
            try:
                answer = session.call(tool.name, given[tool.name].pop(0), deadline_s=_within(context, 3))
                done += 1
                _learn(answer, known)
            except Failure:
                silent.add(tool.name)
        if rounds in _ROUNDS:
            yield done, _taken(context, look(session))
    if done:
        yield done, _taken(context, look(session))
        yield done, _taken(context, look(session))


def _learn(answer: Any, known: dict[str, list[Any]]) -> None:
    """Keep the values of an answer by the names they have."""
    stack, left = [answer], 200
    while stack and left:
        left -= 1
        here = stack.pop()
        if isinstance(here, str) and here[:1] in "{[":
            with contextlib.suppress(ValueError, RecursionError):
                stack.append(json.loads(here[:20_000]))
        elif isinstance(here, list):
            stack += here[:20]
        elif isinstance(here, Mapping):
            for name, one in list(here.items())[:40]:
                if isinstance(one, Mapping | list) or (name == "text" and isinstance(one, str)):
                    stack.append(one)
                elif sum(map(len, known.values())) < _KNOWN and one not in known.setdefault(str(name), []):
                    known[str(name)].append(one)


def _second_life(context: TestContext, first: Look, frames: Sequence[Frame]) -> Iterator[CheckResult]:
    """Yield what is another where the server ran and was used before, while its clock goes through years."""
    changes = later.changes(context.config, context.image, frames)
    with contextlib.closing(context.fresh(canaries=True, deadline_s=_within(context, 15), **changes)) as session:
        until = time.monotonic() + later.STEP_S * (later.STEPS + 1)
        while True:
            last = time.monotonic() >= until or context.remaining_s() < 5
            yield from _moved(
                first, _taken(context, look(session)), "in a container where it ran before, under a clock that runs ahead", "later",
                "Start the server, use it, end it, and start it again in the same container with its clock set ahead; compare the lists.",
            )
            if last:
                return
            time.sleep(1.5 * later.STEP_S)
