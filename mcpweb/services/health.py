"""What works and what does not: for load balancers, for people, for ``mcpweb doctor``."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcpweb import checkpoints, clock
from mcpweb.core import Core
from mcpweb.dao import audit, observations
from mcpweb.db import driver
from mcpweb.errors import Failure
from mcpweb.vault import VaultState

BEAT_S = 20.0
_BEHIND = 500


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``level`` is ok, warning or problem."""

    name: str
    level: str
    sentence: str
    next_step: str = ""


def worker_alive(observation: observations.Observation | None) -> bool:
    """Tell whether the worker's heartbeat is fresh."""
    return observation is not None and observation.state == "running" and clock.age(observation.at) < BEAT_S


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
    found = [
        Finding("worker", "ok", "The worker runs.")
        if worker_alive(worker)
        else Finding("worker", "problem", "No worker is running.", "Run `mcpweb serve` or `mcpweb worker`."),
    ]
    if engine is None:
        found.append(Finding("engine", "warning", "The engine was not looked at yet.", "Start the worker."))
    elif engine.state == "reachable":
        version, address = engine.value.get("version"), engine.value.get("address")
        found.append(Finding("engine", "ok", f"Docker Engine {version} answers at {address}."))
    else:
        found.append(Finding("engine", "problem", f"The engine does not answer since {engine.since} UTC: "
                             f"{engine.value.get('detail')}", "Start the engine, or set DOCKER_HOST."))
    found.append(_vault_finding(core))
    found.append(_audit_finding(core))
    found.append(sqlite_finding())
    broken = [record.name for record in core.plugins.records.values() if record.state == "broken"]
    found.append(
        Finding("plugins", "problem", f"Broken plugins: {', '.join(broken)}.", "See `mcpweb plugins info NAME`.")
        if broken else Finding("plugins", "ok", f"{len(core.plugins.records)} plugins are loaded.")
    )
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
        return Finding("vault", "warning", "The vault was not looked at yet.", "Start the worker.")
    if state.locked:
        return Finding("vault", "problem", f"The vault is locked ({state.code}): {state.detail}", state.next_step)
    return Finding("vault", "ok", "The keys can be had.")


def _audit_finding(core: Core) -> Finding:
    with core.db.reading() as conn:
        size, _ = audit.head(conn)
    newest = checkpoints.last(core.settings)
    behind = size - (newest.size if newest else 0)
    if behind > _BEHIND:
        return Finding("audit", "problem", f"The newest {behind} rows of the audit log are not signed.",
                       f"Make {checkpoints.path_of(core.settings)} writable; the worker tries again by itself.")
    return Finding("audit", "ok", f"The audit log is signed up to row {newest.size if newest else 0} of {size}.")


def sqlite_finding() -> Finding:
    """Return whether this SQLite is safe with a write-ahead log and several processes."""
    if driver.WAL_IS_SAFE:
        return Finding("sqlite", "ok", f"SQLite {driver.version_text}.")
    return Finding("sqlite", "warning", f"SQLite {driver.version_text} can corrupt a write-ahead log that several "
                   "processes write; a rollback journal is used.", "Install pysqlite3 0.6.1 or newer.")
