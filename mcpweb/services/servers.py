"""Servers: what we manage, and what people ask of them."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpweb import clock, logstore
from mcpweb.contracts import Actor, ConfigData
from mcpweb.core import Core
from mcpweb.dao import configurations, observations, servers, tools
from mcpweb.dao import jobs as job_rows
from mcpweb.dao.configurations import Configuration
from mcpweb.dao.jobs import Job
from mcpweb.dao.observations import Observation
from mcpweb.dao.paging import Cursor, Listing
from mcpweb.dao.servers import Server
from mcpweb.dao.tools import Tool
from mcpweb.db import Connection, driver
from mcpweb.errors import Conflict, Failure, FieldError, InvalidInput, NotFound, NoWorker
from mcpweb.events import ServerChanged
from mcpweb.ids import new_id
from mcpweb.schemas.names import check_image, check_name
from mcpweb.services import access, changes, jobs
from mcpweb.services import arguments as tool_arguments
from mcpweb.services import configurations as configuration_service
from mcpweb.services import secrets as secret_service
from mcpweb.services.health import worker_alive
from mcpweb.services.jobs import Idempotency

# What a request asks for, the permission it needs, and what it says about the wanted state.
REQUESTS: dict[str, tuple[str, str | None]] = {
    "start": ("server.operate", "running"),
    "stop": ("server.operate", "stopped"),
    "restart": ("server.operate", "running"),
    "pull": ("server.operate", None),
    "tools": ("server.operate", None),
    "remove": ("server.edit", "stopped"),
}
CALL_WAIT_S = 0.8


@dataclass(frozen=True)
class Overview:
    """The front page's facts."""

    counts: dict[str, int]
    engine: Observation | None
    worker: Observation | None

    @property
    def working(self) -> bool:
        """Whether a worker does jobs now."""
        return worker_alive(self.worker)


