"""What is ours: the labels on every container, network and volume we make."""
from __future__ import annotations

from collections.abc import Mapping

from mcpweb.plugin import ContainerIntent, ContainerState, PolicyRefused

INSTANCE = "mcpweb.instance"
SERVER_ID = "mcpweb.server_id"
SERVER = "mcpweb.server"
ROLE = "mcpweb.role"
CONFIG_HASH = "mcpweb.config_hash"
SINKHOLE = "mcpweb.sinkhole"
PLANTED = "mcpweb.planted"  # a volume of a test, which goes with it
FILES = "mcpweb.secret_files"  # the folder of the files a container is shown; says nothing about them
RESERVED = frozenset({INSTANCE, SERVER_ID, SERVER, ROLE, CONFIG_HASH, SINKHOLE, PLANTED, FILES})


def of(intent: ContainerIntent) -> dict[str, str]:
    """Return all labels of a container."""
    return {
        **intent.labels,
        INSTANCE: intent.instance,
        SERVER_ID: intent.server_id,
        SERVER: intent.server,
        ROLE: intent.role,
        CONFIG_HASH: intent.config_hash,
        **({SINKHOLE: "true"} if intent.sinkhole else {}),
    }


def same_owner(labels: Mapping[str, str], intent: ContainerIntent) -> bool:
    """Tell whether a container with these labels is an earlier one of the very same server and role."""
    mine = of(intent)
    return all(labels.get(name) == mine[name] for name in (INSTANCE, SERVER_ID, SERVER, ROLE))


def check_sinkhole(state: ContainerState, intent: ContainerIntent) -> None:
    """Raise PolicyRefused unless the container is a running sinkhole of the same instance."""
    ours = state.labels.get(INSTANCE) == intent.instance and state.labels.get(SINKHOLE) == "true"
    if not ours or not state.running:
        raise PolicyRefused(f"The container {intent.behind[:12]} is not a running sinkhole of this instance.")


def owner(labels: Mapping[str, str]) -> str:
    """Return who a container belongs to, in words."""
    if INSTANCE not in labels:
        return "something that is not mcpweb"
    return f"server {labels.get(SERVER, '?')} of the mcpweb instance {labels[INSTANCE]}"


def short(instance: str) -> str:
    """Return the eight characters of an instance that are part of names."""
    return instance[-8:]
