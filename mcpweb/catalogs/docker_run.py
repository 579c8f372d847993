"""``docker run …`` read word by word into a draft. What would loosen the container beyond what mcpweb gives is lost."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mcpweb.catalogs import mounts, names, templates
from mcpweb.catalogs.draft import Draft, Lost, MountWanted, SecretWanted, Variable
from mcpweb.catalogs.secretlike import secret_name, secret_value
from mcpweb.contracts import Sensitive

PROGRAMS = ("docker", "podman", "nerdctl", "docker.exe", "podman.exe")
# options with a value, and options without, by what becomes of them: a reason of REASONS; "" stands for those that are read
_BY_REASON = {
    "": "-e --env -v --volume --mount --network --net -u --user --entrypoint -p --publish",
    "file_outside": "--env-file --label-file --cidfile",
    "not_needed": "--name -l --label --restart --pull --platform --stop-signal --stop-timeout -h --hostname --log-driver "
    "--log-opt -a --attach --expose --health-cmd --health-interval --health-retries --health-timeout --health-start-period "
    "--detach-keys --annotation --cap-drop",
    "option": "-w --workdir",
    "limits": "-m --memory --memory-swap --memory-reservation --cpus -c --cpu-shares --cpuset-cpus --cpu-period --cpu-quota "
    "--pids-limit --ulimit --shm-size --tmpfs --storage-opt --oom-score-adj",
    "host": "--pid --ipc --uts --userns --cgroupns --device --device-cgroup-rule --gpus --cgroup-parent --runtime --volumes-from "
    "--isolation",
    "weaker": "--cap-add --security-opt --group-add --sysctl",
    "driver": "--volume-driver",
    "extra_hosts": "--add-host --dns --dns-option --dns-search",
    "network": "--link --ip --ip6 --mac-address --network-alias --net-alias",
}
_VALUED = {option: reason for reason, options in _BY_REASON.items() for option in options.split()}
_READ_FLAGS = (
    "-i --interactive --rm --init -t --tty -d --detach --read-only --sig-proxy -q --quiet --no-healthcheck "
    "--disable-content-trust"
)
_FLAGS = dict.fromkeys(_READ_FLAGS.split(), "") | {
    "--privileged": "privileged", "--oom-kill-disable": "limits", "-P": "port", "--publish-all": "port",
}
_GLOBAL_VALUED = ("-H", "--host", "-c", "--context", "--config", "-l", "--log-level")


@dataclass
class _Run:
    image: str = ""
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    network: str = ""
    ports: list[int] = field(default_factory=list)
    interactive: bool = False
    mounts: list[MountWanted] = field(default_factory=list)
    environment: dict[str, str | None] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)


def is_run(words: Sequence[str]) -> bool:
    """Tell whether words are a ``docker run`` (or one of its relatives)."""
    return bool(words) and words[0].rpartition("/")[2].rpartition("\\")[2].lower() in PROGRAMS and _begin(words) > 0


def _begin(words: Sequence[str]) -> int:
    """Return where the options of ``run`` begin, 0 when it is another command."""
    at = 1
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _GLOBAL_VALUED else 1
    if at < len(words) and words[at] == "container":
        at += 1
    return at + 1 if at < len(words) and words[at] in ("run", "create") else 0


def read(words: Sequence[str], given: dict[str, str], key: str, where: str) -> Draft:
    """Return the draft of a ``docker run``; ``given`` is the environment of the client that would run it."""
    run = _Run()
    at = _begin(words)
    while at < len(words):
        word = words[at]
        if word == "--" or not word.startswith("-") or word == "-":
            at += word == "--"
            break
        at += 1
        name, equals, value = word.partition("=")
        if not word.startswith("--"):  # -it, -e NAME, -eNAME=VALUE
            name, value, equals = _short(word)
        run.interactive = run.interactive or (not word.startswith("--") and "i" in word[1:3]) or name == "--interactive"
        if name in _FLAGS:
            if equals and value.lower() in ("false", "0"):
                continue
            if _FLAGS[name]:
                run.lost.append(Lost(name, _FLAGS[name]))
        elif name in _VALUED:
            if not equals:
                if at >= len(words):
                    run.lost.append(Lost(name, "option"))
                    break
                value, at = words[at], at + 1
            _take(run, name, value)
        else:
            run.lost.append(Lost(name[:80], "option"))
            if not equals and at < len(words) and not words[at].startswith("-") and not names.is_image(words[at]):
                at += 1
    run.image = words[at] if at < len(words) else ""
    run.command = tuple(words[at + 1 :])
    return _draft(run, given, key, where)


def _short(word: str) -> tuple[str, str, str]:
    """Split ``-it``, ``-eA=B``: the option, its value and whether it has one. Flags before the last letter do no harm."""
    for at, letter in enumerate(word[1:], 1):
        if f"-{letter}" in _VALUED:
            rest = word[at + 1 :].removeprefix("=")
            return f"-{letter}", rest, "=" if rest else ""
        if f"-{letter}" not in _FLAGS:
            return word, "", ""
        if _FLAGS[f"-{letter}"]:
            return f"-{letter}", "", ""
    return word[:2], "", ""


def _take(run: _Run, name: str, value: str) -> None:
    reason = _VALUED[name]
    if name == "--security-opt" and value.startswith("no-new-privileges"):
        return
    if name == "--cap-add" and value.upper() in ("ALL", "CAP_ALL", "SYS_ADMIN", "CAP_SYS_ADMIN"):
        reason = "privileged"
    if reason == "not_needed":
        return
    if reason:
        run.lost.append(Lost(f"{name} {value}"[:120], reason))
    elif name in ("-e", "--env"):
        variable, equals, text = value.partition("=")
        if names.is_variable(variable):
            run.environment[variable] = text if equals else None
        else:
            run.lost.append(Lost(name, "variable"))
    elif name in ("-v", "--volume", "--mount"):
        made = (mounts.mount if name == "--mount" else mounts.volume)(value, f"{name} {value}"[:120])
        if isinstance(made, Lost):
            run.lost.append(made)
        else:
            run.mounts.append(made)
    elif name in ("-u", "--user"):
        if names.USER.fullmatch(value):
            run.user = value
        else:
            run.lost.append(Lost(f"{name} {value}"[:120], "variable_from_outside" if "$" in value else "user"))
    elif name == "--entrypoint":
        run.entrypoint = (value,) if value else ()
    elif name in ("--network", "--net"):
        _network(run, name, value)
    else:
        port = value.partition("/")[0].rpartition(":")[2]
        if port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536 and not value.endswith("/udp"):
            run.ports.append(int(port))
        else:
            run.lost.append(Lost(f"{name} {value}"[:120], "port"))


def _network(run: _Run, name: str, value: str) -> None:
    if value == "none":
        run.network = "none"
    elif value in ("bridge", "default"):
        run.network = "outbound"
    else:
        run.network = "outbound"
        code = "host" if value == "host" or value.startswith("container:") else "network"
        run.lost.append(Lost(f"{name} {value}"[:120], code))


def _draft(run: _Run, given: dict[str, str], key: str, where: str) -> Draft:
    variables: list[Variable] = []
    secrets: list[SecretWanted] = []
    for name, text in run.environment.items():
        value = given.get(name, "") if text is None else text
        if templates.names_outside(value) and not value.startswith("${input:"):
            reference = value.strip("${}")
            value = given.get(reference, "") if reference != name else ""
        add_variable(name, value, variables, secrets)
    image = run.image if names.is_image(run.image) else ""
    why_not = "" if image else ("bad_image" if run.image else "no_image")
    http = bool(run.ports) and not run.interactive  # what is talked to over standard input needs no port
    more = [Lost(f"-p {port}", "port") for port in run.ports[http:]]
    command = []
    for word in run.command:
        if templates.names_outside(word):
            more.append(Lost(word[:120], "variable_from_outside"))
        elif secret_value("", word):
            more.append(Lost("command", "dropped_value"))
        else:
            command.append(word)
    # a container without --network stands on the default bridge, which reaches everything
    return Draft(
        key=key or _tail(run.image), name=names.server_name(key or _tail(run.image)), image=image, why_not=why_not,
        transport="http" if http else "stdio", port=run.ports[0] if http else None, entrypoint=run.entrypoint,
        command=tuple(command), user=run.user, mounts=tuple(run.mounts), network=run.network or "outbound",
        variables=tuple(variables), secrets=tuple(secrets), lost=(*run.lost, *more), about={"from": "docker run"},
    )


def add_variable(name: str, value: str, variables: list[Variable], secrets: list[SecretWanted], description: str = "") -> None:
    """Put a variable where it belongs: with the secrets when its name or value says so."""
    if secret_name(name) or secret_value(name, value):
        kept = Sensitive(value) if secret_value(name, value) else None
        secrets.append(SecretWanted(name, names.secret_name(name), description=description, given=kept))
    else:
        variables.append(Variable(name, value, description=description))


def _tail(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
