"""A server that is used as it should be: started, listed, called with valid and with wrong values, the same call many times.

What it reaches, writes, starts and says meanwhile is kept for the checks that look at it (D07 to D10, D12)."""

from __future__ import annotations

import contextlib
import copy
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import Failure, Frame, SinkEvent, Unavailable

from . import leaks
from .lab import MOST_MET, Lab, Reply, Spent, Stand, listings
from .learning import ends, required
from .surfaces import Point, Surface, place, points, surfaces

SETTLE_S = 0.03
HARD_S = 10.0
END_S = 0.6
AMISS = 6  # times that a call goes wrong in the same way
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]{1,30}(?:_[A-Z0-9]{2,30}){1,4}\b")
LEAST = 3  # calls of one kind, also where time is short
WRONG: tuple[Any, ...] = ({"probe": [1]}, -1, "%s%n{0}\u0000'\"", "x" * 5000)


@dataclass
class Used:
    """What was seen of one surface in plain use."""

    surface: Surface
    arguments: Mapping[str, Any]
    replies: list[Reply] = field(default_factory=list)  # to the same valid arguments, in order
    others: list[tuple[Mapping[str, Any], Reply]] = field(default_factory=list)
    events: list[SinkEvent] = field(default_factory=list)
    series: list[tuple[Mapping[str, Any], list[Reply]]] = field(default_factory=list)  # wrong calls, each several times


@dataclass
class Plain:
    """What was seen of a server in plain use."""

    stand: Stand
    lists: dict[str, list[Any]]
    at_start: list[SinkEvent]
    at_list: list[SinkEvent]
    processes: list[str]
    used: list[Used] = field(default_factory=list)
    read: list[tuple[str, str]] = field(default_factory=list)  # resources: URI and text
    late: list[SinkEvent] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)
    changed_at_start: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    frames: list[Frame] = field(default_factory=list)  # messages that nobody asked for
    at_end: list[SinkEvent] = field(default_factory=list)
    changed_at_end: set[str] = field(default_factory=set)
    complete: bool = True

    @property
    def surfaces(self) -> list[Surface]:
        return surfaces(self.lists)


def observe(lab: Lab, seconds: float) -> Plain:
    """Start the server with a writable root file system and use it. Raises what ``fresh`` raises."""
    before = _last(lab.events())
    stand = _opened(lab)
    started = lab.events(before)
    lists = listings(stand.session)
    listed = lab.events(_last(started) or before)
    plain = Plain(stand, lists, started, listed, _processes(stand), changed_at_start=stand.changed())
    until = time.monotonic() + seconds
    last = until + HARD_S  # a busy machine gets more time for the least that every tool must have seen
    lab.until = max(lab.until, last + 1)
    seen = _last(listed) or _last(started) or before
    lab.learning = True
    try:
        everything = plain.surfaces
        by_title = {surface.title: Used(surface, {}) for surface in everything}
        seen = _meet(lab, stand, list(by_title.values()), seen, time.monotonic() + max(seconds / 2, 1.0))
        for at, used in enumerate(by_title.values()):
            share = max((until - time.monotonic()) / (len(everything) - at), 0.02)
            plain.used.append(used)
            _use(lab, stand, used, time.monotonic() + share)
            seen = _heard(lab, seen, used.events)
            if time.monotonic() > last:
                plain.complete = at + 1 == len(everything)
                break
        _read_resources(lab, stand, lists.get("resources", []), plain)
        seen = _once_more(lab, stand, plain.used, seen)
    except Spent:
        plain.complete = False
    except (Unavailable, Failure):
        plain.complete = False
    finally:
        lab.learning = False
    lab.said += " ".join([stand.session.instructions, *(reply.plain[:4000] for used in plain.used for reply in used.replies[:1]),
                          *(reply.plain[:1000] for used in plain.used for _, reply in used.others)])
    time.sleep(0.2 if lab.quick else 1.0)
    plain.late = lab.events(seen)
    plain.left_running = _new(plain.processes, _processes(stand))
    plain.changed = stand.changed()
    plain.frames = [frame for frame in stand.session.frames() if frame.direction == "received" and leaks.unasked(frame.message)]
    said = f"{stand.beside()} {lab.said} {[surface.definition for surface in plain.surfaces]}"
    lab.wanted = tuple(name for name in dict.fromkeys(VARIABLE.findall(said[:200_000])) if leaks.NAMED.search(name))[:8]
    _dismiss(lab, stand, plain, _last(plain.late) or seen)
    return plain


def _dismiss(lab: Lab, stand: Stand, plain: Plain, seen: int) -> None:
    """Let the server go as a client does that leaves, and note what it does at its end."""
    with contextlib.suppress(Failure):
        stand.session.close_stdin()
        until = time.monotonic() + END_S
        while time.monotonic() < until and stand.session.inspect().running:
            time.sleep(0.05)
        plain.at_end = lab.events(seen)
        plain.changed_at_end = stand.changed() - plain.changed


def _meet(lab: Lab, stand: Stand, everything: Sequence[Used], seen: int, until: float) -> int:
    """Use each surface until it answers, twice over: what lists and makes things comes first, and others want what it shows."""
    order = sorted(everything, key=lambda used: (ends(used.surface), len(required(used.surface))))
    for most in (2, MOST_MET):
        for used in order:
            if used.surface.title in lab.worked or time.monotonic() > until:
                continue
            at = len(stand.asked)
            lab.meet(stand, used.surface, most)
            used.others += [(one.arguments, one.reply) for one in stand.asked[at:]]
            seen = _heard(lab, seen, used.events)
    return seen


