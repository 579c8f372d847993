"""K07: where a container differs from what its stored configuration asks for."""
# ruff: noqa: E501 - one rule a line
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import ConfigData, ContainerState, Severity, TestContext

if TYPE_CHECKING:
    from .posture import Flaw

MIB = 2**20
_LOADERS = ("LD_", "PYTHONPATH", "PYTHONSTARTUP", "NODE_OPTIONS", "PATH", "BASH_ENV", "ENV", "PERL5", "RUBYOPT", "JAVA_TOOL", "IFS")
_FIX = "Stop the server and start it again with its configuration; find out who changed the container."
_NEVER: tuple[tuple[str, tuple[Any, ...], str], ...] = (  # what no configuration of ours can ask for
    ("Privileged", (False, None), "is privileged"), ("PidMode", ("", None), "shares processes"), ("UTSMode", ("", None), "shares a host name"),
    ("UsernsMode", ("", None), "shares users"), ("Devices", (None, [], ()), "has devices"), ("VolumesFrom", (None, [], ()), "has foreign volumes"),
    ("PublishAllPorts", (False, None), "publishes all ports"),
)


def flaws(context: TestContext, state: ContainerState, *, test: bool) -> Iterator[Flaw]:
    """Yield what differs. A test's own container has its mounts read-only and memory for volumes, as it should."""
    from .posture import Flaw

    facts, config = state.raw, context.config
    host, inside = _map(facts.get("HostConfig")), _map(facts.get("Config"))
    image = _map(context.image.raw.get("Config")) if context.image.raw else {}

    def differs(pointer: str, looser: bool, what: str, is_: Any, should: Any, severity: Severity | None = None) -> Flaw:
        grade: Severity = severity or ("high" if looser else "medium")
        return Flaw("K07", pointer, grade, f"is not as its configuration says: {what}", {"is": is_, "should_be": should}, _FIX)

    for field, allowed, what in _NEVER:
        if host.get(field) not in allowed:
            yield differs(f"/HostConfig/{field}", True, f"it {what}, which no configuration can ask for", host.get(field), allowed[0])
    if state.image_id and context.image.id and state.image_id != context.image.id:
        yield differs("/Image", False, "it was made of another image than the one that is here now", state.image_id, context.image.id)
    words, wanted = _command(inside), _wanted(config, context)
    if words != wanted:
        yield differs("/Config/Cmd", True, "it runs another command", words[:20], wanted[:20])
    user = config.user if config.user is not None else str(image.get("User") or context.image.user or "")
    if str(inside.get("User") or "") != user:
        root = str(inside.get("User") or "0").partition(":")[0] in ("", "0", "root")
        yield differs("/Config/User", root, f"it runs as {inside.get('User') or 'root'}", inside.get("User"), user)
    yield from _capabilities(host, config, differs)
    yield from _limits(host, config, differs)
    yield from _environment(inside, config, image, differs)
    yield from _network(facts, host, config, differs, test)
    if not test:
        yield from _mounts(facts, config, differs)


def _capabilities(host: Mapping[str, Any], config: ConfigData, differs: Any) -> Iterator[Flaw]:
    added = {str(cap).upper().removeprefix("CAP_") for cap in host.get("CapAdd") or ()}
    asked = {cap.upper().removeprefix("CAP_") for cap in config.capabilities}
    if added != asked:
        yield differs("/HostConfig/CapAdd", bool(added - asked), "it has other capabilities", sorted(added), sorted(asked))
    if "ALL" not in {str(cap).upper() for cap in host.get("CapDrop") or ()}:
        yield differs("/HostConfig/CapDrop", True, "not all capabilities are dropped", host.get("CapDrop"), ["ALL"])
    options = [str(one).replace("=", ":") for one in host.get("SecurityOpt") or ()]
    if not {"no-new-privileges", "no-new-privileges:true"} & set(options) or any("unconfined" in one or "disable" in one for one in options):
        yield differs("/HostConfig/SecurityOpt", True, "the kernel's guards are not set as always", options, ["no-new-privileges"])


def _limits(host: Mapping[str, Any], config: ConfigData, differs: Any) -> Iterator[Flaw]:
    if bool(host.get("ReadonlyRootfs")) != config.read_only_root:
        yield differs("/HostConfig/ReadonlyRootfs", config.read_only_root, "its root file system is " + ("writable" if config.read_only_root else "read-only"),
                      host.get("ReadonlyRootfs"), config.read_only_root)
    limits = config.limits
    for field, should, unit in (("Memory", limits.memory_mb * MIB, "memory"), ("PidsLimit", limits.pids, "processes"), ("NanoCpus", round(limits.cpus * 1e9), "CPU")):
        is_ = host.get(field) or 0
        if is_ != should:
            yield differs(f"/HostConfig/{field}", is_ <= 0 or is_ > should, f"its limit of {unit} is {_amount(field, is_)}", is_, should)


