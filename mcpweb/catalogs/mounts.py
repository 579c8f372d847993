"""Mounts as ``-v`` and ``--mount`` write them, read as proposals; what reaches the engine or is not understood is lost."""
from __future__ import annotations

from mcpweb.catalogs import names, templates
from mcpweb.catalogs.draft import Lost, MountWanted

_FINE = frozenset(("ro", "rw", "z", "Z", "readonly", "cached", "delegated", "consistent", "nocopy", "rprivate", "private"))


def volume(text: str, where: str) -> MountWanted | Lost:
    """Read ``source:target[:options]``."""
    if not templates.understood(text):
        return Lost(where, "template")
    if templates.names_outside(text):
        return Lost(where, "variable_from_outside")
    if found := templates.PLACE.fullmatch(text):
        pipes = found[2].replace(" ", "").split("|")
        place = "{{" + found[1] + "".join(f"|{pipe}" for pipe in pipes if pipe in ("into",)) + "}}"
        return MountWanted("bind", place, place) if "volume" in pipes else Lost(where, "template")
    drive = text[:1].isalpha() and text[1:2] == ":" and text[2:3] in ("\\", "/")  # C:\…
    head, tail = (text[:2], text[2:]) if drive else ("", text)
    source, *rest = _split(tail)
    if len(rest) not in (1, 2) or not set(rest[1].split(",") if len(rest) == 2 else ()) <= _FINE:
        return Lost(where, "mount")
    read_only = len(rest) == 2 and bool({"ro", "readonly"} & set(rest[1].split(",")))
    return _made(head + source, rest[0], read_only, where)


def _split(text: str) -> list[str]:
    """Split at colons outside of templates."""
    parts, depth, current = [], 0, ""
    for at, char in enumerate(text):
        depth += (text[at : at + 2] == "{{") - (text[at : at + 2] == "}}")
        if char == ":" and depth <= 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [*parts, current]


def mount(text: str, where: str) -> MountWanted | Lost:
    """Read ``type=…,source=…,target=…``."""
    fields = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        fields[name.strip().lower()] = value if equals else "true"
    kind = fields.pop("type", "volume")
    source = fields.pop("source", fields.pop("src", ""))
    target = fields.pop("target", fields.pop("destination", fields.pop("dst", "")))
    read_only = fields.pop("readonly", fields.pop("ro", "false")) in ("true", "1")
    if any(name.startswith("volume-") for name in fields):
        return Lost(where, "driver")
    if kind not in ("bind", "volume") or set(fields) - {"consistency", "bind-propagation"}:
        return Lost(where, "mount")
    return _made(source, target, read_only, where)


def _made(source: str, target: str, read_only: bool, where: str) -> MountWanted | Lost:
    if not templates.understood(source) or not templates.understood(target):
        return Lost(where, "template")
    if templates.names_outside(source) or source.startswith("~"):
        return Lost(where, "variable_from_outside")
    if names.is_engine_socket(target) or (source.startswith(("/", "\\")) and names.is_engine_socket(source)):
        return Lost(where, "engine_socket")
    if not templates.PLACE.search(target) and not names.is_target(target):
        return Lost(where, "mount")
    if source.startswith(("/", ".")) or source[1:2] == ":" or templates.PLACE.match(source):
        return MountWanted("bind", source[:1024], target, read_only)
    if not names.HOST_NAME.fullmatch(source):
        return Lost(where, "mount")
    return MountWanted("volume", source, target, read_only)
