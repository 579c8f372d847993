"""Why a schema is unusable, and where a value does not fit one; both offline and bounded."""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mcpweb.bench.inputs import judge
from mcpweb.bench.inputs.schemas import DATA, META_SCHEMAS, Document, escaped

LARGEST_BYTES = 256 * 1024
DEEPEST = 64
MOST_FAULTS = 20


def schema_faults(schema: Any) -> list[str]:
    """Return why this is no usable JSON Schema (2020-12 or the dialect it declares); empty when it is sound.

    Nothing is fetched. A schema that refers to other documents, is larger than 256 KiB, nests deeper than 64 levels,
    refers to itself without an end or costs seconds to evaluate is not usable.
    """
    if isinstance(schema, bool):
        return []
    if not isinstance(schema, dict):
        return ["A schema is an object."]
    faults = []
    size, depth = _measure(schema)
    if size > LARGEST_BYTES:
        faults.append(f"It is larger than {LARGEST_BYTES // 1024} KiB.")
    if depth > DEEPEST:
        faults.append(f"It nests deeper than {DEEPEST} levels.")
    declared = schema.get("$schema")
    if declared is not None and (not isinstance(declared, str) or declared.rstrip("#") not in META_SCHEMAS):
        faults.append(f"/$schema: {str(declared)[:200]!r} is no known dialect.")
    if faults:
        return faults
    document = Document(schema)
    refs = list(references(schema))
    endless = document.endless([ref for _, ref in refs])
    faults += [f"{at}: {ref[:200]!r} is in another document, which is not fetched." for at, ref in refs if document.external(ref)]
    faults += [f"{at}: {ref[:200]!r} refers to itself without an end." for at, ref in refs if ref in endless]
    if faults:
        return faults[:MOST_FAULTS]
    try:
        judge.ask(schema, [{}])
    except judge.SchemaFault as fault:
        return [fault.detail]
    except judge.Undecided as fault:
        return [fault.detail]
    return []


def value_faults(schema: Any, value: Any) -> list[str]:
    """Return where the value does not fit the schema, as ``/pointer: message``; empty when it fits.

    Raises TestError when that cannot be decided: the schema is unusable, or takes too long.
    """
    verdict = judge.ask(schema, [value])[0]
    if isinstance(verdict, str):
        raise judge.Undecided(f"The value could not be judged: {verdict}")
    return [f"{at or '/'}: {said}" for at, said in verdict]


def references(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield (pointer, text) of each reference; values that are data (enum, default, …) are not looked into."""
    stack: list[tuple[str, Any]] = [("", schema)]
    while stack:
        at, node = stack.pop()
        if isinstance(node, dict):
            for key, inner in node.items():
                if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(inner, str):
                    yield f"{at}/{key}", inner
                elif key not in DATA or at.endswith(("/properties", "/patternProperties", "/$defs", "/definitions")):
                    stack.append((f"{at}/{escaped(key)}", inner))
        elif isinstance(node, list):
            stack += [(f"{at}/{index}", inner) for index, inner in enumerate(node)]


def _measure(schema: Any) -> tuple[int, int]:
    """Return about how many bytes, and how many levels; both may be cut when too much already."""
    deepest = size = 0
    stack = [(1, schema)]
    while stack and size <= LARGEST_BYTES and deepest <= DEEPEST:
        depth, node = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(node, dict):
            size += 2 + sum(len(str(key)) + 4 for key in node)
            stack += [(depth + 1, inner) for inner in node.values()]
        elif isinstance(node, list):
            size += 2 + len(node)
            stack += [(depth + 1, inner) for inner in node]
        else:
            size += len(json.dumps(node))
    return size, deepest
