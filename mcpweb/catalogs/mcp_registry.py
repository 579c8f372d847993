"""The MCP registry's ``server.json``, one or a reply with many, in camelCase and in the older snake_case."""
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from mcpweb.catalogs import mounts, names, packages
from mcpweb.catalogs.draft import Draft, Kind, Lost, Parameter
from mcpweb.catalogs.fields import Sketch, shown
from mcpweb.catalogs.nodes import Node

_BRACES = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]{0,80})\}")
_OFFICIAL = "io.modelcontextprotocol.registry/official"
_ASKING = ("default", "isRequired", "is_required", "choices", "format", "valueHint", "value_hint", "placeholder")
_KINDS: dict[str, Kind] = {"string": "string", "number": "number", "boolean": "boolean", "filepath": "string"}


@dataclass
class _Package:
    node: Node
    kind: str
    name: str
    version: str


def read(servers: Iterable[Node]) -> list[Draft]:
    """Return a draft for each server."""
    return [server(one) for one in servers]


def server(outer: Node) -> Draft:
    """Return the draft of a server, bare or wrapped as lists hold it."""
    node = outer.at("server") if outer.at("server").is_mapping else outer
    if not node.is_mapping:
        node.wrong("should be a mapping")
        return Draft("?", "server", why_not="no_image")
    key = node.at("name").text(300)
    if not key:
        node.at("name").wrong("is missing")
    owner = names.server_name(key)
    sketch = Sketch(owner)
    found = [_package(one) for one in node.at("packages").each()]
    chosen = next((one for one in found if one.kind == "oci"), None)
    for one in found:
        if one is not chosen and chosen is not None:
            sketch.lose(one.node.pointer, "package" if packages.recipe(one.kind, one.name, one.version) else "other_package")
    if chosen is not None and node.has("remotes"):
        sketch.lose(node.at("remotes").pointer, "remote")
    status = outer.at("_meta").at(_OFFICIAL).at("status").text(40) or node.at("status").text(40)
    if status in ("deleted", "deprecated"):
        sketch.lose("/status", status)
    about = {
        "version": node.at("version").text(100), "source": node.at("repository").at("url").text(500),
        "url": node.at("websiteUrl", "website_url").text(500),
    }
    common: dict[str, Any] = {
        "key": key, "name": owner, "title": node.at("title").prose(300), "description": node.at("description").prose(4000),
        "about": {name: value for name, value in about.items() if value},
    }
    if chosen is not None:
        return _from_image(sketch, chosen, common)
    if not found:
        return sketch.finish(**common, why_not="remote" if node.has("remotes") else "no_image")
    return _from_package(sketch, found, common)


def _package(node: Node) -> _Package:
    kind = node.at("registryType", "registry_type", "registry_name").text(40).lower()
    kind = {"docker": "oci", "ghcr": "oci"}.get(kind, kind)
    return _Package(node, kind, node.at("identifier", "name").text(500), node.at("version").text(200))


def _from_image(sketch: Sketch, package: _Package, common: dict[str, Any]) -> Draft:
    node, image = package.node, package.name.removeprefix("docker://").removeprefix("https://")
    tagged = ":" in image.rpartition("/")[2] or "@" in image
    if image and package.version and not tagged and package.version != "latest":
        image = f"{image}:{package.version}"
    if base := node.at("registryBaseUrl", "registry_base_url").text(300):
        host = base.removeprefix("https://").removeprefix("http://").strip("/")
        if host and host != "docker.io" and "." not in image.partition("/")[0]:
            image = f"{host}/{image}"
    why_not = "" if names.is_image(image) else "bad_image" if image else "no_image"
    _variables(sketch, node)
    user, network = _runtime_arguments(sketch, node)
    command = _arguments(sketch, node.at("packageArguments", "package_arguments"))
    transport, port, path = _transport(sketch, node)
    return sketch.finish(
        **common, image="" if why_not else image, why_not=why_not, command=tuple(command), user=user, network=network,
        transport=transport, port=port, path=path,
    )


def _from_package(sketch: Sketch, found: list[_Package], common: dict[str, Any]) -> Draft:
    for one in found:
        if recipe := packages.recipe(one.kind, one.name, one.version):
            _variables(sketch, one.node)
            command = _arguments(sketch, one.node.at("packageArguments", "package_arguments"))
            return sketch.finish(**common, why_not="package", recipe=recipe, command=tuple(command), network="outbound")
    return sketch.finish(**common, why_not="binary" if any(one.kind == "mcpb" for one in found) else "other_package")


def _variables(sketch: Sketch, node: Node) -> None:
    for one in node.at("environmentVariables", "environment_variables").each():
        name, description = one.at("name").text(300), one.at("description").prose(2000)
        required = one.at("isRequired", "is_required").flag()
        if one.at("isSecret", "is_secret").flag():
            if one.has("value") and not _BRACES.search(one.at("value").text()):
                sketch.lose(f"{one.pointer}/value", "dropped_value")
            sketch.secret(one, variable=name, name=name, required=required, description=description)
            continue
        if one.has("value"):
            _put(sketch, one, name, _value(sketch, one), description)
        elif names.is_variable(name):
            sketch.parameters[name] = _parameter(one, name, required)
            sketch.variable(one, name, "{{" + name + "}}", description=description)
        else:
            sketch.lose(one.pointer, "variable")


