"""How clients reach a managed server: snippets for their files. No value of a secret is in one, only the names of variables."""
from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcpweb.contracts import Actor, ConfigData
from mcpweb.core import Core
from mcpweb.dao import bindings, configurations, servers
from mcpweb.dao.servers import Server
from mcpweb.errors import Failure
from mcpweb.schemas.configurations import load_config_data
from mcpweb.services import access

_WORDS = re.compile(r'\[\n\s*"(?:[^"\\\n]|\\.)*"(?:,\n\s*"(?:[^"\\\n]|\\.)*")*\n\s*\]')


@dataclass(frozen=True)
class Snippet:
    """A text for one client; ``file`` is where it goes."""

    client: str
    file: str
    text: str


@dataclass(frozen=True)
class Connection:
    """How a server is reached: an http server at its ``url`` (None while it does not run), a stdio server by a command."""

    server_id: str
    transport: str
    url: str | None
    secrets: tuple[str, ...]
    files: tuple[str, ...]  # variables that are handed over as files here, which a plain docker run does not do
    snippets: tuple[Snippet, ...]


def show(core: Core, actor: Actor, server_id: str) -> Connection:
    """Return how clients reach a server with its active configuration. Raises NotFound."""
    access.require(core, actor, "server.view", server_id=server_id)
    with core.db.reading() as conn:
        server = servers.get(conn, server_id)
        configuration = configurations.active(conn, server.id)
        bound = bindings.of_configuration(conn, configuration.id)
    config = load_config_data(configuration.config_data)
    variables = tuple(one.variable for one in bound)
    files = tuple(one.variable for one in bound if one.delivery == "file")
    if config.transport == "http":
        url = endpoint(core, server)
        return Connection(server.id, "http", url, variables, files, tuple(_by_url(server.name, url)) if url else ())
    words = command(server, config, variables)
    return Connection(server.id, "stdio", None, variables, files, tuple(_by_command(server.name, words, variables)))


def endpoint(core: Core, server: Server) -> str | None:
    """Return the address of a running http server on this machine, as the worker knows it; None without one."""
    if server.status != "running":
        return None
    try:
        found: str | None = core.line.request("endpoint", {"server_id": server.id}, timeout_s=2.0)["url"]
    except (Failure, TimeoutError):
        return None
    return found


def command(server: Server, config: ConfigData, secrets: tuple[str, ...]) -> list[str]:
    """Return the ``docker run`` that gives a client a container like ours: as hardened, without the values of secrets."""
    words = ["docker", "run", "-i", "--rm", "--init", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    words += [word for name in config.capabilities for word in ("--cap-add", name)]
    words += ["--read-only"] if config.read_only_root else []
    words += [word for path, size in sorted(config.tmpfs.items()) for word in ("--tmpfs", f"{path}:size={size}")]
    limits = config.limits
    words += ["--memory", f"{limits.memory_mb}m", "--cpus", f"{limits.cpus:g}", "--pids-limit", str(limits.pids)]
    words += [] if config.network == "outbound" else ["--network", "none"]
    words += ["--user", config.user] if config.user else []
    for mount in config.mounts:
        made = f"type={mount.type},source={mount.source},target={mount.target}"
        words += ["--mount", made + (",readonly" if mount.read_only else "")]
    words += [word for name, value in sorted(config.environment.items()) for word in ("-e", f"{name}={value}")]
    words += [word for name in secrets for word in ("-e", name)]
    tail = list(config.command or ())
    if config.entrypoint:
        words += ["--entrypoint", config.entrypoint[0]]
        tail = [*config.entrypoint[1:], *tail]
    return [*words, server.image, *tail]


def _by_command(name: str, words: list[str], secrets: tuple[str, ...]) -> Iterator[Snippet]:
    placeholders = {variable: f"<{variable}>" for variable in secrets}
    entry: dict[str, Any] = {"command": words[0], "args": words[1:]}
    if secrets:
        entry["env"] = placeholders
    yield Snippet("Claude Desktop", "claude_desktop_config.json", _json({"mcpServers": {name: entry}}))
    asked: dict[str, Any] = {"type": "stdio", "command": words[0], "args": words[1:]}
    document: dict[str, Any] = {"servers": {name: asked}}
    if secrets:
        asked["env"] = {variable: f"${{input:{variable}}}" for variable in secrets}
        document["inputs"] = [
            {"type": "promptString", "id": variable, "description": variable, "password": True} for variable in secrets
        ]
    yield Snippet("VS Code", ".vscode/mcp.json", _json(document))
    yield Snippet("Cursor", ".cursor/mcp.json", _json({"mcpServers": {name: entry}}))
    yield Snippet("mcpServers", "", _json({"mcpServers": {name: entry}}))
    yield Snippet("docker run", "", shlex.join(words))


def _by_url(name: str, url: str) -> Iterator[Snippet]:
    yield Snippet("Claude Code", "", shlex.join(["claude", "mcp", "add", "--transport", "http", name, url]))
    yield Snippet("VS Code", ".vscode/mcp.json", _json({"servers": {name: {"type": "http", "url": url}}}))
    yield Snippet("Cursor", ".cursor/mcp.json", _json({"mcpServers": {name: {"url": url}}}))
    yield Snippet("mcpServers", "", _json({"mcpServers": {name: {"type": "streamable-http", "url": url}}}))


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON as people write it: one member a line, a list of words on one."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _WORDS.sub(lambda found: "[" + re.sub(r",\n\s*", ", ", found[0][1:-1].strip()) + "]", text)
