"""Values a schema names or bounds, and a tool refuses all the same: found by changing one argument of a call that worked."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import Failure

from .base import Attempt, Bench

MOST_TRIED = 10
INTERNAL = -32603
Path = tuple[str | int, ...]
LEFT_OUT = object()


def contradicted(bench: Bench, definition: Mapping[str, Any], tries: Sequence[Attempt]) -> tuple[str, Attempt] | None:
    """Return an argument and a call that fails for its value alone, where the schema says the value is good.

    Only values the schema itself speaks of count: options, booleans, null, what may be left out, and numbers, lengths and counts
    at declared bounds. A text the schema leaves open (a path, a name) may well be refused by what the tool deals with.
    """
    base = next((one for one in tries if one.outcome == "ok"), None)
    if base is None:
        return None
    for path, value in _suspects(definition, base, tries):
        arguments = _changed(base.arguments, path, value)
        name = "/".join(map(str, path))
        try:
            if arguments is None or bench.context.value_faults(definition["inputSchema"], arguments):
                continue
            said = "left out" if value is LEFT_OUT else _short(value)
            found = bench.call(definition, arguments, deadline_s=3.0, label=f"/{name}: {said} alone")
            if not failed(found):
                continue
            if _as_bad(bench, definition, base, path, value):
                continue
            again = bench.call(definition, base.arguments, deadline_s=3.0, label=base.label)
        except Failure:
            continue
        if again.outcome == "ok":
            return name, found
    return None


def _as_bad(bench: Bench, definition: Mapping[str, Any], base: Attempt, path: Path, value: Any) -> bool:
    """Tell whether other values of an open text or number fail as well: then it is not the bound, it is what is not there."""
    rules = next((rules for at, rules, _ in _leaves(definition.get("inputSchema"), base.arguments) if at == path), {})
    if isinstance(value, bool) or "enum" in rules or "const" in rules or not isinstance(value, str | int | float):
        return False
    least = rules.get("minLength")
    texts = [one.ljust(min(least, 10_000) if isinstance(least, int) else 0, "z") for one in ("plum-tree", "plum", "zz")]
    inside: list[Any] = texts if isinstance(value, str) else [value + 3, value - 3]
    for other in inside:
        arguments = _changed(base.arguments, path, other)
        if arguments is not None and not bench.context.value_faults(definition["inputSchema"], arguments):
            return failed(bench.call(definition, arguments, deadline_s=3.0, label=""))
    return False


def failed(attempt: Attempt) -> bool:
    """Tell whether a tool failed at a call: with isError, or with what goes for it where an error is not caught."""
    return attempt.outcome == "is_error" or (attempt.outcome == "rpc_error" and attempt.code == INTERNAL)


def _suspects(definition: Mapping[str, Any], base: Attempt, tries: Sequence[Attempt]) -> Iterator[tuple[Path, Any]]:
    schema = definition.get("inputSchema") or {}
    worked = {path: value for path, _, value in _leaves(schema, base.arguments)}
    fine = {  # what other calls that worked hold is not to blame
        json.dumps([path, value], sort_keys=True)
        for one in tries
        if one.outcome == "ok"
        for path, _, value in _leaves(schema, one.arguments)
    }
    seen: set[str] = set()
    for one in tries:
        if not failed(one):
            continue
        had = {path: (rules, value) for path, rules, value in _leaves(schema, one.arguments)}
        changes = [
            (path, value)
            for path, (rules, value) in had.items()
            if worked.get(path, LEFT_OUT) != value and _spoken_of(rules, value)
        ]
        changes += [
            (path, LEFT_OUT) for path in worked if path not in had and len(path) == 1 and _needed(definition, path[0], tries)
        ]
        for path, value in changes:
            key = json.dumps([path, "left out" if value is LEFT_OUT else value], sort_keys=True)
            if key not in seen and key not in fine:
                seen.add(key)
                yield path, value
                if len(seen) >= MOST_TRIED:
                    return


def _needed(definition: Mapping[str, Any], name: str | int, tries: Sequence[Attempt]) -> bool:
    """Tell whether every call that worked had this argument, and these calls were about more than one thing."""
    fine = [one.arguments for one in tries if one.outcome == "ok"]
    required = (definition.get("inputSchema") or {}).get("required") or ()
    about = {json.dumps([given.get(each) for each in required], sort_keys=True) for given in fine}
    return all(name in given for given in fine) and (not required or len(about) > 1)


def _leaves(schema: Any, value: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any], Any]]:
    """Yield each part of a value with its place and the rules it stands under, as far as they are written in place."""
    rules = schema if isinstance(schema, Mapping) else {}
    if path:
        yield path, rules, value
    if len(path) > 4:
        return
    properties = rules.get("properties")
    if isinstance(value, Mapping) and isinstance(properties, Mapping):
        for name, inner in value.items():
            if name in properties:
                yield from _leaves(properties[name], inner, (*path, name))
    elif isinstance(value, list) and isinstance(rules.get("items"), Mapping):
        for at, inner in enumerate(value[:3]):
            yield from _leaves(rules["items"], inner, (*path, at))


def _changed(arguments: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any] | None:
    """Return the arguments with another value at one place, None when there is no such place."""
    made: Any = copy.deepcopy(dict(arguments))
    inside = made
    for part in path[:-1]:
        try:
            inside = inside[part]
        except (KeyError, IndexError, TypeError):
            return None
    try:
        if value is LEFT_OUT:
            del inside[path[-1]]
        else:
            inside[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        return None
    return dict(made)


def _spoken_of(rules: Mapping[str, Any], value: Any) -> bool:
    if "enum" in rules or "const" in rules or isinstance(value, bool):
        return True
    if value is None:
        return isinstance(rules.get("type"), list) and "null" in rules["type"]
    if isinstance(value, int | float):
        step = rules.get("multipleOf", 1)
        near = [
            rules[key] + sign * step
            for key, sign in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1))
            if _number(rules.get(key))
        ]
        return value in (rules.get("minimum"), rules.get("maximum"), *near)
    if isinstance(value, list):
        return bool({len(value)} & {rules.get("minItems"), rules.get("maxItems")})
    return isinstance(value, str) and len(value) in (rules.get("minLength"), rules.get("maxLength")) and "pattern" not in rules


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return f"{value!r:.40}"
