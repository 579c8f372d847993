"""A form from a tool's JSON Schema, which comes from a stranger, and its values back as JSON.

Plain kinds become fields, objects become groups two levels deep, everything else a text area for JSON. The schema
itself judges the values afterwards.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcpweb.errors import FieldError, InvalidInput

DEEPEST = 2
MOST_FIELDS = 100
_ABSENT = object()
_KINDS = ("string", "number", "integer", "boolean")


@dataclass(frozen=True)
class Field:
    """One field; ``pointer`` names it in the form and in errors. ``kind`` is a JSON type, enum, or json."""

    pointer: str
    name: str
    kind: str
    required: bool
    description: str
    hint: str
    default: str
    choices: tuple[str, ...] = ()
    long: bool = False
    group: str = ""


def fields(schema: Any, pointer: str = "", group: str = "", depth: int = 0) -> list[Field]:
    """Return the fields of an object schema; nothing for a schema that is none."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping):
        return []
    required = schema.get("required") if isinstance(schema.get("required"), list) else []
    found: list[Field] = []
    for name, rules in list(properties.items())[:MOST_FIELDS]:
        here = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
        rules = rules if isinstance(rules, Mapping) else {}
        kind = kind_of(rules)
        if kind == "object" and depth + 1 < DEEPEST and rules.get("properties"):
            found += fields(rules, here, f"{group}{name}", depth + 1)
            continue
        found.append(Field(
            pointer=here, name=str(name)[:100], kind="json" if kind in ("object", "array", "any") else kind,
            required=name in required, description=str(rules.get("description") or "")[:1000], hint=_hint(rules, kind),
            default=_default(rules, kind), choices=_choices(rules), group=group,
            long=kind == "string" and (rules.get("maxLength") or 0) > 300,
        ))
    return found[:MOST_FIELDS]


def read(schema: Any, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments a posted form holds; empty optional fields are left out. Raises InvalidInput."""
    arguments: dict[str, Any] = {}
    faults = []
    for field in fields(schema):
        text = form.get(field.pointer, "")
        if field.kind == "boolean":
            if text in ("true", "false"):
                _put(arguments, field.pointer, text == "true")
            continue
        if text == "" and not (field.required and field.kind == "string"):
            continue
        try:
            _put(arguments, field.pointer, _value(field, text))
        except ValueError:
            wanted = {"integer": "must be a whole number", "number": "must be a number"}.get(field.kind, "must be JSON")
            faults.append(FieldError(field.pointer, wanted))
    if faults:
        raise InvalidInput("Some fields cannot be read.", errors=faults)
    return arguments


def texts(schema: Any, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return arguments as the texts of the form's fields, the other way of ``read``."""
    found = {}
    for field in fields(schema):
        value: Any = arguments
        for part in field.pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            value = value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        if value is not _ABSENT:
            plain = isinstance(value, str) and field.kind == "string"
            found[field.pointer] = str(value) if plain else json.dumps(value, ensure_ascii=False)
    return found


def kind_of(rules: Mapping[str, Any]) -> str:
    """Return what to show: a JSON type, enum, or any."""
    if isinstance(rules.get("enum"), list) and rules["enum"]:
        return "enum"
    kind = rules.get("type")
    if isinstance(kind, list):
        plain = [one for one in kind if one != "null"]
        kind = plain[0] if len(plain) == 1 else None
    if kind is None and isinstance(rules.get("anyOf"), list):
        plain = [one for one in rules["anyOf"] if isinstance(one, Mapping) and one.get("type") != "null"]
        kind = plain[0].get("type") if len(plain) == 1 else None
    return kind if isinstance(kind, str) and kind in (*_KINDS, "object", "array") else "any"


def _value(field: Field, text: str) -> Any:
    if field.kind == "integer":
        return int(text)
    if field.kind == "number":
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if field.kind in ("json", "enum"):
        return json.loads(text)
    return text.replace("\r\n", "\n")


def _put(arguments: dict[str, Any], pointer: str, value: Any) -> None:
    *parents, name = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    for parent in parents:
        arguments = arguments.setdefault(parent, {})
    arguments[name] = value


def _choices(rules: Mapping[str, Any]) -> tuple[str, ...]:
    values = rules.get("enum")
    return tuple(json.dumps(value) for value in values[:200]) if isinstance(values, list) else ()


def _default(rules: Mapping[str, Any], kind: str) -> str:
    value = rules.get("default")
    if value is None and isinstance(rules.get("examples"), list) and rules["examples"]:
        value = rules["examples"][0]
    if value is None:
        return ""
    return str(value)[:1000] if kind == "string" else json.dumps(value)[:1000]


def _short(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, int | float) else "…"


def _hint(rules: Mapping[str, Any], kind: str) -> str:
    """Return type and range in a few words."""
    parts = [str(rules.get("type") or kind) if kind != "enum" else "one of"]
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is not None or high is not None:
        parts.append(f"{_short(low)} to {_short(high)}")
    for word, key in (("at least {} characters", "minLength"), ("at most {} characters", "maxLength"), ("like {}", "pattern")):
        if rules.get(key):
            parts.append(word.format(str(rules[key])[:60]))
    if isinstance(rules.get("format"), str):
        parts.append(rules["format"][:30])
    return ", ".join(parts)
