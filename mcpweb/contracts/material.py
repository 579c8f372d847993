"""What a test type is handed to look at: frames, loads, files, cases, definitions."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcpweb.contracts.configuration import Json


@dataclass(frozen=True)
class Frame:
    """One protocol line or message as seen on the wire. ``at`` is time.monotonic_ns(); ``data`` is raw, capped."""

    at: int
    direction: Literal["sent", "received"]
    size: int
    data: bytes
    message: Json = None  # the decoded JSON, None when it is not JSON


@dataclass(frozen=True)
class InputCase:
    """Arguments for a tool, made from its schema. ``label`` says where (a JSON pointer) something is special, and what."""

    label: str
    arguments: dict[str, Json]
    valid: bool


@dataclass(frozen=True)
class Timed:
    """One call of a load. ``latency_ms`` is from the request's line to the reply's line; the deadline for a timeout."""

    latency_ms: float
    outcome: Literal["ok", "is_error", "rpc_error", "timeout", "gone"]
    detail: str = ""


@dataclass(frozen=True)
class Load:
    """The calls of a load in the order in which they were begun, and how long all took."""

    calls: tuple[Timed, ...]
    wall_s: float


@dataclass(frozen=True)
class FileChange:
    """A path of a container's own file system that is not as in its image. Memory and mounts do not count."""

    path: str
    kind: Literal["added", "changed", "deleted"]


@dataclass(frozen=True)
class Neighbour:
    """Another server of this installation, its tools as last seen; secrets are redacted."""

    server: str
    definitions: tuple[Mapping[str, Json], ...]


@dataclass(frozen=True)
class SavedCase:
    """A call somebody saved with what its result must be.

    An assertion is ``{"kind": "equals" | "jsonpath" | "regex" | "schema" | "latency" | "is_error", "path":
    "$.content[0].text", "value": …}``.
    """

    id: str
    name: str
    tool: str
    arguments: Mapping[str, Json]
    assertions: tuple[Mapping[str, Json], ...]


@dataclass(frozen=True)
class ImageFile:
    """One entry of one layer of an image, oldest layer first; ``path`` has no leading slash.

    *removed* takes the path and all below it out of the older layers; in each layer these come first. ``data`` is the
    first 256 KiB of a regular file that is of interest, else empty; ``target`` is where a link leads.
    """

    layer: int
    path: str
    kind: Literal["file", "folder", "link", "device", "other", "removed"]
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    data: bytes = field(default=b"", repr=False)
    target: str = ""


_PLACES = re.compile(
    r"^(var/lib/dpkg/status(\.d/[^/]+)?|lib/apk/db/installed|(etc|usr/lib)/os-release|etc/(passwd|group|shadow)"
    r"|(.*/)?[^/]+\.(dist-info/(METADATA|RECORD)|egg-info(/PKG-INFO)?)|(.*/)?node_modules/(@[^/]+/)?[^/]+/package\.json"
    r"|(.*/)?\.(aws|docker|kube|ssh|gnupg)/[^/]+)$"
)
_KEYS = re.compile(
    r"(?i)(^|/)(\.env[^/]*|\.?(npmrc|pypirc|netrc|git-credentials|dockercfg|dockerconfigjson|htpasswd|pgpass|my\.cnf|s3cfg|boto)"
    r"|id_(rsa|dsa|ecdsa|ed25519)|authorized_keys|known_hosts|[^/]*(credential|secret|password)[^/]*|[^/]*_history"
    r"|[^/]+\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk))$"
)
_OWN = re.compile(
    r"(?i)(^|/)([^/]+\.(env|ini|cfg|conf|toml|ya?ml|json|properties|xml|txt|sh|py|m?js|ts|rb|go|php|lock)|go\.(mod|sum)|dockerfile[^/]*)$"
)
_LIBRARIES = re.compile(
    r"(^|/)(node_modules|site-packages|dist-packages)/|^(usr/(?!local/|src/)|usr/local/lib/|lib/|var/lib/|opt/[^/]+/lib/|etc/ssl/certs/)"
)


def is_interesting(path: str) -> bool:
    """Tell whether a file of an image is worth a look inside.

    Lists of packages, keys and what may hold secrets wherever they are; settings and programs outside of libraries.
    """
    if _PLACES.search(path) or _KEYS.search(path):
        return True
    return bool(_OWN.search(path)) and not _LIBRARIES.search(path)
