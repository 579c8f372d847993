"""D13 where who asks is an argument: the server's own lists and answers tell what belongs to whom, and nobody has to be given.

Who may ask is taken from what the server names, lists or hands out at a sign-in. What belongs to one is what only their list
has, what is listed under their name, or what was made for them. A tool that takes both is used as somebody else: what comes
must not be what its owner gets, and the owner's list must not change.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult

from . import inner, marks
from .identity import Ask, Seen, Thing, alike, asked_by, fitting, only, pairs, reads, rows, told_apart, values
from .lab import Reply, short
from .learning import ids, required, words
from .surfaces import Surface, least, place, points

_WHO = frozenset(
    "user resident member patron patient customer client account owner tenant caller actor person employee student guest "
    "holder login identity subject reader borrower driver player pupil citizen passenger subscriber staff requester me self "
    "author buyer seller viewer participant worker agent visitor donor volunteer clerk nurse doctor teacher parent household "
    "company organisation organization org team workspace by operator applicant sender recipient username email principal".split()
)
_PROOF = frozenset("token session ticket login auth credential credentials apikey pin password passcode".split())
_OWN = re.compile(r"\b(?:own|owners?|only|mine|my|your|belong\w*|private|personal|themsel\w+|(?:may|allowed to|can) see)\b|'s\b")
_OBJECT = re.compile(r"(?:^|_)(?:id|number|no|key|ref|reference|code|name|slug|uuid)$")
_SHARED = frozenset(  # who works for others, or is no person: what one of them has is often for all
    "agent operator clerk staff worker nurse doctor teacher employee actor by author company organisation organization org team "
    "workspace household parent participant account tenant".split()
)
MOST_IDENTITIES, MOST_OBJECTS = 3, 3


@dataclass(frozen=True)
class Compared:
    """How many objects of others were asked for, and what was given away."""

    asked: int
    found: tuple[CheckResult, ...]


def compare(
    surfaces: Sequence[Surface], ask: Ask, check: str, fix: str, worked: Mapping[str, Mapping[str, Any]] | None = None
) -> Compared:
    """Ask as one identity for what belongs to another, wherever a server names two."""
    tools = [one for one in surfaces if one.kind == "tool"]
    seen, worked = Seen(ask), worked or {}
    asked, found, told = 0, [], set()
    groups: dict[str, list[Surface]] = {}
    for tool in tools:
        slot = who(tool)
        if slot:
            groups.setdefault(slot, []).append(tool)
    for slot, group in groups.items():
        people = identities(seen, tools, group, slot)[:MOST_IDENTITIES]
        if len(people) < 2:
            continue
        lists = _lists(seen, group, slot, people)
        things = [*_listed_for(lists, group), *_listed_under(seen, tools, people), *_made_for(seen, group, slot, people, worked)]
        refused: set[tuple[str, str, str]] = set()
        late: list[tuple[Surface, str, Thing, Any, Reply, Reply]] = []
        for getter in sorted(group, key=lambda one: not reads(one)):
            for name in (one for one in required(getter) if one != slot.split("/")[1]):
                schema = getter.schema["properties"][name]
                if not isinstance(schema, Mapping) or schema.get("type") not in ("string", "integer", "number", None):
                    continue
                for thing, other in itertools.product(fitting(things, name, schema, getter)[:2 * MOST_OBJECTS], people):
                    if other == thing.owner or (getter.name, name) in told:
                        continue
                    arguments = {**worked.get(getter.title, least(getter)), name: thing.value}
                    if reads(getter):
                        given, own = (seen(getter, asked_by(arguments, slot, one)) for one in (other, thing.owner))
                        asked += own.ok
                        if own.ok and not given.ok:
                            refused.add((str(thing.value), str(thing.owner), str(other)))
                        if own.ok and given.ok and alike(own.text, given.text, thing.owner, other) and told_apart(
                            seen, getter, arguments, slot, name, other, given
                        ):
                            if _private(getter, slot, thing, given):
                                told.add((getter.name, name))
                                found.append(_told(getter, slot, name, thing, other, given, check, fix))
                            else:
                                late.append((getter, name, thing, other, own, given))
                    elif _deed(getter, slot):
                        before = _state(seen, lists, slot, thing)
                        given = seen(getter, asked_by(arguments, slot, other)) if before else Reply("", "gone")
                        asked += bool(before)
                        if given.ok and before and _state(seen, lists, slot, thing) != before:
                            told.add((getter.name, name))
                            found.append(_told(getter, slot, name, thing, other, given, check, fix, changed=True))
        for getter, name, thing, other, _, given in late:  # another tool refuses the same to the same one
            if (getter.name, name) not in told and (str(thing.value), str(thing.owner), str(other)) in refused:
                told.add((getter.name, name))
                found.append(_told(getter, slot, name, thing, other, given, check, fix))
        for one in inner.given_away(seen, group, slot, people, things):
            if (one.getter.name, one.name) not in told and _private(one.getter, slot, one.thing, one.given):
                told.add((one.getter.name, one.name))
                found.append(inner.told(one, slot, check, fix))
    return Compared(asked, tuple(found))


def worth(surfaces: Sequence[Surface]) -> bool:
    """Tell whether there is anything to compare: a tool that takes who asks and something else."""
    return any(who(one) and len(required(one)) > 1 for one in surfaces if one.kind == "tool")


def who(surface: Surface) -> str:
    """Return the pointer of the argument that says who asks, the surest; empty where there is none."""
    found: list[tuple[int, str]] = []
    for name in required(surface):
        schema = surface.schema["properties"][name]
        inner = schema.get("properties") if isinstance(schema, Mapping) else None
        inside = [(f"/{name}/{one}", one) for one in inner] if isinstance(inner, Mapping) else []
        for pointer, last in inside or [(f"/{name}", name)]:
            parts = set(words(last))
            rank = 0 if parts & _PROOF else 1 if parts & _WHO else 2
            if rank < 2:
                found.append((rank, pointer))
    return min(found, key=lambda row: row[0])[1] if found else ""


def identities(seen: Seen, tools: Sequence[Surface], group: Sequence[Surface], slot: str) -> list[Any]:
    """Return who may ask: whom the schemas name, whom answers name, and what a sign-in hands out."""
    last = slot.rpartition("/")[2]
    if set(words(last)) & _PROOF:
        return _signed_in(seen, tools, last) or [one for tool in group for one in values(tool, slot)]
    named = [one for tool in group for one in values(tool, slot)]
    for tool in tools:
        if not required(tool) and reads(tool):
            for key, value in pairs(seen(tool, least(tool)).text):
                if words(key) == words(last) or set(words(key)) & (_WHO - {"by", "email"}):
                    named.append(value)
    made = [] if named else [f"{name}-{marks.token(4)}" for name in ("ana", "ben")]
    return [one for one in dict.fromkeys([*named, *made]) if isinstance(one, str | int) and not isinstance(one, bool)]


def _signed_in(seen: Seen, tools: Sequence[Surface], called: str) -> list[Any]:
    """Return what a tool hands out under the name of the argument, for each of those its schema names."""
    found: list[Any] = []
    for tool in tools:
        needed = required(tool)
        if not needed or called in needed:
            continue
        rows = [values(tool, f"/{name}") for name in needed]
        if not all(rows) or max(map(len, rows)) < 2:
            continue
        paired = list(zip(*rows, strict=False)) if len({len(row) for row in rows}) == 1 else list(itertools.product(*rows))
        for row in [*paired, *itertools.product(*rows)][:8]:
            reply = seen(tool, dict(zip(needed, row, strict=True)))
            handed = [value for key, value in pairs(reply.text) if set(words(key)) & set(words(called))]
            texts = [one for one in re.findall(r"[\w.~+/=-]{6,}", reply.text) if re.search(r"\d", one)]
            texts = [one for one in texts if one not in map(str, row)]
            found += (handed or texts)[:1] if reply.ok else []
    return list(dict.fromkeys(found))


def _lists(seen: Seen, group: Sequence[Surface], slot: str, people: Sequence[Any]) -> dict[str, tuple[Surface, dict[Any, str]]]:
    """Return what each identity is shown by the tools that want to know nothing else."""
    found: dict[str, tuple[Surface, dict[Any, str]]] = {}
    for tool in group:
        if len(required(tool)) == 1 and reads(tool):
            answers = {one: seen(tool, asked_by({}, slot, one)) for one in people}
            found[tool.name] = (tool, {one: reply.text for one, reply in answers.items() if reply.ok})
    return found


def _listed_for(lists: Mapping[str, tuple[Surface, Mapping[Any, str]]], group: Sequence[Surface]) -> Iterator[Thing]:
    """Yield what stands in one identity's list alone."""
    for lister, texts in lists.values():
        private = bool(_OWN.search(f"{' '.join(words(lister.name))} {lister.definition.get('description', '')}".lower()))
        yield from (Thing(owner, one, True, private) for owner, one in only(texts))


