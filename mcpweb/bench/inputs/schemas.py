"""A schema as the generator sees it: references followed, allOf merged, branches laid side by side.

What comes out is a guess to be verified, so a keyword that is not understood costs cases, never wrong ones.
"""
from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

DATA = frozenset({"enum", "const", "default", "examples", "example"})
META_SCHEMAS = frozenset(
    {f"https://json-schema.org/draft/{draft}/schema" for draft in ("2019-09", "2020-12")}
    | {f"{scheme}://json-schema.org/draft-0{draft}/schema" for draft in (4, 6, 7) for scheme in ("http", "https")}
)
RECURSION = 3
MOST_BRANCHES = 8
MOST_VISITS = 4000
_NUMBERS = {"minimum": max, "exclusiveMinimum": max, "minLength": max, "minItems": max, "minProperties": max,
            "maximum": min, "exclusiveMaximum": min, "maxLength": min, "maxItems": min, "maxProperties": min}
_APPLICATORS = ("$ref", "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "$defs", "definitions")

Trail = Mapping[str, int]


def escaped(key: object) -> str:
    """Return a key as one part of a JSON pointer."""
    return str(key).replace("~", "~0").replace("/", "~1")


class Document:
    """One schema with the means to follow its references, and a bound on how much of it is looked at."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._left = MOST_VISITS
        self._named: dict[str, Any] | None = None

    def external(self, ref: str) -> bool:
        """Tell whether a reference leaves this document; those to the dialects themselves need no fetching."""
        return not ref.startswith("#") and ref.rstrip("#") not in META_SCHEMAS and self._by_name(ref.partition("#")[0]) is None

    def endless(self, refs: list[str]) -> set[str]:
        """Return which references lead back to themselves without going into the value, all of them when it takes long."""
        leads: dict[str, list[str]] = {}
        left = 50 * MOST_VISITS
        waiting = list(refs)
        while waiting:
            ref = waiting.pop()
            if ref in leads:
                continue
            leads[ref] = []
            stack = [self.resolve(ref)]
            while stack:
                left -= 1
                if left < 0:
                    return set(refs)
                node = stack.pop()
                if isinstance(node, dict):
                    if isinstance(node.get("$ref"), str):
                        leads[ref].append(node["$ref"])
                    stack += [node[key] for key in ("if", "then", "else", "not") if key in node]
                    stack += [inner for key in ("allOf", "anyOf", "oneOf") for inner in _list(node.get(key))]
            waiting += leads[ref]
        return _on_cycles(leads)

    def resolve(self, ref: str) -> Any:
        """Return what a reference within the document means, None when it means nothing."""
        base, _, fragment = ref.partition("#")
        node: Any = self.root if not base else self._by_name(base)
        if not fragment.startswith("/"):
            return node if not fragment else self._by_name("#" + fragment)
        for part in fragment[1:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict):
                node = node.get(key)
            elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
                node = node[int(key)]
            else:
                return None
        return node

    def _by_name(self, name: str) -> Any:
        if self._named is None:
            self._named = {}
            stack, seen = [self.root], 0
            while stack and seen < 50_000:
                node = stack.pop()
                seen += 1
                if isinstance(node, dict):
                    for key, mark in (("$id", ""), ("id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")):
                        if isinstance(node.get(key), str):
                            self._named.setdefault(mark + node[key].rstrip("#"), node)
                    stack += [inner for key, inner in node.items() if key not in DATA]
                elif isinstance(node, list):
                    stack += node
        return self._named.get(name)

    def flat(self, node: Any, trail: Trail | None = None) -> list[tuple[dict[str, Any], Trail]]:
        """Return the ways to satisfy a node: merged schemas without applicators, each with the references on the way.

        The likeliest first; empty when there is none, or when a recursion has gone deep enough.
        """
        trail = trail or {}
        self._left -= 1
        if node is True or self._left < 0:
            return [({}, trail)] if node is True else []
        if not isinstance(node, dict):
            return []
        ways: list[tuple[dict[str, Any], Trail]] = [
            ({key: value for key, value in node.items() if key not in _APPLICATORS}, trail)
        ]
        ref = node.get("$ref")
        if isinstance(ref, str):
            count = trail.get(ref, 0)
            ways = self._and(ways, [] if count >= RECURSION else self.flat(self.resolve(ref), {**trail, ref: count + 1}))
        for inner in _list(node.get("allOf")):
            ways = self._and(ways, self.flat(inner, trail))
        for key in ("anyOf", "oneOf"):
            if _list(node.get(key)):
                branches = [self.flat(inner, trail) for inner in node[key][:MOST_BRANCHES]]
                ways = self._and(ways, _round_robin(branches)[:MOST_BRANCHES])
        if "if" in node:
            then = self._and(self.flat(node["if"], trail), self.flat(node.get("then", True), trail))
            ways = self._and(ways, [*then, *self.flat(node.get("else", True), trail)])
        dependent = node.get("dependentSchemas") or {}
        for name, inner in dependent.items() if isinstance(dependent, dict) else ():
            needs = self._and([({"required": [name]}, trail)], self.flat(inner, trail))
            ways = [*self._and(ways, needs), *[(_without(way, name), came) for way, came in ways]][:MOST_BRANCHES]
        return ways

    @staticmethod
    def _and(left: list[tuple[dict[str, Any], Trail]], right: list[tuple[dict[str, Any], Trail]]) -> Any:
        made = []
        for (one, came), (other, went) in itertools.islice(itertools.product(left, right), MOST_BRANCHES * 4):
            merged = merge(one, other)
            if merged is not None:
                made.append((merged, {**came, **{ref: max(count, came.get(ref, 0)) for ref, count in went.items()}}))
        return made[:MOST_BRANCHES]


def _on_cycles(leads: Mapping[str, list[str]]) -> set[str]:
    """Return what can be reached from itself: what is left when everything that leads nowhere, or comes from nowhere, is gone."""
    left = dict(leads)
    while True:
        reached = {target for targets in left.values() for target in targets}
        kept = {ref: [target for target in targets if target in left] for ref, targets in left.items()
                if ref in reached and any(target in left for target in targets)}
        if len(kept) == len(left):
            return set(kept)
        left = kept


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a schema that asks for what both ask for, as far as that can be said; None when nothing fits both."""
    made = dict(one)
    for key, value in other.items():
        if key not in made:
            made[key] = value
        elif key in _NUMBERS and _number(made[key]) and _number(value):
            made[key] = _NUMBERS[key](made[key], value)
        elif key == "required":
            made[key] = list(dict.fromkeys([*_list(made[key]), *_list(value)]))
        elif key == "type":
            both = [kind for kind in types_of(made) if kind in types_of({"type": value})
                    or (kind == "integer" and "number" in types_of({"type": value}))]
            both += ["integer"] if "number" in types_of(made) and "integer" in types_of({"type": value}) else []
            if not both:
                return None
            made[key] = both
        elif key == "enum":
            made[key] = [item for item in _list(made[key]) if any(_same(item, twin) for twin in _list(value))]
            if not made[key]:
                return None
        elif key == "const" and not _same(made[key], value):
            return None
        elif key in ("properties", "patternProperties") and isinstance(made[key], dict) and isinstance(value, dict):
            made[key] = {**made[key], **{name: _both(made[key][name], inner) if name in made[key] else inner
                                         for name, inner in value.items()}}
        elif key == "items" and isinstance(made[key], dict) and isinstance(value, dict):
            made[key] = _both(made[key], value)
        elif key == "multipleOf" and isinstance(made[key], int) and isinstance(value, int) and made[key] and value:
            made[key] = math.lcm(made[key], value)
        elif key in ("additionalProperties", "unevaluatedProperties") and value is False:
            made[key] = False
    return made


def types_of(node: Mapping[str, Any]) -> list[str]:
    """Return the types a flat node allows, the likeliest first; guessed from its keywords when it does not say."""
    declared = node.get("type")
    if isinstance(declared, str):
        return [declared]
    if isinstance(declared, list):
        said = [kind for kind in declared if isinstance(kind, str)]
        return sorted(said, key=lambda kind: kind == "null")
    hints = (
        ("object", ("properties", "required", "additionalProperties", "patternProperties", "minProperties", "propertyNames")),
        ("array", ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains")),
        ("string", ("minLength", "maxLength", "pattern", "format")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    )
    return [kind for kind, keys in hints if any(key in node for key in keys)]


def _both(one: Any, other: Any) -> dict[str, Any]:
    return {"allOf": [one, other]} if one != other else one


def _without(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    properties = node.get("properties")
    if not isinstance(properties, dict) or name in _list(node.get("required")):
        return dict(node)
    return {**node, "properties": {key: inner for key, inner in properties.items() if key != name}}


def _round_robin(groups: list[list[Any]]) -> list[Any]:
    return [item for row in itertools.zip_longest(*groups) for item in row if item is not None]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
