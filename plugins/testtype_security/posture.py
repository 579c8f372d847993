"""K01 to K06: the container as the engine holds it, against what a closed one is: the test's own, and those that people use."""
# ruff: noqa: E501 - one rule a line
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mcpweb.plugin import CheckResult, ContainerState, Severity, TestContext, TestSession

from . import drift
from .surface import settled

CHECKS = ("K01", "K02", "K03", "K04", "K05", "K06", "K07")
_HARMLESS = frozenset({"NET_BIND_SERVICE"})
_USUAL = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split()
)
_ESCAPES = frozenset({"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "SYS_PTRACE", "BPF", "SYS_BOOT"})
_SOCKETS = re.compile(r"(?:^|/)(?:docker|containerd|crio|podman|cri-dockerd|buildkitd|dockershim)\.sock(?:$|/)|^/(?:var/)?run/(?:docker|containerd|crio|podman)/?$")
_OPEN_DOORS = ("/", "/etc", "/root", "/boot", "/proc", "/sys", "/dev", "/var", "/run", "/var/run", "/var/lib", "/var/lib/docker", "/var/lib/kubelet",
               "/lib", "/usr", "/bin", "/sbin", "/home", "/var/log", "/var/spool", "/lib/modules", "/etc/ssh", "/etc/cron.d", "/usr/bin", "/opt", "/mnt", "/media")
_INNER_DOORS = ("/etc", "/root", "/boot", "/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/kubelet", "/var/run", "/run", "/var/spool/cron", "/lib/modules")
_KEPT = re.compile(r"/\.(?:ssh|aws|kube|gnupg|docker|azure|config/gcloud|netrc|npmrc|password-store|mozilla|config)(?:/|$)|/(?:\.git-credentials|id_\w+)$")
_COMMON = frozenset({"/etc/localtime", "/etc/timezone", "/etc/ssl/certs", "/etc/ca-certificates", "/etc/pki", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/machine-id", "/dev/shm", "/dev/null", "/etc/mime.types"})  # noqa: S108 - places of the host that are looked for
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost")


@dataclass(frozen=True)
class Flaw:
    """One thing about a container that is more open than it needs to be."""

    check: str
    pointer: str  # into what inspect says
    severity: Severity
    sentence: str
    value: Any
    fix: str = "Take it out of the configuration, or start the server again with the one that is stored."


Rule = Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[Flaw]]


def check(context: TestContext, session: TestSession | None) -> Iterator[CheckResult]:
    """Yield the verdicts of K01 to K07; a server that does not start has no container of the test's own."""
    found: dict[str, list[CheckResult]] = {check_id: [] for check_id in CHECKS}
    running = context.running()
    looked_at = [*([("test", session.inspect())] if session else []), *(("server", state) for state in running)]
    looked_at = [(role, state) for role, state in looked_at if _map(state.raw.get("HostConfig"))]
    if not looked_at:
        why = "The runtime does not tell how it made a container." if session or running else "There is no container of this server."
        yield from (CheckResult(check_id, "not_applicable", why) for check_id in CHECKS)
        return
    for role, state in looked_at:
        for flaw in flaws(state.raw):
            found[flaw.check].append(result(role, state, flaw))
        for flaw in drift.flaws(context, state, test=role == "test"):
            found["K07"].append(result(role, state, flaw))
    names = [state.name for _, state in looked_at]
    for check_id, sentence in _PASSED.items():
        yield from settled(check_id, found[check_id], sentence, containers=names, in_use=len(running))


_PASSED = {
    "K01": "No container has privileges beyond a plain process.",
    "K02": "No container reaches the engine or a sensitive place of the host.",
    "K03": "No container shares a namespace or a device of the host.",
    "K04": "The kernel's guards are on in every container.",
    "K05": "Every container has a read-only root and limits.",
    "K06": "No container is reachable from other machines, or starts by itself.",
    "K07": "Every container is as its configuration says.",
}


def result(role: str, state: ContainerState, flaw: Flaw) -> CheckResult:
    where = "The container in use" if role == "server" else "The container of this test"
    return CheckResult(
        flaw.check, "fail", f"{where} {flaw.sentence}.", severity=flaw.severity, key=f"{role}:{flaw.pointer}",
        evidence={"container": state.name, "role": role, "status": state.status, "pointer": flaw.pointer, "value": flaw.value},
        reproduce=f"docker inspect {state.name}, and look at {flaw.pointer}.", next_step=flaw.fix,
    )


def flaws(facts: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what K01 to K06 find in what ``inspect`` says."""
    host = _map(facts.get("HostConfig"))
    for rule in (_privileges, _mounts, _namespaces, _guards, _limits, _reach):
        yield from rule(facts, host)


def _privileges(facts: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Flaw]:
    if host.get("Privileged"):
        yield Flaw("K01", "/HostConfig/Privileged", "critical", "is privileged: it is root on this machine", True)
    added = sorted({str(cap).upper().removeprefix("CAP_") for cap in host.get("CapAdd") or ()})
    if added:
        grade: Severity = "low" if set(added) <= _HARMLESS else "medium" if set(added) <= _HARMLESS | _USUAL else "high"
        grade = "critical" if set(added) & {"ALL", "SYS_ADMIN", "SYS_MODULE"} else grade
        beyond = " and can leave the container with them" if set(added) & _ESCAPES else ""
        yield Flaw("K01", "/HostConfig/CapAdd", grade, f"has added capabilities: {', '.join(added)}{beyond}", added)
    dropped = {str(cap).upper().removeprefix("CAP_") for cap in host.get("CapDrop") or ()}
    if "ALL" not in dropped and not host.get("Privileged"):
        yield Flaw("K01", "/HostConfig/CapDrop", "medium", "keeps the engine's usual capabilities", sorted(dropped), "Drop all capabilities.")


def _mounts(facts: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Flaw]:
    secrets = str(_map(_map(facts.get("Config")).get("Labels")).get("mcpweb.secret_files") or "")
    for number, mount in enumerate(facts.get("Mounts") or ()):
        source, target = str(mount.get("Source") or ""), str(mount.get("Destination") or "")
        at, writable = f"/Mounts/{number}", bool(mount.get("RW"))
        if secrets and f"/{secrets}/" in source and target.startswith("/run/secrets/") and not writable:
            continue  # the file of a secret of its own
        key = f"/Mounts{target}"
        value = {"at": at, "source": source, "target": target, "writable": writable, "propagation": mount.get("Propagation")}
        if mount.get("Type") != "volume" and (_SOCKETS.search(source) or _SOCKETS.search(target)):
            yield Flaw("K02", key, "critical", f"is given the engine's socket {source}: who can write there is root on this machine", value)
        elif mount.get("Type") == "bind" and (grade := sensitive(source, writable)):
            yield Flaw("K02", key, grade, f"sees {source} of this machine{' and can write there' if writable else ''}", value)
        if str(mount.get("Propagation") or "") in ("shared", "rshared", "slave", "rslave"):
            yield Flaw("K02", f"{key}:propagation", "high", f"shares mounts below {source} with this machine ({mount['Propagation']})", value)
    for number, mount in enumerate(host.get("Mounts") or ()):
        driver = _map(_map(mount.get("VolumeOptions")).get("DriverConfig"))
        options = _map(driver.get("Options"))
        if options:
            device = str(options.get("device") or "")
            grade = sensitive(device, True) or "high" if device.startswith("/") else "medium"
            yield Flaw("K02", f"/HostConfig/Mounts/{number}/VolumeOptions", grade, f"has a volume with options of its driver: {device or 'no device'}", dict(options))
    if host.get("VolumesFrom"):
        yield Flaw("K02", "/HostConfig/VolumesFrom", "medium", "takes over the volumes of another container", host["VolumesFrom"])


def sensitive(source: str, writable: bool) -> Severity | None:
    """Return how bad it is that a container sees a place of this machine, None when it is an ordinary one."""
    path = str(PurePosixPath("/", source.lstrip("/")))
    if path in _COMMON or any(path.startswith(f"{one}/") for one in _COMMON if one.startswith("/etc/")):
        return None
    if path == "/" or (writable and (path in _OPEN_DOORS or any(path.startswith(f"{door}/") for door in _INNER_DOORS))):
        return "critical"
    at_home = re.fullmatch(r"/home/[^/]+|/Users/[^/]+", path)
    if path in _OPEN_DOORS or at_home or _KEPT.search(path) or any(path.startswith(f"{door}/") for door in _INNER_DOORS):
        return "high"
    return None


def _namespaces(facts: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Flaw]:
    labels = _map(_map(facts.get("Config")).get("Labels"))
    for field, what in (("NetworkMode", "network"), ("PidMode", "processes"), ("IpcMode", "memory segments"), ("UTSMode", "host name"), ("UsernsMode", "users")):
        mode = str(host.get(field) or "")
        if mode == "host":
            yield Flaw("K03", f"/HostConfig/{field}", "high", f"shares the {what} of this machine", mode)
        elif mode.startswith("container:") and not (field == "NetworkMode" and labels.get("mcpweb.role") == "test"):
            yield Flaw("K03", f"/HostConfig/{field}", "medium", f"shares the {what} of another container", mode)
        elif field == "IpcMode" and mode == "shareable":
            yield Flaw("K03", f"/HostConfig/{field}", "low", "lets other containers share its memory segments", mode)
    if host.get("CgroupnsMode") == "host":
        yield Flaw("K03", "/HostConfig/CgroupnsMode", "low", "sees the control groups of this machine", "host")
    devices = [str(_map(one).get("PathOnHost") or one) for one in host.get("Devices") or ()]
    if devices:
        yield Flaw("K03", "/HostConfig/Devices", "high", f"is given devices of this machine: {', '.join(devices[:5])}", devices)
    if host.get("DeviceCgroupRules"):
        yield Flaw("K03", "/HostConfig/DeviceCgroupRules", "high", "may use devices of this machine", host["DeviceCgroupRules"])
    if host.get("DeviceRequests"):
        yield Flaw("K03", "/HostConfig/DeviceRequests", "medium", "is given devices by a driver, such as graphics", host["DeviceRequests"])
    if str(host.get("CgroupParent") or ""):
        yield Flaw("K03", "/HostConfig/CgroupParent", "medium", "stands in a control group of its own choice", host["CgroupParent"])


def _guards(facts: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Flaw]:
    options = [str(one) for one in host.get("SecurityOpt") or ()]
    at = "/HostConfig/SecurityOpt"
    named = {option.replace("=", ":", 1).partition(":")[0]: option.replace("=", ":", 1).partition(":")[2] for option in options}
    if named.get("no-new-privileges", "false") not in ("", "true"):
        yield Flaw("K04", f"{at}:no-new-privileges", "high", "lets a program gain privileges by setuid", options, "Set no-new-privileges.")
    profile = named.get("seccomp", "")
    if profile == "unconfined" or _allows_all(profile):
        yield Flaw("K04", f"{at}:seccomp", "high", "may make every system call (seccomp is off)", options, "Use the engine's own profile.")
    if named.get("apparmor") == "unconfined" or facts.get("AppArmorProfile") == "unconfined":
        yield Flaw("K04", f"{at}:apparmor", "high", "runs without AppArmor", options, "Use the engine's own profile.")
    if named.get("label") in ("disable", "disabled") and not host.get("Privileged"):
        yield Flaw("K04", f"{at}:label", "medium", "runs without SELinux labels", options)
    if "MaskedPaths" in host and not host["MaskedPaths"] and not host.get("Privileged"):
        yield Flaw("K04", "/HostConfig/MaskedPaths", "high", "sees parts of /proc and /sys that are hidden otherwise", host["MaskedPaths"])
    if "ReadonlyPaths" in host and not host["ReadonlyPaths"] and not host.get("Privileged"):
        yield Flaw("K04", "/HostConfig/ReadonlyPaths", "high", "can write settings of the kernel under /proc", host["ReadonlyPaths"])
    if host.get("Sysctls"):
        yield Flaw("K04", "/HostConfig/Sysctls", "low", "sets parameters of the kernel", host["Sysctls"])


def _allows_all(profile: str) -> bool:
    """Tell whether a seccomp profile allows by default and forbids next to nothing."""
    if not profile.lstrip().startswith("{"):
        return False
    try:
        rules = json.loads(profile)
    except (ValueError, RecursionError):
        return False
    forbidden = sum(len(one.get("names") or ()) for one in rules.get("syscalls") or () if isinstance(one, Mapping) and one.get("action") != "SCMP_ACT_ALLOW")
    return rules.get("defaultAction") == "SCMP_ACT_ALLOW" and forbidden < 10


def _limits(facts: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Flaw]:
    if not host.get("ReadonlyRootfs"):
        yield Flaw("K05", "/HostConfig/ReadonlyRootfs", "medium", "can write to its root file system", False, "Set read_only_root, and a tmpfs where it must write.")
    if not _positive(host.get("Memory")):
        yield Flaw("K05", "/HostConfig/Memory", "medium", "has no memory limit", host.get("Memory"), "Set limits.memory_mb.")
    elif host.get("MemorySwap") == -1:
        yield Flaw("K05", "/HostConfig/MemorySwap", "low", "may swap without limit", -1)
    if not _positive(host.get("PidsLimit")):
        yield Flaw("K05", "/HostConfig/PidsLimit", "medium", "has no limit of processes", host.get("PidsLimit"), "Set limits.pids.")
    if not any(_positive(host.get(field)) for field in ("NanoCpus", "CpuQuota")):
        yield Flaw("K05", "/HostConfig/NanoCpus", "low", "has no CPU limit", host.get("NanoCpus"), "Set limits.cpus.")
    if host.get("OomKillDisable"):
        yield Flaw("K05", "/HostConfig/OomKillDisable", "medium", "cannot be ended when memory runs out", True)
    if isinstance(host.get("OomScoreAdj"), int) and host["OomScoreAdj"] < 0:
        yield Flaw("K05", "/HostConfig/OomScoreAdj", "low", "lets others be ended first when memory runs out", host["OomScoreAdj"])
    for limit in host.get("Ulimits") or ():
        name, hard = str(_map(limit).get("Name")), _map(limit).get("Hard")
        if isinstance(hard, int) and (hard == -1 or (name == "core" and hard > 0) or (name == "nofile" and hard > 1 << 20) or (name == "nproc" and hard > 1 << 16)):
            yield Flaw("K05", f"/HostConfig/Ulimits:{name}", "low", f"has the limit {name} at {'unlimited' if hard == -1 else hard}", limit)


def _reach(facts: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[Flaw]:
    given: dict[str, list[Any]] = {}
    for ports in (host.get("PortBindings"), _map(facts.get("NetworkSettings")).get("Ports")):
        for port, places in _map(ports).items():
            given.setdefault(str(port), []).extend(places or ())
    for port, places in sorted(given.items()):
        wide = sorted({str(_map(place).get("HostIp") or "0.0.0.0") for place in places if not _LOOPBACK.fullmatch(str(_map(place).get("HostIp") or "0.0.0.0"))})  # noqa: S104 - what the engine takes an empty one for
        if wide:
            yield Flaw("K06", f"/HostConfig/PortBindings/{port}", "high", f"offers port {port} to other machines, on {', '.join(wide)}", places, "Publish it on 127.0.0.1 only.")
        low = sorted({str(_map(place).get("HostPort")) for place in places if str(_map(place).get("HostPort") or "").isdigit() and 0 < int(_map(place)["HostPort"]) < 1024})
        if low:
            yield Flaw("K06", f"/HostConfig/PortBindings/{port}:low", "low", f"takes a privileged port of this machine: {', '.join(low)}", places)
    if host.get("PublishAllPorts"):
        yield Flaw("K06", "/HostConfig/PublishAllPorts", "high", "offers every port of its image to other machines", True)
    if str(host.get("NetworkMode") or "") in ("default", "bridge"):
        yield Flaw("K06", "/HostConfig/NetworkMode", "low", "stands in the engine's default network, where every container reaches every other", host["NetworkMode"],
                   "Use none, published or outbound.")
    restart = _map(host.get("RestartPolicy"))
    if restart.get("Name") in ("always", "unless-stopped") or (restart.get("Name") == "on-failure" and not 0 < int(restart.get("MaximumRetryCount") or 0) <= 5):
        yield Flaw("K06", "/HostConfig/RestartPolicy", "low", f"is started again by the engine, without its secrets ({restart['Name']})", dict(restart))
    if any(name.startswith("mcpweb-") and not name.endswith("-out") for name in _networks(facts)):
        yield Flaw("K06", "/NetworkSettings/Networks:host", "info",
                   "reaches services of this machine that listen on all addresses, through the gateway of its network", _networks(facts),
                   "Let services of this machine listen on 127.0.0.1, or block the bridge in the firewall.")


def _networks(facts: Mapping[str, Any]) -> list[str]:
    return sorted(_map(_map(facts.get("NetworkSettings")).get("Networks")))


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


__all__: Sequence[str] = ("CHECKS", "Flaw", "check", "flaws")