def _listed_under(seen: Seen, tools: Sequence[Surface], people: Sequence[Any]) -> Iterator[Thing]:
    """Yield what a list of everything says to be somebody's."""
    for tool in tools:
        if required(tool) or not reads(tool):
            continue
        for row in rows(seen(tool, least(tool)).text):
            owner = next((value for key, value in row.items() if value in people and set(words(key)) & _WHO), None)
            mine = [value for key, value in row.items() if value != owner and isinstance(value, str | int)]
            yield from (Thing(owner, one) for one in (mine[:4] if owner is not None else ()))


def _made_for(
    seen: Seen, group: Sequence[Surface], slot: str, people: Sequence[Any], worked: Mapping[str, Mapping[str, Any]]
) -> Iterator[Thing]:
    """Yield what was made for an identity: numbers that a tool gives out which takes who asks and a text of one's own."""
    for tool in group:
        hints = tool.definition.get("annotations")
        if len(required(tool)) < 2 or (isinstance(hints, Mapping) and hints.get("readOnlyHint")):
            continue
        for owner in people[:2]:
            arguments = {**least(tool), **worked.get(tool.title, {})}
            for point in points(tool):
                bound = any(key in point.schema for key in ("enum", "pattern", "format"))
                if point.kind == "text" and point.pointer != slot and not bound:
                    place(arguments, point.pointer, f"kept {marks.token(6)}")
            reply = seen(tool, asked_by(arguments, slot, owner))
            given = [*(value for _, value in pairs(reply.text)), *ids(reply.text)]
            new = [one for one in dict.fromkeys(given) if str(one) not in json.dumps(arguments) and str(one) != str(owner)]
            yield from (Thing(owner, one) for one in (new[:2] if reply.ok else ()))


