"""The networks and volumes of an instance: made when first needed, only used when they are ours."""
from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import NotFound, Planted, RuntimeConflict

from . import labels
from .faults import EngineRefused
from .policy import Network, planted_prefix

if TYPE_CHECKING:
    from .engine import Engine
    from .transport import Client

_making = threading.Lock()


def ensure_network(client: Client, network: Network, instance: str) -> None:
    """Make the bridge if it is missing. Raises RuntimeConflict when a foreign or changed one has the name.

    No traffic between containers; without masquerade there is no way out but to this machine itself.
    """
    wanted = {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "true" if network.masquerade else "false",
        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
    }
    with _making:
        known = [n for n in client.networks(names=[network.name]) if n["Name"] == network.name]
        if not known:
            body = {
                "Name": network.name,
                "CheckDuplicate": True,
                "Driver": "bridge",
                "Internal": False,
                "Attachable": False,
                "EnableIPv6": False,
                "Options": wanted,
                "Labels": {labels.INSTANCE: instance},
            }
            client.send_json("POST", "/networks/create", body)
            return
    for one in known:
        same = one["Driver"] == "bridge" and all((one["Options"] or {}).get(k) == v for k, v in wanted.items())
        if (one["Labels"] or {}).get(labels.INSTANCE) != instance or not same or one.get("EnableIPv6"):
            raise RuntimeConflict(
                f"The network {network.name} is not the one mcpweb makes: somebody else made or changed it.",
                next_step=f"Remove it (docker network rm {network.name}); it is made again at the next start.",
            )


def ensure_volume(client: Client, name: str, instance: str) -> None:
    """Make the volume if it is missing, without driver options. Raises RuntimeConflict for any other one."""
    body = {"Name": name, "Driver": "local", "DriverOpts": {}, "Labels": {labels.INSTANCE: instance}}
    known: Any = client.send_json("POST", "/volumes/create", body)  # gives back the one that is there, if there is one
    if (
        known["Driver"] != "local"
        or known.get("Options")
        or (known.get("Labels") or {}).get(labels.INSTANCE) != instance
    ):
        raise RuntimeConflict(
            f"The volume {name} was not made by mcpweb, or has driver options; it is not used.",
            next_step=f"Choose another name, or remove it: docker volume rm {name}.",
        )


def ensure_planted(client: Client, one: Planted, instance: str) -> None:
    """Make the volume of a test for whoever fills it; for the test it must be there. Raises NotFound, RuntimeConflict."""
    wanted = {labels.INSTANCE: instance, labels.PLANTED: "true"}
    if one.writable:
        body = {"Name": one.name, "Driver": "local", "DriverOpts": {}, "Labels": wanted}
        known: Any = client.send_json("POST", "/volumes/create", body)
    else:
        known = client.inspect_volume(one.name)
    if known["Driver"] != "local" or known.get("Options") or known.get("Labels") != wanted:
        raise RuntimeConflict(f"The volume {one.name} was not made for a test; it is not used.")


def planted(engine: Engine, instance: str) -> list[str]:
    """Return the volumes of tests of an instance."""
    wanted = {"label": [f"{labels.INSTANCE}={instance}", f"{labels.PLANTED}=true"]}
    found = engine.call("list volumes", lambda client: client.volumes(filters=wanted)["Volumes"] or [])
    return sorted(str(one["Name"]) for one in found)


def remove_planted(engine: Engine, instance: str, name: str) -> None:
    """Remove the volume of a test. Raises RuntimeConflict while it is used."""
    if not name.startswith(planted_prefix(instance)):
        raise NotFound(f"{name[:80]!r} is not the volume of a test.")
    with suppress(NotFound):
        engine.call("remove a volume", lambda client: client.send_empty("DELETE", f"/volumes/{name}"))


def cleanup(engine: Engine, instance: str) -> None:
    """Remove the networks of this instance that no container uses; volumes are data and stay."""

    def names(client: Client) -> list[str]:
        found = client.networks(filters={"label": f"{labels.INSTANCE}={instance}"})
        return [n["Name"] for n in found if not client.inspect_network(n["Id"]).get("Containers")]

    def remove(name: str, client: Client) -> None:
        client.remove_network(name)

    for name in engine.call("list networks", names):
        try:
            engine.call("remove a network", partial(remove, name))
        except (NotFound, RuntimeConflict):
            continue  # gone, or taken again meanwhile
        except EngineRefused as refusal:
            if "active endpoints" not in refusal.message:
                raise
