"""Earlier calls of a tool: what was given to it, and what it said the time before."""
from __future__ import annotations

import json

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs, servers
from mcpweb.dao.jobs import Called, Job
from mcpweb.dao.paging import Cursor
from mcpweb.services import access


def earlier(core: Core, actor: Actor, server_id: str, tool: str, most: int = 5) -> list[Called]:
    """Return the newest calls of a tool, one for each set of arguments. Raises NotFound."""
    access.require(core, actor, "job.view", server_id=server_id)
    with core.db.reading() as conn:
        found = jobs.calls(conn, f"server:{servers.get(conn, server_id).id}", tool)
    distinct: dict[str, Called] = {}
    for call in found:
        distinct.setdefault(_key(call.arguments), call)
    return list(distinct.values())[:most]


def before(core: Core, actor: Actor, job: Job) -> Job | None:
    """Return the newest call before this one that gave the same tool the same arguments and was answered."""
    access.require(core, actor, "job.view", job_id=job.id)
    wanted = _key(job.payload.get("arguments") or {})
    with core.db.reading() as conn:
        found = jobs.calls(conn, job.subject, str(job.payload.get("tool", "")), before=Cursor(job.created_at, job.id))
        same = next((call for call in found if call.state == "succeeded" and _key(call.arguments) == wanted), None)
        return jobs.get(conn, same.id) if same else None


def _key(arguments: object) -> str:
    return json.dumps(arguments, sort_keys=True)
