"""From an intent to the body of the engine's create call: a positive list, built here and nowhere else.

What is not written in this module cannot be asked of the engine: there is no pass-through. Privileged, devices,
host namespaces, other log drivers and restart policies have no way to be expressed.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcpweb.plugin import ConfigData, ContainerIntent, Limits, Mount, PolicyRefused, StartFailed

from . import handshake, labels, mounts, secretfiles, variables

CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "NET_BIND_SERVICE",
        "SETGID",
        "SETUID",
        "SYS_CHROOT",
    }
)
SINKHOLE_CAPABILITIES = ("NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW")  # over a network namespace of its own, which ends there
MIB = 2**20
_IMAGE_VOLUME_SIZE = "64m"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}")
_ID = re.compile(r"[0-9a-f]{64}")
_SYSTEM_FOLDERS = frozenset(
    f"/{name}" for name in ("bin", "boot", "etc", "lib", "lib32", "lib64", "sbin", "usr", "usr/bin", "usr/lib", "var")
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = re.compile(r"([a-z_][a-z0-9_-]{0,31}|\d{1,10})(:([a-z_][a-z0-9_-]{0,31}|\d{1,10}))?", re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,12})([kmg]?)b?", re.IGNORECASE)
_PATH = re.compile(r"/[!-~]*")


@dataclass(frozen=True)
class Network:
    """A bridge of this instance. ``masquerade`` is the way out to other machines."""

    name: str
    masquerade: bool


@dataclass(frozen=True)
class Plan:
    """A container as the engine shall make it, and what must stand before it can."""

    name: str
    body: dict[str, Any] = field(repr=False)  # may hold a secret whose way is the environment
    network: Network | None
    volumes: tuple[str, ...]
    sources: tuple[tuple[Mount, mounts.Source], ...]
    taken: frozenset[str] = field(default=frozenset())  # paths that have a mount or a tmpfs


def plan(intent: ContainerIntent, roots: tuple[Path, ...], address: str) -> Plan:
    """Return how to make this container. Raises PolicyRefused; touches nothing."""
    config = intent.config
    if not _NAME.fullmatch(intent.name):
        raise PolicyRefused(f"{intent.name!r} is not a container name.")
    if intent.sinkhole or intent.behind:
        _check_sinkhole(intent)
    network = _network(intent)
    mounted, volumes, sources = _mounts(intent, roots, address)
    mounted += _planted(intent)
    targets = [m["Target"] for m in mounted]
    tmpfs = {mounts.check_target(target): _tmpfs(target, size) for target, size in config.tmpfs.items()}
    variables.check(intent)
    taken = [*targets, *tmpfs, *secretfiles.targets(intent.secrets)]
    if len(set(taken)) != len(taken):
        raise PolicyRefused("Two mounts have the same place in the container.")
    stdio = config.transport == "stdio"
    stdin = stdio or by_stdin(intent)
    body: dict[str, Any] = {
        "Image": intent.image,
        "Labels": _labels(intent),
        "Env": _environment(variables.environment(config.environment, intent.secrets)),
        "Tty": False,
        "OpenStdin": stdin,
        "StdinOnce": stdin,  # the end of our stream is the end of the server's input
        "AttachStdin": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},  # we ask the server itself
        "HostConfig": {
            "NetworkMode": network.name if network else "none",
            "PortBindings": {},
            "Mounts": mounted,
            "Tmpfs": tmpfs,
            "ReadonlyRootfs": bool(config.read_only_root),
            "CapDrop": ["ALL"],
            "CapAdd": _capabilities(config),
            "SecurityOpt": ["no-new-privileges"],
            "Privileged": False,
            "Init": True,
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "LogConfig": {"Type": "none", "Config": {}},
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": False,
            **_limits(config.limits),
        },
    }
    if config.user is not None:
        body["User"] = _user(config.user)
    if config.entrypoint is not None:
        body["Entrypoint"] = _words("entrypoint", config.entrypoint)
    if config.command is not None:
        body["Cmd"] = _words("command", config.command)
    if not stdio:
        port = f"{_port(config)}/tcp"
        body["ExposedPorts"] = {port: {}}
        body["HostConfig"]["PortBindings"] = {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    if intent.sinkhole:
        body["HostConfig"] |= {"CapAdd": list(SINKHOLE_CAPABILITIES), "Dns": ["127.0.0.1"]}
        body["User"] = "0:0"
    if intent.behind:
        body["HostConfig"]["NetworkMode"] = f"container:{intent.behind}"
    if network and not network.masquerade:
        body["HostConfig"]["Dns"] = ["127.0.0.1"]  # names must not be a way out either
        body["HostConfig"]["DnsOptions"] = ["timeout:1", "attempts:1"]  # and asking in vain must not take 10 s
    return Plan(intent.name, body, network, tuple(volumes), tuple(sources), frozenset(taken))


def with_image(made: Plan, image_volumes: Mapping[str, Any] | None) -> Plan:
    """Return the plan with a tmpfs where the image asks for a volume: the engine would make an unbounded one."""
    extra = {mounts.check_target(path): _tmpfs(path, _IMAGE_VOLUME_SIZE) for path in image_volumes or ()}
    missing = {path: options for path, options in extra.items() if path not in made.taken}
    host = {**made.body["HostConfig"], "Tmpfs": {**made.body["HostConfig"]["Tmpfs"], **missing}}
    return replace(made, body={**made.body, "HostConfig": host})


def by_stdin(intent: ContainerIntent) -> bool:
    """Tell whether the container takes a secret from its standard input before it becomes the server."""
    return any(secret.way == "stdin" for secret in intent.secrets)


def through_shell(made: Plan, image: Mapping[str, Any]) -> Plan:
    """Return the plan with the shell before the server's own command, as the engine would put it together.

    Raises StartFailed when neither the configuration nor the image names a command.
    """
    body = dict(made.body)
    entrypoint, command = body.pop("Entrypoint", None), body.pop("Cmd", None)
    if not entrypoint:
        command = command or image.get("Cmd")
        entrypoint = image.get("Entrypoint") if entrypoint is None else entrypoint
    words = [*(entrypoint or ()), *(command or ())]
    if not words:
        raise StartFailed(
            f"The image {body['Image']} names no command.", next_step="Set command or entrypoint in the configuration."
        )
    return replace(made, body={**body, "Entrypoint": handshake.wrapped(words), "Cmd": []})


def with_files(made: Plan, written: secretfiles.Written) -> Plan:
    """Return the plan with the files of secrets in their places."""
    host = {**made.body["HostConfig"], "Mounts": [*made.body["HostConfig"]["Mounts"], *written.mounts]}
    body = {**made.body, "HostConfig": host, "Labels": {**made.body["Labels"], labels.FILES: written.folder}}
    return replace(made, body=body)


def user_id(config: ConfigData, image: Mapping[str, Any]) -> int | None:
    """Return the number of the user a container runs as, None when only the image knows it."""
    user = str(config.user if config.user is not None else image.get("User") or "0").partition(":")[0]
    return int(user) if user.isdigit() else 0 if user == "root" else None


def check_again(made: Plan, roots: tuple[Path, ...], address: str) -> None:
    """Look at every bind again, right before it counts. Raises PolicyRefused."""
    for mount, source in made.sources:
        mounts.check_unchanged(source, mount, roots, address)


def network_names(instance: str) -> tuple[str, str]:
    """Return the names of an instance's two bridges: ``published`` and ``outbound``."""
    name = f"mcpweb-{labels.short(instance)}"
    return name, f"{name}-out"


