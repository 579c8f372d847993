"""Export and import of the whole set-up: read and checked where it is asked for, made by a job in one transaction."""
from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcpweb.catalogs import texts
from mcpweb.catalogs.secretlike import secret_value
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs as job_rows
from mcpweb.dao.jobs import Job
from mcpweb.db.driver import Connection
from mcpweb.errors import Failure, FieldError, InvalidInput
from mcpweb.events import ServerChanged
from mcpweb.files import private_folder, read_private, write_private
from mcpweb.ids import new_id
from mcpweb.schemas import transfer as schema
from mcpweb.services import access, jobs, setup
from mcpweb.services.jobs import Idempotency
from mcpweb.services.setup import STRATEGIES, Report

_ID = re.compile(r"imp_[0-9A-Za-z]{20,40}")
SUBJECT = "setup"
_KEPT_S = 86_400


class _DryRun(Exception):
    """Takes back what a dry run made."""


def export(core: Core, actor: Actor) -> dict[str, Any]:
    """Return the whole set-up as a document without any value of a secret; the audit log says who had it."""
    access.require(core, actor, "settings.view")
    access.require(core, actor, "secret.view")
    with core.db.reading() as conn:
        made = setup.document(core, conn)
    with core.db.writing() as conn:
        access.note(conn, actor, "setup.export", "", {"servers": len(made["servers"])})
    return made


def written(document: dict[str, Any]) -> str:
    """Return a set-up as the text of a file."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def check(core: Core, text: str, strategy: str = "refuse") -> dict[str, Any]:
    """Return the set-up a text holds, checked. Raises InvalidInput, Conflict: each fault with its pointer and line."""
    if strategy not in STRATEGIES:
        raise InvalidInput(f"conflict is one of {', '.join(STRATEGIES)}.", errors=[FieldError("/conflict", "not a strategy")])
    source = texts.read(text)
    if source.kind != "json":
        raise InvalidInput("A set-up is a JSON object.", errors=[FieldError("", "line 1, column 1: not JSON")])
    try:
        loaded = schema.load(source.value, secret_value)
        if strategy == "refuse":
            with core.db.reading() as conn:
                if known := setup.taken_names(conn, loaded):
                    raise setup.taken([(name, at) for at, name in known])
    except Failure as failure:
        raise placed(failure, source) from None
    return loaded


def placed(failure: Failure, source: texts.Text) -> Failure:
    """Return a failure whose errors say in which line of a text they are."""
    failure.errors = tuple(FieldError(one.pointer, f"{source.place(one.pointer)}: {one.detail}") for one in failure.errors[:50])
    return failure


def request(
    core: Core, actor: Actor, text: str, *, strategy: str = "refuse", dry_run: bool = False,
    idempotency: Idempotency | None = None,
) -> Job:
    """Ask for an import; what is wrong with the text is said at once. The text waits in a file of ours for the job."""
    access.require(core, actor, "settings.edit")
    check(core, text, strategy)
    with core.db.reading() as conn:
        if (same := jobs.known(conn, actor, idempotency)) is not None:
            return same
    folder = _folder(core)
    private_folder(folder)
    for old in folder.iterdir():  # of jobs that were cancelled before they began
        if time.time() - old.stat().st_mtime > _KEPT_S:
            old.unlink(missing_ok=True)
    name = new_id("imp")
    write_private(folder / name, text)
    try:
        with core.db.writing() as conn:
            payload = {"file": name, "conflict": strategy, "dry_run": dry_run}
            job = jobs.draft(actor, "import", subject=SUBJECT, payload=payload, idempotency=idempotency)
            job_rows.insert(conn, job)
            access.note(conn, actor, "setup.import.ask", job.id, {"conflict": strategy, "dry_run": dry_run, "bytes": len(text)})
    except BaseException:
        (folder / name).unlink(missing_ok=True)
        raise
    core.line.kick()
    return job


def carry_out(
    core: Core, actor: Actor, payload: dict[str, Any], made: Callable[[Connection, dict[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """Do an import that was asked for, all of it or nothing, and return what was done; ``made`` joins in its transaction.

    Raises as ``check``, VaultLocked.
    """
    path = _file(core, payload)
    try:
        text = read_private(path, most=texts.LARGEST * 4).decode()
    except FileNotFoundError:
        raise InvalidInput("The text of this import is gone.", next_step="Import it again.") from None
    finally:
        path.unlink(missing_ok=True)
    strategy, dry_run = payload["conflict"], bool(payload["dry_run"])
    loaded = check(core, text, strategy)
    report = Report()

    def told() -> dict[str, Any]:
        return {"dry_run": dry_run, "conflict": strategy, **asdict(report)}

    try:
        with core.db.writing() as conn:
            report = setup.apply(core, conn, actor, loaded, strategy)
            if dry_run:
                raise _DryRun
            if made is not None:
                made(conn, told())
    except _DryRun:
        for one in report.to_fill_in:
            one["id"] = ""
    except Failure as failure:
        raise _flat(placed(failure, texts.read(text))) from None
    if not dry_run:
        core.announce(ServerChanged(actor.name, "", "imported"))
    return told()


def _flat(failure: Failure) -> Failure:
    """Return a failure that says its places in its sentence: a job keeps no more of it."""
    if failure.errors:
        failure.detail += " " + "; ".join(f"{one.pointer} ({one.detail})" for one in failure.errors[:5])
    return failure


def forget(core: Core, job: Job) -> None:
    """Remove the text of an import whose worker is gone."""
    _file(core, job.payload).unlink(missing_ok=True)


def _folder(core: Core) -> Path:
    return core.settings.data_dir / "imports"


def _file(core: Core, payload: dict[str, Any]) -> Path:
    name = str(payload.get("file", ""))
    if not _ID.fullmatch(name):
        raise InvalidInput("This is no import of ours.")
    return _folder(core) / name
