"""I01: the image – whom it runs as, what runs as somebody else, and what secrets lie in it, in any layer, removed or not."""
# ruff: noqa: E501 - one rule a line
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpweb.plugin import CheckResult, Failure, ImageFile, Severity, TestContext

from . import inventory, secrets
from .surface import settled

CHECKS = ("I01", "I02")
# what distributions ship with setuid or setgid, by name; in their own folders only
_SHIPPED = frozenset(
    "su mount umount passwd chsh chfn newgrp gpasswd chage expiry unix_chkpwd unix2_chkpwd pam_extrausers_chkpwd ssh-agent ssh-keysign wall write write.ul "
    "dbus-daemon-launch-helper sudo sudoedit pkexec polkit-agent-helper-1 fusermount fusermount3 ping ping6 bsd-write crontab at dotlockfile mlock staprun bbsuid "
    "exim4 postdrop postqueue utempter locate plocate mail-lock mail-unlock mail-touchlock newuidmap newgidmap traceroute6.iputils Xorg.wrap chrome-sandbox doas".split()
)
_SHIPPED_IN = re.compile(r"^(?:usr/)?(?:s?bin|lib|libexec|lib64)/(?!local)")
_INTERPRETERS = re.compile(
    r"(?:^|/)(?:ba|da|z|k|c|tc|a|fi)?sh(?:\d|$)|(?:^|/)(?:bash|busybox|python[\d.]*|perl[\d.]*|ruby[\d.]*|node|php[\d.]*|lua[\d.]*|find|vim?|vim\.\w+|nano|emacs|less|more|cp|mv|tar|awk|gawk|mawk|sed|env|"
    r"nmap|gdb|dd|tee|cat|chmod|chown|install|rsync|docker|systemctl|curl|wget|openssl|make|git|ed|man|strace|tcpdump|xargs|nice|timeout|setpriv|nsenter|unshare|chroot|capsh)$"
)
_CODE = re.compile(r"\.(?:py|m?js|ts|rb|go|php|sh|lock|txt|md|xml|java|c|h|html?)$|(?:^|/)(?:package(?:-lock)?|tsconfig|composer|yarn|pnpm-lock|go)\.(?:json|lock|sum|mod|ya?ml)$")
_LIBRARIES = re.compile(r"(?:^|/)(?:node_modules|site-packages|dist-packages|vendor|gems|\.cargo|go/pkg)/|^usr/(?:share|lib|include|src)/|^usr/local/(?:lib|share|include)/|^lib/|^etc/ssl/|(?:^|/)(?:tests?|testdata|fixtures|examples?|docs?|samples?|__tests__|spec)/")
_PUBLIC = re.compile(r"(?:cert|ca|bundle|public|pub|fullchain|chain)[\w.-]*\.(?:pem|crt|key)$|\.pub$|known_hosts$|(?:^|/)ssl-cert-snakeoil|example|sample|template|\.dist$", re.IGNORECASE)
_KEY_FILES = re.compile(r"(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)$|\.(?:ppk|kdbx|p12|pfx|jks|keystore)$")
_HOLDS = re.compile(r"(?:^|/)\.(?:netrc|npmrc|pypirc|git-credentials|pgpass|dockercfg|my\.cnf|htpasswd|env(?:\.(?!example|sample|template|dist)\w+)?)$|(?:^|/)\.(?:aws|docker|kube)/|_history$|(?:credential|secret)[^/]*\.(?:json|ya?ml|txt|ini|env)$", re.IGNORECASE)


@dataclass
class Walk:
    """What is learnt on the way through the layers."""

    setuid: dict[str, ImageFile] = field(default_factory=dict)
    secrets: list[tuple[ImageFile, secrets.Found]] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)  # path -> the layer that took it away
    packages: inventory.Inventory = field(default_factory=inventory.Inventory)
    files: int = 0
    fault: str = ""


