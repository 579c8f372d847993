"""Which folders of this machine may be seen by a container: few, and never the engine's socket."""
from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mcpweb.plugin import Mount, PolicyRefused

_ENGINE_SOCKETS = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
)
_OS_FOLDERS = ("/proc", "/sys", "/dev")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class Source:
    """A checked source of a bind: where it really is and which file that was."""

    given: str
    real: str
    identity: tuple[int, int]


def check_target(target: str) -> str:
    """Return the path inside the container. Raises PolicyRefused for / and the folders of the operating system."""
    path = PurePosixPath(target)
    if not target.startswith("/") or "\0" in target or ".." in path.parts or str(path) != target.rstrip("/"):
        raise PolicyRefused(f"{target!r} is not a plain absolute path inside the container.")
    if str(path) == "/":
        raise PolicyRefused("Nothing may be mounted over / of the container.")
    if any(str(path) == folder or str(path).startswith(folder + "/") for folder in _OS_FOLDERS):
        raise PolicyRefused(f"Nothing may be mounted over {target}: /proc, /sys and /dev belong to the engine.")
    return str(path)


def check_bind(mount: Mount, roots: tuple[Path, ...], address: str) -> Source:
    """Return what a bind really means, all symbolic links followed. Raises PolicyRefused."""
    if not address.startswith("unix://"):
        raise PolicyRefused(
            "Folders cannot be mounted: the engine is reached over the network and sees other files than we do.",
            next_step="Use a volume.",
        )
    if not os.path.isabs(mount.source) or "\0" in mount.source:
        raise PolicyRefused(f"{mount.source!r} is not an absolute path.")
    real = os.path.realpath(mount.source)
    try:
        facts = os.stat(real)
    except OSError as error:
        raise PolicyRefused(f"{mount.source} cannot be mounted: {error.strerror}.") from None
    if not (stat.S_ISDIR(facts.st_mode) or stat.S_ISREG(facts.st_mode)):
        raise PolicyRefused(f"{mount.source} is neither a folder nor a file; sockets and devices are never mounted.")
    for sock in {*_ENGINE_SOCKETS, address.removeprefix("unix://")}:
        if _inside(os.path.realpath(sock), real) or _inside(sock, real):
            raise PolicyRefused(f"{mount.source} holds the engine's socket {sock}, which would give away this machine.")
    if not any(_inside(real, os.path.realpath(root)) for root in roots):
        allowed = ":".join(map(str, roots)) or "empty"
        raise PolicyRefused(
            f"{mount.source} is not in an allowed folder"
            + ("." if real == mount.source else f" (it is really {real}).")
            + f" MCPWEB_BIND_ROOTS is {allowed}.",
            next_step="Add a folder to MCPWEB_BIND_ROOTS and restart, or use a volume.",
        )
    return Source(mount.source, real, (facts.st_dev, facts.st_ino))


def check_unchanged(source: Source, mount: Mount, roots: tuple[Path, ...], address: str) -> None:
    """Look again, right before it counts. Raises PolicyRefused when somebody swapped the path meanwhile."""
    if check_bind(mount, roots, address) != source:
        raise PolicyRefused(f"{mount.source} was exchanged while the container was being made.")


def check_volume(mount: Mount, prefix: str) -> str:
    """Return the engine's name of a volume: always one of this instance. Raises PolicyRefused."""
    if not is_volume(mount.source) or mount.source.removeprefix(prefix).startswith("planted-"):
        raise PolicyRefused(
            f"{mount.source!r} is not a volume name: letters, digits, dot, dash and underscore, at most 63, "
            "and not planted-…."
        )
    return mount.source if mount.source.startswith(prefix) else prefix + mount.source


def is_volume(name: str) -> bool:
    """Tell whether this is a name for a volume."""
    return _VOLUME.fullmatch(name) is not None


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