def _amount(field: str, value: int) -> str:
    if value <= 0:
        return "none at all"
    return f"{value / MIB:g} MiB" if field == "Memory" else f"{value / 1e9:g}" if field == "NanoCpus" else str(value)


def _environment(inside: Mapping[str, Any], config: ConfigData, image: Mapping[str, Any], differs: Any) -> Iterator[Flaw]:
    """Values that are not known here are masked; a masked one that should be known is another."""
    is_ = dict(str(line).partition("=")[::2] for line in inside.get("Env") or ())
    known = dict(str(line).partition("=")[::2] for line in image.get("Env") or ()) | dict(config.environment)
    wrong = sorted(name for name, value in known.items() if is_.get(name) != value)
    loaders = sorted(name for name in is_.keys() - known.keys() if name.startswith(_LOADERS))
    if wrong:
        bad = any(name.startswith(_LOADERS) for name in wrong)
        yield differs("/Config/Env", bad, f"variables have other values: {', '.join(wrong[:6])}", [name for name in wrong if name in is_], wrong)
    if loaders:
        yield differs("/Config/Env:loader", True, f"variables that load other code were added: {', '.join(loaders[:6])}", loaders, [])


def _network(facts: Mapping[str, Any], host: Mapping[str, Any], config: ConfigData, differs: Any, test: bool) -> Iterator[Flaw]:
    mode = str(host.get("NetworkMode") or "")
    joined = sorted(_map(_map(facts.get("NetworkSettings")).get("Networks")))
    names = sorted({mode, *joined} - {""})
    if config.network == "none":
        fits = names == ["none"]
    else:
        wanted = [name for name in names if name.startswith("mcpweb-") and name.endswith("-out") == (config.network == "outbound")]
        fits = bool(wanted) and wanted == names
    if not fits and not (test and mode.startswith("container:")):
        yield differs("/NetworkSettings/Networks", True, f"it is in the network {', '.join(names) or 'none'}", names, config.network)


def _mounts(facts: Mapping[str, Any], config: ConfigData, differs: Any) -> Iterator[Flaw]:
    secrets = str(_map(_map(facts.get("Config")).get("Labels")).get("mcpweb.secret_files") or "")
    asked = {os.path.normpath(mount.target): mount for mount in config.mounts}
    for mount in facts.get("Mounts") or ():
        target, source, writable = str(mount.get("Destination")), str(mount.get("Source") or mount.get("Name") or ""), bool(mount.get("RW"))
        if mount.get("Type") == "tmpfs" or (secrets and f"/{secrets}/" in source and target.startswith("/run/secrets/") and not writable):
            continue
        wanted = asked.pop(os.path.normpath(target), None)
        shown = {"source": source, "target": target, "writable": writable}
        if wanted is None:
            yield differs(f"/Mounts{target}", True, f"{source} is mounted at {target}", shown, None)
        elif writable and wanted.read_only:
            yield differs(f"/Mounts{target}", True, f"{target} can be written", shown, {"read_only": True})
        elif wanted.type == "bind" and source not in (wanted.source, os.path.realpath(wanted.source)):
            yield differs(f"/Mounts{target}", True, f"{source} is mounted at {target}", shown, {"source": wanted.source})
    for target, wanted in asked.items():
        yield differs(f"/Mounts{target}", False, f"nothing is mounted at {target}", None, {"source": wanted.source})


def _command(inside: Mapping[str, Any]) -> list[str]:
    """Return the words that run, without the shell that takes the secrets first."""
    words = [*(inside.get("Entrypoint") or ()), *(inside.get("Cmd") or ())]
    return words[4:] if words[:2] == ["/bin/sh", "-c"] and words[3:4] == ["mcpweb"] else words


def _wanted(config: ConfigData, context: TestContext) -> list[str]:
    entrypoint: Sequence[str] = context.image.entrypoint if config.entrypoint is None else config.entrypoint
    command: Sequence[str] = config.command if config.command is not None else context.image.command if config.entrypoint is None else ()
    if not entrypoint and config.command is None:
        command = context.image.command
    return [*entrypoint, *command]


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
