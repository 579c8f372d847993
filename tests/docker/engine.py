"""The engine as tests look at it, past the runtime under test."""
from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcpweb import paths
from mcpweb.contracts import ConfigData, ContainerIntent
from mcpweb.pluginhost import import_folder

import_folder("runtime_docker", paths.PLUGINS / "runtime_docker")

from mcpweb_plugins.runtime_docker.engine import default_address  # noqa: E402 - exists from here on
from mcpweb_plugins.runtime_docker.runtime import DockerRuntime  # noqa: E402
from mcpweb_plugins.runtime_docker.secretfiles import SecretFiles  # noqa: E402

ADDRESS = os.environ.get("DOCKER_HOST") or default_address()


def engine_line() -> tuple[bool, str]:
    """Return whether an engine answers, and a line that says so."""
    health = DockerRuntime(ADDRESS).health()
    if health.reachable:
        return True, f"docker: engine {health.version}, API {health.api_version}, at {health.address}"
    return False, f"docker: no engine at {health.address}, tests that need one are skipped: {health.detail}"


TINY = Path(__file__).with_name("tiny_program.py").read_text()


def tiny(*arguments: str, **changes: Any) -> ConfigData:
    """Return a configuration that runs the tiny MCP server in any image with python3."""
    return ConfigData(**{"entrypoint": ("python3", "-c", TINY), "command": arguments, **changes})


@dataclass
class DockerSession:
    """What the tests of one run share: a label, and the instances they made up."""

    label: str = field(default_factory=lambda: secrets.token_hex(6))
    instances: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return {"mcpweb.test": self.label}

    def instance(self) -> str:
        """Return an instance nobody else has; its networks and volumes must be gone at the end."""
        self.instances.append(f"ins_{secrets.token_hex(8)}")
        return self.instances[-1]

    def intent(self, image: str, config: ConfigData | None = None, **changes: Any) -> ContainerIntent:
        """Return an intent of an instance of its own; without a configuration it is the tiny MCP server."""
        instance = changes.pop("instance", None) or self.instance()
        values: dict[str, Any] = {
            "name": f"mcpweb-docker-{instance[-8:]}",
            "instance": instance,
            "server_id": "srv_docker",
            "server": "docker",
            "role": "server",
            "image": image,
            "config": config or tiny(),
            "config_hash": "hash",
            "labels": self.labels,
        }
        return ContainerIntent(**{**values, **changes})


def leftovers(session: DockerSession) -> list[str]:
    """Remove what a session left behind and return what it was."""
    left = [f"container {name}" for name in remove_containers("mcpweb.test", [session.label])]
    left += [f"container {name}" for name in remove_containers("mcpweb.instance", session.instances)]
    left += [f"network {name}" for name in remove_networks(session.instances)]
    left += [f"secrets of {instance}" for instance in session.instances if remove_secrets(instance)]
    return left + [f"volume {name}" for name in remove_volumes(session.instances)]


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


def remove_secrets(instance: str) -> int:
    """Remove what lies in memory for an instance and return how many containers it was for."""
    files = SecretFiles()
    standing = files.standing(instance)
    for folder in standing:
        files.remove(instance, folder)
    return len(standing)


def remove_containers(label: str, values: Iterable[str]) -> list[str]:
    """Remove all containers whose label has one of these values and return their names; thousands are asked for at once."""
    client, wanted = api(), set(values)
    found = [one for one in client.containers(all=True, filters={"label": label}) if one["Labels"][label] in wanted]
    for one in found:
        client.remove_container(one["Id"], force=True, v=True)
    client.close()
    return [one["Names"][0] for one in found]
