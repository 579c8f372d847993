"""Configurations: named settings documents of a server, at most one of them active."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mcpweb import clock
from mcpweb.contracts import Actor, ConfigData
from mcpweb.core import Core
from mcpweb.dao import configurations, servers
from mcpweb.dao import jobs as job_rows
from mcpweb.dao.configurations import Configuration, Revision
from mcpweb.dao.jobs import Job
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.db import driver
from mcpweb.errors import Conflict, NotFound
from mcpweb.events import ConfigurationChanged
from mcpweb.ids import new_id
from mcpweb.schemas import documents
from mcpweb.schemas.configurations import load_config_data
from mcpweb.schemas.documents import Change
from mcpweb.schemas.names import check_name
from mcpweb.services import access, changes, jobs


def config_hash(image: str, config: ConfigData, secrets: str = "") -> str:
    """Return what a container is known by: equal image and configuration, equal hash.

    ``secrets`` is the fingerprint of what is bound; it follows after a dot, so that a container with other secrets is
    told from one with another configuration (``same_but_for_secrets``).
    """
    text = json.dumps([image, config.to_json()], sort_keys=True, separators=(",", ":"))
    known = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{known}.{secrets}" if secrets else known


def same_but_for_secrets(one: str, other: str) -> bool:
    """Tell whether two hashes stand for the same image and configuration."""
    return one.partition(".")[0] == other.partition(".")[0]


def add(
    core: Core, actor: Actor, server_id: str, *, name: str, description: str = "", config_data: Mapping[str, Any]
) -> Configuration:
    """Add a configuration that is not active yet. Raises InvalidInput, NotFound, Conflict for a taken name."""
    access.require(core, actor, "server.edit", server_id=server_id)
    check_name(name)
    config = load_config_data(config_data)
    with core.db.writing() as conn:
        server = servers.get(conn, server_id)
        now = clock.now()
        configuration = Configuration(
            id=new_id("cfg"), server_id=server.id, name=name, description=description, config_data=config.to_json(),
            is_active=False, created_at=now, updated_at=now, created_by=actor.name, revision=1,
        )
        try:
            configurations.insert(conn, configuration)
        except driver.IntegrityError:
            raise Conflict(f"{server.name} already has a configuration {name}.") from None
        access.note(
            conn, actor, "configuration.add", configuration.id,
            {"server": server.name, "name": name, **loosened(configuration.config_data)},
        )
    core.announce(ConfigurationChanged(actor.name, configuration.id, server.id, "added"))
    return configuration


def get(core: Core, actor: Actor, configuration_id: str) -> Configuration:
    """Return a configuration by id. Raises NotFound."""
    access.require(core, actor, "server.view", configuration_id=configuration_id)
    with core.db.reading() as conn:
        return configurations.get(conn, configuration_id)


def by_name(core: Core, actor: Actor, server_id: str, name: str) -> Configuration:
    """Return a server's configuration by its name. Raises NotFound."""
    access.require(core, actor, "server.view", server_id=server_id)
    with core.db.reading() as conn:
        return configurations.by_name(conn, servers.get(conn, server_id).id, name)


def active(core: Core, actor: Actor, server_id: str) -> Configuration:
    """Return a server's active configuration. Raises NotFound."""
    access.require(core, actor, "server.view", server_id=server_id)
    with core.db.reading() as conn:
        return configurations.active(conn, servers.get(conn, server_id).id)


def listing(
    core: Core, actor: Actor, *, after: Cursor | None = None, limit: int = 50, server_id: str | None = None,
    name: str | None = None, is_active: bool | None = None,
) -> Listing[Configuration]:
    """Return configurations, newest first."""
    access.require(core, actor, "server.view")
    with core.db.reading() as conn:
        wanted = servers.get(conn, server_id).id if server_id else None
        return configurations.listing(conn, after=after, limit=limit, server_id=wanted, name=name, is_active=is_active)


def revisions(core: Core, actor: Actor, configuration_id: str) -> list[Revision]:
    """Return all revisions, newest first."""
    access.require(core, actor, "server.view", configuration_id=configuration_id)
    with core.db.reading() as conn:
        configurations.get(conn, configuration_id)
        return configurations.revisions(conn, configuration_id)


