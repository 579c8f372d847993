"""What a container has become: which files it changed, and what runs in it. What the engine itself did is left out."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from mcpweb.plugin import FileChange, RuntimeConflict

from .containers import checked

if TYPE_CHECKING:
    from .engine import Engine
    from .transport import Client

_KINDS: dict[int, Literal["added", "changed", "deleted"]] = {0: "changed", 1: "added", 2: "deleted"}
_INIT = "/sbin/docker-init"
_ALWAYS = (_INIT, "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab")


def changes(engine: Engine, container_id: str) -> list[FileChange]:
    """Return what differs from the image; the places of mounts and of the init program are the engine's. Raises NotFound."""
    one = checked(container_id)

    def look(client: Client) -> tuple[Any, Any]:
        return client.inspect_container(one), client.diff(one)

    facts, told = engine.call("compare a container with its image", look)
    own, above = _places(facts)
    found = [FileChange(str(change["Path"]), _KINDS.get(int(change["Kind"]), "changed")) for change in told or []]
    return [c for c in found if c.path not in own and (c.path not in above or c.kind == "deleted")]


def processes(engine: Engine, container_id: str) -> list[str]:
    """Return the command lines of what runs in a container, none when it has ended. Raises NotFound."""
    one = checked(container_id)
    try:
        told = engine.call("list processes", lambda client: client.top(one, ps_args="-eo pid,args -ww"))
    except RuntimeConflict:
        return []
    lines = [str(row[-1]) for row in told.get("Processes") or [] if row]
    init = next((at for at, line in enumerate(lines) if line.startswith(f"{_INIT} -- ")), None)
    return lines if init is None else [*lines[:init], *lines[init + 1:]]


def resident(engine: Engine, container_id: str) -> int:
    """Return the resident memory of a container's processes together, 0 when it has ended. Raises NotFound.

    The engine's statistics come once a second; this comes in a tenth.
    """
    one = checked(container_id)
    try:
        told = engine.call("list processes", lambda client: client.top(one, ps_args="-eo pid,rss,comm"))
    except RuntimeConflict:
        return 0
    return 1024 * sum(int(row[1]) for row in told.get("Processes") or [] if len(row) > 1 and str(row[1]).isdecimal())


def _places(facts: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the paths the engine made in a container, and the folders above them."""
    own = {*_ALWAYS, *((facts.get("HostConfig") or {}).get("Tmpfs") or {})}
    own |= {str(mount.get("Destination")) for mount in facts.get("Mounts") or []}
    return own, {str(folder) for path in own for folder in PurePosixPath(path).parents}
