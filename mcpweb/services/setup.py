"""The whole set-up as one document: what is exported, and what an import makes of it in one transaction."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpweb import clock
from mcpweb.catalogs.secretlike import secret_value
from mcpweb.contracts import Actor, Sensitive
from mcpweb.core import Core
from mcpweb.dao import bindings, choices, configurations, schedules, secrets, servers, test_cases
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.secrets import Secret
from mcpweb.dao.servers import Server
from mcpweb.db import Connection
from mcpweb.errors import Conflict, Failure, FieldError, InvalidInput, VaultLocked
from mcpweb.ids import new_id
from mcpweb.redaction import Redactor
from mcpweb.schemas.transfer import VERSION
from mcpweb.services import access, keeping, retention
from mcpweb.services import bindings as binding_service
from mcpweb.services import schedules as schedule_service
from mcpweb.services import secrets as secret_service

STRATEGIES = ("refuse", "skip", "replace", "rename")
_MOST_OPENED = 2000
_LEFT_OUT = "Stood in the open in the environment of a configuration; its value was not exported."


@dataclass
class Report:
    """What an import did, or would do."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    to_fill_in: list[dict[str, str]] = field(default_factory=list)


# Export


def document(core: Core, conn: Connection) -> dict[str, Any]:
    """Return the set-up: no value of a secret, no id, no time, so that equal set-ups give equal documents."""
    kept = {}
    for name in (keeping.CHOICE, retention.CHOICE):
        chosen = choices.find(conn, name)
        if chosen is not None:
            kept[name] = int(chosen.value)
    rows = sorted(_all(servers, conn), key=lambda row: str(row.name))
    made = {
        "schemaVersion": VERSION, "kind": "mcpweb-setup", "choices": kept,
        "secrets": [_secret(one) for one in _named(conn, "global", "")],
        "servers": [_server(conn, row) for row in rows],
    }
    values = _values(core, conn)
    cleaned: dict[str, Any] = Redactor(values, patterns=False).json(made) if values else made
    return cleaned


def _all(table: Any, conn: Connection, **equals: Any) -> list[Any]:
    found: list[Any] = []
    after: Cursor | None = None
    while True:
        listing: Listing[Any] = table.listing(conn, after=after, limit=200, **equals)
        found += listing.rows
        if listing.next is None:
            return found
        after = listing.next


def _values(core: Core, conn: Connection) -> list[Sensitive]:
    """Return the values that must not show, should somebody have written one elsewhere; none while the vault is locked."""
    found = []
    try:
        for one in _all(secrets, conn, is_active=True)[:_MOST_OPENED]:
            found.append(core.vault.open(conn, binding_service.place_of(one), one.encrypted_value))
    except VaultLocked:
        return []
    return found


def _named(conn: Connection, scope: str, owner_id: str) -> list[Secret]:
    """Return the secrets of an owner that are active, wait for a value or are bound, one of each name, by name."""
    rows = _all(secrets, conn, scope=scope, owner_id=owner_id)
    known: dict[str, Secret] = {}
    for row in rows:  # newest first
        if row.is_active or (row.name not in known and (row.blank or bindings.of_secret(conn, row.id))):
            known[row.name] = row
    return [known[name] for name in sorted(known)]


def _secret(row: Secret) -> dict[str, Any]:
    return {"name": row.name, "description": row.description, "expires_at": clock.rfc3339(row.expires_at)}


def _server(conn: Connection, row: Server) -> dict[str, Any]:
    own = [{**_secret(one), "configuration": None} for one in _named(conn, "server", row.id)]
    made = []
    for configuration in sorted(_all(configurations, conn, server_id=row.id), key=lambda one: str(one.name)):
        own += [{**_secret(one), "configuration": configuration.name} for one in _named(conn, "configuration", configuration.id)]
        made.append(_configuration(conn, configuration, own))
    cases = [
        {"name": one.name, "tool": one.tool_name, "arguments": one.arguments, "assertions": one.assertions,
         "is_active": one.is_active}
        for one in _all(test_cases, conn, server_id=row.id)
    ]
    timed = [
        {"name": one.name, "types": one.types, "configuration": one.configuration, "profile": one.profile,
         "parameters": one.parameters, "every_minutes": one.every_minutes, "on_new_image": one.on_new_image,
         "is_active": one.is_active}
        for one in _all(schedules, conn, server_id=row.id)
    ]
    return {
        "name": row.name, "image": row.image, "description": row.description, "metadata": row.metadata,
        "pin_policy": row.pin_policy, "secrets": own, "configurations": made,
        "test_cases": sorted(cases, key=lambda one: str(one["name"])),
        "schedules": sorted(timed, key=lambda one: str(one["name"])),
    }


