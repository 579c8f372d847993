"""What happens at a second step: a value is taken in by one surface and takes effect when another one is used.

For each surface it is found out which others show or use what it took in: with the number of what was made, with a name that
was given, or without anything. Those are then used after each attack, and what they say counts as its answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import marks
from .lab import Reply, Stand
from .learning import ends, ids, required, words
from .surfaces import Surface, least, points

MOST_AFTER, MOST_TRIED = 3, 8


@dataclass(frozen=True)
class Taken:
    """Where an argument of the second step comes from: what was given, or what in the first answer looks like ``shape``."""

    name: str
    given: str = ""
    shape: str = ""
    number: bool = False

    def of(self, arguments: Mapping[str, Any], text: str) -> Any:
        if self.given:
            return arguments.get(self.given)
        new = [one for one in re.findall(self.shape, text) if one not in str(arguments)]
        return None if not new else int(new[0]) if self.number else new[0]


@dataclass(frozen=True)
class After:
    """A second step: what is used, with which arguments, and which of them come from the first."""

    surface: Surface
    arguments: Mapping[str, Any]
    taken: tuple[Taken, ...]

    def filled(self, arguments: Mapping[str, Any], text: str) -> dict[str, Any] | None:
        values = {one.name: one.of(arguments, text) for one in self.taken}
        return None if any(value is None for value in values.values()) else {**self.arguments, **values}


def follow(stand: Stand, steps: Sequence[After], arguments: Mapping[str, Any], first: Reply) -> Reply:
    """Take the second steps after a first one and return what they say together, without the numbers that differ each time."""
    if not first.ok:
        return first
    texts: list[str] = []
    plain: list[str] = []
    outcome, ms = first.outcome, first.ms
    for step in steps:
        more = step.filled(arguments, first.plain)
        if more is None:
            continue
        reply = stand.ask(step.surface, more)
        outcome = reply.outcome if not reply.ok else outcome
        ms += reply.ms
        for into, text in ((texts, reply.text), (plain, reply.plain)):
            for one in step.taken:
                text = text.replace(str(more[one.name]), "…") if one.shape else text
            into.append(text)
        if not reply.answered:
            break
    return Reply("\n".join(texts), outcome, ms, "\n".join(plain))


def found(stand: Stand, surface: Surface, arguments: Mapping[str, Any], others: Sequence[Surface]) -> tuple[After, ...]:
    """Return the second steps of a surface: what was refused, or answered otherwise, before it was used. Raises Spent."""
    free = next((name for name in _free(surface, arguments) if stand.ask(surface, {**arguments, name: marks.token(8)}).ok), "")
    fresh = marks.token(8) if free else ""  # where only what is known is taken, it is used as it is
    given = {**arguments, free: fresh} if free else dict(arguments)
    rest = [other for other in others if other.title != surface.title and not ends(other)]
    named = [(other, name) for other in rest for name in required(other) if fresh and _takes_text(other, name)][:MOST_TRIED]
    before = {(other.title, name): _with(stand, other, name, fresh) for other, name in named}
    alone = {other.title: (_alone(stand, other), _alone(stand, other)) for other in rest if not required(other)}
    first, second = stand.ask(surface, given), stand.ask(surface, {**given, free: marks.token(8)} if free else given)
    if not first.ok or not second.ok:
        return ()
    old = set(ids(second.plain))
    made = [one for one in ids(first.plain) if one not in str(given) and one not in old]
    steps: list[After] = []
    for other in rest:
        if not required(other):
            one, two = alone[other.title]
            acts = bool(made) and bool(_ACTS.intersection(words(other.name))) and not only_reads(other)
            if (one == two and _alone(stand, other) != one) or acts:
                steps.append(After(other, least(other), ()))
            continue
        step = _by_number(stand, other, made, first)
        for at, name in named if step is None else ():
            was = before.get((at.title, name))
            if at is not other or was is None:
                continue
            now = _with(stand, other, name, fresh)
            if now.ok and (not was.ok or now.plain != was.plain):
                step = After(other, stand.lab.worked.get(other.title) or least(other), (Taken(name, given=free),))
                break
        if step is not None:
            steps.append(step)
    steps.sort(key=lambda step: not step.taken)
    return tuple(steps[:MOST_AFTER])


def _free(surface: Surface, arguments: Mapping[str, Any]) -> list[str]:
    """Return the fields that may take any text, those that name no valid values first."""
    free = [
        point for point in points(surface)
        if point.kind == "text" and "/" not in point.pointer[1:] and isinstance(arguments.get(point.field), str)
        and not any(key in point.schema for key in ("enum", "pattern", "format", "const"))
    ]
    return [point.field for point in sorted(free, key=lambda one: "examples" in one.schema)][:3]


def _takes_text(surface: Surface, name: str) -> bool:
    schema = surface.schema["properties"][name]
    return schema.get("type") in ("string", None) and "enum" not in schema


def _with(stand: Stand, surface: Surface, name: str, value: Any) -> Reply:
    return stand.ask(surface, {**(stand.lab.worked.get(surface.title) or least(surface)), name: value})


def _by_number(stand: Stand, other: Surface, made: Sequence[str], first: Reply) -> After | None:
    """Return how another surface is used with the number of what was made; it must refuse, or tell apart, one nobody gave out."""
    for name in required(other):
        schema = other.schema["properties"][name]
        if schema.get("type") not in ("string", "integer", "number", None) or "enum" in schema:
            continue
        number = schema.get("type") in ("integer", "number")
        for one in [one for one in made if one.isdigit() or not number][:MOST_TRIED]:
            value: Any = int(one) if number else one
            reply = _with(stand, other, name, value)
            if not reply.answered:
                continue
            if reply.ok:
                bogus = value + 70_000 if number else re.sub(r"\d", "9", one) + "99"
            else:  # it may not be able to work with a plain value: another number of this form is refused in other words
                bogus = value + 1_000 if number else another(one)
            if _with(stand, other, name, bogus).plain.replace(str(bogus), "…") != reply.plain.replace(one, "…"):
                return After(other, stand.lab.worked.get(other.title) or least(other), (Taken(name, "", _shape(one), number),))
    return None


def another(one: str) -> str:
    """Return a number of the same form, with no zero before other digits: a parser may refuse that in words of its own."""
    turned = re.sub(r"\d", lambda digit: str((int(digit[0]) + 7) % 10), one)
    return re.sub(r"(?<!\d)0(?=\d)", "9", turned)


def _shape(one: str) -> str:
    """Return the pattern of a number like this one: letters that stand in front stay, digits and hexadecimal are any."""
    if re.fullmatch(r"[0-9a-f]{8,}|[0-9a-f]{8}-[0-9a-f-]{20,}", one):
        return rf"(?<![\w-])[0-9a-f-]{{{len(one)}}}(?![\w-])"
    head = re.match(r"[A-Za-z]+[-_:.]?", one)
    rest = one[head.end():] if head else one
    if rest.isdigit():
        return rf"(?<![\w.-]){re.escape(head[0]) if head else ''}\d+(?![\w-])"
    return rf"(?<![\w.-]){re.escape(head[0]) if head else ''}[\w.:-]*\d[\w.:-]*(?<![.:])"


def _alone(stand: Stand, surface: Surface) -> str:
    return stand.ask(surface, least(surface)).plain


def only_reads(surface: Surface) -> bool:
    """Tell whether a surface says of itself that it changes nothing."""
    hints = surface.definition.get("annotations")
    return isinstance(hints, Mapping) and hints.get("readOnlyHint") is True


_ACTS = frozenset(
    "run flush process send execute apply sync deliver rebuild refresh render publish print export generate build report".split()
)
