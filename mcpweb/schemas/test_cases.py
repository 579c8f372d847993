"""Saved cases: a call of a tool and what must be true of the answer, checked with a pointer to each fault.

An assertion is one object; ``path`` is a JSONPath into the raw result of the call (``$`` is all of it):

- ``{"kind": "equals", "path": "$.structuredContent", "value": …}`` – what the path selects equals the value
- ``{"kind": "jsonpath", "path": "$.content[?@.type == 'text']"}`` – the path selects something; with a ``value``, that among it
- ``{"kind": "regex", "path": "$.content[0].text", "value": "^[0-9]+$"}`` – the selected text contains a match
- ``{"kind": "schema", "path": "$.structuredContent", "value": {…}}`` – the selected value fits the JSON Schema
- ``{"kind": "latency", "value": 500}`` – the answer came within so many milliseconds
- ``{"kind": "is_error", "value": false}`` – the result's ``isError`` is as said
"""
from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcpweb.errors import FieldError, InvalidInput

KINDS = ("equals", "jsonpath", "regex", "schema", "latency", "is_error")
DEFAULT_PATHS = {"equals": "$", "regex": "$.content[0].text", "schema": "$.structuredContent"}
MOST_ASSERTIONS = 50
LARGEST = 64 * 1024
_LONGEST_PATTERN = 1000
_LONGEST_MS = 600_000


def checked(arguments: Any, assertions: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return arguments and assertions as they are kept, paths filled in. Raises InvalidInput with a pointer to each fault."""
    faults: list[FieldError] = []
    if not isinstance(arguments, Mapping):
        faults.append(FieldError("/arguments", "an object"))
    elif size(arguments) > LARGEST:
        faults.append(FieldError("/arguments", f"at most {LARGEST // 1024} KiB"))
    kept: list[dict[str, Any]] = []
    if not isinstance(assertions, Sequence) or isinstance(assertions, str):
        faults.append(FieldError("/assertions", "a list of objects"))
    elif not 1 <= len(assertions) <= MOST_ASSERTIONS:
        faults.append(FieldError("/assertions", f"from 1 to {MOST_ASSERTIONS} assertions"))
    elif size(assertions) > LARGEST:
        faults.append(FieldError("/assertions", f"at most {LARGEST // 1024} KiB"))
    else:
        for at, given in enumerate(assertions):
            found = list(_faults(given, f"/assertions/{at}"))
            faults += found
            if not found:
                kept.append(_kept(given))
    if faults:
        raise InvalidInput("The test case is not valid.", errors=faults)
    return dict(arguments), kept


def size(value: Any) -> int:
    """Return how long a value is as JSON; too long when it is none."""
    try:
        return len(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return LARGEST + 1


def _kept(given: Mapping[str, Any]) -> dict[str, Any]:
    path = {"path": DEFAULT_PATHS[given["kind"]]} if given["kind"] in DEFAULT_PATHS else {}
    return {"kind": given["kind"], **path, **{name: given[name] for name in ("path", "value") if name in given}}


def _faults(given: Any, pointer: str) -> list[FieldError]:
    if not isinstance(given, Mapping):
        return [FieldError(pointer, "an object")]
    kind = given.get("kind")
    if kind not in KINDS:
        return [FieldError(f"{pointer}/kind", "one of " + ", ".join(KINDS))]
    takes = {"kind", "value"} | ({"path"} if kind not in ("latency", "is_error") else set())
    faults = [FieldError(f"{pointer}/{_step(name)}", f"not a field of {kind}") for name in given if name not in takes]
    if "path" in given:
        faults += [FieldError(f"{pointer}/path", fault) for fault in path_faults(given["path"])]
    elif kind == "jsonpath":
        faults.append(FieldError(f"{pointer}/path", "missing"))
    if "value" in given:
        faults += [FieldError(f"{pointer}/value", fault) for fault in _VALUES[kind](given["value"])]
    elif kind != "jsonpath":
        faults.append(FieldError(f"{pointer}/value", "missing"))
    return faults


def _step(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")[:100]


def path_faults(path: Any) -> list[str]:
    """Return what is wrong with a JSONPath as a run reads it."""
    import jsonpath

    if not isinstance(path, str):
        return ["a JSONPath such as $.content[0].text"]
    if len(path) > 500:
        return ["at most 500 characters"]
    if not path.startswith("$"):
        return ["a JSONPath begins with $"]
    environment = jsonpath.JSONPathEnvironment(strict=True)
    for name in ("match", "search"):  # patterns in filters have no bound; the kind regex holds one safely
        environment.function_extensions.pop(name, None)
    try:
        environment.compile(path)
    except (jsonpath.JSONPathError, RecursionError) as error:
        return [f"not a JSONPath: {str(error)[:200]}"]
    return []


def _any(value: Any) -> list[str]:
    return []


def _pattern(value: Any) -> list[str]:
    if not isinstance(value, str) or not value:
        return ["a regular expression"]
    if len(value) > _LONGEST_PATTERN:
        return [f"at most {_LONGEST_PATTERN} characters"]
    faults = _schema({"type": "string", "pattern": value})  # what a run holds it with: no lookaround, no catastrophe
    return ["not a regular expression that is taken here (no lookaround, no back-references)"] if faults else []


def _schema(value: Any) -> list[str]:
    import jsonschema_rs

    if not isinstance(value, (dict, bool)):
        return ["a JSON Schema"]
    try:
        jsonschema_rs.validator_for(value, retriever=_deny, pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20))
    except jsonschema_rs.ValidationError as error:
        where = "".join(f"/{_step(part)}" for part in error.instance_path)
        return [f"not a JSON Schema: {where or '/'}: {error.message[:200]}"]
    except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError) as error:
        return [f"not a usable JSON Schema: {str(error)[:200]}"]
    return []


def _deny(uri: str) -> Any:
    raise ValueError("remote references are not followed")


def _milliseconds(value: Any) -> list[str]:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _LONGEST_MS
    return [] if fits else [f"milliseconds, more than 0 and at most {_LONGEST_MS}"]


def _truth(value: Any) -> list[str]:
    return [] if isinstance(value, bool) else ["true or false"]


_VALUES: dict[str, Callable[[Any], list[str]]] = {
    "equals": _any, "jsonpath": _any, "regex": _pattern, "schema": _schema, "latency": _milliseconds, "is_error": _truth,
}
