"""Docker's catalogue YAML, versions 2 and 3: ``registry`` holds servers by name. Also the snapshots in its profiles."""
from __future__ import annotations

from mcpweb.catalogs import names
from mcpweb.catalogs.draft import Draft, Lost
from mcpweb.catalogs.fields import Sketch
from mcpweb.catalogs.nodes import Node

_KNOWN = frozenset((
    "name", "type", "image", "title", "description", "icon", "readme", "source", "upstream", "dateAdded", "longLived", "command",
    "volumes", "user", "disableNetwork", "allowHosts", "extraHosts", "prefix", "remote", "sseEndpoint", "secrets", "env", "oauth",
    "config", "tools", "metadata", "policy", "toolsUrl", "readmeUrl", "ref", "prompts", "resources", "dynamic", "meta",
))


def read(registry: Node) -> list[Draft]:
    """Return a draft for each server of the catalogue."""
    return [server(name, node) for name, node in registry.items()]


def server(key: str, node: Node) -> Draft:
    """Return the draft of one server."""
    if not node.is_mapping:
        node.wrong("should be a mapping")
        return Draft(key, names.server_name(key), why_not="no_image")
    sketch = Sketch(key)
    for one in node.at("secrets").each():
        sketch.secret(one, variable=one.at("env").text(300), name=one.at("name").text(300), required=True,
                      description=one.at("description").prose(2000) or one.at("example").prose(200))
    for one in node.at("config").each() if node.at("config").is_list else [node.at("config")]:
        sketch.properties(one)
    for one in node.at("env").each():
        sketch.variable(one, one.at("name").text(300), one.at("value").text())
    sketch.volumes(node.at("volumes").each())
    command = sketch.words(node.at("command").each())
    if node.has("allowHosts"):
        sketch.lose(f"{node.pointer}/allowHosts", "allow_hosts")
    if node.has("extraHosts"):
        sketch.lose(f"{node.pointer}/extraHosts", "extra_hosts")
    if node.has("oauth"):
        sketch.lose(f"{node.pointer}/oauth", "oauth")
    tools, own_images = [], False
    for tool in node.at("tools").each():
        tools.append(tool.at("name").text(256) if tool.is_mapping else tool.text(256))
        own_images = own_images or tool.has("container")
    if own_images:
        sketch.lose(f"{node.pointer}/tools", "tool_image")
    image, why_not = image_of(node)
    return sketch.finish(
        key=key, name=names.server_name(key), image=image, why_not=why_not, title=node.at("title").prose(300),
        description=node.at("description").prose(4000), command=command, user=sketch.user(node.at("user")),
        network="none" if node.at("disableNetwork").flag() else "outbound", tools=tuple(one for one in tools if one),
        lost=node.unknown(_KNOWN), about=about(node),
    )


def image_of(node: Node) -> tuple[str, str]:
    """Return the image of a server and, when there is none to run, why."""
    kind, image = node.at("type").text(40), node.at("image").text(600)
    if kind == "remote" or (not image and node.has("remote", "sseEndpoint")):
        return "", "remote"
    if kind == "poci":
        return "", "per_call"
    if not image:
        return "", "no_image"
    return (image, "") if names.is_image(image) else ("", "bad_image")


def about(node: Node) -> dict[str, str]:
    """Return what is worth knowing of where a server comes from."""
    metadata = node.at("metadata")
    found = {
        "source": node.at("upstream", "source").text(500), "category": metadata.at("category").text(100),
        "license": metadata.at("license").text(100), "owner": metadata.at("owner").text(200),
        "url": node.at("remote").at("url").text(500) if node.at("remote").is_mapping else "",
    }
    return {name: value for name, value in found.items() if value}


def profile(servers: list[Node]) -> list[Draft]:
    """Return the drafts of a profile or of a catalogue that is kept as an image: what it says beside, or its snapshot."""
    drafts = []
    for at, one in enumerate(servers):
        inner = one.at("snapshot").at("server")
        if inner.is_mapping:
            drafts.append(server(inner.at("name").text(200) or str(at + 1), inner))
            continue
        image = one.at("image").text(600)
        kind = one.at("type").text(40)
        key = image or one.at("source", "endpoint").text(400) or str(at + 1)
        why_not = "remote" if kind == "remote" else "" if names.is_image(image) else "bad_image" if image else "no_image"
        name = names.server_name(image.partition("@")[0].rpartition("/")[2].partition(":")[0] or key)
        drafts.append(Draft(key, name, image="" if why_not else image, why_not=why_not, lost=_config(one)))
    return drafts


def _config(one: Node) -> tuple[Lost, ...]:
    return (Lost(f"{one.pointer}/config", "unknown_field"),) if one.has("config") else ()
