"""Scheduled backups: the worker writes one every so many hours into the data folder, and keeps the newest.

When one is due is read off the files themselves, so a folder that was emptied is filled again. They lie on the disk of the
database: they are against mistakes and damage, and not against its loss.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcpweb import clock, files
from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import jobs as job_rows
from mcpweb.dao.jobs import Job
from mcpweb.services import access, backups, jobs, periods

KIND, SUBJECT = "backup", "database"
RETRY_S = 3600.0
_NAME = re.compile(r"mcpweb-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z\.db")


def folder(core: Core) -> Path:
    return core.settings.data_dir / "backups"


def written(core: Core) -> list[tuple[str, Path]]:
    """Return the scheduled backups that are there with their times, newest first; what else lies in the folder is not ours."""
    try:
        names = sorted((path for path in folder(core).iterdir() if path.is_file() and not path.is_symlink()), reverse=True)
    except OSError:
        return []
    found = [(match, path) for path in names if (match := _NAME.fullmatch(path.name))]
    return [("{}-{}-{} {}:{}:{}.{}".format(*match.groups()), path) for match, path in found]


def request(core: Core, actor: Actor) -> Job | None:
    """Ask for a backup when one is due, None when none is; after a failure it is tried again within the hour.

    What a crash left of earlier ones, and of those that somebody wrote by hand under a passphrase, is taken away first.
    """
    backups.clear_up(core.settings, folder(core))
    with core.db.reading() as conn:
        wait = periods.in_force(conn, periods.BACKUP_HOURS) * 3600.0
        if not wait:
            return None
        # what a clock that went ahead has left behind says nothing about now
        tried = [row.created_at for row in job_rows.listing(conn, kind=KIND, limit=50).rows]
    if any(0 <= clock.age(at) < wait for at, _ in written(core)) or any(0 <= clock.age(at) < min(wait, RETRY_S) for at in tried):
        return None
    return jobs.ask(core, actor, KIND, subject=SUBJECT)


def write(core: Core, actor: Actor, tell: Callable[[float | None, str], None] = lambda fraction, message: None) -> dict[str, Any]:
    """Write a backup, then delete the oldest beyond those that are kept; nothing is deleted when the new one fails."""
    tell(None, "Writing the backup")
    place = folder(core)
    files.private_folder(place)
    place.chmod(0o700)
    stamp = re.sub(r"[-:.]", "", clock.now()).replace(" ", "T")
    made = backups.backup(core, actor, place / f"mcpweb-{stamp}Z.db")
    with core.db.reading() as conn:
        keep = periods.in_force(conn, periods.BACKUPS)
    gone = []
    for _, path in [one for one in written(core) if str(one[1]) != made["file"]][max(0, keep - 1) :]:
        path.unlink(missing_ok=True)
        gone.append(path.name)
    if gone:
        with core.db.writing() as conn:
            access.note(conn, actor, "db.backup_deleted", SUBJECT, {"files": gone})
    return {"file": made["file"], "size": Path(made["file"]).stat().st_size, "deleted": len(gone)}


def last_failure(core: Core) -> Job | None:
    """Return the newest scheduled backup if it failed, None when it succeeded or there is none."""
    with core.db.reading() as conn:
        over = [row for row in job_rows.listing(conn, kind=KIND, limit=5).rows if row.state in ("failed", "succeeded")]
    return over[0] if over and over[0].state == "failed" else None
