"""Stats of running servers, sampled only while somebody looks."""
from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import asdict
from typing import Any

from mcpweb.core import Core
from mcpweb.errors import Failure
from mcpweb.worker.fleet import Fleet

log = logging.getLogger(__name__)

KEPT = 120
IDLE_S = 30.0


class Meter:
    """One stream of samples per server that was asked for within the last 30 s."""

    def __init__(self, core: Core, fleet: Fleet, stopping: threading.Event) -> None:
        self._core = core
        self._fleet = fleet
        self._stopping = stopping
        self._asked: dict[str, float] = {}
        self._samples: dict[str, deque[dict[str, Any]]] = {}
        self._guard = threading.Lock()

    def samples(self, server_id: str) -> list[dict[str, Any]]:
        """Return the newest samples, oldest first, and keep sampling for a while."""
        member = self._fleet.member(server_id)
        if member is None:
            return []
        with self._guard:
            begin = server_id not in self._asked
            self._asked[server_id] = time.monotonic()
            if begin:
                self._samples[server_id] = deque(maxlen=KEPT)
                target = threading.Thread(
                    target=self._sample, args=(server_id, member.container_id), name="meter", daemon=True
                )
                target.start()
            return list(self._samples[server_id])

    def _sample(self, server_id: str, container_id: str) -> None:
        def enough() -> bool:
            idle = time.monotonic() - self._asked.get(server_id, 0.0)
            return idle > IDLE_S or self._stopping.is_set() or self._fleet.member(server_id) is None

        try:
            for stats in self._core.runtime.stats(container_id, enough):
                self._samples[server_id].append(asdict(stats))
        except Failure as failure:
            log.info("no more stats of %s: %s", container_id[:12], failure.detail)
        finally:
            with self._guard:
                self._asked.pop(server_id, None)
