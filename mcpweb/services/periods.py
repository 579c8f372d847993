"""How long things are kept, how often backups are made: chosen while mcpweb runs, one row of the database each, audited."""
from __future__ import annotations

from dataclasses import dataclass

from mcpweb.contracts import Actor
from mcpweb.core import Core
from mcpweb.dao import choices
from mcpweb.db import Connection
from mcpweb.errors import FieldError, InvalidInput
from mcpweb.services import access

MOST_DAYS = 36_500


@dataclass(frozen=True)
class Period:
    """One choice, most in days. ``for_good`` says whether 0 can be chosen: no limit, or off; ``help`` is for programs."""

    name: str
    default: int
    least: int
    for_good: bool
    sentence: str
    help: str
    most: int = MOST_DAYS


RESULTS = Period(
    "keep_results_days", 90, 1, False, f"Results are kept from 1 to {MOST_DAYS} days.",
    "Test runs older than so many days are deleted with their results; the daily roll-up stays.",
)
JOBS = Period(
    "keep_jobs_days", 90, 1, False, f"Jobs are kept from 1 to {MOST_DAYS} days.",
    "Jobs that ended longer ago than so many days are deleted with their results; the audit log stays.",
)
LOGS = Period(
    "keep_logs_days", 0, 1, True, f"Logs are kept from 1 to {MOST_DAYS} days, or with 0 until they are too long.",
    "Log segments of servers that are older than so many days are deleted; 0 leaves them to their size, 8 MiB a server.",
)
AUDIT = Period(
    "keep_audit_days", 0, 30, True, f"Audit rows stay for 30 to {MOST_DAYS} days, or with 0 for good.",
    "Audit rows older than so many days are moved into signed files, once a day; 0 keeps all in the database.",
)
BACKUP_HOURS = Period(
    "backup_every_hours", 0, 1, True, "A backup is made every 1 to 8760 hours, or with 0 never.",
    "The worker writes a backup into the data folder every so many hours; 0 writes none.", 8760,
)
BACKUPS = Period(
    "backup_keep", 7, 1, False, "From 1 to 1000 scheduled backups are kept.",
    "So many scheduled backups are kept; older ones are deleted after a new one was written.", 1000,
)
PERIODS = (RESULTS, JOBS, LOGS, AUDIT, BACKUP_HOURS, BACKUPS)


def days(core: Core, actor: Actor, period: Period) -> int:
    """Return how many days are chosen, 0 for good."""
    access.require(core, actor, "settings.view")
    with core.db.reading() as conn:
        return in_force(conn, period)


def every(core: Core, actor: Actor) -> dict[str, int]:
    """Return all that is chosen, by name."""
    access.require(core, actor, "settings.view")
    with core.db.reading() as conn:
        found = choices.some(conn, [period.name for period in PERIODS])
    return {period.name: int(found.get(period.name, period.default)) for period in PERIODS}


def chosen(core: Core) -> frozenset[str]:
    """Return the names of what somebody chose; the others stand at their defaults."""
    with core.db.reading() as conn:
        return frozenset(choices.some(conn, [period.name for period in PERIODS]))


def in_force(conn: Connection, period: Period) -> int:
    chosen = choices.find(conn, period.name)
    return period.default if chosen is None else int(chosen.value)


def set_days(core: Core, actor: Actor, period: Period, wanted: int) -> int:
    """Choose how many days. Raises InvalidInput."""
    return set_all(core, actor, {period.name: wanted})[period.name]


def set_all(core: Core, actor: Actor, wanted: dict[str, int]) -> dict[str, int]:
    """Choose several at once, all of them or, with a fault in one, none; what is chosen already leaves no audit row.

    Raises InvalidInput naming the fields.
    """
    access.require(core, actor, "settings.edit")
    by_name = {period.name: period for period in PERIODS}
    wrong = [by_name[name] for name, given in wanted.items() if not _fits(by_name[name], given)]
    if wrong:
        raise InvalidInput(wrong[0].sentence, errors=[FieldError(f"/{one.name}", _bounds(one)) for one in wrong])
    with core.db.writing() as conn:
        for name, given in wanted.items():
            before = in_force(conn, by_name[name])
            if before != given or choices.find(conn, name) is None:
                choices.put(conn, name, given, actor.name)
                access.note(conn, actor, "choice.set", name, {"before": before, "after": given})
    return wanted


def _fits(period: Period, given: object) -> bool:
    if isinstance(given, bool) or not isinstance(given, int):
        return False
    return period.least <= given <= period.most or (period.for_good and given == 0)


def _bounds(period: Period) -> str:
    return f"{'0, or ' if period.for_good else ''}from {period.least} to {period.most}"