def check(context: TestContext) -> Iterator[CheckResult]:
    """Yield the verdicts of I01 and I02."""
    found = [*_user(context), *_variables(context.image.raw), *_history(context.image.raw), *_health(context)]
    walked = walk(context)
    found += [*_setuid(walked), *_files(walked)]
    evidence = {"image": context.image.id, "files": walked.files, "not_read": walked.fault,
                "setuid_of_the_distribution": sorted(path for path in walked.setuid if _shipped(path))[:40]}
    if walked.fault and not found:
        yield CheckResult("I01", "undecided", f"Not all of the image could be read: {walked.fault}", evidence=evidence)
    else:
        yield from settled("I01", found, "The image runs as an ordinary user, and no secret and no foreign setuid file lies in it.", **evidence)
    yield from inventory.check(context, walked.packages, walked.fault)


def walk(context: TestContext) -> Walk:
    """Go through the layers once, oldest first."""
    seen = Walk()
    try:
        for file in context.image_files():
            seen.files += 1
            if file.kind == "removed":
                seen.removed[file.path] = file.layer
                for path in [path for path in seen.setuid if path == file.path or path.startswith(f"{file.path}/")]:
                    del seen.setuid[path]
                seen.packages.remove(file.path)
                continue
            if file.kind == "file":
                seen.setuid.pop(file.path, None)
                if file.mode & 0o6000:
                    seen.setuid[file.path] = file
                if file.data and seen.packages.add(file):
                    continue
                if file.data:
                    seen.secrets += [(file, one) for one in _in_file(file)]
                elif _KEY_FILES.search(file.path) and file.size and not _LIBRARIES.search(file.path):
                    seen.secrets.append((file, secrets.Found("a file of keys", "", f"({file.size} bytes)", "", True)))
    except Failure as failure:
        seen.fault = failure.sentence
    roots = tuple(seen.packages.roots)
    seen.secrets = [(file, one) for file, one in seen.secrets if not file.path.startswith(roots)]
    return seen


def _in_file(file: ImageFile) -> Iterator[secrets.Found]:
    """Yield the secrets of one file: libraries bring keys for their own tests, source code names more than it holds."""
    if _LIBRARIES.search(file.path) or _PUBLIC.search(file.path):
        return
    text = file.data.decode("utf-8", "replace")
    if "\0" not in text[:1000]:
        holder = bool(_HOLDS.search("/" + file.path))
        yield from secrets.find(text, code=bool(_CODE.search(file.path)) and not holder, holder=holder)


def _user(context: TestContext) -> Iterator[CheckResult]:
    image = str(context.image.user or "")
    name = (image if context.config.user is None else context.config.user).partition(":")[0]
    if name in ("", "0", "root"):
        yield CheckResult(
            "I01", "fail", "The server runs as root in its container.", severity="medium", key="/Config/User",
            evidence={"image_user": image, "configured": context.config.user}, reproduce="docker image inspect, and look at /Config/User.",
            next_step="Set user in the configuration to a number such as 65534, or ask the author for a USER line.",
        )
    elif image.partition(":")[0] in ("", "0", "root"):
        yield CheckResult(
            "I01", "fail", "The image would run as root; the configuration names another user.", severity="low", key="/Config/User",
            evidence={"image_user": image, "configured": context.config.user}, reproduce="docker image inspect, and look at /Config/User.",
            next_step="Ask the author of the image for a USER line.",
        )


def _health(context: TestContext) -> Iterator[CheckResult]:
    """A server that is reached over HTTP should tell whether it is well; one on stdio ends with its session."""
    if context.config.transport == "http" and context.image.raw and not _map(context.image.raw.get("Config")).get("Healthcheck"):
        yield CheckResult(
            "I01", "fail", "The image does not say how to tell that its server is well.", severity="info", key="/Config/Healthcheck",
            evidence={}, reproduce="docker image inspect, and look at /Config/Healthcheck.", next_step="Ask the author for a HEALTHCHECK line.",
        )