def _check_sinkhole(intent: ContainerIntent) -> None:
    """Raise PolicyRefused unless this is a plain sinkhole, or a test that stands behind one."""
    config = intent.config
    if config.transport != "stdio" or config.network != "none":
        raise PolicyRefused("A sinkhole has no other network, nor has what stands behind it.")
    if intent.sinkhole and (intent.role != "helper" or intent.behind or intent.secrets or config.mounts):
        raise PolicyRefused("A sinkhole is a helper of ours, without secrets and mounts.")
    if intent.behind and (intent.role != "test" or not _ID.fullmatch(intent.behind)):
        raise PolicyRefused("Only a test's container stands behind a sinkhole, named by its full id.")


def _network(intent: ContainerIntent) -> Network | None:
    config = intent.config
    published, outbound = network_names(intent.instance)
    if config.network == "published":
        return Network(published, masquerade=False)
    if config.network == "outbound":
        return Network(outbound, masquerade=True)
    if config.network != "none":
        raise PolicyRefused(
            f"{config.network!r} is not a network: none, published or outbound.",
            next_step="The host's network and those of other containers are never joined.",
        )
    if config.transport == "http":
        raise PolicyRefused(
            "An http server without a network cannot be reached.", next_step="Set network to published."
        )
    return None


def _mounts(
    intent: ContainerIntent, roots: tuple[Path, ...], address: str
) -> tuple[list[dict[str, Any]], list[str], list[tuple[Mount, mounts.Source]]]:
    found: list[dict[str, Any]] = []
    volumes: list[str] = []
    sources: list[tuple[Mount, mounts.Source]] = []
    prefix = f"mcpweb-{labels.short(intent.instance)}-"
    for mount in intent.config.mounts:
        target = mounts.check_target(mount.target)
        if mount.type == "bind":
            source = mounts.check_bind(mount, roots, address)
            sources.append((mount, source))
            # Not recursive: what is mounted below stays out, because old engines would leave it writable.
            options = {"BindOptions": {"Propagation": "private", "NonRecursive": True}}
            place = source.real
        elif mount.type == "volume":
            place = mounts.check_volume(mount, prefix)
            volumes.append(place)
            options = {}
        else:
            raise PolicyRefused(f"{mount.type!r} is not a kind of mount: bind or volume.")
        found.append(
            {"Type": mount.type, "Source": place, "Target": target, "ReadOnly": bool(mount.read_only), **options}
        )
    return found, volumes, sources


