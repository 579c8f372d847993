"""What D13 knows of those who ask: who owns what, what may stand for a field, and when two answers are the same one."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import marks
from .lab import Reply
from .learning import fits, ids, words
from .surfaces import Surface, place

Ask = Callable[[Surface, Mapping[str, Any]], Reply]
MOST_ASKED = 240
_ACTS = frozenset(
    "cancel delete remove update change set edit rename move close revoke archive pay return renew extend release transfer share "
    "approve reject assign lock unlock reset clear add create make book reserve send submit post record register save put "
    "withdraw reschedule complete modify mark".split()
)


@dataclass(frozen=True)
class Thing:
    """Something that belongs to one identity, and whether its owner's own list says so."""

    owner: Any
    value: Any
    listed: bool = False
    private: bool = False  # the list says that it has what is the asker's own


@dataclass
class Seen:
    """What was found out about who asks for what."""

    ask: Ask
    left: int = MOST_ASKED
    known: dict[str, list[Any]] = field(default_factory=dict)

    def __call__(self, surface: Surface, arguments: Mapping[str, Any]) -> Reply:
        self.left -= 1
        return self.ask(surface, arguments) if self.left > 0 else Reply("", "gone")


def values(surface: Surface, pointer: str) -> list[Any]:
    """Return the values that a schema itself names for a field."""
    schema: Any = surface.schema
    for step in pointer.split("/")[1:]:
        schema = (schema.get("properties") or {}).get(step) if isinstance(schema, Mapping) else None
    if not isinstance(schema, Mapping):
        return []
    found = [one for key in ("enum", "examples") if isinstance(schema.get(key), list) for one in schema[key]]
    said = str(schema.get("description", ""))
    told = re.findall(r"(?:e\.g\.|such as|like|for example),?\s+[`'\"]?([\w.:-]*\d[\w:-]*)", said)
    told += re.findall(r"['\"`]([\w.@:-]{2,40})['\"`]", said)
    return [one for one in dict.fromkeys([*found, *told]) if isinstance(one, str | int) and not isinstance(one, bool)]


def fitting(
    things: Sequence[Thing], name: str, schema: Mapping[str, Any], getter: Surface
) -> list[Thing]:
    """Return the things a field may stand for; those its own schema names come first."""
    number = schema.get("type") in ("integer", "number")
    pattern = schema.get("pattern")
    named = list(map(str, values(getter, f"/{name}")))
    found: dict[tuple[str, str], Thing] = {}
    for thing in sorted(things, key=lambda one: (str(one.value) not in named, not re.search(r"\d", str(one.value)))):
        value = thing.value
        if number:
            if not str(value).isdigit() or len(str(value)) > 15:
                continue
            value = int(value)
        elif not isinstance(value, str) or len(value) > 64 or " " in value or not (pattern is None or fits(value, str(pattern))):
            continue
        found.setdefault((str(thing.owner), str(value)), Thing(thing.owner, value, thing.listed, thing.private))
    owners = list(dict.fromkeys(str(one.owner) for one in found.values()))
    rows = [[one for one in found.values() if str(one.owner) == owner] for owner in owners]
    return [one for row in itertools.zip_longest(*rows) for one in row if one is not None]  # each owner in turn


def asked_by(arguments: Mapping[str, Any], slot: str, one: Any) -> dict[str, Any]:
    made = json.loads(json.dumps(arguments))
    place(made, slot, one)
    return made  # type: ignore[no-any-return]


def alike(own: str, given: str, owner: Any, other: Any) -> bool:
    """Tell whether what another gets is what its owner gets."""
    same = own.replace(str(owner), "…").strip() == given.replace(str(other), "…").replace(str(owner), "…").strip()
    return same and len(given.strip()) > 8


def told_apart(
    seen: Seen, getter: Surface, arguments: Mapping[str, Any], slot: str, name: str, other: Any, given: Reply
) -> bool:
    """Tell whether the answer hangs on the thing: one that nobody has is not answered alike."""
    value = arguments[name]
    nobody = 10**8 + marks.number(6) if isinstance(value, int) else marks.token(6)
    reply = seen(getter, asked_by({**arguments, name: nobody}, slot, other))
    return not reply.ok or reply.text.replace(str(nobody), "…") != given.text.replace(str(value), "…")


def reads(surface: Surface) -> bool:
    hints = surface.definition.get("annotations")
    hints = hints if isinstance(hints, Mapping) else {}
    if hints.get("readOnlyHint") is True:
        return True
    if hints.get("readOnlyHint") is False or hints.get("destructiveHint") is True:
        return False
    return not _ACTS.intersection(words(surface.name)[:1])


def only(texts: Mapping[Any, str], most: int = 40) -> Iterator[tuple[Any, Any]]:
    """Yield each owner with the values that stand in their text and in no other's."""
    for owner, text in texts.items():
        others = "\n".join(foreign for other, foreign in texts.items() if other != owner)
        shown = [*(value for _, value in pairs(text)), *ids(text)]
        mine = [one for one in dict.fromkeys(shown) if len(texts) > 1 and str(one) not in others and str(one) != str(owner)]
        yield from ((owner, one) for one in mine[:most])


def pairs(text: str) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the JSON in a text."""
    for row in rows(text):
        for key, value in row.items():
            if isinstance(value, str | int) and not isinstance(value, bool):
                yield key, value
            elif isinstance(value, list):
                yield from ((key, one) for one in value[:20] if isinstance(one, str | int) and not isinstance(one, bool))


def rows(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of the JSON in a text, the outer ones first."""
    waiting: list[Any] = []
    for line in (text, *text.split("\n")):
        if line[:1] in ("{", "["):
            try:
                waiting.append(json.loads(line[:100_000]))
            except (ValueError, RecursionError):
                continue
            if line is text:
                break
    for at in range(500):
        if at >= len(waiting):
            return
        one = waiting[at]
        if isinstance(one, Mapping):
            yield one
            waiting += [inner for inner in one.values() if isinstance(inner, Mapping | list)]
        elif isinstance(one, list):
            waiting += [inner for inner in one[:50] if isinstance(inner, Mapping | list)]
