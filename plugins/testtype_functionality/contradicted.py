"""Values a schema names or bounds, and a tool refuses all the same: found by changing one argument of a call that worked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import Failure

from .base import Attempt, Bench

MOST_TRIED = 6


def contradicted(bench: Bench, definition: Mapping[str, Any], tries: Sequence[Attempt]) -> tuple[str, Attempt] | None:
    """Return an argument and a call that fails for its value alone, where the schema says the value is good.

    Only values the schema itself speaks of count: options, booleans, and numbers and lengths at declared bounds. A text
    the schema leaves open (a path, a name) may well be refused by what the tool deals with.
    """
    base = next((one for one in tries if one.outcome == "ok"), None)
    if base is None:
        return None
    for name, value in _suspects(definition, base, tries):
        arguments = {**base.arguments, name: value}
        try:
            if bench.context.value_faults(definition["inputSchema"], arguments):
                continue
            found = bench.call(definition, arguments, deadline_s=3.0, label=f"/{name}: {_short(value)} alone")
            if found.outcome != "is_error":
                continue
            again = bench.call(definition, base.arguments, deadline_s=3.0, label=base.label)
        except Failure:
            continue
        if again.outcome == "ok":
            return name, found
    return None


def _suspects(definition: Mapping[str, Any], base: Attempt, tries: Sequence[Attempt]) -> Iterator[tuple[str, Any]]:
    properties = (definition.get("inputSchema") or {}).get("properties")
    seen: list[tuple[str, Any]] = []
    for one in tries:
        if one.outcome != "is_error":
            continue
        for name, value in one.arguments.items():
            rules = properties.get(name) if isinstance(properties, Mapping) else None
            differs = name not in base.arguments or base.arguments[name] != value
            if isinstance(rules, Mapping) and differs and (name, value) not in seen and _spoken_of(rules, value):
                seen.append((name, value))
                yield name, value
                if len(seen) >= MOST_TRIED:
                    return


def _spoken_of(rules: Mapping[str, Any], value: Any) -> bool:
    if "enum" in rules or "const" in rules or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return value in (rules.get("minimum"), rules.get("maximum"))
    return isinstance(value, str) and len(value) in (rules.get("minLength"), rules.get("maxLength")) and "pattern" not in rules


def _short(value: Any) -> str:
    return f"{value!r:.40}"
