"""A server that is used as it should be: started, listed, called with valid and with wrong values, the same call many times.

What it reaches, writes, starts and says meanwhile is kept for the checks that look at it (D07 to D10, D12)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import Failure, SinkEvent, Unavailable

from .lab import Lab, Reply, Spent, Stand, listings
from .surfaces import Surface, points, surfaces

SETTLE_S = 0.03
HARD_S = 10.0
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
    complete: bool = True

    @property
    def surfaces(self) -> list[Surface]:
        return surfaces(self.lists)


def observe(lab: Lab, seconds: float) -> Plain:
    """Start the server with a writable root file system and use it. Raises what ``fresh`` raises."""
    before = _last(lab.events())
    stand = lab.stand("plain", read_only_root=False)
    started = lab.events(before)
    lists = listings(stand.session)
    listed = lab.events(_last(started) or before)
    plain = Plain(stand, lists, started, listed, _processes(stand), changed_at_start=stand.changed())
    until = time.monotonic() + seconds
    last = until + HARD_S  # a busy machine gets more time for the least that every tool must have seen
    lab.until = max(lab.until, last + 1)
    seen = _last(listed) or _last(started) or before
    try:
        everything = plain.surfaces
        for at, surface in enumerate(everything):
            share = max((until - time.monotonic()) / (len(everything) - at), 0.02)
            used = Used(surface, {})
            plain.used.append(used)
            _use(lab, stand, used, time.monotonic() + share)
            seen = _heard(lab, seen, used.events)
            if time.monotonic() > last:
                plain.complete = at + 1 == len(everything)
                break
        _read_resources(lab, stand, lists.get("resources", []), plain)
    except Spent:
        plain.complete = False
    except (Unavailable, Failure):
        plain.complete = False
    lab.said += " ".join([stand.session.instructions, *(reply.plain[:4000] for used in plain.used for reply in used.replies[:1]),
                          *(reply.plain[:1000] for used in plain.used for _, reply in used.others)])
    time.sleep(0.2 if lab.quick else 1.0)
    plain.late = lab.events(seen)
    plain.left_running = _new(plain.processes, _processes(stand))
    plain.changed = stand.changed()
    return plain


def _use(lab: Lab, stand: Stand, used: Used, until: float) -> None:
    """Call one surface: valid values, the same ones again and again, wrong ones; ``until`` bounds what goes beyond the least."""
    surface = used.surface
    fields = points(surface)
    own = [dict(base) for base in (fields[0].bases[:2] if fields else [{}])]
    valid = [*own, *lab.cases(surface)]
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
    wrong = [point.arguments(value) for value in (WRONG[:2] if lab.quick else WRONG) for point in fields[:3 if lab.quick else 8]]
    for at, arguments in enumerate([{}, *wrong]):
        if (at > LEAST and time.monotonic() > until) or lab.tired_of(surface):
            break
        used.others.append((arguments, stand.ask(surface, arguments)))
    slow = used.replies and used.replies[0].ms > 300
    repeat = 3 if slow else 12 if lab.quick else 60
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
