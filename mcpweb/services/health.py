"""What works and what does not: for load balancers, for people, for ``mcpweb doctor``."""
from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpweb import checkpoints, clock
from mcpweb.core import Core
from mcpweb.dao import audit, choices, observations
from mcpweb.db import driver
from mcpweb.errors import Failure
from mcpweb.services import periods, rounds, storage
from mcpweb.vault import VaultState

BEAT_S = 20.0
_BEHIND = 500
_BACKUP_DAYS = 30
_OVERDUE_H = 2
_FREE_MIB = 256


SENTENCES: dict[str, tuple[str, str, str]] = {
    "worker.runs": ("ok", "The worker runs.", ""),
    "worker.missing": ("problem", "No worker is running.", "Run `mcpweb serve` or `mcpweb worker`."),
    "engine.unseen": ("warning", "The engine was not looked at yet.", "Start the worker."),
    "engine.answers": ("ok", "Docker Engine {version} answers at {address}.", ""),
    "engine.away": ("problem", "The engine does not answer since {since} UTC: {detail}", ""),
    "vault.unseen": ("warning", "The vault was not looked at yet.", "Start the worker."),
    "vault.locked": ("problem", "The vault is locked ({code}): {detail}", "{next_step}"),
    "vault.open": ("ok", "The keys can be had.", ""),
    "audit.behind": (
        "problem", "The newest {behind} rows of the audit log are not signed.",
        "Make {path} writable; the worker tries again by itself.",
    ),
    "audit.signed": ("ok", "The audit log is signed up to row {signed} of {size}.", ""),
    "sqlite.safe": ("ok", "SQLite {version}.", ""),
    "sqlite.old": (
        "warning", "SQLite {version} can corrupt a write-ahead log that several processes write; a rollback journal is used.",
        "Install pysqlite3 0.6.1 or newer.",
    ),
    "backup.none": ("warning", "No backup was made yet.", "Run `mcpweb db backup FILE`, and keep the key ring elsewhere."),
    "backup.old": ("warning", "The newest backup is {days} days old.", "Run `mcpweb db backup FILE`."),
    "backup.made": ("ok", "The newest backup is of {day}, {hours} hours old.", ""),
    "backup.failed": (
        "problem", "The last scheduled backup failed: {detail} The newest one there is: {day}.",
        "Mend that; it is tried again within the hour.",
    ),
    "backup.overdue": (
        "warning", "The newest scheduled backup is {hours} hours old, and one every {every} hours is wanted.",
        "See whether the worker runs, and `mcpweb jobs list`.",
    ),
    "disk.low": ("problem", "The disk of {path} has {free} MiB left.", "Make room: the database cannot grow."),
    "disk.room": ("ok", "The disk of the data folder has {free} MiB left.", ""),
    "log.long": (
        "warning", "The write-ahead log of the database has {size} MiB: somebody has been reading for a long time.",
        "End what reads {path} from outside (`fuser {path}` names it); the log is cut by itself then.",
    ),
    "log.short": ("ok", "The write-ahead log of the database has {size} MiB.", ""),
    "plugins.broken": ("problem", "Broken plugins: {names}.", "See `mcpweb plugins info NAME`."),
    "plugins.quarantined": (
        "problem", "Plugins in quarantine: {names}.", "See `mcpweb plugins info NAME`, then `mcpweb plugins enable NAME`.",
    ),
    "plugins.loaded": ("ok", "{count} plugins are loaded.", ""),
}
"""What can be found: level, sentence and next step; pages show both in their language."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``level`` is ok, warning or problem. ``facts`` fill the places of text and next step."""

    name: str
    level: str
    text: str
    next_text: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        return filled(self.text, self.facts)

    @property
    def next_step(self) -> str:
        return filled(self.next_text, self.facts)

    def as_object(self) -> dict[str, str]:
        """Return it as the API and ``doctor --json`` tell it."""
        return {"name": self.name, "level": self.level, "sentence": self.sentence, "next_step": self.next_step}


def filled(text: str, facts: Mapping[str, object]) -> str:
    """Return a text with its facts; one without facts is whole already."""
    return text.format(**facts) if facts else text


def find(code: str, /, **facts: object) -> Finding:
    """Return the finding of ``SENTENCES`` with these facts."""
    return Finding(code.partition(".")[0], *SENTENCES[code], facts)


def worker_alive(observation: observations.Observation | None) -> bool:
    """Tell whether the worker's heartbeat is fresh."""
    return observation is not None and observation.state == "running" and abs(clock.age(observation.at)) < BEAT_S