def add(
    core: Core,
    actor: Actor,
    *,
    name: str,
    image: str,
    description: str = "",
    config: ConfigData | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Server:
    """Add a server with an active configuration ``default``. Raises InvalidInput, Conflict for a taken name."""
    access.require(core, actor, "server.edit")
    with core.db.writing() as conn:
        server, _configuration = added(
            conn, actor, name=name, image=image, description=description, config=config, metadata=metadata
        )
    core.announce(ServerChanged(actor.name, server.id, "added"))
    return server


def added(
    conn: Connection,
    actor: Actor,
    *,
    name: str,
    image: str,
    description: str = "",
    config: ConfigData | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[Server, Configuration]:
    """Add a server with its configuration in the caller's transaction. Raises InvalidInput, Conflict for a taken name."""
    check_name(name)
    check_image(image)
    now = clock.now()
    server = Server.new(
        id=new_id("srv"), name=name, image=image, description=description, metadata=dict(metadata or {}),
        created_at=now, created_by=actor.name,
    )
    configuration = Configuration(
        id=new_id("cfg"), server_id=server.id, name="default", description="",
        config_data=(config or ConfigData()).to_json(), is_active=True, created_at=now, updated_at=now,
        created_by=actor.name, revision=1,
    )
    try:
        servers.insert(conn, server)
    except driver.IntegrityError:
        raise Conflict(f"A server named {name} exists already.", next_step="Choose another name.") from None
    configurations.insert(conn, configuration)
    access.note(
        conn, actor, "server.add", server.id,
        {"name": name, "image": image, **configuration_service.loosened(configuration.config_data)},
    )
    return server, configuration


def get(core: Core, actor: Actor, id_or_name: str) -> Server:
    """Return a server. Raises NotFound."""
    access.require(core, actor, "server.view", server_id=id_or_name)
    with core.db.reading() as conn:
        return servers.get(conn, id_or_name)


def listing(
    core: Core,
    actor: Actor,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    status: str | None = None,
    q: str | None = None,
    name: str | None = None,
    image: str | None = None,
) -> Listing[Server]:
    """Return servers, newest first."""
    access.require(core, actor, "server.view")
    with core.db.reading() as conn:
        return servers.listing(conn, after=after, limit=limit, status=status, q=q, name=name, image=image)


def overview(core: Core, actor: Actor) -> Overview:
    """Return counts by status and what is known of engine and worker."""
    access.require(core, actor, "server.view")
    with core.db.reading() as conn:
        engine, worker = observations.several(conn, "engine", "worker")
        return Overview(counts=servers.counts(conn), engine=engine, worker=worker)


def glance(core: Core, actor: Actor, server_ids: list[str]) -> dict[str, servers.Glance]:
    """Return what a list shows of each server beside its row: verdict, tools, latency, today's success."""
    access.require(core, actor, "server.view")
    with core.db.reading() as conn:
        return servers.glance(conn, server_ids, clock.now()[:10])


def update(
    core: Core,
    actor: Actor,
    id_or_name: str,
    *,
    expect: int | None,
    description: str | None = None,
    image: str | None = None,
) -> Server:
    """Change description or image; takes effect at the next start. Raises PreconditionFailed, InvalidInput."""
    access.require(core, actor, "server.edit", server_id=id_or_name)
    if image is not None:
        check_image(image)
    with core.db.writing() as conn:
        earlier = servers.get(conn, id_or_name)
        server = servers.update(conn, earlier.id, expect=expect, description=description, image=image)
        old, new = ({"image": one.image, "description": one.description} for one in (earlier, server))
        access.note(
            conn, actor, "server.update", server.id, {"name": server.name, "image": server.image, **changes.of(old, new)}
        )
    core.announce(ServerChanged(actor.name, server.id, "updated"))
    return server


def request(
    core: Core,
    actor: Actor,
    id_or_name: str,
    kind: str,
    *,
    payload: Mapping[str, Any] | None = None,
    idempotency: Idempotency | None = None,
) -> Job:
    """Ask for a start, stop, restart, pull, tools or remove; the answer is the job.

    An open job of the same kind for the same server is returned instead of a second one.
    """
    permission, wanted = REQUESTS[kind]
    access.require(core, actor, permission, server_id=id_or_name)
    with core.db.writing() as conn:
        server = servers.get(conn, id_or_name)
        same = jobs.known(conn, actor, idempotency) or job_rows.open_with(conn, f"{kind}:{server.id}")
        if same is not None:
            return same
        job = jobs.draft(
            actor, kind, subject=f"server:{server.id}", payload={"server_id": server.id, **(payload or {})},
            dedupe_key=f"{kind}:{server.id}", idempotency=idempotency,
        )
        job_rows.insert(conn, job)
        if wanted is not None:
            servers.set_wanted(conn, server.id, wanted)
        detail: dict[str, object] = {"name": server.name, "job": job.id}
        if kind == "remove" and (gone := secret_service.deactivate_owned(conn, actor, server.id)):
            detail["secrets_deactivated"] = gone
        access.note(conn, actor, f"server.{kind}", server.id, detail)
    core.line.kick()
    return job


def tools_of(core: Core, actor: Actor, id_or_name: str) -> list[Tool]:
    """Return the tools last seen, in the server's order."""
    access.require(core, actor, "server.view", server_id=id_or_name)
    with core.db.reading() as conn:
        return tools.listing(conn, servers.get(conn, id_or_name).id)


def search_tools(core: Core, actor: Actor, part: str, limit: int = 10) -> list[tuple[str, str, str]]:
    """Return tools of all servers whose name holds the text, as (tool, server id, server name)."""
    access.require(core, actor, "server.view")
    with core.db.reading() as conn:
        return tools.search(conn, part, limit)


def call(
    core: Core,
    actor: Actor,
    id_or_name: str,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    idempotency: Idempotency | None = None,
    wait_s: float = CALL_WAIT_S,
) -> Job:
    """Call a tool; the answer is the finished job, or the running one after ``wait_s``.

    Job and audit row are committed before the call, the result with the job's end. Raises NotFound for an unknown
    tool, InvalidInput for arguments that its schema refuses, NoWorker.
    """
    access.require(core, actor, "server.operate", server_id=id_or_name)
    if not isinstance(arguments, Mapping):
        raise InvalidInput("The arguments of a tool are a JSON object.")
    with core.db.reading() as conn:
        server = servers.get(conn, id_or_name)
        same = jobs.known(conn, actor, idempotency)  # what was asked before is answered as then, whatever the tool says now
        if same is not None:
            return same
        stored = tools.find(conn, server.id, tool)
        unknown = stored is None and tools.any_of(conn, server.id)
    if unknown:
        raise NotFound(f"{server.name} has no tool {tool}.", next_step="Its tools are listed on its Tools page.")
    if stored is not None:
        tool_arguments.check(stored.definition.get("inputSchema"), arguments)
    with core.db.writing() as conn:
        same = jobs.known(conn, actor, idempotency)
        if same is not None:
            return same
        job = jobs.draft(
            actor, "call", subject=f"server:{server.id}",
            payload={"server_id": server.id, "tool": tool, "arguments": dict(arguments)}, idempotency=idempotency,
        )
        if core.line.worker is not None:
            job = job.given_to(core.line.worker)
        job_rows.insert(conn, job)
        access.note(conn, actor, "tool.call", server.id, {"tool": tool, "job": job.id})
    return run_now(core, job, wait_s)


def run_now(core: Core, job: Job, wait_s: float) -> Job:
    """Have the worker do a job at once, ahead of the queue. Raises NoWorker; the job is then failed."""
    try:
        answer = core.line.request("job", {"job": job.to_wire()}, timeout_s=wait_s)
        return Job.from_wire(answer["job"])
    except TimeoutError:
        pass
    except NoWorker as error:
        with core.db.writing() as conn:
            job_rows.finish(conn, job.id, None, state="failed", error=error.as_job_error())
        raise
    except Failure:
        pass
    with core.db.reading() as conn:
        return job_rows.get(conn, job.id)


def logs(
    core: Core, actor: Actor, id_or_name: str, *, offset: int | None = None, limit_bytes: int = 256 * 1024, **wanted: str | None
) -> logstore.LogPage:
    """Return log lines from an offset on, or the newest ones; filters as ``log_filter`` takes them."""
    server = get(core, actor, id_or_name)
    return logstore.read(log_folder(core, server.id), offset=offset, limit_bytes=limit_bytes, wanted=log_filter(**wanted))


def log_filter(
    *, level: str | None = None, stream: str | None = None, q: str | None = None, since: str | None = None,
    until: str | None = None,
) -> logstore.Wanted:
    """Return what a reader of a log wants; times are UTC, and a day as the end is included. Raises InvalidInput."""
    if level and level not in logstore.LEVELS:
        raise InvalidInput(f"level is one of {', '.join(logstore.LEVELS)}.")
    if stream and stream not in logstore.STREAMS:
        raise InvalidInput(f"stream is one of {', '.join(logstore.STREAMS)}.")
    begin, end = _moment("since", since, ""), _moment("until", until, " 24")
    return logstore.Wanted(level or None, stream or None, q or None, begin, end)


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z?)?")


def _moment(name: str, text: str | None, day_end: str) -> str | None:
    """Return a moment as lines have it. Raises InvalidInput."""
    if not text:
        return None
    if not _MOMENT.fullmatch(text):
        fault = FieldError(f"/{name}", "a moment in UTC")
        raise InvalidInput(f"{name} is a moment such as 2026-11-24 08:30 (UTC).", errors=[fault])
    plain = text.replace("T", " ").removesuffix("Z")
    return plain + (day_end if len(plain) == 10 else "")


def is_running(core: Core, server_id: str) -> bool:
    """Tell whether a server was last seen running; a removed one is not."""
    with core.db.reading() as conn:
        server = servers.find(conn, server_id)
    return server is not None and server.status == "running"


def log_folder(core: Core, server_id: str) -> Path:
    """Return where a server's log segments lie."""
    return core.settings.logs_dir / server_id


def stats(core: Core, actor: Actor, id_or_name: str) -> list[dict[str, Any]]:
    """Return the newest samples of a running server, oldest first; empty without a worker or a container."""
    server = get(core, actor, id_or_name)
    try:
        answer = core.line.request("stats", {"server_id": server.id}, timeout_s=2.0)
    except (Failure, TimeoutError):
        return []
    samples: list[dict[str, Any]] = answer["samples"]
    return samples


def names_of(core: Core, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of these servers by id, removed ones too."""
    with core.db.reading() as conn:
        return servers.names(conn, sorted(set(ids)))


def name_of(core: Core, server_id: str) -> str:
    """Return a server's name, its id when it is removed."""
    with core.db.reading() as conn:
        found = servers.find(conn, server_id)
    return found.name if found else server_id