def update(
    core: Core,
    actor: Actor,
    configuration_id: str,
    *,
    expect: int | None,
    name: str | None = None,
    description: str | None = None,
    config_data: Mapping[str, Any] | None = None,
) -> Configuration:
    """Change a configuration; the earlier revision is kept. Raises PreconditionFailed, InvalidInput, Conflict."""
    access.require(core, actor, "server.edit", configuration_id=configuration_id)
    if name is not None:
        check_name(name)
    document = load_config_data(config_data).to_json() if config_data is not None else None
    with core.db.writing() as conn:
        earlier = configurations.get(conn, configuration_id)
        try:
            configuration = configurations.update(
                conn, configuration_id, expect=expect, name=name, description=description, config_data=document,
                updated_by=actor.name,
            )
        except driver.IntegrityError:
            raise Conflict(f"The server already has a configuration {name}.") from None
        access.note(
            conn, actor, "configuration.update", configuration_id,
            {
                "name": configuration.name, "revision": configuration.revision, **loosened(configuration.config_data),
                **changes.of(_facts(earlier), _facts(configuration)),
            },
        )
    core.announce(ConfigurationChanged(actor.name, configuration.id, configuration.server_id, "updated"))
    return configuration


def differences(
    core: Core, actor: Actor, configuration_id: str, first: int | None = None, second: int | None = None
) -> tuple[Revision, Revision, tuple[Change, ...]]:
    """Return two revisions and where they differ; by default the last and the one before it. Raises NotFound."""
    known = {row.revision: row for row in revisions(core, actor, configuration_id)}
    right = second if second is not None else max(known)
    left = first if first is not None else max(1, right - 1)
    for wanted in (left, right):
        if wanted not in known:
            raise NotFound(f"There is no revision {wanted}.", next_step=f"The last one is {max(known)}.")
    return known[left], known[right], documents.changes(known[left].config_data, known[right].config_data)


def loosened(document: Mapping[str, Any]) -> dict[str, object]:
    """Return what the audit row of a change says about a document that loosens the defaults; empty for a hardened one."""
    found = sorted({loosening.code for loosening in documents.loosenings(document)})
    return {"loosened": found} if found else {}


def restore(core: Core, actor: Actor, configuration_id: str, revision: int, *, expect: int | None = None) -> Configuration:
    """Make the document of an earlier revision the newest revision. Raises NotFound, Conflict, PreconditionFailed.

    What was valid once may be refused now (InvalidInput); the container gets it at its next start or activation.
    """
    access.require(core, actor, "server.edit", configuration_id=configuration_id)
    with core.db.writing() as conn:
        current = configurations.get(conn, configuration_id)
        earlier = configurations.revision(conn, configuration_id, revision)
        if earlier.config_data == current.config_data:
            raise Conflict(f"Revision {revision} holds what {current.name} holds now.")
        document = load_config_data(earlier.config_data).to_json()
        configuration = configurations.update(
            conn, configuration_id, expect=expect, config_data=document, updated_by=actor.name
        )
        access.note(
            conn, actor, "configuration.restore", configuration_id,
            {"name": configuration.name, "from": revision, "revision": configuration.revision, **loosened(document)},
        )
    core.announce(ConfigurationChanged(actor.name, configuration.id, configuration.server_id, "restored"))
    return configuration


def activate(core: Core, actor: Actor, configuration_id: str) -> tuple[Configuration, Job | None]:
    """Make it the server's active configuration; a server that is wanted running is restarted by a job."""
    access.require(core, actor, "server.edit", configuration_id=configuration_id)
    job = None
    with core.db.writing() as conn:
        configuration = configurations.activate(conn, configuration_id)
        server = servers.get(conn, configuration.server_id)
        access.note(
            conn, actor, "configuration.activate", configuration_id,
            {"server": server.name, "name": configuration.name, **loosened(configuration.config_data)},
        )
        if server.wanted == "running":
            job = jobs.draft(actor, "restart", subject=f"server:{server.id}", payload={"server_id": server.id})
            job_rows.insert(conn, job)
    core.announce(ConfigurationChanged(actor.name, configuration.id, server.id, "activated"))
    if job is not None:
        core.line.kick()
    return configuration, job


def remove(core: Core, actor: Actor, configuration_id: str) -> None:
    """Delete a configuration. Raises Conflict for the active one."""
    access.require(core, actor, "server.edit", configuration_id=configuration_id)
    with core.db.writing() as conn:
        configuration = configurations.get(conn, configuration_id)
        if configuration.is_active:
            raise Conflict(
                f"{configuration.name} is the active configuration.", next_step="Activate another one first."
            )
        configurations.delete(conn, configuration_id)
        access.note(conn, actor, "configuration.remove", configuration_id, {"name": configuration.name})
    core.announce(ConfigurationChanged(actor.name, configuration.id, configuration.server_id, "removed"))


def _facts(configuration: Configuration) -> dict[str, Any]:
    return {"name": configuration.name, "description": configuration.description, **configuration.config_data}