def readiness(core: Core) -> dict[str, Any]:
    """Return {ready, worker, engine, schema, vault}; only a missing worker or a broken schema is not ready."""
    try:
        with core.db.reading() as conn:
            worker = observations.get(conn, "worker")
            engine = observations.get(conn, "engine")
            vault = observations.get(conn, "vault")
    except Failure as failure:
        return {"ready": False, "schema": failure.detail, "worker": "unknown", "engine": "unknown",
                "vault": "unknown"}
    alive = worker_alive(worker)
    return {
        "ready": alive, "schema": "ok", "worker": "ok" if alive else "missing",
        "engine": engine.state if engine else "unknown",
        "vault": vault.state if vault else "unknown",
    }


def findings(core: Core) -> list[Finding]:
    """Look at everything a process without the engine can look at."""
    with core.db.reading() as conn:
        worker, engine = observations.get(conn, "worker"), observations.get(conn, "engine")
    found = [find("worker.runs") if worker_alive(worker) else find("worker.missing")]
    if engine is None:
        found.append(find("engine.unseen"))
    elif engine.state == "reachable":
        found.append(find("engine.answers", version=engine.value.get("version"), address=engine.value.get("address")))
    else:
        found.append(find("engine.away", since=engine.since[:19], detail=engine.value.get("detail")))
    found += [_vault_finding(core), _audit_finding(core), _backup_finding(core)]
    found += [_disk_finding(core), _log_finding(core), sqlite_finding()]
    records = core.plugins.records.values()
    bad = {state: ", ".join(one.name for one in records if one.state == state) for state in ("broken", "quarantined")}
    found += [find(f"plugins.{state}", names=names) for state, names in bad.items() if names]
    if not any(bad.values()):
        found.append(find("plugins.loaded", count=len(records)))
    return found


def vault_state(core: Core) -> VaultState | None:
    """Return whether secrets can be opened, as the worker last saw it; None before it looked.

    The command line asks the key source itself; a page must not wait for one.
    """
    with core.db.reading() as conn:
        if core.role != "web":
            return core.vault.state(conn)
        seen = observations.get(conn, "vault")
    if seen is None:
        return None
    told = seen.value
    return VaultState(seen.state == "locked", told["code"], told["detail"], told["next_step"])


def _vault_finding(core: Core) -> Finding:
    state = vault_state(core)
    if state is None:
        return find("vault.unseen")
    if state.locked:
        return find("vault.locked", code=state.code, detail=state.detail, next_step=state.next_step)
    return find("vault.open")


def _audit_finding(core: Core) -> Finding:
    with core.db.reading() as conn:
        size, _ = audit.head(conn)
    newest = checkpoints.last(core.settings)
    signed = newest.size if newest else 0
    if size - signed > _BEHIND:
        return find("audit.behind", behind=size - signed, path=checkpoints.path_of(core.settings))
    return find("audit.signed", signed=signed, size=size)


def _backup_finding(core: Core) -> Finding:
    with core.db.reading() as conn:
        made = audit.newest(conn, "db.backup")
        every = periods.in_force(conn, periods.BACKUP_HOURS)
        chosen = choices.find(conn, periods.BACKUP_HOURS.name)
    at = None if made is None else str(made.detail.get("at", made.at))
    if every:
        failure = rounds.last_failure(core)
        if failure is not None:
            return find("backup.failed", detail=(failure.error or {}).get("detail", "–"), day=at[:10] if at else "–")
        scheduled = rounds.written(core)
        since = max(scheduled[0][0] if scheduled else "", chosen.updated_at if chosen else "")
        if since and clock.age(since) > (every + _OVERDUE_H) * 3600:
            return find("backup.overdue", hours=int(clock.age(since) // 3600), every=every)
    if at is None:
        return find("backup.none")
    days = int(clock.age(at) // 86_400)
    if days > _BACKUP_DAYS:
        return find("backup.old", days=days)
    return find("backup.made", day=at[:10], hours=max(0, int(clock.age(at) // 3600)))


def _disk_finding(core: Core) -> Finding:
    free = shutil.disk_usage(core.settings.data_dir).free >> 20
    return find("disk.low", free=free, path=core.settings.data_dir) if free < _FREE_MIB else find("disk.room", free=free)


def _log_finding(core: Core) -> Finding:
    size = storage.wal_size(core.settings.db_path)
    code = "log.long" if size > 2 * storage.WAL_LIMIT else "log.short"
    return find(code, size=-(-size >> 20), path=core.settings.db_path)


def sqlite_finding() -> Finding:
    """Return whether this SQLite is safe with a write-ahead log and several processes."""
    return find("sqlite.safe" if driver.WAL_IS_SAFE else "sqlite.old", version=driver.version_text)