def _planted(intent: ContainerIntent) -> list[dict[str, Any]]:
    """Return the mounts of a test's own volumes: written by a helper, read by the server under test."""
    found = []
    prefix = planted_prefix(intent.instance)
    for one in intent.planted:
        if intent.role != ("helper" if one.writable else "test") or not mounts.is_volume(one.name.removeprefix(prefix)):
            raise PolicyRefused("Only a helper of ours fills the volume of a test, and only a test sees it.")
        target = mounts.check_target(one.target)
        if target in _SYSTEM_FOLDERS:
            raise PolicyRefused(f"Nothing can be planted in {target}: what is there now would be hidden.")
        found.append({
            "Type": "volume", "Source": one.name, "Target": target, "ReadOnly": not one.writable,
            "VolumeOptions": {"NoCopy": True},
        })
    return found


def planted_prefix(instance: str) -> str:
    """Return what the names of all volumes of tests begin with."""
    return f"mcpweb-{labels.short(instance)}-planted-"


def _tmpfs(target: str, size: str) -> str:
    match = _SIZE.fullmatch(str(size))
    amount = int(match[1]) * {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[match[2].lower()] if match else 0
    if not 4096 <= amount <= 64 * 2**30:
        raise PolicyRefused(f"The size {size!r} of the tmpfs {target} is not like 64m, from 4k to 64g.")
    return f"rw,nosuid,nodev,noexec,size={amount},mode=1777"


def _limits(limits: Limits) -> dict[str, Any]:
    if not 6 <= limits.memory_mb <= 4 * 2**20:
        raise PolicyRefused(f"limits.memory_mb is {limits.memory_mb}; it must be from 6 to 4194304.")
    if not 0.01 <= limits.cpus <= 1024:
        raise PolicyRefused(f"limits.cpus is {limits.cpus}; it must be from 0.01 to 1024.")
    if not 4 <= limits.pids <= 65536:
        raise PolicyRefused(f"limits.pids is {limits.pids}; it must be from 4 to 65536.")
    memory = int(limits.memory_mb) * MIB
    return {
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": round(limits.cpus * 1e9),
        "PidsLimit": int(limits.pids),
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],  # memory holds secrets; it is not written to disk
    }


def _capabilities(config: ConfigData) -> list[str]:
    wanted = [name.upper().removeprefix("CAP_") for name in config.capabilities]
    for name in wanted:
        if name not in CAPABILITIES:
            raise PolicyRefused(
                f"The capability {name} is not given to containers.",
                next_step=f"Allowed are {', '.join(sorted(CAPABILITIES))}.",
            )
    return sorted(set(wanted))


def _environment(environment: Mapping[str, str]) -> list[str]:
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name):
            raise PolicyRefused(f"{name!r} is not the name of an environment variable.")
        if "\0" in value:
            raise PolicyRefused(f"The environment variable {name} holds a zero byte.")
    return [f"{name}={value}" for name, value in environment.items()]


def _labels(intent: ContainerIntent) -> dict[str, str]:
    reserved = labels.RESERVED & intent.labels.keys()
    if reserved:
        raise PolicyRefused(f"The label {min(reserved)} is set by the runtime alone.")
    return labels.of(intent)


def _user(user: str) -> str:
    if not _USER.fullmatch(user):
        raise PolicyRefused(f"{user!r} is not a user like 1000, 1000:1000 or a name.")
    return user


def _words(what: str, words: tuple[str, ...]) -> list[str]:
    if any("\0" in word for word in words) or sum(map(len, words)) > 128 * 1024:
        raise PolicyRefused(f"The {what} holds a zero byte or is longer than 128 KiB.")
    return list(words)


def _port(config: ConfigData) -> int:
    if config.port is None or not 1 <= config.port <= 65535:
        raise PolicyRefused(
            "An http server needs a port from 1 to 65535.", next_step="Set port to the one the server listens on."
        )
    if not _PATH.fullmatch(config.path):
        raise PolicyRefused(f"{config.path!r} is not the path of an endpoint.")
    return config.port