def _configuration(conn: Connection, row: Configuration, own: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a configuration; a variable that holds a secret in the open becomes a binding of a secret to fill in."""
    bound = []
    for one in bindings.of_configuration(conn, row.id):
        secret = secrets.get(conn, one.secret_id)
        bound.append({
            "variable": one.variable, "secret": secret.name, "scope": secret.scope, "as": one.scope, "delivery": one.delivery,
            "when": one.condition, "usage_context": one.usage_context,
        })
    data = dict(row.config_data)
    environment = dict(data.get("environment", {}))
    taken = {one["name"] for one in own if one["configuration"] == row.name}
    for name in [name for name, value in environment.items() if secret_value(name, value)]:
        del environment[name]
        if name[:63] not in taken:
            own.append({"name": name[:63], "description": _LEFT_OUT, "expires_at": None, "configuration": row.name})
        bound.append({
            "variable": name, "secret": name[:63], "scope": "configuration", "as": "required", "delivery": "stdin", "when": None,
            "usage_context": "",
        })
    data["environment"] = environment
    return {
        "name": row.name, "description": row.description, "is_active": row.is_active, "config_data": data,
        "bindings": sorted(bound, key=lambda one: str(one["variable"])),
    }


# Import


def taken_names(conn: Connection, setup: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return the servers of a set-up whose names are taken here, each with its place."""
    found = {row.name for row in _all(servers, conn)}
    return [(at, one["name"]) for at, one in enumerate(setup["servers"]) if one["name"] in found]


def apply(core: Core, conn: Connection, actor: Actor, setup: Mapping[str, Any], strategy: str) -> Report:
    """Make what a checked set-up says, in the caller's transaction. Raises Conflict, InvalidInput with a pointer, VaultLocked."""
    report, known = Report(), {name: at for at, name in taken_names(conn, setup)}
    if known and strategy == "refuse":
        raise taken(list(known.items()))
    _choices(conn, actor, setup["choices"])
    for one in setup["secrets"]:
        _blank(core, conn, actor, one, "global", "", "", report)
    names = {row.name for row in _all(servers, conn)}
    names |= {one["name"] for one in setup["servers"]}
    for at, one in enumerate(setup["servers"]):
        _one(core, conn, actor, f"/servers/{at}", one, strategy if one["name"] in known else "add", names, report)
    access.note(conn, actor, "setup.import", "", {
        "strategy": strategy, "added": len(report.added), "replaced": len(report.replaced), "skipped": len(report.skipped),
        "renamed": len(report.renamed), "to_fill_in": len(report.to_fill_in),
    })
    return report


def taken(found: list[tuple[str, int]]) -> Conflict:
    return Conflict(
        f"There are servers of these names already: {', '.join(name for name, _at in found[:20])}.",
        next_step="Choose to skip, replace or rename them.", code="name_taken",
        errors=[FieldError(f"/servers/{at}/name", "there is a server of this name") for name, at in found[:100]],
    )


def _choices(conn: Connection, actor: Actor, wanted: Mapping[str, int]) -> None:
    limits = {keeping.CHOICE: (1, keeping.MOST_DAYS), retention.CHOICE: (0, retention.MOST_DAYS)}
    for name, value in wanted.items():
        least, most = limits[name]
        if not least <= value <= most or (name == retention.CHOICE and 0 < value < retention.LEAST_DAYS):
            raise InvalidInput("A choice is out of range.", errors=[FieldError(f"/choices/{name}", f"from {least} to {most}")])
        before = choices.find(conn, name)
        if before is None or int(before.value) != value:
            choices.put(conn, name, value, actor.name)
            access.note(conn, actor, "choice.set", name, {"before": before and before.value, "after": value})


def _blank(
    core: Core, conn: Connection, actor: Actor, one: Mapping[str, Any], scope: Any, owner_id: str, server: str, report: Report
) -> Secret:
    """Return the secret there is of this name, or a new one that waits for its value."""
    found = secrets.find_active(conn, one["name"], scope, owner_id) or secrets.find_blank(conn, one["name"], scope, owner_id)
    if found is None:
        expires = one["expires_at"]
        found = secret_service.added(
            core, conn, actor, name=one["name"], value=None, scope=scope, owner_id=owner_id, description=one["description"],
            expires_at=expires.replace("T", " ").rstrip("Z")[:23] if expires else None,
        )
    if found.blank:
        report.to_fill_in.append({"id": found.id, "name": found.name, "scope": scope, "server": server})
    return found


def _one(
    core: Core, conn: Connection, actor: Actor, pointer: str, one: Mapping[str, Any], strategy: str, names: set[str],
    report: Report,
) -> None:
    name = one["name"]
    if strategy == "skip":
        report.skipped.append(name)
        return
    if strategy == "replace":
        server = servers.get(conn, name)
        server = servers.update(conn, server.id, expect=None, description=one["description"], image=one["image"])
        there = {row.name: row for row in _all(configurations, conn, server_id=server.id)}
        report.replaced.append(name)
    else:
        if strategy == "rename":
            name = next(tried for number in range(2, 10_000) if (tried := f"{name[:57]}-{number}") not in names)
            names.add(name)
            report.renamed[one["name"]] = name
        report.added.append(name)
        server = Server.new(
            id=new_id("srv"), name=name, image=one["image"], description=one["description"], metadata=dict(one["metadata"]),
            created_at=clock.now(), created_by=actor.name,
        )
        servers.insert(conn, server)
        there = {}
    if one["pin_policy"] != server.pin_policy:
        servers.set_pin_policy(conn, server.id, one["pin_policy"])
    if strategy == "replace":
        _cleared(conn, server)
    made = _configurations(conn, actor, server, one["configurations"], there)
    _secrets_and_bindings(core, conn, actor, pointer, one, server, made, report)
    _cases(conn, actor, server, one["test_cases"])
    _schedules(core, conn, actor, pointer, server, one["schedules"])
    access.note(conn, actor, "server.update" if strategy == "replace" else "server.add", server.id, {
        "name": name, "image": server.image, "by": "import", "configurations": len(made),
    })


def _cleared(conn: Connection, server: Server) -> None:
    """Take away what a replaced server has besides configurations and secrets: its cases, its schedules, its bindings."""
    for case in _all(test_cases, conn, server_id=server.id):
        test_cases.delete(conn, case.id)
    for schedule in _all(schedules, conn, server_id=server.id):
        schedules.delete(conn, schedule.id)
    for configuration in _all(configurations, conn, server_id=server.id):
        for binding in bindings.of_configuration(conn, configuration.id):
            bindings.delete(conn, binding.id)


def _configurations(
    conn: Connection, actor: Actor, server: Server, wanted: list[Any], there: Mapping[str, Configuration]
) -> dict[str, Configuration]:
    for name in set(there) - {one["name"] for one in wanted}:
        configurations.delete(conn, there[name].id)
    made: dict[str, Configuration] = {}
    for one in wanted:
        known, now = there.get(one["name"]), clock.now()
        if known is None:
            known = Configuration(
                id=new_id("cfg"), server_id=server.id, name=one["name"], description=one["description"],
                config_data=one["config_data"], is_active=False, created_at=now, updated_at=now,
                created_by=actor.name, revision=1,
            )
            configurations.insert(conn, known)
        elif (known.config_data, known.description) != (one["config_data"], one["description"]):
            known = configurations.update(
                conn, known.id, expect=None, description=one["description"], config_data=one["config_data"], updated_by=actor.name
            )
        made[one["name"]] = configurations.activate(conn, known.id) if one["is_active"] else known
    return made


def _secrets_and_bindings(
    core: Core, conn: Connection, actor: Actor, pointer: str, one: Mapping[str, Any], server: Server,
    made: Mapping[str, Configuration], report: Report,
) -> None:
    own: dict[tuple[str, str | None, str], Secret] = {}
    for wanted in one["secrets"]:
        inside = wanted["configuration"]
        scope, owner = ("configuration", made[inside].id) if inside else ("server", server.id)
        own[scope, inside, wanted["name"]] = _blank(core, conn, actor, wanted, scope, owner, server.name, report)
    for number, configuration in enumerate(one["configurations"]):
        row = made[configuration["name"]]
        for place, wanted in enumerate(configuration["bindings"]):
            where = f"{pointer}/configurations/{number}/bindings/{place}"
            scope, name = wanted["scope"], wanted["secret"]
            secret = own.get((scope, row.name if scope == "configuration" else None, name))
            if scope == "global":
                secret = secrets.find_active(conn, name, "global") or secrets.find_blank(conn, name, "global")
            if secret is None:
                fault = FieldError(f"{where}/secret", "no such secret")
                raise InvalidInput("A binding names a secret that is not there.", errors=[fault])
            try:
                binding_service.bound(
                    conn, actor, secret, row, variable=wanted["variable"], scope=wanted["needed"], delivery=wanted["delivery"],
                    condition=wanted["when"], usage_context=wanted["usage_context"],
                )
            except Failure as failure:
                raise InvalidInput(failure.detail, errors=[FieldError(where, failure.detail)]) from None


def _cases(conn: Connection, actor: Actor, server: Server, wanted: list[Any]) -> None:
    for one in wanted:
        now = clock.now()
        test_cases.insert(conn, test_cases.TestCase(
            id=new_id("tcs"), server_id=server.id, name=one["name"], tool_name=one["tool"], arguments=one["arguments"],
            assertions=one["assertions"], is_active=one["is_active"], created_at=now, created_by=actor.name, updated_at=now,
            revision=1,
        ))


def _schedules(core: Core, conn: Connection, actor: Actor, pointer: str, server: Server, wanted: list[Any]) -> None:
    for at, one in enumerate(wanted):
        try:
            wanted_types, every = one["types"] or None, one["every_minutes"]
            types = schedule_service.checked(core, wanted_types, one["profile"], every, one["on_new_image"])
        except InvalidInput as failure:
            raise InvalidInput(failure.detail, errors=[
                FieldError(f"{pointer}/schedules/{at}{error.pointer}", error.detail) for error in failure.errors
            ]) from None
        now = clock.now()
        schedules.insert(conn, schedules.Schedule(
            id=new_id("sch"), server_id=server.id, name=one["name"], types=types, configuration=one["configuration"],
            profile=one["profile"], parameters=dict(one["parameters"]), every_minutes=every, on_new_image=one["on_new_image"],
            next_at=None if every is None else clock.later(every * 60), image_id=server.image_id, last_run_id=None,
            last_detail="", is_active=one["is_active"], created_at=now, created_by=actor.name, updated_at=now, revision=1,
        ))