def _state(seen: Seen, lists: Mapping[str, tuple[Surface, Mapping[Any, str]]], slot: str, thing: Thing) -> str:
    """Return what its owner's list says now; nothing where the thing is not in it, or the list is never the same."""
    for lister, _ in lists.values():
        one, two = (seen(lister, asked_by({}, slot, thing.owner)) for _ in range(2))
        if one.ok and one.text == two.text:
            return one.text
    return ""


def _deed(getter: Surface, slot: str) -> bool:
    """Tell whether a tool does something to a thing in the name of who asks, and not to who is named."""
    named = words(getter.name)
    who_ = set(words(slot.rpartition("/")[2]))
    return bool(_THEIRS.intersection(named[:1])) and not who_ & set(named) and not who_ & _SHARED


def _private(getter: Surface, slot: str, thing: Thing, given: Reply) -> bool:
    """Tell whether what was given is the owner's: it names them, the tool says so, or their list does."""
    told = f"{' '.join(words(getter.name))} {getter.definition.get('description', '')}".lower()
    shared = set(words(slot.rpartition("/")[2])) & _SHARED
    return (str(thing.owner) in given.text and not shared) or bool(_OWN.search(told)) or (thing.listed and thing.private)


_THEIRS = frozenset(  # deeds that nobody does to what is another's, whoever is named
    "cancel delete remove update change edit rename close revoke archive withdraw reschedule renew extend modify complete "
    "mark".split()
)


def _told(
    getter: Surface, slot: str, name: str, thing: Thing, other: Any, given: Reply, check: str, fix: str, *, changed: bool = False
) -> CheckResult:
    who_ = slot[1:]
    deed = "changes" if changed else "gets"
    return CheckResult(
        check,
        "fail",
        f"{other} {deed} what belongs to {thing.owner}: {name} {str(thing.value)[:60]}"
        f"{f', and the list of {thing.owner} is another one afterwards' if changed else ''}.",
        tool=getter.name,
        severity="high",
        confidence="firm",
        key=f"{who_}:{name}",
        evidence={"owner": str(thing.owner), "other": str(other), "object": str(thing.value), "answer": given.text[:400]},
        input={"method": "tools/call", "params": {"name": getter.name, "arguments": short({who_: other, name: thing.value})}},
        next_step=fix,
        reproduce=f"Send the request once with {who_} = {thing.owner} and once with {who_} = {other}, and compare the answers.",
    )