def _choices(used: Used) -> Iterator[dict[str, Any]]:
    """Yield the arguments that work with every other choice there is, and with what may be left out."""
    properties = used.surface.schema.get("properties")
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        schema = schema if isinstance(schema, Mapping) else {}
        listed = schema.get("enum")
        choices = listed[:6] if isinstance(listed, list) else [True, False] if schema.get("type") == "boolean" else []
        yield from ({**used.arguments, name: choice} for choice in choices if used.arguments.get(name) != choice)
    yield from (dict(base) for point in points(used.surface)[:1] for base in point.bases[1:2])


def _unknown(used: Used, fields: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Yield arguments of the right form that name things which are not there: other digits, or another word."""
    arguments = copy.deepcopy(dict(used.arguments))
    for point in fields:
        if point.kind != "text" or "enum" in point.schema or "const" in point.schema:
            continue
        at: Any = arguments
        for step in point.pointer.split("/")[1:]:
            inside = isinstance(at, list) and step.isdigit() and int(step) < len(at)
            at = at.get(step) if isinstance(at, Mapping) else at[int(step)] if inside else None
        if isinstance(at, str):
            other = re.sub(r"\d", lambda one: str((int(one[0]) + 7) % 10), at)
            place(arguments, point.pointer, other if other != at or "pattern" in point.schema else f"{at}zz")
    if arguments != used.arguments:
        yield arguments


def _once_more(lab: Lab, stand: Stand, everything: Sequence[Used], seen: int) -> int:
    """Use everything once more, when all else was used: what one call counts may show in the answer of another."""
    for used in sorted(everything, key=lambda one: not one.events):  # of those that were heard before it is known what is theirs
        if used.replies and used.replies[0].ms < 300 and not lab.tired_of(used.surface):
            used.replies.append(stand.ask(used.surface, used.arguments))
            seen = _heard(lab, seen, used.events) if used.events else seen
    return seen


def _opened(lab: Lab) -> Stand:
    """Open the container for plain use, with files for thieves where they can be had."""
    try:
        return lab.stand("plain", read_only_root=False, planted=lab.bait() or None)
    except Failure:
        lab.kept = {}
        return lab.stand("plain", read_only_root=False)


def _use(lab: Lab, stand: Stand, used: Used, until: float) -> None:
    """Call one surface: valid values, the same ones again and again, wrong ones; ``until`` bounds what goes beyond the least."""
    surface = used.surface
    fields = points(surface)
    own = [dict(base) for base in (fields[0].bases[:2] if fields else [{}])]
    known = lab.cases(surface)
    valid = [*known[:1], *own, *known[1:]]
    used.arguments = next((one for one in valid), {})
    for at, arguments in enumerate(valid[:3 if lab.quick else 8]):  # the first that works is the one that is repeated
        reply = stand.ask(surface, arguments)
        if reply.ok and not used.replies:
            used.arguments = arguments
            used.replies.append(reply)
        else:
            used.others.append((arguments, reply))
        if (used.replies and at and time.monotonic() > until) or lab.tired_of(surface):
            break
    for at, arguments in enumerate(list(_choices(used))[:8 if lab.quick else 24] if used.replies else ()):
        if (at > LEAST and time.monotonic() > until) or lab.tired_of(surface):
            break
        used.others.append((arguments, stand.ask(surface, arguments)))
    wrong = [point.arguments(value) for value in (WRONG[:2] if lab.quick else WRONG) for point in fields[:3 if lab.quick else 8]]
    for at, arguments in enumerate([{}, *wrong]):
        if (at > LEAST and time.monotonic() > until) or lab.tired_of(surface):
            break
        used.others.append((arguments, stand.ask(surface, arguments)))
    slow = used.replies and used.replies[0].ms > 300
    for arguments in list(_unknown(used, fields))[:1 if lab.quick else 2]:
        if lab.tired_of(surface) or slow or time.monotonic() > until + 1:
            break
        used.series.append((arguments, [stand.ask(surface, arguments) for _ in range(AMISS)]))
    repeat = 3 if slow else 30 if lab.quick else 60
    while used.replies and len(used.replies) < repeat and not lab.tired_of(surface):
        if time.monotonic() > until and len(used.replies) >= (LEAST if slow else 2 * LEAST + 4):
            break
        used.replies.append(stand.ask(surface, used.arguments))


def _heard(lab: Lab, seen: int, into: list[SinkEvent]) -> int:
    """Note what came to the sinkhole since event ``seen``; return the last one's number."""
    if lab.sink.wait(lambda event: event.at > seen, deadline_s=SETTLE_S) is None:
        return seen
    into += lab.sink.events(seen)
    return _last(into) or seen


def _read_resources(lab: Lab, stand: Stand, resources: Sequence[Any], plain: Plain) -> None:
    for resource in resources[: 10 if lab.quick else 40]:
        uri = resource.get("uri") if isinstance(resource, Mapping) else None
        if not isinstance(uri, str):
            continue
        surface = Surface("template", uri, {"uriTemplate": uri.replace("{", "%7B"), "name": uri}, {})
        reply = stand.ask(surface, {})
        if reply.ok:
            plain.read.append((uri, reply.plain))


def _processes(stand: Stand) -> list[str]:
    with contextlib.suppress(Failure):
        return stand.session.processes()
    return []


def _new(before: Sequence[str], after: Sequence[str]) -> list[str]:
    left = list(before)
    found = []
    for line in after:
        if line in left:
            left.remove(line)
        else:
            found.append(line)
    return found


def _last(events: Sequence[SinkEvent]) -> int:
    return events[-1].at if events else 0
