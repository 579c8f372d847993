"""Samples of what a container uses, from the engine's stream."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mcpweb.plugin import NotFound, RuntimeTimeout, Stats, clock

from .containers import checked

if TYPE_CHECKING:
    from .containers import Containers
    from .engine import Engine


def stats(
    engine: Engine, containers: Containers, container_id: str, stop: Callable[[], bool], at_once: bool
) -> Iterator[Stats]:
    """Yield about one sample a second until ``stop()`` or the container ends. Raises NotFound."""
    one = checked(container_id)
    before: tuple[float, int] | None = None
    heard = time.monotonic()
    silence = engine.deadlines.stream_silence
    stream = engine.stream("send stats", lambda client: client.stats(one, decode=True, stream=True))
    try:
        for sample in stream:
            if stop():
                return
            if sample is None:
                if time.monotonic() - heard > silence:
                    raise RuntimeTimeout(f"The container engine sent no stats for {silence:g} s.")
                continue
            heard = time.monotonic()
            now = _cpu(sample)
            if now is None:
                if not _runs(containers, one):
                    return
                continue
            if before is not None and now[0] > before[0]:
                yield _read(sample, 100 * (now[1] - before[1]) / 1e9 / (now[0] - before[0]))
            elif before is None and at_once:
                yield _read(sample, 0.0)
            before = now
    finally:
        stream.close()  # type: ignore[attr-defined]


def _runs(containers: Containers, container_id: str) -> bool:
    try:
        return containers.inspect(container_id).running
    except NotFound:
        return False


def _cpu(sample: Mapping[str, Any]) -> tuple[float, int] | None:
    """Return (seconds, nanoseconds of CPU used so far), None when the container does not run."""
    read = str(sample.get("read", ""))
    used = int(((sample.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0)
    if read.startswith("0001-") or not read or not used or not sample.get("memory_stats"):
        return None
    return datetime.fromisoformat(read[:19] + read[19:].rstrip("Z")[:7] + "+00:00").timestamp(), used


def _read(sample: Mapping[str, Any], cpu_percent: float) -> Stats:
    memory = sample.get("memory_stats") or {}
    detail = memory.get("stats") or {}
    cache = detail.get("inactive_file", detail.get("total_inactive_file", 0))  # cgroup v2, v1
    networks = (sample.get("networks") or {}).values()
    return Stats(
        at=clock.now(),
        cpu_percent=round(max(cpu_percent, 0.0), 2),
        memory_bytes=max(int(memory.get("usage") or 0) - int(cache or 0), 0),
        memory_limit=int(memory.get("limit") or 0),
        pids=int((sample.get("pids_stats") or {}).get("current") or 0),
        rx_bytes=sum(int(one.get("rx_bytes") or 0) for one in networks),
        tx_bytes=sum(int(one.get("tx_bytes") or 0) for one in networks),
        cpu_s=round(int(((sample.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0) / 1e9, 6),
    )
