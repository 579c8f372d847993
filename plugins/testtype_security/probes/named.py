"""D13 where who asks is an argument: the server's own lists tell what belongs to whom, and nobody has to be given.

A tool lists what an identity has, another shows one of these for an identity. What only the list of one has, and what names its
owner or is said to be shown to its owner alone, must not be shown to another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.plugin import CheckResult

from .lab import Reply, short
from .surfaces import Surface

Ask = Callable[[Surface, Mapping[str, Any]], Reply]
_WHO = frozenset(
    "user resident member patient customer client account owner tenant caller actor person employee student guest holder login "
    "identity subject reader borrower tenant driver player pupil citizen passenger subscriber staff requester me self".split()
)
_OWN = re.compile(r"\b(?:own|only|mine|my|belong\w*|private|personal|themsel\w+)\b|'s\b")
_ID = re.compile(r"[A-Za-z0-9][\w.:-]*\d[\w.:-]*|\d+")
MOST_IDENTITIES, MOST_OBJECTS = 3, 3


@dataclass(frozen=True)
class Compared:
    """How many objects of others were asked for, and what was given away."""

    asked: int
    found: tuple[CheckResult, ...]


def compare(surfaces: Sequence[Surface], ask: Ask, check: str, fix: str) -> Compared:
    """Ask as one identity for what belongs to another, wherever a server's own examples name two."""
    asked, found = 0, []
    lists: dict[tuple[str, str], dict[Any, str]] = {}
    for lister, getter, who, thing in pairs(surfaces):
        key = (lister.name, who)
        if key not in lists:
            answers = {one: ask(lister, {who: one}) for one in _values(lister, who)[:MOST_IDENTITIES]}
            lists[key] = {one: reply.text for one, reply in answers.items() if reply.ok}
        for owner, other, value in _foreign(lists[key], _values(getter, thing), getter.schema["properties"][thing]):
            own, given = (ask(getter, {who: one, thing: value}) for one in (owner, other))
            asked += own.ok
            if own.ok and given.ok and _given_away(getter, own.text, given.text, owner, other):
                found.append(_told(getter, who, thing, value, (owner, other), given.text, check, fix))
                break
    return Compared(asked, tuple(found))


def pairs(surfaces: Sequence[Surface]) -> Iterator[tuple[Surface, Surface, str, str]]:
    """Yield each tool that lists for an identity with each that shows one thing for it, and what both arguments are called."""
    tools = [one for one in surfaces if one.kind == "tool" and _reads(one)]
    for lister in tools:
        who = _needed(lister)
        if len(who) != 1 or not _is_who(who[0]) or len(_values(lister, who[0])) < 2:
            continue
        for getter in tools:
            needed = _needed(getter)
            if len(needed) == 2 and who[0] in needed:
                yield lister, getter, who[0], needed[1 - needed.index(who[0])]


def _reads(surface: Surface) -> bool:
    hints = surface.definition.get("annotations")
    hints = hints if isinstance(hints, Mapping) else {}
    return hints.get("readOnlyHint") is not False and hints.get("destructiveHint") is not True


def _needed(surface: Surface) -> list[str]:
    required, known = surface.schema.get("required"), surface.schema.get("properties")
    if not isinstance(required, list) or not isinstance(known, Mapping):
        return []
    return [name for name in required if isinstance(name, str) and isinstance(known.get(name), Mapping)]


def _is_who(name: str) -> bool:
    return bool(_WHO.intersection(re.split(r"[_-]|(?<=[a-z])(?=[A-Z])", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())))


def _values(surface: Surface, name: str) -> list[Any]:
    """Return the values that a schema itself names."""
    schema = surface.schema["properties"][name]
    found = [one for key in ("enum", "examples") if isinstance(schema.get(key), list) for one in schema[key]]
    told = re.findall(r"(?:e\.g\.|such as|like|for example),?\s+[`'\"]?([\w.:-]*\d[\w:-]*)", str(schema.get("description", "")))
    return [one for one in dict.fromkeys([*found, *told]) if isinstance(one, str | int) and not isinstance(one, bool)]


def _foreign(lists: Mapping[Any, str], named: Sequence[Any], schema: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield owner, another, and an object that stands in the first's list alone."""
    number = schema.get("type") in ("integer", "number")
    pattern = schema.get("pattern")
    for owner, text in lists.items():
        words = set(_ID.findall(text))
        listed = sorted(words, key=lambda word: (-len(word), word)) if isinstance(pattern, str) and len(pattern) < 60 else []
        fitting = [word for word in listed[:40] if _fits(word, str(pattern))]
        values = [one for one in dict.fromkeys([*named, *fitting]) if str(one) in words and str(one) != str(owner)]
        for other, foreign in lists.items():
            mine = [one for one in values if other != owner and str(one) not in foreign][:MOST_OBJECTS]
            yield from ((owner, other, int(one) if number and str(one).isdigit() else one) for one in mine)


def _fits(word: str, pattern: str) -> bool:
    simple = re.fullmatch(r"\^?(?:[\w-]|\[[\w-]+\](?:\{\d+(?:,\d*)?\}|\+)?|\\d(?:\{\d+(?:,\d*)?\}|\+)?)+\$?", pattern)
    return bool(simple and len(word) < 64 and re.fullmatch(pattern.strip("^$"), word))


def _given_away(getter: Surface, own: str, given: str, owner: Any, other: Any) -> bool:
    """Tell whether what another gets is what its owner gets, and is the owner's: it names them, or the tool says so."""
    same = own.replace(str(owner), "…").strip() == given.replace(str(other), "…").replace(str(owner), "…").strip()
    told = str(getter.definition.get("description", "")).lower()
    return same and len(given.strip()) > 8 and (str(owner) in given or bool(_OWN.search(told)))


def _told(
    getter: Surface, who: str, thing: str, value: Any, both: tuple[Any, Any], given: str, check: str, fix: str
) -> CheckResult:
    owner, other = both
    return CheckResult(
        check,
        "fail",
        f"{other} gets what belongs to {owner}: {thing} {str(value)[:60]}, which only {owner}'s list has.",
        tool=getter.name,
        severity="high",
        confidence="firm",
        key=f"{who}:{thing}",
        evidence={"owner": str(owner), "other": str(other), "object": str(value), "answer": given[:400]},
        input={"method": "tools/call", "params": {"name": getter.name, "arguments": short({who: other, thing: value})}},
        next_step=fix,
        reproduce=f"Send the request once with {who} = {owner} and once with {who} = {other}, and compare the answers.",
    )
