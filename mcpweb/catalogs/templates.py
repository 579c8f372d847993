"""``{{name.key}}`` in texts: found, renamed to ``{{key}}``, filled with what a person typed; nothing is evaluated."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PLACE = re.compile(r"\{\{\s*([A-Za-z0-9_][A-Za-z0-9_.-]{0,120})((?:\s*\|\s*[a-z-]{1,20}(?::[^{}|]{0,200})?){0,4})\s*\}\}")
_LEFT = re.compile(r"\{\{|\}\}")
_VARIABLE = re.compile(r"\$\{[^}]*\}|\$[A-Za-z_]\w*")
_PIPES = frozenset(("volume", "volume-target", "into", "or"))


def key_of(text: str, owner: str) -> str:
    """Return the key of a parameter without the name of its server in front."""
    prefix, dot, rest = text.partition(".")
    return rest if dot and (prefix == owner or not owner) else text


def normal(text: str, owner: str) -> str:
    """Return a text whose templates name their parameter alone: ``{{time.zone}}`` becomes ``{{zone}}``."""
    return PLACE.sub(lambda found: "{{" + key_of(found[1], owner) + re.sub(r"\s+", "", found[2]) + "}}", text)


def keys(texts: Iterable[str]) -> list[str]:
    """Return the parameters that texts ask for, in order."""
    return list(dict.fromkeys(found[1] for text in texts for found in PLACE.finditer(text)))


def understood(text: str) -> bool:
    """Tell whether every template of a text can be filled in."""
    known = all(
        pipe.strip().partition(":")[0] in _PIPES for found in PLACE.finditer(text) for pipe in found[2].split("|")[1:]
    )
    return known and not _LEFT.search(PLACE.sub("", text))


def names_outside(text: str) -> bool:
    """Tell whether a text takes something from the environment of whoever runs it, as ``${NAME}`` or ``$NAME``."""
    return bool(_VARIABLE.search(PLACE.sub("", text)))


def filled(text: str, values: Mapping[str, str]) -> list[str]:
    """Return a text with its templates filled: one text, several where a list goes ``into`` several, none where nothing is given.

    What is filled in is not looked at again, so a value with braces in it stays as it is.
    """
    lists = [found for found in PLACE.finditer(text) if "|into" in found[2].replace(" ", "")]
    if not lists:
        made = PLACE.sub(lambda found: _one(found, values.get(found[1], "")), text)
        whole = PLACE.fullmatch(text)
        return [] if whole and not made else [made]
    first = lists[0]
    parts = [part for part in values.get(first[1], "").split("\n") if part.strip()]
    return [text[: first.start()] + _one(first, part.strip()) + text[first.end() :] for part in parts]


def _one(found: re.Match[str], value: str) -> str:
    for pipe in found[2].split("|")[1:]:
        name, _colon, given = pipe.strip().partition(":")
        if name == "volume" and value:
            value = f"{value}:{value}"
        elif name == "or" and not value:
            value = given.strip("'\" ")
    return value
