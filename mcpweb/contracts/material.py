"""What a test type is handed to look at: frames, loads, files, cases, definitions."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
