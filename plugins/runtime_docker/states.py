"""The state of a container as the engine tells it, in our words."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mcpweb.plugin import ConfigData, ContainerState

from . import handshake

_EXIT = re.compile(r"Exited \((\d+)\)")
_NEVER = "0001-01-01T00:00:00Z"


def endpoint_of(state: ContainerState, config: ConfigData) -> str | None:
    """Return the URL of an http server, None for stdio and while no port is published."""
    if config.transport != "http":
        return None
    port = _host_port((state.raw.get("NetworkSettings") or {}).get("Ports"), config.port) or state.published_port
    return None if port is None else f"http://127.0.0.1:{port}{config.path}"


def inspected(facts: Mapping[str, Any]) -> ContainerState:
    state = facts["State"]
    status = str(state["Status"])
    ended = status in ("exited", "dead")
    return ContainerState(
        id=str(facts["Id"]),
        name=str(facts["Name"]).removeprefix("/"),
        status=status,
        labels=dict(facts["Config"].get("Labels") or {}),
        image_id=str(facts["Image"]),
        exit_code=int(state["ExitCode"]) if ended else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or "") or _not_run(facts, int(state["ExitCode"]) if ended else 0),
        started_at=_time(state.get("StartedAt")),
        finished_at=_time(state.get("FinishedAt")) if ended else None,
        published_port=_host_port((facts.get("NetworkSettings") or {}).get("Ports"), None),
        raw=facts,
    )


def _not_run(facts: Mapping[str, Any], exit_code: int) -> str:
    """Return what an exit code of the init program means; the engine itself counts such a start as a success."""
    meaning = {126: "cannot be executed", 127: "was not found in the image"}.get(exit_code)
    if not meaning:
        return ""
    words = handshake.unwrapped([str(facts.get("Path", "")), *map(str, facts.get("Args") or ())])
    return f"exit code {exit_code}, a program {meaning}; the command is `{words[0] if words else ''}`"


def listed(facts: Mapping[str, Any]) -> ContainerState:
    exited = _EXIT.match(str(facts.get("Status", "")))
    ports = [p["PublicPort"] for p in facts.get("Ports") or () if p.get("IP") == "127.0.0.1" and p.get("PublicPort")]
    return ContainerState(
        id=str(facts["Id"]),
        name=str(next(iter(facts.get("Names") or ()), "")).removeprefix("/"),
        status=str(facts["State"]),
        labels=dict(facts.get("Labels") or {}),
        image_id=str(facts.get("ImageID", "")),
        exit_code=int(exited[1]) if exited else None,
        published_port=int(ports[0]) if ports else None,
    )


def _host_port(ports: Mapping[str, Any] | None, wanted: int | None) -> int | None:
    for name, hosts in (ports or {}).items():
        if wanted is not None and name != f"{wanted}/tcp":
            continue
        for host in hosts or ():
            if host.get("HostIp") == "127.0.0.1":
                return int(host["HostPort"])
    return None


def _time(text: str | None) -> str | None:
    """Return the engine's time as rows hold it."""
    if not text or text == _NEVER:
        return None
    head, _, rest = text.partition(".")
    digits = re.match(r"\d*", rest)
    return f"{head.removesuffix('Z').replace('T', ' ')}.{((digits[0] if digits else '') + '000')[:3]}"


__all__ = ["endpoint_of", "inspected", "listed"]
