"""From a draft to a server: what a person filled in, checked field by field, stored in one transaction with its secrets."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcpweb.catalogs import Draft, MountWanted, Parameter, templates
from mcpweb.contracts import Actor, ConfigData, Sensitive, variable_fault
from mcpweb.core import Core
from mcpweb.dao import secrets as secret_rows
from mcpweb.dao.servers import Server
from mcpweb.db import Connection
from mcpweb.errors import FieldError, InvalidInput
from mcpweb.events import SecretChanged, ServerChanged
from mcpweb.schemas.configurations import load_config_data
from mcpweb.services import access, bindings, servers
from mcpweb.services import secrets as secret_service

PROPOSALS = ("command", "entrypoint", "user", "mounts", "network")
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_INTEGER = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True)
class SecretAnswer:
    """What becomes of a secret a server wants: a value, a secret there is (by id), or it waits to be filled in (neither)."""

    value: Sensitive | None = None
    secret_id: str = ""
    required: bool = True
    delivery: str = "stdin"


@dataclass(frozen=True)
class Answers:
    """What a person decided about a draft. ``accept`` names the proposals that are taken; none is taken unasked."""

    name: str
    image: str
    description: str = ""
    transport: str = "stdio"
    port: int | None = None
    path: str = "/mcp"
    values: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretAnswer] = field(default_factory=dict)
    accept: frozenset[str] = frozenset()
    writable: bool = False


def install(core: Core, actor: Actor, draft: Draft, answers: Answers, *, kind: str = "") -> Server:
    """Add the server a draft proposes, as a person filled it in, its secrets straight in the vault, all of it or nothing.

    Raises InvalidInput with a pointer to each fault, Conflict for a taken name, NotFound for a secret that is gone, VaultLocked.
    """
    access.require(core, actor, "server.edit")
    if answers.secrets:
        access.require(core, actor, "secret.edit")
    config = config_of(draft, answers)
    told = {"format": kind, "key": draft.key[:300], "title": draft.title, **draft.about}
    metadata = {"import": {name: value for name, value in told.items() if value}}
    with core.db.writing() as conn:
        server, configuration = servers.added(
            conn, actor, name=answers.name, image=answers.image, description=answers.description[:500], config=config,
            metadata=metadata,
        )
        changed = _bound(core, conn, actor, draft, answers, server, configuration)
        access.note(
            conn, actor, "server.import", server.id,
            {"name": server.name, "format": kind, "accepted": sorted(answers.accept & set(draft.proposals)),
             "lost": len(draft.lost)},
        )
    core.announce(ServerChanged(actor.name, server.id, "added"))
    for secret_id in changed:
        core.announce(SecretChanged(actor.name, secret_id, "bound"))
    return server


def _bound(
    core: Core, conn: Connection, actor: Actor, draft: Draft, answers: Answers, server: Server, configuration: Any
) -> list[str]:
    told = {one.variable: one for one in draft.secrets}
    taken: set[str] = set()
    changed = []
    for variable, answer in answers.secrets.items():
        wanted = told.get(variable)
        if answer.secret_id:
            secret = secret_rows.get(conn, answer.secret_id)
        else:
            name = wanted.name if wanted and wanted.name not in taken else variable
            name = name[:63] if name not in taken else f"{name[:58]}_{len(taken)}"
            taken.add(name)
            secret = secret_service.added(
                core, conn, actor, name=name, value=answer.value, scope="server", owner_id=server.id,
                description=wanted.description[:500] if wanted else "",
            )
        bindings.bound(
            conn, actor, secret, configuration, variable=variable, scope="required" if answer.required else "optional",
            delivery=answer.delivery, usage_context="from import",
        )
        changed.append(secret.id)
    return changed


def config_of(draft: Draft, answers: Answers) -> ConfigData:
    """Return the configuration a draft and its answers make. Raises InvalidInput with a pointer to each field at fault."""
    faults = list(_faults(draft, answers))
    if faults:
        raise InvalidInput("Some of it is not filled in as it should be.", errors=faults)
    values = {one.key: answers.values.get(one.key, one.default).strip() for one in draft.parameters}
    environment = {}
    for name, text in answers.environment.items():
        made = templates.filled(text, values) if templates.PLACE.search(text) else [text]
        if made and (made[0] or not templates.PLACE.search(text)):
            environment[name] = ",".join(made)
    taken = answers.accept
    document: dict[str, Any] = {
        "transport": answers.transport, "port": answers.port, "path": answers.path or "/mcp",
        "environment": {name: value for name, value in environment.items() if name not in answers.secrets and value != ""},
    }
    if "command" in taken and draft.command:
        document["command"] = [word for text in draft.command for word in templates.filled(text, values)]
    if "entrypoint" in taken and draft.entrypoint:
        document["entrypoint"] = list(draft.entrypoint)
    if "user" in taken and draft.user:
        document["user"] = "".join(templates.filled(draft.user, values)) or None
    if "mounts" in taken:
        document["mounts"] = [mount for one in draft.mounts for mount in _mounts(one, values, answers.writable)]
    if "network" in taken and draft.network == "outbound":
        document["network"] = "outbound"
    return load_config_data(document)


def _mounts(one: MountWanted, values: Mapping[str, str], writable: bool) -> list[dict[str, Any]]:
    sources, targets = templates.filled(one.source, values), templates.filled(one.target, values)
    if len(targets) == 1 and len(sources) > 1:
        targets = targets * len(sources)
    return [
        {"type": one.type, "source": source, "target": target, "read_only": one.read_only or not writable}
        for source, target in zip(sources, targets, strict=False)
    ]


def _faults(draft: Draft, answers: Answers) -> list[FieldError]:
    faults = []
    known = {one.key: one for one in draft.parameters}
    for key in answers.values:
        if key not in known:
            faults.append(FieldError(f"/values/{_step(key)}", "the draft has no such value"))
    asked = set(templates.keys(_texts(draft, answers)))
    for one in draft.parameters:
        if fault := _value_fault(one, answers.values.get(one.key, one.default).strip(), needed=one.key in asked):
            faults.append(FieldError(f"/values/{_step(one.key)}", fault))
    for variable in draft.variables:
        given = answers.environment.get(variable.name, "")
        if variable.required and not given.strip() and variable.name not in answers.secrets:
            faults.append(FieldError(f"/environment/{variable.name}", "missing"))
        elif variable.choices and given and given not in variable.choices:
            faults.append(FieldError(f"/environment/{variable.name}", "one of " + ", ".join(variable.choices)[:200]))
    for name in answers.secrets:
        if fault := variable_fault(name):
            faults.append(FieldError(f"/secrets/{_step(name)}", fault))
    for name in answers.accept - set(PROPOSALS):
        faults.append(FieldError("/accept", f"{name[:40]} is no proposal"))
    return faults


def _texts(draft: Draft, answers: Answers) -> Sequence[str]:
    """Return the texts whose places are filled: those of proposals that are not taken need nothing."""
    taken = answers.accept
    texts = list(answers.environment.values())
    texts += draft.command if "command" in taken else ()
    texts += [draft.user] if "user" in taken else ()
    texts += [text for one in draft.mounts for text in (one.source, one.target)] if "mounts" in taken else ()
    return texts


def _value_fault(one: Parameter, text: str, *, needed: bool) -> str:
    if not text:
        return "missing" if one.required and needed else ""
    lines = [line.strip() for line in text.split("\n") if line.strip()] if one.type == "array" else [text]
    if one.choices and any(line not in one.choices for line in lines):
        return "one of " + ", ".join(one.choices)[:200]
    if one.type == "integer" and not _INTEGER.fullmatch(text):
        return "a whole number"
    if one.type == "number" and not _NUMBER.fullmatch(text):
        return "a number"
    if one.type == "boolean" and text not in ("true", "false"):
        return "true or false"
    return "at most 4000 characters" if len(text) > 4000 else ""


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")[:100]
