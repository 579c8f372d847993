"""``server.yaml`` of the docker/mcp-registry source tree, with the ``tools.json`` that lies beside it."""
from __future__ import annotations

from mcpweb.catalogs import docker_catalog, names
from mcpweb.catalogs.draft import Draft
from mcpweb.catalogs.fields import Sketch
from mcpweb.catalogs.nodes import Node

_KNOWN = frozenset((
    "name", "image", "type", "dynamic", "longLived", "requirement", "meta", "about", "source", "remote", "run", "config", "oauth",
    "tools",
))
_RUN = frozenset(("command", "volumes", "user", "env", "allowHosts", "disableNetwork"))


def read(node: Node, tools: Node | None = None) -> list[Draft]:
    """Return the one draft of a server.yaml."""
    key = node.at("name").text(300)
    if not key:
        node.at("name").wrong("is missing")
    sketch, run, config = Sketch(key), node.at("run"), node.at("config")
    for one in config.at("secrets").each():
        sketch.secret(
            one, variable=one.at("env").text(300), name=one.at("name").text(300),
            required=not one.has("required") or one.at("required").flag(),
            description=one.at("description").prose(2000) or one.at("example").prose(200),
        )
    sketch.properties(config.at("parameters"))
    for one in config.at("env").each():
        value, example = one.at("value").text(), one.at("example").text(500)
        sketch.variable(one, one.at("name").text(300), value, example=example)
    for name, one in run.at("env").items():
        sketch.variable(one, name, one.text())
    sketch.volumes(run.at("volumes").each())
    command = sketch.words(run.at("command").each())
    if run.has("allowHosts"):
        sketch.lose(f"{run.pointer}/allowHosts", "allow_hosts")
    if node.has("oauth"):
        sketch.lose("/oauth", "oauth")
    image, why_not = docker_catalog.image_of(node)
    if why_not == "no_image" and key and node.at("source").has("project"):
        image, why_not = f"mcp/{key.lower()}", ""  # what its tree builds is published under this name
        image, why_not = (image, "") if names.is_image(image) else ("", "bad_image")
    about = node.at("about")
    found = {
        "source": node.at("source").at("project").text(500), "category": node.at("meta").at("category").text(100),
        "commit": node.at("source").at("commit").text(60), "url": node.at("remote").at("url").text(500),
    }
    return [sketch.finish(
        key=key, name=names.server_name(key), image=image, why_not=why_not, title=about.at("title").prose(300),
        description=about.at("description").prose(4000) or config.at("description").prose(2000), command=command,
        user=sketch.user(run.at("user")), network="none" if run.at("disableNetwork").flag() else "outbound",
        tools=_tools(tools if tools is not None else node.at("tools")),
        lost=(*node.unknown(_KNOWN), *run.unknown(_RUN)), about={name: value for name, value in found.items() if value},
    )]


def _tools(node: Node) -> tuple[str, ...]:
    listed = node.at("tools") if node.is_mapping else node
    return tuple(name for one in listed.each() if (name := one.at("name").text(256) if one.is_mapping else one.text(256)))
