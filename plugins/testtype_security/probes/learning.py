"""What a server's own answers teach about it: values by the name they have, and names of things that exist.

A tool that shows one thing wants its number; another one lists or makes it. Nothing here decides a verdict.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .surfaces import Surface, strings

MOST_VALUES, MOST_NAMES, MOST_MADE = 12, 200, 6
_ID = re.compile(r"(?<![\w.-])(?=[\w.:-]*\d)[A-Za-z0-9][\w.:-]{0,63}(?<![.:])")
_SIMPLE = re.compile(r"\^?(?:[\w-]|\[[\w-]+\](?:\{\d+(?:,\d*)?\}|\+)?|\\d(?:\{\d+(?:,\d*)?\}|\+)?)+\$?")
_ENDS = re.compile(r"\b(delete|remove|cancel|close|drop|purge|reset|clear|revoke|archive|end|discard|erase|wipe|void|logout)\b")


def words(name: str) -> list[str]:
    """Return the words of a name, in small letters."""
    return re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def required(surface: Surface) -> list[str]:
    """Return the arguments a surface cannot do without."""
    named, known = surface.schema.get("required"), surface.schema.get("properties")
    if not isinstance(named, list) or not isinstance(known, Mapping):
        return []
    return [one for one in named if isinstance(one, str) and isinstance(known.get(one), Mapping)]


def ids(text: str) -> list[str]:
    """Return what in a text looks like the number of something."""
    return list(dict.fromkeys(_ID.findall(text)))


def ends(surface: Surface) -> bool:
    """Tell whether using a surface may take away what others need."""
    hints = surface.definition.get("annotations")
    told = isinstance(hints, Mapping) and hints.get("destructiveHint") is True
    return told or bool(_ENDS.search(" ".join(words(surface.name))))


class Known:
    """Values that were seen in answers, by name, and all that looked like the number of a thing."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {}
        self.names: list[str] = []

    def learn(self, result: Any) -> None:
        """Note what an answer shows."""
        for value in _documents(result):
            self._walk(value, "", 0)
        for one in ids("\n".join(strings(result))[:20_000]):
            if one not in self.names and len(self.names) < MOST_NAMES:
                self.names.append(one)

    def _walk(self, value: Any, name: str, depth: int) -> None:
        if depth > 6:
            return
        if isinstance(value, Mapping):
            for key, inner in list(value.items())[:50]:
                self._walk(inner, str(key), depth + 1)
        elif isinstance(value, list):
            for inner in value[:20]:
                self._walk(inner, name, depth + 1)
        elif isinstance(value, str | int | float) and not isinstance(value, bool) and name and 0 < len(str(value)) <= 300:
            seen = self.values.setdefault(name[:80], []) if len(self.values) < 300 or name in self.values else []
            if value not in seen and len(seen) < MOST_VALUES:
                seen.append(value)

    def likely(self, name: str, schema: Mapping[str, Any]) -> list[Any]:
        """Return values for a field: those seen under its name, under its last word, of its pattern, any number."""
        wanted = words(name)
        ranked: list[tuple[int, Any]] = []
        for key, values in self.values.items():
            parts = words(key)
            same = parts == wanted
            alike = bool(parts and wanted) and (wanted[-1] in (parts[-1], parts[-1].rstrip("s")) or wanted[:-1] == parts)
            ranked += [(0 if same else 1, value) for value in values if same or alike]
        pattern = schema.get("pattern")
        by_pattern = isinstance(pattern, str) and len(pattern) < 80
        ranked += [(2 if by_pattern else 3, one) for one in self.names]
        number = schema.get("type") in ("integer", "number")
        fitting = []
        for _, value in sorted(ranked, key=lambda row: row[0]):
            if number:
                value = int(value) if str(value).isdigit() and len(str(value)) < 16 else None
            if value is None or (by_pattern and not fits(str(value), str(pattern))) or value in fitting:
                continue
            fitting.append(value if number else str(value))
        return fitting[:MOST_VALUES]


def fits(text: str, pattern: str) -> bool:
    """Tell whether a text has a pattern that is simple enough to be asked; nothing fits another one."""
    return bool(_SIMPLE.fullmatch(pattern) and len(text) < 64 and re.fullmatch(pattern.strip("^$"), text))


def _documents(result: Any) -> Iterator[Any]:
    """Yield the structured parts of an answer, and what of its texts is JSON."""
    if not isinstance(result, Mapping):
        return
    yield result.get("structuredContent")
    for key in ("content", "contents"):
        for block in result.get(key) or () if isinstance(result.get(key), list) else ():
            text = block.get("text") if isinstance(block, Mapping) else None
            if isinstance(text, str) and text[:1] in "[{" and len(text) < 200_000:
                try:
                    yield json.loads(text)
                except (ValueError, RecursionError):
                    continue


def made(surface: Surface, arguments: Mapping[str, Any], known: Known) -> Iterator[dict[str, Any]]:
    """Yield arguments in which what must exist is taken from what was seen: each needed text or number alone, then together."""
    properties = surface.schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    choices: dict[str, Sequence[Any]] = {}
    for name in required(surface):
        schema = properties[name] if isinstance(properties[name], Mapping) else {}
        if schema.get("type") in ("string", "integer", None) and not any(key in schema for key in ("enum", "const", "format")):
            choices[name] = known.likely(name, schema)[:3]
    named = [name for name, values in choices.items() if values]
    for name in named:
        yield from ({**arguments, name: value} for value in choices[name])
    if len(named) > 1:
        for row in itertools.islice(itertools.product(*(choices[name][:2] for name in named)), MOST_MADE):
            yield {**arguments, **dict(zip(named, row, strict=True))}
