"""What a server may send before it is slowed down or its session is ended."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

_NOISE_UNIT = 16 * 1024  # a large message weighs as many small ones
_MOST_OWED = 100  # requests of a server that wait for our answer


@dataclass(frozen=True)
class SessionLimits:
    """The bounds of one session."""

    line_bytes: int = 16 * 2**20
    notifications_per_s: int = 500
    flood_seconds: int = 5  # so many seconds above the rate end the session
    stderr_bytes_per_s: int = 256 * 1024
    stderr_burst: int = 1 << 20
    listing_items: int = 10_000
    listing_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class SessionEnd:
    """Why a session is over: closed (by us), exited (end of stream), flood, broken."""

    reason: str
    sentence: str


class Faucet:
    """Lets stderr through at a bounded rate and says what it dropped."""

    def __init__(self, sink: Callable[[bytes], None] | None, limits: SessionLimits) -> None:
        self._sink = sink
        self._rate = limits.stderr_bytes_per_s
        self._burst = limits.stderr_burst
        self._level = float(limits.stderr_burst)
        self._at = time.monotonic()
        self._dropped = 0

    @property
    def dropping(self) -> bool:
        return self._dropped > 0

    def pour(self, data: bytes) -> None:
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if len(data) > self._level:
            self._dropped += len(data)
            return
        self._level -= len(data)
        self._say_dropped()
        self._give(data)

    def close(self) -> None:
        """Say what was dropped last."""
        self._say_dropped()

    def _say_dropped(self) -> None:
        if self._dropped:
            self._give(b"\n[%d bytes of stderr were dropped: more than is kept per second]\n" % self._dropped)
            self._dropped = 0

    def _give(self, data: bytes) -> None:
        if self._sink is None:
            return
        try:
            self._sink(data)
        except Exception:
            log.exception("what takes the stderr of a session failed")


class Traffic:
    """Counts what a server sends without being asked, by the second; a lasting flood ends the session.

    Written by the loop thread only. ``asked`` are our requests, ``owed`` the server's requests we have not answered.
    """

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self.asked = 0
        self.answered = 0
        self.owed = 0
        self.end: SessionEnd | None = None
        self._second = int(time.monotonic())
        self._weight = 0
        self._hot_seconds = 0

    @property
    def noisy(self) -> bool:
        return self._hot_seconds > 0 or self._weight > self._limits.notifications_per_s

    def reply(self, size: int) -> bool:
        """Note a reply; tell whether to drop it: nobody can have asked for it and there are too many."""
        self.answered += 1
        return self.answered > self.asked and self.unasked(size)

    def request(self, size: int) -> bool:
        """Note a request of the server; tell whether to drop it."""
        if self.unasked(size):
            return True
        self.owed += 1
        if self.owed > _MOST_OWED:
            self.end = SessionEnd("flood", f"The server sent {_MOST_OWED} requests and does not read the answers.")
        return self.end is not None

    def unasked(self, size: int) -> bool:
        """Note a notification or a line that is no message; tell whether to drop it."""
        second = int(time.monotonic())
        if second != self._second:
            was_hot = self._weight > self._limits.notifications_per_s and second == self._second + 1
            self._hot_seconds = self._hot_seconds + 1 if was_hot else 0
            self._second, self._weight = second, 0
            if self._hot_seconds >= self._limits.flood_seconds and self.end is None:
                self.end = SessionEnd(
                    "flood",
                    f"The server sent more than {self._limits.notifications_per_s} messages a second "
                    f"nobody asked for, for {self._limits.flood_seconds} s.",
                )
        self._weight += 1 + size // _NOISE_UNIT
        return self._weight > self._limits.notifications_per_s
