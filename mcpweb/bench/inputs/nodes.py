"""What may and what may not stand at each node of a schema: boundary sets, each value with a pointer and a word for it."""
from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcpweb.bench.inputs import hints, judge, patterns
from mcpweb.bench.inputs.schemas import Document, Trail, escaped, types_of

LONG = 64 * 1024
MOST_ITEMS = 200
DEEPEST = 6
UNICODE = "Grüße, 世界 👩‍👩‍👧 \u202eabc\u202c e\u0301"
LONGEST = 1 << 20


class Absent:
    """Marks a property that is left out."""


ABSENT = Absent()


@dataclass(frozen=True)
class Option:
    """A value for a node: where in it something is special (a JSON pointer), and what."""

    value: Any
    what: str = ""
    at: str = ""

    def below(self, part: object, value: Any) -> Option:
        return Option(value, self.what, f"/{escaped(part)}{self.at}")


@dataclass(frozen=True)
class Node:
    """The options of one node; the first good one is the likeliest to make a tool work."""

    good: tuple[Option, ...] = ()
    bad: tuple[Option, ...] = ()
    parts: Mapping[str, Node] = field(default_factory=dict)  # of an object
    required: frozenset[str] = frozenset()
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def best(self) -> Any:
        return self.good[0].value


class Nodes:
    """Looks at the nodes of one document; all that is random comes from ``rng``."""

    def __init__(self, document: Document, rng: random.Random, known: Mapping[str, Sequence[Any]]) -> None:
        self._document, self._rng, self._known = document, rng, known

    def ways(self, schema: Any, name: str = "", trail: Trail | None = None, depth: int = 0) -> list[Node]:
        """Return the node's options, one Node for each branch of the schema that can be satisfied."""
        made = []
        for flat, came in self._document.flat(schema, trail):
            node = self._node(flat, name, came, depth)
            if node.good:
                made.append(node)
        return made

    def one(self, schema: Any, name: str, trail: Trail, depth: int) -> Node:
        """Return the options of all branches as those of one node; the first branch is the likeliest."""
        ways = self.ways(schema, name, trail, depth)
        if not ways:
            return Node()
        first = ways[0]
        others = [replace(way.good[0], what=way.good[0].what or f"branch {at}") for at, way in enumerate(ways[1:], 2)]
        more = [option for way in ways[1:] for option in way.good[1:]]
        return replace(first, good=_distinct([*first.good[:1], *others, *first.good[1:], *more]),
                       bad=_distinct([option for way in ways for option in way.bad]))

    def _node(self, flat: Mapping[str, Any], name: str, trail: Trail, depth: int) -> Node:
        wanted = _said(flat)
        if "const" in flat or isinstance(flat.get("enum"), list):
            return self._listed(flat, wanted)
        kinds = types_of(flat)
        if not kinds:
            likely = hints.texts(name, str(flat.get("description", "")), self._known)[:1]
            found = [*wanted, *likely, "text", 0, True, None, [], {}]
            return Node(_distinct([Option(found[0]), *(Option(value, _name_of(value)) for value in found[1:])]))
        made: list[Node] = []
        for kind in kinds:
            if kind == "object":
                made.append(self._object(flat, trail, depth))
            elif kind == "array":
                made.append(self._array(flat, name, trail, depth))
            elif kind in ("string", "integer", "number"):
                leaf = self._text(flat, name) if kind == "string" else self._number(flat, name, kind)
                made.append(self._checked(flat, kind, leaf))
            elif kind == "boolean":
                made.append(Node((Option(False), Option(True, "true")), (Option("yes", "a text for a boolean"),)))
            elif kind == "null":
                made.append(Node((Option(None, "null"),)))
        made = [node for node in made if node.good]
        if not made:
            return Node()
        first = made[0]
        told = [Option(value) for value in wanted if _allows(kinds, _kind_of(value))]
        others = [Option(node.best, node.good[0].what or f"of type {_name_of(node.best)}") for node in made[1:]]
        good = [*told[:1], *first.good, *others]
        bad = [option for node in made for option in node.bad]
        bad += [] if "null" in kinds else [Option(None, "null")]
        bad += [Option(value, what) for kind, value, what in _OF_ANOTHER_TYPE if not _allows(kinds, kind)][:2]
        return replace(first, good=_distinct(good), bad=_distinct(bad))

    def _listed(self, flat: Mapping[str, Any], wanted: Sequence[Any]) -> Node:
        allowed = [flat["const"]] if "const" in flat else list(flat["enum"])
        first = [value for value in wanted if value in allowed][:1]
        good = [Option(value, f"option {at}" if at else "") for at, value in enumerate([*first, *allowed])]
        bad: list[Option] = []
        outside = "not one of the options"
        text = next((value for value in allowed if isinstance(value, str)), None)
        if text is not None:
            bad += [Option(f"not-{text}"[:200], outside), Option("", "empty"), Option(12345, "a number for a text")]
            bad += [Option(text.swapcase(), "an option in another case")] if text.swapcase() != text else []
        elif allowed and isinstance(allowed[0], int | float):
            bad += [Option(max(value for value in allowed if isinstance(value, int | float)) + 1, outside)]
        else:
            bad += [Option("not an option", outside)]
        bad += [] if None in allowed else [Option(None, "null")]
        return Node(_distinct(good)[:12], tuple(option for option in bad if option.value not in allowed))

    def _text(self, flat: Mapping[str, Any], name: str) -> Node:
        low, high = _count(flat.get("minLength"), 0), _count(flat.get("maxLength"), -1)
        pattern = flat.get("pattern")
        described = f"{flat.get('title', '')} {flat.get('description', '')}"
        found = [*hints.texts(name, described, self._known), *hints.FORMATS.get(str(flat.get("format")), ())]
        found += patterns.matching(pattern, self._rng) if isinstance(pattern, str) else []
        found += ["hello", "a" * min(max(low, 1), LONGEST)]
        found += [text[:high] for text in found[:2] if 0 <= high < len(text)]
        found += [text.ljust(low, "x") for text in found[:2] if len(text) < low <= LONGEST]
        good = [Option(value) for value in found]
        if low:
            good += [Option("a" * low, "shortest")] if low <= LONGEST else []
        else:
            good.append(Option("", "empty"))
        good += [Option(UNICODE, "Unicode")]
        if 0 <= high <= LONGEST:
            good += [Option("a" * high, "longest")]
        elif high < 0:
            good += [Option("a" * LONG, "64 kB")]
        bad = [Option("", "empty"), Option(UNICODE, "Unicode"), Option("a" * LONG, "64 kB")]
        bad += [Option("a" * (low - 1), "shorter than allowed")] if 1 < low <= LONGEST else []
        bad += [Option("a" * (high + 1), "longer than allowed")] if 0 <= high < LONGEST else []
        bad += [Option(value, "does not match the pattern") for value in ("!", "\n", "zz 00")] if isinstance(pattern, str) else []
        return Node(tuple(good), tuple(bad))

    def _number(self, flat: Mapping[str, Any], name: str, kind: str) -> Node:
        whole = kind == "integer"
        step = _numeric(flat.get("multipleOf"))
        unit: int | float = step if step and step > 0 else 1
        low, high = _numeric(flat.get("minimum")), _numeric(flat.get("maximum"))
        above, below = _numeric(flat.get("exclusiveMinimum")), _numeric(flat.get("exclusiveMaximum"))
        least = low if above is None else above + unit if low is None else max(low, above + unit)
        most = high if below is None else below - unit if high is None else min(high, below - unit)
        if step:
            least = None if least is None else -(-least // step) * step
            most = None if most is None else most // step * step
        described = f"{flat.get('title', '')} {flat.get('description', '')}"
        found = [*hints.numbers(name, described, self._known), unit]
        found += [value for value in (least, most) if value is not None]
        if least is not None and most is not None:
            found.append(least + (most - least) // 2 // unit * unit)
        good = [Option(value) for value in found]
        good += [Option(-unit, "negative")] if least is None else [
            Option(least, "minimum"), Option(least + unit, "minimum and one")]
        good += [Option(1000 * unit, "a thousand")] if most is None else [
            Option(most, "maximum"), Option(most - unit, "maximum less one")]
        good += [Option(0, "zero")]
        good += [] if whole or step else [Option((least or 0) + 0.5, "a fraction")]
        if whole:
            good = [Option(int(option.value), option.what) for option in good if float(option.value).is_integer()]
        bad: list[Option] = []
        bad += [Option(low - 1, "below the minimum")] if low is not None else []
        bad += [Option(high + 1, "above the maximum")] if high is not None else []
        bad += [Option(above, "at the excluded minimum")] if above is not None else []
        bad += [Option(below, "at the excluded maximum")] if below is not None else []
        bad += [Option(1.5, "a fraction for a whole number")] if whole else []
        bad += [Option(unit * 1.5 if not whole else int(unit) + 1, "no multiple")] if step else []
        bad += [Option("1", "a number in a text")]
        return Node(tuple(good), tuple(bad))

    def _checked(self, flat: Mapping[str, Any], kind: str, node: Node) -> Node:
        """Keep what a leaf really allows, and really forbids."""
        leaf = {key: value for key, value in flat.items() if key in _LEAF} | {"type": kind}
        allowed = judge.ask(leaf, [option.value for option in node.good], formats=True)
        forbidden = judge.ask({**leaf, "type": types_of(flat)}, [option.value for option in node.bad])
        return replace(
            node,
            good=_distinct([option for option, faults in zip(node.good, allowed, strict=True) if not faults]),
            bad=tuple(option for option, said in zip(node.bad, forbidden, strict=True) if said and isinstance(said, list)),
        )

    def _array(self, flat: Mapping[str, Any], name: str, trail: Trail, depth: int) -> Node:
        least, most = _count(flat.get("minItems"), 0), _count(flat.get("maxItems"), -1)
        prefix = flat.get("prefixItems", flat.get("items") if isinstance(flat.get("items"), list) else None)
        first = [self.one(schema, name, trail, depth + 1) for schema in prefix] if isinstance(prefix, list) else []
        schema = flat.get("items", True) if not isinstance(flat.get("items"), list) else flat.get("additionalItems", True)
        node = self.one(schema, name, trail, depth + 1) if schema is not False and depth < DEEPEST else Node()
        inside = self.one(flat["contains"], name, trail, depth + 1) if isinstance(flat.get("contains"), dict) else Node()
        if any(not part.good for part in first):
            return Node((Option([], "empty"),) if not least else ())
        start = [part.best for part in first] + ([inside.best] if inside.good else [])
        unique = flat.get("uniqueItems") is True

        def of(count: int) -> list[Any] | None:
            made = start[:count] if not inside.good else list(start)
            pool = [option.value for option in node.good]
            while len(made) < count:
                if not pool or len(made) >= MOST_ITEMS * 10:
                    return None
                value = pool[len(made) % len(pool)] if unique else pool[0]
                if unique and value in made:
                    fresh = _another(value, len(made))
                    if fresh is None:
                        return None
                    value = fresh
                made.append(value)
            return made

        usual = of(max(least, len(start), 1 if node.good and most != 0 else 0))
        good = [] if usual is None else [Option(usual)]
        good += [Option([], "empty")] if not least else [Option(of(least), "fewest items")]
        good += [Option(of(least + 1), "two items" if least == 1 else "one item more")] if node.good else []
        good += [Option(of(most), "most items")] if 0 <= most <= MOST_ITEMS else []
        if usual is not None and node.good and usual and not unique:
            at = len(usual) - 1
            good += [option.below(at, [*usual[:at], option.value]) for option in node.good[1 : 16 if node.parts else 8]]
        bad: list[Option] = []
        if usual is not None and node.bad and usual and len(usual) > len(start):
            at = len(usual) - 1
            bad += [option.below(at, [*usual[:at], option.value]) for option in node.bad[:30]]
        if least:
            fewer = of(least - 1)
            bad += [Option([], "empty")] + ([Option(fewer, "fewer items than allowed")] if fewer else [])
        bad += [Option(of(most + 1), "more items than allowed")] if 0 <= most <= MOST_ITEMS else []
        bad += [Option([*usual, usual[-1]], "an item twice")] if unique and usual else []
        bad += [Option(usual[0], "an item for a list")] if usual and not isinstance(usual[0], list) else []
        return Node(_distinct([option for option in good if option.value is not None]),
                    tuple(option for option in bad if option.value is not None))

    def _object(self, flat: Mapping[str, Any], trail: Trail, depth: int) -> Node:
        properties = flat.get("properties") if isinstance(flat.get("properties"), dict) else {}
        assert isinstance(properties, dict)
        listed = flat.get("required")
        required = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        parts: dict[str, Node] = {}
        others = flat.get("additionalProperties", flat.get("unevaluatedProperties", True))
        for name in list(dict.fromkeys([*required, *properties]))[:MOST_ITEMS]:
            if depth >= DEEPEST and name not in required:
                continue
            schema = properties.get(name, others)
            parts[name] = Node() if schema is False else self.one(schema, name, trail, depth + 1)
            if not parts[name].good:
                del parts[name]
                if name in required:
                    return Node()
        by_pattern = flat.get("patternProperties")
        for pattern, schema in by_pattern.items() if isinstance(by_pattern, dict) else ():
            name = next(iter(patterns.matching(pattern, self._rng)), None)
            node = self.one(schema, "", trail, depth + 1) if name and name not in parts and depth < DEEPEST else Node()
            if name and node.good:
                parts[name] = node
        least = _count(flat.get("minProperties"), 0)
        for at in range(min(least, 50) if others is not False else 0):
            if len(parts) < least and f"extra{at}" not in parts:
                node = self.one(others, "", trail, depth + 1) if depth < DEEPEST else Node()
                if node.good:
                    parts[f"extra{at}"] = node
                    required.append(f"extra{at}")
        needs = _needs(flat)
        whole = {name: node.best for name, node in parts.items()}
        small = with_needed({name: whole[name] for name in required if name in whole}, whole, needs)
        good = [Option(small or whole), Option(whole, "with every property")]
        good += [Option(small, "required only" if small else "empty")]
        for name, node in parts.items():
            good += [option.below(name, with_needed({**small, name: option.value}, whole, needs))
                     for option in node.good[1 : 24 if node.parts else 9]]
        bad: list[Option] = []
        for name in required:
            bad.append(Option({key: value for key, value in small.items() if key != name}, "missing", f"/{escaped(name)}"))
        if flat.get("additionalProperties") is False or flat.get("unevaluatedProperties") is False:
            bad.append(Option({**small, "mcpwebUnknown": "x"}, "a property that is not allowed", "/mcpwebUnknown"))
        elif isinstance(others, dict) and others:
            bad.append(Option({**small, "mcpwebUnknown": [[None]]}, "a further property of the wrong type", "/mcpwebUnknown"))
        for name, node in parts.items():
            bad += [option.below(name, with_needed({**small, name: option.value}, whole, needs)) for option in node.bad[:60]]
        for name, names in needs.items():
            bad += [
                Option({key: whole[key] for key in whole if key != other}, f"missing beside {name}", f"/{escaped(other)}")
                for other in names if name in whole and other in whole
            ]
        return Node(_distinct(good), tuple(bad), parts, frozenset(name for name in required if name in parts), needs)


def with_needed(arguments: dict[str, Any], whole: Mapping[str, Any], needs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the arguments with what those that are there ask for."""
    made = dict(arguments)
    waiting = list(made)
    while waiting:
        for other in needs.get(waiting.pop(), ()):
            if other not in made and other in whole:
                made[other] = whole[other]
                waiting.append(other)
    return made


_LEAF = ("minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
         "multipleOf")
_OF_ANOTHER_TYPE: tuple[tuple[str, Any, str], ...] = (
    ("number", 12345, "a number for another type"), ("object", {"unexpected": [True]}, "an object for another type"),
    ("array", ["unexpected", 1], "a list for another type"), ("string", "not of this type", "a text for another type"),
)


def _needs(flat: Mapping[str, Any]) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for key in ("dependentRequired", "dependencies"):
        given = flat.get(key)
        for name, others in given.items() if isinstance(given, dict) else ():
            if isinstance(others, list):
                made.setdefault(name, []).extend(other for other in others if isinstance(other, str))
    return made


def _said(flat: Mapping[str, Any]) -> list[Any]:
    """Return the values a schema itself gives: its default, then its examples."""
    said = [flat["default"]] if "default" in flat else []
    given = flat.get("examples", flat.get("example"))
    return said + (given[:4] if isinstance(given, list) else [given] if given is not None else [])


def _distinct(options: Sequence[Option]) -> tuple[Option, ...]:
    made: dict[str, Option] = {}
    first = options[0] if options else None
    for option in options:
        key = json.dumps(option.value, sort_keys=True)
        if key not in made or (option.what and not made[key].what and len(made) > 1 and made[key] is not first):
            made[key] = option
    return tuple(made.values())


def _another(value: Any, at: int) -> Any:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value + at
    return f"{value}{at}" if isinstance(value, str) else None


def _allows(kinds: Sequence[str], kind: str) -> bool:
    """Tell whether a value of one type may be of the declared ones; whole numbers and others are not told apart."""
    return kind in kinds or (kind in ("number", "integer") and any(other in kinds for other in ("number", "integer")))


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return "null" if value is None else names.get(type(value), "")


def _name_of(value: Any) -> str:
    return {"string": "text", "integer": "number", "array": "list"}.get(_kind_of(value), _kind_of(value))


def _numeric(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any, otherwise: int) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else otherwise
