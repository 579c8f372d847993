"""Client files: ``mcpServers`` of desktop clients and editors, ``servers`` of VS Code; ``docker run`` in them is read."""
from __future__ import annotations

import re
import shlex
from dataclasses import replace

from mcpweb.catalogs import docker_run, names, packages, templates
from mcpweb.catalogs.draft import Draft, Lost, SecretWanted, Variable
from mcpweb.catalogs.nodes import Node

_SHELLS = ("sh", "bash", "zsh", "cmd", "cmd.exe", "powershell", "pwsh", "env")
_INPUT = re.compile(r"\$\{input:([A-Za-z0-9_.-]{1,80})\}")
_KNOWN = frozenset((
    "command", "args", "env", "type", "url", "headers", "transport", "cwd", "disabled", "autoApprove", "alwaysAllow", "timeout",
    "envFile", "description", "name", "gallery", "version", "dev", "serverUrl", "httpUrl", "trust", "includeTools",
    "excludeTools", "enabled", "icon",
))


def read(servers: Node, inputs: Node) -> list[Draft]:
    """Return a draft for each entry."""
    return [entry(name, node, inputs) for name, node in servers.items()]


def entry(name: str, node: Node, inputs: Node) -> Draft:
    """Return the draft of one entry."""
    if not node.is_mapping:
        node.wrong("should be a mapping with a command or a url")
        return Draft(name, names.server_name(name), why_not="other_runtime")
    words = [node.at("command").text(), *node.at("args").texts()]
    if len(words) == 1 and " " in words[0].strip():
        words = split(words[0])
    given = {key: value.text(40_000) for key, value in node.at("env").items()}
    lost = list(node.unknown(_KNOWN))
    if node.has("envFile"):
        lost.append(Lost(f"{node.pointer}/envFile", "file_outside"))
    if node.has("cwd"):
        lost.append(Lost(f"{node.pointer}/cwd", "file_outside"))
    for variable in [one for one in given if not names.is_variable(one)]:
        lost.append(Lost(f"{node.pointer}/env/{variable}"[:120], "variable"))
        del given[variable]
    draft = _draft(name, node, words, given)
    draft = _asked_for(draft, inputs)
    return replace(draft, name=names.server_name(name), lost=(*draft.lost, *lost), description=node.at("description").prose(2000))


def split(text: str) -> list[str]:
    """Return the words of a command line, as far as they can be told apart."""
    try:
        return shlex.split(text.replace("\\\r\n", " ").replace("\\\n", " "))
    except ValueError:
        return text.split()


def _draft(name: str, node: Node, words: list[str], given: dict[str, str]) -> Draft:
    if not words[0]:
        if node.has("url", "serverUrl", "httpUrl"):
            return Draft(name, name, why_not="remote", about={"url": node.at("url", "serverUrl", "httpUrl").text(500)})
        node.wrong("has neither a command nor a url")
        return Draft(name, name, why_not="other_runtime")
    program = words[0].rpartition("/")[2].rpartition("\\")[2].lower()
    if program in _SHELLS and len(words) > 2 and words[1].lower() in ("-c", "/c", "-lc"):
        return _draft(name, node, split(words[2]) if len(words) == 3 else words[2:], given)
    if docker_run.is_run(words):
        return docker_run.read(words, given, name, node.pointer)
    variables: list[Variable] = []
    secrets: list[SecretWanted] = []
    for variable, value in given.items():
        docker_run.add_variable(variable, value, variables, secrets)
    package = packages.from_runner(words)
    if package is None:
        return Draft(name, name, why_not="other_runtime", variables=tuple(variables), secrets=tuple(secrets),
                     about={"command": " ".join(words)[:300]})
    kind, wanted, version, script, rest = package
    recipe = packages.recipe(kind, wanted, version, script)
    return Draft(
        name, name, why_not="package" if recipe else "other_package", recipe=recipe, command=rest, network="outbound",
        variables=tuple(variables), secrets=tuple(secrets),
        about={"package": f"{kind} {wanted}{'@' + version if version else ''}"[:200]},
    )


def _asked_for(draft: Draft, inputs: Node) -> Draft:
    """Take VS Code's ``${input:id}``: what it asks for with a hidden field is a secret, everything else a variable to fill in."""
    hidden, told = set(), {}
    for one in inputs.each():
        told[one.at("id").text(100)] = one.at("description").prose(500)
        if one.at("password").value is True:
            hidden.add(one.at("id").text(100))
    variables, secrets = [], list(draft.secrets)
    for variable in draft.variables:
        found = _INPUT.fullmatch(variable.value)
        if found and found[1] in hidden:
            secrets.append(SecretWanted(variable.name, names.secret_name(variable.name), description=told.get(found[1], "")))
        elif found or templates.names_outside(variable.value):
            variables.append(replace(variable, value="", required=True, description=told.get(found[1] if found else "", "")))
        else:
            variables.append(variable)
    return replace(draft, variables=tuple(variables), secrets=tuple(secrets))