def _put(sketch: Sketch, node: Node, name: str, text: str, description: str) -> None:
    """Note a variable whose value is given; one that is nothing but a secret input is that secret."""
    found = re.fullmatch(r"\$\{([A-Za-z0-9_.-]+)\}", text)
    asked = node.at("variables").at(found[1]) if found else None
    if asked is not None and asked.at("isSecret", "is_secret").flag():
        told = asked.at("description").prose(2000) or description
        sketch.secret(node, variable=name, name=name, required=asked.at("isRequired", "is_required").flag(), description=told)
    else:
        sketch.variable(node, name, text, description=description)


def _parameter(node: Node, key: str, required: bool | None = None) -> Parameter:
    kind = _KINDS.get(node.at("format").text(40), "string")
    choices = tuple(one.text(500) for one in node.at("choices").each())
    about = node.at("description").prose(2000) or node.at("placeholder", "valueHint", "value_hint").prose(200)
    needed = node.at("isRequired", "is_required").flag() if required is None else required
    return Parameter(key, kind, needed, shown(node.at("default")), choices, about)


def _value(sketch: Sketch, node: Node) -> str:
    """Return the value of an input with ``{name}`` turned into templates, its variables noted as parameters."""
    text = node.at("value").text()
    variables = dict(node.at("variables").items())
    secret = {name for name, one in variables.items() if one.at("isSecret", "is_secret").flag()}

    def template(found: re.Match[str]) -> str:
        name = found[1]
        if name not in variables:
            return found[0]
        if name in secret:
            return "${" + name + "}"
        sketch.parameters.setdefault(name, _parameter(variables[name], name))
        return "{{" + name + "}}"

    return _BRACES.sub(template, text)


def _arguments(sketch: Sketch, listed: Node) -> list[str]:
    words: list[str] = []
    for one in listed.each():
        words += _argument(sketch, one)
    return words


def _argument(sketch: Sketch, one: Node) -> list[str]:
    if not one.is_mapping:  # a plain word, as some write it
        return list(sketch.words([one]))
    flag = one.at("name").text(200) if one.at("type").text(40) == "named" else ""
    hint = flag.lstrip("-") or one.at("valueHint", "value_hint", "name").text(100) or "argument"
    if one.at("isSecret", "is_secret").flag():
        sketch.lose(one.pointer, "secret_in_text")
        return []
    if one.has("value"):
        value = _value(sketch, one)
        if "${" in value:
            sketch.lose(one.pointer, "secret_in_text")
            return []
    elif flag and not one.has(*_ASKING):
        value = ""
    else:
        key = re.sub(r"[^A-Za-z0-9_-]+", "_", hint).strip("_") or "argument"
        sketch.parameters.setdefault(key, _parameter(one, key))
        repeated = one.at("isRepeated", "is_repeated").flag()
        value = "{{" + key + ("|into" if repeated and not flag else "") + "}}"
    node = Node(value, one.pointer, one._faults) if value else None
    kept = sketch.words([node]) if node is not None else ()
    if not flag:
        return list(kept)
    return [f"{flag}={kept[0]}"] if kept and flag.startswith("--") else [flag, *kept]


def _runtime_arguments(sketch: Sketch, node: Node) -> tuple[str, str]:
    """Read the options of ``docker run`` in a package: mounts and user are proposals, everything else is lost."""
    user, network = "", "outbound"
    for one in node.at("runtimeArguments", "runtime_arguments").each():
        name = one.at("name").text(100)
        value = _value(sketch, one) if one.has("value") else one.at("default").text()
        if not name and value.startswith("-"):
            name, _equals, value = value.partition("=")
        if name in ("-v", "--volume", "--mount"):
            made = (mounts.mount if name == "--mount" else mounts.volume)(value, one.pointer)
            if isinstance(made, Lost):
                sketch.lost.append(made)
            else:
                sketch.mounts.append(made)
        elif name in ("-u", "--user"):
            user = sketch.user(Node(value, one.pointer, one._faults))
        elif name in ("-e", "--env"):
            variable, _equals, text = value.partition("=")
            _put(sketch, one, variable, text, one.at("description").prose(500))
        elif name in ("--network", "--net") and value == "none":
            network = "none"
        elif name not in ("-i", "--interactive", "--rm", "-t", "-it", "--init"):
            sketch.lose(one.pointer, "option")
    return user, network


def _transport(sketch: Sketch, node: Node) -> tuple[Literal["stdio", "http"], int | None, str]:
    transport = node.at("transport")
    kind, url = transport.at("type").text(40) or "stdio", transport.at("url").text(500)
    if kind == "stdio":
        return "stdio", None, "/mcp"
    if kind != "streamable-http":
        sketch.lose(transport.pointer, "transport")
        return "stdio", None, "/mcp"
    if transport.has("headers"):
        sketch.lose(f"{transport.pointer}/headers", "headers")
    found = re.fullmatch(r"https?://[^/:]+(?::([0-9]{1,5}))?(/[^?#{}\x00-\x1f]{0,200})?", url)
    port = int(found[1]) if found and found[1] else 0
    if not 0 < port < 65536:
        sketch.lose(f"{transport.pointer}/url", "template")
    return "http", port if 0 < port < 65536 else None, (found[2] if found and found[2] else "/mcp")
