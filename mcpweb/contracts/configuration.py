"""The settings document of one configuration (the JSON in ``configurations.config_data``)."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = Any



@dataclass(frozen=True)
class Mount:
    type: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Limits:
    memory_mb: int = 512
    cpus: float = 1.0
    pids: int = 256


@dataclass(frozen=True)
class ConfigData:
    """The settings document of one configuration; defaults are the hardened ones."""

    transport: Literal["stdio", "http"] = "stdio"
    port: int | None = None
    path: str = "/mcp"
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network: Literal["none", "published", "outbound"] = "none"
    mounts: tuple[Mount, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=lambda: {"/tmp": "64m"})  # noqa: S108 - a path inside
    limits: Limits = Limits()
    read_only_root: bool = True
    capabilities: tuple[str, ...] = ()
    user: str | None = None
    tools: tuple[str, ...] | None = None
    active_probes: bool = False

    def to_json(self) -> dict[str, Json]:
        """Return the document as CONTRACT §4 writes it."""
        return {
            "transport": self.transport,
            "port": self.port,
            "path": self.path,
            "entrypoint": None if self.entrypoint is None else list(self.entrypoint),
            "command": None if self.command is None else list(self.command),
            "environment": dict(self.environment),
            "network": self.network,
            "mounts": [
                {"type": m.type, "source": m.source, "target": m.target, "read_only": m.read_only}
                for m in self.mounts
            ],
            "tmpfs": dict(self.tmpfs),
            "limits": {
                "memory_mb": self.limits.memory_mb,
                "cpus": self.limits.cpus,
                "pids": self.limits.pids,
            },
            "read_only_root": self.read_only_root,
            "capabilities": list(self.capabilities),
            "user": self.user,
            "tools": None if self.tools is None else list(self.tools),
            "active_probes": self.active_probes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ConfigData:
        """Build from a *validated* document (schemas/configurations.py); absent keys take the defaults."""
        known = dict(data)
        for name in ("entrypoint", "command", "tools"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        if "capabilities" in known:
            known["capabilities"] = tuple(known["capabilities"])
        if "mounts" in known:
            known["mounts"] = tuple(Mount(**m) for m in known["mounts"])
        if "limits" in known:
            known["limits"] = Limits(**known["limits"])
        return cls(**known)
