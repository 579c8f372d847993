"""What each kind of job does."""
from __future__ import annotations

import threading
import time
from typing import Any

from mcpweb.dao import configurations, servers
from mcpweb.errors import Conflict, ServerTimeout
from mcpweb.events import ServerChanged
from mcpweb.services import access, demo, keeping, registries, rounds, schedules, transfer
from mcpweb.worker.apart import prune_audit, rotate, verify_audit, verify_keys
from mcpweb.worker.testing import settle_run, test_run
from mcpweb.worker.work import Handler, Work

CALL_S = 60.0
LIST_S = 30.0


def start(work: Work) -> dict[str, Any]:
    server_id = work.job.payload["server_id"]
    member = work.worker.fleet.start(server_id, work.job.created_by, work.progress)
    return {
        "server_id": server_id,
        "container_id": member.container_id,
        "protocol": member.session.protocol,
        "server_info": member.redactor.json(member.session.server_info),
    }


def stop(work: Work) -> dict[str, Any]:
    work.worker.fleet.stop(work.job.payload["server_id"], work.job.created_by, work.progress)
    return {"server_id": work.job.payload["server_id"]}


def restart(work: Work) -> dict[str, Any]:
    with work.worker.fleet.changing(work.job.payload["server_id"]):
        stop(work)
        return start(work)


def pull(work: Work) -> dict[str, Any]:
    with work.core.db.reading() as conn:
        server = servers.get(conn, work.job.payload["server_id"])
    signed_in = registries.login(work.core, server.image)
    more = {"login": signed_in[1]} if signed_in else {}
    facts = work.core.runtime.pull(server.image, work.progress, **more)
    detail: dict[str, object] = {"image": server.image, "id": facts.id, "digest": facts.digest}
    if signed_in:
        detail["login"] = signed_in[0].id
    with work.core.db.writing() as conn:
        access.note(conn, work.actor, "image.pulled", server.id, detail)
    asked = schedules.new_image(work.core, server.id, facts.id)
    return {"image": server.image, "id": facts.id, "digest": facts.digest, "test_runs": [run.id for run in asked]}


def list_tools(work: Work) -> dict[str, Any]:
    server_id = work.job.payload["server_id"]
    with work.worker.fleet.session(server_id, work.progress) as member:
        count = work.worker.fleet.lookout.look(member, LIST_S)
    return {"server_id": server_id, "count": count}


def call(work: Work) -> dict[str, Any]:
    payload = work.job.payload
    tool, arguments = payload["tool"], payload["arguments"]
    with work.core.db.reading() as conn:
        server = servers.get(conn, payload["server_id"])
        configuration = configurations.active(conn, server.id)
    allowed = configuration.config_data.get("tools")
    if allowed is not None and tool not in allowed:
        raise Conflict(
            f"The configuration {configuration.name} does not allow the tool {tool}.",
            next_step="Add it to the configuration's tools.",
        )
    fleet = work.worker.fleet
    asked = time.perf_counter()
    with fleet.session(server.id, work.progress) as member:
        warning = fleet.lookout.clear(member, server, tool, CALL_S)
        started = time.perf_counter()
        try:
            result = member.session.call(tool, arguments, deadline_s=CALL_S, cancel=work.cancel)
        except ServerTimeout as error:
            raise ServerTimeout(
                f"{tool} did not answer within {CALL_S:.0f} s.", next_step="See the server's logs."
            ) from error
        finally:
            if fleet.member(server.id) is member:
                fleet.lookout.after_call(member, server.pin_policy)
        elapsed = (time.perf_counter() - started) * 1000
        shown = member.redactor.json(result)
        told: dict[str, Any] = {
            "result": shown, "duration_ms": round(elapsed, 3), "ready_ms": round((started - asked) * 1000, 3),
            "protocol": member.session.protocol,
        }
        return told | ({"warning": warning} if warning else {})


def remove(work: Work) -> dict[str, Any]:
    """Stop, hide, then delete the results in batches, so that no writer waits for a cascade."""
    server_id = work.job.payload["server_id"]
    work.worker.fleet.stop(server_id, work.job.created_by, work.progress)
    with work.core.db.writing() as conn:
        servers.hide(conn, server_id)
        access.note(conn, work.actor, "server.removed", server_id)
    work.core.announce(ServerChanged(work.job.created_by, server_id, "removed"))
    while True:
        with work.core.db.writing() as conn:
            left = servers.delete_hidden_batch(conn, 500)
        if not left:
            return {"server_id": server_id}
        threading.Event().wait(0.01)


def add_demo(work: Work) -> dict[str, Any]:
    """Build the demo server's image and register it for who asked."""
    server = demo.register(work.core, work.actor, lambda said: work.progress(None, said))
    work.core.announce(ServerChanged(work.job.created_by, server.id, "added"))
    return {"server_id": server.id, "name": server.name}


def retain(work: Work) -> dict[str, Any]:
    """Delete results that are older than results are kept."""
    done = keeping.delete_old(work.core, work.actor, work.progress)
    return {"before": done.before, "runs": done.runs, "results": done.results, "jobs": done.jobs, "log_bytes": done.log_bytes,
            "longest_ms": done.longest_ms}


def back_up(work: Work) -> dict[str, Any]:
    """Write a scheduled backup, and delete the oldest beyond those that are kept."""
    return rounds.write(work.core, work.actor, work.progress)


def import_setup(work: Work) -> dict[str, Any]:
    """Make the servers, configurations and bindings of a set-up, all or nothing."""
    work.progress(None, "Importing the set-up")
    return transfer.carry_out(work.core, work.actor, work.job.payload, work.ends_with)


HANDLERS: dict[str, Handler] = {
    "start": Handler(start, "rerun"),
    "stop": Handler(stop, "rerun"),
    "restart": Handler(restart, "rerun"),
    "pull": Handler(pull, "rerun"),
    "tools": Handler(list_tools, "rerun"),
    "remove": Handler(remove, "rerun"),
    "call": Handler(
        call, "fail", "The worker ended during the call; it is not known whether the tool ran, and it is not repeated."
    ),
    "rotate": Handler(rotate, "rerun"),
    "verify_keys": Handler(verify_keys, "rerun"),
    "verify_audit": Handler(verify_audit, "rerun"),
    "prune_audit": Handler(prune_audit, "rerun"),
    "demo": Handler(add_demo, "rerun"),
    "retention": Handler(retain, "rerun"),
    "backup": Handler(back_up, "rerun"),
    "import": Handler(import_setup, "fail", "The worker ended during the import; nothing of it was made.", transfer.forget),
    "test_run": Handler(test_run, "fail", "The worker ended in the middle of the test run.", settle_run),
}
