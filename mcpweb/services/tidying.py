"""What else goes when it is old: jobs that ended, and log segments nobody writes any more."""
from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mcpweb import clock
from mcpweb.core import Core
from mcpweb.dao import jobs
from mcpweb.db import Connection
from mcpweb.services import periods

_BATCH = 200

Tell = Callable[[float | None, str], None]


def anything_old(core: Core, conn: Connection) -> bool:
    """Tell whether a job or a log segment is older than is kept."""
    return count_jobs(conn, 1) > 0 or bool(old_segments(core, conn))


def count_jobs(conn: Connection, most: int) -> int:
    """Return how many jobs are older than is kept, no further than ``most``."""
    return jobs.count_old(conn, _limit(conn), most)


def delete_jobs(core: Core, tell: Tell) -> int:
    """Delete jobs that are older than is kept, in short transactions, and return how many."""
    with core.db.reading() as conn:
        before = _limit(conn)
    gone = 0
    while True:
        with core.db.writing() as conn:
            some = jobs.delete_some_old(conn, before, _BATCH)
        gone += some
        if some < _BATCH:
            return gone
        tell(None, f"{gone} jobs deleted")
        time.sleep(0.01)


def old_segments(core: Core, conn: Connection) -> list[Path]:
    """Return the log segments that are older than is kept; the newest of each server stays, for it is being written."""
    days = periods.in_force(conn, periods.LOGS)
    if not days:
        return []
    oldest = clock.source() - days * 86_400
    found = []
    for folder in core.settings.logs_dir.glob("*/"):
        segments = sorted(folder.glob("*.log"))
        with suppress(OSError):
            found += [path for path in segments[:-1] if path.stat().st_mtime < oldest]
    return found


def delete_logs(core: Core) -> int:
    """Delete old log segments and return how many bytes they had."""
    with core.db.reading() as conn:
        segments = old_segments(core, conn)
    gone = 0
    for path in segments:
        with suppress(OSError):  # the writer dropped it meanwhile
            size = path.stat().st_size
            path.unlink()
            gone += size
    return gone


def _limit(conn: Connection) -> str:
    return clock.later(-periods.in_force(conn, periods.JOBS) * 86_400)
