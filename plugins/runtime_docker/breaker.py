"""A circuit breaker: an engine that is away is not asked by everybody again and again."""
from __future__ import annotations

import threading
import time

from mcpweb.plugin import RuntimeUnavailable, clock

THRESHOLD = 3
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0


class Breaker:
    """After three failures in a row calls fail at once; after a pause one call tries again, and decides for all."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._failures = 0
        self._since = ""
        self._detail = ""
        self._next_step = ""
        self._opens_at = 0.0
        self._pause = FIRST_PAUSE_S
        self._trying = False

    def enter(self, probe: bool) -> None:
        """Let a call through. Raises RuntimeUnavailable while the breaker is open."""
        with self._guard:
            if probe or self._failures < THRESHOLD:
                return
            if time.monotonic() >= self._opens_at and not self._trying:
                self._trying = True
                return
            raise RuntimeUnavailable(
                f"The container engine has not answered since {self._since} UTC. {self._detail}",
                next_step=self._next_step,
            )

    def leave(self) -> None:
        """Hear that a call ended without a verdict about the engine."""
        with self._guard:
            self._trying = False

    def succeeded(self) -> None:
        with self._guard:
            self._failures = 0
            self._trying = False
            self._pause = FIRST_PAUSE_S

    def failed(self, failure: RuntimeUnavailable) -> None:
        with self._guard:
            if not self._failures:
                self._since = clock.now()[:19]
            self._failures += 1
            self._detail, self._next_step = failure.detail, failure.next_step
            self._trying = False
            if self._failures >= THRESHOLD:
                self._opens_at = time.monotonic() + self._pause
                self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
