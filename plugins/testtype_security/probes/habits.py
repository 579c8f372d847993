"""D09, D12: what a server does that nobody asked for – reaching out, writing, leaving processes behind."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mcpweb.plugin import CheckResult, Severity, SinkEvent

from .lab import Lab, short
from .plain import Plain, Used
from .surfaces import strings

_OWN = ("/tmp/", "/dev/", "/proc/", "/sys/")
_ENGINE = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/.dockerenv"}
_LASTING = re.compile(
    r"^/(etc/(cron|init|systemd|profile|passwd|shadow|sudoers|ld\.so|rc|bash|environment|ssh)|usr/(local/)?s?bin/|s?bin/|lib(64)?/|usr/lib/"
    r"|var/spool/cron|root/\.(ssh|bash|profile|config/autostart)|home/[^/]+/\.(ssh|bash|profile|config/autostart))"
)
_CACHE = re.compile(  # what programs keep for themselves, whoever wrote the server
    r"/__pycache__(/|$)|\.pyc$|/\.npm(/|$)|/\.config/configstore(/|$)|/node_modules/\.cache(/|$)"
    r"|/\.(cache|local/share)(/(node|npm|yarn|pnpm|pip|uv|deno|bun|prisma|puppeteer|ms-playwright|fontconfig|huggingface|matplotlib)(/|$)|$)"
)
_USUAL_PORTS = {53, 80, 443, 8080, 8443}


def egress(lab: Lab, plain: Plain) -> Iterator[CheckResult]:
    """Yield the verdicts of D09."""
    ignored = {lab.sink.hostname.lower(), "localhost"}
    known: set[str] = set()
    failed = False
    for phase, words, events in (
        ("start", "when it starts", plain.at_start),
        ("list", "when its tools are listed", plain.at_list),
    ):
        for target, seen in _targets(events, ignored, "").items():
            if target not in known:
                failed = True
                yield _reaches(
                    "*",
                    f"{phase}:{target}",
                    f"The server contacts {target} {words}, before anybody has asked it for anything.",
                    target,
                    seen,
                    "medium",
                    None,
                )
        known |= set(_targets(events, ignored, ""))
    told: dict[str, list[str]] = {}
    for used in plain.used:
        for target, seen in _gathered(_targets(used.events, ignored, _said(used))).items():
            if target in known:
                continue
            verdict = _on_call(lab, used, target, seen)
            failed = failed or verdict is not None
            if verdict is not None:
                yield verdict
            told.setdefault(used.surface.title, []).append(target)
    said = " ".join(_said(used) for used in plain.used)
    for target, seen, when in (
        *((*one, "after the last call was answered") for one in _targets(plain.late, ignored, said).items()),
        *((*one, "when its client leaves") for one in _targets(plain.at_end, ignored, said).items()),
    ):
        if target not in known and not any(target in targets for targets in told.values()):
            failed = True
            known.add(target)
            yield _reaches(
                "*",
                f"later:{target}",
                f"The server contacts {target} {when}.",
                target,
                seen,
                "medium",
                None,
            )
    if not failed:
        note = (
            f" On a call it contacts {', '.join(sorted({t for targets in told.values() for t in targets})[:5])}." if told else ""
        )
        yield CheckResult(
            "D09",
            "pass",
            f"Nothing is contacted at start, at the lists, or on a call without being asked for.{note}",
            evidence={"contacted_on_call": told},
        )


def _on_call(lab: Lab, used: Used, target: str, seen: Sequence[SinkEvent]) -> CheckResult | None:
    """Return the verdict on a name that was contacted in a call and stood in none of its arguments."""
    annotations = used.surface.definition.get("annotations")
    world = annotations.get("openWorldHint") if isinstance(annotations, Mapping) else None
    ports = {event.port for event in seen if event.kind != "dns"}
    odd = sorted(port for port in ports if port not in _USUAL_PORTS)
    tool = used.surface.title
    if world is False:
        return _reaches(
            tool,
            target,
            f"The tool says that it stays in its own world (openWorldHint false), and contacts {target}.",
            target,
            seen,
            "medium",
            used,
        )
    if target.startswith("*."):
        return _reaches(
            tool,
            target,
            f"A call makes the server ask for {len(seen)} names below {target[2:]}, as one does who sends data in names.",
            target,
            seen,
            "medium",
            used,
        )
    if odd:
        return _reaches(
            tool,
            target,
            f"A call makes the server contact {target} at port {odd[0]}, which none of its arguments names.",
            target,
            seen,
            "medium",
            used,
        )
    if lab.context.config.network != "outbound" and world is not True and not _named(used, target):
        return _reaches(
            tool,
            target,
            f"A call makes the server contact {target}, which no argument names; the configuration gives it no way out.",
            target,
            seen,
            "low",
            used,
        )
    return None


def _gathered(targets: Mapping[str, list[SinkEvent]]) -> dict[str, list[SinkEvent]]:
    """Return names below one domain as one target when there are three or more of them."""
    below: dict[str, list[str]] = {}
    for name in targets:
        if name.count(".") >= 2 and not _is_address(name):
            below.setdefault(".".join(name.split(".")[-2:]), []).append(name)
    many = {domain: names for domain, names in below.items() if len(names) >= 3}
    gathered = {name for names in many.values() for name in names}
    kept = {name: seen for name, seen in targets.items() if name not in gathered}
    return kept | {f"*.{domain}": [event for name in names for event in targets[name]] for domain, names in many.items()}


def _named(used: Used, target: str) -> bool:
    labels = [label for label in target.split(".") if len(label) > 3]
    return any(label in used.surface.words or label in str(used.surface.definition).lower() for label in labels[:-1] or labels)


def _said(used: Used) -> str:
    given = [used.arguments, *(arguments for arguments, _ in (*used.others, *used.series))]
    return " ".join(text for arguments in given for text in strings(arguments)).lower()


def _targets(events: Iterable[SinkEvent], ignored: set[str], said: str) -> dict[str, list[SinkEvent]]:
    """Return what was contacted, by name where there is one; addresses of names that were asked for are theirs."""
    found: dict[str, list[SinkEvent]] = {}
    named = False
    for event in events:
        name = event.name.lower().rstrip(".").partition(":")[0]
        if event.kind == "dns" or (name and not _is_address(name)):
            named = True
        elif not name or _is_address(name):
            name = event.address
        if _is_address(name):
            ip = ipaddress.ip_address(name)
            if ip.is_loopback or ip.is_multicast or ip.is_unspecified or (named and name.startswith("11.")):
                continue
        if not name or name in ignored or name.endswith((".in-addr.arpa", ".ip6.arpa", ".local", ".localhost")) or name in said:
            continue
        if name.split(".")[0] in ignored or ("." not in name and not _is_address(name)):
            continue  # its own name, with a domain that was tried
        above = name.split(".")[1:]
        if not _is_address(name) and any(".".join(above[at:]) in said for at in range(len(above) - 1)):
            continue  # below a domain that an argument names
        found.setdefault(name, []).append(event)
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _reaches(
    tool: str, key: str, summary: str, target: str, seen: Sequence[SinkEvent], severity: Severity, used: Used | None
) -> CheckResult:
    shown: list[dict[str, Any]] = [
        {"kind": event.kind, "name": event.name, "address": event.address, "port": event.port, "path": event.path[:200]}
        for event in seen[:6]
    ]
    request = None
    if used is not None:
        method, params = used.surface.request(used.arguments)
        request = {
            "method": method,
            "params": {**params, "arguments": short(used.arguments)} if "arguments" in params else params,
        }
    return CheckResult(
        "D09",
        "fail",
        summary,
        tool=tool,
        key=key,
        severity=severity,
        evidence={"target": target, "seen": shown},
        input=request,
        next_step="Find out what it is for; keep the network of the configuration none unless it is needed.",
        reproduce="Start the server in a network without a way out whose name server answers all, and read what it asks for.",
    )


def traces(plain: Plain, lab: Lab) -> Iterator[CheckResult]:
    """Yield the verdicts of D12."""
    config = lab.context.config
    places = [*(mount.target for mount in config.mounts), *config.tmpfs, *lab.baited]
    raw = lab.context.image.raw.get("Config") if isinstance(lab.context.image.raw, Mapping) else {}
    home = str((raw or {}).get("WorkingDir") or "")
    failed = False
    said = " ".join(_said(used) for used in plain.used)
    for phase, paths in (
        ("at its start", plain.changed_at_start),
        ("when its tools are used", plain.changed - plain.changed_at_start),
        ("when its client leaves", plain.changed_at_end),
    ):
        outside = sorted(path for path in paths if _outside(path, places, paths) and not _asked_for(path, said))
        if not outside:
            continue
        failed = True
        lasting = [path for path in outside if _LASTING.match(path)]
        own = bool(home.strip("/")) and all(path.startswith(f"{home}/") or path == home for path in outside)
        severity: Severity = "high" if lasting else "low" if own else "medium"
        shown = (lasting or outside)[0]
        yield CheckResult(
            "D12",
            "fail",
            f"The server writes outside of /tmp {phase}: {shown}{f' and {len(outside) - 1} more' if len(outside) > 1 else ''}"
            f"{', a place from which programs are started' if lasting else ''}.",
            key=f"write:{shown}",
            severity=severity,
            evidence={"paths": outside[:40]},
            next_step="Keep the root file system read-only; give it a volume for what it must keep.",
            reproduce="Start it with read_only_root false, use its tools with valid arguments, and look at docker diff.",
        )
    left = [line for line in plain.left_running if "<defunct>" not in line]
    if left:
        failed = True
        yield CheckResult(
            "D12",
            "fail",
            f"A process goes on after all calls were answered: {left[0][:120]!r}.",
            key=f"process:{left[0].split()[0][:80]}",
            severity="medium",
            evidence={"processes": left[:20], "before": plain.processes[:20]},
            next_step="End what a call starts before it is answered.",
            reproduce="Look at docker top before and after its tools were used with valid arguments.",
        )
    if not failed:
        yield CheckResult(
            "D12",
            "pass",
            "Nothing is written outside of /tmp and the mounts, and no process is left behind.",
            evidence={"changed": sorted(plain.changed)[:20], "processes": plain.processes[:10]},
        )


def _outside(path: str, places: Sequence[str], paths: set[str]) -> bool:
    if path in _ENGINE or _CACHE.search(path) or path == "/tmp" or f"{path}/".startswith(_OWN):
        return False
    if any(path == place or path.startswith(f"{place.rstrip('/')}/") or place.startswith(f"{path}/") for place in places):
        return False
    return not any(other.startswith(f"{path}/") for other in paths)  # a folder that only holds what changed


def _asked_for(path: str, said: str) -> bool:
    """Tell whether an argument named this file."""
    name = path.rpartition("/")[2].lower()
    return (len(name) > 2 and name in said) or path.lower() in said
