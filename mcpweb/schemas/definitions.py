"""What a server says of itself, compared field by field: tools, prompts, resources and instructions as raw JSON."""
from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from itertools import islice, zip_longest
from typing import Any

from mcpweb.schemas.documents import Change

_ABSENT = object()
MOST_CHANGES = 100


def field_changes(before: Any, after: Any) -> list[Change]:
    """Return where two definitions differ, by JSON pointer; objects key by key, lists item by item.

    At most ``MOST_CHANGES``. 1, 1.0 and true are three different things here, as they are on the wire.
    """
    return [*islice(_changes(before, after, ""), MOST_CHANGES)]


def _changes(before: Any, after: Any, pointer: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            step = key.replace("~", "~0").replace("/", "~1")
            yield from _changes(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{pointer}/{step}")
    elif isinstance(before, list) and isinstance(after, list):
        for at, (one, other) in enumerate(zip_longest(before, after, fillvalue=_ABSENT)):
            yield from _changes(one, other, f"{pointer}/{at}")
    elif before is _ABSENT:
        yield Change(pointer, "added", None, after)
    elif after is _ABSENT:
        yield Change(pointer, "removed", before, None)
    elif json.dumps(before) != json.dumps(after):
        yield Change(pointer, "changed", before, after)


def visible(text: str) -> str:
    """Return text with the characters nobody sees written out as U+2026 is: what hides, joins or turns the direction."""
    return "".join(f"\u2039U+{ord(char):04X}\u203a" if _hidden(char) else char for char in text)


def _hidden(char: str) -> bool:
    if char == "\n" or " " <= char <= "~":
        return False
    variation = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    blank = char in "\u115f\u1160\u3164\uffa0\u2800\u034f"
    return variation or blank or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") \
        or (unicodedata.category(char) == "Zs" and char != "\u3000")
