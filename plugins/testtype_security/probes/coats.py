"""Fields inside of fields: a text that holds JSON, Base64 of a text, and names of entries that anybody may choose.

What a valid value looks like says how an attack has to be dressed to arrive where it is read.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .learning import words
from .surfaces import Point, place

MOST_INSIDE = 6
NAMED = "(name)"
_ENTRY = re.compile(r"\{\s*[\"'](\w{1,40})[\"']\s*:")
_CALLED = re.compile(r"\bbase-?64\b", re.IGNORECASE)


@dataclass(frozen=True)
class Dressed(Point):
    """A field that is reached through another one."""

    within: str = ""  # the pointer of the field that is sent
    inner: str = ""  # where in its JSON
    document: Any = None
    packed: bool = False  # Base64
    entry: bool = False  # the value is the name of an entry

    def arguments(self, value: Any, base: int = 0) -> dict[str, Any]:
        sent = value
        if self.entry:
            sent = {str(value): self.document}
        elif self.inner:
            document = copy.deepcopy(self.document)
            place(document, self.inner, value)
            sent = json.dumps(document)
        if self.packed:
            sent = base64.b64encode(str(sent).encode(errors="surrogatepass")).decode()
        made = copy.deepcopy(dict(self.bases[base % len(self.bases)]))
        place(made, self.within, sent)
        return made


def dressed(point: Point) -> Iterator[Point]:
    """Yield the fields that are reached through this one, as its valid value shows them."""
    if point.pointer.endswith("/probe") and point.kind != "number":
        outer = point.pointer.removesuffix("/probe")
        said = json.dumps([point.schema, point.surface.schema], default=str).replace('\\"', '"')
        named = _ENTRY.search(said)
        yield _through(point, f"{outer}/{NAMED}", outer, valid=named[1] if named else "name", entry=True, document=point.valid)
    if point.kind == "number":
        return
    unpacked = _unpacked(point.valid)
    text = unpacked or point.valid
    if unpacked or _CALLED.search(str(point.schema.get("description", ""))) or point.schema.get("contentEncoding") == "base64":
        yield _through(point, f"{point.pointer} (base64)", point.pointer, valid=unpacked or "probe", packed=True)
    document = _json(text)
    for at, (pointer, value) in enumerate(_leaves(document, "")):
        if at >= MOST_INSIDE:
            break
        how = {"inner": pointer, "document": document, "packed": bool(unpacked)}
        yield _through(point, f"{point.pointer}{pointer}", point.pointer, valid=value, **how)


def _through(point: Point, pointer: str, within: str, *, valid: str, **how: Any) -> Dressed:
    return Dressed(point.surface, pointer, "text", point.schema, point.bases, valid, within=within, **how)


def _unpacked(text: str) -> str:
    if len(text) < 12 or len(text) % 4 or not re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", text):
        return ""
    try:
        found = base64.b64decode(text.translate(str.maketrans("-_", "+/"))).decode()
    except (binascii.Error, ValueError):
        return ""
    return found if found.isprintable() or _json(found) is not None else ""


def _json(text: str) -> Any:
    if text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text[:20_000])
    except (ValueError, RecursionError):
        return None


def _leaves(value: Any, pointer: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and pointer:
        yield pointer, value
    elif depth < 5 and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}", depth + 1)
    elif depth < 5 and isinstance(value, list):
        for at, inner in enumerate(value[:2]):
            yield from _leaves(inner, f"{pointer}/{at}", depth + 1)


def seen(point: Point, values: Mapping[str, list[Any]]) -> Point:
    """Return the field with a valid value as answers show it, where nothing else tells of one."""
    told = any(point.schema.get(key) for key in ("enum", "const", "default", "examples"))
    if point.kind != "text" or told:
        return point
    worked: Any = point.bases[0] if point.bases else {}
    for step in point.pointer.split("/")[1:]:
        worked = worked.get(step) if isinstance(worked, Mapping) else None
    if isinstance(worked, str) and worked:
        return replace(point, valid=worked)
    same = next((found for name, found in values.items() if words(name) == words(point.field)), ())
    return replace(point, valid=next((one for one in same if isinstance(one, str)), point.valid))
