"""Files that a server under test finds in places of our choice: volumes that a helper fills through its standard input."""
from __future__ import annotations

import json
import posixpath
import secrets
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from mcpweb.contracts import ConfigData, Launched, Limits, Planted
from mcpweb.errors import InvalidInput, Unavailable

MOST_FILES = 64
MOST_BYTES = 1 << 20
FILL_S = 20.0
_INSIDE = "/planted"
_DONE = b"planted"
_FILL = f"""
import json, os, sys
for path, text in json.load(sys.stdin).items():
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o444)
print("{_DONE.decode()}", flush=True)
"""


@dataclass(frozen=True)
class Planting:
    """Volumes, where the server sees them, and what the helper is told to write."""

    volumes: tuple[Planted, ...]
    files: Mapping[str, str]

    @property
    def writable(self) -> tuple[Planted, ...]:
        """The same volumes as the helper sees them."""
        return tuple(Planted(one.name, f"{_INSIDE}/{at}", writable=True) for at, one in enumerate(self.volumes))

    @property
    def config(self) -> ConfigData:
        """How the helper runs."""
        return ConfigData(
            entrypoint=("python3", "-S", "-c", _FILL), command=(), user="0:0", tmpfs={},
            limits=Limits(memory_mb=96, cpus=1, pids=32),
        )


def planned(files: Mapping[str, str], prefix: str) -> Planting:
    """Return which volumes hold these files. Raises InvalidInput for paths that are none."""
    texts = all(isinstance(path, str) and isinstance(text, str) for path, text in files.items())
    if not texts or not 0 < len(files) <= MOST_FILES or sum(len(text) for text in files.values()) > MOST_BYTES:
        raise InvalidInput(f"At most {MOST_FILES} files with {MOST_BYTES >> 20} MiB of text can be planted.")
    for path in files:
        if not path.startswith("/") or posixpath.normpath(path) != path or "\0" in path or posixpath.dirname(path) == "/":
            raise InvalidInput(f"{path[:200]!r} is not the absolute path of a file in a folder.")
    folders = {posixpath.dirname(path) for path in files}
    tops = sorted(one for one in folders if not any(one.startswith(other + "/") for other in folders))
    volumes = tuple(Planted(f"{prefix}{secrets.token_hex(6)}", folder) for folder in tops)
    inside = {}
    for path, text in files.items():
        at = next(at for at, folder in enumerate(tops) if path.startswith(folder + "/"))
        inside[f"{_INSIDE}/{at}{path.removeprefix(tops[at])}"] = text
    return Planting(volumes, inside)


def fill(launched: Launched, planting: Planting) -> None:
    """Give the helper its files and wait until they are written. Raises Unavailable."""
    sock, until, said = launched.socket, time.monotonic() + FILL_S, b""
    try:
        sock.settimeout(FILL_S)
        sock.sendall(json.dumps(planting.files).encode())
        sock.shutdown(socket.SHUT_WR)
        while _DONE not in said and time.monotonic() < until:
            if select.select([sock], [], [], 0.5)[0]:
                data = sock.recv(1 << 16)
                if not data:
                    break
                said = (said + data)[-4096:]
    except OSError:
        pass
    finally:
        sock.close()
    if _DONE not in said:
        words = said[8:].decode(errors="replace").strip()[-200:]
        raise Unavailable(f"The files could not be planted{f': {words}' if words else ''}.", code="cannot_plant")
