"""A form from a tool's JSON Schema, which comes from a stranger, and its values back as JSON.

A form is a flat set of texts: a field is named by the JSON pointer of its value, ``n:<pointer>`` holds the rows of a list and
``c:<pointer>`` which of several shapes was chosen. Plain kinds become fields, objects groups, lists of plain kinds rows,
``oneOf`` and ``anyOf`` a choice; what is deeper or stranger becomes a text area for JSON. The schema itself judges the values.
"""
from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcpweb.errors import FieldError, InvalidInput
from mcpweb.web.schemas import PLAIN, Shapes, default_of, escaped

MOST_FIELDS = 100
MOST_ROWS = 50
_ABSENT = object()
_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_WANTED = {"integer": "must be a whole number", "number": "must be a number"}


@dataclass(frozen=True)
class Field:
    """One field, or a group of them; ``pointer`` names it in the form and in errors.

    ``kind`` is a plain JSON type, enum or json; or object, list or choice, whose fields are ``children``. Of a choice
    ``shapes`` are the names and ``chosen`` the number of the one that is shown, None for none.
    """

    pointer: str
    name: str
    kind: str
    required: bool
    description: str
    hint: str
    given: str = ""
    choices: tuple[str, ...] = ()
    long: bool = False
    children: tuple[Field, ...] = ()
    shapes: tuple[str, ...] = ()
    chosen: int | None = None


def fields(schema: Any, given: Mapping[str, str] | None = None) -> list[Field]:
    """Return the fields of an object schema with the texts they hold, the defaults where none are given."""
    form = _Form(schema, texts(schema, defaults(schema)) if given is None else given)
    return form.members(form.shapes.plain(schema), "", 0)


def leaves(found: Sequence[Field]) -> Iterator[Field]:
    """Walk the fields that hold a value themselves."""
    for field in found:
        if field.kind in ("object", "list", "choice"):
            yield from leaves(field.children)
        else:
            yield field


class _Form:
    """Makes fields until there are as many as a page can bear."""

    def __init__(self, schema: Any, given: Mapping[str, str]) -> None:
        self.shapes = Shapes(schema)
        self._given = given
        self._left = MOST_FIELDS

    def members(self, rules: Mapping[str, Any], pointer: str, depth: int) -> list[Field]:
        required = rules.get("required") if isinstance(rules.get("required"), list) else []
        found = []
        for name, inner in self.shapes.properties(rules):
            field = self.field(inner, f"{pointer}/{escaped(name)}", name, name in (required or ()), depth)
            if field is None:
                break
            found.append(field)
        return found

    def field(self, rules: Any, pointer: str, name: str, required: bool, depth: int) -> Field | None:
        if self._left <= 0:
            return None
        self._left -= 1
        rules = self.shapes.plain(rules)
        kind = self.shapes.kind(rules, depth)
        base: dict[str, Any] = {
            "pointer": pointer, "name": name[:100], "required": required,
            "description": str(rules.get("description") or "")[:1000], "hint": self.shapes.hint(rules, kind),
        }
        if kind == "object":
            return Field(kind=kind, children=tuple(self.members(rules, pointer, depth + 1)), **base)
        if kind == "list":
            rows = _count(self._given.get(f"n:{pointer}"), rules.get("minItems") if required else 0)
            made = [self.field(rules["items"], f"{pointer}/{at}", str(at + 1), True, depth + 1) for at in range(rows)]
            return Field(kind=kind, children=tuple(row for row in made if row), **base)
        if kind == "choice":
            variants = self.shapes.variants(rules)
            chosen = _chosen(self._given.get(f"c:{pointer}"), len(variants), required)
            inner = None if chosen is None else self.field(variants[chosen], pointer, "", required, depth + 1)
            return Field(
                kind=kind, shapes=tuple(self.shapes.title(one) for one in variants), chosen=chosen,
                children=(inner,) if inner else (), **base,
            )
        return Field(
            kind=kind, given=self._given.get(pointer, ""), choices=self.shapes.choices(rules),
            long=kind == "string" and isinstance(rules.get("maxLength"), int) and rules["maxLength"] > 300, **base,
        )


