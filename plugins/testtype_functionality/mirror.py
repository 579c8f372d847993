"""Whether the text of a result says what its structured content says: as JSON, all of it or a part, or in prose with labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_NUMBER = r"[-+]?\d[\d,'\u00a0\u202f]*(?:\.\d+)?"
_JSON = re.compile(r"```(?:json)?\s*(\{.*?\}|\[.*?\])\s*```", re.S)


def mirrored(given: Mapping[str, Any], text: str) -> str:
    """Return how the text differs from the structured content it repeats, nothing where it does not, or repeats nothing."""
    if not given or not text or len(text) > 1_000_000:
        return ""
    for piece in (text, *_JSON.findall(text)):
        try:
            said = json.loads(piece)
        except (ValueError, RecursionError):
            continue
        return _as_json(given, said)
    return _as_prose(given, text)


def _as_json(given: Mapping[str, Any], said: Any) -> str:
    if isinstance(said, list):  # the list that is the heart of it
        lists = [value for value in given.values() if isinstance(value, list)]
        if len(lists) == 1 and said and isinstance(said[0], dict) and lists[0] and isinstance(lists[0][0], dict):
            alike = len(said) == len(lists[0]) and all(
                not _differing(one, other) for one, other in zip(lists[0], said, strict=True)
            )
            return "" if alike else "The text repeats the structured list and differs from it."
        return ""
    if not isinstance(said, dict):
        return ""
    shared = [key for key in given if key in said]
    if not shared or 2 * len(shared) < len(set(given) | set(said)):
        return ""
    differ = next((key for key in shared if not _alike(said[key], given[key])), None)
    if differ is not None:
        return f"The text repeats the structured result and differs from it in {differ!r}."
    return ""


def _differing(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return any(not _alike(one[key], other[key]) for key in one if key in other)
    return not _alike(one, other)


def _as_prose(given: Mapping[str, Any], text: str) -> str:
    """Return a number the text gives under the name of a property, where the property's own value stands nowhere in the text."""
    leaves = list(_numbers(given))
    values = [value for _, value in leaves]
    said = [_read(found) for found in re.findall(_NUMBER, text)]
    for name, value in leaves:
        if sum(other == name for other, _ in leaves) > 1 or any(_close(value, one) for one in said):
            continue
        words = r"[\s_-]*".join(map(re.escape, re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)))
        found = (
            re.search(rf"(?<![A-Za-z]){words}s?\s*(?::|=|\bis\b|\bare\b)\s*[€$£]?\s*({_NUMBER})(?![\w.:/-]*\w)", text, re.I)
            if words
            else None
        )
        number = _read(found.group(1)) if found else None
        if number is not None and not any(_close(other, number) for other in values):
            return f"The text says {name} is {found.group(1)}, and the structured result {value!r}."  # type: ignore[union-attr]
    return ""


def _numbers(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping) and depth < 4:
        for key, inner in value.items():
            yield from _numbers(inner, str(key), depth + 1)
    elif isinstance(value, list) and depth < 4:
        for inner in value[:20]:
            yield from _numbers(inner, name, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool) and name:
        yield name, value


def _read(text: str) -> float:
    try:
        return float(re.sub(r"[,'\u00a0\u202f]", "", text))
    except ValueError:
        return float("nan")


def _close(value: float, said: float) -> bool:
    """Tell whether a number in a text may be this value: rounded, as a percentage, or in hundredths."""
    return any(
        abs(said - value * factor) <= max(0.51 if abs(value) >= 10 else 0.051, abs(value * factor) * 0.006)
        if not _whole(value)
        else said == value * factor
        for factor in (1, 100, 0.01, -1)
    )


def _whole(value: float) -> bool:
    return float(value).is_integer()


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
    return bool(one == other)
