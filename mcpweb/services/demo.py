"""Build and register the demo server."""
from __future__ import annotations

from collections.abc import Callable

from mcpweb.contracts import Actor, ConfigData
from mcpweb.core import Core
from mcpweb.dao import servers as server_rows
from mcpweb.dao.jobs import Job
from mcpweb.dao.servers import Server
from mcpweb.demo import build_demo_image
from mcpweb.images.engine import RuntimeEngine
from mcpweb.services import access, jobs, servers
from mcpweb.services.jobs import Idempotency

NAME = "demo"


def ask(core: Core, actor: Actor, idempotency: Idempotency | None = None) -> Job:
    """Have the worker build and register the demo server; one such job at a time. Raises Forbidden."""
    access.require(core, actor, "server.edit")
    return jobs.ask(core, actor, "demo", subject="demo", idempotency=idempotency)


def register(core: Core, actor: Actor, say: Callable[[str], None]) -> Server:
    """Build the demo image if it is missing and register the server ``demo``; a second call changes nothing."""
    reference = build_demo_image(RuntimeEngine(core.runtime), say)
    with core.db.reading() as conn:
        known = server_rows.find(conn, NAME)
    if known is None:
        return servers.add(
            core, actor, name=NAME, image=reference, config=ConfigData(),
            description="A small server of our own, to try things on. Its read_note tool is weak on purpose.",
        )
    if known.image != reference:
        return servers.update(core, actor, known.id, expect=None, image=reference)
    return known