def read(schema: Any, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments a posted form holds; empty optional fields are left out. Raises InvalidInput."""
    shapes, faults = Shapes(schema), list[FieldError]()
    found = _members(shapes, shapes.plain(schema), "", 0, form, faults)
    if faults:
        raise InvalidInput("Some fields cannot be read.", errors=faults[:20])
    return found


def _members(
    shapes: Shapes, rules: Mapping[str, Any], pointer: str, depth: int, form: Mapping[str, str], faults: list[FieldError]
) -> dict[str, Any]:
    required = rules.get("required") if isinstance(rules.get("required"), list) else []
    found = {}
    for name, inner in list(shapes.properties(rules))[:MOST_FIELDS]:
        value = _value(shapes, inner, f"{pointer}/{escaped(name)}", name in (required or ()), depth, form, faults)
        if value is not _ABSENT:
            found[name] = value
    return found


def _value(
    shapes: Shapes, rules: Any, pointer: str, required: bool, depth: int, form: Mapping[str, str], faults: list[FieldError]
) -> Any:
    rules = shapes.plain(rules)
    kind = shapes.kind(rules, depth)
    if kind == "object":
        found = _members(shapes, rules, pointer, depth + 1, form, faults)
        return found if found or required else _ABSENT
    if kind == "list":
        count = _count(form.get(f"n:{pointer}"), 0)
        rows = [_value(shapes, rules["items"], f"{pointer}/{at}", True, depth + 1, form, faults) for at in range(count)]
        kept = [row for row in rows if row is not _ABSENT]
        return kept if kept or required else _ABSENT
    if kind == "choice":
        variants = shapes.variants(rules)
        chosen = _chosen(form.get(f"c:{pointer}"), len(variants), required)
        return _ABSENT if chosen is None else _value(shapes, variants[chosen], pointer, required, depth + 1, form, faults)
    text = form.get(pointer, "")
    if kind == "boolean":
        return text == "true" if text in ("true", "false") else _ABSENT
    if text == "" and not (required and kind == "string"):
        return _ABSENT
    try:
        return _scalar(kind, text)
    except (ValueError, RecursionError):
        faults.append(FieldError(pointer, _WANTED.get(kind, "must be JSON")))
        return _ABSENT


def _scalar(kind: str, text: str) -> Any:
    if kind == "string":
        return text.replace("\r\n", "\n")
    text = text.strip()
    if kind == "integer" or (kind == "number" and _INTEGER.fullmatch(text)):
        if not _INTEGER.fullmatch(text):
            raise ValueError(text)
        return int(text)
    if kind == "number":
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise ValueError(text)
        return float(text)
    return json.loads(text)


def texts(schema: Any, arguments: Any) -> dict[str, str]:
    """Return arguments as the texts of the form, the other way of ``read``; what the form has no place for is left out."""
    found: dict[str, str] = {}
    shapes = Shapes(schema)
    _spread(shapes, shapes.plain(schema), "", -1, arguments, found, kind="object")
    return found


def _spread(
    shapes: Shapes, rules: Any, pointer: str, depth: int, value: Any, found: dict[str, str], kind: str = ""
) -> None:
    rules = shapes.plain(rules)
    kind = kind or shapes.kind(rules, depth)
    if kind == "object" and isinstance(value, Mapping):
        for name, inner in shapes.properties(rules):
            if name in value:
                _spread(shapes, inner, f"{pointer}/{escaped(name)}", depth + 1, value[name], found)
    elif kind == "list" and isinstance(value, list):
        found[f"n:{pointer}"] = str(min(len(value), MOST_ROWS))
        for at, row in enumerate(value[:MOST_ROWS]):
            _spread(shapes, rules["items"], f"{pointer}/{at}", depth + 1, row, found)
    elif kind == "choice":
        chosen = shapes.fitting(rules, value)
        if chosen is not None:
            found[f"c:{pointer}"] = str(chosen)
            _spread(shapes, shapes.variants(rules)[chosen], pointer, depth + 1, value, found)
    elif kind not in ("object", "list"):
        plain = isinstance(value, str) and kind == "string"
        found[pointer] = value if plain else json.dumps(value, ensure_ascii=False)


def holds(schema: Any, arguments: Mapping[str, Any]) -> bool:
    """Tell whether the form has a place for all of these arguments; else they are edited as JSON."""
    try:
        return bool(read(schema, texts(schema, arguments)) == dict(arguments))
    except InvalidInput:
        return False


def defaults(schema: Any) -> dict[str, Any]:
    """Return the arguments that a schema proposes: defaults, else first examples."""
    shapes = Shapes(schema)
    return _proposed(shapes, shapes.plain(schema), 0)


def _proposed(shapes: Shapes, rules: Mapping[str, Any], depth: int) -> dict[str, Any]:
    found = {}
    for name, inner in list(shapes.properties(rules))[:MOST_FIELDS]:
        inner = shapes.plain(inner)
        value = default_of(inner)
        if value is None and shapes.kind(inner, depth) == "object":
            value = _proposed(shapes, inner, depth + 1) or None
        if value is not None:
            found[name] = value
    return found


def changed(given: Mapping[str, str], wish: str) -> dict[str, str]:
    """Return the texts after ``add:<pointer>``, ``drop:<pointer of a row>`` or ``pick:<number>:<pointer>``."""
    what, _, rest = wish.partition(":")
    found = dict(given)
    if what == "add":
        found[f"n:{rest}"] = str(min(_count(given.get(f"n:{rest}"), 0) + 1, MOST_ROWS))
    elif what == "pick":
        number, _, pointer = rest.partition(":")
        found[f"c:{pointer}"] = number
    elif what == "drop":
        pointer, _, row = rest.rpartition("/")
        rows = _count(given.get(f"n:{pointer}"), 0)
        if row.isdigit() and int(row) < rows:
            kept = {name: text for name, text in given.items() if not _within(name, f"{pointer}/{row}")}
            found = {_moved(name, pointer, int(row)): text for name, text in kept.items()}
            found[f"n:{pointer}"] = str(rows - 1)
    return found


def _within(name: str, pointer: str) -> bool:
    bare = name[2:] if name[:2] in ("n:", "c:") else name
    return bare == pointer or bare.startswith(f"{pointer}/")


def _moved(name: str, pointer: str, gone: int) -> str:
    """Return the name a text has when a row before its own is gone."""
    mark, bare = (name[:2], name[2:]) if name[:2] in ("n:", "c:") else ("", name)
    if not bare.startswith(f"{pointer}/"):
        return name
    row, slash, rest = bare[len(pointer) + 1:].partition("/")
    return f"{mark}{pointer}/{int(row) - 1}{slash}{rest}" if row.isdigit() and int(row) > gone else name


def _count(text: Any, otherwise: Any) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 5:
        return min(int(text), MOST_ROWS)
    return min(otherwise, MOST_ROWS) if isinstance(otherwise, int) and otherwise > 0 else 0


def _chosen(text: str | None, count: int, required: bool) -> int | None:
    if text is not None and text.isascii() and text.isdigit() and len(text) < 3 and int(text) < count:
        return int(text)
    return 0 if required and text is None else None


__all__ = ["MOST_FIELDS", "PLAIN", "Field", "changed", "defaults", "fields", "holds", "leaves", "read", "texts"]
