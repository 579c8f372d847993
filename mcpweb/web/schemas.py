"""What a JSON Schema of a stranger says of one value: its kind, its choices, its limits in a few words.

Local references are followed a few steps, remote ones never; whatever is not understood is a value of any kind.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mcpweb.web.language import _

DEEPEST = 4
MOST_STEPS = 8
MOST_VARIANTS = 8
MOST_CHOICES = 200
PLAIN = ("string", "number", "integer", "boolean")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "boolean": (bool,), "object": (dict,), "list": (list,), "array": (list,), "null": (type(None),),
}


def escaped(name: str) -> str:
    """Return a name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def default_of(rules: Mapping[str, Any]) -> Any:
    """Return what a value is proposed to be, None for nothing."""
    value = rules.get("default")
    examples = rules.get("examples")
    if value is None and isinstance(examples, list) and examples:
        value = examples[0]
    return rules["const"] if value is None and "const" in rules else value


class Shapes:
    """The rules of one schema, read with its own definitions."""

    def __init__(self, schema: Any) -> None:
        self._root = schema if isinstance(schema, Mapping) else {}

    def plain(self, rules: Any) -> Mapping[str, Any]:
        """Return rules without the wrapping: references, an ``allOf`` of one, and *or null*."""
        found: Mapping[str, Any] = rules if isinstance(rules, Mapping) else {}
        for _step in range(MOST_STEPS):
            inner = self._wrapped(found)
            if inner is None:
                return found
            found = inner
        return {}

    def _wrapped(self, rules: Mapping[str, Any]) -> Mapping[str, Any] | None:
        own = {name: value for name, value in rules.items() if name not in ("$ref", "allOf")}
        if "$ref" in rules:
            return {**self._local(rules["$ref"]), **own}
        every = rules.get("allOf")
        if isinstance(every, list) and len(every) == 1 and isinstance(every[0], Mapping):
            return {**every[0], **own}
        for word in ("anyOf", "oneOf"):
            some = rules.get(word)
            if isinstance(some, list):
                real = [one for one in some if not (isinstance(one, Mapping) and one.get("type") == "null")]
                if len(real) == 1 and isinstance(real[0], Mapping):
                    return {**real[0], **{name: value for name, value in rules.items() if name != word}}
        return None

    def _local(self, reference: Any) -> Mapping[str, Any]:
        found: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return {}
        for step in reference[2:].split("/")[:20]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def kind(self, rules: Mapping[str, Any], depth: int) -> str:
        """Return what to show of plain rules: a plain JSON type, enum, object, list, choice, or json for all else."""
        if _closed(rules):
            return "enum"
        name = _type(rules)
        if name in PLAIN:
            return str(name)
        if depth >= DEEPEST:
            return "json"
        if name == "object" and isinstance(rules.get("properties"), Mapping) and rules["properties"]:
            return "object"
        if name == "array" and isinstance(rules.get("items"), Mapping):
            return "list" if self.kind(self.plain(rules["items"]), depth + 1) != "json" else "json"
        if not rules.get("properties") and self.variants(rules):
            return "choice"
        return "json"

    def variants(self, rules: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the shapes a value may have, none where they cannot be told apart or are too many."""
        for word in ("oneOf", "anyOf"):
            some = rules.get(word)
            if isinstance(some, list) and 2 <= len(some) <= MOST_VARIANTS and all(isinstance(one, Mapping) for one in some):
                found = [self.plain(one) for one in some]
                if all(_type(one) or _closed(one) for one in found):
                    return found
        return []

    def fitting(self, rules: Mapping[str, Any], value: Any) -> int | None:
        """Return the number of the first shape that this value has, None without any."""
        for at, one in enumerate(self.variants(rules)):
            if self._fits(one, value):
                return at
        return None

    def _fits(self, rules: Mapping[str, Any], value: Any) -> bool:
        if choices := self.choices(rules):
            return json.dumps(value) in choices
        name = _type(rules)
        if name in ("number", "integer"):
            return isinstance(value, int | float) and not isinstance(value, bool) and (name == "number" or isinstance(value, int))
        if not isinstance(value, _TYPES.get(str(name), ())):
            return False
        if not isinstance(value, dict):
            return True
        required = rules.get("required") if isinstance(rules.get("required"), list) else []
        if not all(isinstance(one, str) and one in value for one in required or ()):
            return False
        known = dict(self.properties(rules))
        return all(
            self._fits(self.plain(known[name]), inner) for name, inner in value.items()
            if name in known and _closed(self.plain(known[name]))
        ) and all(name in known for name in value)

    def properties(self, rules: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Walk the named members of an object."""
        found = rules.get("properties")
        if isinstance(found, Mapping):
            for name, inner in found.items():
                yield str(name), inner

    def choices(self, rules: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the only values there are, as JSON; none when there are others."""
        if "const" in rules:
            return (json.dumps(rules["const"]),)
        values = rules.get("enum")
        if isinstance(values, list) and values:
            return tuple(json.dumps(value) for value in values[:MOST_CHOICES])
        some = rules.get("oneOf")
        return tuple(json.dumps(one["const"]) for one in some[:MOST_CHOICES]) if _constants(some) and some else ()

    def title(self, rules: Mapping[str, Any]) -> str:
        """Return the name of a shape: its title, the constant that marks it, or its type."""
        if isinstance(rules.get("title"), str) and rules["title"].strip():
            return str(rules["title"])[:60]
        for _name, inner in self.properties(rules):
            if isinstance(inner, Mapping) and isinstance(inner.get("const"), str):
                return str(inner["const"])[:60]
        named = [name for name, _inner in self.properties(rules)][:3]
        return ", ".join(named)[:60] or str(_type(rules) or "JSON")

    def hint(self, rules: Mapping[str, Any], kind: str) -> str:
        """Return type and limits in a few words."""
        words = {"enum": _("one of"), "list": _("list"), "choice": _("one of these shapes"), "json": "JSON", "object": _("group")}
        named = rules.get("type")
        parts = [str(named)[:40] if kind in (*PLAIN, "json") and isinstance(named, str) else words.get(kind, kind)]
        low, high = rules.get("minimum", rules.get("exclusiveMinimum")), rules.get("maximum", rules.get("exclusiveMaximum"))
        if low is not None and high is not None:
            parts.append(_("%(low)s to %(high)s") % {"low": _short(low), "high": _short(high)})
        elif low is not None:
            parts.append(_("from %(low)s") % {"low": _short(low)})
        elif high is not None:
            parts.append(_("up to %(high)s") % {"high": _short(high)})
        for text, key in (
            (_("at least %(n)s characters"), "minLength"), (_("at most %(n)s characters"), "maxLength"),
            (_("at least %(n)s rows"), "minItems"), (_("at most %(n)s rows"), "maxItems"), (_("like %(n)s"), "pattern"),
        ):
            if rules.get(key):
                parts.append(text % {"n": str(rules[key])[:60]})
        if isinstance(rules.get("format"), str):
            parts.append(rules["format"][:30])
        if rules.get("default") is not None and kind not in ("object", "list", "choice"):
            parts.append(_("default %(value)s") % {"value": json.dumps(rules["default"], ensure_ascii=False)[:40]})
        return ", ".join(parts)


def _type(rules: Mapping[str, Any]) -> str | None:
    kind = rules.get("type")
    if isinstance(kind, list):
        real = [one for one in kind if one != "null"]
        kind = real[0] if len(real) == 1 else None
    return kind if isinstance(kind, str) and kind in (*PLAIN, "object", "array") else None


def _closed(rules: Mapping[str, Any]) -> bool:
    """Tell whether the rules name all the values there are."""
    values = rules.get("enum")
    return "const" in rules or bool(isinstance(values, list) and values) or _constants(rules.get("oneOf"))


def _constants(some: Any) -> bool:
    return isinstance(some, list) and bool(some) and all(isinstance(one, Mapping) and "const" in one for one in some)


def _short(bound: Any) -> str:
    return f"{bound:.12g}" if isinstance(bound, int | float) and abs(bound) < 1e300 else "…"
