"""D13, one step further in: an outer thing is looked up for who asks; beside one of theirs they get an inner one of anybody."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult

from .identity import Seen, Thing, alike, asked_by, fitting, only, reads, told_apart
from .lab import Reply, short
from .learning import required
from .surfaces import Surface, least

Row = tuple[Any, Mapping[str, Any], Reply]  # who asks, what they send, what they get
MOST_ROWS, MOST_SHOWN = 4, 3


@dataclass(frozen=True)
class GivenAway:
    """A thing that somebody got beside a thing of their own."""

    getter: Surface
    name: str
    thing: Thing
    other: Any
    arguments: Mapping[str, Any]  # what they sent, but for who asks
    given: Reply


def given_away(
    seen: Seen, group: Sequence[Surface], slot: str, people: Sequence[Any], things: Sequence[Thing]
) -> Iterator[GivenAway]:
    """Yield inner things that are given to whoever names an outer thing of their own.

    The fact is a difference: the whole of what the owner names is refused to the other, and the inner thing alone is not.
    """
    first = slot.split("/")[1]
    getters = [(one, [name for name in required(one) if name != first and _names(one, name)]) for one in group if reads(one)]
    deep = [(getter, names) for getter, names in getters if 2 <= len(names) <= 3]
    if not deep:
        return
    known = [*things, *_shown(seen, [(one, names[0]) for one, names in getters if len(names) == 1], slot, people, things)]
    for getter, names in deep:
        rows = {one: row for one in people if (row := _row(seen, getter, names, slot, one, known)) is not None}
        for owner, other in itertools.permutations([one for one in people if one in rows], 2):
            found = _mixed(seen, getter, names, slot, (owner, *rows[owner]), (other, *rows[other]))
            if found is not None:
                yield found
                break


def _mixed(seen: Seen, getter: Surface, names: Sequence[str], slot: str, owner: Row, other: Row) -> GivenAway | None:
    """Ask as another with what is theirs, but for one thing of the owner's, the innermost first."""
    whole = seen(getter, asked_by(owner[1], slot, other[0]))
    if whole.ok and alike(owner[2].text, whole.text, owner[0], other[0]):
        return None  # nothing is looked up for who asks: that is told of the outer thing
    for name in reversed(names):
        mixed = {**other[1], name: owner[1][name]}
        if mixed in (other[1], owner[1]):
            continue
        given = seen(getter, asked_by(mixed, slot, other[0]))
        theirs = given.ok and alike(owner[2].text, given.text, owner[0], other[0])
        if theirs and given.text != other[2].text and told_apart(seen, getter, mixed, slot, name, other[0], given):
            return GivenAway(getter, name, Thing(owner[0], owner[1][name]), other[0], mixed, given)
    return None


def told(one: GivenAway, slot: str, check: str, fix: str) -> CheckResult:
    """Return the finding."""
    slot = slot[1:]
    value = str(one.thing.value)[:60]
    return CheckResult(
        check,
        "fail",
        f"{one.other} gets what belongs to {one.thing.owner} beside something of their own: {one.name} {value}.",
        tool=one.getter.name,
        severity="high",
        confidence="firm",
        key=f"{slot}:{one.name}",
        evidence={"owner": str(one.thing.owner), "other": str(one.other), "object": value, "answer": one.given.text[:400]},
        input={
            "method": "tools/call",
            "params": {"name": one.getter.name, "arguments": short({**one.arguments, slot: one.other})},
        },
        next_step=fix,
        reproduce=f"Send the request as {one.other}, and the owner's own one as {one.thing.owner}, and compare the answers.",
    )


def _names(getter: Surface, name: str) -> bool:
    """Tell whether an argument may be the number or name of a thing."""
    schema = getter.schema["properties"][name]
    return isinstance(schema, Mapping) and schema.get("type") in ("string", "integer", None) and "enum" not in schema


def _shown(
    seen: Seen, outer: Sequence[tuple[Surface, str]], slot: str, people: Sequence[Any], things: Sequence[Thing]
) -> Iterator[Thing]:
    """Yield what only the things of one identity show when they are looked at."""
    for getter, name in outer:
        texts: dict[Any, list[str]] = {one: [] for one in people}
        for thing in fitting(things, name, getter.schema["properties"][name], getter)[: MOST_SHOWN * len(people)]:
            reply = seen(getter, asked_by({**least(getter), name: thing.value}, slot, thing.owner))
            if reply.ok:
                texts[thing.owner].append(reply.text)
        yield from (Thing(owner, value, True) for owner, value in only({one: "\n".join(said) for one, said in texts.items()}))


def _row(
    seen: Seen, getter: Surface, names: Sequence[str], slot: str, one: Any, known: Sequence[Thing]
) -> tuple[dict[str, Any], Reply] | None:
    """Return arguments with which an identity gets something of its own, and what it gets."""
    mine = [thing for thing in known if thing.owner == one]
    choices = [[thing.value for thing in fitting(mine, name, getter.schema["properties"][name], getter)][:3] for name in names]
    for row in itertools.islice(itertools.product(*choices), 3 * MOST_ROWS):
        arguments = {**least(getter), **dict(zip(names, row, strict=True))}
        reply = seen(getter, asked_by(arguments, slot, one))
        if reply.ok and len(set(map(str, row))) == len(row):
            return arguments, reply
    return None
