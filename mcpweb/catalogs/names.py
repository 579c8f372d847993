"""Names proposed for servers, and checks of what foreign texts call images, users and variables."""
from __future__ import annotations

import re

from mcpweb.schemas.names import IMAGE, LONGEST_IMAGE, NAME, VARIABLE

_OTHER = re.compile(r"[^A-Za-z0-9_.-]+")
USER = re.compile(r"[A-Za-z0-9_.-]{1,64}(?::[A-Za-z0-9_.-]{1,64})?")
HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}")
_AROUND = ("/", "/run", "/var", "/var/run", "/run/docker", "/var/lib/docker")
_ABSOLUTE = re.compile(r"/[^\x00:,]{1,1023}")


def server_name(text: str) -> str:
    """Return a valid name of a server that is like a text: ``io.github.user/weather`` becomes ``weather``."""
    tail = text.strip().rstrip("/").rpartition("/")[2] or text
    made = _OTHER.sub("-", tail).strip("-_.")[:63].rstrip("-_.")
    return made if NAME.fullmatch(made) else "server"


def secret_name(text: str) -> str:
    """Return a valid name of a secret that is like a text."""
    made = _OTHER.sub("_", text).strip("-_.")[:63]
    return made if NAME.fullmatch(made) else "secret"


def is_image(text: str) -> bool:
    return len(text) <= LONGEST_IMAGE and bool(IMAGE.fullmatch(text))


def is_variable(text: str) -> bool:
    return bool(VARIABLE.fullmatch(text))


def is_target(text: str) -> bool:
    """Tell whether this can be a path inside a container."""
    return bool(_ABSOLUTE.fullmatch(text)) and not any(part in ("", ".", "..") for part in text.split("/")[1:])


def is_engine_socket(path: str) -> bool:
    """Tell whether a path of this machine leads to the engine: its socket, or a folder that holds it."""
    clean = re.sub(r"/+", "/", path).rstrip("/") or "/"
    return clean.endswith((".sock", "/docker.sock.raw")) or clean in _AROUND
