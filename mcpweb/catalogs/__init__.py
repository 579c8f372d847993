"""Texts that tell of servers – catalogues, registries, files of clients, a command, an image – read into drafts.

A draft fills a form. No text sets command, mounts, user, network or secrets by itself; nothing it names is fetched or run.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mcpweb.catalogs import clients, docker_catalog, docker_registry, docker_run, mcp_registry, names
from mcpweb.catalogs.draft import REASONS, Draft, Lost, MountWanted, Parameter, SecretWanted, Variable
from mcpweb.catalogs.nodes import Faults, Node
from mcpweb.catalogs.texts import LARGEST, Text, decoded
from mcpweb.catalogs.texts import read as read_text
from mcpweb.errors import FieldError, InvalidInput

MOST_DRAFTS = 5000
FORMATS = {
    "image": "image reference",
    "docker-run": "docker run command",
    "docker-catalog": "Docker catalogue",
    "docker-registry": "server.yaml of docker/mcp-registry",
    "docker-profile": "Docker profile",
    "mcp-registry": "server.json of the MCP registry",
    "mcp-servers": "mcpServers of a client",
}
_EXPECTED = "an image reference, docker run, a Docker catalogue, server.yaml, server.json or mcpServers"


@dataclass(frozen=True)
class Reading:
    """What a text said: its format and the drafts in it, in its order."""

    format: str
    drafts: tuple[Draft, ...]


def read(text: str, *, tools: str = "") -> Reading:
    """Return the drafts in a text; ``tools`` is the tools.json beside a server.yaml. Raises InvalidInput with line and column."""
    short = text.strip() if len(text) < 20_000 else ""
    if short and re.fullmatch(r"\S{1,400}", short) and names.is_image(short):
        name = short.partition("@")[0].rpartition("/")[2].partition(":")[0]
        return Reading("image", (Draft(short, names.server_name(name), image=short),))
    words = clients.split(short.removeprefix("$ ")) if short and not short.startswith(("{", "[")) else []
    if docker_run.is_run(words):
        return Reading("docker-run", (docker_run.read(words, {}, "", ""),))
    source = read_text(text)
    faults = Faults(source)
    most = max((len(value) for value in _members(source.value)), default=0)
    if most > MOST_DRAFTS:
        raise InvalidInput(f"A text holds at most {MOST_DRAFTS} servers.", errors=[FieldError("", f"{most} members")])
    kind, drafts = _drafts(source, Node(source.value, "", faults), tools)
    faults.check()
    if not drafts:
        raise InvalidInput("There is no server in the text.", errors=[FieldError("", FORMATS[kind])])
    return Reading(kind, _told_apart(drafts))


def _members(value: Any) -> Iterator[Any]:
    """Yield what can hold servers: the value itself and the collections right in it."""
    for one in (value, *(value.values() if isinstance(value, dict) else ())):
        if isinstance(one, (dict, list)):
            yield one


def _drafts(source: Text, root: Node, tools: str) -> tuple[str, list[Draft]]:
    for fits, reader in _READERS:
        if fits(root):
            return reader(root, tools)
    if root.is_mapping and "registry" in source.value:
        root.at("registry").wrong("should be a mapping of names to servers")
        return "docker-catalog", []
    found = "a list" if root.is_list else "a mapping" if root.is_mapping else "a text"
    known = ", ".join(str(name)[:40] for name in list(source.value)[:6]) if root.is_mapping else ""
    raise InvalidInput(
        f"This is nothing that is known here: {_EXPECTED}.",
        errors=[FieldError("", f"line 1, column 1: {found}" + (f" with {known}" if known else ""))],
    )


def _catalog(root: Node, tools: str) -> tuple[str, list[Draft]]:
    registry = root.at("registry")
    inner = [one for _name, one in registry.items()]
    if inner and all(one.is_mapping and set(one.value) <= {"ref", "config"} for one in inner):
        registry.wrong("this file only says which servers are switched on; give the catalogue itself")
        return "docker-catalog", []
    return "docker-catalog", docker_catalog.read(registry)


def _clients(root: Node, tools: str) -> tuple[str, list[Draft]]:
    inner = root.at("mcp") if root.at("mcp").is_mapping and not root.has("mcpServers", "servers") else root
    return "mcp-servers", clients.read(inner.at("mcpServers", "servers"), inner.at("inputs"))


def _one_client(root: Node, tools: str) -> tuple[str, list[Draft]]:
    draft = clients.entry(root.at("name").text(200) or "server", root, Node(None, "", Faults(Text("", "json", None))))
    return "mcp-servers", [draft]


def _listed(root: Node, tools: str) -> tuple[str, list[Draft]]:
    servers = root.each() if root.is_list else root.at("servers").each()
    if any(one.has("snapshot") or (one.has("type") and not one.has("name", "server")) for one in servers):
        return "docker-profile", docker_catalog.profile(servers)
    return "mcp-registry", mcp_registry.read(servers)


def _server_yaml(root: Node, tools: str) -> tuple[str, list[Draft]]:
    listed = None
    if tools.strip():
        beside = read_text(tools)
        problems = Faults(beside)
        listed = Node(beside.value, "", problems)
        made = docker_registry.read(root, listed)
        problems.check()
        return "docker-registry", made
    return "docker-registry", docker_registry.read(root, listed)


def _has_commands(root: Node) -> bool:
    return root.at("mcpServers").is_mapping or root.at("servers").is_mapping or (
        root.at("mcp").at("servers").is_mapping or root.at("mcp").at("mcpServers").is_mapping
    )


_Reader = Callable[[Node, str], tuple[str, list[Draft]]]
_READERS: tuple[tuple[Callable[[Node], bool], _Reader], ...] = (
    (lambda root: root.at("registry").is_mapping, _catalog),
    (_has_commands, _clients),
    (lambda root: root.at("servers").is_list or root.is_list, _listed),
    (lambda root: root.has("packages", "remotes") or root.at("server").is_mapping,
     lambda root, tools: ("mcp-registry", [mcp_registry.server(root)])),
    (lambda root: root.has("command", "url") and not root.has("image", "about"), _one_client),
    (lambda root: root.has("name") and root.has("image", "about", "source", "run", "config", "remote"), _server_yaml),
)


def _told_apart(drafts: list[Draft]) -> tuple[Draft, ...]:
    """Give drafts with one name numbers, so that each can be chosen by its key."""
    seen: dict[str, int] = {}
    made = []
    for draft in drafts:
        seen[draft.key] = count = seen.get(draft.key, 0) + 1
        made.append(draft if count == 1 else replace(draft, key=f"{draft.key}#{count}"))
    return tuple(made)


__all__ = [
    "FORMATS", "LARGEST", "REASONS", "Draft", "Lost", "MountWanted", "Parameter", "Reading", "SecretWanted", "Variable",
    "decoded", "read",
]
