"""Documents of configurations compared: with another revision, and with the hardened defaults."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One place where two documents differ; ``kind`` is added, removed or changed."""

    pointer: str
    kind: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Loosening:
    """One way in which a document gives a container more than the hardened defaults do."""

    code: str
    pointer: str
    detail: str


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return where two documents differ, by place; lists and values as a whole, objects key by key."""
    return tuple(_changes(before, after, ""))


def _changes(before: Any, after: Any, pointer: str) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            step = key.replace("~", "~0").replace("/", "~1")
            yield from _changes(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{pointer}/{step}")
    elif before is _ABSENT:
        yield Change(pointer, "added", None, after)
    elif after is _ABSENT:
        yield Change(pointer, "removed", before, None)
    elif before != after:
        yield Change(pointer, "changed", before, after)


def loosenings(document: Mapping[str, Any]) -> tuple[Loosening, ...]:
    """Return what a document loosens, the worst first."""
    return tuple(_loosenings(document))


def _loosenings(document: Mapping[str, Any]) -> Iterator[Loosening]:
    network = document.get("network")
    if network == "outbound":
        yield Loosening("network_outbound", "/network", "The container reaches the internet and the networks around it.")
    elif network == "published" and document.get("transport") != "http":
        yield Loosening("network_published", "/network", "The container has a network, which a stdio server does not need.")
    if document.get("capabilities"):
        names = ", ".join(document["capabilities"])
        yield Loosening("capabilities", "/capabilities", f"The container gets the capabilities {names}.")
    if str(document.get("user") or "").partition(":")[0] in ("0", "root"):
        yield Loosening("user_root", "/user", "The container runs as root.")
    if document.get("read_only_root") is False:
        yield Loosening("root_writable", "/read_only_root", "The container can write to its root file system.")
    for at, mount in enumerate(document.get("mounts", ())):
        if not mount.get("read_only", True):
            detail = f"The container can write to {mount['source']}."
            yield Loosening("mount_writable", f"/mounts/{at}", detail)
        elif mount.get("type") == "bind":
            yield Loosening("mount_readable", f"/mounts/{at}", f"The container can read {mount['source']} of this machine.")
    if document.get("active_probes"):
        yield Loosening("active_probes", "/active_probes", "Tests may call tools that change things.")
