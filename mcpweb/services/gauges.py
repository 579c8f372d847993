"""What ``/metrics`` tells of the installation, looked up when it is asked: the same from every process."""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcpweb import clock
from mcpweb.core import Core
from mcpweb.dao import gauges, observations


@dataclass(frozen=True)
class Gauge:
    """One name with its help; ``label`` is "" for a single value, whose word is "" too."""

    name: str
    help: str
    label: str
    values: tuple[tuple[str, float], ...]


_COUNTED = {
    "servers": ("status", "Servers by what was last seen of them."),
    "servers_wanted": ("wanted", "Servers by what people want of them."),
    "jobs": ("state", "Jobs that are kept, by state."),
    "runs": ("verdict", "Test runs that are kept, by verdict; none is one without a verdict."),
    "findings": ("severity", "Open findings by severity."),
    "key_versions": ("state", "Key versions by state."),
}


def read(core: Core) -> list[Gauge]:
    """Return every gauge. What was not looked at yet is left out: a missing worker's age, the vault before its first look."""
    with core.db.reading() as conn:
        counted = {what: tuple(gauges.counts(conn, what).items()) for what in _COUNTED}
        up = tuple((name, float(is_up)) for name, is_up in gauges.running(conn))
        worker, engine, vault = observations.several(conn, "worker", "engine", "vault")
    found = [Gauge(what, text, label, counted[what]) for what, (label, text) in _COUNTED.items()]
    found.append(Gauge("server_up", "1 for a server that should run and does, 0 for one that should and does not.", "server", up))
    if vault is not None:
        found.append(_one("vault_locked", "1 while secrets cannot be opened.", vault.state == "locked"))
    if engine is not None:
        found.append(_one("engine_reachable", "1 while the container engine answers.", engine.state == "reachable"))
    if worker is not None:
        age = max(0.0, clock.age(worker.at))
        found.append(_one("worker_heartbeat_age_seconds", "Seconds since the worker was last seen.", age))
    path = core.settings.db_path
    found += [
        _one("database_bytes", "The database and its write-ahead log on disk.", sum(map(_size, (path, Path(f"{path}-wal"))))),
        _one("logs_bytes", "Logs of servers on disk.", sum(_sizes(core.settings.data_dir / "logs"))),
        _one("disk_free_bytes", "Room left on the disk of the data folder.", shutil.disk_usage(core.settings.data_dir).free),
    ]
    return found


def _one(name: str, text: str, value: float) -> Gauge:
    return Gauge(name, text, "", (("", float(value)),))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone since it was listed
        return 0


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        yield from (_size(Path(place, name)) for name in names)
