"""The engine as tests look at it, past the runtime under test."""
from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

ADDRESS = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def api() -> Any:
    """Return the SDK's low-level client."""
    import docker

    return docker.APIClient(base_url=ADDRESS, timeout=60)


def remove_volumes(instances: Iterable[str]) -> list[str]:
    """Remove the volumes of these instances and return their names."""
    client = api()
    found = client.volumes(filters={"label": "mcpweb.instance"})["Volumes"] or []
    names = [one["Name"] for one in found if one["Labels"]["mcpweb.instance"] in set(instances)]
    for name in names:
        client.remove_volume(name, force=True)
    client.close()
    return names


def remove_networks(instances: Iterable[str]) -> list[str]:
    """Remove the networks of these instances and return their names."""
    client = api()
    found = client.networks(filters={"label": "mcpweb.instance"})
    names = [one["Name"] for one in found if one["Labels"]["mcpweb.instance"] in set(instances)]
    for name in names:
        client.remove_network(name)
    client.close()
    return names


def remove_containers(label: str) -> list[str]:
    """Remove all containers with this label and return their names."""
    client = api()
    found = client.containers(all=True, filters={"label": label})
    for one in found:
        client.remove_container(one["Id"], force=True, v=True)
    client.close()
    return [one["Names"][0] for one in found]