def _variables(raw: Mapping[str, Any]) -> Iterator[CheckResult]:
    for line in _map(raw.get("Config")).get("Env") or ():
        name, _, value = str(line).partition("=")
        if one := secrets.of_variable(name, value):
            yield _leak(one, f"/Config/Env/{name}", f"The image carries {one.what} in the variable {name}", "high",
                        {"variable": name}, "docker image inspect, and look at /Config/Env.")


def _history(raw: Mapping[str, Any]) -> Iterator[CheckResult]:
    told: set[str] = set()
    for number, step in enumerate(raw.get("History") or ()):
        line = str(_map(step).get("CreatedBy") or "")
        shown = re.sub(r"^/bin/sh -c (?:#\(nop\)\s*)?", "", line)
        named = re.match(r"(?:ENV|ARG)\s+(\w+)[= ](\S+)", shown) or re.match(r"\|\d+\s+(\w+)=(\S+)", line)
        one = (secrets.of_variable(named[1], named[2].strip("\"'")) if named else None) or next(secrets.find(shown), None)
        if one and one.mark not in told:
            told.add(one.mark)
            yield _leak(one, f"/History/{number}", f"A step that made the image tells {one.what}{f' ({one.name})' if one.name else ''}", "high",
                        {"step": number, "command": shown.split()[0][:20] if shown.split() else ""}, "docker history --no-trunc.")


def _files(walked: Walk) -> Iterator[CheckResult]:
    told: set[tuple[str, str]] = set()
    for file, one in walked.secrets:
        if (file.path, one.mark) in told or len(told) > 40:
            continue
        told.add((file.path, one.mark))
        gone = next((layer for path, layer in walked.removed.items() if layer > file.layer and (path == file.path or file.path.startswith(f"{path}/"))), None)
        where = f"in layer {file.layer}" + (f", taken away in layer {gone} and still there for who asks" if gone is not None else "")
        yield _leak(one, f"/{file.path}:{one.mark}", f"The image holds {one.what} in /{file.path}, {where}", "high" if one.certain else "medium",
                    {"path": file.path, "layer": file.layer, "removed_in": gone}, f"docker save, and read {file.path} in layer {file.layer}.")


def _leak(one: secrets.Found, key: str, sentence: str, severity: Severity, evidence: Mapping[str, Any], reproduce: str) -> CheckResult:
    return CheckResult(
        "I01", "fail", f"{sentence}.", severity=severity, key=key, confidence="firm" if one.certain else "tentative",
        evidence={**evidence, "kind": one.what, "name": one.name, "value": one.shown, "mark": one.mark}, reproduce=reproduce,
        next_step="Replace the secret where it is valid; build the image without it, from the step before it came in.",
    )


def _setuid(walked: Walk) -> Iterator[CheckResult]:
    for path, file in sorted(walked.setuid.items()):
        if _shipped(path):
            continue
        root = file.mode & 0o4000 and file.uid == 0
        tool = bool(_INTERPRETERS.search(path))
        severity: Severity = "high" if root and tool else "medium" if root else "low"
        what = "a shell or tool that runs any program" if tool else "a program"
        yield CheckResult(
            "I01", "fail", f"/{path} is {what} that runs as {'root' if root else f'another (owner {file.uid}, group {file.gid})'}, whoever calls it.",
            severity=severity, key=f"/{path}", evidence={"path": path, "mode": f"{file.mode & 0o7777:04o}", "uid": file.uid, "gid": file.gid, "layer": file.layer},
            reproduce=f"docker run --rm --entrypoint ls IMAGE -l /{path}.",
            next_step="Ask the author to take the setuid bit away; no-new-privileges, which is set here, makes it void.",
        )


def _shipped(path: str) -> bool:
    return path.rpartition("/")[2] in _SHIPPED and bool(_SHIPPED_IN.search(path))


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
